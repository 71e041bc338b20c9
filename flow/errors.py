"""The errors of this package, by the name users catch them by; `flow.core.errors` draws their family."""

from flow.core.errors import (
    BuildLocked,
    ConfigError,
    DataError,
    DesignError,
    FlowError,
    Mismatch,
    ModelError,
    NotOurs,
    PartError,
    ReportError,
    ToolFailed,
    ToolNotFound,
    ToolStopped,
    UsageError,
)

__all__ = [
    "BuildLocked",
    "ConfigError",
    "DataError",
    "DesignError",
    "FlowError",
    "Mismatch",
    "ModelError",
    "NotOurs",
    "PartError",
    "ReportError",
    "ToolFailed",
    "ToolNotFound",
    "ToolStopped",
    "UsageError",
]
