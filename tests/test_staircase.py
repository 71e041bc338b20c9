"""Integer functions as clipped lines: exact on every sum, for staircases of any kind, few for regular ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.extract.staircase import Steps, add_up, lines, steps_of_values

ALL = 1 << 20


@st.composite
def staircases(draw):
    """(low, values): monotone runs both ways, jumps of any height, flat stretches."""
    count = draw(st.integers(1, 120))
    rises = draw(st.lists(st.sampled_from((0, 0, 0, 1, 1, 2, 4, -1, -3)), min_size=count, max_size=count))
    if draw(st.booleans()):
        rises = [abs(r) for r in rises]
    sign, unit = draw(st.sampled_from((1, -1))), draw(st.sampled_from((1, 1, 4)))
    return draw(st.integers(-200, 200)), draw(st.integers(-9, 9)) + sign * unit * np.cumsum(rises)


@given(staircases())
@settings(max_examples=60, deadline=None)
def test_lines_add_up_to_the_staircase(given_values):
    low, values = given_values
    steps, sums = steps_of_values(low, values), np.arange(low, low + len(values))
    assert np.array_equal(steps(sums), values)
    base, parts = lines(steps, ALL)
    assert np.array_equal(add_up(base, parts, sums), values)
    if parts:
        assert lines(steps, len(parts) - 1) is None
        wrong = [*parts[:-1], type(parts[-1])(**{**vars(parts[-1]), "height": parts[-1].height + 1})]
        assert not np.array_equal(add_up(base, wrong, sums), values)


@given(st.integers(1, 7), st.integers(-40, 40), st.integers(-9, 9), st.integers(1, 40), st.booleans())
@settings(max_examples=40, deadline=None)
def test_quantizers_that_round_halves_to_even_are_one_line(shift, offset, low, levels, falls):
    sums = np.arange(-1500, 1500)
    values = np.clip(np.rint((sums + offset) / 2**shift).astype(np.int64), low, low + levels) * (-1 if falls else 1)
    base, parts = lines(steps_of_values(-1500, values), ALL)
    assert np.array_equal(add_up(base, parts, sums), values)
    assert len(parts) <= 1 and all(abs(part.multiplier) == 1 for part in parts)


@pytest.mark.parametrize("levels", [15, 63, 255])
def test_a_scale_and_an_offset_are_one_line(levels):
    rng = np.random.default_rng(levels)
    sums = np.arange(-4096, 4096)
    for scale, offset in zip(rng.uniform(0.01, 0.2, 10), rng.normal(0, 20, 10), strict=True):
        values = np.clip(np.rint(scale * sums + offset), 0, levels).astype(np.int64)
        base, parts = lines(steps_of_values(-4096, values), ALL)
        assert len(parts) == 1 and np.array_equal(add_up(base, parts, sums), values)


def test_a_single_step_needs_no_clipping():
    base, (line,) = lines(Steps(-100, 100, 0, np.array([37]), np.array([5])), ALL)
    sums = np.arange(-100, 101)
    assert set((line.multiplier * sums + line.offset >> line.shift).tolist()) == {0, 1}
    assert np.array_equal(add_up(base, (line,), sums), 5 * (sums >= 37))
