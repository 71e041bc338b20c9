"""The board's driver at its edges: every register, error bit, limit and refusal by itself."""

import json
import re
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import strategies
from shell_models import RECEIVE, SEND, Board, Faults
from test_shell_driver import FAULTS, set_up

from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.fixed import ROUNDINGS
from hls_templates import pynq_driver as driver
from keras_models.data.preprocess import Preprocessing


@pytest.fixture(scope="module")
def made():
    """One design, board and driver for what leaves no trace."""
    return set_up(3)


def again(board, **options):
    """Another driver of the same board."""
    board.faults = Faults()
    return driver.Accelerator(board.model, board.core, board.dma, board.allocate, **{"timeout_s": 0.02, **options})


def test_buffers_are_as_large_as_a_transfer_may_be(made):
    _, board, _ = made
    layout, sizes = board.model["layout"], []

    def allocate(size):
        sizes.append(size)
        return board.allocate(64)

    def asked(**options):
        sizes.clear()
        accelerator = driver.Accelerator(board.model, board.core, board.dma, allocate, **options)
        assert sizes == [accelerator.max_vectors * layout["in_bytes"], accelerator.max_vectors * layout["out_bytes"]]
        return accelerator

    assert asked().max_vectors == 4096 and asked().timeout_s == 5.0
    assert asked(max_vectors=0).max_vectors == 1
    assert asked(max_vectors=1 << 40).max_vectors == (2**26 - 1) // max(layout["in_bytes"], layout["out_bytes"])


@pytest.mark.parametrize("word", range(8))
def test_every_word_of_the_digest_counts(made, word):
    _, board, _ = made
    board.faults = Faults(registers={0x20 + 4 * word: 0x0BADCAFE})
    with pytest.raises(driver.WrongBitstream) as caught:
        driver.Accelerator(board.model, board.core, board.dma, board.allocate)
    digest = board.model["digest"]
    seen = f"{digest[: 8 * word]}0badcafe{digest[8 * word + 8 :]}"
    assert str(caught.value) == f"the bitstream is of build {seen[:12]}, this driver of {digest[:12]}; rebuild it"


def test_magic_and_version_are_told(made):
    _, board, _ = made
    for register, value, message in (
        (0x00, 5, f"register MAGIC is 0x00000005, not {0x4E4D5031:#010x}: another overlay"),
        (0x04, 9, "the accelerator's registers are version 9, not 1"),
    ):
        board.faults = Faults(registers={register: value})
        with pytest.raises(driver.WrongBitstream, match=f"^{re.escape(message)}$"):
            driver.Accelerator(board.model, board.core, board.dma, board.allocate)


def test_recovery_leaves_nothing_behind(made):
    _, board, _ = made
    accelerator = again(board)
    board.core.errors, board.core.packet, resets = 5, 7, board.core.resets
    board.dma.busy = {SEND: 9, RECEIVE: 9}
    accelerator.recover()
    assert (board.core.errors, board.core.packet, board.core.resets) == (0, 0, resets + 1)
    assert board.dma.busy == {SEND: 0, RECEIVE: 0}
    polls = []
    board.dma.read = lambda offset: polls.append(offset) or (4 if len(polls) < 3 else 0)
    try:
        accelerator.recover()
    finally:
        del board.dma.read
    assert polls == [SEND] * 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_transfer_is_followed_by_a_recovery(made, fault):
    design, board, _ = made
    accelerator = again(board)
    board.faults, resets = FAULTS[fault][0], board.core.resets
    with pytest.raises(driver.AcceleratorError):
        accelerator.infer(strategies.vectors(design, 20))
    assert board.core.resets == resets + 2 and board.core.packet == 0


COUNTED = "the accelerator saw 11 vectors in 13 packets in, 12 results in 14 packets out"
COUNTERS = {0x50 + 4 * i: 11 + i for i in range(4)}


@pytest.mark.parametrize("bit", range(5))
def test_every_error_bit_is_told_with_all_counters(made, bit):
    design, board, _ = made
    accelerator = again(board)
    board.faults = Faults(noted=1 << bit, registers=COUNTERS)
    with pytest.raises(driver.StreamError) as caught:
        accelerator.infer(strategies.vectors(design, 20))
    assert str(caught.value) == f"20 vectors were sent in one packet; {COUNTED}; {driver.ERROR_TEXTS[bit]}"
    assert len(set(driver.ERROR_TEXTS)) == 5


