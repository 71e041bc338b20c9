"""The argmax head against its definition: a tournament in which the earlier logit wins a tie.

``v<l>_<k>`` is to be the larger of ``v<l-1>_<2k>`` and ``v<l-1>_<2k+1>``, the first one where they are equal, and
``i<l>_<k>`` the index that goes with it; ``v0_<j>`` is logit ``j`` on the finest grid. The last index is then the first
one of a largest logit: the winner of an earlier half is kept unless the later half holds a larger one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flow.core.design import Design
from flow.core.evaluate import argmax
from flow.proof.text.compare import Comparison, Spec
from flow.proof.text.findings import Fault, Finding, Unread
from flow.proof.text.layer import lift, packed, run_all
from flow.proof.text.space import Space, Vector, constant, extended
from flow.proof.text.syntax import Module


def prove_argmax(design: Design, module: Module, latency: int, name: str) -> list[Finding]:
    """What of the head's module is not proved to give the index of the largest logit, ``latency`` cycles later."""
    formats, space = design.output_formats, Space()
    logits = [space.atom(f"x{j}", f.bits, f.low, f.high) for j, f in enumerate(formats)]
    finest = max(f.frac for f in formats)
    bits = max(f.bits + finest - f.frac + (not f.signed) for f in formats) or 1
    index_bits = max((len(formats) - 1).bit_length(), 1)
    values = []
    for fmt, logit in zip(formats, logits, strict=True):
        values.append(extended(constant(0, finest - fmt.frac) + logit, bits, fmt.signed))
    try:
        specs, last = _specs(space, values, index_bits)
        comparison = Comparison(space, module, {"x": packed(logits)}, {}, specs, name)
        run_all(comparison, index_bits)
    except (Fault, Unread) as exc:
        return [Finding(name, -1, "", str(exc), isinstance(exc, Fault))]
    driven = comparison.output("y", 0, last, latency, -1)
    limits = [(f.low, f.high) for f in formats]
    lift(comparison, logits, limits, [(0, driven)], lambda x: argmax(np.asarray(x), formats))
    return comparison.findings


def _specs(space: Space, values: list[Vector], index_bits: int) -> tuple[dict[str, Spec], Vector]:
    """What every round's values and indices are to be, and the last index."""
    entries = [(value, constant(j, index_bits)) for j, value in enumerate(values)]
    specs: dict[str, Spec] = {}
    level = 0
    while len(entries) > 1:
        level += 1
        winners = []
        for k in range(0, len(entries), 2):
            pair = entries[k : k + 2]  # of an odd number the last one waits
            value, index = pair[0] if len(pair) == 1 else _larger(space, pair[0], pair[1])
            names = f"v{level}_{k // 2}", f"i{level}_{k // 2}"
            size = len(value)
            held = space.atom(names[0], size, -(1 << size - 1), (1 << size - 1) - 1), space.atom(names[1], index_bits)
            for name, bits, wanted in zip(names, held, (value, index), strict=True):
                specs[name] = Spec(-1, bits, _given(wanted))
            winners.append(held)
        entries = winners
    return specs, entries[0][1]


def _given(wanted: Vector) -> Callable[[], Vector]:
    return lambda: wanted


def _larger(space: Space, first: tuple[Vector, Vector], second: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
    test = space.less(first[0], second[0], True)
    return space.select(test, second[0], first[0]), space.select(test, second[1], first[1])
