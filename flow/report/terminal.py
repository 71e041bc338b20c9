"""Text that comes from files, on its way to a terminal: nothing in it may move the cursor, recolour or hide a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from keras_models.untrusted import visible


class SafeConsole(Console):
    """A console on standard output that shows the control characters of what it prints, and obeys none of them."""

    def __init__(self, **settings: Any) -> None:
        file = getattr(sys.stdout, "inner", sys.stdout)
        if "ipykernel" in sys.modules:  # a notebook, whose stream says of itself that it is a terminal
            settings = {"force_terminal": False, **settings}
        super().__init__(file=file, highlight=False, force_jupyter=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Rich's segments, their text made visible; those that are control codes of Rich's own stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


class _Visible:
    """A text stream whose control characters, but the ends of lines and tabs, are written as escapes."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # a program that tries whether this is a stream of bytes
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return self.inner.write(visible(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def protect() -> None:
    """From now on whatever this process prints is made visible: the first call of every command line."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Visible):
            setattr(sys, name, _Visible(stream))


@contextmanager
def on_stderr(wanted: bool) -> Iterator[None]:
    """Where ``wanted``, all that is printed goes to stderr: stdout is kept for what a program will read."""
    if not wanted:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
