"""The options of a build that take one of a few words, as types: the command line shows and completes them."""

from __future__ import annotations

from typing import Literal

Architecture = Literal["auto", "parallel", "folded"]
Backend = Literal["Vitis", "Vivado"]
Head = Literal["logits", "argmax"]
HlsIo = Literal["io_parallel", "io_stream"]
Lanes = Literal["bytes", "packed"]
Preprocessing = Literal["none", "standard"]
RtlEngine = Literal["own", "xls"]
Shell = Literal["none", "axis", "pynq"]
Strategy = Literal["latency", "resource"]
