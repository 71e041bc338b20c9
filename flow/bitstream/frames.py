"""Configuration memory as frames of 101 words, and the ECC that each holds of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from flow.bitstream.database import WORDS

Words = NDArray[np.uint32]
Bit = tuple[int, int]  # frame address, bit of the frame
ECC_WORD, ECC_MASK = 50, 0x1FFF


def of_bits(bits: Iterable[Bit]) -> dict[int, Words]:
    """Frames by address that hold these bits, without their ECC."""
    found: dict[int, Words] = {}
    for address, bit in bits:
        frame = found.setdefault(address, np.zeros(WORDS, np.uint32))
        frame[bit >> 5] |= np.uint32(1 << (bit & 31))
    return found


def bits_of(frames: Mapping[int, Words]) -> dict[int, set[int]]:
    """The bits that are 1, by frame; the ECC is no configuration and left out."""
    found: dict[int, set[int]] = {}
    for address, words in frames.items():
        if ones := _ones(words).tolist():
            found[address] = set(ones)
    return found


def _without_ecc(words: Words) -> Words:
    clean = words.copy()
    clean[ECC_WORD] &= np.uint32(~ECC_MASK & 0xFFFFFFFF)
    return clean


def _ones(words: Words) -> NDArray[np.int64]:
    """The bits of a frame that are 1, those of its ECC left out."""
    return np.flatnonzero(np.unpackbits(_without_ecc(words).astype("<u4").view(np.uint8), bitorder="little"))


def ecc(words: Words) -> int:
    """The 13 bits that the device checks a frame with (UG470; the positions are Project X-Ray's)."""
    ones = _ones(words)
    value = int(np.bitwise_xor.reduce(_weights()[ones])) if len(ones) else 0
    return value ^ ((value & 0xFFF).bit_count() & 1) << 12


@cache
def _weights() -> NDArray[np.int64]:
    """What each bit of a frame adds to the ECC: numbers without powers of two, as in a Hamming code."""
    word = np.arange(WORDS)
    start = 32 * word + np.where(word > 0x25, 0x1360, np.where(word > 6, 0x1340, 0x1320))
    return np.asarray((start[:, None] + np.arange(32)).ravel(), np.int64)


def with_ecc(words: Words) -> Words:
    """A frame with its ECC in its middle word."""
    found = _without_ecc(words)
    found[ECC_WORD] |= np.uint32(ecc(words))
    return found
