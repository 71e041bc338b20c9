"""Engine ``keras``: the Keras model against the integer design, on exact corner inputs, off the grid, on data.

Of an ONNX model it is called ``qonnx``, and the model's own runtime takes Keras's place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.bench.vectors import off_grid
from flow.build.engines.engine import ModelEngine
from flow.build.state import Build, Score
from flow.core.compare import EngineResult
from flow.core.design import to_json
from flow.core.evaluate import real_inputs
from flow.core.units import input_unit
from flow.extract.test_data import TestPart
from flow.files.steps import digest_of

# An engine's name, its comparison of inputs, and the model's own score of a test part.
_Ways = tuple[str, Callable[[NDArray[np.float32]], EngineResult], Callable[[TestPart], dict[str, Any]]]
_OFF_GRID_VECTORS = 256  # of floats, which check how inputs are read


def _run(build: Build) -> Sequence[EngineResult]:
    """Beside the comparison, the Keras model's own score of its own predictions of the test part."""
    model, design, vectors, test = build.model, build.design, build.vectors, build.test
    if model.is_design:
        build.skipped["keras"] = "the build started from a design.json, there is no model to compare it with"
        return ()
    name, compare, own_score = _of_onnx(build) if model.is_onnx else _of_keras(build)
    exact = real_inputs(design, vectors.inputs[: vectors.referee])
    beside = off_grid(design.inputs, _OFF_GRID_VECTORS, build.options.seed) * input_unit(design)
    inputs = np.concatenate([exact, beside, *([] if test is None else [test.inputs])])
    scored = "" if test is None else f"{test.task} {hashlib.sha256(test.targets.tobytes()).hexdigest()}"
    key = digest_of(f"{name} 5", model.digest, to_json(design), inputs.tobytes(), scored)

    def work() -> dict[str, Any]:
        compared = compare(inputs)
        return {"compared": asdict(compared), "score": None if test is None else own_score(test)}

    result: Mapping[str, Any] = build.steps.run(name, key, work)
    if test is not None:
        build.keras_score = Score(data=test.name, rows=len(test.inputs), **result["score"])
    return (EngineResult.of(result["compared"]),)


def _of_keras(build: Build) -> _Ways:
    def compare(inputs: NDArray[np.float32]) -> EngineResult:
        from flow.extract import compare_with_keras  # imports Keras

        return compare_with_keras(build.model.keras(), build.design, inputs)

    def score(test: TestPart) -> dict[str, Any]:
        from flow.extract import ends_in, predictions

        model = build.model.keras()
        head = "probability" if ends_in(model) == "sigmoid" else "logits"
        return test.score(predictions(model, test.inputs), head)

    return "keras", compare, score


def _of_onnx(build: Build) -> _Ways:
    def compare(inputs: NDArray[np.float32]) -> EngineResult:
        from flow.extract.onnx.compare import compare_with_onnx  # needs more than the default installation

        return compare_with_onnx(build.model.onnx, build.design, inputs)

    def score(test: TestPart) -> dict[str, Any]:
        from flow.extract.onnx.compare import onnx_ends_in, onnx_predictions

        head = "probability" if onnx_ends_in(build.model.onnx) == "sigmoid" else "logits"
        return test.score(onnx_predictions(build.model.onnx, test.inputs), head)

    return "qonnx", compare, score


ENGINE = ModelEngine(name="keras", run=_run, wanted=lambda options: True)
