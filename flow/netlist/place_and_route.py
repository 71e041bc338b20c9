"""Place and route of a synthesized design: the clock it really reaches, and what its slowest path runs through.

The netlist that was synthesized and simulated is the one that is routed, inside a wrapper of three pads or a shell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused
from flow.files.plan import write_file
from flow.netlist.read import netlist_module
from flow.netlist.routed_top import INSTANCE, WRAPPER, Namer, Top, wrapper
from flow.netlist.sixth_inputs import fill_carry_sites, script, waiting
from flow.netlist.truth_tables import own_carry_luts, reduce_carry_luts, split_double_luts
from flow.parts.catalog import Part
from flow.tools import nextpnr, yosys

SEEDS = (1, 2, 3)
ROUTED = "routed.json"  # the netlist that is placed, as it is meant; nextpnr gets `nextpnr.NETLIST`


@dataclass(frozen=True)
class Routed:
    """The better of the runs that were needed; ``path`` is the slowest register-to-register path."""

    fmax_mhz: float | None
    seed: int
    used: dict[str, int]  # cells by nextpnr's names, wrapper included; SLICE_LUTX are halves of LUT sites
    lut_sites: dict[str, int]  # 6-input LUT sites that hold logic of the design, only constants, only the wrapper
    path: dict[str, Any]
    attempts: list[dict[str, Any]]
    clocks: dict[str, float]  # by name, in MHz; of those that paths between registers have


def route(
    folder: Path, netlist: Path, top: str, part: Part, clock_period_ns: float, timeout_s: float, name: Namer,
    seeds: Sequence[int] = SEEDS, keep: bool = False, around: Top | None = None,
) -> Routed:  # fmt: skip
    """Route the core ``top`` of ``netlist`` (Yosys JSON), with further seeds while the period asked for is missed.

    It lies inside ``around``, by default the wrapper of three pads. With ``keep`` the better run's places and features
    are left, which are large files. Raises ToolNotFound, ToolFailed, and ReportError where the report is not nextpnr's.
    """
    around = prepare(folder, netlist, top, timeout_s, part, around)
    best: tuple[float, int, dict[str, Any]] | None = None
    attempts: list[dict[str, Any]] = []
    for seed in seeds:
        done = nextpnr.place_and_route(
            folder, part, clock_period_ns, seed, timeout_s, constraints=around.constraints(clock_period_ns)
        )
        report = read_report(folder / f"nextpnr.{seed}.json")
        placed = placed_sites(folder / nextpnr.placed(seed), around)
        fmax = fmax_mhz(report)
        attempts.append({"seed": seed, "fmax_mhz": fmax, "seconds": round(done.seconds, 1)})
        if best is None or (fmax or 0.0) > best[0]:
            best, sites = (fmax or 0.0, seed, report), placed
        if fmax is None or fmax >= 1000 / clock_period_ns:
            break
    assert best is not None, "at least one seed"
    for attempt in attempts:
        if not keep or attempt["seed"] != best[1]:
            (folder / nextpnr.placed(attempt["seed"])).unlink()
            (folder / nextpnr.fasm(attempt["seed"])).unlink()
    used = {site: entry["used"] for site, entry in best[2]["utilization"].items() if entry["used"]}
    return Routed(
        best[0] or None, best[1], used, sites, critical_path(best[2], name, around), attempts,
        {clock: round(float(found["achieved"]), 2) for clock, found in best[2]["fmax"].items()},
    )  # fmt: skip


def prepare(folder: Path, netlist: Path, top: str, timeout_s: float, part: Part, around: Top | None = None) -> Top:
    """Write ``routed.json``, the core ``top`` of ``netlist`` (Yosys JSON) inside ``around`` (the wrapper), and what
    nextpnr reads of it. Returns what it lies in.

    Raises ToolNotFound, ToolFailed, and ReportError where the netlist is none.
    """
    nextpnr.locate()
    with netlist_module(netlist, top) as module:
        # the cell library comes from Yosys itself: its modules in the file have lost their parameters
        around = around or wrapper(module, top, part)
        write_file(folder / f"{around.name}.v", around.verilog)
        modules = {top: module, **(_shell(folder, top, module["ports"], around, timeout_s) if around.sources else {})}
        for content in modules.values():
            split_double_luts(content["cells"])
            own_carry_luts(content["cells"])
        write_file(folder / "netlist.json", json.dumps({"modules": modules}))
    yosys.run_script(folder, _link(around), "link", timeout_s)
    with netlist_module(folder / "routed.json", around.name) as module:
        reduce_carry_luts(module["cells"])
        fill_carry_sites(module["cells"], nextpnr.runs_scripts(folder))
        cells, names = waiting(module["cells"])
        for name, own in ((ROUTED, module), (nextpnr.NETLIST, {**module, "cells": cells})):
            write_file(folder / name, json.dumps({"modules": {around.name: own}}))
        if names:
            write_file(folder / nextpnr.BEFORE_ROUTING, script(names))
        else:
            (folder / nextpnr.BEFORE_ROUTING).unlink(missing_ok=True)
    return around


def _shell(
    folder: Path, core: str, ports: Mapping[str, Any], around: Top, timeout_s: float
) -> dict[str, Mapping[str, Any]]:
    """The top with all that it needs but the core, synthesized."""
    ins_and_outs = [f"{p['direction']} wire [{len(p['bits']) - 1}:0] {n}" for n, p in ports.items()]
    box = f"(* blackbox *)\nmodule {core} ({', '.join(ins_and_outs)});\nendmodule\n"
    texts = {f"{core}.v": box, **around.sources}
    for name, text in texts.items():
        write_file(folder / name, text)
    script = yosys.synthesis_script([*texts, f"{around.name}.v"], around.name, "xc7", dsp=False, netlist="shell.json")
    yosys.run_script(folder, script, "shell", timeout_s)
    with netlist_module(folder / "shell.json", around.name) as module:
        return {around.name: module}


def _link(around: Top) -> str:
    """The Yosys commands that put the core into its place."""
    return f"""\
