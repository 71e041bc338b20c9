"""The integer sums that reach a float32 function, and the staircase that it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.errors import ModelError
from flow.core.fixed import Ints
from flow.core.passes.widths import widths
from flow.core.ranges import accumulator_range
from flow.extract.assemble import Assembler
from flow.extract.dyadic import exact_column
from flow.extract.exact_numbers import Exact, odd_float32
from flow.extract.float32 import FLOAT32_BITS, bounds
from flow.extract.layer_steps import Affine, Elementwise, Quant, Relu, Step
from flow.extract.staircase import Steps, steps_of_values

MAX_ASKED = 1 << 24  # sums of all neurons of a layer together that are asked one by one
_CHUNK = 1 << 20
_MAX_LEVELS = 1 << 16
_MAX_FRAC = 64


@dataclass(frozen=True)
class Sums:
    """A layer's sums as integers: ``low..high`` and fraction bits per neuron, and whether float32 holds them all."""

    low: Ints
    high: Ints
    frac: tuple[int, ...]
    is_exact: tuple[bool, ...]

    @property
    def count(self) -> int:
        """How many sums there are, of all neurons together."""
        return int((self.high - self.low + 1).sum())


@dataclass(frozen=True)
class Reading:
    """For each neuron the staircase of its function, and the fraction bits of what it returns."""

    steps: tuple[Steps, ...]
    fracs: tuple[int, ...]
    is_complete: bool  # every sum was asked


def sums_of(steps: Sequence[Step], elements: int) -> Sums:
    """The sums of the last dense layer of ``steps``, whose earlier steps all have integer forms."""
    assembler = Assembler(elements)
    for step in steps:
        assembler.add(step, False)
    inputs, layers = assembler.finish()
    layers = (*layers[:-1], replace(layers[-1], neurons=tuple(replace(n, output=None) for n in layers[-1].neurons)))
    design = widths(Design("unnamed", inputs, layers))
    index = len(layers) - 1
    formats, ranges = design.formats_into(index), design.ranges_into(index)
    found = [accumulator_range(n, formats, ranges) for n in layers[-1].neurons]
    exact = tuple(bound <= 1 << FLOAT32_BITS for *_, bound, _ in bounds(design)[-len(found) :])
    low, high = (np.array([f[k] for f in found], np.int64) for k in (0, 1))
    return Sums(low, high, tuple(f[2] for f in found), exact)


def affine(step: Step) -> bool:
    """Whether a step is an affine function in real numbers."""
    return isinstance(step, Affine) or (isinstance(step, Elementwise) and step.scale is not None)


def _is_monotone(step: Step) -> bool:
    return affine(step) or isinstance(step, Relu | Quant) or (isinstance(step, Elementwise) and step.rises_or_falls)


def are_few(sums: Sums) -> bool:
    """Whether a function can be asked about all sums, so that it need not be monotone."""
    return sums.count <= MAX_ASKED and len(sums.low) * int((sums.high - sums.low + 1).max()) <= 4 * MAX_ASKED


def can_bisect(chain: Sequence[Step]) -> bool:
    """Whether a chain is monotone in float32, as products with and sums of constants and quantizers are."""
    return _grid(chain, 1) is not None and all(_is_monotone(s) for s in chain)


def read(chain: Sequence[Step], sums: Sums) -> Reading:
    """What a chain of functions makes of a layer's sums. Raises ModelError where that cannot be found out.

    Every sum is asked where they are few enough. Of monotone functions steps are found by bisection; sums that float32
    does not hold, which only those may have, are rounded to it once, to odd.
    """
    fracs = _grid(chain, len(sums.low))
    if are_few(sums) and all(sums.is_exact):
        return _all_asked(chain, sums, fracs)
    if fracs is not None and can_bisect(chain):
        return _bisected(chain, sums, fracs)
    name = next(s.name for s in chain if isinstance(s, Elementwise) and not _is_monotone(s))
    raise ModelError(
        f"layer {chain[0].layer}: {name} sees {sums.count} different sums, more than the {MAX_ASKED} that can be asked "
        "one by one; give its dense layer's inputs or weights fewer bits"
    )


def _grid(chain: Sequence[Step], count: int) -> list[int] | None:
    """The fraction bits of what a last quantizer returns, for each of so many elements."""
    last = chain[-1]
    if isinstance(last, Elementwise) and last.frac is not None:
        return [last.frac] * count
    return [q.format.frac for q in last.quantizers] if isinstance(last, Quant) else None


