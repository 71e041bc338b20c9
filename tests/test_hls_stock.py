"""The stock-layer form: hls4ml without our extension builds the same numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies import random_design, vectors
from test_hls_project import PART, small_design
from typer.testing import CliRunner, Result

from flow.core.design import Design, Layer, to_json
from flow.core.evaluate import evaluate, to_float
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.widths import widths
from flow.emit.hls.stock import emit_hls_stock, stock_graph, stock_model
from flow.hls.stock_command import app
from flow.tools.hls_compile import self_check, simulate
from flow.verify.hls_batch import compile_batch


@pytest.mark.long
def test_random_designs_equal_the_integer_model(tmp_path: Path) -> None:
    """Any saturation range, and both heads: the bench finds the index of the largest logit."""
    designs = [random_design(seed, name=f"r{seed}") for seed in (*range(1, 11), 75)]
    designs += [random_design(64, name="r64", wraps=False), odd_ranges()]
    assert any(n.output.wraps for d in designs for layer in d.layers for n in layer.neurons if n.output)
    assert {d.head for d in designs} == {"argmax", "logits"} and any(clipped(d) for d in designs)
    batch = [(d, vectors(d, 100, seed=i)) for i, d in enumerate(designs)]
    plans = [emit_hls_stock(d, PART, vectors=x) for d, x in batch]
    binary = compile_batch([(d.name, plan) for d, plan in zip(designs, plans, strict=True)], tmp_path)
    for index, (design, x) in enumerate(batch):
        outputs = evaluate(design, x)
        assert np.array_equal(simulate(binary, x, outputs.shape[1], select=index), outputs), design
        assert "PASS 100 vectors" in self_check(binary, tmp_path / str(index), select=index).text


def clipped(design: Design) -> bool:
    return any(layer["class_name"] == "BatchNormalization" for layer in stock_model(design).layers)


def test_no_layer_of_ours_is_used() -> None:
    kinds = {layer["class_name"] for layer in stock_model(small_design()).layers}
    assert kinds == {"InputLayer", "Dense", "Concatenate"}
    code = emit_hls_stock(small_design(), PART)["firmware/tiny.cpp"]
    assert isinstance(code, bytes) and b"nnet::dense" in code and b"nmp" not in code


def odd_ranges() -> Design:
    """Two ranges that no type of the HLS libraries has, off zero, rounded to even, and reached at both ends, and one
    of a single bit, to which hls4ml gives a second one below the point where types are ac_fixed.
    """
    design = small_design()
    layer = design.layers[0]
    odd = [Quantizer(Fixed(True, 6, 1), "RND_CONV", -3, 17), Quantizer(Fixed(True, 6, -1), "RND_CONV", 2, 4)]
    bit = replace(layer.neurons[0], output=Quantizer.saturating(Fixed(False, 1, 0), "RND"))
    odd_ones = (replace(n, output=o) for n, o in zip(layer.neurons[2:], odd, strict=True))
    neurons = (bit, layer.neurons[1], *odd_ones)
    return group(widths(replace(design, layers=(Layer("hidden", neurons), design.layers[1]))))


def test_ranges_that_no_type_has_take_steps() -> None:
    steps = [layer for layer in stock_model(odd_ranges()).layers if layer["class_name"] == "BatchNormalization"]
    assert [layer["bias_data"][0] for layer in steps] == [2, -2, 1.5, 5.5, -7, -4, 2, 2]


@pytest.mark.parametrize("backend", ["Quartus", "Catapult"])
def test_other_back_ends_compute_the_same(backend: str, tmp_path: Path) -> None:
    design = odd_ranges()
    graph, stock = stock_graph(design, PART, backend, 5.0, str(tmp_path / "p"))
    graph.compile()
    x = vectors(design, 50)
    found = np.empty((50, 3))
    found[:, list(stock.order)] = graph.predict(np.ascontiguousarray(to_float(x, design.input_formats)))
    assert np.array_equal(found, to_float(evaluate(design, x), design.output_formats))


@pytest.fixture(scope="module")
def design_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stock") / "design.json"
    path.write_text(to_json(odd_ranges()))
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def number_types(folder: Path) -> dict[str, str]:
    """C++ types of tensors and sums by name, and of all weights together, as a back end's project declares them."""
    text = (folder / "firmware" / "defines.h").read_text()
    found = re.findall(r"^typedef (?:nnet::array<)?(ac_fixed<[^>]*>).* (\w+_t);", text, re.MULTILINE)
    tensors = {name: kind for kind, name in found if re.fullmatch(r"(layer\d+|input|result|\w+_accum)_t", name)}
    return {**tensors, "weights": " ".join(sorted(kind for kind, name in found if name not in tensors))}


def weights(path: Path) -> list[str]:
    return re.findall(r"\{+([^{}]*)\}+", path.read_text())


def test_a_project_that_cannot_be_compiled_here_has_the_types_of_one_that_can(
    design_file: Path, tmp_path: Path
) -> None:
    done = run("--model", design_file, "--backend", "Quartus", "--out", tmp_path / "q", "--check", 50)
    assert done.exit_code == 0 and done.output.startswith("50 vectors equal the integer design"), done.output
    done = run("--model", design_file, "--backend", "oneapi", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    outputs = json.loads((tmp_path / "o" / "outputs.json").read_text())
    assert outputs == {"backend": "oneAPI", "outputs": list(stock_model(odd_ranges()).order), "head": "logits"}
    quartus, oneapi = number_types(tmp_path / "q"), number_types(tmp_path / "o" / "src")
    assert len(quartus) > 10 and quartus == oneapi
    files = sorted((tmp_path / "q" / "firmware" / "weights").glob("*.h"))
    assert len(files) > 10
    for path in files:
        assert weights(path) == weights(tmp_path / "o" / "src" / "firmware" / "weights" / path.name) != []


def test_a_folder_with_other_files_is_left_alone(design_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = run("--model", design_file, "--backend", "Quartus", "--out", tmp_path)
    assert done.exit_code != 0 and "holds other files" in done.output and (tmp_path / "mine.txt").is_file()


def test_back_ends_that_cannot_be_written_end_in_one_line(design_file: Path, tmp_path: Path) -> None:
    done = run("--model", design_file, "--backend", "Libero", "--out", tmp_path / "p")
    assert done.exit_code == 1 and done.output.startswith("error: ") and "cannot write Libero projects" in done.output
    assert run("--model", design_file, "--backend", "Symbolic", "--out", tmp_path / "p").exit_code == 2
    assert not (tmp_path / "p").exists()
