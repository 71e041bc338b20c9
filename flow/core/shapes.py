"""What JSON data from outside has to look like, field by field, and where it does not.

A kind is ``str``, ``int``, ``float`` (integers too), ``bool``, `ANY`, or one of the classes below. Entries of names
that `Fields` does not know, as later versions may write, are left as they are; absent ones are for the reader to miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias


@dataclass(frozen=True, eq=False)
class Maybe:
    """A kind, or null."""

    kind: Kind


@dataclass(frozen=True, eq=False)
class Each:
    """A list of entries of one kind."""

    kind: Kind


@dataclass(frozen=True, eq=False)
class Table:
    """An object of any names, with entries of one kind."""

    kind: Kind


@dataclass(frozen=True, eq=False)
class Row:
    """A list of so many entries, each of its kind."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True, eq=False)
class Fields:
    """An object whose entries of these names are of these kinds."""

    kinds: Mapping[str, Kind]


Kind: TypeAlias = type | Maybe | Each | Table | Row | Fields
ANY = object
_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"), int: ((int,), "an integer"), float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}  # fmt: skip


def require(value: Any, kind: Kind, where: str) -> None:
    """Raise ValueError, naming the place below ``where``, for data that is not of ``kind``."""
    match kind:
        case Maybe():
            if value is not None:
                require(value, kind.kind, where)
        case Each():
            _entries(enumerate(_a(list, value, where)), value, kind.kind, where)
        case Table():
            _entries(_a(dict, value, where).items(), value.values(), kind.kind, where)
        case Row():
            if len(_a(list, value, where)) != len(kind.kinds):
                _refuse(value, f"a list of {len(kind.kinds)}", where)
            for place, own in enumerate(kind.kinds):
                require(value[place], own, f"{where}[{place}]")
        case Fields():
            found = _a(dict, value, where)
            for name in kind.kinds.keys() & found.keys():
                require(found[name], kind.kinds[name], f"{where}.{name}" if where else name)
        case _:
            if kind is not ANY and type(value) not in _SCALARS[kind][0]:
                _refuse(value, _SCALARS[kind][1], where)


def _a(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        _refuse(value, "a list" if kind is list else "an object", where)
    return value


def _entries(items: Iterable[tuple[Any, Any]], values: Iterable[Any], kind: Kind, where: str) -> None:
    if kind in _SCALARS and set(map(type, values)) <= set(_SCALARS[kind][0]):
        return  # the most data by far: numbers
    for key, entry in items:
        require(entry, kind, f"{where}[{key!r:.40}]")


def _refuse(value: Any, wanted: str, where: str) -> NoReturn:
    raise ValueError(f"{where or 'the file'}: expected {wanted}, found {value!r:.40}")
