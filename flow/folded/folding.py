"""A folding as data: memories, weight groups, layers and what they are estimated to take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flow.core.fixed import bits_for
from flow.folded.lowering import Coding, Lowered, LoweredLayer, Unit
from flow.parts.family import BLOCK_SHAPES, LUT_BITS

QUANTIZE_CYCLES = 3  # of folded_threshold.v
THRESHOLD_CYCLES = 2 + QUANTIZE_CYCLES  # from a finished sum, past the memory of its parameters, to its output's write
TREE_STAGE = 2  # adder levels between registers
PRODUCT_DEPTH = 2  # rows of a product that follow each other (``DEPTH`` of ``folded_product.v``)


@dataclass(frozen=True)
class Memory:
    """A read-only memory: words, bits per word, ``block`` or ``distributed``, and what it takes."""

    depth: int
    width: int
    kind: str

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.depth * self.width

    @property
    def bram18(self) -> int:
        """18 Kb block RAMs: the best shape, short rows side by side in one block."""
        if self.kind != "block":
            return 0
        return min(math.ceil(math.ceil(self.depth / d) * self.width / w) for d, w in BLOCK_SHAPES)

    @property
    def lut(self) -> int:
        """LUTs of a memory in LUTs, with the multiplexers beyond the 256 words of a slice."""
        if self.kind == "block":
            return self.width * (math.ceil(self.depth / 8192) - 1)
        return self.width * (math.ceil(self.depth / LUT_BITS) + math.ceil((math.ceil(self.depth / 256) - 1) / 2))


@dataclass(frozen=True)
class GroupFold:
    """One weight group: ``simd`` of the inputs that the layer reads per cycle, in ``slices`` folds per neuron.

    In each of these folds a processing element takes another part of every word. Unit ``i`` is computed by element
    ``i % pe``, and finished in fold ``(i // pe + 1) * slices - 1``.
    """

    coding: Coding
    units: tuple[Unit, ...]
    pe: int
    simd: int
    memory: Memory
    dsp: bool = False
    slices: int = 1

    @property
    def folds(self) -> int:
        """Folds this group needs."""
        return math.ceil(len(self.units) / self.pe) * self.slices

    @property
    def product_stage(self) -> int:
        """1 where products get a register of their own."""
        return int(self.coding.kind == "signed")

    @property
    def sum_cycles(self) -> int:
        """From a step to the sum that includes it: address, memory, word, products, tree, accumulator."""
        levels = (self.simd - 1).bit_length()
        return 4 + self.product_stage + max(levels - 1, 0) // TREE_STAGE

    @property
    def sum_bits(self) -> int:
        """Accumulator width: the largest exact sum of the group."""
        return max(bits_for(min(u.sum_range[0], -1), max(u.sum_range[1], 1))[1] for u in self.units)

    @property
    def weight_bits(self) -> float:
        """Bits of memory per weight."""
        return self.memory.width / (self.pe * self.simd)


@dataclass(frozen=True)
class LayerFold:
    """One folded layer. ``order`` lists the input position (or -1) of every place of the buffer, word by word.

    ``lanes`` are the output units; each serves the (group, element) pairs listed, in that order, once per fold.
    ``banks`` are the input buffer's memories per lane of the layer before; ``slots`` vectors fit into it.
    """

    layer: LoweredLayer
    simd: int
    words: int
    folds: int
    groups: tuple[GroupFold, ...]
    lanes: tuple[tuple[tuple[int, int], ...], ...]
    order: tuple[int, ...]
    banks: tuple[int, ...]
    slots: int = 1
    release: int = 0

    @property
    def cycles(self) -> int:
        """Cycles per vector."""
        return self.words * self.folds

    @property
    def drain(self) -> int:
        """Cycles per fold in which finished sums leave; at most ``words``."""
        return max(len(lane) for lane in self.lanes)

    @property
    def sum_cycles(self) -> int:
        """From a step to the sums that include it; quicker groups start later."""
        return max(g.sum_cycles for g in self.groups)

    @property
    def first_write(self) -> int:
        """Cycles from start to the first output's write."""
        return self.words + self.sum_cycles + THRESHOLD_CYCLES

    @property
    def latency(self) -> int:
        """Cycles from a vector's start here to the earliest start of the next layer."""
        return self.cycles + self.sum_cycles + self.drain + THRESHOLD_CYCLES

    def arrivals(self, lane: int) -> Iterator[Unit | None]:
        """What a lane's output unit handles, fold by fold; None where an element has no neuron left."""
        for fold in range(self.folds):
            for place in range(self.drain):
                unit = None
                if place < len(self.lanes[lane]):
                    number, pe = self.lanes[lane][place]
                    group = self.groups[number]
                    turn, part = divmod(fold, group.slices)
                    index = turn * group.pe + pe
                    unit = group.units[index] if part == group.slices - 1 and index < len(group.units) else None
                yield unit


@dataclass(frozen=True)
class Cost:
    """Estimated resources."""

    lut: float = 0.0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.lut + other.lut, self.bram18 + other.bram18, self.dsp + other.dsp)


