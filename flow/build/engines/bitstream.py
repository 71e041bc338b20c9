"""Engine ``bitstream``: the bitstream is made, read back from its bits alone, compared cell by cell, and simulated."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flow.bitstream import files
from flow.bitstream.assemble import assemble
from flow.bitstream.compare import Namer
from flow.bitstream.container import bin_file
from flow.bitstream.database import Database
from flow.bitstream.fasm import features, read_fasm
from flow.bitstream.layout import layout
from flow.bitstream.placement import PlacedCell, read_placement
from flow.bitstream.read_back import Core, ReadBack, layers_of, read_back
from flow.build.engines.boards import Board
from flow.build.engines.engine import HardwareEngine, Made
from flow.build.engines.routing import around_core
from flow.build.engines.shell import on_board
from flow.build.engines.synthesis import origins
from flow.build.facts import BitstreamFacts
from flow.core.compare import EngineResult
from flow.core.errors import ToolFailed
from flow.core.untrusted import read_bytes
from flow.emit.rtl.cells import cell_models
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.place_and_route import ROUTED
from flow.netlist.read import netlist_module
from flow.netlist.routed_top import Top
from flow.proof.text.prove import HEAD
from flow.proof.text.top import TOP
from flow.report.html.chip_map import svg
from flow.tools import nextpnr, prjxray, yosys
from flow.verify import simulate
from keras_models.version import __version__

LINK = "netlist-bitstream"
_VERSION = "bitstream 12"  # of the files and of what is found in them
_CYCLES = 2_000_000  # of the simulation, of designs that take many for a vector
_MAX_BIT = 1 << 28  # bytes


def _run(made: Made) -> Sequence[EngineResult]:
    """Make the files, then read the .bit; both are kept for the next build."""
    build = made.build
    assert build.facts.synthesis is not None
    routed, part = build.facts.synthesis.routed, build.options.part
    family = prjxray.family_folder(part)
    if routed is None or family is None:
        build.skipped["bitstream"] = build.skipped.get("route") or f"Project X-Ray's database has no {part.name}"
        return ()
    database = Database(prjxray.locate() / family, nextpnr.device_name(part), part.device)
    out = build.options.out
    fasm = out / "route" / nextpnr.fasm(routed.seed)
    key = digest_of(_VERSION, read_bytes(fasm, _MAX_BIT), database.part, str(database.family), made.key)
    around = around_core(made)
    name = _namer(made, around)
    kept = ("bitstream", "board") if build.options.on_processor else ("bitstream",)
    made_files = build.steps.run("bitstream files", key, lambda: _make(made, database, name, around), kept)
    found = build.steps.run("bitstream", digest_of("read", key), lambda: _check(made, database, name, around))
    build.facts.bitstream = BitstreamFacts(
        **made_files,
        switches=found["switches"],
        compared=found["compared"],
        differences=len(found["differences"]),
        seconds={step: build.steps.seconds[step] for step in ("bitstream files", "bitstream")},
    )
    _note(made, found["differences"])
    return (EngineResult.of(found["result"]),)


def _namer(made: Made, around: Top) -> Namer:
    """What a cell of the routed netlist belongs to, in the design's words."""
    with netlist_module(made.build.options.out / "synth" / "netlist.json", made.bench.top) as module:
        known = origins(made.build, module)
    return (lambda cell: None) if known is None else lambda cell: known.name(around.netlist_cell(cell))


def _placement(made: Made, database: Database) -> Mapping[str, PlacedCell]:
    synthesis = made.build.facts.synthesis
    assert synthesis is not None and synthesis.routed is not None
    return read_placement(made.build.options.out / "route" / nextpnr.placed(synthesis.routed.seed), database)


def _make(made: Made, database: Database, name: Namer, around: Top) -> Mapping[str, Any]:
    build, top, options = made.build, made.bench.top, made.build.options
    assert build.facts.synthesis is not None and build.facts.synthesis.routed is not None
    routed, placement = build.facts.synthesis.routed, _placement(made, database)
    with netlist_module(options.out / "route" / ROUTED, around.name) as netlist:
        cells = netlist["cells"]
        found = files.make(options.out / "route" / nextpnr.fasm(routed.seed), placement, cells, database, top)
    layers = {la.name for la in build.design.layers}
    owners = {cell: owner.partition(" ")[0] for cell in placement if (owner := name(cell))}
    placed = layout(placement.values(), {c: la for c, la in owners.items() if la in layers}, database)
    facts = {
        "top": around.name,
        "design": top,
        "pads": dict(around.pins),
        "clock": {"period_ns": options.clock_period_ns, "fmax_mhz": routed.fmax_mhz},
        "tools": {"nextpnr": routed.version, "yosys": yosys.version(), "nmp-flow": __version__},
    }
    files.write(found, options.out / "bitstream", top, database, svg(placed), facts)
    if options.on_processor:
        _to_board(made, found.bit, min(1000 / options.clock_period_ns, routed.fmax_mhz or math.inf))
    return {
        "file": f"bitstream/{top}.bit", "sha256": files.sha256(found.bit), "part": database.part,
        "idcode": f"{database.idcode:#010x}", "features": found.features, "bits": found.bits, "frames": found.frames,
        "lut_contents_corrected": files.changed(found.changes), "placed": placed,
    }  # fmt: skip


