"""What the command lines of this package have in common, beside the style of all: how they end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flow.core.errors import FlowError
from flow.core.packages import missing_packages_told
from flow.report.terminal import on_stderr, protect
from keras_models import interrupts
from keras_models.command_line import Version, application, error

__all__ = ["Quiet", "Version", "application", "ending"]

Quiet = Annotated[bool, typer.Option("--quiet", help="Print warnings and errors only.")]


@contextmanager
def ending(go_on: str = "run the same command again", *, stdout_is_kept: bool = False) -> Iterator[None]:
    """The work of a command: errors and interrupts leave by `typer.Exit`, with their line and status.

    ``go_on`` says what to do after an interrupt. Where ``stdout_is_kept`` for what comes after the work, or for
    nothing, all that is printed goes to stderr.
    """
    protect()
    try:
        with interrupts.raised(), on_stderr(stdout_is_kept), missing_packages_told():
            yield
    except (FlowError, KeyboardInterrupt) as exc:
        for line in getattr(exc, "__notes__", ()):
            print(line, file=sys.stderr if stdout_is_kept else sys.stdout)
        told, status = f"interrupted; {go_on}", interrupts.STATUS
        if isinstance(exc, FlowError):
            told, status = str(exc), exc.exit_status
        error(told)
        raise typer.Exit(status) from None
