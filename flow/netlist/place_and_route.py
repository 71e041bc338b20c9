"""Place and route of a synthesized design: the clock it really reaches, and what its slowest path runs through.

The netlist that was synthesized and simulated is the one that is routed, inside a wrapper of three pads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused
from flow.emit.templates import render
from flow.files.plan import write_file
from flow.netlist.read import netlist_module
from flow.netlist.truth_tables import own_carry_luts, split_double_luts
from flow.parts.catalog import Part
from flow.tools import nextpnr, yosys

WRAPPER, CLOCK, INSTANCE = "flow_route", "clk", "dut"
SEEDS = (1, 2, 3)
Namer = Callable[[str], str | None]  # a cell of the netlist -> "dense_0 neuron 17", None where nothing is known


@dataclass(frozen=True)
class Routed:
    """The better of the runs that were needed; ``path`` is the slowest register-to-register path."""

    fmax_mhz: float | None
    seed: int
    used: dict[str, int]  # cells by nextpnr's names, wrapper included; SLICE_LUTX are halves of LUT sites
    lut_sites: dict[str, int]  # 6-input LUT sites that hold logic of the design, only constants, only the wrapper
    path: dict[str, Any]
    attempts: list[dict[str, Any]]


def wrapper(netlist: Mapping[str, Any], top: str) -> str:
    """Verilog that drives every input of ``top`` from a shift register and folds its outputs into one pin."""
    ports, inputs, outputs = [], 0, 0
    for name, port in netlist["modules"][top]["ports"].items():
        bits = len(port["bits"])
        if name == CLOCK:
            ports.append({"name": name, "wire": "clk"})
        elif port["direction"] == "input":
            ports.append({"name": name, "wire": f"stimulus[{inputs + bits}:{inputs + 1}]"})
            inputs += bits
        else:
            ports.append({"name": name, "wire": f"result_0[{outputs + bits - 1}:{outputs}]"})
            outputs += bits
    folds = [-(-outputs // 6)]
    while folds[-1] > 1:
        folds.append(-(-folds[-1] // 6))
    return render("route_wrapper.v.j2", top=top, ports=ports, inputs=inputs, outputs=outputs, folds=folds)


def route(
    folder: Path, netlist: Path, top: str, part: Part, clock_period_ns: float, timeout_s: float, name: Namer,
    seeds: Sequence[int] = SEEDS, keep: bool = False,
) -> Routed:  # fmt: skip
    """Route ``netlist`` (Yosys JSON) in ``folder``, with further seeds while the period asked for is missed.

    With ``keep`` it leaves where everything lies in the better run, and its features, which are large files.
    Raises ToolNotFound, ToolFailed, and ReportError where the report is not nextpnr's.
    """
    prepare(folder, netlist, top, timeout_s)
    best: tuple[float, int, dict[str, Any]] | None = None
    attempts: list[dict[str, Any]] = []
    for seed in seeds:
        done = nextpnr.place_and_route(folder, part, clock_period_ns, seed, timeout_s)
        report = read_report(folder / f"nextpnr.{seed}.json")
        placed = placed_sites(folder / nextpnr.placed(seed))
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
    return Routed(best[0] or None, best[1], used, sites, critical_path(best[2], name), attempts)


def prepare(folder: Path, netlist: Path, top: str, timeout_s: float) -> None:
    """Write ``routed.json``, what nextpnr reads: ``netlist`` (Yosys JSON) inside the wrapper.

    Raises ToolNotFound, ToolFailed, and ReportError where the netlist is none.
    """
    nextpnr.locate()
    with netlist_module(netlist, top) as module:
        # the cell library comes from Yosys itself: its modules in the file have lost their parameters
        design = {"modules": {top: module}}
        split_double_luts(module["cells"])
        own_carry_luts(module["cells"])
        text = wrapper(design, top)
    write_file(folder / f"{WRAPPER}.v", text)
    write_file(folder / "netlist.json", json.dumps(design))
    yosys.run_script(folder, _LINK, "link", timeout_s)


_LINK = f"""\
read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v
read_json netlist.json
read_verilog {WRAPPER}.v
hierarchy -check -top {WRAPPER}
flatten
clean
select {WRAPPER}
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


def placed_sites(path: Path) -> dict[str, int]:
    """6-input LUT sites of a placed design: those that hold logic of it, constants only, or the wrapper only.

    A site is one of the four LUTs of a slice, with both its outputs. Raises ReportError where the file is none of
    nextpnr's.
    """
    with refused(ReportError, f"{path}: not a design placed by nextpnr", "route again"):
        (module,) = read_json(path, MAX_OWN_JSON)["modules"].values()
        sites: dict[str, set[str]] = {}
        for name, cell in module["cells"].items():
            match = re.fullmatch(r"(.*)[56]LUT", cell["attributes"].get("NEXTPNR_BEL", ""))
            if match:
                kind = "constants" if name.startswith("$PACKER") else "design" if _in_design(name) else "wrapper"
                sites.setdefault(match[1], set()).add(kind)
    kinds = [next(k for k in ("design", "wrapper", "constants") if k in found) for found in sites.values()]
    return {kind: kinds.count(kind) for kind in ("design", "wrapper", "constants")}


def _in_design(cell: str) -> bool:
    return cell.removeprefix("$flatten\\").startswith(f"{INSTANCE}.")


def fmax_mhz(report: Mapping[str, Any]) -> float | None:
    """The lowest frequency of the report's clocks; None where no path runs between registers."""
    achieved = [float(clock["achieved"]) for clock in report["fmax"].values()]
    return round(min(achieved), 2) if achieved else None


def critical_path(report: Mapping[str, Any], name: Namer) -> dict[str, Any]:
    """The slowest path within a clock: total, logic and routing ns, levels, and the parts of the design it crosses."""
    inside = [p for p in report["critical_paths"] if p["from"] == p["to"] and p["path"]]
    if not inside:
        return {"delay_ns": 0.0, "levels": 0, "endpoint": "no register is fed by logic", "through": []}
    steps = max(inside, key=lambda p: sum(s["delay"] for s in p["path"]))["path"]
    routing = sum(s["delay"] for s in steps if s["type"] == "routing")
    total = sum(s["delay"] for s in steps)
    through: list[dict[str, Any]] = []
    for step in steps:
        where = name(netlist_cell(step["to"]["cell"])) or _from_net(step.get("net"))
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


def netlist_cell(cell: str) -> str:
    """The name a cell has in the synthesized netlist: linking and nextpnr add to it at both ends."""
    cell = re.sub(r"(\$split\$.*|\$PACKED_CARRY4\$|\$LUT\d+|\$legal\d+)$", "", cell)
    return (
        re.sub(r"(\$O[56])?(\$copy\d+)?$", "", cell).removeprefix(f"$flatten\\{INSTANCE}.").removeprefix(f"{INSTANCE}.")
    )


def _from_net(net: str | None) -> str | None:
    """A name from the hierarchy of a net, such as ``dut.u_dense_0.n17_sum[3]``: ``dense_0 neuron 17``."""
    match = re.match(rf"{INSTANCE}\.u_(\w+)\.(?:n(\d+)_\w+|s\d+\w*|x\d+\w*)", net or "")
    if not match:
        return None
    return f"{match[1]} neuron {match[2]}" if match[2] else f"{match[1]} shared sums"
