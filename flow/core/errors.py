"""Every error a user can meet, as one hierarchy.

    FlowError
    ├── UsageError      wrong command line (exit status 2)
    │   └── ConfigError     a configuration file that cannot be read or does not fit the model (exit status 1)
    ├── ModelError      a model file or layer that cannot become hardware
    ├── DesignError     an integer design that breaks an invariant
    ├── DataError       a data set that cannot be read or does not fit the model
    ├── PartError       an unknown device or board
    ├── ReportError     a report file that cannot be read
    ├── ToolNotFound    a program that is not installed
    ├── ToolFailed      a program that ran and failed
    │   └── ToolStopped     a program that was ended because the build is given up
    ├── BuildLocked     another build is using the same folder
    ├── NotOurs         a file in the way that no build made
    └── Mismatch        two engines disagree (exit status 3)

A message is one line: what is wrong, where (layer, neuron, file), and the remedy.
"""

import re

from keras_models.untrusted import one_line

_BOLD = re.compile("\x1b\\[[0-9;]*m")  # Keras writes so


def reason(exc: BaseException, limit: int = 200) -> str:
    """What an exception of a library says, on one line of at most ``limit`` characters; never nothing."""
    text = str(one_line(_BOLD.sub("", str(exc))))[:limit]
    if isinstance(exc, KeyError) and text:
        return f"{text} is missing"
    return text or type(exc).__name__


class FlowError(Exception):
    """What a user can fix; the command lines print it as one ``error:`` line."""

    exit_status = 1

    def __str__(self) -> str:
        return str(one_line(super().__str__())) or type(self).__name__


class UsageError(FlowError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration file cannot be read or does not fit the model."""

    exit_status = 1


class ModelError(FlowError):
    """A model file cannot be read, or one of its layers has no exact integer form."""


class DesignError(FlowError):
    """An integer design is malformed or breaks an invariant."""


class DataError(FlowError):
    """A data set cannot be read or does not fit the model."""


class PartError(FlowError):
    """No such device or board is known."""


class ReportError(FlowError):
    """A tool's report cannot be read."""


class ToolNotFound(FlowError):
    """A program is missing; the message names it, where it was looked for and how to get it."""


class ToolFailed(FlowError):
    """A program ran and failed; the message names its log."""


class ToolStopped(ToolFailed):
    """A program was ended, or not started, because the build is being given up."""


class BuildLocked(FlowError):
    """Another process is building into the same folder."""


class NotOurs(FlowError):
    """Something that no build made lies where one would write; it is left as it is."""


class Mismatch(FlowError):
    """Two engines computed different outputs for the same vector."""

    exit_status = 3
