"""A folding in words and figures: what was chosen for each layer and group, what bounds it, and its estimated cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from flow.folded.folding import Folding, GroupFold, LayerFold, Memory, group_cost, layer_cost
from flow.folded.search import fits
from flow.parts.catalog import Part


@dataclass(frozen=True)
class MemoryReport:
    """A group's weight memory; ``kind`` is ``block`` or ``distributed``."""

    depth: int
    width: int
    kind: str
    bram18: int
    lut: int


@dataclass(frozen=True)
class GroupReport:
    """A group's processing elements; ``busy`` is the share of the layer's folds in which they work."""

    coding: str
    neurons: int
    pe: int
    simd: int
    folds: int
    cycles: int
    multiplier: str
    bits_per_weight: float
    memory: MemoryReport
    busy: float
    lut: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class LayerReport:
    """A layer's folding; ``busy`` is the share of the interval in which it works."""

    name: str
    inputs: int
    inputs_per_cycle: int
    words: int
    folds: int
    cycles: int
    busy: float
    output_units: int
    buffer_vectors: int
    lut: int
    bram18: int
    dsp: int
    groups: tuple[GroupReport, ...]


@dataclass(frozen=True)
class Estimate:
    """The whole design's cost before synthesis, and whether it leaves the part room for routing."""

    lut: int
    bram18: int
    dsp: int
    fits: bool


@dataclass(frozen=True)
class FoldingReport:
    """A design's folding."""

    reason: str
    interval_cycles: int
    results_per_second: float
    memory_bits: int
    learned_bits: float
    estimate: Estimate
    layers: tuple[LayerReport, ...]


def explain(folding: Folding, part: Part, clock_period_ns: float) -> FoldingReport:
    """The choice: per layer and group what was chosen, what bounds it, and the estimated cost."""
    cost = folding.cost
    return FoldingReport(
        folding.reason,
        folding.interval,
        round(1e9 / (folding.interval * clock_period_ns), 1),
        folding.memory_bits,
        round(folding.learned_bits, 1),
        Estimate(round(cost.lut), cost.bram18, cost.dsp, fits(cost, part)),
        tuple(_layer(layer, folding.interval) for layer in folding.layers),
    )


def _layer(layer: LayerFold, interval: int) -> LayerReport:
    cost = layer_cost(layer)
    return LayerReport(
        name=layer.layer.name,
        inputs=len(layer.layer.inputs),
        inputs_per_cycle=layer.simd,
        words=layer.words,
        folds=layer.folds,
        cycles=layer.cycles,
        busy=round(layer.cycles / interval, 3),
        output_units=len(layer.lanes),
        buffer_vectors=layer.slots,
        lut=round(cost.lut),
        bram18=cost.bram18,
        dsp=cost.dsp,
        groups=tuple(_group(layer, g) for g in layer.groups),
    )


def _group(layer: LayerFold, g: GroupFold) -> GroupReport:
    memory = g.memory
    return GroupReport(
        coding=g.coding.label,
        neurons=len(g.units),
        pe=g.pe,
        simd=g.simd,
        folds=g.folds,
        cycles=g.folds * layer.words,
        multiplier="dsp" if g.dsp else "shift-add" if g.coding.kind == "signed" else "add/subtract",
        bits_per_weight=round(g.weight_bits, 3),
        memory=MemoryReport(memory.depth, memory.width, memory.kind, memory.bram18, round(memory.lut)),
        busy=round(g.folds / layer.folds, 3),
        lut=round(group_cost(g, layer.layer).lut),
        why=(_why_elements(layer, g), _why_memory(g.memory)),
    )


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
