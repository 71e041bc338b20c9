"""A build as data: what it was asked for, its model, its vectors, and what its steps have found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from flow.core.check import check
from flow.core.design import Design, from_json
from flow.core.errors import DesignError, ModelError
from flow.core.fixed import Ints
from flow.core.passes.group import group
from flow.core.passes.names import names
from flow.core.passes.prune import prune
from flow.core.passes.widths import widths
from flow.core.remarks import Remark, note
from flow.core.untrusted import MAX_JSON, MAX_MODEL, digest, read_text, refused
from flow.extract import stored_model
from flow.extract.test_data import Preparation, TestPart, parse_preprocessing, stored_preprocessing
from flow.files import plan
from flow.files.steps import Steps
from flow.parts.catalog import Part
from flow.tool_reports.open_json import UNFINISHED
from keras_models.data.preprocess import Preprocessing

ENGINES = ("integer", "hls", "icarus", "verilator", "netlist")
OPTIONAL_ENGINES = ("xls",)  # only where asked for: they need more than the default installation
RTL_ENGINES = ("own", "xls")
ARCHITECTURES = ("auto", "parallel", "folded")


@dataclass(frozen=True)
class Options:
    """What a build is asked for."""

    model: Path
    part: Part
    out: Path
    data: str | None = None
    split_key: str | None = None
    target_columns: str | None = None
    preprocessing: str | None = None
    vectors: int | None = None
    clock_period_ns: float = 10.0
    architecture: str = "auto"
    initiation_interval: int | None = None
    results_per_second: float | None = None
    engines: tuple[str, ...] = ENGINES
    engines_named: bool = False  # by the user: then one that cannot run is an error
    backend: str = "Vitis"
    head: str = "logits"
    input_format: str | None = None
    quantize: bool = False
    seed: int = 0
    waveform: bool = False
    route: bool = False
    rtl_engine: str = "own"
    shell: str = "none"
    lanes: str = "bytes"
    bus_bits: int = 32
    layer: str | None = None
    hls_io: str = "io_parallel"
    strategy: str | None = None
    reuse_factor: int | None = None
    hls_config: Path | None = None
    vendor_steps: tuple[str, ...] = ("csim", "synth")


@dataclass(frozen=True)
class Vectors:
    """Input mantissas and golden outputs: ``bulk`` for fast engines, its first ``referee`` rows for the benches."""

    inputs: Ints
    expected: Ints
    referee: int
    data_rows: int


class ModelFile:
    """The model of a build, loaded only when a step needs it: importing Keras takes seconds."""

    def __init__(self, path: Path, layer: str | None = None) -> None:
        self.path, self.layer = path, layer
        self.is_design = path.suffix == ".json"
        with refused(ModelError, str(path), "give a .h5, .keras or design.json file"):
            self.digest = digest(path, MAX_JSON if self.is_design else MAX_MODEL) + (f" {layer}" if layer else "")
        self._loaded: Any = None

    @cached_property
    def stored(self) -> stored_model.StoredModel:
        """What the Keras file holds, read apart without Keras."""
        return stored_model.read(self.path)

    @cached_property
    def given(self) -> Design:
        """The design that a ``design.json`` holds, not checked yet."""
        with refused(DesignError, str(self.path), "rebuild it from the model"):
            return from_json(read_text(self.path, MAX_JSON), str(self.path))

    def preprocessing(self) -> Preprocessing | None:
        """What training, or the build that wrote a ``design.json``, stored; None where nothing, or for one layer."""
        if self.layer is not None:  # its inputs are signals inside the model
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

    def design(self, options: Options) -> Design:
        """The finished design: extracted, all passes run and checked."""
        if self.is_design:
            design = self.given
        else:
            from flow.extract import extract  # imports Keras

            design = extract(self.keras(), input_format=options.input_format)
        return finish(replace(design, head=options.head) if options.head != "logits" else design)


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
    verification: dict[str, dict[str, Any]] = field(default_factory=dict)
    synthesis: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)
    keras_score: dict[str, Any] | None = None  # of the Keras model on the same rows; None where there is none
    facts: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    @property
    def classes(self) -> tuple[int, ...]:
        """The label that each class index stands for, by the data or by the model; empty where neither tells."""
        return self.test.classes if self.test else self.preparation.classes

    def say(self, *remarks: Remark) -> None:
        """Add what console and report have to say, each line once."""
        self.remarks += [remark for remark in remarks if remark not in self.remarks]


def finish(design: Design) -> Design:
    """All passes, each followed by the check."""
    for step in (names, prune, widths, group):
        design = check(step(check(design)))
    return design


def places(options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files a build writes in its folder, and the folders it writes into."""
    asked = {
        "hls": "hls" in options.engines,
        "shell": options.shell != "none",
        "pynq": options.shell == "pynq",
        "proof": options.architecture != "parallel",
        "route": options.route,
        "xls": "xls" in options.engines or options.rtl_engine == "xls",
    }
    folders = ("rtl", "sim", "synth", "netproof", *(name for name, is_asked in asked.items() if is_asked))
    quantized = ("quantized.h5",) if options.quantize else ()
    return ("design.json", "report.json", "report.html", UNFINISHED, *quantized), folders


def leave_out(build: Build, engine: str, reason: str) -> None:
    """Note that an engine of the default choice does not run; raises DesignError where the user named it."""
    if build.options.engines_named:
        raise DesignError(f"engine {engine} cannot run: {reason}; leave it out of --engines")
    build.skipped[engine] = reason


def record(build: Build, engine: str, result: dict[str, Any]) -> None:
    """Note an engine's result: its numbers for the report, its first difference for the user."""
    result = dict(result)
    difference = result.pop("difference", None)
    seconds = result.pop("seconds", build.steps.seconds.get(engine, 0.0))
    build.verification[engine] = {**result, "seconds": round(seconds, 3)}
    if result.get("note"):
        build.say(note(f"engine {engine}: {result['note']}"))
    if result["mismatches"]:
        build.differences.append(f"engine {engine}: {difference or 'outputs differ'}")
        build.verification[engine]["first_mismatch"] = difference


def save_json(path: Path, data: Any) -> None:
    """Write JSON for people and programs: sorted keys, indented."""
    plan.write_file(path, to_text(data))


def to_text(data: Any) -> str:
    """JSON as `save_json` writes it."""
    return json.dumps(data, indent=1, sort_keys=True) + "\n"
