"""Engine ``keras``: the Keras model against the integer design, on exact corner inputs, off the grid, on data.

Of an ONNX model it is called ``qonnx``, and the model's own runtime takes Keras's place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.bench.vectors import off_grid
from flow.build.engines.engine import ModelEngine
from flow.build.state import Build, ModelFile, Score
from flow.core.compare import EngineResult
from flow.core.design import Design, to_json
from flow.core.evaluate import real_inputs
from flow.core.units import input_unit
from flow.files.steps import digest_of

_OFF_GRID_VECTORS = 256  # of floats, which check how inputs are read
_VECTORS = 2000  # that Keras answers at least, which are seconds
_PRODUCTS = 200_000_000  # and where they would be more, no more than this many products


def _run(build: Build) -> Sequence[EngineResult]:
    """Beside the comparison, the model's own score of its own predictions of the test part."""
    model, design, vectors, test = build.model, build.design, build.vectors, build.test
    if model.is_design:
        build.skipped["keras"] = "the build started from a design.json, there is no model to compare it with"
        return ()
    name = "qonnx" if model.is_onnx else "keras"
    exact = real_inputs(design, vectors.inputs[: max(vectors.referee, 0 if model.is_onnx else _asked(design))])
    with np.errstate(over="ignore", under="ignore"):
        beside = off_grid(design.inputs, _OFF_GRID_VECTORS, build.options.seed) * input_unit(design)
    inputs = np.concatenate([exact, beside, *([] if test is None else [test.inputs])])
    scored = "" if test is None else f"{test.task} {hashlib.sha256(test.targets.tobytes()).hexdigest()}"
    key = digest_of(f"{name} 5", model.digest, to_json(design), inputs.tobytes(), scored)

    def work() -> dict[str, Any]:
        head = "probability" if test is not None and model.ends_in() == "sigmoid" else "logits"
        own = None if test is None else test.score(model.predictions(test.inputs), head)
        return {"compared": asdict(_compared(model, design, inputs)), "score": own}

    result: Mapping[str, Any] = build.steps.run(name, key, work)
    if test is not None:
        build.keras_score = Score(data=test.name, rows=len(test.inputs), **result["score"])
    return (EngineResult.of(result["compared"]),)


def _asked(design: Design) -> int:
    return min(_VECTORS, _PRODUCTS // max(sum(layer.matrix.size for layer in design.layers), 1))


def _compared(model: ModelFile, design: Design, inputs: NDArray[np.float32]) -> EngineResult:
    """The comparison by the model's own runtime, which is imported for it."""
    if model.is_onnx:
        from flow.extract.onnx.compare import compare_with_onnx

        return compare_with_onnx(model.onnx, design, inputs)
    from flow.extract import compare_with_keras

    return compare_with_keras(model.keras(), design, inputs)


ENGINE = ModelEngine(name="keras", run=_run, wanted=lambda options: True)
