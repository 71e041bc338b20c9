"""A build as data: what it was asked for, its model, its vectors, and what its steps have found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.build.facts import Facts
from flow.build.hardware import Hardware
from flow.build.options import Options
from flow.core.check import check
from flow.core.compare import EngineResult
from flow.core.design import Design, from_json
from flow.core.errors import DesignError, ModelError
from flow.core.fixed import Ints
from flow.core.nodes import Form
from flow.core.passes.group import group
from flow.core.passes.names import names
from flow.core.passes.prune import prune
from flow.core.passes.widths import widths
from flow.core.ports import ports
from flow.core.remarks import Remark, note
from flow.core.untrusted import MAX_JSON, MAX_MODEL, digest, parse_json, read_text, refused
from flow.emit.rtl.names import LayerNames
from flow.extract import stored_model
from flow.extract.onnx import stored as onnx_file
from flow.extract.test_data import Preparation, TestPart, parse_preprocessing, stored_preprocessing
from flow.files import plan
from flow.files.steps import Steps
from keras_models.data.preprocess import Preprocessing


@dataclass(frozen=True)
class Vectors:
    """Input mantissas and golden outputs: ``bulk`` for fast engines, its first ``referee`` rows for the benches."""

    inputs: Ints
    expected: Ints
    referee: int
    data_rows: int


class ModelFile:
    """The model of a build, loaded only when a step needs it: importing Keras takes seconds."""

    def __init__(self, path: Path, layer: str | None = None, weights: Path | None = None) -> None:
        self.path, self.layer, self.weights = path, layer, weights
        self.is_design = path.suffix == ".json" and weights is None
        self.is_onnx = path.suffix == onnx_file.SUFFIX
        self._content = self._digests()
        self.digest = " ".join([*self._content, *([layer] if layer else [])])
        self._loaded: Any = None

    def _digests(self) -> list[str]:
        """Digests of the files as they are now."""
        found = []
        for file in (self.path,) if self.weights is None else (self.path, self.weights):
            stored_model.refuse_folder(file)
            with refused(ModelError, str(file), "give a .h5, .keras, .onnx or design.json file"):
                found.append(digest(file, MAX_JSON if self.is_design else MAX_MODEL))
        return found

    def require_unchanged(self) -> None:
        """Raise ModelError where the files are others now than when this was made."""
        if self._digests() != self._content:
            raise ModelError(f"{self.path} is not the file any more that was built; build it again")

    @cached_property
    def stored(self) -> stored_model.StoredModel:
        """What the Keras file holds, read apart without Keras."""
        return stored_model.read(self.path, self.weights)

    @cached_property
    def onnx(self) -> onnx_file.StoredOnnx:
        """What the ONNX file holds, read apart."""
        return onnx_file.read(self.path)

    @cached_property
    def given(self) -> Design:
        """The design that a ``design.json`` holds, not checked yet."""
        with refused(DesignError, str(self.path), "rebuild it from the model"):
            text = read_text(self.path, MAX_JSON)
            if '"class_name"' in text and "class_name" in parse_json(text, str(self.path), finite=False):
                raise ModelError(
                    f"{self.path} is an architecture without weights; give them too: --weights w.h5, as "
                    "model.save_weights() wrote it"
                )
            return from_json(text, str(self.path))

    def preprocessing(self) -> Preprocessing | None:
        """What training, or the build that wrote a ``design.json``, stored; None where nothing, or for one layer."""
        if self.layer is not None or self.is_onnx:  # inputs are signals inside the model; ONNX stores none
            return None
        if not self.is_design:
            return stored_preprocessing(self.stored)
        found = self.given.source.get("preprocessing")
        return parse_preprocessing(json.dumps(found) if found else None, str(self.path))

    def keras(self) -> Any:
        """The Keras model."""
        from flow.extract import load_model  # imports Keras

        if self._loaded is None:
            self._loaded = load_model(self.stored, self.layer)
        return self._loaded

    def extracted(self, input_format: str | None = None, head: str = "logits", form: Form = "auto") -> Design:
        """The design of the model, no pass run yet; arguments as `flow.extract.extract` takes them."""
        if self.is_onnx:
            if form == "streamed" and not self.onnx.is_graph:
                raise ModelError(
                    f"{self.path} is one path of dense layers, which is not streamed; leave --architecture streaming "
                    "out"
                )
            if form == "unrolled" and self.onnx.is_graph:
                raise ModelError(
                    f"{self.path}: convolutions and branches of ONNX models are streamed, not unrolled; use "
                    "--architecture streaming"
                )
            from flow.extract.onnx.design import extract_onnx  # needs more than the default installation

            return extract_onnx(self.onnx, input_format, head)
        from flow.extract import extract  # imports Keras

        return extract(self.keras(), input_format=input_format, head=head, form=form)

    def predictions(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """What the model itself makes of float inputs (vectors x elements), in its own runtime."""
        if self.is_onnx:
            from flow.extract.onnx.compare import onnx_predictions

            return onnx_predictions(self.onnx, inputs)
        from flow.extract import predictions

        return predictions(self.keras(), inputs)

    def ends_in(self) -> str | None:
        """The softmax, sigmoid or tanh that the model ends in."""
        if self.is_onnx:
            from flow.extract.onnx.compare import onnx_ends_in

            return onnx_ends_in(self.onnx)
        from flow.extract import ends_in

        return ends_in(self.keras())

    def design(self, options: Options) -> Design:
        """The finished design: extracted, all passes run and checked."""
        head = options.head if options.head == "probability" else "logits"
        design = self.given if self.is_design else self.extracted(options.input_format, head, options.form)
        if options.head == "probability" and not design.source.get("probability"):
            raise ModelError(f"{self.path} has no probabilities: build them from the Keras model; leave --head out")
        if options.head == "argmax" and len(ports(design, "outputs")) > 1:
            raise ModelError(f"{self.path} has several outputs, and --head argmax is for one; use --head logits")
        return finish(replace(design, head=options.head) if options.head == "argmax" else design)


@dataclass(frozen=True)
class Score:
    """What a model scores on the test part of a data set."""

    data: str
    metric: str
    rows: int
    value: float


@dataclass
class Build:
    """A build under way: what was asked for and what the steps have found so far."""

    options: Options
    steps: Steps
    design: Design
    vectors: Vectors
    model: ModelFile
    test: TestPart | None = None
    preparation: Preparation = field(default_factory=Preparation)
    hardware: Hardware | None = None  # once it is emitted
    verification: dict[str, EngineResult] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    score: Score | None = None
    keras_score: Score | None = None  # of the Keras model on the same rows; None where there is none
    facts: Facts = field(default_factory=Facts)
    differences: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    names: tuple[LayerNames, ...] = ()  # of the layers in the emitted Verilog and its netlist

    @property
    def classes(self) -> tuple[int, ...]:
        """The label that each class index stands for, by the data or by the model; empty where neither tells."""
        return self.test.classes if self.test else self.preparation.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, in the order of `classes`; empty where they have no names but their labels."""
        return (self.test.class_names if self.test else ()) or self.preparation.class_names

    def say(self, *remarks: Remark) -> None:
        """Add what console and report have to say, each line once."""
        self.remarks += [remark for remark in remarks if remark not in self.remarks]


def finish(design: Design) -> Design:
    """All passes, each followed by the check."""
    for step in (names, prune, widths, group):
        design = check(step(check(design)))
    return design


def leave_out(build: Build, engine: str, reason: str) -> None:
    """Note that an engine of the default choice does not run; raises DesignError where the user named it."""
    if build.options.engines_named:
        raise DesignError(f"engine {engine} cannot run: {reason}; leave it out of --engines")
    build.skipped[engine] = reason


def record(build: Build, *results: EngineResult) -> None:
    """Note engines' results, and the first difference of each for the user."""
    for result in results:
        build.verification[result.engine] = result
        if result.note:
            build.say(note(f"engine {result.engine}: {result.note}"))
        if not result.agrees:
            build.differences.append(f"engine {result.engine}: {result.difference}")


def save_json(path: Path, data: Any) -> None:
    """Write JSON for people and programs: sorted keys, indented."""
    plan.write_file(path, to_text(data))


def to_text(data: Any) -> str:
    """JSON as `save_json` writes it."""
    return json.dumps(data, indent=1, sort_keys=True) + "\n"