def answers(chain: Sequence[Step], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The chain's answers to float32 values (rows x elements), as Keras computes them step by step."""
    for step in chain:
        if isinstance(step, Relu):
            values = np.maximum(values, np.float32(0))
        elif isinstance(step, Affine):
            scale = np.ldexp(step.sign.astype(np.float32), step.exponent)
            values = (values * scale + np.array(step.offset, np.float32)).astype(np.float32)
        elif isinstance(step, Quant):
            columns = [np.ldexp(q.from_float(values[:, j]).astype(np.float64), -q.format.frac)
                       for j, q in enumerate(step.quantizers)]  # fmt: skip
            values = np.stack(columns, axis=1).astype(np.float32)
        elif isinstance(step, Elementwise):
            values = step.function(values)
    return values


def _asker(chain: Sequence[Step], sums: Sums) -> Callable[[Ints], NDArray[np.float64]]:
    if not all(sums.is_exact):
        return lambda s: answers(chain, odd_float32(Exact(s, list(sums.frac)).floats())).astype(np.float64)
    fracs = np.array(sums.frac, np.int64)
    return lambda s: answers(chain, np.ldexp(s.astype(np.float64), -fracs).astype(np.float32)).astype(np.float64)


def _all_asked(chain: Sequence[Step], sums: Sums, fracs: list[int] | None) -> Reading:
    ask, longest = _asker(chain, sums), int((sums.high - sums.low).max()) + 1
    rows = max(_CHUNK // len(sums.low), 1)
    parts = []
    for start in range(0, longest, rows):
        block = np.minimum(sums.low + np.arange(start, min(start + rows, longest))[:, None], sums.high)
        parts.append(ask(block))
    found = np.concatenate(parts)
    steps, grids = [], []
    for j, (low, high) in enumerate(zip(sums.low.tolist(), sums.high.tolist(), strict=True)):
        own = found[: high - low + 1, j]
        if not np.isfinite(own).all():
            raise ModelError(f"layer {chain[-1].layer}, neuron {j}: it answers {own[~np.isfinite(own)][0]}")
        frac = _own_grid(chain, own, j) if fracs is None else fracs[j]
        steps.append(steps_of_values(low, np.ldexp(own, frac).astype(np.int64)))
        grids.append(frac)
    return Reading(tuple(steps), tuple(grids), True)


def _own_grid(chain: Sequence[Step], values: NDArray[np.float64], neuron: int) -> int:
    """The coarsest grid that holds all values of a function that ends in no known quantizer."""
    levels = np.unique(values)
    mantissas, frac = exact_column(levels[np.abs(levels) > 0]) if len(levels) <= _MAX_LEVELS else ([], _MAX_FRAC)
    if frac >= _MAX_FRAC or max((abs(m) for m in mantissas), default=0) >> FLOAT32_BITS:
        step = chain[-1]
        name = step.name if isinstance(step, Elementwise) else type(step).__name__
        raise ModelError(
            f"layer {step.layer}, neuron {neuron}: {name} returns floats that no quantizer follows; put a QActivation "
            "behind it, such as quantized_bits(8,0,alpha=1)"
        )
    return frac


def _bisected(chain: Sequence[Step], sums: Sums, fracs: list[int]) -> Reading:
    """Steps of monotone functions: for every level the first sum that reaches it."""
    ask, grid = _asker(chain, sums), np.array(fracs, np.int64)

    def levels(block: Ints) -> Ints:
        found = np.ldexp(ask(block), grid)
        if not (found == np.floor(found)).all():
            raise ModelError(
                f"layer {chain[-1].layer}: it returns values off its own grid; choose other settings of its quantizer"
            )
        return found.astype(np.int64)

    ends = levels(np.stack([sums.low, sums.high]))
    sign = np.where(ends[1] >= ends[0], 1, -1)
    count = int(np.abs(ends[1] - ends[0]).max())
    if count > _MAX_LEVELS:
        raise ModelError(
            f"layer {chain[-1].layer}: its quantizer has more than {_MAX_LEVELS} levels; give it fewer bits"
        )
    wanted = sign * ends[0] + 1 + np.arange(count)[:, None]
    below, reached = np.broadcast_to(sums.low, wanted.shape).copy(), np.broadcast_to(sums.high, wanted.shape).copy()
    while count and (reached - below > 1).any():
        middle = below + (reached - below) // 2
        enough = sign * levels(middle) >= wanted
        reached, below = np.where(enough, middle, reached), np.where(enough, below, middle)
    steps = []
    for j in range(len(fracs)):
        places, rises = np.unique(reached[: abs(int(ends[1, j] - ends[0, j])), j], return_counts=True)
        steps.append(Steps(int(sums.low[j]), int(sums.high[j]), int(ends[0, j]), places, rises * int(sign[j])))
    return Reading(tuple(steps), tuple(fracs), False)
