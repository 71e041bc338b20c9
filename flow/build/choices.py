"""The options of a build that take one of a few words: as types, which the command line shows, and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Architecture = Literal["auto", "parallel", "folded", "streaming"]
Backend = Literal["Vitis", "Vivado"]
Head = Literal["logits", "argmax", "probability"]
HlsIo = Literal["io_parallel", "io_stream"]
Lanes = Literal["bytes", "packed"]
Pipeline = Literal["auto", "rows"]
Preprocessing = Literal["none", "standard"]
RtlEngine = Literal["own", "xls"]
Shell = Literal["none", "axis", "pynq", "selftest"]
Strategy = Literal["latency", "resource"]

ALL: dict[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "backend": get_args(Backend),
    "head": get_args(Head),
    "hls_io": get_args(HlsIo),
    "lanes": get_args(Lanes),
    "pipeline": get_args(Pipeline),
    "preprocessing": get_args(Preprocessing),
    "rtl_engine": get_args(RtlEngine),
    "shell": get_args(Shell),
    "strategy": get_args(Strategy),
}


def settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with each known word spelled as it is here, whatever its case."""
    spelled = {name: {word.lower(): word for word in words} for name, words in ALL.items()}
    return {
        name: spelled.get(name, {}).get(value.lower(), value) if isinstance(value, str) else value
        for name, value in settings.items()
    }
