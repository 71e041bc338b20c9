"""Preprocessing fitted on the training part and saved with the model; NumPy (and h5py or zipfile for files) only."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_models.data.labels import class_indices, read_classes
from keras_models.data.loaders import Dataset
from keras_models.data.schema import Schema
from keras_models.untrusted import MAX_MODEL, opened, parse_json

ATTRIBUTE = "nmp_preprocessing"
ENTRY = "nmp_preprocessing.json"
CLIP_LOW, CLIP_HIGH = -8.0, 7.99
HEAVY_TAIL = 20.0  # |x| beyond this many standard deviations: the column is compressed by a signed log first
_FORMAT_VERSION = 1
_LATER: dict[str, Any] = {"classes": [], "fill": [], "flags": [], "schema": None}  # earlier versions have none of them
MAX_FEATURES = 1 << 16
_MAX_TEXT = 1 << 24


@dataclass(frozen=True)
class Preprocessing:
    """The map from a data set's own units to model inputs, and of standardised outputs back to target units.

    Output columns are the numeric columns in their order (signed log where ``log``; ``(x - mean) * scale``; clipped to
    [``low``, ``high``] where ``clip``), then for each categorical column one 0/1 column per kept level, then for each
    column of ``flags`` one that is 1 where the value is missing. ``fill`` is what stands for a missing value in each
    numeric column (none: they hold no missing values); a missing category is no level. ``schema`` names the columns and
    says how rows of a table become features.
    ``target_mean`` and ``target_std`` are empty for classification; ``classes`` are then the labels of the model's
    outputs in their order (none in files of earlier versions: there a label is the number of its output).
    """

    features: int
    numeric: tuple[int, ...]
    log: tuple[bool, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    clip: tuple[bool, ...]
    categorical: tuple[tuple[int, tuple[float, ...]], ...] = ()
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    low: float = CLIP_LOW
    high: float = CLIP_HIGH
    classes: tuple[int, ...] = ()
    fill: tuple[float, ...] = ()
    flags: tuple[int, ...] = ()
    schema: Schema | None = None

    @classmethod
    def fit(cls, dataset: Dataset) -> Preprocessing:
        """Fit on the training part: medians, heavy tails, moments, categorical levels, target moments or labels."""
        X, y = dataset.part("train")
        categorical = tuple(
            (column, _top_levels(X[:, column], count))
            for column, count in sorted(dataset.declaration.categorical.items())
        )
        numeric = tuple(c for c in range(X.shape[1]) if c not in dataset.declaration.categorical)
        values = X[:, list(numeric)].astype(np.float64)
        table = dataset.schema is not None and dataset.schema.is_table
        fill = _medians(values) if table or np.isnan(dataset.X).any() else ()
        if fill:
            values = np.where(np.isnan(values), fill, values)
        if dataset.declaration.scale is not None:
            n = len(numeric)
            columns = ((False,) * n, (0.0,) * n, (float(dataset.declaration.scale),) * n, (False,) * n)
        else:
            columns = _fit_numeric(values)
        mean: tuple[float, ...] = ()
        std: tuple[float, ...] = ()
        if dataset.task == "regression":
            mean = tuple(float(v) for v in y.mean(axis=0))
            std = tuple(float(v) if v > 0 else 1.0 for v in y.std(axis=0))
        return cls(
            X.shape[1], numeric, *columns, categorical=categorical, target_mean=mean, target_std=std,
            classes=dataset.classes, fill=fill, flags=dataset.declaration.flags, schema=dataset.schema,
        )  # fmt: skip

    @property
    def outputs(self) -> int:
        """Number of model input columns produced."""
        return len(self.numeric) + sum(len(levels) for _, levels in self.categorical) + len(self.flags)

    @property
    def input_names(self) -> tuple[str, ...]:
        """What each model input is called, such as ``rtt``, ``proto=tcp`` or ``rtt is missing``; none without names."""
        schema = self.schema
        if schema is None:
            return ()
        names = [schema.features[column] for column in self.numeric]
        names += [f"{schema.features[c]}={schema.level(c, code)}" for c, levels in self.categorical for code in levels]
        return (*names, *(f"{schema.features[column]} is missing" for column in self.flags))

    @property
    def output_names(self) -> tuple[str, ...]:
        """What each class or target is called; none where they have no names but their labels."""
        if self.schema is None:
            return ()
        return tuple(map(self.schema.label, self.classes)) if self.schema.classes else self.schema.targets

    def raw(self, source: Any) -> np.ndarray:
        """Features (rows, features) as numbers, of rows as `Schema.rows` takes them."""
        return np.asarray(source) if self.schema is None else self.schema.rows(source)

    def apply(self, source: Any) -> np.ndarray:
        """Model inputs (rows, `outputs`) float32 from raw features (rows, features), as `raw` takes them.

        Raises ValueError when the number of features differs from the fitted one, or a value leaves float32.
        """
        X = self.raw(source)
        if X.ndim != 2 or X.shape[1] != self.features:
            raise ValueError(f"expected (rows, {self.features}) features, got shape {X.shape}")
        values = X[:, list(self.numeric)].astype(np.float64)
        if self.fill:
            values = np.where(np.isnan(values), self.fill, values)
        log = np.asarray(self.log, bool)
        values[:, log] = np.sign(values[:, log]) * np.log1p(np.abs(values[:, log]))
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            values = (values - np.asarray(self.mean)) * np.asarray(self.scale)
            clip = np.asarray(self.clip, bool)
            values[:, clip] = np.clip(values[:, clip], self.low, self.high)
            blocks = [values.astype(np.float32)]
        if not np.isfinite(blocks[0]).all():
            column = self.numeric[int(np.flatnonzero(~np.isfinite(blocks[0]).all(axis=0))[0])]
            missing = "holds a missing value, of which training had none, or "
            raise ValueError(f"feature column {column} {missing}leaves float32 when it is preprocessed")
        for column, levels in self.categorical:
            blocks.append((X[:, column : column + 1] == np.asarray(levels)).astype(np.float32))
        blocks += [np.isnan(X[:, column : column + 1]).astype(np.float32) for column in self.flags]
        return np.ascontiguousarray(np.concatenate(blocks, axis=1))

    def apply_targets(self, y: np.ndarray) -> np.ndarray:
        """Standardised float32 targets (rows, targets); of labels the int32 class indices, -1 for others."""
        if not self.target_mean:
            return class_indices(y, self.classes)
        scaled = (np.asarray(y, np.float64) - self.target_mean) / np.asarray(self.target_std)
        return np.asarray(scaled, np.float32)

    def restore_targets(self, y: np.ndarray) -> np.ndarray:
        """Targets in their own units from standardised model outputs."""
        if not self.target_mean:
            return np.asarray(y)
        return np.asarray(np.asarray(y, np.float64) * np.asarray(self.target_std) + np.asarray(self.target_mean))

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """The data set's labels of class indices, such as the argmax of a model's outputs."""
        return np.asarray(self.classes, np.int64)[indices] if self.classes else np.asarray(indices)

    def to_json(self) -> str:
        """A JSON text from which `from_json` restores an equal object."""
        return json.dumps({"version": _FORMAT_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Restore from `to_json`; raises ValueError for any other text."""
        try:
            stored: Any = parse_json(text, "the text", limit=_MAX_TEXT)
            if not isinstance(stored, dict) or stored.pop("version", None) != _FORMAT_VERSION:
                raise ValueError("unknown version")
            for key, absent in _LATER.items():
                stored.setdefault(key, absent)
            if set(stored) != {field.name for field in fields(cls)}:
                raise ValueError("other members than it should have")
            for key in ("numeric", "log", "mean", "scale", "clip", "target_mean", "target_std", "fill", "flags"):
                stored[key] = tuple(_list(stored[key], key))
            stored["classes"] = read_classes(_list(stored["classes"], "classes"))
            stored["categorical"] = tuple(
                (column, tuple(_list(levels, "categorical")))
                for column, levels in (
                    _list(pair, "categorical", 2) for pair in _list(stored["categorical"], "categorical")
                )
            )
            stored["schema"] = None if stored["schema"] is None else Schema.from_data(stored["schema"])
            restored = cls(**stored)
            restored._check()
        except ValueError as error:
            raise ValueError(f"not a preprocessing description: {error}") from error
        return restored

    def _check(self) -> None:
        """Raise ValueError for members of other types, ranges or lengths than `fit` makes."""
        if not _is_whole(self.features, 1, MAX_FEATURES):
            raise ValueError("features is no usable number")
        columns = [*self.numeric, *(column for column, _ in self.categorical)]
        if not all(_is_whole(c, 0, self.features - 1) for c in columns) or len(set(columns)) != len(columns):
            raise ValueError(f"columns are not different ones of {self.features}")
        if not len(self.numeric) == len(self.log) == len(self.mean) == len(self.scale) == len(self.clip):
            raise ValueError("column lists of different lengths")
        if not all(isinstance(flag, bool) for flag in (*self.log, *self.clip)):
            raise ValueError("log and clip are not true or false")
        if len(self.fill) not in (0, len(self.numeric)):
            raise ValueError("fill is not one value per numeric column")
        if not all(_is_whole(c, 0, self.features - 1) for c in self.flags):
            raise ValueError("flags are not columns")
        if self.schema is not None and len(self.schema.features) != self.features:
            raise ValueError("the schema names another number of features")
        levels = [value for _, values in self.categorical for value in values]
        numbers = (
            *self.mean,
            *self.scale,
            *self.target_mean,
            *self.target_std,
            *levels,
            *self.fill,
            self.low,
            self.high,
        )
        if not all(_is_number(value) for value in numbers):
            raise ValueError("a value is no finite number")
        if len(self.target_mean) != len(self.target_std) or not all(value > 0 for value in self.target_std):
            raise ValueError("target_mean and target_std do not fit each other")
        if self.low > self.high or not self.outputs or self.outputs > MAX_FEATURES:
            raise ValueError("it clips to nothing or leaves no column")


