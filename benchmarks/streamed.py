"""Convolutional networks that others published, streamed on xc7z020: sites, rate, and what the engines compared.

``python -m benchmarks.streamed NAME ...`` builds the named networks (all without names; minutes to an hour each) in
``--out`` and writes the section "Streamed networks" of ``RESULTS.md`` from all reports that lie there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results_file import table, write_section

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "RN07": ("mlperf_tiny_rn07.h5", ("--input-format", "u8.8", "--initiation-interval", "270000", "--vectors", "200")),
    "MNIST CNN": ("qkeras_mnist_cnn.h5", ("--input-format", "u8.8", "--initiation-interval", "20000")),
    "RN06": ("cnn_rn06.h5", ("--input-format", "u8.8", "--initiation-interval", "100000")),
}


def main() -> None:
    """Build what is named and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path("streamed_builds"))
    parser.add_argument("--engines", default="integer,native,verilator")
    asked = parser.parse_args()
    for name in asked.names or NETWORKS:
        file, options = NETWORKS[name]
        folder = asked.out / name.replace(" ", "_")
        command = [sys.executable, "-m", "flow.build", "--model", str(SHARED / file), "--out", str(folder)]
        command += ["--architecture", "streaming", "--engines", asked.engines, *options]
        subprocess.run(command, check=False)
    rows = [row for name in NETWORKS if (row := _row(name, asked.out / name.replace(" ", "_") / "report.json"))]
    header = [
        "network", "LUT sites", "FF", "BRAM18", "DSP", "cycles per image", "results/s at 100 MHz", "Fmax, estimate",
        "exact on",
    ]  # fmt: skip
    write_section("Streamed networks", "python -m benchmarks.streamed", table(header, rows))


def _row(name: str, path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    if report["status"] == "failed":
        return None
    found, image = report["synthesis"], report["initiation_interval"]
    wrong = {engine: e["mismatches"] for engine, e in report["verification"].items() if e["mismatches"]}
    engines = ", ".join(f"{engine} {e['vectors']:,}" for engine, e in report["verification"].items())
    return [
        name, f"{found['lut']:,}", f"{found['ff']:,}", str(found["bram18"]), str(found["dsp"]), f"{image:,}",
        f"{1e9 / report['clock_period_ns'] / image:,.0f}", f"{found['fmax_mhz']} MHz",
        f"mismatches: {wrong}" if wrong else engines,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