read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v
read_json netlist.json
{"" if around.sources else f"read_verilog {around.name}.v"}
hierarchy -check -top {around.name}
flatten
clean
select {around.name}
write_json -selected routed.json
"""


def read_report(path: Path) -> dict[str, Any]:
    """nextpnr's report. Raises ReportError where it is cut or something else."""
    with refused(ReportError, f"{path}: not a nextpnr report", "route again"):
        data = read_json(path, MAX_OWN_JSON)
        if not isinstance(data["fmax"], dict) or not isinstance(data["critical_paths"], list):
            raise TypeError("fmax or critical_paths is of the wrong kind")
        {site: int(entry["used"]) for site, entry in data["utilization"].items()}
        return dict(data)


def placed_sites(path: Path, around: Top | None = None) -> dict[str, int]:
    """6-input LUT sites of a placed design: those that hold logic of it, constants only, or the wrapper only.

    A site is one of the four LUTs of a slice, with both its outputs. Raises ReportError where the file is none of
    nextpnr's.
    """
    holds = around.holds if around else Top(WRAPPER, "", INSTANCE, {}).holds
    with refused(ReportError, f"{path}: not a design placed by nextpnr", "route again"):
        (module,) = read_json(path, MAX_OWN_JSON)["modules"].values()
        sites: dict[str, set[str]] = {}
        for name, cell in module["cells"].items():
            match = re.fullmatch(r"(.*)[56]LUT", cell["attributes"].get("NEXTPNR_BEL", ""))
            if match:
                kind = "constants" if name.startswith("$PACKER") else "design" if holds(name) else "wrapper"
                sites.setdefault(match[1], set()).add(kind)
    kinds = [next(k for k in ("design", "wrapper", "constants") if k in found) for found in sites.values()]
    return {kind: kinds.count(kind) for kind in ("design", "wrapper", "constants")}


def fmax_mhz(report: Mapping[str, Any]) -> float | None:
    """The lowest frequency of the report's clocks; None where no path runs between registers."""
    achieved = [float(clock["achieved"]) for clock in report["fmax"].values()]
    return round(min(achieved), 2) if achieved else None


def critical_path(report: Mapping[str, Any], name: Namer, around: Top) -> dict[str, Any]:
    """The slowest path within a clock: total, logic and routing ns, levels, and the parts of the design it crosses."""
    inside = [p for p in report["critical_paths"] if p["from"] == p["to"] and p["path"]]
    if not inside:
        return {"delay_ns": 0.0, "levels": 0, "endpoint": "no register is fed by logic", "through": []}
    steps = max(inside, key=lambda p: sum(s["delay"] for s in p["path"]))["path"]
    routing = sum(s["delay"] for s in steps if s["type"] == "routing")
    total = sum(s["delay"] for s in steps)
    through: list[dict[str, Any]] = []
    for step in steps:
        where = name(around.netlist_cell(step["to"]["cell"])) or _from_net(step.get("net"), around.core)
        if not through or (where is not None and through[-1]["where"] != where):
            through.append({"where": where or "wrapper", "delay_ns": 0.0})
        through[-1]["delay_ns"] = round(through[-1]["delay_ns"] + step["delay"], 3)
    return {
        "delay_ns": round(total, 3),
        "logic_ns": round(total - routing, 3),
        "routing_ns": round(routing, 3),
        "levels": sum(1 for s in steps if s["type"] == "logic"),
        "start": through[0]["where"],
        "endpoint": through[-1]["where"],
        "through": through,
    }


def _from_net(net: str | None, core: str) -> str | None:
    """A name from the hierarchy of a net, such as ``dut.u_dense_0.n17_sum[3]``: ``dense_0 neuron 17``."""
    match = re.match(rf"{re.escape(core)}\.u_(\w+)\.(?:n(\d+)_\w+|s\d+\w*|x\d+\w*)", net or "")
    if not match:
        return None
    return f"{match[1]} neuron {match[2]}" if match[2] else f"{match[1]} shared sums"