@dataclass(frozen=True)
class Prices:
    """What one LUT, one block RAM and one DSP block cost: the scarcer, the dearer."""

    lut: float
    bram18: float
    dsp: float

    def of(self, cost: Cost) -> float:
        """The price of a cost."""
        return cost.lut * self.lut + cost.bram18 * self.bram18 + cost.dsp * self.dsp


@dataclass(frozen=True, eq=False)
class Folding:
    """The folding of a whole design, its steady interval in cycles, its estimated cost and why it was chosen."""

    lowered: Lowered
    layers: tuple[LayerFold, ...]
    interval: int
    cost: Cost
    reason: str = ""

    @property
    def memory_bits(self) -> int:
        """Bits of weight memory."""
        return sum(g.memory.bits for la in self.layers for g in la.groups)

    @property
    def learned_bits(self) -> float:
        """Computed weights times the width their neurons learned: what the memory should not exceed by much."""
        return sum(u.learned_bits * len(la.layer.inputs) for la in self.layers for u in la.layer.units)


def word_bits(coding: Coding, weights: int) -> int:
    """Bits of a memory word of so many weights; three ternary weights take five bits."""
    if coding.kind == "ternary":
        return 5 * (weights // 3) + 2 * (weights % 3)
    return coding.bits * weights


# LUTs of the parts of a layer, fitted to what Yosys 0.70 made of the parts of eight folded networks: seven of 2,300 to
# 10,200 LUTs are met within 5 %, one of 41,800 within 10 %.
_SEQUENCE = 60.0
_OUTPUT_UNIT = 100.0  # bias, rounding and saturation
_PARAMETER_BIT = 1.5 / 64  # a neuron's bias and format, beside its sum's bits
_PARAMETER_EXTRA = 4
_INPUT_BIT = 1 / 2  # of the input register: chosen in two cycles, so with registers between
_BUFFER_BIT = 2.8  # of a buffer's word, for 64 words: two ports, and the choice among memories
_ROW_EXTRA = 3  # of a row of a product, beside the longer operand's bits
_STACK_EXTRA = 6  # of the sum of two stacks of rows
_LUT_BIT = 1.5  # more for every bit per cycle that comes from LUTs rather than from a block RAM's register
_SLICE = 1.5


def layer_cost(fold: LayerFold) -> Cost:
    """Estimated resources of one layer, with the buffer it reads from."""
    bits = max(g.sum_bits for g in fold.groups) + _PARAMETER_EXTRA
    unit = _PARAMETER_BIT * fold.folds * fold.drain * bits + (_OUTPUT_UNIT if fold.layer.quantizes else 0.0)
    total = Cost(_SEQUENCE + len(fold.lanes) * unit)
    for group in fold.groups:
        total += group_cost(group, fold.layer)
    depth = fold.words * fold.slots
    word = math.ceil(depth / 64) * _BUFFER_BIT if fold.banks else depth * _INPUT_BIT
    return total + Cost(fold.simd * fold.layer.lane.bits * word)


def group_cost(group: GroupFold, layer: LoweredLayer) -> Cost:
    """Resources of a group's memory and elements, of choosing its parts of the words and its finished sums."""
    luts = group.memory.lut + group.pe * _element_luts(group, layer.lane.bits + (not layer.lane.signed))
    luts += group.pe * group.sum_bits / 4
    if group.memory.kind == "distributed":
        luts += _LUT_BIT * group.memory.width
    if group.slices > 1:
        luts += _SLICE * (group.simd * layer.lane.bits * math.ceil((group.slices - 1) / 3) + 6)
    return Cost(luts, group.memory.bram18, group.pe * group.simd if group.dsp else 0)


def _element_luts(group: GroupFold, x_bits: int) -> float:
    """LUTs of one processing element: leaves, adder tree and accumulator."""
    luts, count, bits = float(group.sum_bits), group.simd, x_bits
    if group.coding.kind == "signed":
        luts += 0 if group.dsp else group.simd * _product_luts(x_bits, group.coding.bits)
        bits += group.coding.bits
    elif group.simd > 1:
        luts += group.simd / 2 * bits
    while count > 1:
        bits += 1
        luts += (count // 2) * bits
        count = (count + 1) // 2
    return luts


def product_rows(x_bits: int, weight_bits: int) -> tuple[int, int]:
    """Rows of a product in LUTs, and stacks of them, as ``folded_product.v`` makes it."""
    rows = math.ceil(min(x_bits, weight_bits) / 2)
    return rows, math.ceil(rows / PRODUCT_DEPTH)


def _product_luts(x_bits: int, weight_bits: int) -> float:
    rows, stacks = product_rows(x_bits, weight_bits)
    longer = max(x_bits, weight_bits)
    return rows * (longer + _ROW_EXTRA) + (stacks - 1) * (longer + _STACK_EXTRA)
