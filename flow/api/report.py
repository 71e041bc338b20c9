"""A build's report as an object: every entry as attribute and as item, nothing of it to be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Report(Mapping[str, Any]):
    """The content of ``report.json``, or of a table in it; tables inside are of this class too, lists are tuples.

    ``report.synthesis.lut`` and ``report["synthesis"]["lut"]`` are the same; what is no name, or a method's, is an item
    only.
    """

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_data", {key: _frozen(value) for key, value in data.items()})

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_data")[name]
        except KeyError:
            raise AttributeError(f"the report has no {name!r} here; it has {', '.join(self._data)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a report cannot be changed; to_dict() gives a copy that can")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(key for key in self._data if key.isidentifier())})

    def __repr__(self) -> str:
        return f"Report({', '.join(self._data)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Report, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, as `json.load` reads them from ``report.json``."""
        return {key: _thawed(value) for key, value in self._data.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Report(value)
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Report):
        return value.to_dict()
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value
