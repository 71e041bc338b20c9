"""Chooses a folding for a part: the cheapest for an interval or a rate, or the fastest that fits, and says why."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from flow.core.errors import DesignError
from flow.folded.allocate import fold
from flow.folded.folding import Cost, Folding, GroupFold, LayerFold, Memory, Weights, group_cost, layer_cost
from flow.folded.lowering import Lowered
from flow.parts.catalog import Part

_USABLE_LUT = 0.7  # of the part: beyond it, routing gets hard
_USABLE_MEMORY = 0.95


def fits(cost: Cost, part: Part) -> bool:
    """Whether an estimated cost leaves the part the room that routing needs."""
    return (
        cost.lut <= _USABLE_LUT * part.lut
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


def smallest(lowered: Lowered, part: Part, interval: int) -> Folding:
    """The cheapest folding found within ``interval`` cycles per vector that fits; the cheapest at all if none fits.

    LUTs, block RAMs and DSP blocks are weighed by how scarce they are on the part, then once more with one of them
    made dearer, so that a full block RAM moves weights into LUTs and the other way round.
    """
    base = Weights(1 / max(part.lut, 1), 1 / max(part.bram18, 1), 1 / max(part.dsp, 1))
    tries = [
        (base, False, "weighed by what is scarce on the part"),
        (replace(base, bram18=4 * base.bram18), False, "block RAM is scarce: small memories lie in LUTs"),
        (replace(base, lut=4 * base.lut), False, "LUTs are scarce: memories lie in block RAM"),
        (replace(base, lut=4 * base.lut), True, "LUTs are scarce: wide products use DSP blocks"),
    ]
    first: Folding | None = None
    for weights, dsp, why in tries:
        found = fold(lowered, interval, weights, dsp)
        found = replace(found, reason=f"cheapest within {interval} cycles per vector; {why}")
        if fits(found.cost, part):
            return found
        first = first or found
    assert first is not None
    return replace(first, reason=f"cheapest within {interval} cycles per vector; it exceeds what the part offers")


def fastest(lowered: Lowered, part: Part) -> Folding:
    """The folding with the shortest interval found that fits the part, by halving the range of intervals.

    Raises DesignError where not even one processing element per group fits.
    """
    slowest = max((len(la.inputs) * len(la.units) for la in lowered.layers), default=1)
    best = smallest(lowered, part, slowest)
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
            found: Folding | None = smallest(lowered, part, interval)
        except DesignError:
            found = None
        if found is not None and fits(found.cost, part):
            best, high = found, min(found.interval, interval)
        else:
            low = interval
    return replace(best, reason=f"fastest that fits {part.device}: {best.reason}")


def explain(folding: Folding, part: Part, clock_period_ns: float) -> dict[str, Any]:
    """The choice as report data: per layer and group what was chosen, what bounds it, and the estimated cost."""
    layers = []
    for layer in folding.layers:
        cost = layer_cost(layer)
        layers.append(
            {
                "name": layer.layer.name,
                "inputs": len(layer.layer.inputs),
                "inputs_per_cycle": layer.simd,
                "words": layer.words,
                "folds": layer.folds,
                "cycles": layer.cycles,
                "busy": round(layer.cycles / folding.interval, 3),
                "output_units": len(layer.lanes),
                "buffer_vectors": layer.slots,
                "lut": round(cost.lut),
                "bram18": cost.bram18,
                "dsp": cost.dsp,
                "groups": [_group(layer, g) for g in layer.groups],
            }
        )
    return {
        "reason": folding.reason,
        "interval_cycles": folding.interval,
        "results_per_second": round(1e9 / (folding.interval * clock_period_ns), 1),
        "memory_bits": folding.memory_bits,
        "learned_bits": round(folding.learned_bits, 1),
        "estimate": {"lut": round(folding.cost.lut), "bram18": folding.cost.bram18, "dsp": folding.cost.dsp,
                     "fits": fits(folding.cost, part)},
        "layers": layers,
    }  # fmt: skip


def _group(layer: LayerFold, g: GroupFold) -> dict[str, Any]:
    multiplier = "dsp" if g.dsp else "shift-add" if g.coding.kind == "signed" else "add/subtract"
    return {
        "coding": g.coding.label,
        "neurons": len(g.units),
        "pe": g.pe,
        "simd": g.simd,
        "folds": g.folds,
        "cycles": g.folds * layer.words,
        "multiplier": multiplier,
        "bits_per_weight": round(g.weight_bits, 3),
        "memory": {
            "depth": g.memory.depth, "width": g.memory.width, "kind": g.memory.kind, "bram18": g.memory.bram18,
            "lut": round(g.memory.lut),
        },
        "busy": round(g.folds / layer.folds, 3),
        "lut": round(group_cost(g, layer.layer).lut),
        "why": [_why_elements(layer, g), _why_memory(g.memory)],
    }  # fmt: skip


def _why_elements(layer: LayerFold, g: GroupFold) -> str:
    neurons = _count(len(g.units), "neuron")
    turns = layer.folds // g.slices
    if g.slices == 1:
        return f"{neurons} in {_count(turns, 'fold')} at most"
    whole = math.ceil(len(g.units) / layer.folds) * layer.simd
    return (
        f"{neurons} in {_count(turns, 'turn')} of {g.slices} folds at most: {_count(g.pe * g.simd, 'product')}"
        f" per cycle rather than {whole} with all {layer.simd} inputs"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _why_memory(memory: Memory) -> str:
    block, luts = replace(memory, kind="block"), replace(memory, kind="distributed")
    blocks = _count(block.bram18, "block RAM")
    count = f"about {luts.lut:.0f} LUTs"
    chosen, other = (blocks, count) if memory.kind == "block" else (count, blocks)
    return f"{memory.bits:,} bits: {chosen} rather than {other}"
