"""The AXI4-Stream shell in simulation: right ones agree in every layout, wrong ones are found out."""

import subprocess

import numpy as np
import pytest
import sim_models as models
import strategies

from flow.bench.bus_layout import Layout, layout_of, pack_inputs, pack_outputs, unpack_inputs
from flow.bench.description import Bench, Element
from flow.build.engines.axis import run_axis
from flow.build.options import Options
from flow.core.errors import DesignError, UsageError
from flow.core.evaluate import evaluate
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import Rtl, emit_parallel
from flow.emit.shell.axis import emit_axis
from flow.files import plan
from flow.folded.lowering import lower
from flow.folded.search import smallest
from flow.parallel.generators import build_graphs
from flow.parts.catalog import resolve
from flow.tools import verilator

# Lanes wider than needed: two beats each way, with padding in the last one of a vector.
WIDE = Layout("bytes", 32, 16, 16, "i2", "i2", in_beats=2, out_beats=2, in_data_bytes=6)


def hand_written(folder, text, lanes, bus, interval=1):
    """The shell around one of the small cores, its description and its files."""
    bench = models.write(folder / "rtl", text, interval=interval)
    files = {bench.sources[0]: text}
    rtl = Rtl(bench.top, files, bench.latency_cycles, {}, 0.0, interval, bench.ready)
    layout = WIDE if lanes == "wide" else layout_of(bench, lanes, bus)
    return emit_axis("small", rtl, bench, layout), bench, [folder / "rtl" / bench.sources[0]]


def of_design(folder, design, rtl, lanes, bus):
    bench = describe(design, rtl)
    plan.write(rtl.files, folder / "rtl")
    shell = emit_axis(design.name, rtl, bench, layout_of(bench, lanes, bus))
    return shell, bench, [folder / "rtl" / name for name in rtl.files]


def run(folder, shell, bench, sources, inputs, expected, seed=0, long_cycles=1000):
    plan.write(shell.files, folder / "shell")
    files = [*sources, *(folder / "shell" / name for name in shell.files)]
    return run_axis(shell, bench, files, inputs, expected, folder / "work", seed=seed, long_cycles=long_cycles)


@pytest.mark.parametrize(("lanes", "bus"), [("wide", 32), ("packed", 64)])
def test_pipelined_core_agrees(tmp_path, lanes, bus):
    shell, bench, sources = hand_written(tmp_path, models.PIPELINE, lanes, bus)
    result = run(tmp_path, shell, bench, sources, *models.vectors(60))
    assert result.agrees and result.vectors == 60, result.message


def test_core_with_handshakes_agrees(tmp_path):
    shell, bench, sources = hand_written(tmp_path, models.HANDSHAKE, "bytes", 64, interval=3)
    result = run(tmp_path, shell, bench, sources, *models.vectors(60), seed=5)
    assert result.agrees, result.message


