"""The board's driver against a board in software: exact where all is well, a clear error where anything is not."""

import ast
import functools
import importlib
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import strategies
from shell_models import RECEIVE, SEND, Board, Faults

from flow.bench.bus_layout import layout_of, pack_outputs, unpack_inputs
from flow.bench.vectors import off_grid
from flow.core.errors import DataError
from flow.core.evaluate import evaluate, quantize_inputs, real_outputs, to_float
from flow.core.fixed import ROUNDINGS
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.emit.shell.axis import emit_axis
from flow.emit.shell.pynq import FILES, accelerator, emit_pynq
from flow.parallel.generators import build_graphs
from hls_templates import pynq_driver as driver
from keras_models.data.preprocess import Preprocessing

LAYOUTS = [("bytes", 32), ("packed", 32), ("bytes", 64), ("packed", 64)]


@functools.cache
def hardware(seed):
    """A random design, its Verilog and its bench."""
    design = strategies.random_design(seed)
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    return design, rtl, describe(design, rtl)


def set_up(seed=3, lanes="bytes", bus=32, preprocessing=None, classes=(), **options):
    """A random design, its board and its driver."""
    design, rtl, bench = hardware(seed)
    layout = layout_of(bench, lanes, bus)
    shell = emit_axis(design.name, rtl, bench, layout)
    model = json.loads(json.dumps(accelerator(design, shell, bench, preprocessing, classes)))
    model["shell"], model["bench"] = shell, bench

    def answer(data):
        return pack_outputs(layout, bench, evaluate(design, unpack_inputs(layout, bench, data)))

    board = Board(model, answer)
    made = driver.Accelerator(model, board.core, board.dma, board.allocate, **{"timeout_s": 0.05, **options})
    return design, board, made


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("lanes", "bus"), LAYOUTS)
def test_driver_equals_the_golden_model(seed, lanes, bus):
    design, board, accelerator = set_up(seed, lanes, bus, max_vectors=32)
    board.faults.slow = 3
    mantissas = strategies.vectors(design, 100, seed)
    expected = evaluate(design, mantissas)
    assert np.array_equal(accelerator.infer(mantissas), expected)
    values = np.random.default_rng(seed).normal(0, 40, (100, len(design.inputs)))
    saturating = [not q.wraps for q in design.inputs]
    values[0, saturating], values[1, saturating] = np.inf, -np.inf
    expected = evaluate(design, quantize_inputs(design, values))
    assert np.array_equal(accelerator.quantize(values), quantize_inputs(design, values))
    real = expected[:, 0] if design.head == "argmax" else to_float(expected, design.output_formats)
    assert np.array_equal(accelerator.predict(values), real)
    classes = accelerator.classify(values)
    if design.head != "argmax" and expected.shape[1] > 1:
        assert np.array_equal(classes, real.argmax(axis=1))
    assert accelerator.infer(mantissas[:0]).shape == (0, expected.shape[1])


@pytest.mark.parametrize("seed", range(12))
def test_floats_of_every_kind_are_read_as_in_the_golden_model(seed):
    design, _, accelerator = set_up(seed)
    rounding = ROUNDINGS[seed % 3]
    inputs = tuple(replace(q, rounding=rounding) for q in design.inputs)
    accelerator.model["inputs"] = [{**about, "rounding": rounding} for about in accelerator.model["inputs"]]
    values = off_grid(inputs, 400, seed)
    expected = quantize_inputs(replace(design, inputs=inputs), values)
    assert np.array_equal(accelerator.quantize(values), expected)
    if any(q.wraps for q in inputs):
        infinite = np.full((1, len(inputs)), np.inf)
        with pytest.raises(ValueError, match="infinite"):
            accelerator.quantize(infinite)
        with pytest.raises(DataError, match="infinite"):
            quantize_inputs(design, infinite)
    wide = np.abs(values) > 1e38
    values[wide] = np.sign(values[wide]) * 1e38
    doubles = values * (1 + 2.0**-30)  # read as float32, as Keras does
    assert np.array_equal(accelerator.quantize(doubles), quantize_inputs(replace(design, inputs=inputs), doubles))


