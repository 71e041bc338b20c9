"""Chooses a folding for a part: the cheapest for an interval or a rate, or the fastest that fits."""

from __future__ import annotations

from dataclasses import replace

from flow.core.errors import DesignError
from flow.folded.allocate import fold
from flow.folded.folding import Cost, Folding, Prices
from flow.folded.lowering import Lowered
from flow.parts.catalog import Part

USABLE_LUT = 0.7  # of the part: beyond it, routing gets hard
_USABLE_MEMORY = 0.95
_SPARED = 0.75  # of the LUTs: DSP blocks that spare more are worth a word
_DSP_PRICES = 32.0  # times the usual one: from the first to the last group that leaves the DSP blocks lie less


def fits(cost: Cost, part: Part) -> bool:
    """Whether an estimated cost leaves the part the room that routing needs."""
    return (
        cost.lut <= USABLE_LUT * part.lut
        and cost.bram18 <= _USABLE_MEMORY * part.bram18
        and cost.dsp <= _USABLE_MEMORY * part.dsp
    )


def interval_for(results_per_second: float, clock_period_ns: float) -> int:
    """The longest interval in cycles that still gives so many results per second."""
    interval = int(1e9 / clock_period_ns / results_per_second)
    if interval < 1:
        raise DesignError(
            f"{results_per_second:g} results per second need more than one result per {clock_period_ns:g} ns clock;"
            " ask for fewer, or for a shorter --clock-period-ns"
        )
    return interval


def smallest(lowered: Lowered, part: Part, interval: int, dsp: int | None = None) -> Folding:
    """The cheapest folding found within ``interval`` cycles per vector that fits; the cheapest at all if none fits.

    ``dsp`` DSP blocks at most take the products for which LUTs cost most; None: only where LUTs are too few. LUTs,
    block RAMs and DSP blocks are weighed by how scarce they are on the part, then once more with one of them made
    dearer, so that a full block RAM moves weights into LUTs and the other way round.
    """
    base = Prices(1 / max(part.lut, 1), 1 / max(part.bram18, 1), 1 / max(part.dsp, 1))
    tries = [
        (base, False, "weighed by what is scarce on the part"),
        (replace(base, bram18=4 * base.bram18), False, "block RAM is scarce: small memories lie in LUTs"),
        (replace(base, lut=4 * base.lut), False, "LUTs are scarce: memories lie in block RAM"),
        (replace(base, lut=4 * base.lut), True, "LUTs are scarce: wide products use DSP blocks"),
    ]
    first: Folding | None = None
    for prices, by_dsp, why in tries if dsp is None else tries[:-1]:
        if dsp is None:
            found = fold(lowered, interval, prices, by_dsp)
        else:
            found, why = _within_blocks(lowered, interval, prices, dsp), f"{why}; at most {dsp} DSP blocks"
        found = replace(found, reason=f"cheapest within {interval} cycles per vector; {why}")
        if fits(found.cost, part):
            return found
        first = first or found
    assert first is not None
    return replace(first, reason=f"cheapest within {interval} cycles per vector; it exceeds what the part offers")


def _within_blocks(lowered: Lowered, interval: int, prices: Prices, most: int) -> Folding:
    """The cheapest folding found that takes at most so many DSP blocks, whose price rises until it does."""
    low, high = prices.dsp / _DSP_PRICES, prices.dsp * _DSP_PRICES
    best = fold(lowered, interval, prices)
    if not most:
        return best
    for price in (low, *(low * (high / low) ** (k / 8) for k in range(1, 9))):
        found = fold(lowered, interval, replace(prices, dsp=price), dsp=True)
        if found.cost.dsp <= most:
            return found if found.cost.lut < best.cost.lut else best
    return best


def in_blocks(folding: Folding, part: Part) -> Cost | None:
    """What the same interval would cost with the part's idle DSP blocks; None where that spares few LUTs."""
    idle = int(_USABLE_MEMORY * part.dsp)
    if folding.cost.dsp or not idle:
        return None
    found = smallest(folding.lowered, part, folding.interval, idle).cost
    return found if found.lut <= _SPARED * folding.cost.lut else None


def fastest(lowered: Lowered, part: Part, dsp: int | None = None) -> Folding:
    """The folding with the shortest interval found that fits the part, by halving the range of intervals.

    ``dsp`` as in `smallest`. Raises DesignError where not even one processing element per group fits.
    """
    slowest = max((len(la.inputs) * len(la.units) for la in lowered.layers), default=1)
    best = smallest(lowered, part, slowest, dsp)
    if not fits(best.cost, part):
        raise DesignError(
            f"the design does not fit {part.device} even folded: about {best.cost.lut:.0f} of {part.lut} LUTs and"
            f" {best.cost.bram18} of {part.bram18} block RAMs; choose a larger --part or train with fewer bits"
        )
    low, high = 1, best.interval
    while high - low > max(low // 12, 1):  # within 8 %
        middle = (low * high) ** 0.5
        interval = min(max(round(middle), low + 1), high - 1)
        try:
            found: Folding | None = smallest(lowered, part, interval, dsp)
        except DesignError:
            found = None
        if found is not None and fits(found.cost, part):
            best, high = found, min(found.interval, interval)
        else:
            low = interval
    return replace(best, reason=f"fastest that fits {part.device}: {best.reason}")
