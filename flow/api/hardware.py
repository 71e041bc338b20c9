"""``flow.hardware``: from a model to verified hardware in one call, and what one does with it in Python."""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow.api.designs import as_array, as_real, as_rows, evaluate, looks_like_keras
from flow.api.door import door
from flow.api.report import Report
from flow.api.rtl import RtlModel
from flow.api.trace import Trace, traced
from flow.build.options import Options
from flow.build.report import BuildReport
from flow.build.run import run
from flow.build.state import Build, ModelFile
from flow.core.design import Design
from flow.core.design import to_json as design_json
from flow.core.errors import DataError, Mismatch, ModelError, UsageError, reason
from flow.core.evaluate import quantize_inputs
from flow.core.packages import missing_packages_told
from flow.core.untrusted import is_folder
from flow.extract.quiet import quiet
from flow.files import plan
from flow.report.console import Progress, summary
from flow.report.terminal import SafeConsole
from keras_models.data.own import known_data, known_labels
from keras_models.data.preprocess import Preprocessing
from keras_models.data.schema import named_columns

ENGINES = ("integer", "verilator")
_ROWS = 2048  # prepared at a time: they stay in the processor's cache
_BLOCK = 1 << 16  # simulated at a time
_turn = threading.Lock()  # builds of one process take turns: each may have to end all programs that it started


class Hardware:
    """Hardware that a build has made and verified; `hardware` makes it.

    ``report`` is the content of ``report.json``, ``design`` the integer design, ``folder`` where everything lies,
    ``preprocessing`` what the build applies to features (None for nothing), ``classes`` the label of each class index,
    ``class_names`` what these are called, where they have names.
    """

    def __init__(self, build: Build, report: BuildReport, place: Path) -> None:
        self.report = Report(report.to_json())
        self.design: Design = build.design
        self.folder: Path = build.options.out.resolve()
        self.preprocessing: Preprocessing | None = build.preparation.applied
        self.classes: tuple[int, ...] = build.classes
        self.class_names: tuple[str, ...] = build.class_names
        self._model = build.model
        self._rtl = RtlModel(self.folder, place / "rtl")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)

    def __repr__(self) -> str:
        synthesis, report = self.report.synthesis, self.report
        luts = f"{synthesis['lut']:,} LUT sites, " if synthesis else ""
        return f"<Hardware {report.design} on {report.part}: {luts}{report.latency_cycles} cycles; {self.folder}>"

    @door
    def predict(self, X: ArrayLike, engine: str = "integer", prepared: bool = False) -> NDArray[Any]:
        """The hardware's outputs for ``X`` (rows x features), as the real numbers that leave the chip (rows x outputs).

        ``X`` is in the data's own units, as ``data`` of the build: ``preprocessing`` is applied to it, unless it is
        ``prepared`` already. Where the model knows its columns by name, ``X`` may be a data frame, a mapping of columns
        or a list of mappings. Engine ``integer`` computes with the integer design, ``verilator`` runs the Verilog
        itself. With head ``argmax`` the result are class indices (rows,). Raises DataError where ``X`` does not fit.
        """
        if engine not in ENGINES:
            raise UsageError(f"engine {engine!r} does not predict; choose {' or '.join(ENGINES)}")
        rows = self._rows(X, prepared)
        if engine == "integer":
            return evaluate(self.design, self._prepared(rows, prepared))
        blocks = (
            quantize_inputs(self.design, self._prepared(rows[start : start + _BLOCK], prepared), start)
            for start in range(0, len(rows), _BLOCK)
        )
        return as_real(self.design, self._rtl.outputs(blocks))

    @door
    def trace(self, X: ArrayLike, prepared: bool = False) -> Trace:
        """Every layer's values for ``X``, as `predict` takes it, beside those of the Keras model where there is one."""
        inputs = self._prepared(self._rows(X, prepared), prepared)
        if self._model.is_design or self._model.is_onnx:
            return traced(self.design, inputs, None)
        self._model.require_unchanged()
        with missing_packages_told():
            return traced(self.design, inputs, self._model.keras())

    def _rows(self, X: ArrayLike, prepared: bool) -> NDArray[Any]:
        applied = self.preprocessing
        if prepared or applied is None:
            return as_rows(X, len(self.design.inputs))
        if applied.schema is not None:
            try:
                X = applied.raw(X)
            except ValueError as exc:
                raise DataError(f"X: {reason(exc)}") from None
        return as_rows(X, applied.features)

    def _prepared(self, rows: NDArray[Any], prepared: bool) -> NDArray[Any]:
        """Model inputs of rows as they were given."""
        applied = self.preprocessing
        if prepared or applied is None:
            return rows
        try:
            blocks = [applied.apply(rows[start : start + _ROWS]) for start in range(0, max(len(rows), 1), _ROWS)]
        except ValueError as exc:
            raise DataError(f"the preprocessing cannot be applied to X: {reason(exc)}") from None
        return np.concatenate(blocks)


