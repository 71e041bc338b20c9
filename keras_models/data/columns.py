"""What each column of a table is: a number, a category, or of no use to a model; and how it is shown to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from keras_models.data.loaders import MAX_VALUE, DataError
from keras_models.data.schema import cells, numbers
from keras_models.untrusted import one_line

MOST_LEVELS = 32  # of a category that get an input each: the most frequent ones of the training part
_STRAYS = 0.1  # share of cells up to which what is no number among numbers is taken for a slip
_DISTINCT = 0.5  # share of rows with a text of their own from which a column names rows
_SHOWN = 4  # levels
_ROWS_OF_IDENTIFIERS = 20  # fewer rows may all differ by chance
_ID_WORDS = {"id", "index", "uuid", "guid", "key", "rowid", "row", "nr"}
USED = ("numeric", "categorical")
WHY = {  # a column is not used
    "constant": "left out: always the same",
    "identifier": "left out: names rows",
    "time": "left out: time stamps",
}


@dataclass(frozen=True)
class Column:
    """A column with its ``kind``: numeric, categorical, constant, identifier or time.

    ``values`` are float64 with NaN for missing, of text a list with "" for missing; ``levels`` the texts of a category,
    sorted (none of a category of numbers).
    """

    name: str
    kind: str
    values: Any
    missing: int
    levels: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the column holds texts."""
        return isinstance(self.values, list)

    def shown(self) -> str:
        """Its values in a few words."""
        if self.is_text:
            count = Counter(text for text in self.values if text)
            if self.kind in ("identifier", "time"):
                example = next(iter(count), "")
                return f"{len(count):,} different texts, such as {one_line(example, 30)}"
            return f"always {one_line(next(iter(count), 'empty'), 30)}" if self.kind == "constant" else listed(count)
        found = self.values[~np.isnan(self.values)]
        if not len(found):
            return "no value at all"
        if self.kind == "categorical":
            return listed(Counter(f"{value:g}" for value in found.tolist()))
        if self.kind == "constant":
            return f"always {found[0]:g}"
        return f"{found.min():g} to {found.max():g}, median {np.median(found):g}"


def listed(count: Counter[str]) -> str:
    """Levels with how often they occur, the most frequent first."""
    text = ", ".join(f"{one_line(level, 24)} {number:,}" for level, number in count.most_common(_SHOWN))
    return text if len(count) <= _SHOWN else f"{text} and {len(count) - _SHOWN} more"


def column_of(name: str, cells_of: Any, categorical: bool = False, keep: bool = False) -> Column:
    """A column of a table with its kind; ``categorical`` and ``keep`` are what the user says about it.

    Raises `DataError` for numbers with a few other texts among them, or values beyond `MAX_VALUE`.
    """
    values, wrong = numbers(cells_of)
    if not wrong:
        return _of_numbers(name, values, categorical, keep)
    texts = cells(cells_of)
    present = [text for text in texts if text]
    if not categorical and len(wrong) <= _STRAYS * len(present):
        row = wrong[0]
        raise DataError(
            f"column {name!r} holds numbers, but {one_line(texts[row], 40)!r} in row {row + 1} (of {len(wrong)} such "
            "rows): mend them, empty them to have them filled in, or name the column in --categorical or --drop"
        )
    levels = tuple(sorted(set(present)))
    kind = "categorical" if categorical or keep else _kind_of_text(name, present, len(levels))
    return Column(name, kind, texts, len(texts) - len(present), levels if kind == "categorical" else ())


def _kind_of_text(name: str, present: Sequence[str], levels: int) -> str:
    if levels < 2:
        return "constant"
    if all(time_of(text) is not None for text in present[:50]):
        return "time"
    many = levels > max(MOST_LEVELS, _DISTINCT * len(present))
    own = levels == len(present) >= _ROWS_OF_IDENTIFIERS
    return "identifier" if many or own else "categorical"


def _of_numbers(name: str, values: np.ndarray, categorical: bool, keep: bool) -> Column:
    present = values[~np.isnan(values)]
    beyond = np.flatnonzero(~(np.abs(present) < MAX_VALUE))
    if len(beyond):
        raise DataError(f"column {name!r} holds infinity or a value beyond {MAX_VALUE:g}; mend it or empty the cell")
    kind = "categorical" if categorical else "numeric"
    if len(present) == 0 or ((present == present[0]).all() and len(present) == len(values)):
        kind = "constant"
    elif kind == "numeric" and not keep and _names_rows(name, present):
        kind = "identifier"
    return Column(name, kind, values, len(values) - len(present))


def _names_rows(name: str, present: np.ndarray) -> bool:
    """Whether whole numbers are all different and count rows, or are called so."""
    whole = (present == np.floor(present)).all() and len(np.unique(present)) == len(present)
    if not whole or len(present) < _ROWS_OF_IDENTIFIERS:
        return False
    counts = present.max() - present.min() == len(present) - 1
    words = {*name.lower().replace("-", "_").replace(" ", "_").split("_")}
    return bool(counts or words & _ID_WORDS or name.lower().startswith("unnamed"))


def time_of(text: str) -> float | None:
    """Seconds of an ISO time, None for another text."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def times(column: Column) -> np.ndarray:
    """(rows,) float64 that rise with time. Raises `DataError` for what is neither a number nor an ISO time."""
    if not column.is_text:
        found = np.asarray(column.values)
    else:
        found = np.array([np.nan if (t := time_of(text)) is None else t for text in column.values])
    wrong = np.flatnonzero(np.isnan(found))
    if len(wrong):
        text = column.values[wrong[0]] if column.is_text else ""
        raise DataError(
            f"--time {column.name}: {one_line(str(text), 40)!r} in row {wrong[0] + 1} is neither a number nor a time "
            "like 2026-01-31 12:00:00"
        )
    return found


def summary_table(rows: Sequence[Sequence[str]], header: Sequence[str], right: Collection[int] = ()) -> list[str]:
    """Rows under a header as lines of aligned columns; those in ``right`` end together."""
    shown = [[one_line(cell, 60) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header))]
    return [
        " "
        + "  ".join(
            f"{c:>{w}}" if i in right else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
