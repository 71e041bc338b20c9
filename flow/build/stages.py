"""The build: model -> design -> the Keras model beside it -> RTL, HLS and every engine -> scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.bench.vectors import make_vectors
from flow.build.engines.jobs import run_hardware_engines, run_model_engines
from flow.build.images import turned
from flow.build.options import Options
from flow.build.predictions import predictions
from flow.build.profiles import profiles
from flow.build.quantization import QuantizedFile
from flow.build.state import Build, ModelFile, Score, Vectors
from flow.core.compare import same_score
from flow.core.design import Design, from_json, to_json
from flow.core.engines import model_kind
from flow.core.errors import ModelError, UsageError
from flow.core.evaluate import argmax, evaluate, multiplications, quantize_inputs, real_outputs
from flow.core.remarks import Remark, note, warning
from flow.core.untrusted import MAX_JSON, read_text
from flow.extract.formats import AUTO
from flow.extract.input_format import Choice
from flow.extract.test_data import (
    Preparation,
    TestPart,
    choose_preparation,
    fit_test_part,
    open_dataset,
)
from flow.files import plan
from flow.files.steps import Steps, digest_of
from keras_models.data.loaders import Dataset

BULK_VECTORS = 20_000
_STREAMED_PRODUCTS = 1_000_000_000  # of the bulk vectors of a streamed network


def prepare(
    options: Options,
    observer: Callable[[str, str], None],
    teller: Callable[[str, str], None] = lambda step, what: None,
) -> Build:
    """Read and check all that a build is made of: its model, its data, and whether they fit. Writes nothing.

    ``observer`` hears every step's states, ``teller`` what a long step is doing just now. Raises FlowError for what the
    user can fix.
    """
    model = ModelFile(options.model, options.layer, options.weights)
    steps = Steps(options.out, observer, teller)
    dataset, told = _dataset(options, model, steps)
    preparation = choose_preparation(options.preprocessing, model.preprocessing(), dataset)
    chosen = None
    if options.quantize:
        model = _quantized(options, steps, dataset, preparation)
    elif options.input_format == AUTO and dataset:
        with steps.timed("format"):
            chosen = _choose_format(model, dataset, preparation)
        options = replace(options, input_format=str(chosen.format))
    design = _design(model, options, steps, preparation)
    refuse_of_streamed(design, options)
    test = fit_test_part(dataset, preparation, design) if dataset else None
    build = Build(options, steps, design, _vectors(options, design, test), model, test, preparation)
    found = design.source.get("notes")
    build.say(*(note(str(text)) for text in (found if isinstance(found, list) else ())), *told, *preparation.remarks)
    build.say(*(test.remarks if test else ()), *([note(chosen.text)] if chosen else ()))
    return build


def _dataset(options: Options, model: ModelFile, steps: Steps) -> tuple[Dataset | None, tuple[Remark, ...]]:
    """The data set of the options, read before the model: a wrong name is reported at once."""
    if not options.data:
        return None, ()
    with steps.timed("data"):
        found, told = open_dataset(
            options.model, options.data, options.split_key, options.target_columns, model.preprocessing
        )
        found, more = turned(model, found)
        return found, (*told, *more)


def _quantized(options: Options, steps: Steps, dataset: Dataset | None, preparation: Preparation) -> ModelFile:
    """The float model of the options, quantized."""
    with steps.timed("quantize"):
        model = QuantizedFile(options, dataset, preparation)
        model.quantized  # noqa: B018  (the work of this step)
    return model


def _choose_format(model: ModelFile, dataset: Dataset, preparation: Preparation) -> Choice:
    from flow.extract import choose_format  # imports Keras

    if model.is_design:
        raise ModelError(f"{model.path} is a design, whose inputs have formats; leave --input-format out")
    return choose_format(model.predictions, model.ends_in(), dataset, preparation)


def perform(build: Build) -> None:
    """Run every step of a prepared build, whose folder the caller holds.

    Raises FlowError for what the user can fix. Mismatches do not raise: they are in the build.
    """
    key = _design_key(build.model, build.options, build.preparation)
    if not build.steps.holds("model", key, ("design.json",)):
        plan.write_file(build.options.out / "design.json", to_json(build.design))
        build.steps.put("model", key, {}, ("design.json",))
    quantized = build.model if isinstance(build.model, QuantizedFile) else None
    if quantized is not None:
        quantized.save(build.options.out)
        build.facts.quantization = quantized.facts(build.test)
    run_model_engines(build)
    run_hardware_engines(build)
    with build.steps.timed("profiles"):
        build.facts.profiles, build.facts.profiled = profiles(build)
    _score(build)
    if quantized is not None and build.facts.quantization is not None:
        build.say(*quantized.remarks(build.facts.quantization, build.score))


def _design_key(model: ModelFile, options: Options, preparation: Preparation) -> str:
    return digest_of("design 5", model.digest, options.head, options.input_format or "", preparation.text, options.form)


def _design(model: ModelFile, options: Options, steps: Steps, preparation: Preparation) -> Design:
    """The design of a model, or the one that an earlier build of the folder made of the same."""
    key = _design_key(model, options, preparation)
    if steps.holds("model", key, ("design.json",), tell=True):
        return from_json(read_text(options.out / "design.json", MAX_JSON))
    with steps.timed("model"):
        design = model.design(options)
    if design.head == "argmax" and design.outputs == 1:
        raise ModelError("--head argmax of a single output is always 0; leave it out: the output's sign is the class")
    applied = json.loads(preparation.text) if preparation.text else None
    names = {"names": preparation.names} if preparation.names else {}
    return replace(design, source={**design.source, "preprocessing": applied, **names})


def refuse_of_streamed(design: Design, options: Options) -> None:
    """Raise UsageError where something is asked for that is not made of streamed networks."""
    if not design.nodes:
        return
    refused = {
        "--shell selftest": options.shell == "selftest",
        "--rtl-engine xls": options.rtl_engine == "xls",
        "--engines xls": "xls" in options.engines,
        f"--architecture {options.architecture}": options.architecture in ("parallel", "folded"),
        "--pipeline rows": options.pipeline == "rows",
        "--dsp": options.dsp is not None,
        "--head argmax of a map": options.head == "argmax" and design.nodes[-1].window.count > 1,
        "--head argmax of maxima": options.head == "argmax" and design.nodes[-1].kind != "dense",
    }
    for what, asked in refused.items():
        if asked:
            raise UsageError(f"{what} is not made for streamed networks yet, and {design.name} is one; leave it out")


def _vectors(options: Options, design: Design, test: TestPart | None) -> Vectors:
    """The referee's vectors first (corners, data, random), then the whole test part, then random ones."""
    weights = multiplications(design)
    referee = options.vectors or max(100, min(1000, 1_500_000 // max(weights, 1)))
    data = quantize_inputs(design, test.inputs) if test else None
    first = make_vectors(design, referee, data, options.seed)
    most = BULK_VECTORS if not design.nodes else max(min(BULK_VECTORS, _STREAMED_PRODUCTS // max(weights, 1)), referee)
    count = max(most - len(first) - (0 if data is None else len(data)), 0)
    more = make_vectors(design, count, None, options.seed + 1)
    inputs = np.concatenate([first, *([data] if data is not None else []), more])
    return Vectors(inputs, evaluate(design, inputs), len(first), 0 if data is None else len(data))


def applied_after(function: Any, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the host makes of logits whose sigmoid or tanh the design leaves out."""
    if function == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-logits)))
    return np.asarray(np.tanh(logits)) if function == "tanh" else logits


def _why_other(design: Design) -> str:
    """What to say where the hardware scores otherwise than the model by itself."""
    given = design.source.get("input_format")
    rounded = f": its inputs are rounded to {given}" if given else ""
    return f"the hardware does not do what the model does on this data{rounded}"


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
    outputs = rows.astype(np.float64) if head == "argmax" else real_outputs(design, rows)
    if build.test.task == "regression":  # what the design leaves out at the end is left to the host
        outputs = applied_after(design.source.get("left_out"), outputs)
    if design.source.get("probability") and head == "logits":
        head = "probability"
    score = build.score = Score(data=build.test.name, rows=len(rows), **build.test.score(outputs, head))
    build.facts.predictions = predictions(
        build.test, outputs, head, design, build.preparation.applied, build.class_names
    )
    own = build.keras_score
    if own is None:
        build.skipped["keras_score"] = "a design.json has no model that could be scored beside it"
    elif not same_score(score.metric, own.value, score.value, design.source.get("left_out")):
        build.say(
            warning(
                f"the integer design has {score.metric} {score.value:.9g}, the {model_kind(design.source)} model "
                f"{own.value:.9g} on the same {len(rows)} rows: {_why_other(design)}"
            )
        )
