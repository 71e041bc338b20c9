"""What all command lines have in common: one style of help, of errors and of completion.

Wrong usage is one ``error:`` line and status 2, as every error is one line. Options that `argparse` describes, as those
of training are, become a command of the same family (`of_parser`).
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer._click.exceptions import ClickException, UsageError
from typer.core import TyperCommand, TyperGroup

from keras_models.interrupts import leave
from keras_models.untrusted import one_line
from keras_models.version import __version__


def error(message: str) -> None:
    """The one ``error:`` line of a command that failed."""
    print(f"error: {one_line(message)}", file=sys.stderr)


def plain(message: str) -> str:
    """What the parser of options says, without the words of the libraries below it."""
    return " ".join(message.replace("Value error, ", "").split()).rstrip(".")


class _OneStyle:
    """How commands and groups of them end."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As the class beside it does; wrong usage is told in one line."""
        try:
            status = super().main(*arguments, standalone_mode=False, **extra)  # type: ignore[misc]
        except ClickException as exc:
            if not standalone_mode:
                raise
            _refuse(exc)
        if not standalone_mode:
            return status
        leave(status if isinstance(status, int) else 0)


def _refuse(exc: ClickException) -> NoReturn:
    context = exc.ctx if isinstance(exc, UsageError) else None
    error(plain(exc.format_message()) + (f"; {context.command_path} -h tells more" if context else ""))
    sys.exit(exc.exit_code)


class Command(_OneStyle, TyperCommand):
    """A command; it takes no empty text for a file's name, which would mean the working folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its base does. Raises a usage error for a file without a name."""
        paths = {name for option in self.params if is_path(option) for name in option.opts}
        words = {name for option in self.params if not is_path(option) for name in option.opts}
        for before, word in pairwise(["", *args]):
            if (word == "" and before not in words) or (word.endswith("=") and word[:-1] in paths):
                raise UsageError(f"{before or word or 'a file'}: the name is empty", ctx)
        try:
            found: list[str] = super().parse_args(ctx, args)
        except UsageError as exc:
            exc.ctx = exc.ctx or ctx  # not all of them know it
            raise
        return found


def is_path(option: Any) -> bool:
    """Whether an option or argument is the name of a file or folder."""
    return bool(option.type_descriptor.is_path)


class Group(_OneStyle, TyperGroup):
    """Commands under one name."""


class Application(typer.Typer):
    """Command lines without tracebacks that also know ``-h``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Register a command of our style."""
        return super().command(name, **{"cls": Command, **settings})


def application() -> Application:
    """A command line by itself, to be decorated onto its function."""
    return Application(add_completion=False)


def _show(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nmp-flow {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_show, is_eager=True, help="Show the version and exit.")]


def of_parser(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], int]) -> Command:
    """The options of a parser as a command of our style, which ends with the status of ``work``."""

    def call(**values: Any) -> None:
        raise typer.Exit(work(argparse.Namespace(**values)))

    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    parameters = [
        *(inspect.Parameter(a.dest, inspect.Parameter.KEYWORD_ONLY, **_described(a)) for a in actions),
        inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Version),
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    app = application()
    app.command(help=parser.description)(call)
    command: Command = typer.main.get_command(app)  # type: ignore[assignment]
    return command


def _described(action: argparse.Action) -> dict[str, Any]:
    """Annotation and default of what stands for an option."""
    kind: Any = action.type or str
    if action.choices is not None:
        kind = Literal[tuple(action.choices)]
    if action.nargs == 0:
        kind = bool
    told = action.default in (None, False) or "default" in (action.help or "")
    about: dict[str, Any] = {"help": _sentence(action.help), "show_default": not told}
    if action.metavar and action.choices is None:
        about["metavar"] = action.metavar
    if not action.option_strings:
        return {"annotation": Annotated[kind, typer.Argument(**about)]}
    described = typer.Option(*action.option_strings, **about)
    if action.required:
        return {"annotation": Annotated[kind, described]}
    optional = kind if action.default is not None else kind | None
    return {"annotation": Annotated[optional, described], "default": action.default}


def _sentence(text: str | None) -> str | None:
    return text and f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line; leaves by SystemExit after help, version or the line about wrong usage."""
    found: list[argparse.Namespace] = []

    def keep(options: argparse.Namespace) -> int:
        found.append(options)
        return 0

    try:
        of_parser(parser, keep).main(arguments, prog_name=parser.prog, standalone_mode=False)
    except ClickException as exc:
        _refuse(exc)
    if not found:  # help or version was asked for
        sys.exit(0)
    return found[0]
