"""From models to bitstreams and back: ``python -m benchmarks.bitstream digits.h5 kth_mesh.h5 --folded kth_mesh.h5``.

Builds each model for xc7z020 with ``--bitstream`` (nextpnr and Project X-Ray's database, by
scripts/install_nextpnr.sh), those after ``--folded`` as folded hardware, with ``--products`` a folded design of random
weights whose products lie in DSP slices, and writes to RESULTS.md what was made, what
reading it back has compared, and how long that took. Work goes to ``benchmarks/work/bitstream``; a second run reuses
the builds that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import table, write_section
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.fixed import Fixed, Quantizer

WORK = Path(__file__).with_name("work") / "bitstream"
FOLDED = ("--architecture", "folded")
_HEAD = [
    "design", "LUT sites / FF placed", "features", "bits", "LUT contents corrected",
    "LUTs / FF / carry chains / memories / DSP / pins compared", "differences", "vectors", "cycles simulated",
    "mismatches", "MHz post-route", "place and route s", "files s", "read back s",
]  # fmt: skip
NOTE = """Compared is the netlist that the bits alone give, by Project X-Ray's database, with the synthesized one,
wrapper included. Cycles are vectors times the cycles between two of them. LUT contents that nextpnr writes wrong are
counted before they are corrected. Reading back includes building and running the Verilator model. Nothing has been on a
board; digits is the model of `./run.sh demo`, kth_mesh that of `benchmarks/end_to_end.py`.
The products are of random weights of 6 and 8 bits (48-24-8), in DSP slices."""


def products() -> Path:
    """A design of random weights of 6 and 8 bits, 48-24-8, which folded hardware multiplies."""
    source = np.random.default_rng(5)
    layers = []
    for index, (fan_in, count) in enumerate(((48, 24), (24, 8))):
        neurons = []
        for j in range(count):
            bits = 8 if j % 3 else 6
            output = Quantizer.saturating(Fixed(False, 8, 4), "RND_CONV", relu=True) if index == 0 else None
            weights = tuple(int(w) for w in source.integers(-(1 << bits - 1), 1 << bits - 1, fan_in))
            neurons.append(Neuron(weights, bits - 1, float(bits), int(source.integers(-20, 20)), 4, output))
        layers.append(Layer(f"dense_{index}", tuple(neurons)))
    inputs = (Quantizer.saturating(Fixed(True, 8, 4)),) * 48
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / "products.json"
    path.write_text(to_json(finish(Design("folded_products", inputs, tuple(layers)))))
    return path


def build(name: str, model: Path, options: Sequence[str]) -> dict[str, Any]:
    """The report of a build to the bitstream. Raises SystemExit where it does not end well."""
    out = WORK / name.replace(", ", "_")
    command = ["flow.build", "--model", str(model), "--engines", "integer", "--bitstream", "--out", str(out), *options]
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
        " / ".join(
            f"{compared[kind]:,}" for kind in ("luts", "flip_flops", "carries", "memories", "dsp_slices", "pins")
        ),
        str(found["differences"]), f"{entry['vectors']:,}",
        f"{entry['vectors'] * report['initiation_interval']:,}", str(entry["mismatches"]),
        f"{synthesis['fmax_mhz']:.0f}",
        f"{seconds:.0f}", f"{found['seconds']['bitstream files']:.0f}", f"{entry['seconds']:.0f}",
    ]  # fmt: skip


def main() -> None:
    """Build every model and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--folded", nargs="*", default=[], type=Path, help="models to build as folded hardware")
    parser.add_argument("--products", action="store_true", help="a folded design with DSP slices as well")
    asked = parser.parse_args()
    runs: list[tuple[str, Path, list[str]]] = [(model.stem, model, []) for model in asked.models]
    runs += [(f"{model.stem}, folded", model, list(FOLDED)) for model in asked.folded]
    if asked.products:
        runs.append(("products, folded", products(), [*FOLDED, "--dsp", "6", "--initiation-interval", "400"]))
    rows = [row(name, build(name, model, options)) for name, model, options in runs]
    command = f"python -m benchmarks.bitstream {' '.join(model.name for model in asked.models)}"
    if asked.folded:
        command += f" --folded {' '.join(model.name for model in asked.folded)}"
    command += " --products" if asked.products else ""
    write_section("Bitstreams made and read back on xc7z020", command, f"{table(_HEAD, rows)}\n\n{NOTE}")


if __name__ == "__main__":
    main()
