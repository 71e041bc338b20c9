"""Data sets as ``.npz`` files (no pickles) or scikit-learn's bundled copies; NumPy only.

An ``.npz`` holds ``X`` (rows x features, or images: rows x height x width, channels last where there are some), ``y``
(integer labels, or float targets of one or more columns) and a split array (0 train, 1 validation, 2 test). Labels may
be any integers: a model's outputs are the labels of the training part in ascending order, and what was saved with the
model says which is which.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_models.data.schema import MAX_NAME, Schema
from keras_models.untrusted import Arrays, Unusable, read_arrays

PARTS = ("train", "val", "test")
MAX_VALUE = 1e19  # beyond it squares leave float32
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
ARROW_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow")
TABLE_SUFFIXES = CSV_SUFFIXES + ARROW_SUFFIXES
_NAMES = ("feature_names", "class_names", "target_names")
BUNDLED = ("digits", "breast_cancer")
_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class DataError(ValueError):
    """A data set that cannot be found or used; the message is one line and names the remedy."""


@dataclass(frozen=True)
class Declaration:
    """What is known about a named set and cannot be read off its numbers.

    ``scale``: multiplies ``X`` in place of standardisation (a power of two keeps integer features exact).
    ``categorical``: column -> how many of its most frequent training levels become one-hot columns.
    ``target_columns``: the columns of ``y`` used unless the caller chooses.
    ``ordered``: rows follow each other in time, evenly and without gaps.
    ``image``: what shape the features of a row have, channels last; none for those that are no image.
    ``flags``: columns that get a 0/1 input of their own, 1 where a value is missing.
    """

    scale: float | None = None
    categorical: Mapping[int, int] = field(default_factory=dict)
    target_columns: tuple[int, ...] | None = None
    ordered: bool = False
    flags: tuple[int, ...] = ()
    image: tuple[int, ...] = ()


DECLARATIONS: Mapping[str, Declaration] = {
    "mnist": Declaration(scale=1 / 256, image=(28, 28, 1)),
    "digits": Declaration(scale=1 / 16, image=(8, 8, 1)),
    "unsw_nb15": Declaration(categorical={39: 8, 40: 8, 41: 5}),
    "qoe_poqemon": Declaration(categorical={8: 5, 9: 4, 10: 15}),
    "rss_5g": Declaration(target_columns=(0,)),
    "kth_mesh": Declaration(ordered=True),
    "kth_vod": Declaration(ordered=True),
}


@dataclass(frozen=True)
class Dataset:
    """A loaded set. ``X``: (rows, features); ``y``: (rows,) int64 labels or (rows, targets) float64 in own units.

    ``schema`` holds names, and what a table's columns mean; ``notes`` what has to be said about them. X holds NaN where
    a value is missing.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    split: np.ndarray
    declaration: Declaration
    schema: Schema | None = None
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return "classification" if self.y.dtype.kind == "i" else "regression"

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur in the training part, ascending: what the outputs of a model mean. None of regression.

        A label that only other parts have cannot be learned; rows that have it count as wrong.
        """
        if self.task == "regression":
            return ()
        return tuple(int(label) for label in np.unique(self.part("train")[1]))

    @property
    def outputs(self) -> int:
        """Number of classes, or of target columns."""
        return len(self.classes) if self.task == "classification" else self.y.shape[1]

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """``X`` and ``y`` of ``"train"``, ``"val"`` or ``"test"``, not preprocessed."""
        rows = self.split == PARTS.index(name)
        return self.X[rows], self.y[rows]

    def windows(self, name: str, rows: int) -> np.ndarray:
        """(part's rows, ``rows``, features): each row of a part behind the ones before it, whatever part they are in.

        Before the first row of the set stand copies of it. Raises `DataError` for a set whose rows have no order.
        """
        if self.schema is not None and self.schema.is_table and not self.declaration.ordered:
            raise DataError(f"table {self.name!r}: --window needs rows in the order of time; name it with --time")
        if (self.name in DECLARATIONS and not self.declaration.ordered) or self.name in BUNDLED:
            raise DataError(f"data set {self.name!r}: its rows do not follow each other in time; leave out --window")
        own = np.flatnonzero(self.split == PARTS.index(name))
        return np.asarray(self.X[np.maximum(own[:, None] - np.arange(rows)[::-1], 0)])


def find(name: str) -> Path:
    """The file of a named set or a path; raises `DataError` with the places looked at."""
    tried = []
    if not name.endswith((".npz", *TABLE_SUFFIXES)) and os.sep not in name:
        roots = [Path(os.environ["NMP_DATA"])] if os.environ.get("NMP_DATA") else []
        for root in [*roots, _PROJECT_ROOT.parent / "shared" / "data"]:
            tried.append(root / name / f"{name}.npz")
    tried.append(Path(name))
    for path in tried:
        if os.path.lexists(path):  # what it is, its reader looks at
            return path
    places = ", ".join(str(p) for p in tried)
    known = {p.parent.name for root in {p.parents[1] for p in tried[:-1]} for p in root.glob("*/*.npz")}
    raise DataError(f"data set {name!r} not found (looked at {places}); give a path to an .npz, set NMP_DATA, or take "
                    f"one of {_listed([*BUNDLED, *known])}")  # fmt: skip


def load_dataset(
    name: str, split_key: str = "split", target_columns: Sequence[int] | None = None, needs: Collection[str] = PARTS
) -> Dataset:
    """Load a named set, a bundled one (``digits``, ``breast_cancer``) or an ``.npz`` path, with the parts that it
    ``needs``: all for training.

    Raises `DataError` for a missing or damaged file, absent arrays, impossible splits, non-finite values or targets.
    """
    if name in BUNDLED:
        arrays, stem = _bundled(name), name
        names: Collection[str] = arrays
    else:
        path = find(name)
        if path.suffix.lower() in TABLE_SUFFIXES:
            raise DataError(f"{name} is a table: a training learns from it with --target, and a build of its model "
                            "reads it; elsewhere give an .npz with X, y and split")  # fmt: skip
        found = _read(path, ("X", "y", split_key, *_NAMES))
        arrays, names, stem = found.values, found.names, path.stem
    for key in ("X", "y", split_key):
        if key not in arrays:
            raise DataError(
                f"data set {name!r} has no array {key!r} (it has {_listed(names)}); {_wanted(split_key)[key]}"
            )
    declaration = DECLARATIONS.get(stem, Declaration())
    columns = tuple(target_columns) if target_columns is not None else declaration.target_columns
    if arrays["X"].ndim in (3, 4):
        X = arrays["X"]
        arrays = {**arrays, "X": X.reshape(len(X), -1)}
        declaration = replace(declaration, image=(*X.shape[1:], 1)[:3])
    X, split = _features(name, arrays["X"]), _split(name, split_key, arrays[split_key], needs)
    y = _targets(name, arrays["y"], columns)
    if not len(X) == len(y) == len(split):
        raise DataError(f"data set {name!r}: X, y and {split_key!r} have {len(X)}, {len(y)} and {len(split)} rows")
    schema, notes = _named(arrays, X, y, columns)
    return Dataset(stem, X, y, split, declaration, schema, notes)


def _named(
    arrays: Mapping[str, np.ndarray], X: np.ndarray, y: np.ndarray, columns: Sequence[int] | None
) -> tuple[Schema | None, tuple[str, ...]]:
    """What a file calls its features, classes and targets, where it does, and which of these names do not fit."""
    labels = y.dtype.kind == "i"
    wanted = {"feature_names": X.shape[1], "class_names": int(y.max()) + 1 if labels and y.min() >= 0 else None,
              "target_names": None if labels else int(arrays["y"].reshape(len(y), -1).shape[1])}  # fmt: skip
    names: dict[str, tuple[str, ...]] = {}
    notes = []
    for key, count in wanted.items():
        found = arrays.get(key)
        if found is None or count is None:
            continue
        fits = found.ndim == 1 and found.dtype.kind == "U" and (len(found) == count or (labels and len(found) > count))
        if fits and len(set(found.tolist())) == len(found):
            names[key] = tuple(str(text)[:MAX_NAME] for text in found)
        else:
            notes.append(f"{key} is not used: it should be {count} different texts")
    targets = names.get("target_names", ())
    chosen = tuple(targets[c] for c in columns) if columns is not None and targets else targets
    features = names.get("feature_names", ())
    if not names:
        return None, tuple(notes)
    return Schema(features or tuple(f"x{i}" for i in range(X.shape[1])), (), names.get("class_names", ()), chosen,
                  labels), tuple(notes)  # fmt: skip


def _read(path: Path, wanted: Sequence[str]) -> Arrays:
    try:
        return read_arrays(path, wanted)
    except Unusable as error:
        raise DataError(f"{error}; give an .npz that numpy.savez wrote") from None


def _wanted(split_key: str) -> dict[str, str]:
    """What the arrays of a set are, for those who lack one."""
    return {
        split_key: "it says of every row where it belongs: 0 training, 1 validation, 2 test; --split-key names another",
        "X": "it holds the features, a row for every example",
        "y": "it holds an integer label or float targets for every row",
    }


def _listed(names: Collection[str]) -> str:
    known = sorted(names)
    return ", ".join(name[:40] for name in known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")


def _bundled(name: str) -> dict[str, np.ndarray]:
    from sklearn import datasets as sklearn_datasets

    bunch = getattr(sklearn_datasets, f"load_{name}")()
    rows = len(bunch.target)
    order = np.random.default_rng(0).permutation(rows)
    split = np.zeros(rows, np.int8)
    split[order[int(0.7 * rows) :]] = 1
    split[order[int(0.85 * rows) :]] = 2
    return {
        "X": bunch.data.astype(np.float32), "y": bunch.target.astype(np.int64), "split": split,
        "feature_names": np.array(bunch.feature_names, str), "class_names": np.array(bunch.target_names, str),
    }  # fmt: skip


def _features(name: str, X: np.ndarray) -> np.ndarray:
    if X.ndim != 2 or X.dtype.kind not in "fiub" or 0 in X.shape:
        raise DataError(
            f"data set {name!r}: X must be a non-empty array of (rows, features) or images, not {X.dtype} {X.shape}"
        )
    if X.dtype.kind != "f":
        return X
    usable = (np.abs(X) < MAX_VALUE) | np.isnan(X)
    if not usable.all():
        column = int(np.flatnonzero(~usable.all(axis=0))[0])
        raise DataError(
            f"data set {name!r}: feature column {column} holds infinity or a value beyond {MAX_VALUE:g}; clean the "
            "file first"
        )
    if (empty := np.isnan(X).all(axis=0)).any():
        raise DataError(
            f"data set {name!r}: feature column {int(np.flatnonzero(empty)[0])} holds no value; leave it out"
        )
    return X


def _split(name: str, key: str, split: np.ndarray, needs: Collection[str]) -> np.ndarray:
    if split.ndim != 1 or split.dtype.kind not in "iub":
        raise DataError(f"data set {name!r}: {key!r} must be one integer per row, not {split.dtype} {split.shape}")
    absent = [part for code, part in enumerate(PARTS) if part in needs and not (split == code).any()]
    if absent:
        raise DataError(f"data set {name!r}: {key!r} has no {' and no '.join(absent)} rows (0 train, 1 val, 2 test)")
    return split


def _targets(name: str, y: np.ndarray, columns: tuple[int, ...] | None) -> np.ndarray:
    if y.dtype.kind in "iub":
        return _labels(name, y, columns)
    if y.dtype.kind != "f" or y.ndim not in (1, 2):
        raise DataError(f"data set {name!r}: y must be integers or floats of 1 or 2 dimensions, not {y.dtype}{y.shape}")
    y = y.reshape(len(y), -1).astype(np.float64)
    if columns is not None:
        if not columns or not all(0 <= c < y.shape[1] for c in columns):
            raise DataError(f"data set {name!r}: target columns {columns} are not all in 0..{y.shape[1] - 1}")
        y = y[:, list(columns)]
    if not (np.abs(y) < MAX_VALUE).all():
        raise DataError(
            f"data set {name!r}: y holds NaN, infinity or a value beyond {MAX_VALUE:g}; clean the file first"
        )
    return y


def _labels(name: str, y: np.ndarray, columns: tuple[int, ...] | None) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(f"data set {name!r}: integer y is one label per row, not {y.shape}; save targets as floats")
    if columns is not None:
        raise DataError(f"data set {name!r}: y holds integer labels, one per row; target columns need float targets")
    if y.dtype.kind == "u" and y.size and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"data set {name!r}: label {int(y.max())} is beyond 64 bits with sign; use smaller labels")
    return y.astype(np.int64)
