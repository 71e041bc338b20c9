"""What the columns of a table mean: how its rows become features, and what features and classes are called; NumPy only.

It is stored with the model, inside its preprocessing, so that a build, a program and a board read rows as training did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

MISSING = (
    "",
    "na",
    "n/a",
    "#n/a",
    "nan",
    "<na>",
    "nat",
    "null",
    "none",
    "?",
)  # cells without a value, in small letters
UNKNOWN_LEVEL = -1.0  # code of a text that training has not seen
MAX_NAME = 200  # characters
_MAX_NAMES = 1 << 16


@dataclass(frozen=True)
class Schema:
    """Names and codes of a data set's columns.

    ``features``: the names of the columns of X. ``levels``: (feature, texts) of every feature that is text: the code of
    a text is its place. ``classes``: the text of label 0, 1, ...; none where labels are numbers. ``targets``: names of
    the target columns; ``labelled``: they are classes. ``missing``: what stands, in small letters, in a cell without a
    value. ``split``, ``by`` and ``seed``: how rows were split (empty: by the file itself), by which column, from which
    seed; ``digest`` is that of the table.
    """

    features: tuple[str, ...]
    levels: tuple[tuple[int, tuple[str, ...]], ...] = ()
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    labelled: bool = False
    missing: tuple[str, ...] = MISSING
    split: str = ""
    by: str = ""
    seed: int = 0
    digest: str = ""

    @property
    def is_table(self) -> bool:
        """Whether the rows came from a table with a target column, which can be read again by these names."""
        return bool(self.split)

    def rows(self, source: Any) -> np.ndarray:
        """Features (rows, features) of rows as people have them, NaN where a value is missing.

        ``source``: numbers (rows, features), cells of any kind in that order, a table with named columns (a data frame,
        a mapping of columns) or a sequence of mappings, one per row. Raises ValueError for a column that is not there,
        text where a number should be, or another shape.
        """
        columns = named_columns(source)
        if columns is None:
            X = np.asarray(source)
            if X.ndim != 2 or X.shape[1] != len(self.features):
                raise ValueError(f"expected (rows, {len(self.features)}) features, got shape {X.shape}")
            if X.dtype.kind in "fiu":
                return X
            columns = dict(zip(self.features, X.T, strict=True))
        absent = [name for name in self.features if name not in columns]
        if absent:
            raise ValueError(f"there is no column {absent[0]!r} (the model's features are {', '.join(self.features)})")
        texts = dict(self.levels)
        missing = frozenset(self.missing)
        found = [
            codes(columns[name], texts[i], missing) if i in texts else checked_numbers(columns[name], name, missing)
            for i, name in enumerate(self.features)
        ]
        return np.stack(found, axis=1) if found else np.zeros((0, 0))

    def label(self, value: int) -> str:
        """The name of a label."""
        return self.classes[value] if 0 <= value < len(self.classes) else str(value)

    def level(self, feature: int, code: float) -> str:
        """The name of a category's level."""
        texts = dict(self.levels).get(feature, ())
        return texts[int(code)] if 0 <= code < len(texts) else f"{code:g}"

    @classmethod
    def from_data(cls, stored: Any) -> Schema:
        """Restore from JSON data; raises ValueError for what is none."""
        if not isinstance(stored, dict) or set(stored) != {field.name for field in fields(cls)}:
            raise ValueError("a schema with other members than it should have")
        values = dict(stored)
        for name in ("features", "classes", "targets", "missing"):
            values[name] = _texts(values[name], name)
        levels = values["levels"]
        if not isinstance(levels, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in levels):
            raise ValueError("levels is not the list it should be")
        values["levels"] = tuple((place, _texts(texts, "levels")) for place, texts in levels)
        places = [place for place, _ in values["levels"]]
        if not all(type(p) is int and 0 <= p < len(values["features"]) for p in places) or len(set(places)) < len(
            places
        ):
            raise ValueError("levels of features that do not exist")
        words = all(isinstance(values[name], str) for name in ("split", "by", "digest"))
        if (
            not words
            or type(values["labelled"]) is not bool
            or type(values["seed"]) is not int
            or not 0 <= values["seed"] < 1 << 63
        ):
            raise ValueError("labelled, split, by, seed or digest is not what training writes")
        return cls(**values)


def _texts(found: Any, name: str) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) > _MAX_NAMES or not all(isinstance(text, str) for text in found):
        raise ValueError(f"{name} is not a list of texts")
    return tuple(found)


def named_columns(source: Any) -> Mapping[str, Any] | None:
    """The columns of a table by their names; None for what has none, such as an array."""
    if isinstance(source, Mapping):
        return {str(name): column for name, column in source.items()}
    if hasattr(source, "columns") and hasattr(source, "__getitem__") and not isinstance(source, np.ndarray):
        return {str(name): source[name] for name in source.columns}
    if isinstance(source, Sequence) and len(source) and all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(str(name) for row in source for name in row)
        return {name: [row.get(name) for row in source] for name in names}
    if isinstance(source, np.ndarray) and source.dtype.names:
        return {name: source[name] for name in source.dtype.names}
    return None


def cells(column: Any, missing: frozenset[str] = frozenset(MISSING)) -> list[str]:
    """The texts of a column's cells, without white space around them; "" where a value is missing."""
    found = (str(cell).strip() if cell is not None else "" for cell in _listed(column))
    return ["" if text.lower() in missing else text for text in found]


def _listed(column: Any) -> Iterable[Any]:
    if isinstance(column, list):
        return column
    values = np.asarray(column)
    if values.ndim != 1:
        raise ValueError(f"a column is one value per row, not {values.shape}")
    if values.dtype.kind == "f":  # whole numbers as they are written
        return (int(value) if value.is_integer() else value for value in values.tolist())
    return values.astype(str) if values.dtype.kind == "M" else values.tolist()


def numbers(column: Any, missing: frozenset[str] = frozenset(MISSING)) -> tuple[np.ndarray, list[int]]:
    """(rows,) float64, NaN where a value is missing, and the rows whose cell is neither a number nor missing."""
    values = np.asarray(column) if not isinstance(column, list) else None
    if values is not None and values.dtype.kind in "fiu" and values.ndim == 1:
        return values.astype(np.float64), []
    found, wrong = np.full(len(column), np.nan), []
    texts = cells(column, missing)
    for row, text in enumerate(texts):
        if text:
            try:
                found[row] = float("x" if "_" in text else text)
            except ValueError:
                wrong.append(row)
    return found, wrong


def checked_numbers(column: Any, name: str, missing: frozenset[str] = frozenset(MISSING)) -> np.ndarray:
    """`numbers`; raises ValueError for a cell that is none."""
    found, wrong = numbers(column, missing)
    if wrong:
        text = cells([list(_listed(column))[wrong[0]]])[0]
        raise ValueError(f"column {name!r} holds {text!r:.40} in row {wrong[0]}, where the model takes numbers")
    return found


def codes(column: Any, levels: Sequence[str], missing: frozenset[str] = frozenset(MISSING)) -> np.ndarray:
    """(rows,) float64: the place of each cell's text among the levels, `UNKNOWN_LEVEL` for others, NaN for missing."""
    places = {"": np.nan} | {level: float(place) for place, level in enumerate(levels)}
    return np.array([places.get(text, UNKNOWN_LEVEL) for text in cells(column, missing)], np.float64)