@door
def hardware(
    model: Any,
    part: str = "xc7z020",
    data: Any = None,
    out: str | Path | None = None,
    *,
    verbose: bool = False,
    **options: Any,
) -> Hardware:
    """Build verified hardware of a model, as ``python -m flow.build`` does, and return it.

    ``model``: a Keras model, the path of one, a design, or the path of a ``design.json``. ``data``: the name or path of
    a data set, or arrays ``(X, y)``, which all serve as test rows; a data frame or mapping of columns, or texts among
    them, where the model was trained on a table. ``out``: the folder for everything; without it a
    temporary one, which goes with the object. ``options``: those of the command line by their names there, such as
    ``clock_period_ns=5`` or ``engines="integer,verilator"``. Prints nothing unless ``verbose``.

    Raises the errors of `flow.errors`: `Mismatch` where an engine disagrees with the integer design.
    """
    place = Path(tempfile.mkdtemp(prefix="nmp-"))
    try:
        with _turn, missing_packages_told():
            build, report = _built(_options(model, part, data, out, options, place), verbose)
        if build.differences:
            raise Mismatch("; ".join(build.differences))
        return Hardware(build, report, place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _options(model: Any, part: str, data: Any, out: str | Path | None, others: dict[str, Any], place: Path) -> Options:
    known = sorted({option.name for option in fields(Options)} - {"model", "part", "data", "out", "engines_named"})
    if unknown := [name for name in others if name not in known]:
        raise UsageError(f"option {unknown[0]} is not known; there are {', '.join(known)}")
    others = {name: value.item() if isinstance(value, np.generic) else value for name, value in others.items()}
    columns = others.get("target_columns")
    if isinstance(columns, int | list | tuple) and not isinstance(columns, bool):
        wanted = [columns] if isinstance(columns, int) else columns
        others = {**others, "target_columns": ",".join(str(column) for column in wanted)}
    path = _stored(model, place)
    return Options.of(
        path, part, place / "build" if out is None else out, data=_named_data(data, place, path), **others
    )


def _stored(model: Any, place: Path) -> Path:
    """The model as a file: its own, or one in ``place``."""
    if isinstance(model, str | Path):
        return Path(model) / "design.json" if is_folder(Path(model)) else Path(model)
    if isinstance(model, Design):
        plan.write_file(place / "design.json", design_json(model))
        return place / "design.json"
    if not looks_like_keras(model):
        raise ModelError(f"{type(model).__name__} is no model: give a Keras model, a file's name or a design")
    path, disabled = place / "model.h5", logging.root.manager.disable
    logging.disable(logging.WARNING)  # Keras recommends another format, in which no two files are the same
    try:
        with quiet():
            model.save(path)
    except Exception as exc:  # whatever a library says about a model that it cannot store
        raise ModelError(f"the model cannot be saved ({reason(exc)}); save it yourself and give the file") from None
    finally:
        logging.disable(disabled)
    return path


def _by_schema(data: Any, model: Path) -> Any:
    """(X, y) as numbers, of a table or of texts that the model's schema describes; other data as they are."""
    whole = named_columns(data) is not None
    if not whole and (not isinstance(data, Sequence) or len(data) != 2 or _is_plain(data)):
        return data
    stored = ModelFile(model).preprocessing()
    schema = None if stored is None else stored.schema
    if schema is None:
        raise DataError(
            "data has named columns or texts, and the model does not say what they mean; give numbers (X, y)"
        )
    try:
        if whole:
            dataset = known_data(data, schema).dataset
            return dataset.X, dataset.y
        return schema.rows(data[0]), known_labels(data[1], schema)
    except ValueError as exc:
        raise DataError(f"data: {reason(exc)}") from None


def _is_plain(data: Sequence[Any]) -> bool:
    """Whether (X, y) are arrays of numbers, without names; or none at all, which is refused where they are read."""
    if named_columns(data[0]) is not None:
        return False
    try:
        return not any(np.asarray(part).dtype.kind in "UO" for part in data)
    except ValueError:
        return True


def _named_data(data: Any, place: Path, model: Path) -> str | None:
    """Data as the command line names it. Arrays become a set whose test rows they are, and whose training rows, from
    which labels and, where asked for, moments are read.
    """
    if data is not None and not isinstance(data, str | Path):
        data = _by_schema(data, model)
    if data is None or isinstance(data, str | Path):
        return None if data is None else str(data)
    if not isinstance(data, Sequence) or len(data) != 2:
        raise DataError(f"data is {type(data).__name__}; give (X, y), a row of each for every vector, a name or a file")
    X, y = as_array("X of data", data[0]), as_array("y of data", data[1])
    if X.ndim < 2 or y.ndim < 1:
        raise DataError(f"data: X has shape {X.shape}, y {y.shape}; give a row of each for every vector")
    X = X.reshape(len(X), -1)
    if len(X) != len(y):
        raise DataError(f"data: X has {len(X)} rows, y {len(y)}")
    path = place / "data.npz"
    parts = (slice(None), slice(1), slice(None))  # 0 training, 1 validation, 2 test
    split = np.concatenate([np.full(len(X[rows]), code, np.int8) for code, rows in enumerate(parts)])
    content = io.BytesIO()
    np.savez(content, X=np.concatenate([X[rows] for rows in parts]), y=np.concatenate([y[rows] for rows in parts]),
             split=split)  # fmt: skip
    plan.write_file(path, content.getvalue())
    return str(path)


def _built(options: Options, verbose: bool) -> tuple[Build, BuildReport]:
    if not verbose:
        return run(options, lambda step, state: None, lambda step, what: None)
    console = SafeConsole()
    with Progress(console) as progress:
        build, report = run(options, progress.observe, progress.tell)
    summary(console, report.to_json(), str(options.out))
    return build, report
