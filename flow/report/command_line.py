"""What all command lines have in common: ``-h``, ``--version``, and how they end."""

from __future__ import annotations

from typing import Annotated

import typer

from keras_models.version import __version__


def application() -> typer.Typer:
    """A command line without tracebacks that also knows ``-h``."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _show(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nmp-flow {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_show, is_eager=True, help="Show the version and exit.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print warnings and errors only.")]
