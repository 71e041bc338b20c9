"""How the command lines of this package end: one ``error:`` line, and the status of its kind."""

from __future__ import annotations

from collections.abc import Callable

from keras_models.command_line import error as report
from keras_models.data.loaders import DataError
from keras_models.interrupts import STATUS, raised
from keras_models.optional import remedy
from keras_models.training.choice import UsageError


def status_of(work: Callable[[], object], interrupted: Callable[[], str]) -> int:
    """The exit status: 0, with an error line 2 for wrong usage, 1 for the rest that a user can fix, 130 for Ctrl-C.

    ``interrupted`` says what an interrupted run leaves behind.
    """
    try:
        with raised():
            work()
        return 0
    except UsageError as error:
        told, status = str(error), 2
    except (DataError, OSError, ValueError) as error:
        told, status = str(error) or type(error).__name__, 1
    except ImportError as error:
        missing = remedy(error)
        if missing is None:
            raise
        told, status = missing, 1
    except KeyboardInterrupt:
        told, status = f"interrupted; {interrupted()}", STATUS
    report(told)
    return status
