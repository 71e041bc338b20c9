"""The checks can fail: every bug planted in emitted Verilog or in the HLS project is caught, with the neuron named."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.bench.vectors import make_vectors
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import ToolFailed
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.generators import build_graphs
from flow.tools import yosys
from flow.verify import simulate


def small_design() -> Design:
    """Three inputs, four hidden neurons of widths 1, 1.58, 3 and 4, three outputs; nothing is constant."""
    inputs = tuple(Quantizer.saturating(Fixed(True, 4, 2)) for _ in range(3))
    act = Quantizer.saturating(Fixed(False, 4, 1))
    hidden = (
        Neuron((1, -1, 1), 0, 1.0, 3, 2, act),
        Neuron((1, 0, -1), 0, 1.58, 1, 1, act),
        Neuron((3, -2, 1), 1, 3.0, -1, 2, act),
        Neuron((-5, 7, 2), 2, 4.0, 5, 3, act),
    )
    output = (Neuron((1, 1, -1, 1), 0, 1.0), Neuron((3, -3, 2, 1), 2, 3.0, 1, 0), Neuron((-7, 5, 1, 2), 3, 4.0))
    return finish(Design("net", inputs, (Layer("hidden", hidden), Layer("output", output))))


@pytest.fixture(scope="module")
def emitted():
    design = small_design()
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    inputs = make_vectors(design, 200)
    return design, rtl, describe(design, rtl), inputs, evaluate(design, inputs)


def simulate_files(files, bench, inputs, expected, folder):
    plan.write({f"rtl/{name}": text for name, text in files.items()}, folder)
    return simulate.run_cocotb("icarus", bench, folder, inputs, expected, folder / "sim")


def edit(files, name, pattern, replacement):
    text, count = re.subn(pattern, replacement, files[name], count=1, flags=re.M)
    assert count == 1, f"nothing to plant in {name}"
    return {**files, name: text}


def test_the_untouched_verilog_agrees(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    assert simulate_files(rtl.files, bench, inputs, expected, tmp_path).agrees


def test_one_wrong_weight_bit_is_caught_in_verilog(emitted, tmp_path):
    design, _, bench, inputs, expected = emitted
    last = design.layers[-1]
    wrong = replace(last.neurons[1], weights=(last.neurons[1].weights[0] ^ 1, *last.neurons[1].weights[1:]))
    other = finish(
        replace(design, layers=(design.layers[0], Layer(last.name, (last.neurons[0], wrong, last.neurons[2]))))
    )
    files = emit_parallel(other, build_graphs(other), 10.0).files
    formats = [f.bits for f in other.output_formats]
    if formats != [f.bits for f in design.output_formats]:
        pytest.fail("the planted bit changed a port; choose another weight")
    result = simulate_files(files, bench, inputs, expected, tmp_path)
    assert not result.agrees and "neuron 1" in result.message


def test_a_wrong_latency_is_caught(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    late = replace(bench, latency_cycles=bench.latency_cycles + 1)
    result = simulate_files(rtl.files, late, inputs, expected, tmp_path)
    assert not result.agrees and f"latency {bench.latency_cycles} seen" in result.message


def test_a_register_too_many_is_caught(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    files = edit(rtl.files, "net_output.v", r"^    assign y\[", "    reg [63:0] late;\n    assign y[")
    files = edit(files, "net_output.v", r"^    assign (y\[\d+:\d+\]) = ([^;]+);(.*neuron 0)",
                 r"    always @(posedge clk) late <= \2;\n    assign \1 = late;\3")  # fmt: skip
    result = simulate_files(files, bench, inputs, expected, tmp_path)
    assert not result.agrees and "neuron 0" in result.message


def test_swapped_neurons_are_caught(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    text = rtl.files["net_hidden.v"]
    lines = re.findall(r"^    assign y\[[\d:]+\] = ([^;]+);", text, flags=re.M)
    swapped = (
        text.replace(f"= {lines[0]};", "= @;")
        .replace(f"= {lines[1]};", f"= {lines[0]};")
        .replace("= @;", f"= {lines[1]};")
    )
    result = simulate_files({**rtl.files, "net_hidden.v": swapped}, bench, inputs, expected, tmp_path)
    assert not result.agrees and "layer output, neuron" in result.message


def test_a_dropped_output_is_caught(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    files = edit(rtl.files, "net_output.v", r"^    assign y\[[\d:]+\] = [^;]+;  // neuron 2.*$", "")
    result = simulate_files(files, bench, inputs, expected, tmp_path)
    assert not result.agrees and "neuron 2" in result.message


def test_a_lost_result_is_caught(emitted, tmp_path):
    _, rtl, bench, inputs, expected = emitted
    files = edit(
        rtl.files, "net.v", r"assign out_valid = ([^;]+);", r"assign out_valid = \1 & (out_data[1:0] != 2'd1);"
    )
    result = simulate_files(files, bench, inputs, expected, tmp_path)
    assert not result.agrees


@pytest.fixture(scope="module")
def hls_project(tmp_path_factory):
    from flow.emit.hls.project import emit_hls

    design = small_design()
    inputs = make_vectors(design, 200)
    return design, dict(emit_hls(design, "xc7z020clg400-1", "Vitis", 10.0, inputs)), inputs


def run_hls_with(design, files, inputs, folder):
    from flow.tools.hls_compile import compile_bench
    from flow.verify.hls import first_mismatch

    plan.write(files, folder)
    return first_mismatch(design, inputs, compile_bench(folder, design.name))


def test_the_untouched_hls_project_agrees(hls_project, tmp_path):
    design, files, inputs = hls_project
    assert run_hls_with(design, files, inputs, tmp_path) is None


def test_one_wrong_weight_bit_is_caught_in_hls(hls_project, tmp_path):
    from flow.emit.hls.project import emit_hls

    design, _, inputs = hls_project
    first = design.layers[0]
    wrong = replace(first.neurons[3], weights=(-5, 6, 2))
    planted = replace(design, layers=(Layer(first.name, (*first.neurons[:3], wrong)), design.layers[1]))
    files = emit_hls(finish(planted), "xc7z020clg400-1", "Vitis", 10.0)
    message = str(run_hls_with(design, dict(files), inputs, tmp_path))
    assert "layer hidden, neuron 3" in message


def test_swapped_neurons_are_caught_in_hls(hls_project, tmp_path):
    from flow.emit.hls.project import emit_hls

    design, _, inputs = hls_project
    a, b, *rest = design.layers[0].neurons
    planted = replace(design, layers=(Layer("hidden", (b, a, *rest)), design.layers[1]))
    files = emit_hls(finish(planted), "xc7z020clg400-1", "Vitis", 10.0)
    message = str(run_hls_with(design, dict(files), inputs, tmp_path))
    assert re.search("layer hidden, neuron [01]:", message)


def test_vectors_reach_every_output(emitted):
    _, _, _, _, expected = emitted
    assert (np.ptp(expected, axis=0) > 0).all()


def test_a_loop_of_gates_is_refused_by_synthesis(emitted, tmp_path):
    """A simulator may settle where hardware oscillates or remembers."""
    _, rtl, bench, _, _ = emitted
    looped = edit(
        rtl.files, "net.v", r"assign out_data = output_y;", "assign out_data = output_y & ~{23{out_data[0]}};"
    )
    for files in (rtl.files, looped):
        plan.write(dict(files), tmp_path)
        script = yosys.synthesis_script([Path(s).name for s in bench.sources], bench.top, "xc7", dsp=False)
        if files is rtl.files:
            yosys.synthesize(tmp_path, script, 300.0)
            continue
        with pytest.raises(ToolFailed, match="no hardware: found logic loop in module net; see"):
            yosys.synthesize(tmp_path, script, 300.0)
