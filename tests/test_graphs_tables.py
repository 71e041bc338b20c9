"""Functions as networks of look-up tables: equal for every argument, and small for saturated sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.parallel.lut_networks import DIRECT_INPUTS, network, table_luts


def run(found, count):
    arguments = np.arange(1 << count)
    results = []
    for lookup in found.lookups:
        index = np.zeros_like(arguments)
        for i, (k, bit) in enumerate(lookup.inputs):
            index |= (((arguments if k < 0 else results[k]) >> bit) & 1) << i
        results.append(np.array(lookup.table)[index])
    return results[-1]


@given(st.integers(0, 7).flatmap(lambda n: st.lists(st.integers(-4, 3), min_size=1 << n, max_size=1 << n)))
def test_any_function_is_kept(values):
    function = np.array(values)
    assert (run(network(function, 1000), len(values).bit_length() - 1) == function).all()


@pytest.mark.parametrize("count", [8, 9, 10, 11])
def test_saturated_sums_are_small(count):
    rng = np.random.default_rng(count)
    arguments = np.arange(1 << count)
    weights = rng.integers(-5, 6, count)
    total = sum(w * ((arguments >> i) & 1) for i, w in enumerate(weights))
    function = np.clip((total + 2) >> 2, 0, 3)
    found = network(function, 1000)
    assert (run(found, count) == function).all()
    assert found.luts <= 2 * (1 << (count - 6)) + 1
    assert found.luts == sum(table_luts(lookup.table) for lookup in found.lookups)
    assert all(len(lookup.inputs) <= DIRECT_INPUTS for lookup in found.lookups)
    assert network(function, found.luts) is None


def test_what_does_not_matter_costs_nothing():
    arguments = np.arange(1 << 9)
    assert network((arguments >> 3) & 1, 10).luts == 0
    assert network(np.full(1 << 9, 5), 10).luts == 0
