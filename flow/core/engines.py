"""The engines by name: how console, pages, help and sweeps call them. Data alone; what they do is in ``flow.build``.

An engine is a verification route: it computes a design's results in its own way, and they must be the integer design's.
Its module ``flow.build.engines.<name>`` holds an ``ENGINE``; a new engine is that module and a line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flow.core.errors import UsageError


@dataclass(frozen=True)
class Listed:
    """One engine: ``title`` names its step, ``runs`` what it compares with the integer design.

    ``choice`` says how ``--engines`` takes it: ``default`` runs unless others are named, ``named`` only if it is (it
    needs more than the default installation), and ``never`` is not its to take: other options or the model decide.
    ``within`` is the engine in whose module it runs.
    """

    name: str
    title: str
    runs: str
    choice: Literal["default", "named", "never"] = "never"
    within: str = ""


ENGINES = (
    Listed("keras", "Keras against integers", "the Keras model, in floating point"),
    Listed("qonnx", "ONNX model against integers", "the ONNX model, node by node in onnxruntime and qonnx",
           within="keras"),
    Listed("integer", "adder graphs against integers", "adder graphs, run as integers", "default"),
    Listed("hls", "hls4ml project, g++", "HLS C++ of the hls4ml project, compiled by g++", "default"),
    Listed("icarus", "Icarus, cocotb", "Verilog in Icarus, cocotb bench", "default"),
    Listed("verilator", "Verilator, cocotb and native", "Verilog in Verilator, cocotb bench", "default"),
    Listed("native", "Verilator, native", "Verilog in Verilator, distinct vectors in bulk, long pauses",
           within="verilator"),
    Listed("netlist", "netlist, cocotb",
           "synthesized netlist in Icarus (Verilator where cycles are many), cocotb bench", "default"),
    Listed("bitstream", "bitstream read back",
           "netlist rebuilt from the bits of the bitstream: compared cell by cell, then in Verilator"),
    Listed("board", "board's logic in Icarus, cocotb",
           "what is around the core on the board, as Verilog and as the bits have it, bus-level cocotb bench"),
    Listed("axis", "stream shell in Icarus, cocotb", "stream shell and core in Icarus, bus-level cocotb bench"),
    Listed("xls", "XLS Verilog in Icarus, cocotb; DSLX as software",
           "Verilog of the XLS compiler in Icarus, cocotb bench", "named"),
    Listed("xls_jit", "DSLX as software", "DSLX compiled to machine code by XLS", within="xls"),
    Listed("vendor_rtl", "Verilog of AMD's HLS in Icarus, cocotb", "Verilog of AMD's HLS in Icarus, cocotb bench",
           within="hls"),
)  # fmt: skip
BY_NAME = {engine.name: engine for engine in ENGINES}
DEFAULT = tuple(engine.name for engine in ENGINES if engine.choice == "default")
SELECTABLE = tuple(engine.name for engine in ENGINES if engine.choice != "never")
NAMED = tuple(name for name in SELECTABLE if name not in DEFAULT)


_MODELS = {"qonnx": "ONNX"}


def model_kind(source: Any) -> str:
    """What a design's model is called, by the ``runtime`` of its ``source``: ONNX, else Keras."""
    runtime = source.get("runtime") if isinstance(source, Mapping) else None
    return _MODELS.get(str(runtime), "Keras")


def chosen(text: str, option: str = "--engines") -> tuple[str, ...]:
    """The engines that a list such as ``integer,icarus`` names, in their own order. Raises UsageError for others."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or any(name not in SELECTABLE for name in names):
        raise UsageError(f"{option} {text}: choose from {', '.join(SELECTABLE)}")
    return tuple(name for name in SELECTABLE if name in names)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of engines in the order of the list; those it does not know, of later versions, come last."""
    known = list(BY_NAME)
    return sorted(names, key=lambda name: (known.index(name) if name in BY_NAME else len(known), name))
