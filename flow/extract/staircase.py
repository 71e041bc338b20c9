"""An integer function of a neuron's sum as a few clipped lines, which is what neurons with quantizers are.

A function that takes few values is a staircase: it goes up or down at certain sums. A run of steps in one direction is
``clip((multiplier * s + offset) >> shift, 0, steps)`` where a line passes between the steps (Debled-Rennesson and
Reveilles, 1995: digital straight lines); where none does, the run is cut, and the parts add up. So a uniform quantizer
behind any scale and offset is one line, a sign is one line, a curve some, and nothing but integers is left of a float
function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints, rescale

_ROUNDS = 100  # of bisection: beyond what a float64 resolves
_FINER = 3  # more fraction bits than needed, if a multiplier of fewer digits comes of it
_TRIED = 64
_MAX_SHIFT = 60
_COMPARISONS = 3


@dataclass(frozen=True)
class Line:
    """``height * (clip(v, start, start + steps) - start)`` of a sum ``s``, where ``v`` is an integer near a quotient.

    The quotient is ``(multiplier * s + offset) / 2**shift``. ``v`` is its floor, and ``start`` 0, or where ``is_even``
    the nearest integer, halves to the even one: then ``start``, 0 or 1, says which levels are the even ones.
    """

    multiplier: int
    offset: int
    shift: int
    steps: int
    height: int
    is_even: bool = False
    start: int = 0

    @property
    def period(self) -> int:
        """By multiples of what all levels may be moved."""
        return 2 if self.is_even else 1

    def __call__(self, sums: Ints) -> Ints:
        """The line's values for sums whose products fit int64."""
        levels = rescale(self.multiplier * sums + self.offset, self.shift, "RND_CONV" if self.is_even else "TRN")
        return np.asarray(self.height * (np.clip(levels, self.start, self.start + self.steps) - self.start), np.int64)


@dataclass(frozen=True)
class Steps:
    """A staircase over ``low..high``: ``base`` at ``low``, then ``rises[i]`` more from the sum ``places[i]`` on."""

    low: int
    high: int
    base: int
    places: Ints
    rises: Ints

    @property
    def bottom(self) -> int:
        """The smallest value."""
        return self.base + int(min(0, np.cumsum(self.rises).min(initial=0)))

    @property
    def top(self) -> int:
        """The largest value."""
        return self.base + int(max(0, np.cumsum(self.rises).max(initial=0)))

    @property
    def falls(self) -> bool:
        """Whether it goes down somewhere."""
        return bool((self.rises < 0).any())

    def __call__(self, sums: Ints) -> Ints:
        """The staircase's values."""
        totals = np.concatenate([[0], np.cumsum(self.rises)])
        return np.asarray(self.base + totals[np.searchsorted(self.places, sums, side="right")], np.int64)


def steps_of_values(low: int, values: Ints) -> Steps:
    """The staircase with these values at ``low``, ``low + 1`` and so on."""
    rises = np.diff(values)
    places = np.flatnonzero(rises)
    return Steps(low, low + len(values) - 1, int(values[0]), low + 1 + places, rises[places])


def lines(steps: Steps, most: int) -> tuple[int, tuple[Line, ...]] | None:
    """A constant and the lines that add up to the staircase on ``low..high``; None if ``most`` are not enough.

    A staircase that only falls comes as lines of negative multipliers, so that all heights are positive.
    """
    if len(steps.rises) and (steps.rises < 0).all():
        mirrored = Steps(-steps.high, -steps.low, steps.top + int(steps.rises.sum()), 1 - steps.places[::-1],
                         -steps.rises[::-1])  # fmt: skip
        found = lines(mirrored, most)
        if found is None:
            return None
        return found[0], tuple(replace(line, multiplier=-line.multiplier) for line in found[1])
    made: list[Line] = []
    ends = steps.low, steps.high
    for first, last in _runs(steps.rises):
        places, rises = steps.places[first:last], np.abs(steps.rises[first:last])
        sign = 1 if steps.rises[first] > 0 else -1
        while len(places):
            if len(made) == most:
                return None
            line, count = _longest(places, rises, ends, sign)
            if count <= _COMPARISONS and _digits(line.multiplier) > count:  # comparisons are cheaper
                made += [_comparison(p, ends, sign * r) for p, r in zip(places[:count], rises[:count], strict=True)]
            else:
                made.append(line)
            places, rises = places[count:], rises[count:]
    return (steps.base, tuple(made)) if len(made) <= most else None


def comparisons(steps: Steps, most: int) -> tuple[int, tuple[Line, ...]] | None:
    """A constant and a comparison for every step, whose multipliers are 1; None if ``most`` are not enough."""
    if len(steps.places) > most:
        return None
    ends = steps.low, steps.high
    pairs = zip(steps.places.tolist(), steps.rises.tolist(), strict=True)
    return steps.base, tuple(_comparison(place, ends, rise) for place, rise in pairs)


def _runs(rises: Ints) -> list[tuple[int, int]]:
    """Ranges of indices over which the steps have one direction."""
    turns = (np.flatnonzero(np.diff(np.sign(rises))) + 1).tolist()
    return list(pairwise([0, *turns, len(rises)])) if len(rises) else []