@pytest.mark.parametrize("counter", range(4))
def test_every_counter_counts(made, counter):
    design, board, _ = made
    accelerator = again(board)
    board.faults = Faults(registers={0x50 + 4 * counter: 3})
    with pytest.raises(driver.StreamError, match=r"^20 vectors were sent in one packet; .*; no error noted$"):
        accelerator.infer(strategies.vectors(design, 20))


@pytest.mark.parametrize("channel", [SEND, RECEIVE])
@pytest.mark.parametrize(
    ("bits", "kinds"), [(0x10, "internal"), (0x20, "slave"), (0x40, "address"), (0x70, "internal, slave, address")]
)
def test_every_error_of_the_dma_is_told(made, channel, bits, kinds):
    design, board, _ = made
    accelerator = again(board)
    board.faults = Faults(dma_error={channel: bits})
    way = {SEND: "memory to accelerator", RECEIVE: "accelerator to memory"}[channel]
    with pytest.raises(driver.DmaError, match=f"^DMA channel {way}: {kinds} error; the accelerator saw 20 vectors in"):
        accelerator.infer(strategies.vectors(design, 20))


def test_waits_say_how_long_and_short_transfers_how_much(made):
    design, board, _ = made
    accelerator, inputs = again(board), strategies.vectors(design, 20)
    size = board.model["layout"]["out_bytes"]
    board.faults = Faults(stays_halted=True)
    start = r"^DMA channel accelerator to memory stayed halted, it did not start within 0\.02 s; the accelerator saw"
    with pytest.raises(driver.TransferTimeout, match=start):
        accelerator.infer(inputs)
    board.faults = Faults(missing_output=size)
    short = f"^{19 * size} bytes came back, 20 results have {20 * size}; the accelerator saw 20 vectors in 1 packets in"
    with pytest.raises(driver.ShortTransfer, match=short):
        accelerator.infer(inputs)


def test_shapes_and_kinds_that_are_refused(made):
    design, board, _ = made
    accelerator, n = again(board), len(design.inputs)
    for shape in ((n,), (2, n + 1), (2, n - 1), (1, 2, n), (2, n, 1)):
        with pytest.raises(ValueError, match=rf"^expected \(rows, {n}\) integers, got shape .* of int64$"):
            accelerator.infer(np.zeros(shape, np.int64))
        with pytest.raises(ValueError, match=rf"^expected \(rows, {n}\) features, got shape \({shape[0]},"):
            accelerator.preprocess(np.zeros(shape))
    for kind in (bool, np.float32, object):
        with pytest.raises(ValueError, match="integers, got shape"):
            accelerator.infer(np.zeros((2, n), kind))
    for row, column in ((0, n - 1), (3, 0)):
        values = np.zeros((4, n))
        values[row, column] = np.nan
        with pytest.raises(ValueError, match=f"^row {row}, model input {column} is not a number$"):
            accelerator.quantize(values)


def test_integers_are_taken_to_the_ends_of_their_ranges(made):
    design, board, _ = made
    accelerator, before = again(board), board.core.resets
    ends = np.array([[q.low for q in design.inputs], [q.high for q in design.inputs]])
    assert np.array_equal(accelerator.infer(ends.tolist()), evaluate(design, ends))
    assert np.array_equal(accelerator.infer(ends.astype(np.int32)), evaluate(design, ends))
    sent = board.core.resets
    for row, step in ((0, -1), (1, 1)):
        for column in range(len(design.inputs)):
            beyond = ends.copy()
            beyond[row, column] += step
            with pytest.raises(ValueError, match="an integer input is outside its range; use quantize"):
                accelerator.infer(beyond)
    assert sent > before and board.core.resets == sent, "what is refused is not sent"


def test_infinities_reach_the_ends_of_the_widest_ranges(made):
    _, board, _ = made
    accelerator = again(board)
    ends = ((0, (1 << 62) - 1), (-(1 << 61), (1 << 61) - 1))
    about = [{"frac": frac, "rounding": "RND", "low": low, "high": high} for frac in (-8, 8) for low, high in ends]
    accelerator.model = {**board.model, "inputs": about}
    found = accelerator.quantize(np.array([[-np.inf] * 4, [np.inf] * 4, [-3e38] * 4, [3e38] * 4]))
    low, high = ([q[side] for q in about] for side in ("low", "high"))
    assert found.tolist() == [low, high, low, high]