@pytest.mark.parametrize("fracs", [(0, 60), (-30, 0)])
def test_classes_of_logits_on_grids_far_apart(fracs):
    design, _, accelerator = set_up(5)
    outputs = [{"bits": 40, "frac": frac, "signed": True, "name": name} for frac, name in zip(fracs, "ab", strict=True)]
    accelerator.model = {**accelerator.model, "head": "logits", "preprocessing": None, "outputs": outputs}
    accelerator.infer = lambda mantissas: np.array([[1, 1 << 20], [0, 1], [-1, -(1 << 19)], [1 << 38, 1 << 38]])
    assert accelerator.classify(np.zeros((4, len(design.inputs)))).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("seed", [5, 6])
def test_units_of_inputs_and_outputs_are_the_designs(seed):
    design, _, board = set_up(seed)
    assert board.model["units"] == [1, 1]
    units = float(np.float32(0.3367)), 0.0222
    scaled = replace(design, source={"input_unit": units[0], "output_unit": units[1]})
    told = accelerator(scaled, board.model["shell"], board.model["bench"], None)["units"]
    assert told == [units[0], 1.0 if design.head == "argmax" else units[1]]
    board.model["units"] = told
    values = off_grid(design.inputs, 200, seed) * np.float32(0.3)
    mantissas = quantize_inputs(scaled, values)
    assert np.array_equal(board.quantize(values), mantissas) and mantissas.any()
    if design.head == "logits":
        assert np.array_equal(board.predict(values), real_outputs(scaled, evaluate(design, mantissas)))


def test_ties_are_rounded_as_in_the_golden_model():
    design, _, accelerator = set_up(5)
    halves = np.arange(-64, 64)[:, None] / 16 + np.zeros(len(design.inputs))
    assert np.array_equal(accelerator.quantize(halves), quantize_inputs(design, halves))


def test_preprocessing_and_target_scaling_are_the_models_own():
    design = strategies.random_design(1)
    n, outputs = len(design.inputs), len(design.layers[-1].neurons)
    columns = {"log": (True,) * (n - 1), "mean": (0.3,) * (n - 1), "scale": (1.7,) * (n - 1), "clip": (True,) * (n - 1)}
    model = Preprocessing(
        n, tuple(range(n - 1)), categorical=((n - 1, (2.0,)),), **columns,
        target_mean=tuple(0.5 + i for i in range(outputs)), target_std=(2.5,) * outputs,
    )  # fmt: skip
    _, _, accelerator = set_up(1, preprocessing=json.loads(model.to_json()))
    X = np.random.default_rng(0).normal(0, 30, (200, n)).round()
    assert np.array_equal(accelerator.preprocess(X), model.apply(X))
    logits = to_float(evaluate(design, quantize_inputs(design, model.apply(X))), design.output_formats)
    assert np.array_equal(accelerator.predict(X), model.restore_targets(logits))


@pytest.mark.parametrize("seed", range(6))
def test_classes_come_back_as_the_labels_of_the_data(seed):
    design = strategies.random_design(seed)
    outputs = len(design.layers[-1].neurons)
    labels = np.array([7 * i - 5 for i in range(max(outputs, 2))])
    named, plain = (set_up(seed, classes=classes)[2] for classes in (labels.tolist(), ()))
    X = np.random.default_rng(seed).normal(0, 20, (60, len(design.inputs)))
    assert np.array_equal(named.classify(X), labels[plain.classify(X)])
    expected = labels[plain.predict(X)] if design.head == "argmax" else plain.predict(X)
    assert np.array_equal(named.predict(X), expected)