def _longest(places: Ints, rises: Ints, ends: tuple[int, int], sign: int) -> tuple[Line, int]:
    """The line that takes the most of the first steps, and how many."""
    height, unit = int(rises[0]), int(np.gcd.reduce(rises))
    equal = int(np.argmax(rises != height)) or len(rises)
    count, line = _prefix(places[:equal], ends, sign * height)
    if unit < height or equal < len(rises):  # a line may also climb several units at once
        climbs = np.cumsum(rises // unit)
        reach, other = _prefix(np.repeat(places, rises // unit), ends, sign * unit)
        used = int(np.searchsorted(climbs, reach, side="right"))
        whole = int(climbs[used - 1]) if used else 0
        if used > count and whole < reach:  # it ends within a step
            found = _fit(np.repeat(places[:used], rises[:used] // unit), ends, sign * unit)
            assert found is not None, "what holds for more steps holds for fewer"
            other = found
        if used > count:
            return other, used
    return line, count


def _prefix(places: Ints, ends: tuple[int, int], height: int) -> tuple[int, Line]:
    """How many of the first steps one line takes, and that line."""
    best, line = 1, _comparison(places[0], ends, height)
    whole = _fit(places, ends, height)
    if whole is not None:
        return len(places), whole
    reach = 2
    while reach < len(places) and (found := _fit(places[:reach], ends, height)) is not None:
        best, line, reach = reach, found, 2 * reach
    fails = min(reach, len(places))
    while fails - best > 1:
        middle = (best + fails) // 2
        found = _fit(places[:middle], ends, height)
        if found is None:
            fails = middle
        else:
            best, line = middle, found
    return best, line


def _comparison(place: int, ends: tuple[int, int], height: int) -> Line:
    """One step; the shift is so large that nothing has to be clipped."""
    place = int(place)
    shift = max(place - ends[0], ends[1] - place + 1).bit_length()
    return Line(1, (1 << shift) - place, shift, 1, int(height))


def _fit(places: Ints, ends: tuple[int, int], height: int) -> Line | None:
    """One line for all of these steps of one ``height``, by a multiplier of few digits; None where none is found."""
    if (places == places[0]).all():
        return _comparison(places[0], ends, height * len(places))
    return _even(places, height) or _straight(places, height)


def _even(places: Ints, height: int) -> Line | None:
    """A line by a power of two, which rounds halves to even; None where the steps are not those of one."""
    count = len(places)
    for start in (0, 1):
        odd = (np.arange(1, count + 1) + start) % 2
        ties = places - odd  # where the quotient is a half
        span = int(ties[-1] - ties[0])
        width = span // (count - 1) if span > 0 else 0
        if width.bit_count() != 1 or not np.array_equal(ties, ties[0] + width * np.arange(count)):
            continue
        shift = width.bit_length() - 1
        if shift:  # v = start + 1/2 at the first tie
            return Line(1, (start << shift) + width // 2 - int(ties[0]), shift, count, height, True, start)
    return None


def _straight(places: Ints, height: int) -> Line | None:
    """A line between the steps, by a multiplier of few digits."""
    slopes = _slopes((places - places[0]).astype(np.float64))
    if slopes is None:
        return None
    for multiplier, shift in _multipliers(*slopes):
        offset = _offset(places, multiplier, shift)
        if offset is not None:
            return Line(multiplier, offset, shift, len(places), height)
    return None


def _slopes(places: NDArray[np.float64]) -> tuple[float, float] | None:
    """The open interval of slopes of lines that pass between the steps; None where it is empty.

    A line of slope ``a`` does if ``k - a * place[k]`` spans less than ``a`` over all ``k``: a convex condition.
    """
    numbers = np.arange(len(places), dtype=np.float64)

    def excess(slope: float) -> tuple[float, float]:
        rest = numbers - slope * places
        top, bottom = int(rest.argmax()), int(rest.argmin())
        return float(rest[top] - rest[bottom] - slope), float(places[bottom] - places[top] - 1)

    low, high = 0.0, float(len(places) + 1)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        value, gradient = excess(middle)
        if value < 0:
            return _edge(excess, middle, 0.0), _edge(excess, middle, float(len(places) + 1))
        low, high = (middle, high) if gradient < 0 else (low, middle)
    return None


def _edge(excess: Callable[[float], tuple[float, float]], inside: float, outside: float) -> float:
    """Where the condition stops holding between a slope that fulfils it and one that does not."""
    for _ in range(_ROUNDS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        inside, outside = (middle, outside) if excess(middle)[0] < 0 else (inside, middle)
    return inside


def _multipliers(low: float, high: float) -> list[tuple[int, int]]:
    """Multipliers and shifts whose quotient lies in the interval, those of few digits first."""
    found: list[tuple[int, int, int]] = []
    first = None
    for shift in range(_MAX_SHIFT):
        least, most = int(np.ceil(np.ldexp(low, shift))), int(np.floor(np.ldexp(high, shift)))
        least = max(least, 1)
        if most < least:
            continue
        first = shift if first is None else first
        if shift > first + _FINER:
            break
        step = max((most - least) // _TRIED, 1)
        found += [(_digits(m), m, shift) for m in range(least, most + 1, step)]
    return [(m, shift) for _, m, shift in sorted(found, key=lambda f: (f[0], f[2]))[:_TRIED]]


def _digits(value: int) -> int:
    """Non-zero canonical signed digits."""
    return (abs(value) ^ 3 * abs(value)).bit_count()


def _offset(places: Ints, multiplier: int, shift: int) -> int | None:
    """The offset of fewest digits with which the line makes its steps at these places; None where there is none."""
    products = [multiplier * int(p) for p in places]
    low = max((k << shift) - p for k, p in enumerate(products, start=1))
    high = min((k << shift) - p for k, p in enumerate(products, start=1)) + multiplier - 1
    if low > high:
        return None
    zeros = (low ^ high).bit_length()
    while zeros > 0 and -(-low >> zeros) << zeros > high:
        zeros -= 1
    return -(-low >> zeros) << zeros


def add_up(base: int, parts: Sequence[Line], sums: Ints) -> Ints:
    """What a constant and lines make of sums."""
    return np.asarray(base + sum((part(sums) for part in parts), np.zeros(len(sums), np.int64)), np.int64)