def _to_board(made: Made, bit: bytes, clock_mhz: float) -> None:
    """The folder that goes to the board: bitstream, driver, and what the driver reads."""
    assert made.shell is not None and made.board is not None
    name = made.bench.top
    texts = on_board(made.build, made.shell, made.bench, made.board.logic, clock_mhz)
    plan.mirror({**texts, f"{name}.bit": bit, f"{name}.bin": bin_file(bit)}, made.build.options.out / "board")


def _check(made: Made, database: Database, name: Namer, around: Top) -> Mapping[str, Any]:
    """Read the .bit file; simulate what was read if it is a netlist with the design's ports."""
    out, start = made.build.options.out, time.monotonic()
    content = read_bytes(out / "bitstream" / f"{made.bench.top}.bit", _MAX_BIT)
    with netlist_module(out / "synth" / "netlist.json", made.bench.top) as module:
        ports = module["ports"]
    with netlist_module(out / "route" / ROUTED, around.name) as netlist:
        placement = _placement(made, database)
        lines = read_fasm(out / "bitstream" / f"{made.bench.top}.fasm")
        expected = assemble(features(lines), database).bits
        places = {name: netlist["netnames"][f"{around.core}.{name}"]["bits"] for name in ports}
        cores = [Core(made.bench.top, ports, places), *([logic_core(made.board, netlist)] if made.board else [])]
        found = read_back(content, database, netlist, placement, around.pins, cores, name, expected)
    result = EngineResult("bitstream", 0, 0, time.monotonic() - start)
    if found.verilog:
        try:
            result = _simulated(made, found.verilog, out / "sim" / "bitstream", places)
        except ToolFailed as broken:
            if not found.differences:
                raise
            result = replace(result, problems=(f"what was read back cannot be simulated: {broken}",))
    return {
        "result": asdict(_judged(result, found, time.monotonic() - start)),
        "differences": list(found.differences),
        "switches": found.switches,
        "compared": {k: v for k, v in asdict(found.compared).items() if k != "differences"} if found.compared else {},
    }


def logic_core(board: Board, netlist: Mapping[str, Any]) -> Core:
    """The board's logic as it lies in the routed netlist."""
    cells = netlist["cells"]
    places = {
        name: [cells[cell]["connections"][pin][i] for cell, pin, i in port.at] for name, port in board.ports.items()
    }
    ports = {name: {"direction": port.direction, "bits": places[name]} for name, port in board.ports.items()}
    return Core(board.logic, ports, places)


def _simulated(made: Made, verilog: Sequence[str], folder: Path, places: Mapping[str, Sequence[Any]]) -> EngineResult:
    """The netlist of the bitstream in Verilator, on the build's vectors: all of them where each takes few cycles.

    A board's logic takes every result at once: it ties ``out_ready`` to 1, and so it is in the bits.
    """
    vectors = made.build.vectors
    count = max(_CYCLES // made.bench.initiation_interval, 16)
    plan.fresh_folder(folder)
    sources = [folder / "bitstream.v", folder / "cells.v"]
    for name, text in zip(("bitstream.v", "board.v"), verilog, strict=False):
        plan.write_file(folder / name, text)
    plan.write_file(sources[1], cell_models(yosys.cell_library().read_text()))
    model = simulate.build_verilator(made.bench, made.build.options.out, folder / "model", sources=sources)
    return simulate.run_native(
        made.bench, vectors.inputs[:count], vectors.expected[:count], folder / "run", model,
        timeout_s=simulate.TIMEOUT_S, seed=made.build.options.seed, stalls=places.get("out_ready") != ["1"],
    )  # fmt: skip


def _judged(result: EngineResult, found: ReadBack, seconds: float) -> EngineResult:
    """The simulation's result with the differences of the comparison, which are told first."""
    return replace(
        result, engine="bitstream", seconds=seconds, mismatches=result.mismatches + len(found.differences),
        problems=(*found.differences[:3], *result.problems),
    )  # fmt: skip


def _note(made: Made, differences: Sequence[str]) -> None:
    """For each layer, argmax head and top module, whether the bitstream is proved to be its netlist."""
    build = made.build
    layers = [*(la.name for la in build.design.layers), TOP, *([HEAD] if build.design.head == "argmax" else [])]
    named = layers_of(differences, layers)
    wrong = named or layers if differences else []
    for layer in layers:
        build.facts.proof.setdefault(layer, {})[LINK] = "refuted" if layer in wrong else "proved"


ENGINE = HardwareEngine(name="bitstream", run=_run, wanted=lambda options: options.bitstream, after="route")
