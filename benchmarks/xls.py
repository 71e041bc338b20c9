"""XLS against our own Verilog, from the same integer designs: ``python benchmarks/xls.py [NAME ...]``.

Trains the models that are not yet in ``benchmarks/work`` (or ``--work``), builds each design with both makers of
Verilog at several clock periods, checks every build in Icarus, and writes the figures to RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from end_to_end import RUNS, run
from results_file import table, write_section

ROUTES = ("own", "xls")
PERIODS_NS = (10.0, 7.0)
HEADER = ["set", "route", "clock asked, ns", "path after synthesis, ns (est.)", "LUT sites", "FF", "cycles",
          "latency, ns", "Verilog made in, s", "synthesis, s", "vectors", "mismatches"]  # fmt: skip
NOTE = """
Both routes start from the same `design.json` and end in the same Yosys run and the same cocotb bench. XLS schedules by
delays of a standard-cell library (the wheel has no FPGA's), scaled by one factor for all designs; the path after
synthesis is the netlist's own, estimated with 7-series delays, not routed. Latency in ns is cycles times that path.
Vectors are those of Icarus and, for XLS, of its DSLX run as software.
"""


def design_of(name: str, work: Path) -> Path:
    """The integer design of a trained model; training and extraction happen where they have not yet."""
    model, design = work / f"{name}.h5", work / f"{name}.design.json"
    if not design.is_file():
        if not model.is_file():
            run(["keras_models.train", "--data", name, *RUNS[name], "--out", str(model)])
        run(["flow.build", "--model", str(model), "--engines", "integer", "--out", str(work / name)])
        design.write_bytes((work / name / "design.json").read_bytes())
    return design


def build(design: Path, route: str, period_ns: float, work: Path) -> dict[str, Any]:
    """The report of one build."""
    out = work / f"{design.name.removesuffix('.design.json')}-{route}-{period_ns:g}ns"
    engines = "integer,icarus" + (",xls" if route == "xls" else "")
    run(["flow.build", "--model", str(design), "--rtl-engine", route, "--engines", engines, "--clock-period-ns",
         str(period_ns), "--vectors", "500", "--out", str(out)])  # fmt: skip
    return dict(json.loads((out / "report.json").read_text()))


def row(name: str, route: str, period_ns: float, report: dict[str, Any]) -> list[str]:
    """One line of the table."""
    synthesis, seconds, checks = report["synthesis"], report["seconds"], report["verification"]
    path = synthesis["critical_path"]["delay_ns"]
    hardware = [entry for engine, entry in checks.items() if engine != "integer"]
    return [
        name,
        "XLS" if route == "xls" else "own",
        f"{period_ns:g}",
        f"{path:.1f}",
        f"{synthesis['lut']:,}",
        f"{synthesis['ff']:,}",
        str(report["latency_cycles"]),
        f"{report['latency_cycles'] * path:.0f}",
        f"{report['xls']['compile_seconds'] if route == 'xls' else seconds['rtl']:.1f}",
        f"{seconds['synthesis']:.0f}",
        f"{sum(c['vectors'] for c in hardware):,}",
        str(sum(c["mismatches"] for c in hardware)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["kth_mesh", "digits"], metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.names:
        design = design_of(name, options.work)
        for route in ROUTES:
            rows += [row(name, route, p, build(design, route, p, options.work)) for p in PERIODS_NS]
    write_section("XLS against our own Verilog", "python benchmarks/xls.py", table(HEADER, rows) + "\n" + NOTE)


if __name__ == "__main__":
    main()
