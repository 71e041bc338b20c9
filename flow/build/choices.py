"""The options of a build that take one of a few words: as types for the command line, and checked for all callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from flow.core.errors import UsageError

Architecture = Literal["auto", "parallel", "folded"]
Backend = Literal["Vitis", "Vivado"]
Head = Literal["logits", "argmax"]
HlsIo = Literal["io_parallel", "io_stream"]
Lanes = Literal["bytes", "packed"]
Preprocessing = Literal["none", "standard"]
RtlEngine = Literal["own", "xls"]
Shell = Literal["none", "axis", "pynq"]
Strategy = Literal["latency", "resource"]

ALL: dict[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "backend": get_args(Backend),
    "head": get_args(Head),
    "hls_io": get_args(HlsIo),
    "lanes": get_args(Lanes),
    "preprocessing": get_args(Preprocessing),
    "rtl_engine": get_args(RtlEngine),
    "shell": get_args(Shell),
    "strategy": get_args(Strategy),
}


def settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with each choice spelled as it is here, whatever its case. Raises UsageError for unknown ones."""
    found = dict(settings)
    for name, known in ALL.items():
        if (value := settings.get(name)) is not None:
            match = [choice for choice in known if choice.lower() == str(value).lower()]
            if not match:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} {value} is not known; choose {', '.join(known[:-1])} or {known[-1]}")
            found[name] = match[0]
    return found
