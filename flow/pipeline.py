"""The build: model -> design -> RTL and HLS -> every engine on the same vectors -> synthesis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from flow import plan
from flow.check import check
from flow.dataset import TestPart, fit_test_part, open_dataset
from flow.errors import DesignError
from flow.evaluate import argmax, evaluate, quantize_inputs, to_float
from flow.fixed import Ints
from flow.ir import Design, from_json, to_json
from flow.parts import Part
from flow.passes.group import group
from flow.passes.prune import prune
from flow.passes.widths import widths
from flow.steps import Steps, build_lock, digest_of
from flow.vectors import make_vectors, off_grid

ENGINES = ("integer", "hls", "icarus", "verilator", "netlist")
OPTIONAL_ENGINES = ("xls",)  # only where asked for: they need more than the default installation
RTL_ENGINES = ("own", "xls")
ARCHITECTURES = ("auto", "parallel", "folded")
BULK_VECTORS = 20_000
OFF_GRID_VECTORS = 256  # of floats for the keras engine, which checks how inputs are read


@dataclass(frozen=True)
class Options:
    """What a build is asked for."""

    model: Path
    part: Part
    out: Path
    data: str | None = None
    split_key: str | None = None
    target_columns: str | None = None
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


@dataclass
class Build:
    """A build under way: what was asked for and what the steps have found so far."""

    options: Options
    steps: Steps
    design: Design
    vectors: Vectors
    test: TestPart | None = None
    verification: dict[str, dict[str, Any]] = field(default_factory=dict)
    synthesis: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


class ModelFile:
    """The model of a build, loaded only when a step needs it: importing Keras takes seconds."""

    def __init__(self, path: Path, layer: str | None = None) -> None:
        self.path, self.layer = path, layer
        self.is_design = path.suffix == ".json"
        with plan.readable_input(path):
            self.digest = hashlib.sha256(path.read_bytes()).hexdigest() + (f" {layer}" if layer else "")
        self._loaded: Any = None

    def keras(self) -> Any:
        """The Keras model."""
        from flow.extract import load_model  # imports Keras

        if self._loaded is None:
            self._loaded = load_model(self.path, self.layer)
        return self._loaded

    def design(self, options: Options) -> Design:
        """The finished design: extracted, all passes run and checked."""
        if self.is_design:
            try:
                text = self.path.read_text(encoding="utf-8")
            except UnicodeDecodeError as exc:
                raise DesignError(f"{self.path}: not text ({exc}); rebuild it from the model") from None
            design = from_json(text, str(self.path))
        else:
            from flow.extract import extract  # imports Keras

            design = extract(self.keras(), input_format=options.input_format)
        return finish(replace(design, head=options.head) if options.head != "logits" else design)


def finish(design: Design) -> Design:
    """All passes, each followed by the check."""
    for step in (prune, widths, group):
        design = check(step(check(design)))
    return design


def run_build(
    options: Options,
    observer: Callable[[str, str], None],
    engines: Callable[[Build], None],
    teller: Callable[[str, str], None] = lambda step, what: None,
) -> Build:
    """Run every step; ``engines`` runs what comes after the design and its vectors are known. ``observer`` hears every
    step's states, ``teller`` what a long step is doing just now.

    Raises FlowError for what the user can mend; a model that cannot become a design leaves no output folder behind.
    Mismatches do not raise: they are in the result.
    """
    model = ModelFile(options.model, options.layer)
    existed = options.out.exists()
    with ExitStack() as stack:
        stack.enter_context(build_lock(options.out))
        try:
            plan.remove(options.out / "report.json")
            plan.remove(options.out / "report.html")
            steps = Steps(options.out, observer, teller)
            dataset = None
            if options.data:  # before the model: a wrong name is told at once
                with steps.timed("data"):
                    dataset = open_dataset(options.model, options.data, options.split_key, options.target_columns)
            design = _design(model, options, steps)
            test = fit_test_part(dataset, options.model, design) if dataset else None
        except BaseException:
            if not existed:
                plan.remove(options.out)
            raise
        build = Build(options, steps, design, _vectors(options, design, test), test)
        _keras(build, model)
        engines(build)
        _score(build)
    return build


def _design(model: ModelFile, options: Options, steps: Steps) -> Design:
    key = digest_of("design 1", model.digest, options.head, options.input_format or "")

    def work() -> dict[str, Any]:
        design = model.design(options)
        plan.write_file(options.out / "design.json", to_json(design))
        return {"source": design.source}

    result = steps.run("model", key, work, ("design.json",))
    design = from_json((options.out / "design.json").read_text())
    return replace(design, source=result["source"])


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


def _keras(build: Build, model: ModelFile) -> None:
    """Engine ``keras``: the Keras model against the integer design, on exact corner inputs, off the grid, on data."""
    if model.is_design:
        build.skipped["keras"] = "the build started from a design.json, there is no Keras model"
        return
    design, vectors = build.design, build.vectors
    exact = to_float(vectors.inputs[: vectors.referee], design.input_formats).astype(np.float32)
    beside = off_grid(design.inputs, OFF_GRID_VECTORS, build.options.seed)
    inputs = np.concatenate([exact, beside, *([] if build.test is None else [build.test.inputs])])
    key = digest_of("keras 2", model.digest, to_json(design), inputs.tobytes())

    def work() -> dict[str, Any]:
        from flow.extract import compare_with_keras  # imports Keras

        return compare_with_keras(model.keras(), design, inputs)

    result = build.steps.run("keras", key, work)
    if result.get("skipped"):
        build.skipped["keras"] = result["skipped"]
        return
    record(build, "keras", result)


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
    if result["mismatches"]:
        build.differences.append(f"engine {engine}: {difference or 'outputs differ'}")
        build.verification[engine]["first_mismatch"] = difference


def _score(build: Build) -> None:
    """The integer design's score on the data's test part, beside the one training recorded."""
    if build.test is None:
        build.skipped["score"] = "no data set was given (--data)"
        return
    start = build.vectors.referee
    rows = build.vectors.expected[start : start + build.vectors.data_rows]
    design = build.design
    head = design.head
    if build.test.task == "classification" and head == "logits" and rows.shape[1] > 1:
        rows, head = argmax(rows, design.output_formats), "argmax"  # exact, as floats of more than 53 bits are not
    outputs = rows.astype(np.float64) if head == "argmax" else to_float(rows, design.output_formats)
    build.score = {"data": build.test.name, "rows": len(rows), **build.test.score(outputs, head)}


def save_json(path: Path, data: Any) -> None:
    """Write JSON for people and programs: sorted keys, indented."""
    plan.write_file(path, json.dumps(data, indent=1, sort_keys=True) + "\n")
