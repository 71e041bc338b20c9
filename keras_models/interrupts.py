"""Ctrl-C ends a command with one line and status 130 whenever it comes, also while the command is still imported.

The first thing that a program does is to call `at_once`, the last one `leave`; its work is done within `raised`. Little
is imported here, since nothing can be said of an interrupt before.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

STATUS = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the latter is a batch system's way to say that the time is up
_AGAIN_S = 0.02
_own_process = _seen = False


def at_once() -> None:
    """From now on an interrupt ends this process: for the time before the work, which leaves nothing half done."""
    global _own_process
    _own_process = True
    for number in _SIGNALS:
        signal.signal(number, _end)


def _end(*_: Any) -> None:
    os.write(2, b"error: interrupted\n")  # not by print, in whose midst this may come
    os._exit(STATUS)


@contextmanager
def raised() -> Iterator[None]:
    """Within, an interrupt raises KeyboardInterrupt, whatever the library makes of it in which it comes.

    One that is swallowed is told by `seen`. In a thread that signals do not come to nothing changes.
    """
    global _seen
    _seen = False
    before: dict[int, Any] = {}
    hook = sys.unraisablehook

    def unraisable(what: Any) -> None:
        """An interrupt within a finalizer, where nothing can be raised, comes again in a moment."""
        if isinstance(what.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook(what)

    try:
        with suppress(ValueError):  # not in the main thread
            before = {number: signal.signal(number, _raise) for number in (*_SIGNALS, signal.SIGALRM)}
            sys.unraisablehook = unraisable
        yield
    except Exception:
        if not _seen:
            raise
        raise KeyboardInterrupt from None
    finally:
        if before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(*_: Any) -> None:
    global _seen
    _seen = True
    raise KeyboardInterrupt


def seen() -> bool:
    """Whether there was an interrupt."""
    return _seen


def check_interrupt() -> None:
    """Raise KeyboardInterrupt where one was swallowed, as imports of large libraries may."""
    if _seen:
        raise KeyboardInterrupt


def leave(status: int) -> NoReturn:
    """End a program with a status that an interrupt changes no more.

    Python itself ends by the signal, whatever the status, where one came while a library made code from text.
    """
    if _own_process:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _own_process and _seen:
        import atexit

        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
