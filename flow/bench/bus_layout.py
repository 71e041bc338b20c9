"""How vectors and results lie on an AXI4-Stream bus: their lanes, beats and bytes, and the packing that software does.

With ``packed`` lanes the elements' mantissas follow each other without gaps, element 0 in the lowest bits. With
``bytes`` every element has a lane of 8, 16, 32 or 64 bits, the same for all, sign extended: a vector is the memory of
a NumPy array. Both are padded to whole beats; bytes go out lowest first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.bench.description import Bench, Element, total_bits
from flow.bench.vectors import pack, unpack
from flow.core.errors import DesignError
from flow.core.fixed import Ints

LANES = ("bytes", "packed")
BUS_BITS = (32, 64)
_CONTAINERS = (8, 16, 32, 64)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Lanes and beats of both streams; lane bits are 0 and lane types empty where elements are packed."""

    lanes: str
    bus_bits: int
    in_lane_bits: int
    out_lane_bits: int
    in_type: str
    out_type: str
    in_beats: int
    out_beats: int
    in_data_bytes: int  # of in_bytes, those that carry data

    @property
    def in_bytes(self) -> int:
        """Bytes of a vector on the bus, padding included."""
        return self.in_beats * self.bus_bits // 8

    @property
    def out_bytes(self) -> int:
        """Bytes of a result on the bus, padding included."""
        return self.out_beats * self.bus_bits // 8

    def to_dict(self) -> dict[str, Any]:
        """Everything a program needs to know, as JSON data."""
        return {**asdict(self), "in_bytes": self.in_bytes, "out_bytes": self.out_bytes}


def layout_of(bench: Bench, lanes: str, bus_bits: int) -> Layout:
    """The layout of a core's ports. Raises DesignError for lanes or a bus width that do not exist."""
    if lanes not in LANES or bus_bits not in BUS_BITS:
        raise DesignError(f"lanes {lanes} on a bus of {bus_bits} bits: choose {' or '.join(LANES)}, and 32 or 64 bits")
    in_lane, in_type = _lane(bench.inputs) if lanes == "bytes" else (0, "")
    out_lane, out_type = _lane(bench.outputs) if lanes == "bytes" else (0, "")
    in_bits = in_lane * len(bench.inputs) or total_bits(bench.inputs)
    out_bits = out_lane * len(bench.outputs) or total_bits(bench.outputs)
    in_beats, out_beats = (max(1, -(-bits // bus_bits)) for bits in (in_bits, out_bits))
    return Layout(lanes, bus_bits, in_lane, out_lane, in_type, out_type, in_beats, out_beats, -(-in_bits // 8))


def _lane(elements: tuple[Element, ...]) -> tuple[int, str]:
    """Bits of the lane all elements share, and its NumPy type."""
    signed = any(e.signed and e.bits for e in elements)
    needed = max(e.bits + (signed and not e.signed) for e in elements)
    bits = next(c for c in _CONTAINERS if c >= needed)
    return bits, f"{'i' if signed else 'u'}{bits // 8}"


def pack_inputs(layout: Layout, bench: Bench, mantissas: Ints) -> Bytes:
    """Input mantissas (vectors x elements) as the bytes of the stream (vectors x in_bytes)."""
    return _pack(mantissas, bench.inputs, layout.in_type, layout.in_bytes)


def pack_outputs(layout: Layout, bench: Bench, mantissas: Ints) -> Bytes:
    """Output mantissas (vectors x elements) as the bytes of the stream (vectors x out_bytes)."""
    return _pack(mantissas, bench.outputs, layout.out_type, layout.out_bytes)


def unpack_inputs(layout: Layout, bench: Bench, data: Bytes) -> Ints:
    """The inverse of ``pack_inputs``."""
    return _unpack(data, bench.inputs, layout.in_type)


def _pack(values: Ints, elements: tuple[Element, ...], lane_type: str, size: int) -> Bytes:
    data = values.astype(f"<{lane_type}") if lane_type else pack(values, elements).astype("<u4")
    raw = np.ascontiguousarray(data).view(np.uint8).reshape(len(values), -1)[:, :size]
    return np.pad(raw, ((0, 0), (0, size - raw.shape[1])))


def _unpack(data: Bytes, elements: tuple[Element, ...], lane_type: str) -> Ints:
    if lane_type:
        width = np.dtype(lane_type).itemsize * len(elements)
        return np.ascontiguousarray(data[:, :width]).view(f"<{lane_type}").astype(np.int64)
    size = 4 * max(1, -(-total_bits(elements) // 32))
    whole = np.pad(data, ((0, 0), (0, max(0, size - data.shape[1]))))[:, :size]
    return unpack(np.ascontiguousarray(whole).view("<u4").astype(np.uint32), elements)
