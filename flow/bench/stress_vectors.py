"""Distinct input vectors in bulk, drawn where faults hide: for the native harness, which runs millions of them.

A third of them is uniform. The others are aimed: sums of first-layer neurons at a rounding or saturation threshold or
at a power of two (long carries), deeper sums and ties of logits close to where they turn over, single inputs and pairs
at their extremes, neighbours of real rows, extremes only, few inputs, small values. A design that has few enough input
vectors gets every one. Where sums are aimed at, they are floats: a target that is missed is still a fair vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate_layer
from flow.core.fixed import Fixed, Ints, Quantizer

CHUNK = 8192  # rows at a time: what is computed of them stays in the cache
_TABLE_BITS = 27  # of the table of vectors seen: 16 MiB
_THRESHOLDS = 64  # per neuron, at most
_TURNS = 8  # of a range that wraps, to either side
_MOVED = 16  # inputs that are moved to bring a sum to its target
_POOL = 1024  # rows whose deeper sums are looked at, per chunk
_SHARES = {
    "uniform": 2800, "near_thresholds": 1800, "near_deep": 1000, "structured": 900, "near_rows": 700, "extremes": 500,
    "sparse": 300, "small": 192,
}  # fmt: skip

Floats = NDArray[np.float64]


def space(design: Design) -> int:
    """How many input vectors the design has."""
    return prod(q.high - q.low + 1 for q in design.inputs)


def is_exhaustive(design: Design, count: int) -> bool:
    """Whether ``distinct_vectors`` gives every vector there is, rather than draw ``count``."""
    return space(design) <= 2 * count  # drawing more than half without repeats costs as much


def distinct_vectors(design: Design, first: Ints, count: int, seed: int) -> Iterator[Ints]:
    """Input mantissas in chunks of at most ``CHUNK`` rows, no two alike; ``count`` in all, or every one there is.

    Those of ``first`` lead, without repeats. Deterministic in its arguments.
    """
    if is_exhaustive(design, count):
        yield from _every(design)
        return
    seen, source, left = _Seen(len(design.inputs), seed), _Source(design, first, seed), count
    rows = iter(np.split(first, range(CHUNK, len(first), CHUNK)))
    while left:
        chunk = next(rows, None)
        fresh = seen.keep(source.chunk() if chunk is None else chunk)[:left]
        left -= len(fresh)
        if len(fresh):
            yield fresh


def _every(design: Design) -> Iterator[Ints]:
    total = space(design)
    for start in range(0, total, CHUNK):
        number = np.arange(start, min(start + CHUNK, total), dtype=np.int64)
        rows = np.zeros((len(number), len(design.inputs)), np.int64)
        for column, q in enumerate(design.inputs):
            number, digit = np.divmod(number, q.high - q.low + 1)
            rows[:, column] = digit + q.low
        yield rows


class _Seen:
    """A table of hashes: what it lets pass was never there before; it turns a few new rows away."""

    def __init__(self, elements: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.factors = rng.integers(0, 1 << 63, elements, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self.table = np.zeros(1 << (_TABLE_BITS - 3), np.uint8)

    def keep(self, rows: Ints) -> Ints:
        """The rows that were not there before, in their order."""
        hashed = rows.view(np.uint64) @ self.factors  # modulo 2^64; equal rows are equal here
        place = (hashed ^ (hashed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - _TABLE_BITS)
        place, index = np.unique(place, return_index=True)
        byte, bit = place >> np.uint64(3), np.left_shift(1, place & np.uint64(7)).astype(np.uint8)
        new = (self.table[byte] & bit) == 0
        np.bitwise_or.at(self.table, byte[new], bit[new])
        return np.asarray(rows[np.sort(index[new])])


class _Source:
    """The families of vectors, mixed in fixed shares."""

    def __init__(self, design: Design, first: Ints, seed: int) -> None:
        self.design, self.rng = design, np.random.default_rng((seed, 1))
        self.low = np.array([q.low for q in design.inputs], np.int64)
        self.high = np.array([q.high for q in design.inputs], np.int64)
        self.zero = np.clip(0, self.low, self.high)
        self.rows = first if len(first) else self.zero[None, :]
        # What moves a sum of a streamed network is not one input: there, sums are not aimed at.
        dense = () if design.nodes else design.layers
        self.layers = [_Sums(layer, design.formats_into(i)) for i, layer in enumerate(dense)]
        self.visited = 0

    def chunk(self) -> Ints:
        """``CHUNK`` rows of all families, which may repeat."""
        families: dict[str, Callable[[int], Ints]] = {name: getattr(self, name) for name in _SHARES}
        return np.concatenate([families[name](count) for name, count in _SHARES.items()])

    def uniform(self, count: int) -> Ints:
        """Any vector."""
        return self.rng.integers(self.low, self.high, (count, len(self.low)), np.int64, endpoint=True)

    def extremes(self, count: int) -> Ints:
        """Every input at one end of its range."""
        return np.where(self.rng.integers(0, 2, (count, len(self.low)), np.int8) == 1, self.high, self.low)

    def sparse(self, count: int) -> Ints:
        """Few inputs that are not zero."""
        share = self.rng.random((count, 1)) * 0.3
        return np.where(self.rng.random((count, len(self.low))) < share, self.uniform(count), self.zero)

    def small(self, count: int) -> Ints:
        """All inputs within two steps of zero."""
        steps = self.rng.integers(-2, 3, (count, len(self.low)), np.int64)
        return np.clip(steps, self.low, self.high)

    def near_rows(self, count: int) -> Ints:
        """Rows that the build already has, a little changed."""
        return self._changed(self.rows[self.rng.integers(0, len(self.rows), count)])

    def _changed(self, rows: Ints) -> Ints:
        """One to three inputs moved by a step or drawn anew."""
        count, width = rows.shape
        here = np.arange(count)
        for times in range(3 if width else 0):
            column = self.rng.integers(0, width, count)
            old, low, high = rows[here, column], self.low[column], self.high[column]
            step = old + self.rng.integers(0, 2, count) * 2 - 1
            other = self.rng.integers(low, high, endpoint=True)
            new = np.clip(np.where(self.rng.random(count) < 0.7, step, other), low, high)
            rows[here, column] = new if not times else np.where(self.rng.random(count) < 0.5, new, old)
        return rows

    def structured(self, count: int) -> Ints:
        """Pairs of inputs at their ends or next to zero over an even background: all of them in turn, spread out."""
        width = len(self.low)
        number = (self.visited + np.arange(count)) * 7919 % max(1, width * width * 27)
        self.visited += count
        number, background = np.divmod(number, 3)
        rows = np.stack([self.zero, self.low, self.high])[background]
        for _ in range(2 if width else 0):
            number, column = np.divmod(number, width)
            number, which = np.divmod(number, 3)
            ends = np.stack([self.low, self.high, np.clip(self.zero + 1, self.low, self.high)])
            rows[np.arange(count), column] = ends[which, column]
        return rows

    def near_thresholds(self, count: int) -> Ints:
        """Sums of the first layer's neurons at, just below or just above where the output or a carry turns over."""
        base = np.concatenate([self.uniform(count // 2), self.near_rows(count - count // 2)])
        sums = self.layers[0] if self.layers else None
        if sums is None or not len(sums.aims):
            return base
        neuron, target = sums.aim(self.rng, count)
        return sums.moved(base, neuron, target, self.low, self.high, self.rng)

    def near_deep(self, count: int) -> Ints:
        """Neighbours of rows that come closest to a threshold in a deeper layer, or to a tie of the two best logits."""
        if not self.layers:
            return self.near_rows(count)
        pool = np.concatenate([self.uniform(_POOL // 2), self.near_rows(_POOL // 2)])
        values, close = pool, []
        for index, layer in enumerate(self.design.layers):
            if index:
                close.append(self.layers[index].closest(values, self.rng))
            values = evaluate_layer(layer, values, self.design.formats_into(index))
        if values.shape[1] > 1:
            logits = np.sort(values * np.array([2.0**-f.frac for f in self.design.output_formats]), axis=1)
            close.append(np.argsort(logits[:, -1] - logits[:, -2])[:32])
        chosen = np.concatenate(close) if close else np.arange(len(pool))
        return self._changed(pool[chosen[self.rng.integers(0, len(chosen), count)]])


class _Sums:
    """A layer's sums as floats: how its inputs move them, and where its neurons' outputs turn over."""

    def __init__(self, layer: Layer, formats: tuple[Fixed, ...]) -> None:
        scale = np.array([2.0**-f.frac for f in formats])
        self.weights = layer.matrix * scale[:, None] * np.array([2.0**-n.weight_frac for n in layer.neurons])
        self.bias = np.array([n.bias * 2.0**-n.bias_frac for n in layer.neurons])
        self.aims = [j for j in range(len(layer.neurons)) if self.weights[:, j].any()]
        self.turns = {j: _turns(layer.neurons[j]) for j in self.aims}
        steps = np.where(self.weights == 0, np.inf, np.abs(self.weights))
        self.step = steps.min(axis=0, initial=np.inf)  # the smallest move that an input can make

    def aim(self, rng: np.random.Generator, count: int) -> tuple[Ints, Floats]:
        """A neuron and a target for its sum, for each of ``count`` rows."""
        neuron = np.array(self.aims)[rng.integers(0, len(self.aims), count)]
        target = np.zeros(count)
        for j in self.aims:
            mine = np.nonzero(neuron == j)[0]
            target[mine] = self.turns[j][rng.integers(0, len(self.turns[j]), len(mine))]
        return neuron, target + rng.integers(-1, 2, count) * self.step[neuron]

    def moved(self, rows: Ints, neuron: Ints, target: Floats, low: Ints, high: Ints, rng: np.random.Generator) -> Ints:
        """The rows with a few inputs moved, the heavier ones first, so that each neuron's sum comes to its target."""
        weights = self.weights.T[neuron]
        missing = target - self.bias[neuron] - (rows * weights).sum(axis=1)
        keys = np.where(weights == 0, 2.0, rng.random(weights.shape))
        some = np.argsort(keys, axis=1)[:, :_MOVED]
        order = np.argsort(-np.abs(np.take_along_axis(weights, some, axis=1)), axis=1)
        some, here = np.take_along_axis(some, order, axis=1), np.arange(len(rows))
        for column in some.T:
            weight = weights[here, column]
            steps = np.rint(np.divide(missing, weight, out=np.zeros(len(rows)), where=weight != 0))
            old = rows[here, column]
            new = np.clip(old + np.clip(steps, -(2.0**61), 2.0**61).astype(np.int64), low[column], high[column])
            missing -= (new - old) * weight
            rows[here, column] = new
        return rows

    def closest(self, values: Ints, rng: np.random.Generator) -> Ints:
        """Rows of ``values`` whose sums come closest to a turn, a few for each of some neurons."""
        found = [np.zeros(0, np.int64)]
        for j in rng.permutation(self.aims).tolist()[:_THRESHOLDS]:
            sums, turns = values @ self.weights[:, j] + self.bias[j], self.turns[j]
            after = np.searchsorted(turns, sums)
            below, above = turns[np.maximum(after - 1, 0)], turns[np.minimum(after, len(turns) - 1)]
            distance = np.minimum(np.abs(sums - below), np.abs(sums - above))
            found.append(np.argsort(distance)[:8])
        return np.concatenate(found)


def _turns(neuron: Neuron) -> Floats:
    """Sums at which a neuron's output steps or saturates, and those at which the carry runs through: ascending."""
    turns = [0.0] if neuron.output is None else _steps(neuron.output)
    if neuron.accumulator is not None:
        fmt = neuron.accumulator
        turns += _wraps(neuron.output, fmt) if neuron.output is not None and neuron.output.wraps else []
        powers = [2.0 ** (k - fmt.frac) for k in range(fmt.bits)]
        turns = [*turns, *powers, *(-p for p in powers if fmt.signed)]
    return np.unique(np.array(turns))


def _wraps(output: Quantizer, sums: Fixed) -> list[float]:
    """Sums at which an output that wraps starts again from its low end: those nearest to 0, and 0 itself."""
    half, lsb = 0.0 if output.rounding == "TRN" else 0.5, 2.0**-output.format.frac
    ends = [(k * 2.0**output.format.bits + output.low - half) * lsb for k in range(-_TURNS, _TURNS + 1)]
    return [0.0, *(e for e in ends if sums.low * 2.0**-sums.frac <= e <= sums.high * 2.0**-sums.frac)]


def _steps(output: Quantizer) -> list[float]:
    """Sums at which the output steps: at most ``_THRESHOLDS``, the first and the last among them."""
    number = min(output.high - output.low, _THRESHOLDS)
    if not number:
        return [output.low * 2.0**-output.format.frac]
    half = 0.0 if output.rounding == "TRN" else 0.5
    span = output.high - output.low - 1
    mantissas = [output.low + 1 + span * i // max(number - 1, 1) for i in range(number)]
    return [(m - half) * 2.0**-output.format.frac for m in mantissas]
