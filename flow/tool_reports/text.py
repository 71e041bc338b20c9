"""Lines, tables and figures of text reports, read so strictly that a cut file loses figures but never bends them.

Only lines that end in a line feed count, only table rows that a closing rule follows, and only rows whose bars stand
exactly under the rule's corners. A cell that is neither a figure nor a known mark for "unknown" is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flow.core.errors import ReportError

UNKNOWN = frozenset({"", "-", "?", "undef", "na", "n/a", "inf", "unknown"})
_RULE = re.compile(r"\+(?:-+\+)+")
_COUNT = re.compile(r"([0-9]{1,18})(?: \(~?[0-9]+%\))?")
_REAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?")
_NS_PER_UNIT = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9, "s": 1e9}


def complete_lines(text: str) -> list[str]:
    """The lines of a text without their ends; an unfinished last line counts only where it is a table's rule."""
    *lines, last = text.split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    rules = [line for line in lines if _RULE.fullmatch(line.strip())]
    if rules and last == rules[-1]:
        lines.append(last)
    return lines


def count(cell: str, what: str) -> int | None:
    """A whole number such as ``12`` or ``493 (~0%)``; None where the report says it does not know."""
    text = cell.strip()
    if text.lower() in UNKNOWN:
        return None
    match = _COUNT.fullmatch(text)
    if not match:
        raise ReportError(f"{what} is not a count: {_shown(text)}")
    return int(match[1])


def real(cell: str, what: str) -> float | None:
    """A decimal number such as ``-0.394`` or ``2.630e+03``; None where the report says it does not know."""
    text = cell.strip()
    if text.lower() in UNKNOWN:
        return None
    if not _REAL.fullmatch(text):
        raise ReportError(f"{what} is not a number: {_shown(text)}")
    return float(text)


def period_ns(cell: str, what: str, unit: str | None) -> float | None:
    """A time with its unit in the cell (``8.670 ns``, ``1.720 us``), or in ``unit`` where the cell has none."""
    number, _, own = cell.strip().partition(" ")
    unit = own.strip() or unit
    value = real(number, what)
    if value is None:
        return None
    if unit not in _NS_PER_UNIT:
        raise ReportError(f"{what} has no known unit: {_shown(cell.strip())}")
    return value if unit == "ns" else round(value * _NS_PER_UNIT[unit], 6)


def one(found: Sequence[str], what: str) -> str | None:
    """The only value found; None for none; ReportError where several differ, as in two reports run together."""
    if len(set(found)) > 1:
        raise ReportError(f"{what} is given twice, differently: {_shown(found[0])} and {_shown(found[1])}")
    return found[0] if found else None


def matches(lines: Sequence[str], pattern: str) -> list[str]:
    """The first group of every line that matches the pattern as a whole."""
    compiled = re.compile(pattern)
    return [match[1].strip() for line in lines if (match := compiled.fullmatch(line))]


@dataclass(frozen=True)
class Table:
    """A table drawn in ``+``, ``-`` and ``|``: header lines as they stand, body rows cut at the rule's corners.

    ``start`` is the index of its first line; ``misfit`` the number of a line that does not fit the columns, if any.
    """

    start: int
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    misfit: int | None = None

    def names(self) -> list[str]:
        """The cells of the header's last line, stripped."""
        return [cell.strip() for cell in self.header[-1].strip("|").split("|")] if self.header else []

    def body(self) -> tuple[tuple[str, ...], ...]:
        """The rows; ReportError where one does not fit the columns."""
        if self.misfit is not None:
            raise ReportError(f"line {self.misfit}: a table row does not fit its columns; the file is damaged")
        return self.rows

    def column(self, name: str) -> dict[str, str]:
        """One column by the stripped first cell of its row, the first of each name; empty without such a column."""
        names = self.names()
        if name not in names:
            return {}
        found: dict[str, str] = {}
        for row in self.body():
            if len(row) != len(names):
                raise ReportError(f"line {self.start + 1}: the table's header does not fit its columns")
            found.setdefault(row[0].strip(), row[names.index(name)])
        return found


def tables(lines: Sequence[str]) -> list[Table]:
    """Every table with a header and a closing rule; rows after the last rule of a cut table are left out."""
    found, index = [], 0
    while index < len(lines):
        end = index
        if _RULE.fullmatch(lines[index].strip()):
            while end < len(lines) and lines[end].strip().startswith(("+", "|")):
                end += 1
            table = _table([line.strip() for line in lines[index:end]], index)
            found += [table] if table else []
        index = max(end, index + 1)
    return found


def _table(block: Sequence[str], start: int) -> Table | None:
    rules = [i for i, line in enumerate(block) if _RULE.fullmatch(line)]
    if len(rules) < 2:
        return None
    corners = [i for i, char in enumerate(block[rules[1]]) if char == "+"]
    rows, misfit, ruled = [], None, frozenset(rules)
    for number in range(rules[1] + 1, rules[-1]):
        line = block[number]
        if number in ruled:
            continue
        if len(line) != corners[-1] + 1 or any(line[corner] != "|" for corner in corners):
            misfit = start + number + 1
        rows.append(tuple(line[a + 1 : b] for a, b in pairwise(corners)))
    return Table(start, tuple(block[1 : rules[1]]), tuple(rows), misfit)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
