"""The output unit of a folded layer against a neuron's quantizer: equal for every sum, by algebra.

Both are ``clip(floor(s * 2**e + b))`` of the sum ``s``, with ties to even or not, or that floor's
lowest bits. For equal slopes the floors are equal for all ``s`` if and only if their offsets are, rounded down to the
grid on which the sum stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from flow.core.design import Neuron
from flow.core.fixed import Quantizer, bounded_range
from flow.folded.proof.rtl_reader import Format

Range = tuple[int, int]
_FEW = 1 << 12  # sums that are all compared where the forms differ


@dataclass(frozen=True)
class Output:
    """One neuron's way through ``folded_threshold``, as that block is defined, with its parameters."""

    parameters: Mapping[str, int]
    bias: int
    form: Format

    def too_narrow(self, sums: Range) -> str:
        """What overflows for a sum in the range, or an empty text."""
        ends = [(s << self.parameters["PRE_SHIFT"]) + self.bias for s in sums]
        half = 1 << self.parameters["VALUE_BITS"] - 1
        if self.form.low > self.form.high:
            return "has limits in the wrong order"
        if min(ends) < -half or max(ends) >= half or max(-self.form.low, self.form.high + 1) > half:
            return f"has too narrow a biased sum for {ends[0]}..{ends[1]}"
        low, high = (end << self.form.align for end in self._ends(sums))
        bits = self.parameters["OUT_BITS"]
        return "" if -low <= 1 << bits - 1 and high < 1 << bits - (low < 0) else f"sends more than {bits} bits"

    def sent(self, total: int) -> int:
        """The output's mantissa for a sum."""
        return self._clipped(self._rounded(total))

    def _rounded(self, total: int) -> int:
        value = (total << self.parameters["PRE_SHIFT"]) + self.bias
        result = value >> self.form.shift
        if self.form.even and self.parameters["HALF_EVEN"] and not value & (1 << self.form.shift) - 1:
            result &= ~1
        return result

    def _ends(self, sums: Range) -> Range:
        """The smallest and the largest mantissa that is sent."""
        first, last = (self._rounded(s) for s in sums)
        if self.overflow == "SAT":
            return self._clipped(first), self._clipped(last)
        return bounded_range(self.overflow, self.form.low, self.form.high, first, last)

    @property
    def overflow(self) -> str:
        """How it treats what its limits do not hold."""
        wrap = self.form.wrap if self.parameters.get("WRAP") else 0
        return ("RELU_WRAP" if wrap & 2 else "WRAP") if wrap & 1 else "SAT"

    def _clipped(self, result: int) -> int:
        if self.overflow != "SAT":
            kept = max(result, 0) if self.overflow == "RELU_WRAP" else result
            size = self.form.high - self.form.low + 1
            return (kept - self.form.low) % size + self.form.low
        result = max(result, self.form.low) if self.parameters["CLIP_LOW"] else result
        return min(result, self.form.high) if self.parameters["CLIP_HIGH"] else result

    def differs(self, neuron: Neuron, scale: int, constant: int, sums: Range) -> str:
        """How the output differs from the neuron's, whose sum is ``s * 2**scale + constant``, or an empty text."""
        assert neuron.accumulator is not None
        quantizer, frac = neuron.output, neuron.accumulator.frac
        drop = frac - quantizer.format.frac if quantizer else 0
        rounding = quantizer.rounding if quantizer and drop > 0 else "TRN"
        offset = constant * _power(-drop) + (Fraction(1, 2) if rounding != "TRN" else 0)
        step = max(-scale, 0)  # all weights being even, so are all sums, and so on
        if not self._same_rounding(scale - drop, step, offset, rounding == "RND_CONV"):
            return self._differing_sum(neuron, scale, constant, sums)
        if self.overflow != "SAT" or (quantizer and quantizer.wraps):
            return self._wraps_differently(quantizer)
        # Clipping is known by what it does to both ends of what can be reached.
        for end in sums:
            if self.sent(end) != quantized(neuron, scale, constant, end):
                return "saturates differently"
        return ""

    def _wraps_differently(self, quantizer: Quantizer | None) -> str:
        wanted = (quantizer.overflow, quantizer.low, quantizer.high) if quantizer else None
        return "" if (self.overflow, self.form.low, self.form.high) == wanted else "wraps differently"

    def _same_rounding(self, slope: int, step: int, offset: Fraction, to_even: bool) -> bool:
        if self.parameters["PRE_SHIFT"] - self.form.shift != slope:
            return False
        own = self.bias * _power(-self.form.shift)
        grid = _power(max(-slope - step, 0))  # of s * 2**slope, and so of the places where ties can be
        ties = (offset * grid).denominator == 1
        if to_even and ties:
            return bool(self.form.even and self.parameters["HALF_EVEN"]) and own == offset
        quiet = not (self.form.even and self.parameters["HALF_EVEN"])
        return quiet and (own * grid).__floor__() == (offset * grid).__floor__()

    def _differing_sum(self, neuron: Neuron, scale: int, constant: int, sums: Range) -> str:
        """Where few sums are possible, two forms may differ and yet agree on all of these."""
        low, high = sums
        step = 1 << max(-scale, 0)
        if high - low < _FEW * step:
            for s in range(low, high + 1, step):
                if self.sent(s) != quantized(neuron, scale, constant, s):
                    return f"rounds differently at a sum of {s}"
            return ""
        return "rounds differently"


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def quantized(neuron: Neuron, scale: int, constant: int, total: int) -> int:
    """The neuron's output mantissa for a sum, by the quantizer itself."""
    assert neuron.accumulator is not None
    value = total * _power(scale) + constant
    assert value.denominator == 1
    if neuron.output is None:
        return int(value)
    return int(neuron.output.from_integer([int(value)], neuron.accumulator.frac)[0])
