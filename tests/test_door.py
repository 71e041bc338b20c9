"""Whatever a program gives the functions of ``import flow``: one of flow's errors, in the words of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from strategies import random_design

import flow
from flow.api.door import in_python
from flow.build.state import finish
from flow.core.design import Design, to_json

ODD: tuple[Any, ...] = (5, None, 1.5, b"x", "", [3], {}, object(), np.float32(2), float("nan"), -1, True, ("a", 1))


@pytest.fixture(scope="module")
def design() -> Design:
    return finish(random_design(7))


def told(error: pytest.ExceptionInfo[flow.errors.FlowError], *words: str) -> None:
    text = str(error.value)
    assert "--" not in text and all(word in text for word in words), text


def test_odd_arguments_of_designs(design: Design) -> None:
    for odd in ODD:
        for call in (flow.load_design, flow.estimate):
            with pytest.raises(flow.errors.FlowError) as error:
                call(odd)
            told(error)
        with pytest.raises(flow.errors.UsageError) as error:
            flow.evaluate(odd, [[1]])
        told(error, "design=", "flow.load_design")
    for odd in (*ODD, "x", [[1], [1, 2]], [["a"]], np.zeros((2, 999)), np.full((1, len(design.inputs)), np.nan)):
        with pytest.raises(flow.errors.DataError) as error:
            flow.evaluate(design, odd)
        told(error)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("part", 5), ("architecture", 5), ("clock_period_ns", "5"), ("clock_period_ns", 0),
        ("clock_period_ns", float("nan")), ("initiation_interval", 1.5), ("initiation_interval", True),
        ("results_per_second", []), ("input_format", 5),
    ],
)  # fmt: skip
def test_odd_arguments_of_estimates(design: Design, name: str, odd: Any) -> None:
    with pytest.raises(flow.errors.UsageError) as error:
        flow.estimate(design, **{name: odd})
    told(error, name)


@pytest.mark.parametrize(
    ("name", "odd", "error"),
    [
        ("part", 5, "UsageError"), ("out", 5, "UsageError"), ("out", "", "UsageError"), ("vectors", "a", "UsageError"),
        ("vectors", 0, "UsageError"), ("seed", 1.5, "UsageError"), ("seed", -1, "UsageError"),
        ("head", 5, "UsageError"), ("head", "sigmoid", "UsageError"), ("engines", 5, "UsageError"),
        ("engines", ["integer", 3], "UsageError"), ("vendor_steps", [3], "UsageError"), ("hls_config", 3, "UsageError"),
        ("weights", 2, "UsageError"), ("layer", 3, "UsageError"), ("quantize", "yes", "UsageError"),
        ("quantize", True, "UsageError"), ("clock_period_ns", "5", "UsageError"), ("bus_bits", "32", "UsageError"),
        ("bus_bits", 33, "UsageError"), ("data", (1, 2), "DataError"), ("data", ([[1], [1, 2]], [0, 1]), "DataError"),
        ("target_columns", 1.5, "UsageError"), ("input_format", "auto", "UsageError"), ("route", 1, "UsageError"),
        ("preprocessing", "standard", "UsageError"), ("reuse_factor", True, "UsageError"),
        ("shell", "usb", "UsageError"), ("waveform", None, "UsageError"),
    ],
)  # fmt: skip
def test_odd_arguments_of_builds(design: Design, tmp_path: Any, name: str, odd: Any, error: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(to_json(design))
    with pytest.raises(getattr(flow.errors, error)) as raised:
        flow.hardware(path, **{"out": tmp_path / "b", name: odd})
    told(raised, name)
    assert not (tmp_path / "b").exists()


def test_options_become_arguments() -> None:
    for said, meant in (
        ("drop --head argmax", 'drop head="argmax"'),
        ("build it with --quantize, or", "build it with quantize=True, or"),
        ("--seed -1: give 0", "seed=-1: give 0"), ("name it with --data", "name it with data=..."),
        ("--input-format s16.10;", 'input_format="s16.10";'), ("--quantize is for", "quantize is for"),
        ("leave --data out", "leave data=... out"), ("python -m x --epochs 5", "python -m x --epochs 5"),
        ("--shell usb is not known", 'shell="usb" is not known'), ("--bus-bits 33 is", "bus_bits=33 is"),
    ):  # fmt: skip
        assert in_python(said) == meant
