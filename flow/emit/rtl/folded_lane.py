"""The output units of a folded layer: which sums they take, and each neuron's quantizer as stored parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.fixed import bits_for
from flow.emit.rtl.expressions import literal
from flow.emit.rtl.folded_memory import rom
from flow.folded.folding import LayerFold, Memory
from flow.folded.lowering import Unit

WRAPS = ("SAT", "WRAP", "", "RELU_WRAP")  # by the field ``wrap``: bit 0 wraps, bit 1 makes negative values 0 first


@dataclass(frozen=True)
class Lane:
    """Everything the layer template says about one output unit; widths are in bits."""

    number: int
    neurons: int
    sum_bits: int
    choices: tuple[str, ...]
    rom: str
    parameter_bits: int
    code_bits: int
    formats: tuple[str, ...]
    format_bits: int
    pre: int
    bias_bits: int
    value_bits: int
    shift_bits: int
    limit_bits: int
    align_bits: int
    even: int
    clip_low: int
    clip_high: int
    wraps: int


@dataclass(frozen=True)
class _Parameters:
    """One neuron's quantizer on the grid that all neurons of its output unit share."""

    bias: int
    shift: int
    align: int
    even: bool
    low: int
    high: int
    overflow: str


def build_lane(layer: LayerFold, number: int, module: str, luts: bool) -> tuple[Lane, str]:
    """An output unit and the Verilog of its parameter ROM, a module named ``module``."""
    arrivals = list(layer.arrivals(number))
    units = [u for u in arrivals if u is not None]
    pre = max(u.pre for u in units)
    parameters = _shared(units, pre)
    wraps = int(any(u.overflow != "SAT" for u in units))
    keys = sorted({_format(p, wraps) for p in parameters.values()})
    limit_bits = _signed_bits(v for p in parameters.values() for v in (p.low, p.high))
    ranges = [v << (pre - u.pre) for u in units for v in u.value_range]
    shift_bits = max(max(p.shift for p in parameters.values()).bit_length(), 1)
    align_bits = max(max(p.align for p in parameters.values()).bit_length(), 1)
    bias_bits = _signed_bits(p.bias for p in parameters.values())
    code_bits = len(keys).bit_length()
    widths = (*[2] * wraps, 1, align_bits, shift_bits, limit_bits, limit_bits)
    sum_bits = max(layer.groups[g].sum_bits for g, _ in layer.lanes[number])
    lane = Lane(
        number=number,
        neurons=len(units),
        sum_bits=sum_bits,
        choices=tuple(_sum(layer, g, p, sum_bits) for g, p in layer.lanes[number]),
        rom=module,
        parameter_bits=bias_bits + code_bits,
        code_bits=code_bits,
        formats=tuple(_fields(key, widths) for key in keys),
        format_bits=sum(widths),
        pre=pre,
        bias_bits=bias_bits,
        value_bits=max(_signed_bits(ranges), limit_bits, bias_bits, sum_bits),
        shift_bits=shift_bits,
        limit_bits=limit_bits,
        align_bits=align_bits,
        even=int(any(p.even for p in parameters.values())),
        clip_low=int(any(u.clips[0] for u in units)),
        clip_high=int(any(u.clips[1] for u in units)),
        wraps=wraps,
    )
    words, notes = [], {}
    for turn, unit in enumerate(arrivals):
        words.append(0)
        if unit is not None:
            p = parameters[unit.neuron]
            words[-1] = (p.bias % (1 << bias_bits)) << code_bits | keys.index(_format(p, wraps)) + 1
            notes[turn] = f"neuron {unit.neuron}: bias {p.bias}, shift {p.shift}, {p.low}..{p.high}"
            notes[turn] += "" if p.overflow == "SAT" else f", {p.overflow}"
    title = f"Output parameters of layer {layer.layer.name}, unit {number}: {{bias, format}}, format 0 for no neuron"
    memory = parameter_memory(len(words), lane.parameter_bits)
    return lane, rom(module, title, memory, words, notes, luts)


def parameter_memory(depth: int, width: int) -> Memory:
    """Where output parameters lie: in LUTs unless they fill most of a block RAM."""
    return Memory(depth, width, "block" if depth * width > 12_000 else "distributed")


def _shared(units: Sequence[Unit], pre: int) -> dict[int, _Parameters]:
    """Parameters by neuron. A limit that a neuron cannot reach is widened to the widest one, so that formats repeat."""
    low, high = min(u.low for u in units), max(u.high for u in units)
    return {
        u.neuron: _Parameters(
            u.bias << (pre - u.pre),
            u.shift + pre - u.pre,
            u.align,
            u.even,
            u.low if u.clips[0] or u.overflow != "SAT" else low,
            u.high if u.clips[1] or u.overflow != "SAT" else high,
            u.overflow,
        )
        for u in units
    }


def _format(p: _Parameters, wraps: int) -> tuple[int, ...]:
    """A neuron's fields, the highest first; how it wraps is one only where some neuron of its output unit does."""
    return (*[WRAPS.index(p.overflow)] * wraps, int(p.even), p.align, p.shift, p.high, p.low)


def _fields(values: Sequence[int], widths: Sequence[int]) -> str:
    return "{" + ", ".join(literal(v, w) for v, w in zip(values, widths, strict=True)) + "}"


def _signed_bits(values: object) -> int:
    numbers = list(values)  # type: ignore[call-overload]
    return bits_for(min(-1, *numbers), max(1, *numbers))[1]


def _sum(layer: LayerFold, group: int, pe: int, bits: int) -> str:
    """The sum of one processing element, sign extended."""
    own, name = layer.groups[group].sum_bits, f"{layer.groups[group].coding.label}_sum"
    low = pe * own
    text = f"{name}[{low}+:{own}]"
    return text if own == bits else f"{{{{{bits - own}{{{name}[{low + own - 1}]}}}}, {text}}}"
