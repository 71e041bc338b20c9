"""Contents of the folded architecture's memories: packed weights and per-neuron output parameters, as Verilog ROMs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints
from flow.emit.templates import render
from flow.folded.folding import GroupFold, LayerFold, Memory
from flow.parts.family import LUT_BITS, LUT_INPUTS

Bits = NDArray[np.uint8]
_PART = 256  # bits of a constant
_IN_SLICE = 4  # look-up tables, which its multiplexers join
_BLOCK = 32  # words per initial block: Yosys takes quadratic time in a block's length


# Yosys knows distributed memories only as RAM; `logic` is its word for a ROM in LUTs, which other tools ignore.
_STYLE = {"block": 'rom_style = "block"', "distributed": 'syn_romstyle = "logic"'}


def weight_rom(module: str, layer: LayerFold, group: GroupFold, luts: bool) -> str:
    """The ROM of one weight group: a word holds the weights of one step, element 0 and input 0 in the lowest bits."""
    words = weight_words(layer, group)
    notes = {}
    for fold in range(group.folds):
        turn, part = divmod(fold, group.slices)
        neurons = " ".join(str(u.neuron) for u in group.units[turn * group.pe : (turn + 1) * group.pe])
        which = f", part {part} of the words" if group.slices > 1 else ""
        notes[fold * layer.words] = f"fold {fold}{which}: neurons {neurons}"
    title = (
        f"Weights of layer {layer.layer.name}, group {group.coding.label}: {len(group.units)} neurons,"
        f" {group.pe} elements x {group.simd} inputs per word"
    )
    return rom(module, title, group.memory, words, notes, luts)


def rom(module: str, title: str, memory: Memory, words: Sequence[int], notes: dict[int, str], luts: bool) -> str:
    """A ROM as Verilog; ``notes`` are comments beside words. ``luts``: the part has LUT6, MUXF7 and MUXF8."""
    lines = []
    for i, word in enumerate(words):
        note = f"  // {notes[i]}" if i in notes else ""
        lines.append(f"memory[{i}] = {_constant(word, memory.width)};{note}")
    explicit = luts and memory.kind == "distributed" and memory.depth > LUT_BITS
    return render(
        "folded_rom.v.j2", module=module, title=title, depth=memory.depth, width=memory.width,
        style=_STYLE[memory.kind], address_bits=address_bits(memory.depth),
        blocks=[lines[k : k + _BLOCK] for k in range(0, len(lines), _BLOCK)],
        tables=_tables(words, memory.width, address_bits(memory.depth)) if explicit else [],
    )  # fmt: skip


def _tables(words: Sequence[int], width: int, address: int) -> list[str]:
    """Every bit of a word as look-up tables of 64 words, and what chooses among them."""
    lines = []
    for bit in range(width):
        column = sum((word >> bit & 1) << i for i, word in enumerate(words))
        tables = []
        for k in range(-(-len(words) // LUT_BITS)):
            content = column >> k * LUT_BITS & (1 << LUT_BITS) - 1
            pins = [f".I{i}(at[{i}])" for i in range(LUT_INPUTS)]
            tables.append(f"t{bit}_{k}")
            lines += _cell(f"LUT6 #(.INIT(64'h{content:016x}))", tables[-1], pins)
        found: list[str] = []
        for k in range(0, len(tables), _IN_SLICE):
            lines += _chosen(tables[k : k + _IN_SLICE], found)
        choice = found[-1]
        for k in range(len(found) - 2, -1, -1):
            choice = f"at[{address - 1}:8] == {k} ? {found[k]} : {choice}"
        lines.append(f"assign found[{bit}] = {choice};")
    return lines


def _chosen(tables: Sequence[str], found: list[str]) -> list[str]:
    """Cells that choose among the tables of a slice; the result's name goes to ``found``.

    A MUXF7 takes two tables, a MUXF8 two of these and nothing else.
    """
    lines, pairs = [], []
    for low, high in zip(tables[::2], tables[1::2], strict=False):
        pairs.append(f"p{low}")
        lines += _cell("MUXF7", pairs[-1], [f".I0({low})", f".I1({high})", ".S(at[6])"])
    if len(pairs) > 1:
        found.append(f"q{tables[0]}")
        lines += _cell("MUXF8", found[-1], [f".I0({pairs[0]})", f".I1({pairs[1]})", ".S(at[7])"])
    elif pairs and len(tables) > len(pairs) * 2:
        found.append(f"(at[7] ? {tables[-1]} : {pairs[0]})")
    else:
        found.append((pairs or list(tables))[0])
    return lines


def _cell(kind: str, output: str, pins: Sequence[str]) -> list[str]:
    """A primitive and the wire that it drives."""
    return [f"wire {output};", f"{kind} l_{output} (", f"    {', '.join(pins)}, .O({output})", ");"]


def _constant(word: int, width: int) -> str:
    """A word in hexadecimal; a long one is joined from parts, highest first, so that it fits several lines."""
    if width <= _PART:
        return f"{width}'h{word:0{-(-width // 4)}x}"
    low, rest = width // _PART * _PART, width % _PART
    parts = [_constant(word >> low, rest)] if rest else []
    parts += [_constant(word >> place & (1 << _PART) - 1, _PART) for place in range(low - _PART, -1, -_PART)]
    return "{" + ", ".join(parts) + "}"


def address_bits(depth: int) -> int:
    """Width of an address below ``depth``, at least 1."""
    return max((depth - 1).bit_length(), 1)


def weight_words(layer: LayerFold, group: GroupFold) -> list[int]:
    """The words of a group's weight memory, step by step."""
    order = np.array(layer.order, np.int64)
    turns = group.folds // group.slices
    table = np.zeros((turns * group.pe, len(order)), np.int64)
    columns = [u.column for u in group.units]
    table[: len(columns)] = np.where(order[None, :] >= 0, layer.layer.weights[order][:, columns].T, 0)
    parts = table.reshape(turns, group.pe, layer.words, group.slices, group.simd).transpose(0, 3, 2, 1, 4)
    steps = parts.reshape(group.folds * layer.words, group.pe * group.simd)
    bits = weight_code(steps, group.coding.kind, group.coding.bits)
    assert bits.shape == (group.memory.depth, group.memory.width)
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def weight_code(weights: Ints, kind: str, bits: int) -> Bits:
    """Stored bits (rows x bits, lowest first) of rows of weights."""
    if kind == "binary":
        return (weights < 0).astype(np.uint8)
    if kind == "signed":
        return _expand(weights, bits)
    whole = weights.shape[1] // 3 * 3
    trits = np.where(weights < 0, 2, weights)[:, :whole].reshape(len(weights), whole // 3, 3)
    triples = _expand(trits @ np.array([1, 3, 9], np.int64), 5)
    rest = weights[:, whole:]
    return np.concatenate([triples, _expand(np.where(rest < 0, 3, rest), 2)], axis=1)


def _expand(values: Ints, bits: int) -> Bits:
    """Low ``bits`` bits of every value, side by side."""
    expanded = values[:, :, None] >> np.arange(bits) & 1
    return expanded.astype(np.uint8).reshape(len(values), -1)
