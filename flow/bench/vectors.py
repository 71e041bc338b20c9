"""Test vectors, and their packed forms: little-endian 32-bit words and hex lines. Vectorized, deterministic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flow.bench.description import Element, total_bits
from flow.core.design import Design
from flow.core.errors import DataError
from flow.core.fixed import Ints, Quantizer

Words = NDArray[np.uint32]

_NORMAL = float(np.finfo(np.float32).tiny)
_TINIEST = [0.0, 1e-45, 1e-40, _NORMAL * (1 - 2.0**-23), _NORMAL, _NORMAL * (1 + 2.0**-23), 1e-37, 1e-30]
_HUGE = [1e4, 1e10, 1e30, float(np.finfo(np.float32).max), np.inf]
_ROWS = 4096  # packed at a time: keeps the working set in the cache and the memory bounded


def make_vectors(design: Design, count: int, data: Ints | None = None, seed: int = 0) -> Ints:
    """Exactly ``count`` input vectors (count x inputs): corners first, then rows of ``data``, then seeded random ones.

    Corners take at most a quarter (but five where there is room), data at most two thirds of the rest. Every mantissa
    lies in its input quantizer's range. Raises DataError if a mantissa of ``data`` does not.
    """
    low = np.array([q.low for q in design.inputs], np.int64)
    high = np.array([q.high for q in design.inputs], np.int64)
    corner = corners(low, high, min(count, max(5, count // 4)))
    rest = count - len(corner)
    rows = np.zeros((0, len(low)), np.int64) if data is None else _checked(data, low, high)[: rest - rest // 3]
    return np.concatenate([corner, rows, random_vectors(low, high, rest - len(rows), seed)])


def corners(low: Ints, high: Ints, budget: int) -> Ints:
    """At most ``budget`` corner vectors: all minima, maxima, zeros, alternating both ways, then one-hot extremes."""
    elements = len(low)
    zero = np.clip(0, low, high)
    odd = np.arange(elements) % 2 == 1
    base = np.array([low, high, np.where(odd, high, low), np.where(odd, low, high), zero], np.int64)
    hot = max(0, min(2 * elements, budget - len(base)))
    one_hot = np.repeat(zero[None, :], hot, axis=0)
    # Both extremes of an element stand together, and elements are spread evenly when not all fit.
    element = (np.arange(hot) // 2) * max(1, elements // max(1, (hot + 1) // 2)) % max(1, elements)
    phase = np.arange(hot) % 2 == 0
    if hot:
        one_hot[np.arange(hot), element] = np.where(phase, high[element], low[element])
    return np.concatenate([base[:budget], one_hot])


def random_vectors(low: Ints, high: Ints, count: int, seed: int) -> Ints:
    """``count`` seeded vectors, uniform over ``low..high``; every fourth one picks extremes only (long carries)."""
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, size=(count, len(low)), endpoint=True, dtype=np.int64)
    extreme = values[3::4]
    extreme[...] = np.where(rng.integers(0, 2, size=extreme.shape, dtype=np.int8) == 1, high, low)
    return values


def off_grid(quantizers: Sequence[Quantizer], count: int, seed: int) -> NDArray[np.float32]:
    """``count`` seeded rows of floats that test reading, rounding and saturation of inputs (count x inputs).

    Every element is by chance a tie, a step or a number just beside one, anything in and around the range, a small part
    of a step, near or below float32's smallest normal number, a zero of either sign, huge or, where inputs saturate,
    infinite; never NaN.
    """
    rng, shape = np.random.default_rng(seed), (count, len(quantizers))
    low, high, step = (
        np.array(column, np.float64)
        for column in zip(*((q.low, q.high, 2.0**-q.format.frac) for q in quantizers), strict=True)
    )
    place = rng.uniform(low - 3, high + 3, shape)
    turns = np.array([q.wraps for q in quantizers]) * (high - low + 1)
    place = place + rng.integers(-2, 3, shape) * turns if turns.any() else place
    with np.errstate(over="ignore", under="ignore"):
        edge = ((np.floor(2 * place) / 2) * step).astype(np.float32)  # ties and steps
        small = rng.choice((-1, 1), shape) * step * 2.0 ** -rng.uniform(1, 60, shape)
        kinds = (
            edge,
            np.nextafter(edge, np.float32(-np.inf)),
            np.nextafter(edge, np.float32(np.inf)),
            (place * step).astype(np.float32),
            small.astype(np.float32),
            rng.choice(np.array(_TINIEST + [-v for v in _TINIEST], np.float32), shape),
            rng.choice(np.array(_HUGE + [-v for v in _HUGE], np.float32), shape),
        )
    values = np.asarray(np.choose(rng.integers(0, len(kinds), shape), kinds), np.float32)
    finite = np.array([q.wraps for q in quantizers]) & np.isinf(values)
    return np.where(finite, np.copysign(np.finfo(np.float32).max, values), values)


def pack(values: Ints, elements: tuple[Element, ...]) -> Words:
    """Pack integers (vectors x elements) into little-endian words (vectors x words); at least one word per vector."""
    count = len(values)
    words = np.zeros((count, word_count(elements)), np.uint32)
    for start in range(0, count, _ROWS):
        columns = np.ascontiguousarray(values[start : start + _ROWS].T).view(np.uint64)
        packed = np.zeros((words.shape[1], columns.shape[1]), np.uint32)
        for index, word, shift, take, done in _pieces(elements):
            part = (columns[index] >> np.uint64(done)) & np.uint64((1 << take) - 1)
            packed[word] |= (part << np.uint64(shift)).astype(np.uint32)
        words[start : start + _ROWS] = packed.T
    return words


def unpack(words: Words, elements: tuple[Element, ...]) -> Ints:
    """The inverse of ``pack``: integers (vectors x elements), sign extended where the element is signed."""
    count = len(words)
    values = np.zeros((count, len(elements)), np.int64)
    for start in range(0, count, _ROWS):
        columns = np.ascontiguousarray(words[start : start + _ROWS].T)
        raw = np.zeros((len(elements), columns.shape[1]), np.uint64)
        for index, word, shift, take, done in _pieces(elements):
            part = (columns[word] >> np.uint32(shift)) & np.uint32((1 << take) - 1)
            raw[index] |= part.astype(np.uint64) << np.uint64(done)
        signed = raw.view(np.int64)
        for index, element in enumerate(elements):
            if element.signed and element.bits:
                spare = np.int64(64 - element.bits)
                signed[index] = (signed[index] << spare) >> spare
        values[start : start + _ROWS] = signed.T
    return values


def word_count(elements: tuple[Element, ...]) -> int:
    """32-bit words per packed vector, at least one."""
    return max(1, -(-total_bits(elements) // 32))


def to_hex(words: Words) -> str:
    """One line per vector: the whole port as a hexadecimal number, most significant digit first."""
    digits = 8 * words.shape[1]
    text = np.ascontiguousarray(words.astype("<u4").view(np.uint8)[:, ::-1]).tobytes().hex()
    return "".join(f"{text[i : i + digits]}\n" for i in range(0, len(text), digits))


def from_hex(text: str) -> Words:
    """The inverse of ``to_hex``. Raises DataError if a line is not of the length of the first."""
    lines = text.split()
    digits = len(lines[0]) if lines else 8
    if digits % 8 or any(len(line) != digits for line in lines):
        raise DataError("vector lines differ in length or are not whole 32-bit words; write them again")
    raw = np.frombuffer(bytes.fromhex("".join(lines)), np.uint8).reshape(len(lines), digits // 2)
    return np.ascontiguousarray(raw[:, ::-1]).view("<u4").astype(np.uint32)


def _pieces(elements: tuple[Element, ...]) -> Iterator[tuple[int, int, int, int, int]]:
    """(element, word, shift in the word, bits, bits of the element before) for each part of an element in a word."""
    offset = 0
    for index, element in enumerate(elements):
        done = 0
        while done < element.bits:
            word, shift = divmod(offset + done, 32)
            take = min(32 - shift, element.bits - done)
            yield index, word, shift, take, done
            done += take
        offset += element.bits


def _checked(data: Ints, low: Ints, high: Ints) -> Ints:
    data = np.asarray(data, np.int64)
    if data.ndim != 2 or data.shape[1] != len(low):
        raise DataError(f"the data's vectors have shape {data.shape}, the design takes {len(low)} inputs")
    wrong = (data < low) | (data > high)
    if wrong.any():
        row, column = (int(i[0]) for i in np.nonzero(wrong))
        raise DataError(f"vector {row}, input {column}: {data[row, column]} is outside {low[column]}..{high[column]}")
    return data
