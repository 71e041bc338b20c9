"""A table of one's own as a data set: which columns are features, what they hold, and how rows are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_models.data.columns import (
    MOST_LEVELS,
    USED,
    Column,
    column_of,
    times,
)
from keras_models.data.loaders import PARTS, DataError, Dataset, Declaration, load_dataset
from keras_models.data.overview import Choices, summary
from keras_models.data.preprocess import Preprocessing
from keras_models.data.schema import UNKNOWN_LEVEL, Schema, cells, numbers
from keras_models.data.splits import group_split, named_split, random_split, stratified_split, time_split
from keras_models.data.tables import Table, is_table, read_table
from keras_models.untrusted import one_line

MOST_LABELS = 20  # different whole numbers that a target is taken as classes by
_LEAST_ROWS = 10


@dataclass(frozen=True)
class OwnData:
    """A table as a data set, and what is said about it before a training starts."""

    dataset: Dataset
    summary: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def own_data(source: Any, choices: Choices) -> OwnData:
    """A table (a file's name or an object with named columns) as a data set.

    Raises `DataError` for columns that are not there or cannot be used.
    """
    table = read_table(source)
    _check(table, choices)
    columns = [
        column_of(name, cells_of, name in choices.categorical, name in choices.keep)
        for name, cells_of in table.columns.items() if name not in choices.target
    ]  # fmt: skip
    splitter = _split_column(table, choices)
    aside = {*choices.drop, *([splitter] if splitter else [])} | {c for c in (choices.time, choices.group) if c}
    features = [c for c in columns if c.name not in aside and c.kind in USED]
    if not features:
        raise DataError(f"table {table.name!r}: no column is left that could be a feature (--keep takes one anyhow)")
    y, names, present = _targets(table, choices)
    X, levels = _features(features)
    chosen = choices.time or choices.group or splitter or ""
    kind = "time" if choices.time else "group" if choices.group else "column" if splitter else (
        "stratified" if y.dtype.kind == "i" else "random")  # fmt: skip
    schema = Schema(
        tuple(c.name for c in features), levels, names, choices.target, y.dtype.kind == "i", split=kind, by=chosen,
        seed=choices.seed, digest=table.digest,
    )  # fmt: skip
    categorical = {i: MOST_LEVELS for i, c in enumerate(features) if c.kind == "categorical"}
    flags = tuple(i for i, c in enumerate(features) if c.missing) if choices.missing_flags else ()
    declaration = Declaration(categorical=categorical, ordered=choices.time is not None, flags=flags)
    split = _split(table, schema, y, present)
    dataset = Dataset(table.name, X[present], y, split, declaration, schema)
    if choices.time:
        order = np.argsort(
            times(column_of(choices.time, table.columns[choices.time], keep=True))[present], kind="stable"
        )
        dataset = replace(dataset, X=dataset.X[order], y=y[order], split=split[order])
    return OwnData(dataset, tuple(summary(table, columns, aside, choices, dataset)), tuple(_remarks(table, dataset)))


def data_for(
    name: str, stored: Preprocessing | None, split_key: str = "split", columns: Sequence[int] | None = None
) -> OwnData:
    """Data for a model that has been trained: a table as what is ``stored`` with the model describes it, else as
    `load_dataset` takes it, with test rows at least. Raises `DataError`.
    """
    if not is_table(name):
        return OwnData(load_dataset(name, split_key, columns, needs=("test",)), ())
    schema = None if stored is None else stored.schema
    if schema is None or not schema.is_table:
        raise DataError(
            f"{name} is a table, and the model does not say what its columns mean: train it on a table (python -m "
            "keras_models.train --data t.csv --target name), or give X, y and split in an .npz"
        )
    return known_data(name, schema)


def known_data(source: Any, schema: Schema) -> OwnData:
    """A table that a model's schema describes: features and labels as that names and codes them.

    The table that was trained on is split as it was then; of any other all rows are for the test. Raises `DataError`
    where it has not the columns.
    """
    table = read_table(source)
    try:
        X = schema.rows(table.columns)
        y, present = _known_targets(table, schema)
    except ValueError as error:
        raise DataError(f"table {table.name!r}: {error}") from None
    same = table.digest == schema.digest
    split = _split(table, schema, y, present) if same else np.full(len(y), 2, np.int8)
    remarks = () if same else (
        f"{table.name} is not the table that the model was trained on: all of its {len(y):,} rows are scored, also "
        "those that it may share with that",)  # fmt: skip
    return OwnData(
        Dataset(table.name, X[present], y, split, Declaration(), schema), (), (*remarks, *_unseen(table, schema, X))
    )


def _unseen(table: Table, schema: Schema, X: np.ndarray) -> list[str]:
    """What has to be said of texts that the model does not know."""
    said = []
    for feature, _ in schema.levels:
        rows = np.flatnonzero(X[:, feature] == UNKNOWN_LEVEL)
        if len(rows):
            name = schema.features[feature]
            text = one_line(cells([str(np.asarray(table.columns[name], object)[rows[0]])])[0], 40)
            said.append(f"{len(rows):,} rows have values of {name} that the model was not trained on, such as "
                        f"{text!r}: none of its inputs is set for them")  # fmt: skip
    return said


def known_labels(y: Any, schema: Schema) -> np.ndarray:
    """Labels or targets as the model's schema codes them, of an array of texts or numbers, one per row."""
    values = np.asarray(y)
    if not schema.classes or values.dtype.kind in "iub":
        return values
    texts = cells(values.reshape(-1), _NONE)
    names = [*schema.classes, *sorted({*texts} - {*schema.classes})]
    place = {text: i for i, text in enumerate(names)}
    return np.array([place[text] for text in texts], np.int64)


def _check(table: Table, choices: Choices) -> None:
    """Every column that the user names is there, and in one role."""
    roles = {"--target": choices.target, "--drop": choices.drop, "--keep": choices.keep,
             "--categorical": choices.categorical, "--time": (choices.time,) if choices.time else (),
             "--group": (choices.group,) if choices.group else ()}  # fmt: skip
    listed_names = ", ".join(one_line(name, 40) for name in list(table.columns)[:12])
    more = f" and {len(table.columns) - 12} more" if len(table.columns) > 12 else ""
    for option, names in roles.items():
        for name in names:
            if name not in table.columns:
                raise DataError(f"{option} {one_line(name, 60)}: table {table.name!r} has no such column (it has "
                                f"{listed_names}{more})")  # fmt: skip
    if choices.time and choices.group:
        raise DataError("--time and --group both say how rows are split; give one")
    clash = {*choices.target} & {*choices.drop, *choices.keep, *choices.categorical, choices.time, choices.group}
    if clash:
        raise DataError(f"column {clash.pop()!r} is the target; it cannot have another role")


def _split_column(table: Table, choices: Choices) -> str | None:
    """The column that names the part of each row, where there is one of that name."""
    name = choices.split_key
    if name not in table.columns or name in choices.target or choices.time or choices.group:
        return None
    found = named_split(cells(table.columns[name]))
    return None if found is None else name


def _features(features: Sequence[Column]) -> tuple[np.ndarray, tuple[tuple[int, tuple[str, ...]], ...]]:
    """(rows, features) float64 with NaN for missing, and the levels of those that are text."""
    levels = tuple((i, c.levels) for i, c in enumerate(features) if c.is_text)
    schema = Schema(tuple(str(i) for i in range(len(features))), levels)
    return schema.rows({str(i): c.values for i, c in enumerate(features)}), levels


def _targets(table: Table, choices: Choices) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Labels or targets of the rows that have one, the names of labels that are text, and which rows these are."""
    if len(choices.target) == 1 and choices.task != "regression":
        name = choices.target[0]
        values, wrong = numbers(table.columns[name], _NONE)
        texts = cells(table.columns[name], _NONE) if wrong else []
        present = np.array([bool(text) for text in texts]) if wrong else ~np.isnan(values)
        _enough(table, name, present)
        if wrong:
            names = tuple(sorted({text for text in texts if text}))
            place = {text: i for i, text in enumerate(names)}
            return np.array([place[text] for text in texts if text], np.int64), names, present
        found = values[present]
        whole = bool((found == np.floor(found)).all())
        if whole and (choices.task == "classification" or len(np.unique(found)) <= MOST_LABELS):
            return found.astype(np.int64), (), present
        if choices.task == "classification":
            raise DataError(f"--target {name} holds numbers that are not whole; leave out --task classification")
    if choices.task == "classification":
        raise DataError("--task classification takes one target column")
    return _real_targets(table, choices.target)


_NONE = frozenset([""])  # of a target: "none" may be a class


def _real_targets(table: Table, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    columns = []
    for name in names:
        values, wrong = numbers(table.columns[name])
        if wrong:
            text = cells([list(table.columns[name])[wrong[0]]])[0]
            raise DataError(
                f"--target {name} holds {one_line(text, 40)!r} in row {wrong[0] + 1}; regression takes numbers"
            )
        columns.append(values)
    found = np.stack(columns, axis=1)
    present = ~np.isnan(found).any(axis=1)
    _enough(table, names[0], present)
    return found[present], (), present


def _enough(table: Table, name: str, present: np.ndarray) -> None:
    if present.sum() < _LEAST_ROWS:
        raise DataError(f"table {table.name!r} has {int(present.sum())} rows with a {name}; {_LEAST_ROWS} are needed")


def _known_targets(table: Table, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Labels or targets by a model's schema; a text that it does not know is a label beyond its own."""
    absent = [name for name in schema.targets if name not in table.columns]
    if absent:
        raise DataError(f"table {table.name!r} has no column {absent[0]!r}, the target that the model was trained on")
    if schema.classes:
        texts = np.array(cells(table.columns[schema.targets[0]], _NONE))
        present = texts != ""
        return known_labels(texts[present], schema), present
    choices = Choices(schema.targets, task="classification" if schema.labelled else "regression")
    y, _, present = _targets(table, choices)
    return y, present


def _split(table: Table, schema: Schema, y: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The parts of the rows that have a target, as the schema says."""
    if schema.split in ("stratified", "random"):
        return stratified_split(y, schema.seed) if schema.split == "stratified" else random_split(len(y), schema.seed)
    found = table.columns[schema.by]
    if schema.split == "time":
        split = time_split(times(column_of(schema.by, found, keep=True))[present])
    elif schema.split == "group":
        split = group_split(np.array(cells(found))[present], schema.seed)
    else:
        named = named_split(cells(found))
        assert named is not None
        split = named[present]
    absent = [part for code, part in enumerate(PARTS) if not (split == code).any()]
    if absent:
        raise DataError(f"table {table.name!r}: the split by {schema.by} has no {' and no '.join(absent)} rows")
    return split


def _remarks(table: Table, dataset: Dataset) -> list[str]:
    """What may make scores look better than they are."""
    both = np.ascontiguousarray(np.column_stack([dataset.X, dataset.y.reshape(len(dataset.y), -1)]))
    rows = both.view(np.dtype((np.void, both.itemsize * both.shape[1])))[:, 0]
    shared = int(np.isin(rows[dataset.split == 2], rows[dataset.split == 0]).sum())
    if not shared:
        return []
    return [
        f"{shared:,} of {int((dataset.split == 2).sum()):,} test rows are also in the training part, target included"
    ]