FAULTS = {
    "results missing": (Faults(missing_output=8), driver.ShortTransfer, "bytes came back"),
    "no TLAST on the output": (Faults(no_output_last=True), driver.TransferTimeout, "accelerator to memory did not"),
    "input cut short": (Faults(missing_input=16), driver.ShortTransfer, "fewer vectors than announced"),
    "input without TLAST": (Faults(no_input_last=True), driver.TransferTimeout, "TLAST did not come"),
    "input stalls for ever": (Faults(stalled_input=True), driver.TransferTimeout, "memory to accelerator did not"),
    "DMA slave error": (Faults(dma_error={RECEIVE: 0x20}), driver.DmaError, "accelerator to memory: slave error"),
    "DMA address error": (Faults(dma_error={SEND: 0x50}), driver.DmaError, "internal, address error"),
    "DMA does not start": (Faults(stays_halted=True), driver.TransferTimeout, "stayed halted"),
    "DMA halts": (Faults(halts=True), driver.TransferTimeout, "memory to accelerator did not finish"),
    "holes in the stream": (Faults(noted=8), driver.StreamError, "TKEEP left out"),
    "a stray result": (Faults(noted=16), driver.StreamError, "without a vector"),
    "a vector too many": (Faults(extra_vectors=1), driver.StreamError, "21 vectors in 1 packets in, 20 results"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_goes_wrong_is_told_and_can_be_recovered_from(fault):
    faults, error, message = FAULTS[fault]
    design, board, accelerator = set_up(3)
    mantissas = strategies.vectors(design, 20)
    board.faults = faults
    with pytest.raises(error, match=message) as caught:
        accelerator.infer(mantissas)
    assert isinstance(caught.value, driver.AcceleratorError)
    board.faults = Faults()
    assert np.array_equal(accelerator.infer(mantissas), evaluate(design, mantissas))


def test_stuck_reset_is_told_and_does_not_hide_the_first_error():
    design, board, accelerator = set_up(3)
    board.faults = Faults(stuck_reset=True, missing_output=8)
    with pytest.raises(driver.TransferTimeout, match="its reset"):
        accelerator.recover()
    with pytest.raises(driver.ShortTransfer):
        accelerator.infer(strategies.vectors(design, 20))


@pytest.mark.parametrize(
    ("address", "value", "message"),
    [(0x00, 0, "MAGIC is 0x00000000"), (0x04, 9, "version 9"), (0x3C, 1, "the bitstream is of build")],
)
def test_another_bitstream_is_refused(address, value, message):
    _, board, _ = set_up(3)
    board.faults.registers = {address: value}
    with pytest.raises(driver.WrongBitstream, match=message):
        driver.Accelerator(board.model, board.core, board.dma, board.allocate)


def test_bad_arrays_are_refused():
    design, _, accelerator = set_up(3)
    n = len(design.inputs)
    with pytest.raises(ValueError, match="row 1, model input 0 is not a number"):
        accelerator.predict(np.array([[0.0] * n, [np.nan] * n]))
    with pytest.raises(ValueError, match=f"expected \\(rows, {n}\\) features"):
        accelerator.predict(np.zeros((2, n + 1)))
    with pytest.raises(ValueError, match="outside its range"):
        accelerator.infer(np.full((1, n), 1 << 40))
    with pytest.raises(ValueError, match=f"expected \\(rows, {n}\\) integers, got .* float64"):
        accelerator.infer(np.zeros((1, n)))


def test_driver_runs_on_the_old_python_of_a_board():
    ast.parse(Path(driver.__file__).read_text(), feature_version=(3, 8))


def test_files_load_on_a_board_with_self_test_and_notebook(tmp_path, monkeypatch):
    design, board, _ = set_up(3)
    mantissas = strategies.vectors(design, 20)
    expected = evaluate(design, mantissas)
    files = emit_pynq(design, board.model["shell"], board.model["bench"], 8.0, None, mantissas, expected)
    assert files == emit_pynq(design, board.model["shell"], board.model["bench"], 8.0, None, mantissas, expected)
    assert sorted(files) == sorted(FILES)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    overlay = types.SimpleNamespace(accelerator=board.core, axi_dma_0=board.dma)
    fake = types.SimpleNamespace(Overlay=lambda path: overlay, allocate=lambda shape, kind: board.allocate(*shape))
    monkeypatch.setitem(sys.modules, "pynq", fake)
    monkeypatch.syspath_prepend(str(tmp_path))
    shipped = importlib.import_module("driver")
    monkeypatch.delitem(sys.modules, "driver")
    with pytest.raises(shipped.AcceleratorError, match=r"block_design\.tcl"):
        shipped.Accelerator.load()
    for suffix in ("bit", "hwh"):
        (tmp_path / f"{design.name}.{suffix}").write_text("")
    assert shipped.Accelerator.load().self_test() == 20
    monkeypatch.setitem(sys.modules, "driver", shipped)
    names: dict = {}
    for cell in json.loads(files["example.ipynb"])["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    working = board.answer
    board.answer = lambda data: working(data) ^ 1
    with pytest.raises(shipped.SelfTestFailed, match="vector 0, output 0"):
        names["accelerator"].self_test()
    del overlay.accelerator
    with pytest.raises(shipped.WrongBitstream, match="not an overlay of this accelerator"):
        shipped.Accelerator.load()


VIVADO = """
set calls {}
proc unknown {name args} { lappend ::calls [list $name {*}$args]; return [answer $name $args] }
proc answer {name arguments} {
    if {[string match "ipx::get_bus_interfaces" $name]} { return one }
    if {$name eq "get_bd_intf_pins" || $name eq "get_bd_pins"} { return [lindex $arguments 0] }
    if {$name eq "create_bd_cell"} { return [lindex $arguments end] }
    if {$name eq "get_property" && [lindex $arguments 0] eq "PROGRESS"} { return "100%" }
    if {$name eq "get_property" && [lindex $arguments 0] eq "STATS.WNS"} { return $::slack }
    if {$name eq "get_property" && [lindex $arguments 0] eq "DIRECTORY"} { return $::run }
    return ""
}
"""


def vivado(script, run, slack="0.5"):
    """Run a script with Vivado's commands recorded; gives the calls."""
    tkinter = pytest.importorskip("tkinter")
    tcl = tkinter.Tcl()
    tcl.eval(VIVADO)
    tcl.setvar("run", str(run))
    tcl.setvar("slack", slack)
    tcl.eval(f"source {{{script}}}")
    calls = [tcl.splitlist(call) for call in tcl.splitlist(tcl.getvar("calls"))]
    return [tuple(map(str, call)) for call in calls]


def test_vivado_scripts_package_and_connect_everything(tmp_path):
    design, board, _ = set_up(3)
    bench, shell = board.model["bench"], board.model["shell"]
    files = emit_pynq(design, shell, bench, 8.0, None, *(np.zeros((1, 1), np.int64),) * 2)
    folder = tmp_path / "a build" / "pynq"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(Exception, match="is missing; copy the whole build folder"):
        vivado(folder / "package_ip.tcl", tmp_path)
    for name in [*bench.sources, *(f"shell/{n}" for n in shell.files)]:
        (folder.parent / name).parent.mkdir(exist_ok=True)
        (folder.parent / name).touch()
    calls = vivado(folder / "package_ip.tcl", tmp_path)
    added = [call[-1] for call in calls if call[0] == "add_files"]
    assert len(added) == len(bench.sources) + len(shell.files)
    assert {call[2] for call in calls if call[0] == "ipx::associate_bus_interfaces"} >= {"s_axis", "m_axis", "s_axi"}
    with pytest.raises(Exception, match=r"run package_ip\.tcl first"):
        vivado(folder / "block_design.tcl", tmp_path)
    (folder / "ip").mkdir()
    (folder / "ip" / "component.xml").touch()
    handoff = folder / "vivado/overlay/overlay.gen/sources_1/bd/system/hw_handoff"
    handoff.mkdir(parents=True)
    (handoff / "system.hwh").write_text("hwh")
    (tmp_path / "system_wrapper.bit").write_text("bit")
    with pytest.raises(Exception, match=r"timing is not met: slack -0\.1 ns at 125 MHz"):
        vivado(folder / "block_design.tcl", tmp_path, slack="-0.1")
    calls = vivado(folder / "block_design.tcl", tmp_path)
    assert (folder / f"{design.name}.bit").read_text() == "bit"
    assert (folder / f"{design.name}.hwh").read_text() == "hwh"
    joined = {pin for call in calls if call[0] == "connect_bd_intf_net" for pin in call[1:]}
    assert {"accelerator/s_axis", "accelerator/m_axis", "accelerator/s_axi", "ps/S_AXI_HP0"} <= joined
    clocked = {call[-1] for call in calls if call[0] == "connect_bd_net"}
    assert {"accelerator/aclk", "accelerator/aresetn", "axi_dma_0/axi_resetn", "ps/S_AXI_HP0_ACLK"} <= clocked
