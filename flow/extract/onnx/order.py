"""The order in which a graph's nodes are taken: pools of maxima behind the functions that rise with their input.

The largest of several values, rounded, is the largest of the rounded values. So a quantizer right behind a pool can
come before it, which leaves the pool fewer bits and no layer of its own behind it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from flow.extract.onnx.stored import Node, StoredOnnx
from flow.extract.onnx.windows import MAXIMA

_RISING = ("Relu", "Quant", "IntQuant", "BipolarQuant", "MultiThreshold")


def in_order(stored: StoredOnnx) -> tuple[Node, ...]:
    """The nodes; what is computed is the same, and so are its names except between the two that change places."""
    readers = Counter(name for node in stored.nodes for name in node.inputs)
    readers[stored.end] += 1
    nodes = list(stored.nodes)
    while found := next(((k, b) for k in range(len(nodes)) if (b := _behind(nodes, k, readers)) is not None), None):
        place, behind = found
        pool, function = nodes[place], nodes[behind]
        between = pool.outputs[0]
        nodes[behind : behind + 1] = [
            replace(function, inputs=(pool.inputs[0], *function.inputs[1:]), outputs=(between,)),
            replace(pool, inputs=(between,), outputs=function.outputs),
        ]
        del nodes[place]
    return tuple(nodes)


def _behind(nodes: list[Node], place: int, readers: Counter[str]) -> int | None:
    """Where the one function is that a pool may follow as well."""
    pool = nodes[place]
    if pool.kind not in MAXIMA or len(pool.outputs) != 1 or readers[pool.outputs[0]] != 1:
        return None
    found = next((k for k in range(place + 1, len(nodes)) if pool.outputs[0] in nodes[k].inputs), None)
    if found is None or nodes[found].kind not in _RISING or nodes[found].inputs[0] != pool.outputs[0]:
        return None
    return found
