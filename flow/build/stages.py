"""The build: model -> design -> the Keras model beside it -> RTL, HLS and every engine -> scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from flow.bench.vectors import make_vectors, off_grid
from flow.build.quantization import QuantizedFile
from flow.build.state import Build, ModelFile, Options, Vectors, record
from flow.core.design import Design, from_json, to_json
from flow.core.errors import ModelError, UsageError
from flow.core.evaluate import argmax, evaluate, quantize_inputs, to_float
from flow.core.remarks import note, warning
from flow.core.untrusted import MAX_JSON, read_text
from flow.extract.test_data import Preparation, TestPart, choose_preparation, fit_test_part, open_dataset
from flow.files import plan
from flow.files.steps import Steps, digest_of
from keras_models.data.loaders import Dataset

BULK_VECTORS = 20_000
OFF_GRID_VECTORS = 256  # of floats for the keras engine, which checks how inputs are read


def prepare(
    options: Options,
    observer: Callable[[str, str], None],
    teller: Callable[[str, str], None] = lambda step, what: None,
) -> Build:
    """Read and check all that a build is made of: its model, its data, and whether they fit. Writes nothing.

    ``observer`` hears every step's states, ``teller`` what a long step is doing just now. Raises FlowError for what the
    user can mend.
    """
    model = ModelFile(options.model, options.layer)
    steps = Steps(options.out, observer, teller)
    dataset = None
    if options.data:  # before the model: a wrong name is told at once
        with steps.timed("data"):
            dataset = open_dataset(options.model, options.data, options.split_key, options.target_columns)
    preparation = choose_preparation(options.preprocessing, model.preprocessing(), dataset)
    if options.quantize:
        model = _quantized(options, steps, dataset, preparation)
    design = _design(model, options, steps, preparation)
    test = fit_test_part(dataset, preparation, design) if dataset else None
    build = Build(options, steps, design, _vectors(options, design, test), model, test, preparation)
    found = design.source.get("notes")
    build.say(*(note(str(text)) for text in (found if isinstance(found, list) else ())), *preparation.remarks)
    build.say(*(test.remarks if test else ()))
    return build


def _quantized(options: Options, steps: Steps, dataset: Dataset | None, preparation: Preparation) -> ModelFile:
    """The float model of the options, quantized."""
    if options.model.suffix == ".json":
        raise UsageError("--quantize is for float models; a design.json is built as it is")
    with steps.timed("quantize"):
        model = QuantizedFile(options, dataset, preparation)
        model.quantized  # noqa: B018  (the work of this step)
    return model


def perform(build: Build, engines: Callable[[Build], None]) -> None:
    """Run every step of a prepared build, whose folder the caller holds; ``engines`` runs what comes after Keras.

    Raises FlowError for what the user can mend. Mismatches do not raise: they are in the build.
    """
    key = _design_key(build.model, build.options, build.preparation)
    if not build.steps.holds("model", key, ("design.json",)):
        plan.write_file(build.options.out / "design.json", to_json(build.design))
        build.steps.put("model", key, {}, ("design.json",))
    if isinstance(build.model, QuantizedFile):
        build.model.save(build.options.out)
        build.facts["quantization"] = build.model.facts(build.test)
    _keras(build)
    engines(build)
    _score(build)
    if isinstance(build.model, QuantizedFile):
        build.say(*build.model.remarks(build.facts["quantization"], build.score or None))


def _design_key(model: ModelFile, options: Options, preparation: Preparation) -> str:
    return digest_of("design 2", model.digest, options.head, options.input_format or "", preparation.text)


def _design(model: ModelFile, options: Options, steps: Steps, preparation: Preparation) -> Design:
    """The design of a model, or the one that an earlier build of the folder made of the same."""
    key = _design_key(model, options, preparation)
    if steps.holds("model", key, ("design.json",), tell=True):
        return from_json(read_text(options.out / "design.json", MAX_JSON))
    with steps.timed("model"):
        design = model.design(options)
    if design.head == "argmax" and len(design.layers[-1].neurons) == 1:
        raise ModelError("--head argmax of a single output is always 0; leave it out: the output's sign is the class")
    applied = json.loads(preparation.text) if preparation.text else None
    return replace(design, source={**design.source, "preprocessing": applied})


def _vectors(options: Options, design: Design, test: TestPart | None) -> Vectors:
    """The referee's vectors first (corners, data, random), then the whole test part, then random ones."""
    weights = sum(int(np.count_nonzero(layer.matrix)) for layer in design.layers)
    referee = options.vectors or max(100, min(2000, 3_000_000 // max(weights, 1)))
    data = quantize_inputs(design, test.inputs) if test else None
    first = make_vectors(design, referee, data, options.seed)
    count = max(BULK_VECTORS - len(first) - (0 if data is None else len(data)), 0)
    more = make_vectors(design, count, None, options.seed + 1)
    inputs = np.concatenate([first, *([data] if data is not None else []), more])
    return Vectors(inputs, evaluate(design, inputs), len(first), 0 if data is None else len(data))


def _keras(build: Build) -> None:
    """Engine ``keras``: the Keras model against the integer design, on exact corner inputs, off the grid, on data.

    Beside it the Keras model's own score, of its own predictions of the test part.
    """
    model, design, vectors, test = build.model, build.design, build.vectors, build.test
    if model.is_design:
        build.skipped["keras"] = "the build started from a design.json, there is no Keras model"
        return
    exact = to_float(vectors.inputs[: vectors.referee], design.input_formats).astype(np.float32)
    beside = off_grid(design.inputs, OFF_GRID_VECTORS, build.options.seed)
    inputs = np.concatenate([exact, beside, *([] if test is None else [test.inputs])])
    scored = "" if test is None else f"{test.task} {hashlib.sha256(test.targets.tobytes()).hexdigest()}"
    key = digest_of("keras 3", model.digest, to_json(design), inputs.tobytes(), scored)

    def work() -> dict[str, Any]:
        from flow.extract import compare_with_keras, predictions  # imports Keras

        compared = compare_with_keras(model.keras(), design, inputs)
        own = None if test is None else test.score(predictions(model.keras(), test.inputs), "logits")
        return {"compared": compared, "score": own}

    result = build.steps.run("keras", key, work)
    record(build, "keras", result["compared"])
    if test is not None:
        build.keras_score = {"data": test.name, "rows": len(test.inputs), **result["score"]}


def _score(build: Build) -> None:
    """The integer design's score on the data's test part, and whether the Keras model's is another."""
    if build.test is None:
        build.skipped["score"] = "no data set was given (--data)"
        return
    start = build.vectors.referee
    rows = build.vectors.expected[start : start + build.vectors.data_rows]
    design, head = build.design, build.design.head
    if build.test.task == "classification" and head == "logits" and rows.shape[1] > 1:
        rows, head = argmax(rows, design.output_formats), "argmax"  # exact, as floats of more than 53 bits are not
    outputs = rows.astype(np.float64) if head == "argmax" else to_float(rows, design.output_formats)
    build.score = {"data": build.test.name, "rows": len(rows), **build.test.score(outputs, head)}
    own = build.keras_score
    if own is None:
        build.skipped["keras_score"] = "a design.json has no Keras model that could be scored beside it"
    elif own["value"] != build.score["value"]:
        metric, value = build.score["metric"], build.score["value"]
        build.say(
            warning(
                f"the integer design has {metric} {value:.9g}, the Keras model {own['value']:.9g} on the same "
                f"{len(rows)} rows: the hardware does not do what the model does on this data"
            )
        )
