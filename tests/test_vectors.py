"""Test vectors and their packed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.bench import vectors
from flow.bench.description import Element
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DataError
from flow.core.fixed import Fixed, Quantizer

elements = st.builds(Element, st.integers(0, 62), st.booleans(), st.just("e"))


def design(formats):
    inputs = tuple(Quantizer.saturating(f) for f in formats)
    return Design("d", inputs, (Layer("l", (Neuron((1,) * len(formats), 0, 2.0),)),))


@settings(max_examples=200, deadline=None)
@given(st.lists(elements, max_size=40).map(tuple), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_pack_is_the_concatenation_and_unpacks(widths, count, seed):
    low = np.array([e.low for e in widths], np.int64)
    high = np.array([e.high for e in widths], np.int64)
    values = vectors.random_vectors(low, high, count, seed)
    packed = vectors.pack(values, widths)
    assert (vectors.unpack(packed, widths) == values).all()
    lines = vectors.to_hex(packed)
    if count:
        assert (vectors.from_hex(lines) == packed).all()
    for row, line in zip(values, lines.split(), strict=True):
        port = offset = 0
        for value, element in zip(row.tolist(), widths, strict=True):
            port |= (value & ((1 << element.bits) - 1)) << offset
            offset += element.bits
        assert int(line, 16) == port


def test_pack_crosses_its_own_chunks():
    widths = (Element(33, True, "a"), Element(31, False, "b"), Element(1, True, "c"))
    values = vectors.random_vectors(
        np.array([e.low for e in widths]), np.array([e.high for e in widths]), 3 * vectors._ROWS + 1, 4
    )
    assert (vectors.unpack(vectors.pack(values, widths), widths) == values).all()


def test_vectors_hold_corners_data_and_random_within_range():
    formats = [Fixed(True, 4, 2), Fixed(False, 3, 0), Fixed(False, 0, 0), Fixed(True, 1, 0)]
    d = design(formats)
    data = np.tile(np.array([[3, 5, 0, -1]], np.int64), (50, 1))
    made = vectors.make_vectors(d, 100, data, seed=3)
    assert made.shape == (100, 4)
    assert (made == vectors.make_vectors(d, 100, data, seed=3)).all()
    assert (made != vectors.make_vectors(d, 100, data, seed=4)).any()
    assert (made[:5] == [[-8, 0, 0, -1], [7, 7, 0, 0], [-8, 7, 0, 0], [7, 0, 0, -1], [0, 0, 0, 0]]).all()
    assert (made == data[0]).all(axis=1).sum() >= 50
    for column, fmt in zip(made.T, formats, strict=True):
        assert fmt.low <= column.min() and column.max() <= fmt.high
    assert set(vectors.make_vectors(d, 500)[:, 0]) == set(range(-8, 8))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 40])
def test_any_count_is_met_exactly(count):
    d = design([Fixed(True, 4, 2)] * 3)
    assert len(vectors.make_vectors(d, count)) == count
    assert len(vectors.make_vectors(d, count, np.zeros((7, 3), np.int64))) == count


def test_corners_spread_over_many_inputs():
    low, high = np.zeros(784, np.int64), np.full(784, 255)
    made = vectors.corners(low, high, 105)
    touched = np.nonzero(made[5:].any(axis=0))[0]
    assert len(made) == 105
    assert len(touched) == 50 and touched.max() > 700


def test_data_outside_the_range_is_named():
    d = design([Fixed(True, 4, 2)] * 2)
    with pytest.raises(DataError, match=r"vector 0, input 1: 8 is outside -8\.\.7"):
        vectors.make_vectors(d, 20, np.array([[0, 8]]))
    with pytest.raises(DataError, match="takes 2 inputs"):
        vectors.make_vectors(d, 20, np.zeros((4, 3), np.int64))


def test_ragged_hex_is_refused():
    with pytest.raises(DataError):
        vectors.from_hex("00000001\n0001\n")
