"""Formats, rounding and saturation against exact rational arithmetic."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.core.errors import DesignError
from flow.core.fixed import ROUNDINGS, Fixed, Quantizer, bits_for, rescale


def exact_round(value: Fraction, rounding: str) -> int:
    if rounding == "TRN":
        return floor(value)
    if rounding == "RND":
        return floor(value + Fraction(1, 2))
    return round(value)  # Python's round is half to even


formats = st.builds(Fixed, st.booleans(), st.integers(0, 16), st.integers(-6, 12))


@given(st.integers(-(1 << 40), 1 << 40), st.integers(-10, 60), st.sampled_from(ROUNDINGS))
def test_rescale_is_exact(mantissa, drop, rounding):
    expected = exact_round(Fraction(mantissa) / Fraction(2) ** drop, rounding)
    assert int(rescale(np.array([mantissa]), drop, rounding)[0]) == expected


@given(formats, st.integers(-(1 << 30), 1 << 30), st.integers(-8, 20), st.sampled_from(ROUNDINGS), st.booleans())
def test_quantizer_is_round_then_saturate(fmt, mantissa, frac, rounding, relu):
    quantizer = Quantizer.saturating(fmt, rounding, relu)
    value = Fraction(mantissa) / Fraction(2) ** frac
    expected = min(max(exact_round(value * Fraction(2) ** fmt.frac, rounding), quantizer.low), quantizer.high)
    assert int(quantizer.from_integer(np.array([mantissa]), frac)[0]) == expected
    assert int(quantizer.from_float(np.array([float(value)]))[0]) == expected


@given(formats, st.floats(-(2.0**99), 2.0**99, width=32), st.sampled_from(ROUNDINGS))
def test_any_float_is_quantized_as_the_real_number_it_is(fmt, value, rounding):
    quantizer = Quantizer.saturating(fmt, rounding)
    exact = exact_round(Fraction(value) * Fraction(2) ** fmt.frac, rounding)
    assert int(quantizer.from_float(np.array([value]))[0]) == min(max(exact, fmt.low), fmt.high)


def test_just_below_a_half_is_not_rounded_up():
    value = np.array([0.49999997], np.float32)
    assert int(Quantizer.saturating(Fixed(False, 4, 0)).from_float(value)[0]) == 0


def test_infinities_saturate_and_nan_is_refused():
    quantizer = Quantizer.saturating(Fixed(True, 4, 1))
    assert quantizer.from_float(np.array([np.inf, -np.inf])).tolist() == [7, -8]
    with pytest.raises(DesignError, match="NaN"):
        quantizer.from_float(np.array([np.nan]))


@given(st.integers(-(1 << 50), 1 << 50), st.integers(-(1 << 50), 1 << 50))
def test_bits_for_is_the_narrowest(a, b):
    low, high = min(a, b), max(a, b)
    signed, bits = bits_for(low, high)
    fmt = Fixed(signed, bits, 0)
    assert fmt.low <= low and high <= fmt.high
    if bits:
        smaller = Fixed(signed, bits - 1, 0)
        assert not (smaller.low <= low and high <= smaller.high)


def test_widths_out_of_bounds_are_refused():
    with pytest.raises(DesignError):
        Fixed(True, 63, 0)
    with pytest.raises(DesignError):
        Quantizer(Fixed(False, 3, 0), "RND", 0, 8)
    with pytest.raises(DesignError, match="ROUND"):
        Quantizer(Fixed(False, 3, 0), "ROUND", 0, 7)
