"""The hls4ml project computes what the integer design says, judges itself, and says which neuron is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import random_choices, random_design, vectors

from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DesignError, ToolFailed, UsageError
from flow.core.evaluate import evaluate, to_float
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.names import hls_top
from flow.core.passes.widths import widths
from flow.emit.hls.bench import expected_columns
from flow.emit.hls.project import emit_hls, model_graph
from flow.emit.hls.schedule import HlsChoices, Schedule
from flow.files.plan import Plan, write
from flow.tools.hls_compile import compile_bench, self_check
from flow.verify.hls import first_mismatch, run_hls
from flow.verify.hls_batch import compile_batch, run_hls_batch

PART = "xc7z020clg400-1"


def text(plan: Plan, name: str) -> str:
    content = plan[name]
    return content if isinstance(content, str) else content.decode()


def small_design(head: str = "logits") -> Design:
    """Two layers, groups of 0, 1, 1.58 and 4 bits, every weight visible at the output."""
    inputs = tuple(Quantizer.saturating(Fixed(True, 4, 2)) for _ in range(4))
    relu = Quantizer.saturating(Fixed(False, 6, 1), "RND", relu=True)
    hidden = (
        Neuron((1, -1, 1, 1), 1, 1.0, 3, 2, relu),
        Neuron((0, 0, 0, 0), 0, 0.0, 5, 2, relu),
        Neuron((1, 0, -1, 0), 0, 1.58, 2, 0, relu),
        Neuron((7, -5, 3, 2), 3, 4.0, 0, 0, relu),
    )
    out = (Neuron((1, 1, 1, 1), 0, 1.0), Neuron((3, -2, 7, -6), 2, 4.0, -3, 1), Neuron((1, 0, -1, 1), 0, 1.58))
    return group(widths(Design("tiny", inputs, (Layer("hidden", hidden), Layer("logits", out)), head)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hls")
    design = small_design()
    write(emit_hls(design, PART, vectors=vectors(design, 64)), folder)
    return folder


def test_output_equals_the_integer_model(project: Path) -> None:
    design, x = small_design(), vectors(small_design(), 500, seed=3)
    assert np.array_equal(run_hls(design, x, project), evaluate(design, x))
    assert first_mismatch(design, x, project / "csim" / "bench") is None
    assert "PASS 64 vectors" in self_check(project / "csim" / "bench", project).text


def test_random_designs_equal_the_integer_model(tmp_path: Path) -> None:
    batch = [(d, vectors(d, 100, seed=i)) for i, d in enumerate(random_design(i, name=f"r{i}") for i in range(16))]
    for (design, x), found in zip(batch, run_hls_batch(batch, tmp_path), strict=True):
        assert np.array_equal(found, evaluate(design, x)), design


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_the_project_is_standard_and_reproducible(backend: str) -> None:
    plan = emit_hls(small_design(), PART, backend, 4.0)
    assert {
        "build_prj.tcl", "project.tcl", "firmware/tiny.cpp", "firmware/tiny.h", "firmware/parameters.h",
        "firmware/defines.h", "firmware/nnet_utils/nmp_grouped_dense.h", "tiny_test.cpp", "tiny_bridge.cpp",
    } <= set(plan)  # fmt: skip
    assert plan == emit_hls(small_design(), PART, backend, 4.0)
    project_tcl = text(plan, "project.tcl")
    assert f'set part "{PART}"' in project_tcl and "clock_period 4.0" in project_tcl
    assert not [name for name in plan if "/tmp" in text(plan, name)]


def test_groups_keep_their_own_weight_type_and_pruned_neurons_have_none() -> None:
    code = text(emit_hls(small_design(), PART), "firmware/parameters.h")
    assert "NMP_WEIGHTS(ap_uint<1>, signed char) hidden_w1[1][4]" in code
    assert "NMP_WEIGHTS(ap_int<2>, signed char) hidden_w1p58[1][4]" in code
    assert "NMP_WEIGHTS(ap_int<4>, signed char) hidden_w4[1][4]" in code
    assert "hidden_w0" not in code


def test_hls4ml_itself_compiles_and_predicts(tmp_path: Path) -> None:
    design = small_design()
    model = model_graph(design, PART, "Vitis", 5.0, str(tmp_path / "p"))
    model.compile()
    x = vectors(design, 20)
    found = model.predict(np.ascontiguousarray(to_float(x, design.input_formats)))
    assert np.array_equal(found, to_float(evaluate(design, x), design.output_formats))


def test_argmax_head(tmp_path: Path) -> None:
    design = small_design("argmax")
    x = vectors(design, 300)
    write(emit_hls(design, PART, vectors=x), tmp_path)
    assert np.array_equal(run_hls(design, x, tmp_path), evaluate(design, x))
    assert "PASS 300 vectors" in self_check(tmp_path / "csim" / "bench", tmp_path).text


RESOURCE = HlsChoices(default=Schedule("resource", 3))
MIXED = {
    "hidden": {
        "Groups": [{"WeightBits": 4, "Strategy": "Resource", "ReuseFactor": 4}, {"WeightBits": 1, "ReuseFactor": 2}]
    },
    "logits": {"Strategy": "Latency", "ReuseFactor": 3, "Groups": [{"WeightBits": 1.58, "ReuseFactor": 1}]},
}


def test_resource_strategy_builds_the_same_sums_in_steps(tmp_path: Path) -> None:
    design, x = small_design(), vectors(small_design(), 64)
    with pytest.warns(
        UserWarning, match=r"Invalid ReuseFactor=3 .*Using ReuseFactor=2 .*Valid ReuseFactor\(s\): 1,2,4"
    ):
        plans = [emit_hls(design, PART, backend, vectors=x, chosen=RESOURCE) for backend in ("Vitis", "Vivado")]
    code = text(plans[0], "firmware/parameters.h")  # 3 does not divide 4 inputs, 2 does
    assert "r < 2" in code and "ARRAY_RESHAPE variable=hidden_w4 block factor=2 dim=2" in code
    assert "#pragma HLS DATAFLOW" in text(plans[0], "firmware/tiny.cpp")
    binary = compile_batch([("tiny", plan) for plan in plans], tmp_path)
    for index in range(2):
        assert "PASS 64 vectors" in self_check(binary, tmp_path / str(index), select=index).text


def group_function(code: str, name: str) -> str:
    start = code.index(f"void nmp_{name}(const")
    return code[start : code.index("\n}", start)]


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_pragmas_carry_the_values_of_each_group(backend: str) -> None:
    code = text(emit_hls(small_design(), PART, backend, chosen=HlsChoices(layers=MIXED)), "firmware/parameters.h")
    wide, binary = group_function(code, "hidden_w4"), group_function(code, "hidden_w1")
    assert "ALLOCATION operation instances=mul limit=1\n" in wide and "r < 4" in wide
    assert "ARRAY_RESHAPE variable=hidden_w4 block factor=1 dim=2" in wide and "dot<ap_int<4>, 0, 0, 1, 4>" in wide
    assert "PIPELINE II=2\n" in binary and "ALLOCATION" not in binary  # a choice of sign is no multiplication
    assert "nmp_hidden_w1p58" not in code and "nmp_hidden_w0" not in code  # unrolled, and constants
    logits = group_function(code, "logits_w4")
    assert "PIPELINE II=3\n" in logits and "limit=2\n" in logits  # 4 products, 3 cycles
    assert "nmp_logits_w1p58" not in code


def test_one_pipeline_has_the_interval_of_its_slowest_group() -> None:
    plan = emit_hls(small_design(), PART, chosen=HlsChoices(layers={"logits": MIXED["logits"]}))
    assert "#pragma HLS PIPELINE II=3\n" in text(plan, "firmware/tiny.cpp")
    # Where cycles are to spare, HLS must not share multipliers between widths, in any layer of the pipeline.
    code = text(plan, "firmware/parameters.h")
    wide = group_function(code, "hidden_w4")
    assert "INLINE off" in wide and "PIPELINE II=1\n" in wide and "ALLOCATION operation instances=mul limit=4\n" in wide
    assert "nmp_hidden_w1(" not in code  # has no multipliers
    assert "INLINE off" not in text(emit_hls(small_design(), PART), "firmware/parameters.h")  # nothing could be shared


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_a_group_keeps_its_multipliers_beside_one_that_shares(io_type: str, tmp_path: Path) -> None:
    """Layers as processes of their own: only the neighbours within a layer count."""
    beside = {"hidden": {"Groups": [{"WeightBits": 1, "Strategy": "Resource", "ReuseFactor": 4}]}}
    x = vectors(small_design(), 64)
    plan = emit_hls(small_design(), PART, vectors=x, chosen=HlsChoices(io_type, layers=beside))
    code = text(plan, "firmware/parameters.h")
    assert "ALLOCATION operation instances=mul limit=4\n" in group_function(code, "hidden_w4")
    assert "void nmp_logits_w4(" not in code
    assert "PASS 64 vectors" in self_check(compile_batch([("tiny", plan)], tmp_path), tmp_path / "0", select=0).text


def test_streams_carry_whole_vectors(tmp_path: Path) -> None:
    designs = [small_design("argmax"), small_design()]
    x = vectors(designs[0], 64)
    chosen = [HlsChoices("io_stream"), HlsChoices("io_stream", layers=MIXED)]
    plans = [emit_hls(d, PART, vectors=x, chosen=c) for d, c in zip(designs, chosen, strict=True)]
    code = text(plans[0], "firmware/tiny.cpp")
    assert "hls::stream<input_t> &network_input" in code and "INTERFACE axis port=network_input" in code
    assert "nmp_hidden<input_t, layer2_t>(network_input, layer2_out)" in code
    binary = compile_batch([("tiny", plan) for plan in plans], tmp_path)
    for index in range(2):
        assert "PASS 64 vectors" in self_check(binary, tmp_path / str(index), select=index).text


def test_random_schedules_and_interfaces_equal_the_integer_model(tmp_path: Path) -> None:
    designs = [random_design(i, name=f"r{i}") for i in range(100, 112)]
    batch = [(d, vectors(d, 100, seed=i)) for i, d in enumerate(designs)]
    chosen = [random_choices(d, i) for i, d in enumerate(designs)]
    for (design, x), found in zip(batch, run_hls_batch(batch, tmp_path, chosen=chosen), strict=True):
        assert np.array_equal(found, evaluate(design, x)), design


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"dense_9": {"ReuseFactor": 2}}, "speaks of layer dense_9; the model has hidden, logits"),
        ({"hidden": {"Strategy": "Unrolled"}}, "layer hidden: grouped layers have Strategy Latency or Resource"),
        ({"hidden": {"ReuseFactor": 0}}, r"ReuseFactor must be a whole number of 1 to \d+, not 0"),
        ({"hidden": {"Reuse": 2}}, "layer hidden: Reuse is not known"),
        ({"hidden": {"Groups": {"WeightBits": 4}}}, "Groups must be a list"),
        ({"hidden": {"Groups": [{"WeightBits": 8}]}}, "no group with WeightBits 8; the layer has 0, 1, 1.58, 4"),
        ({"hidden": {"Groups": [{"WeightBits": 4, "Neurons": [0]}]}}, "not this model's"),
        ({"hidden": {"Groups": [{"WeightBits": 4, "Reuse": 1}]}}, "Reuse is not known"),
        ({"hidden": {"Groups": [3]}}, "expected names with values, found 3"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(layers: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        emit_hls(small_design(), PART, chosen=HlsChoices(layers=layers))


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(DesignError, match="known: Vitis, Vivado"):
        emit_hls(small_design(), PART, "Quartus2000")


def test_missing_vectors_do_not_pass(project: Path, tmp_path: Path) -> None:
    write(emit_hls(small_design(), PART), tmp_path)
    with pytest.raises(ToolFailed, match="no vectors"):
        self_check(compile_bench(tmp_path, "tiny"), tmp_path)


def swap_hidden_neurons(code: str) -> str:
    """Neurons 0 and 2 of the hidden layer change places; only the output index differs."""
    start, end = code.index("void nmp_hidden"), code.index("logits:")
    body = (
        code[start:end].replace("out[0] =", "out[@] =").replace("out[2] =", "out[0] =").replace("out[@] =", "out[2] =")
    )
    return code[:start] + body + code[end:]


FAULTS = {
    "wrong weight bit": (lambda code: code.replace("{7, -5, 3, 2}", "{7, -5, 3, 3}"), "layer hidden, neuron 3"),
    "wrong binary weight": (lambda code: code.replace("{0, 1, 0, 0}", "{1, 1, 0, 0}"), "layer hidden, neuron 0"),
    "wrong constant": (lambda code: code.replace("out[1] = nmp::place<res_T, 0>(ap_uint<6>(3LL))", "out[1] = 0"),
                       "layer hidden, neuron 1"),
    "wrong rounding": (lambda code: code.replace("nmp::RND", "nmp::TRN"), "layer hidden, neuron"),
    "swapped neurons": (swap_hidden_neurons, "layer hidden, neuron 0"),
    "dropped output": (lambda code: code.replace("(sum_1);", "(0 * sum_1);"), "layer logits, neuron 1"),
}  # fmt: skip


def test_planted_faults_are_caught_and_named(tmp_path: Path) -> None:
    design, x = small_design(), vectors(small_design(), 64)
    good = emit_hls(design, PART, vectors=x)
    projects = []
    for change, _ in FAULTS.values():
        code = text(good, "firmware/parameters.h")
        broken = change(code)
        assert broken != code
        projects.append(("tiny", {**good, "firmware/parameters.h": broken}))
    binary = compile_batch(projects, tmp_path)
    for index, (fault, (_, named)) in enumerate(FAULTS.items()):
        with pytest.raises(ToolFailed, match=f"exit status 1: ERROR: mismatch at vector [0-9]+, {named}"):
            self_check(binary, tmp_path / str(index), select=index)
        mismatch = first_mismatch(design, x, binary, select=index)
        assert mismatch is not None and named in str(mismatch), fault


def test_expected_columns_end_with_the_output() -> None:
    design, x = small_design(), vectors(small_design(), 30)
    assert np.array_equal(expected_columns(design, x)[:, -3:], evaluate(design, x))


def test_wide_spread_of_formats_is_exact(tmp_path: Path) -> None:
    """Containers may be wider than 64 bits: elements of very different scales meet in one tensor."""
    inputs = (Quantizer.saturating(Fixed(True, 5, -30)), Quantizer.saturating(Fixed(False, 3, 50)))
    neurons = (Neuron((3, 0), 2, 3.0), Neuron((0, -2), -1, 3.0, 1, 51), Neuron((0, 0), 0, 0.0))
    design = group(widths(Design("spread", inputs, (Layer("a", neurons),))))
    x = vectors(design, 64)
    found = run_hls_batch([(design, x)], tmp_path)[0]
    assert np.array_equal(found, np.stack([3 * x[:, 0], 1 - 8 * x[:, 1], 0 * x[:, 0]], axis=1))


@pytest.mark.parametrize(
    ("name", "top"), [("small", "small_top"), ("Entity", "Entity_top"), ("int", "int_top"), ("net", "net")]
)
def test_the_top_function_is_no_word_of_any_language_the_tools_write(name: str, top: str) -> None:
    assert hls_top(replace(small_design(), name=name)) == top