def _list(value: Any, what: str, length: int | None = None) -> Sequence[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise ValueError(f"{what} is not the list it should be")
    return value


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _top_levels(column: np.ndarray, count: int) -> tuple[float, ...]:
    levels, frequency = np.unique(column[~np.isnan(column)], return_counts=True)
    order = np.lexsort((levels, -frequency))[:count]
    return tuple(float(v) for v in np.sort(levels[order]))


def _medians(X: np.ndarray) -> tuple[float, ...]:
    """The lower median of each column, which occurs in it; 0 for a column without a value."""
    some = (~np.isnan(X)).any(axis=0)
    found = np.zeros(X.shape[1])
    found[some] = np.nanquantile(X[:, some], 0.5, axis=0, method="lower")
    return tuple(float(value) for value in found)


def _fit_numeric(X: np.ndarray) -> tuple[tuple[bool, ...], tuple[float, ...], tuple[float, ...], tuple[bool, ...]]:
    """Per-column log, mean, scale and clip; columns that only hold 0 and 1 stay as they are (one exact bit)."""
    binary = ((X == 0) | (X == 1)).all(axis=0)
    constant = X.std(axis=0) == 0
    heavy = (np.abs(X).max(axis=0) > HEAVY_TAIL * (X.std(axis=0) + 1e-9)) & ~binary & ~constant
    X = np.where(heavy, np.sign(X) * np.log1p(np.abs(X)), X)
    mean = np.where(binary, 0.0, X.mean(axis=0))
    scale = np.where(binary, 1.0, 1.0 / (X.std(axis=0) + 1e-9))
    scale[~binary & constant] = 0.0  # a constant column carries nothing and must not blow up on new data
    return (
        tuple(bool(v) for v in heavy),
        tuple(float(v) for v in mean),
        tuple(float(v) for v in scale),
        tuple(bool(v) for v in ~binary),
    )


def attach(path: str | Path, preprocessing: Preprocessing) -> None:
    """Store the preprocessing in a saved model: an HDF5 attribute (``.h5``) or a zip entry (``.keras``)."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path, "a") as archive:
            if ENTRY in archive.namelist():
                raise ValueError(f"{path} already holds a preprocessing")
            archive.writestr(zipfile.ZipInfo(ENTRY), preprocessing.to_json())  # fixed date: equal models, equal bytes
        return
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs[ATTRIBUTE] = preprocessing.to_json()


def read(path: str | Path) -> Preprocessing | None:
    """The preprocessing saved with a model, or None; raises ValueError for a file that is damaged or no model."""
    with opened(path, MAX_MODEL) as file:
        try:
            text = _archived(file) if zipfile.is_zipfile(file) else _attribute(file)
        except Exception as error:  # zipfile, zlib and h5py each raise a family of their own on a damaged file
            raise ValueError(f"{path} is no readable model: {' '.join(str(error).split())[:120]}") from None
    return None if text is None else Preprocessing.from_json(text)


def _archived(file: BinaryIO) -> str | None:
    with zipfile.ZipFile(file) as archive:
        if ENTRY not in archive.namelist():
            return None
        with archive.open(ENTRY) as stream:
            return stream.read(_MAX_TEXT).decode()


def _attribute(file: BinaryIO) -> str | None:
    import h5py

    with h5py.File(file, "r") as stored:
        text = stored.attrs.get(ATTRIBUTE)
    return text.decode() if isinstance(text, bytes) else text
