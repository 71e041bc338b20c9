"""The build's optional last step: place and route of what was synthesized (``--route``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flow.bitstream import block_rams, dsp_slices
from flow.build.engines.engine import Made
from flow.build.engines.synthesis import origins
from flow.build.facts import RouteFacts
from flow.build.state import Build
from flow.core.errors import ReportError
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.place_and_route import route
from flow.netlist.read import netlist_module
from flow.netlist.routed_top import Namer, Top, wrapper
from flow.tools import nextpnr, prjxray

_TIMEOUT_S = 3600.0


_KNOWN = re.compile(
    r"LUT[1-6](_2)?|INV|FD[RSCP]E|CARRY4|MUXF[78]|RAM(32|64)M|RAMB(18|36)E1|DSP48E1|\$scopeinfo"
)  # what a bitstream is read back for
_REFUSALS = {"RAMB18E1": block_rams.refusal, "RAMB36E1": block_rams.refusal, dsp_slices.KIND: dsp_slices.refusal}


def refuse_unreadable(netlist: Mapping[str, Any]) -> None:
    """Raises ReportError before routing for what could not be read back from a bitstream afterwards."""
    for name, cell in netlist["cells"].items():
        kind = cell["type"]
        why = "" if _KNOWN.fullmatch(kind) else kind
        found = _REFUSALS[kind](cell) if kind in _REFUSALS else None
        if found:
            why = f"{kind} with {found}"
        if why:
            raise ReportError(
                f"a bitstream with {why} ({name}) cannot be read back, and none is made that is not proved; "
                "leave --bitstream out"
            )


def require_route(build: Build) -> None:
    """Raises ToolNotFound in the build's first second where routing is asked for and cannot be done."""
    if build.options.route and nextpnr.unsupported(build.options.part) is None:
        nextpnr.locate()
        if build.options.bitstream:
            prjxray.locate()


def around_core(made: Made) -> Top:
    """What the core lies in when it is placed and routed: the shell of a board where the bitstream is for one."""
    options = made.build.options
    with netlist_module(options.out / "synth" / "netlist.json", made.bench.top) as module:
        if made.board is None or not options.bitstream:
            return wrapper(module, made.bench.top, options.part)
    return made.board.around


def run_route(made: Made) -> None:
    """Route ``synth/netlist.json`` in ``route/``; the result stands beside the synthesis in the build's facts.

    A part without a chip database is a skipped step, not an error.
    """
    build, bench = made.build, made.bench
    if not build.options.route:
        return
    why = nextpnr.unsupported(build.options.part)
    if why is not None:
        build.skipped["route"] = why
        return
    out, options, around = build.options.out, build.options, around_core(made)
    netlist, folder = out / "synth" / "netlist.json", out / "route"

    def work() -> dict[str, Any]:
        plan.fresh_folder(folder)
        with netlist_module(netlist, bench.top) as module:
            if options.bitstream:
                refuse_unreadable(module)
            known = origins(build, module)
        name: Namer = (lambda cell: None) if known is None else known.name
        routed = route(
            folder, netlist, bench.top, options.part, options.clock_period_ns, _TIMEOUT_S, name, keep=options.bitstream,
            around=around,
        )  # fmt: skip
        return {**asdict(routed), "version": nextpnr.version(folder)}

    key = digest_of(
        "route 8", netlist.read_bytes(), options.part.name, str(options.clock_period_ns), nextpnr.locate(),
        str(options.bitstream), around.verilog, *around.sources.values(), repr(around.pins),
    )  # fmt: skip
    assert build.facts.synthesis is not None
    build.facts.synthesis.routed = RouteFacts(**build.steps.run("route", key, work, ("route",)))
