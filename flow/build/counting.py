"""LUT sites of a Keras model's parallel hardware, counted while it trains: quickly from adder graphs, or by synthesis.

``keras_models`` finds these functions by name when a run has a LUT budget; nothing of it is imported here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flow.build.state import finish
from flow.core.design import Design
from flow.core.errors import FlowError
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.netlist.read import read_netlist
from flow.parallel.generators import build_graphs, quick_sites
from flow.parallel.sites import Target
from flow.parts.catalog import resolve
from flow.tools import yosys

PART = "xc7z020"
PERIOD_NS = 10.0
_TARGET = Target(PERIOD_NS, resolve(PART).family)
_TIMEOUT_S = 3600.0
_Count = TypeVar("_Count")


def adder_luts(model: Any) -> float:
    """LUT sites that the model's adder graphs let expect; raises ValueError for a model without an integer form."""
    return float(sum(layer_sites(model).values()))


def quick_luts(model: Any) -> float:
    """`adder_luts` with little search, at most 2 % more in what was seen; raises ValueError as it does."""
    return float(sum(_counted(model, lambda d: [quick_sites(d, i, _TARGET) for i in range(len(d.layers))])))


def layer_sites(model: Any) -> dict[str, float]:
    """`adder_luts` layer by layer, in order."""
    graphs = _counted(model, lambda design: build_graphs(design, _TARGET))
    return {graph.name: float(_TARGET.sites(graph)) for graph in graphs}


def synthesized_luts(model: Any) -> float:
    """LUT sites after synthesis, as a build with the default settings reports them; raises ValueError as above."""
    return float(_counted(model, _synthesized))


def _counted(model: Any, count: Callable[[Design], _Count]) -> _Count:
    from flow.extract import extract

    try:
        return count(finish(extract(model)))
    except FlowError as exc:  # training knows no errors of this package
        raise ValueError(f"LUTs cannot be counted: {exc}") from exc


def _synthesized(design: Design) -> int:
    rtl = emit_parallel(design, build_graphs(design, _TARGET), PERIOD_NS)
    script = yosys.synthesis_script(list(rtl.files), rtl.top, resolve(PART).yosys_family, dsp=False)
    with tempfile.TemporaryDirectory() as place:
        plan.write(rtl.files, Path(place))
        yosys.synthesize(Path(place), script, _TIMEOUT_S)
        return read_netlist(Path(place) / "netlist.json", rtl.top).resources.lut
