"""From models to bitstreams and back: ``python -m benchmarks.bitstream demo/digits.h5 kth_mesh.h5``.

Builds each model for xc7z020 with ``--bitstream`` (nextpnr and Project X-Ray's database, by
scripts/install_nextpnr.sh), and writes to RESULTS.md what was made, what reading it back has compared, and how long
that took. Work goes to ``benchmarks/work/bitstream``; a second run reuses the builds that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results_file import table, write_section

WORK = Path(__file__).with_name("work") / "bitstream"
_HEAD = [
    "design", "LUT sites / FF placed", "features", "bits", "LUT contents corrected",
    "LUTs / FF / carry chains / pins compared", "differences", "vectors (a cycle each)", "mismatches", "MHz post-route",
    "place and route s", "files s", "read back s",
]  # fmt: skip
NOTE = """Compared is the netlist that the bits alone give, by Project X-Ray's database, with the synthesized one,
wrapper included. LUT contents that nextpnr writes wrong are counted before they are corrected. Reading back includes
building and running the Verilator model. Nothing has been on a board."""


def build(model: Path) -> dict[str, Any]:
    """The report of a build to the bitstream. Raises SystemExit where it does not end well."""
    out = WORK / model.stem
    command = ["flow.build", "--model", str(model), "--engines", "integer", "--bitstream", "--out", str(out)]
    done = subprocess.run([sys.executable, "-m", *command], check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}")
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def row(name: str, report: dict[str, Any]) -> list[str]:
    """A build's row."""
    found, entry, synthesis = report["bitstream"], report["verification"]["bitstream"], report["synthesis"]
    compared, route = found["compared"], synthesis["route"]
    flip_flops = route["used"].get("SLICE_FFX", 0)
    seconds = sum(attempt["seconds"] for attempt in route["attempts"])
    return [
        name, f"{sum(route['lut_sites'].values()):,} / {flip_flops:,}", f"{found['features']:,}", f"{found['bits']:,}",
        str(len(found["lut_contents_corrected"])),
        " / ".join(f"{compared[kind]:,}" for kind in ("luts", "flip_flops", "carries", "pins")),
        str(found["differences"]), f"{entry['vectors']:,}", str(entry["mismatches"]), f"{synthesis['fmax_mhz']:.0f}",
        f"{seconds:.0f}", f"{found['seconds']['bitstream files']:.0f}", f"{entry['seconds']:.0f}",
    ]  # fmt: skip


def main() -> None:
    """Build every model and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    models = parser.parse_args().models
    rows = [row(model.stem, build(model)) for model in models]
    command = f"python -m benchmarks.bitstream {' '.join(model.name for model in models)}"
    write_section("Bitstreams made and read back on xc7z020", command, f"{table(_HEAD, rows)}\n\n{NOTE}")


if __name__ == "__main__":
    main()