def test_integers_of_every_kind_are_taken():
    """Packed into bits: shifts of unsigned and of narrow integers are not those of int64."""
    design, _, accelerator = next(
        made for made in (set_up(seed, "packed", 32) for seed in range(9)) if all(q.high >= 0 for q in made[0].inputs)
    )
    inputs = np.maximum(strategies.vectors(design, 20), [max(q.low, 0) for q in design.inputs])
    assert inputs.any()
    for kind in (np.uint64, np.int32, np.uint32, np.int64):
        found = accelerator.infer(inputs.astype(kind))
        assert found.dtype == np.int64 and np.array_equal(found, evaluate(design, inputs))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_tie_is_rounded_as_in_the_golden_model(made, rounding):
    design, board, _ = made
    accelerator = again(board)
    inputs = tuple(replace(q, rounding=rounding) for q in design.inputs)
    accelerator.model = {**board.model, "inputs": [{**q, "rounding": rounding} for q in board.model["inputs"]]}
    halves = np.arange(-41, 42)[:, None] / 2 * 2.0 ** -np.array([q.format.frac for q in inputs], float)
    expected = quantize_inputs(replace(design, inputs=inputs), halves)
    assert np.array_equal(accelerator.quantize(halves), expected)
    assert accelerator.quantize(halves).dtype == np.int64
    assert any(q.low < -2 and q.high > 2 for q in inputs), "ties on both sides of 0"


def test_preprocessing_is_exact_for_features_of_any_kind():
    """Categories of several levels in any column, numbers in any order, logarithms and limits in some columns only."""
    columns = {"log": (True, False, True), "mean": (0.3, -2.0, 1.0), "scale": (1.7, 0.5, 0.01)}
    categories = ((0, (1.0, 2.0, 3.0)), (3, (-1.0, 4.0)))
    model = Preprocessing(5, (4, 1, 2), **columns, clip=(True, True, False), categorical=categories)
    _, _, accelerator = set_up(1, preprocessing=json.loads(model.to_json()))
    X = np.random.default_rng(2).normal(0, 30, (50, 5)).round()
    X[:, 0], X[:, 3] = np.arange(50) % 4, np.arange(50) % 6 - 1
    for features in (X, X.astype(np.float32), X.astype(np.int64), X.tolist()):
        found = accelerator.preprocess(features)
        assert found.dtype == np.float32 and found.shape == (50, 8) and np.array_equal(found, model.apply(X))


def test_a_new_driver_starts_from_a_clean_board(made):
    _, board, _ = made
    board.dma.busy, board.core.errors, resets = {SEND: 4, RECEIVE: 4}, 3, board.core.resets
    again(board)
    assert board.dma.busy == {SEND: 0, RECEIVE: 0} and (board.core.errors, board.core.resets) == (0, resets + 1)


def test_lists_are_taken_as_features(made):
    design, board, _ = made
    accelerator = again(board)
    X = np.random.default_rng(0).normal(0, 4, (5, len(design.inputs)))
    same = accelerator.preprocess(X.astype(np.float32).tolist())
    assert same.dtype == np.float64 and np.array_equal(same, X.astype(np.float32))
    expected = to_float(evaluate(design, quantize_inputs(design, X)), design.output_formats)
    assert np.array_equal(accelerator.predict(X.tolist()), expected)


@pytest.mark.parametrize("kind", ["argmax", "one output"])
def test_classes_of_every_kind_of_head(kind):
    def wanted(design):
        return design.head == "argmax" if kind == "argmax" else design.head != "argmax" and outputs(design) == 1

    def outputs(design):
        return len(design.layers[-1].neurons)

    def varied(seed):
        design = strategies.random_design(seed)
        values = evaluate(design, strategies.vectors(design, 40))
        return (
            wanted(design) and (len(set(values[:, 0])) > 1) and (kind == "argmax" or values.min() <= 0 < values.max())
        )

    design, _, accelerator = set_up(next(seed for seed in range(400) if varied(seed)))
    values = to_float(strategies.vectors(design, 40), [q.format for q in design.inputs])
    expected = evaluate(design, quantize_inputs(design, values))[:, 0]
    expected = expected if kind == "argmax" else (expected > 0).astype(np.int64)
    classes = accelerator.classify(values)
    assert (
        classes.shape == (40,)
        and classes.dtype.kind == "i"
        and np.array_equal(classes, expected)
        and len(set(expected)) > 1
    )


def test_self_test_tells_the_first_of_all_differences(made):
    design, board, _ = made
    accelerator, inputs = again(board), strategies.vectors(design, 20)
    with pytest.raises(driver.AcceleratorError, match="no self test was loaded"):
        accelerator.self_test()
    expected = evaluate(design, inputs)
    accelerator._selftest = {"inputs": inputs.tolist(), "expected": expected.tolist()}
    assert accelerator.self_test() == 20
    wrong = expected.copy()
    wrong[7, -1] += 1
    wrong[9] += 2
    accelerator._selftest["expected"] = wrong.tolist()
    last = expected.shape[1] - 1
    told = f"vector 7, output {last}: expected {wrong[7, -1]}, got {expected[7, -1]}; {2 + last} values differ"
    with pytest.raises(driver.SelfTestFailed, match=f"^{re.escape(told)}$"):
        accelerator.self_test()