@pytest.mark.parametrize("seed", range(3))
def test_random_designs_agree(tmp_path, seed):
    design = strategies.random_design(seed + 20, max_size=9)
    rtl = emit_parallel(design, build_graphs(design), 4.0)
    shell, bench, sources = of_design(tmp_path, design, rtl, ["bytes", "packed"][seed % 2], [32, 64][seed // 2])
    inputs = strategies.vectors(design, 30, seed)
    result = run(tmp_path, shell, bench, sources, inputs, evaluate(design, inputs), seed)
    assert result.agrees, result.message


def folded(folder, changes=()):
    """The shell around a folded core of two layers, the second one slower; ``changes`` as in FOLDED_BUGS."""
    design = strategies.random_design(62, max_size=9)
    rtl = emit_folded(smallest(lower(design), resolve("xc7z020"), 12), 10.0)
    assert rtl.ready and len(rtl.layer_latency_cycles) == 2
    shell, bench, sources = of_design(folder, design, rtl, "bytes", 32)
    for file, old, new in changes:
        name = next(name for name in [*rtl.files, *shell.files] if name.endswith(file))
        text = {**rtl.files, **shell.files}[name]
        assert text.count(old) == 1, text
        if name in shell.files:
            shell.files[name] = text.replace(old, new)
        else:
            plan.write({name: text.replace(old, new)}, folder / "rtl")
    inputs = strategies.vectors(design, 30)
    return run(folder, shell, bench, sources, inputs, evaluate(design, inputs))


def test_folded_design_agrees(tmp_path):
    result = folded(tmp_path)
    assert result.agrees, result.message


FOLDED_BUGS = {
    "takes a vector while busy": (
        "dense_0.v",
        "assign in_ready = pause == 0 && ready && room;",
        "assign in_ready = 1'b1;",
    ),
    "starts without its input": (
        "dense_1.v",
        "assign start = waiting && ready && room;",
        "assign start = ready && room;",
    ),
    "a reset leaves a buffer half way": ("folded_control.v", "            next_base <= 0;\n        end", "        end"),
    "input without a place for its result": ("axis.v", ".in_valid(part_valid && allowed)", ".in_valid(part_valid)"),
}


@pytest.mark.parametrize("bug", FOLDED_BUGS)
def test_bugs_around_a_folded_core_are_found(tmp_path, bug):
    """Pauses on both sides, a full output and resets reach the handshakes inside the core."""
    assert not folded(tmp_path, [FOLDED_BUGS[bug]]).agrees


BUGS = {
    "results without a place": (
        "axis_results.v",
        "(entered ^ taken) != {1'b1, {ADDRESS_BITS{1'b0}}}",
        "1'b1",
        "entered",
    ),
    "TLAST of another vector": ("axis_results.v", "lasts[taken[", "lasts[finished[", "TLAST"),
    "TLAST on every beat": ("axis_send.v", "ends && final_beat", "ends", "TLAST after"),
    "output changes while stalled": ("axis_send.v", "else if (sent) begin", "else if (busy) begin", "neuron"),
    "a gap after every result": ("axis_send.v", "!busy || (sent && final_beat)", "!busy", "per vector promised"),
    "input overtakes": ("axis_collect.v", ".room(!full || vector_ready)", ".room(1'b1)", "expected"),
    "torn packets hang": ("axis_packets.v", "filling <= packet_ends && !final_beat", "filling <= 1'b0", "torn packet"),
    "holes unseen": ("axis_packets.v", "|(needed & ~s_axis_tkeep)", "1'b0", "ERRORS after a hole"),
    "padding taken for data": ("axis_top", ".LAST_KEEP(4'd3)", ".LAST_KEEP(4'd15)", "after padding was left out"),
    "short packets unseen": ("axis_packets.v", "number < packet_vectors", "1'b0", "ERRORS after a short packet"),
    "late TLAST unseen": ("axis_packets.v", "number == packet_vectors", "1'b0", "ERRORS after a late TLAST"),
    "soft reset does nothing": ("axis_top", "!aresetn || soft_reset", "!aresetn", "outlived a reset"),
    "wrong digest": ("axis_registers.v", "DIGEST[63:32]", "DIGEST[31:0]", "DIGEST6"),
    "byte strobes ignored": ("axis_registers.v", "10'h13 && s_axi_wstrb[i]", "10'h13", "PACKET is"),
    "zero extension": ("axis_top", "{9{result[6]}}", "{9{1'b0}}", "sign extension"),
    "element from the wrong place": ("axis_top", "vector[0+:4]", "vector[1+:4]", "neuron 0"),
}


def marked(bug):
    """Gaps are told at the end of all phases alone."""
    return pytest.param(bug, marks=[pytest.mark.long] if bug == "a gap after every result" else [])


@pytest.mark.parametrize("bug", [marked(bug) for bug in BUGS])
def test_bugs_are_found(tmp_path, bug):
    file, old, new, message = BUGS[bug]
    shell, bench, sources = hand_written(tmp_path, models.PIPELINE, "wide", 32)
    name = f"{shell.top}.v" if file == "axis_top" else file
    assert shell.files[name].count(old) == 1, shell.files[name]
    shell.files[name] = shell.files[name].replace(old, new)
    result = run(tmp_path, shell, bench, sources, *models.vectors(20))
    assert not result.agrees
    told = [str(result.first_mismatch), *result.problems]
    assert any(message in line for line in told), told


@pytest.mark.parametrize("seed", range(6))
def test_lint(tmp_path, seed):
    """Verilator -Wall has nothing to say about the shell, whatever the widths; Icarus -Wall neither."""
    design = strategies.random_design(seed, max_size=9)
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    shell, _, sources = of_design(tmp_path, design, rtl, ["bytes", "packed"][seed % 2], [32, 64][seed % 3 % 2])
    plan.write(shell.files, tmp_path / "shell")
    files = [str(f) for f in [*sources, *(tmp_path / "shell" / name for name in shell.files)]]
    for command in (
        [verilator.find(), "--lint-only", "-Wall", "-Wno-fatal", "--top-module", shell.top, *files],
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", "-s", shell.top, *files],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not [line for line in done.stderr.splitlines() if "/shell/" in line and "arning" in line], done.stderr


def test_layouts():
    elements = (Element(4, True, "a"), Element(0, False, "b"), Element(8, False, "c"), Element(3, False, "d"))
    bench = Bench("core", (), elements, elements[2:], 1)
    numbers = np.array([[-8, 0, 255, 7], [7, 0, 0, 1]])
    wide = layout_of(bench, "bytes", 32)
    assert (wide.in_type, wide.out_type) == ("i2", "u1"), "an unsigned byte beside a signed element needs a wider lane"
    assert (wide.in_beats, wide.in_data_bytes, wide.out_bytes) == (2, 8, 4)
    assert pack_inputs(wide, bench, numbers)[0].view("<i2").tolist() == [-8, 0, 255, 7]
    narrow = layout_of(bench, "packed", 64)
    assert (narrow.in_beats, narrow.in_bytes, narrow.in_data_bytes) == (1, 8, 2)
    assert pack_inputs(narrow, bench, numbers)[0].tolist() == [0xF8, 0x7F, 0, 0, 0, 0, 0, 0]
    assert pack_outputs(narrow, bench, numbers[:, 2:])[0].tolist()[:2] == [0xFF, 7]
    for layout in (wide, narrow):
        assert np.array_equal(unpack_inputs(layout, bench, pack_inputs(layout, bench, numbers)), numbers)
    with pytest.raises(DesignError, match="choose bytes or packed"):
        layout_of(bench, "nibbles", 32)


def test_emission_is_pure(tmp_path):
    first, *_ = hand_written(tmp_path, models.PIPELINE, "bytes", 32)
    again, *_ = hand_written(tmp_path, models.PIPELINE, "bytes", 32)
    other, *_ = hand_written(tmp_path, models.PIPELINE, "bytes", 64)
    assert first == again
    assert first.digest != other.digest


def test_options_are_checked():
    Options.of("m.h5", "pynq-z2", shell="pynq", lanes="packed", bus_bits=64)
    for shell, lanes, bus, where, message in (
        ("axi", "bytes", 32, "pynq-z2", "--shell axi is not known"),
        ("axis", "nibbles", 32, "pynq-z2", "--lanes nibbles"),
        ("axis", "bytes", 16, "pynq-z2", "--bus-bits 16"),
        ("pynq", "bytes", 32, "kv260", "use --shell axis"),
    ):
        with pytest.raises(UsageError, match=message):
            Options.of("m.h5", where, shell=shell, lanes=lanes, bus_bits=bus)
