"""Tables of other people, as named columns: CSV text, Parquet and Feather files, data frames, mappings, arrays.

CSV needs NumPy only. Its first line names the columns; commas, semicolons, tabs and bars separate them, and where no
comma does, numbers may have a decimal comma.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_models.data.loaders import ARROW_SUFFIXES, TABLE_SUFFIXES, DataError
from keras_models.data.schema import MAX_NAME, named_columns, numbers
from keras_models.untrusted import Unusable, digest, opened, read_text

MAX_TABLE = 1 << 30  # bytes of a file
MAX_CSV = 1 << 28  # bytes of text, each cell of which becomes an object
MAX_COLUMNS = 1 << 14
_SEPARATORS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by their names, in order; ``digest`` is that of its content."""

    name: str
    columns: Mapping[str, Any]
    rows: int
    digest: str


def is_table(source: Any) -> bool:
    """Whether ``source`` is a table: the name of a file of a table's kind, or an object with named columns."""
    if isinstance(source, str | os.PathLike):
        return Path(source).suffix.lower() in TABLE_SUFFIXES
    return named_columns(source) is not None


def read_table(source: Any) -> Table:
    """The table in a file, or an object with named columns. Raises `DataError` for what is none."""
    if not isinstance(source, str | os.PathLike):
        columns = named_columns(source)
        if columns is None:
            raise DataError(f"{type(source).__name__} is no table: give a file, a data frame or a mapping of columns")
        return _table("table", columns, "")
    path = Path(source)
    try:
        found = digest(path, MAX_TABLE)
        if path.suffix.lower() in ARROW_SUFFIXES:
            return _table(path.stem, _arrow(path), found)
        try:
            text = read_text(path, MAX_CSV)
        except Unusable as error:
            raise Unusable(f"{error}; save it as UTF-8, or a large table as Parquet") from None
        return _table(path.stem, _csv(text), found)
    except ValueError as error:
        raise DataError(_named(str(error), path)) from None


def _named(text: str, path: Path) -> str:
    return text if str(path) in text else f"{path}: {text}"


def _table(name: str, columns: Mapping[str, Any], found: str) -> Table:
    """A table whose columns are as long as each other, and have names."""
    lengths = {len(column) for column in columns.values()}
    if not columns or lengths == {0}:
        raise DataError(f"table {name!r} has no rows")
    if len(lengths) > 1:
        raise DataError(f"table {name!r}: columns of different lengths ({', '.join(map(str, sorted(lengths)))})")
    if len(columns) > MAX_COLUMNS:
        raise DataError(f"table {name!r} has {len(columns)} columns; {MAX_COLUMNS} are possible")
    if not found:
        total = hashlib.sha256()
        for key, column in columns.items():
            total.update(f"{key}\n".encode() + "\n".join(map(str, np.asarray(column).tolist())).encode())
        found = total.hexdigest()
    return Table(name, columns, lengths.pop(), found)


def _csv(text: str) -> dict[str, Any]:
    """Columns of CSV text, those of numbers as such. Raises ValueError for what is no table."""
    first = text.lstrip("\n\r").partition("\n")[0]
    outside = re.sub(r'"[^"]*"', "", first)
    separator = max(_SEPARATORS, key=outside.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = _rows(reader)
        names = _names(next(rows, []))
        columns = list(zip(*_of_width(rows, len(names), reader), strict=True))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    if not columns:
        raise ValueError("there is no row below the line of names")
    return {
        name: _column(column, separator != ",") for name, column in zip(names, columns, strict=True)
    }  # fmt: skip


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    return (row for row in reader if row and any(cell.strip() for cell in row))


def _names(header: Sequence[str]) -> list[str]:
    names = [cell.strip()[:MAX_NAME] or f"column {place}" for place, cell in enumerate(header, 1)]
    if names and not numbers(names)[1]:
        raise ValueError("the first line holds numbers; give a line with the columns' names first")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}")
    return names


def _of_width(rows: Iterator[list[str]], width: int, reader: Any) -> Iterator[list[str]]:
    for row in rows:
        if len(row) != width:
            raise ValueError(f"line {reader.line_num} has {len(row)} cells, the line of names {width}")
        yield row


def _column(column: Sequence[str], decimal_comma: bool) -> Any:
    """Numbers where all cells are numbers, or missing; else the texts."""
    found, wrong = numbers(list(column))
    if not wrong:
        return found
    if decimal_comma and all(_DECIMAL_COMMA.fullmatch(column[row].strip()) for row in wrong):
        return numbers([cell.replace(",", ".") for cell in column])[0]
    return list(column)


def _arrow(path: Path) -> dict[str, Any]:
    """Columns of a Parquet or Feather file, by pyarrow."""
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    with opened(path, MAX_TABLE) as file:
        try:
            read = parquet.read_table if path.suffix.lower() in (".parquet", ".pq") else feather.read_table
            table = read(file)
            return {str(name): _arrow_column(table.column(place)) for place, name in enumerate(table.column_names)}
        except Exception as error:  # pyarrow has a family of its own, and raises others on damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"cannot be read as a table ({reason[:120]})") from None


def _arrow_column(column: Any) -> Any:
    """An array of numbers where the column holds them, NaN where there is none; else a list of its values."""
    import pyarrow

    kind = column.type
    if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind):
        return np.array([np.nan if value is None else value for value in column.to_pylist()], np.float64)
    return column.to_pylist()