def test_loading_needs_both_files_and_passes_options_on(made, tmp_path, monkeypatch):
    design, board, _ = made
    board.faults = Faults()
    model = {k: v for k, v in board.model.items() if k not in ("shell", "bench")}
    (tmp_path / "accelerator.json").write_text(json.dumps(model))
    (tmp_path / "selftest.json").write_text(json.dumps({"inputs": [], "expected": []}))
    asked = []

    def overlay(path):
        asked.append(path)
        return types.SimpleNamespace(accelerator=board.core, axi_dma_0=board.dma)

    fake = types.SimpleNamespace(Overlay=overlay, allocate=lambda shape, kind: board.allocate(*shape))
    monkeypatch.setitem(sys.modules, "pynq", fake)
    bit, hwh = (tmp_path / f"{design.name}.{suffix}" for suffix in ("bit", "hwh"))
    for present in ((), (bit,), (hwh,)):
        for file in (bit, hwh):
            file.unlink(missing_ok=True)
        for file in present:
            file.write_text("")
        with pytest.raises(
            driver.AcceleratorError, match=rf"^{re.escape(str(bit))} or its \.hwh is not there; make them"
        ):
            driver.Accelerator.load(tmp_path)
    bit.write_text("")
    loaded = driver.Accelerator.load(str(tmp_path), max_vectors=7, timeout_s=0.5)
    assert asked == [str(bit)] and (loaded.max_vectors, loaded.timeout_s) == (7, 0.5)
    assert isinstance(loaded, driver.Accelerator) and loaded._selftest == {"inputs": [], "expected": []}


def test_the_board_is_not_asked_for_more_than_fits(made):
    """A transfer has no more vectors than the buffers hold, the last one what is left."""
    design, board, _ = made
    accelerator, counts = again(board, max_vectors=8), []
    write = Board.run

    def run(data):
        counts.append(len(data) // board.model["layout"]["in_bytes"])
        return write(board, data)

    board.run = run
    try:
        inputs = strategies.vectors(design, 20)
        assert np.array_equal(accelerator.infer(inputs), evaluate(design, inputs))
        assert np.array_equal(accelerator.infer(inputs[:16]), evaluate(design, inputs[:16]))
    finally:
        del board.run
    assert counts == [8, 8, 4, 8, 8]


def test_rows_as_people_have_them_are_read_cell_by_cell():
    schema = {"features": ["width", "kind"], "levels": [[1, ["a", "b"]]], "missing": ["na", "?"]}
    nan = np.nan
    rows = [
        {"width": " 1.5 ", "kind": "b"}, {"width": "NA", "kind": "c"}, {"width": 2, "kind": None}, {"kind": "a"},
    ]  # fmt: skip
    expected = [[1.5, 1.0], [nan, -1.0], [2.0, nan], [nan, 0.0]]
    assert np.array_equal(driver.read_rows(rows, schema), expected, equal_nan=True)
    table = {"kind": ["a", "?"], "width": np.array([3.0, nan]), "more": [0, 0]}
    assert np.array_equal(driver.read_rows(table, schema), [[3.0, 0.0], [nan, nan]], equal_nan=True)
    days = np.array(["2026-01-05", "2026-02-01", "NaT"], "M8[D]")
    arrays = {"kind": np.array([2.0, 2.5, nan]), "width": np.array([1, None, "?"], object)}
    for kind, levels in ((arrays["kind"], ["2.5", "2"]), (days, ["2026-02-01", "2026-01-05"])):
        own = schema | {"levels": [[1, levels]], "missing": ["?", "nan", "nat"]}
        found = driver.read_rows(arrays | {"kind": kind}, own)
        assert np.array_equal(found, [[1.0, 1.0], [nan, 0.0], [nan, nan]], equal_nan=True)
    for cell in ("1_000", "wide"):  # Python reads 1_000 as a number, a table does not
        with pytest.raises(ValueError, match=f"column 'width' holds '{cell}' in row 0, where the model takes numbers"):
            driver.read_rows({"width": [cell], "kind": ["a"]}, schema)
    with pytest.raises(ValueError, match="there is no column 'width'"):
        driver.read_rows({"kind": ["a"]}, schema)
