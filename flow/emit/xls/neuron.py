"""One neuron in DSLX: its exact sum, bias, rounding and saturation, each in the width that its exact range needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flow.core.design import Neuron
from flow.core.fixed import Fixed, Quantizer, bits_for, rounded

_ROUND = {"TRN": "round_down", "RND": "round_half_up", "RND_CONV": "round_half_even"}


@dataclass(frozen=True)
class SharedSum:
    """How a neuron calls its group's function; ``frac`` is the grid to which the group aligns its inputs."""

    function: str
    weights: str
    frac: int


@dataclass(frozen=True)
class NeuronText:
    """A neuron's comment and statements; the last one defines ``y<index>`` unless the output has no bits."""

    note: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Value:
    """A signed expression, its exact range and its fraction bits."""

    text: str
    low: int
    high: int
    frac: int

    @property
    def bits(self) -> int:
        return signed_bits(self.low, self.high)


def signed_bits(low: int, high: int) -> int:
    """Bits of the narrowest two's complement number that holds ``low..high``, at least 1."""
    signed, bits = bits_for(low, high)
    return bits + (not signed)


def shifted(text: str, places: int) -> str:
    """The expression times ``2**places``, in its own width."""
    return f"shifted<u32:{places}>({text})" if places else text


def neuron_text(
    neuron: Neuron, index: int, shared: SharedSum | None, formats: Sequence[Fixed], ranges: Sequence[tuple[int, int]]
) -> NeuronText:
    """Statements that compute a neuron; ``shared`` is None where no weight counts, and the bias alone is left."""
    fmt = neuron.output.format if neuron.output else neuron.accumulator
    assert fmt is not None and neuron.accumulator is not None
    if not fmt.bits:
        return NeuronText("no bits", ())
    lines: list[str] = []
    total = _with_bias(_sum(neuron, index, shared, formats, ranges, lines), neuron, index, lines)
    limits = _limits(neuron.output)
    rounding = neuron.output.rounding if neuron.output else "TRN"
    value = _saturated(_rounded(total, fmt.frac, rounding, index, lines), limits, index, lines)
    cast = f"{'s' if fmt.signed else 'u'}{fmt.bits}"
    if neuron.output and neuron.output.wraps and not fmt.signed:
        cast = f"s{fmt.bits} as {cast}"  # the lowest bits, the sign's own among them where there are no others
    lines.append(f"let y{index} = {value.text} as {cast};")
    return NeuronText(_note(neuron, fmt), tuple(lines))


def _note(neuron: Neuron, fmt: Fixed) -> str:
    bias = f", bias {neuron.bias} of {neuron.bias_frac} fraction bits" if neuron.bias else ""
    quantizer: Quantizer | None = neuron.output
    modes = "" if quantizer is None or not quantizer.wraps else f", {quantizer.overflow}"
    after = f" to {fmt} by {quantizer.rounding}{modes} in {quantizer.low}..{quantizer.high}" if quantizer else ""
    return f"sum {neuron.accumulator}{bias}{after}"


def _limits(quantizer: Quantizer | None) -> tuple[int | None, int | None]:
    """What has to be compared with; what wraps is left to the last cast, which keeps the lowest bits."""
    if quantizer is None or quantizer.wraps:
        return (0 if quantizer is not None and quantizer.overflow == "RELU_WRAP" else None), None
    return quantizer.low, quantizer.high


def _sum(
    neuron: Neuron,
    index: int,
    shared: SharedSum | None,
    formats: Sequence[Fixed],
    ranges: Sequence[tuple[int, int]],
    lines: list[str],
) -> _Value | None:
    if shared is None:
        return None
    low = high = 0
    for weight, fmt, (x_low, x_high) in zip(neuron.weights, formats, ranges, strict=True):
        if weight and fmt.bits:
            scaled = weight << (shared.frac - fmt.frac)
            low += min(scaled * x_low, scaled * x_high)
            high += max(scaled * x_low, scaled * x_high)
    value = _Value(f"sum{index}", low, high, shared.frac + neuron.weight_frac)
    lines.append(f"let sum{index} = {shared.function}<u32:{value.bits}>(x, {shared.weights});")
    return value


def _with_bias(value: _Value | None, neuron: Neuron, index: int, lines: list[str]) -> _Value:
    """The sum on the grid that holds the bias, too."""
    if value is None:
        constant = _Value(f"total{index}", neuron.bias, neuron.bias, neuron.bias_frac)
        lines.append(f"let total{index} = s{constant.bits}:{neuron.bias};")
        return constant
    if not neuron.bias:
        return value
    frac = max(value.frac, neuron.bias_frac)
    shift, bias = frac - value.frac, neuron.bias << (frac - neuron.bias_frac)
    total = _Value(f"total{index}", (value.low << shift) + bias, (value.high << shift) + bias, frac)
    bits = max(total.bits, signed_bits(bias, bias))
    aligned = shifted(f"sum{index} as s{bits}", shift)
    lines.append(f"let total{index} = (({aligned}) + s{bits}:{bias}) as s{total.bits};")
    return total


def _rounded(value: _Value, frac: int, rounding: str, index: int, lines: list[str]) -> _Value:
    """The value with ``frac`` fraction bits."""
    drop = value.frac - frac
    if drop == 0:
        return value
    name = f"rounded{index}"
    if drop < 0:
        scaled = _Value(name, value.low << -drop, value.high << -drop, frac)
        lines.append(f"let {name} = {shifted(f'{value.text} as s{scaled.bits}', -drop)};")
        return scaled
    if rounding != "TRN" and drop >= value.bits:  # less than half of the last place: nearest is 0
        lines.append(f"let {name} = s1:0;")
        return _Value(name, 0, 0, frac)
    places = min(drop, value.bits - 1)  # dropping more bits than there are leaves the sign
    low, high = (rounded(v, places, rounding) for v in (value.low, value.high))
    result = _Value(name, low, high, frac)
    if places:
        lines.append(f"let {name} = {_ROUND[rounding]}<u32:{places}>({value.text}) as s{result.bits};")
    else:
        lines.append(f"let {name} = {value.text};")
    return result


def _saturated(value: _Value, limits: tuple[int | None, int | None], index: int, lines: list[str]) -> _Value:
    """The value within the quantizer's range; only an end that the value can pass is compared."""
    low, high = (end if own is None else own for own, end in zip(limits, (value.low, value.high), strict=True))
    high = max(low, high)
    needs_low, needs_high = value.low < low, value.high > high
    if not needs_low and not needs_high:
        return value
    reach = [value.low, value.high, *([low] if needs_low else []), *([high] if needs_high else [])]
    bits = signed_bits(min(reach), max(reach))
    text = f"{value.text} as s{bits}"
    if needs_low:
        text = f"at_least({text}, s{bits}:{low})"
    if needs_high:
        text = f"at_most({text}, s{bits}:{high})"
    lines.append(f"let kept{index} = {text};")
    kept = np.clip([value.low, value.high], low, high)
    return _Value(f"kept{index}", int(kept[0]), int(kept[1]), value.frac)
