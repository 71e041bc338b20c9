"""The data that a training command is given: its options about columns and rows, and the data set they make."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_models.data.labels import label_remarks
from keras_models.data.loaders import TABLE_SUFFIXES, DataError, Dataset, load_dataset
from keras_models.data.overview import TASKS, Choices
from keras_models.data.own import OwnData, own_data
from keras_models.data.preprocess import Preprocessing
from keras_models.training.choice import UsageError

CLASS_WEIGHTS = ("none", "balanced")
_OF_TABLES = ("drop", "keep", "categorical", "time", "group", "task", "split_seed", "missing_flags")


def add_options(p: argparse.ArgumentParser) -> None:
    """Add the options that describe the data."""
    p.add_argument("--data", required=True, metavar="NAME|FILE", help="a known set, an .npz with X, y and split, or a "
                   "table (.csv, .tsv, .parquet, .feather) with --target")  # fmt: skip
    table = p.add_argument_group("a table's columns, by their names")
    table.add_argument("--target", metavar="NAME", help="column to learn; several, between commas, for regression")
    table.add_argument("--drop", metavar="A,B", help="columns to leave out")
    table.add_argument("--keep", metavar="A,B", help="columns to take that look like row numbers or time stamps")
    table.add_argument("--categorical", metavar="C,D", help="columns of numbers that are names: an input per value")
    table.add_argument("--time", metavar="TS", help="column of times: train on the first rows, test on the last")
    table.add_argument("--group", metavar="G", help="column of groups, none of which is split between the parts")
    table.add_argument("--task", choices=TASKS, help="default by the target: text and few whole numbers are classes")
    table.add_argument("--missing-flags", action="store_true", help="an input more per feature with missing values, "
                       "which says where")  # fmt: skip
    table.add_argument(
        "--split-seed", type=int, metavar="N", help="of the split into parts; default 0, whatever --seed"
    )
    p.add_argument(
        "--split-key", default="split", metavar="K", help="array, or column, that says which part a row is in"
    )
    p.add_argument("--target-columns", metavar="0,1", help="columns of an .npz' y to learn")
    p.add_argument("--class-weight", choices=CLASS_WEIGHTS, default="none", help="balanced: rare classes count as "
                   "much as frequent ones, in the loss and in the choice of the best model")  # fmt: skip


def read(options: argparse.Namespace) -> OwnData:
    """The data set of the options, with what is said about it. Raises `UsageError` and `DataError`."""
    if Path(options.data).suffix.lower() not in TABLE_SUFFIXES:
        named = [name for name in ("target", *_OF_TABLES) if getattr(options, name)]
        if named:
            raise UsageError(f"--{named[0].replace('_', '-')} is for a table ({', '.join(TABLE_SUFFIXES)}); "
                             f"{options.data} has arrays X, y and split")  # fmt: skip
        dataset = load_dataset(options.data, options.split_key, columns_of(options.target_columns))
        return OwnData(dataset, (), tuple(label_remarks(dataset)))
    if not options.target:
        raise UsageError(f"{options.data} is a table: name the column to learn with --target")
    if options.target_columns:
        raise UsageError("--target-columns is for an .npz; name columns of a table with --target")
    choices = Choices(
        names_of(options.target), names_of(options.drop), names_of(options.keep), names_of(options.categorical),
        options.time, options.group, options.task, options.missing_flags, options.split_key, options.split_seed or 0,
    )  # fmt: skip
    found = own_data(options.data, choices)
    return OwnData(found.dataset, found.summary, (*found.remarks, *label_remarks(found.dataset)))


def names_of(text: str | None) -> tuple[str, ...]:
    """("a", "b") of "a,b"."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def columns_of(text: str | None) -> tuple[int, ...] | None:
    """(0, 1) from "0,1"; raises `UsageError` for other text."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--target-columns {text!r}: give column numbers like 0,1") from None


def scaled_as_image(dataset: Dataset) -> Dataset:
    """The set with one scale for all features, a power of two: pixels of an image stay comparable, and 0 stays 0."""
    if dataset.declaration.scale is not None:
        return dataset
    X = dataset.part("train")[0]
    largest = float(np.nanmax(np.abs(X.astype(np.float64)))) + (X.dtype.kind != "f")
    scale = 2.0 ** -math.ceil(math.log2(largest)) if largest > 0 else 1.0
    return replace(dataset, declaration=replace(dataset.declaration, scale=scale))


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) weights of rows by class index, with which all classes together weigh the same; their mean is 1."""
    counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.float64)
    weights = np.divide(counts.sum() / classes, counts, out=np.zeros(classes), where=counts > 0)
    return np.asarray(weights, np.float32)


def prepared(
    dataset: Dataset,
    preprocessing: Preprocessing,
    window: int,
    class_weight: str,
    sample_weight: np.ndarray | None = None,
) -> dict[str, tuple[np.ndarray, ...]]:
    """Model inputs and targets by part, with the rows' weights in training and validation where they have any.

    ``sample_weight`` (rows of the set,) weighs the rows, of whatever class.
    """
    if class_weight != "none" and dataset.task == "regression":
        raise DataError(f"--class-weight {class_weight} is for classes; the target of {dataset.name} is a quantity")
    parts: dict[str, tuple[np.ndarray, ...]] = {}
    for name in ("train", "val", "test"):
        X, y = dataset.part(name)
        if window > 1:
            X = dataset.windows(name, window)
        inputs = preprocessing.apply(X.reshape(-1, X.shape[-1])).reshape(*X.shape[:-1], preprocessing.outputs)
        parts[name] = (inputs, preprocessing.apply_targets(y))
    if class_weight == "balanced":
        weights = balanced_weights(parts["train"][1], dataset.outputs)
        for name in ("train", "val"):
            X, y = parts[name]
            parts[name] = (X, y, weights[np.maximum(y, 0)])
    if sample_weight is not None:
        for code, name in enumerate(("train", "val")):
            own = np.asarray(sample_weight, np.float32)[dataset.split == code]
            X, y, *others = parts[name]
            parts[name] = (X, y, own * others[0] if others else own)
    if not len(parts["val"][0]):  # so few rows that none can be spared: those trained on choose the model
        parts["val"] = parts["train"]
    return parts


def balanced_scores(
    outputs: Mapping[str, np.ndarray], parts: Mapping[str, tuple[np.ndarray, ...]], class_weight: str
) -> dict[str, float]:
    """``val_balanced`` and ``test_balanced`` of weighted classes: the mean of what share of each class is right."""
    if class_weight == "none":
        return {}
    found = {}
    for name, logits in outputs.items():
        y = parts[name][1]
        right = (logits.argmax(axis=1) if logits.shape[1] > 1 else logits[:, 0] > 0) == y
        found[f"{name}_balanced"] = float(np.mean([right[y == label].mean() for label in np.unique(y[y >= 0])]))
    return found
