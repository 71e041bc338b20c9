"""What the functions of the Python door have in common: arguments are looked at, and errors speak of arguments."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ParamSpec, TypeVar

from flow.build.choices import ALL
from flow.build.options import Options
from flow.core.errors import FlowError, UsageError

P = ParamSpec("P")
R = TypeVar("R")
_ARGUMENTS = {option.name: option.default for option in fields(Options)}
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)(?: ([^\s,;:)]+))?")
_VALUE = re.compile(r"-?\d+(\.\d+)?|[su]\d+\.-?\d+")  # a number, or a format such as s16.10
_VERBS = ("is", "are", "was", "belongs", "chooses", "needs", "replaces", "gives", "prints", "out", "or", "and", "with")


def door(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose errors name arguments where a command line's would name options."""

    @functools.wraps(function)
    def opened(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except FlowError as exc:
            exc.args = (in_python(str(exc)),)
            raise

    return opened


def in_python(text: str) -> str:
    """A message with ``head="argmax"`` for ``--head argmax`` and ``quantize=True`` for ``--quantize``."""
    return _OPTION.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    name, word = found[1].replace("-", "_"), found[2]
    if name not in _ARGUMENTS:
        return found[0]
    if word and word not in _VERBS and (name in ALL or _VALUE.fullmatch(word)):
        return f"{name}={word}" if re.fullmatch(r"-?[\d.]+", word) else f'{name}="{word}"'
    if word == "is":
        return f"{name} is"
    own = f"{name}=True" if _ARGUMENTS[name] is False else f"{name}=..."
    return own if word is None else f"{own} {word}"


def number(name: str, value: Any, least: float, most: float = math.inf, *, whole: bool = False) -> None:
    """Raise UsageError unless ``value`` is None or a number within its limits."""
    is_number = isinstance(value, int) if whole else isinstance(value, int | float)
    if value is not None and (not is_number or isinstance(value, bool) or not least <= value <= most):
        limits = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or more"
        raise UsageError(f"{name}={value!r:.40}: give {'an integer' if whole else 'a number'} {limits}")
