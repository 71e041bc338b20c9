"""The options of a build as a YAML file: ``--config`` reads one, every build writes its own as ``build.yml``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml

from flow.core.errors import ConfigError
from flow.core.untrusted import read_yaml, refused
from keras_models.command_line import is_path, plain

if TYPE_CHECKING:
    from flow.build.options import Options

NAME = "build.yml"
_REMEDY = "python -m flow.build --help lists the options"


def read(path: Path, known: Collection[str]) -> dict[str, str]:
    """The options that a file sets, by name with underscores, in the words of the command line; ``known`` are all.

    Names may also be written with hyphens, lists (``[integer, icarus]``) in place of words between commas. Raises
    ConfigError for unknown names and for values that no option takes.
    """
    with refused(ConfigError, str(path), _REMEDY):
        content = read_yaml(path)
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise ValueError("not a list of options, such as clock_period_ns: 5")
        found = {str(name).replace("-", "_"): _word(name, value) for name, value in content.items()}
        if len(found) != len(content):
            raise ValueError("an option stands there twice")
        for name in content:
            if str(name).replace("-", "_") not in known:
                raise ValueError(f"option {str(name)!r:.60} is not known")
        return {name: value for name, value in found.items() if value is not None}


def apply(context: typer.Context, path: Path, but: Collection[str]) -> None:
    """Make a file's options the defaults of a command line; those of ``but`` are its own. Raises ConfigError."""
    options = {p.name: p for p in context.command.params if p.name and p.name not in but}
    found = read(path, options)
    for name, value in found.items():
        with refused(ConfigError, f"{path}: option {name!r}", _REMEDY):
            if not value and is_path(options[name]):
                raise ValueError("the name is empty")
            try:
                options[name].process_value(context, value)
            except typer.BadParameter as exc:
                raise ValueError(f"{value!r:.60}: {plain(exc.message)}") from None
    context.default_map = {**(context.default_map or {}), **found}


def _word(name: Any, value: Any) -> str | None:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"option {str(name)!r:.60} is {type(value).__name__}; give a word or a number")
    return None if value is None else str(value)


def text(options: Options) -> str:
    """The file from which the same build runs again: every option that is set, with the value it had."""
    head = f"# The options of this build; to run it again: python -m flow.build --config {NAME}\n"
    return head + str(yaml.safe_dump(options.words(), sort_keys=False, allow_unicode=True, width=1000))
