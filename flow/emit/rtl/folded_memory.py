"""Contents of the folded architecture's memories: packed weights and per-neuron output parameters, as Verilog ROMs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints
from flow.emit.templates import render
from flow.folded.folding import GroupFold, LayerFold, Memory

Bits = NDArray[np.uint8]
_PART = 256  # bits of a constant
_BLOCK = 32  # words per initial block: Yosys takes quadratic time in a block's length


# Yosys knows distributed memories only as RAM; `logic` is its word for a ROM in LUTs, which other tools ignore.
_STYLE = {"block": 'rom_style = "block"', "distributed": 'syn_romstyle = "logic"'}


def weight_rom(module: str, layer: LayerFold, group: GroupFold) -> str:
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
    return rom(module, title, group.memory, words, notes)


def rom(module: str, title: str, memory: Memory, words: Sequence[int], notes: dict[int, str]) -> str:
    """A ROM as Verilog; ``notes`` are comments beside words."""
    lines = []
    for i, word in enumerate(words):
        note = f"  // {notes[i]}" if i in notes else ""
        lines.append(f"memory[{i}] = {_constant(word, memory.width)};{note}")
    return render(
        "folded_rom.v.j2", module=module, title=title, depth=memory.depth, width=memory.width,
        style=_STYLE[memory.kind], address_bits=address_bits(memory.depth),
        blocks=[lines[k : k + _BLOCK] for k in range(0, len(lines), _BLOCK)],
    )  # fmt: skip


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
