"""The gate for files from outside: each is read within bounds, and whatever is odd about it ends in one line.

Regular files, JSON and arrays are `keras_models.untrusted`'s, which training uses too; YAML and XML are read here.
`refused` is the one place where what a reader raises, or what its content makes the code behind it raise, becomes an
error of this package.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flow.core.errors import FlowError, reason
from keras_models.untrusted import (
    MAX_JSON,
    MAX_MODEL,
    Unusable,
    digest,
    opened,
    parse_json,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
)

__all__ = [
    "DAMAGE", "MAX_JSON", "MAX_MODEL", "MAX_OWN_JSON", "Unusable", "digest", "is_folder", "opened", "parse_json",
    "parse_xml", "read_arrays", "read_bytes", "read_json", "read_text", "read_yaml", "refused",
]  # fmt: skip

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
MAX_OWN_JSON = 1 << 31  # bytes of a file that a tool of the build wrote: netlists of large designs
_MAX_YAML = 1 << 20
_MAX_SCALAR = 256
_MAX_DEPTH = 32
_ODD_NUMBERS = {60: re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), 8: re.compile(r"[-+]?0[0-7_]+")}


@contextmanager
def refused(error: type[FlowError], what: str, remedy: str) -> Iterator[None]:
    """Raise ``error`` in place of what unusable files and odd content raise: what it is, why, and the remedy."""
    try:
        yield
    except FlowError:
        raise
    except Unusable as exc:
        raise error(f"{exc}; {remedy}") from None  # names its file
    except KeyError as exc:
        raise error(f"{what}: {exc} is missing; {remedy}") from None
    except (OSError, *DAMAGE) as exc:
        said = getattr(exc, "strerror", None) or reason(exc)
        raise error(f"{what}: {said}; {remedy}") from None


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False also for what cannot be a name (too long, with a zero byte)."""
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as plain data. Raises `Unusable` also for aliases, which can stand for any size."""
    import yaml

    text = read_text(path, _MAX_YAML)
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ValueError(f"nested more than {_MAX_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"the alias *{event.anchor}; write its content out")
            if isinstance(event, yaml.ScalarEvent):
                _check_scalar(event.value, event.style is None)
        return yaml.safe_load(text)
    except Exception as exc:  # PyYAML hands on whatever a value raises that does not convert
        raise Unusable(f"{path} is not usable YAML ({reason(exc, 120)})") from None


def _check_scalar(text: str, is_plain: bool) -> None:
    """Refuse what would be read as another number than people see: 12:30 as 750, 010 as 8."""
    if len(text) > _MAX_SCALAR:
        raise ValueError(f"a value of more than {_MAX_SCALAR} characters")
    for base, form in _ODD_NUMBERS.items() if is_plain else ():
        if form.fullmatch(text):
            raise ValueError(f"{text:.40} is a number of base {base} in YAML; write it otherwise, or text in quotes")


def parse_xml(text: str, where: str) -> ElementTree.Element:
    """The root of an XML document without a document type, whose entities could stand for any size or file.

    Raises `Unusable`, naming ``where``.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unusable(f"{where} has a document type declaration, which has no place here")
    try:
        return ElementTree.fromstring(text.lstrip("\ufeff \t\r\n"))
    except (ElementTree.ParseError, ValueError, LookupError) as exc:
        raise Unusable(f"{where} is not usable XML ({reason(exc)})") from None
