"""Proof that the emitted Verilog of a folded layer computes the design: exact algebra, no test vectors.

What is emitted is read back: memories word by word, which element of a vector meets which weight in the order in which
sequencer, buffers and output units walk, and each output's bias and format. For every output the sum's weights are
compared with the design's, row by row; its rounding and saturation with the design's for every value that the sum
can take; every width with the exact ranges. The small blocks that this stands on (``blocks``) are proved equal to their
definitions by SAT, see ``flow.folded.proof.blocks``. Clock-cycle alignment and handshakes are no part of it: those the
simulations test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flow.core.design import Design, Neuron
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Ints
from flow.core.ranges import accumulator_range
from flow.folded.folding import Folding, LayerFold
from flow.folded.proof.output_unit import Output
from flow.folded.proof.placement import Element, buffer_places, check_collected, input_places, operand
from flow.folded.proof.rtl_reader import Format, ReadGroup, ReadLane, ReadLayer, read_layer, signed

Range = tuple[int, int]


@dataclass(frozen=True, order=True)
class Block:
    """A parameterised module of the folded architecture, to be proved equal to its definition."""

    module: str
    parameters: tuple[tuple[str, int], ...]


def prove_folded(folding: Folding, files: Mapping[str, str], top: str) -> dict[str, tuple[Block, ...]]:
    """Prove the layers of an emitted design; gives, by layer, the blocks on whose own proof this rests.

    Raises DesignError naming layer, neuron and what differs.
    """
    design = folding.lowered.design
    ranges: Sequence[Range] = [(q.low, q.high) for q in design.inputs]
    sent: list[dict[int, Element]] = []  # by output unit: turn -> what it sends
    blocks: dict[str, tuple[Block, ...]] = {}
    for index, layer in enumerate(folding.layers):
        name = layer.layer.name
        read = read_layer(files, f"{top}_{name}")
        after = [_output_range(n, design.formats_into(index), ranges) for n in design.layers[index].neurons]
        places = input_places(read, design, ranges, name) if index == 0 else buffer_places(read, sent, name)
        walk = _Walk(design, index, layer, read, places, ranges)
        sent = walk.outputs(after)
        blocks[name] = tuple(sorted(_blocks(read)))
        ranges = after
    if folding.layers:
        check_collected(design, sent, ranges, files[f"{top}.v"], folding.layers[-1].layer.name)
    return blocks


def _blocks(read: ReadLayer) -> set[Block]:
    found = [("folded_control", read.control), *(("folded_pe", g.parameters) for g in read.groups.values())]
    found += [("folded_threshold", lane.parameters) for lane in read.lanes]
    found += [("folded_buffer", b.parameters) for b in read.buffers]
    found += [("folded_slices", p) for _, p in read.slice_parameters]
    found += [("folded_trits", {}) for g in read.groups.values() if g.parameters["KIND"] == 2]
    return {Block(module, tuple(sorted(parameters.items()))) for module, parameters in found}


def _output_range(neuron: Neuron, formats: Sequence[Fixed], ranges: Sequence[Range]) -> Range:
    """Exact range of a neuron's output mantissa."""
    low, high, frac = accumulator_range(neuron, tuple(formats), tuple(ranges))
    if neuron.output is None:
        assert neuron.accumulator is not None
        up = neuron.accumulator.frac - frac
        return (low << up, high << up) if up >= 0 else (low >> -up, high >> -up)
    return neuron.output.range_over(low, high, frac)


