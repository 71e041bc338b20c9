"""Engine ``keras``: the Keras model against the integer design, on exact corner inputs, off the grid, on data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from flow.bench.vectors import off_grid
from flow.build.engines.engine import ModelEngine
from flow.build.state import Build, Score
from flow.core.compare import EngineResult
from flow.core.design import to_json
from flow.core.evaluate import to_float
from flow.files.steps import digest_of

_OFF_GRID_VECTORS = 256  # of floats, which check how inputs are read


def _run(build: Build) -> Sequence[EngineResult]:
    """Beside the comparison, the Keras model's own score of its own predictions of the test part."""
    model, design, vectors, test = build.model, build.design, build.vectors, build.test
    if model.is_design:
        build.skipped["keras"] = "the build started from a design.json, there is no Keras model"
        return ()
    exact = to_float(vectors.inputs[: vectors.referee], design.input_formats).astype(np.float32)
    beside = off_grid(design.inputs, _OFF_GRID_VECTORS, build.options.seed)
    inputs = np.concatenate([exact, beside, *([] if test is None else [test.inputs])])
    scored = "" if test is None else f"{test.task} {hashlib.sha256(test.targets.tobytes()).hexdigest()}"
    key = digest_of("keras 5", model.digest, to_json(design), inputs.tobytes(), scored)

    def work() -> dict[str, Any]:
        from flow.extract import compare_with_keras, ends_in, predictions  # imports Keras

        compared = compare_with_keras(model.keras(), design, inputs)
        head = "probability" if ends_in(model.keras()) == "sigmoid" else "logits"
        own = None if test is None else test.score(predictions(model.keras(), test.inputs), head)
        return {"compared": asdict(compared), "score": own}

    result: Mapping[str, Any] = build.steps.run("keras", key, work)
    if test is not None:
        build.keras_score = Score(data=test.name, rows=len(test.inputs), **result["score"])
    return (EngineResult.of(result["compared"]),)


ENGINE = ModelEngine(name="keras", run=_run, wanted=lambda options: True)
