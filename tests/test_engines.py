"""The registry of engines: one list that help, console, pages and sweeps read, and a module for each entry."""

import json
import sys
from dataclasses import asdict, replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from test_hls_project import small_design

from flow.build.engines import registry
from flow.build.engines.engine import HardwareEngine
from flow.build.options import Options
from flow.core import engines
from flow.core.compare import Difference, EngineResult, compared, first_difference, same_score
from flow.core.errors import UsageError
from flow.core.evaluate import evaluate
from flow.parts.catalog import resolve
from flow.report.html.score import score_tile
from flow.report.wording import TITLES


def options(tmp_path, **more):
    return Options(tmp_path / "m.h5", resolve("xc7z020"), tmp_path / "b", **more)


def test_every_listed_engine_is_there_and_runs_within_one_that_is():
    found = {engine.name for engine in registry.engines()}
    for listed in engines.ENGINES:
        assert (listed.within or listed.name) in found and TITLES[listed.name] == listed.title and listed.runs


def test_options_decide_which_engines_run(tmp_path):
    def names(**more):
        asked = options(tmp_path, **more)
        return [e.name for e in (*registry.model_engines(asked), *registry.hardware_engines(asked))]

    assert names() == ["keras", *engines.DEFAULT]
    assert names(engines=("icarus",), shell="axis") == ["keras", "icarus", "axis"]
    assert names(engines=("xls",)) == ["keras", "xls"]


def test_a_new_engine_is_a_line_and_a_module(monkeypatch, tmp_path):
    line = engines.Listed("echo", "echo", "the golden results again", "named")
    monkeypatch.setitem(engines.BY_NAME, "echo", line)
    monkeypatch.setattr(registry, "ENGINES", (*engines.ENGINES, line))
    ran = []
    module = ModuleType("flow.build.engines.echo")
    module.ENGINE = HardwareEngine(name="echo", run=lambda made: ran.append(made) or ())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    asked = SimpleNamespace(engines=("echo",), shell="none", bitstream=False)
    (found,) = registry.hardware_engines(asked)
    assert found.run("made") == () and ran == ["made"]
    assert not registry.hardware_engines(SimpleNamespace(engines=(), shell="none", bitstream=False))


def test_a_module_of_another_name_is_no_engine():
    with pytest.raises(AssertionError, match="does not list spice"):
        HardwareEngine(name="spice", run=lambda made: ())


def test_names_are_chosen_in_the_order_of_the_list():
    assert engines.chosen(" netlist, integer ") == ("integer", "netlist")
    assert engines.in_order(["zeta", "netlist", "alpha", "keras"]) == ["keras", "netlist", "alpha", "zeta"]
    for text in ("", "keras", "native", "integer,spice"):
        with pytest.raises(UsageError, match="choose from integer,"):
            engines.chosen(text)


@pytest.mark.parametrize("head", ["logits", "argmax"])
def test_the_first_wrong_value_is_named_and_survives_a_record(head):
    design = replace(small_design(), head=head)
    inputs = np.random.default_rng(0).integers(-4, 4, (50, len(design.inputs)))
    expected = evaluate(design, inputs)
    assert compared("integer", design, expected, expected.copy(), 0.0).agrees
    wrong = expected.copy()
    wrong[[7, 30], -1] += 1
    wrong[9, 0] -= 1
    found = compared("integer", design, expected, wrong, 1.23456)
    last = len(expected[0]) - 1
    name = "class index" if head == "argmax" else f"layer {design.layers[-1].name}, neuron {last}"
    assert (found.vectors, found.mismatches) == (50, 3)
    assert found.first_mismatch == Difference(7, name, int(expected[7, -1]), int(wrong[7, -1]))
    assert found.entry()["first_mismatch"] == f"vector 7, {name}: expected {expected[7, -1]}, got {wrong[7, -1]}"
    assert EngineResult.of(json.loads(json.dumps(asdict(found)))) == found


def test_floats_are_shown_with_nine_digits():
    different = np.array([[False, True]])
    found = first_difference(different, np.array([[0.0, 0.5]]), np.array([[0.0, 1 / 3]]), ["a", "b"])
    assert str(found) == "vector 0, b: expected 0.5, got 0.333333333"


@pytest.mark.parametrize(("metric", "left_out", "same"), [
    ("mse", "sigmoid", True),  # the host computes it in another precision
    ("mse", None, False),
    ("accuracy", "sigmoid", False),  # of a class nothing is rounded
])  # fmt: skip
def test_scores_may_differ_only_by_what_the_host_rounds(metric, left_out, same):
    own, found = 0.00706520887, 0.00706520902
    assert same_score(metric, own, found, left_out) == same
    assert same_score(metric, own, own, left_out) and not same_score(metric, own, 1.001 * own, left_out)
    report = {"score": {"metric": metric, "value": found, "rows": 9, "data": "d"}, "source": {"left_out": left_out}}
    ((*_, kind),) = score_tile({**report, "keras_score": {"metric": metric, "value": own}})
    assert kind == ("" if same else "bad")