class _Walk:
    """Walks one layer as its sequencer does and proves what leaves it."""

    def __init__(
        self, design: Design, index: int, layer: LayerFold, read: ReadLayer, places: list[Element | None],
        ranges: Sequence[Range],
    ) -> None:  # fmt: skip
        self.design, self.index, self.layer, self.read, self.places = design, index, layer, read, places
        self.name, self.ranges, self.formats = layer.layer.name, ranges, design.formats_into(index)
        bits, x_signed = operand(read, self.name)
        for element in filter(None, places):
            low, high = (v << element.shift for v in element.range)
            least = -(1 << bits - 1) if x_signed else 0
            if low < least or high >= least + (1 << bits):
                what = f"element {element.index} of {low}..{high}"
                raise DesignError(f"layer {self.name}: {what} does not fit its {bits} bits")
        self.rows = {name: self._rows(name) for name in read.groups}

    def _rows(self, name: str) -> Ints:
        """Weights of every sum of a group (turn * elements + element) at every place of the words."""
        group, words = self.read.groups[name], self.read.control["WORDS"]
        found, slices = weights(group), group.slices
        steps, pe, simd = found.shape
        folds = steps // words
        if steps % (words * slices) or folds > self.read.control["FOLDS"] or words * slices * simd != len(self.places):
            raise DesignError(f"layer {self.name}, group {name}: {steps} words of weights do not match the sequence")
        parts = found.reshape(folds // slices, slices, words, pe, simd).transpose(0, 3, 2, 1, 4)
        return np.ascontiguousarray(parts.reshape(folds // slices * pe, words * slices * simd))

    def outputs(self, after: Sequence[Range]) -> list[dict[int, Element]]:
        """Prove every output that leaves; gives them by unit and turn."""
        drain, control = self.read.drain, self.read.control
        if self.read.turns != control["FOLDS"] * drain or drain > control["WORDS"]:
            raise DesignError(f"layer {self.name}: its sums do not leave in step with its folds")
        sent: list[dict[int, Element]] = []
        for number, lane in enumerate(self.read.lanes):
            if len(lane.rom.words) != self.read.turns:
                raise DesignError(f"layer {self.name}, output unit {number}: parameters for another number of turns")
            claimed = list(self.layer.arrivals(number))
            sent.append({})
            for turn, word in enumerate(lane.rom.words):
                code, unit = word & (1 << lane.code_bits) - 1, claimed[turn]
                if bool(code) != (unit is not None):
                    raise DesignError(f"layer {self.name}, output unit {number}: turn {turn} is not used as planned")
                if unit is not None and code:
                    align = self._prove(lane, turn, word >> lane.code_bits, lane.formats[code], unit.neuron)
                    sent[-1][turn] = Element(unit.neuron, align, after[unit.neuron])
        return sent

    def _prove(self, lane: ReadLane, turn: int, bias: int, form: Format, neuron: int) -> int:
        """Prove one output equal to a neuron of the design; gives how far it is shifted."""
        fold, place = divmod(turn, self.read.drain)
        where = f"layer {self.name}, neuron {neuron}: the emitted hardware"
        name, element = lane.choices.get(place, ("", 0))
        group = self.read.groups.get(name)
        if group is None or element >= group.pe or fold % group.slices != group.slices - 1:
            raise DesignError(f"{where} sends a sum that is not finished")
        number = fold // group.slices * group.pe + element
        if number >= len(self.rows[name]):
            raise DesignError(f"{where} sends a sum that no weights belong to")
        row = self.rows[name][number]
        spec = self.design.layers[self.index].neurons[neuron]
        scale, constant, sums = self._compare_weights(row, spec, where)
        half = 1 << group.parameters["SUM_BITS"] - 1
        if sums[0] < -half or sums[1] >= half or group.parameters["SUM_BITS"] > lane.parameters["SUM_BITS"]:
            raise DesignError(f"{where} has too narrow a sum for {sums[0]}..{sums[1]}")
        output = Output(lane.parameters, signed(bias, lane.parameters["BIAS_BITS"]), form)
        fault = output.too_narrow(sums) or output.differs(spec, scale, constant, sums)
        if fault:
            raise DesignError(f"{where} {fault}")
        return form.align

    def _compare_weights(self, row: Ints, neuron: Neuron, where: str) -> tuple[int, int, Range]:
        """The design's sum is ``s * 2**scale + constant`` on its grid: the last two, and the range of ``s``."""
        assert neuron.accumulator is not None
        grid = neuron.accumulator.frac
        found: dict[int, int] = {}
        low = high = 0
        for place in np.flatnonzero(row).tolist():
            element, weight = self.places[place], int(row[place])
            if element is None:
                continue  # nothing is ever written there: it stays 0
            found[element.index] = found.get(element.index, 0) + (weight << element.shift)
            ends = sorted(weight * (v << element.shift) for v in element.range)
            low, high = low + ends[0], high + ends[1]
        constant = neuron.bias << grid - neuron.bias_frac if neuron.bias else 0
        expected = {}
        for i, (weight, fmt, (least, most)) in enumerate(zip(neuron.weights, self.formats, self.ranges, strict=True)):
            lift = grid - fmt.frac - neuron.weight_frac
            if weight and least == most:
                constant += weight * least << lift if least else 0
                found.pop(i, None)
            elif weight:
                expected[i] = weight << lift
        found = {i: w for i, w in found.items() if w}
        if not expected or found.keys() != expected.keys():
            raise DesignError(f"{where} weighs other inputs")
        some = next(iter(expected))
        scale = _twos(expected[some]) - _twos(found[some])
        if any(expected[i] << max(-scale, 0) != w << max(scale, 0) for i, w in found.items()):
            raise DesignError(f"{where} weighs the inputs differently")
        return scale, constant, (low, high)


def _twos(value: int) -> int:
    """How often 2 divides a number."""
    return (value & -value).bit_length() - 1


def weights(group: ReadGroup) -> Ints:
    """The weights of a memory, as ``folded_trits`` and ``folded_pe`` take them: words x elements x inputs."""
    count = group.pe * group.parameters["SIMD"]
    kind, bits = group.parameters["KIND"], group.parameters["WEIGHT_BITS"]
    width = {1: count, 2: 5 * (count // 3) + 2 * (count % 3), 3: bits * count}[kind]
    if group.rom.width != width or bits != {1: 1, 2: 2, 3: bits}[kind]:
        raise DesignError(f"group {group.name}: a word of {group.rom.width} bits cannot hold {count} weights")
    data = b"".join(word.to_bytes((width + 7) // 8, "little") for word in group.rom.words)
    octets = np.frombuffer(data, np.uint8).reshape(len(group.rom.words), -1)
    stored = np.unpackbits(octets, axis=1, bitorder="little")[:, :width].astype(np.int64)
    if kind == 1:
        found = 1 - 2 * stored
    elif kind == 3:
        found = _numbers(stored, bits)
        found = found - (found >> (bits - 1) << bits)
    else:
        whole = count // 3
        codes = _numbers(stored[:, : 5 * whole], 5)
        rest = _numbers(stored[:, 5 * whole :], 2)
        if (codes > 26).any() or (rest == 2).any():
            raise DesignError(f"group {group.name}: a code in the memory stands for no ternary weights")
        trits = (codes[:, :, None] // np.array([1, 3, 9])) % 3
        found = np.concatenate([np.array([0, 1, -1])[trits].reshape(len(codes), -1), np.array([0, 1, 0, -1])[rest]], 1)
    return np.asarray(found.reshape(len(stored), group.pe, -1), np.int64)


def _numbers(stored: Ints, bits: int) -> Ints:
    return np.asarray(stored.reshape(len(stored), -1, bits) @ (1 << np.arange(bits, dtype=np.int64)), np.int64)
