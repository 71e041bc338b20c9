"""The stock-layer form: hls4ml without our extension builds the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies import random_design, vectors
from test_hls_project import PART, small_design

from flow.emit.hls_stock import emit_hls_stock, stock_graph, stock_model
from flow.errors import DesignError
from flow.evaluate import evaluate, to_float
from flow.fixed import Fixed, Quantizer
from flow.hls_batch import compile_batch
from flow.ir import Design
from flow.plan import Plan
from flow.tools.hls_compile import simulate


def expressible(count: int) -> list[tuple[Design, Plan]]:
    found, seed = [], 0
    while len(found) < count:
        seed += 1
        design = replace(random_design(seed, name=f"r{seed}"), head="logits")
        try:
            found.append((design, emit_hls_stock(design, PART)))
        except DesignError as exc:
            assert "cannot saturate" in str(exc)
    return found


def test_random_designs_equal_the_integer_model(tmp_path: Path) -> None:
    projects = expressible(6)
    binary = compile_batch([(design.name, plan) for design, plan in projects], tmp_path)
    for index, (design, _) in enumerate(projects):
        x = vectors(design, 100, seed=index)
        found = simulate(binary, x, len(design.layers[-1].neurons), select=index)
        assert np.array_equal(found, evaluate(design, x)), design


def test_no_layer_of_ours_is_used() -> None:
    kinds = {layer["class_name"] for layer in stock_model(small_design()).layers}
    assert kinds == {"InputLayer", "Dense", "Concatenate"}
    code = emit_hls_stock(small_design(), PART)["firmware/small.cpp"]
    assert isinstance(code, bytes) and b"nnet::dense" in code and b"nmp" not in code


def test_a_range_stock_types_do_not_know_is_refused_by_name() -> None:
    design = small_design()
    layer = design.layers[0]
    odd = replace(layer.neurons[2], output=Quantizer(Fixed(True, 6, 1), "RND", -3, 17))
    layer = replace(layer, neurons=(*layer.neurons[:2], odd, layer.neurons[3]))
    with pytest.raises(DesignError, match=r"layer hidden, neuron 2: stock layers cannot saturate to -3\.\.17"):
        stock_model(replace(design, layers=(layer, design.layers[1])))


@pytest.mark.parametrize("backend", ["Quartus", "Catapult"])
def test_other_back_ends_compute_the_same(backend: str, tmp_path: Path) -> None:
    design = small_design()
    graph, stock = stock_graph(design, PART, backend, 5.0, str(tmp_path / "p"))
    graph.compile()
    x = vectors(design, 50)
    found = np.empty((50, 3))
    found[:, list(stock.order)] = graph.predict(np.ascontiguousarray(to_float(x, design.input_formats)))
    assert np.array_equal(found, to_float(evaluate(design, x), design.output_formats))
