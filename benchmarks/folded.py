"""The folded architecture: does a 4 x 512 MLP with learned widths fit a small part, and what does throughput cost?

``python -m benchmarks.folded`` writes the section "Folded architecture" of ``RESULTS.md`` and ``folded.png``. The
designs are random with the statistics of trained ones (weights of 1 to 4 bits, 1.3 on average; activations of 3 to 5).
``--synthesize`` runs Yosys on each point (minutes each) and a whole build with all engines on the 4 x 512 network (10
minutes), otherwise the solver's estimates are shown beside the figures that ``folded.json`` keeps from the last run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import table, write_section
from flow.core.check import check
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.prune import prune
from flow.core.passes.widths import widths
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.verilog import Rtl
from flow.files import plan
from flow.files.steps import digest_of
from flow.folded.lowering import lower
from flow.folded.search import interval_for, smallest
from flow.netlist.read import read_netlist
from flow.parts import catalog
from flow.tools import yosys

HERE = Path(__file__).parent
LEARNED = {1.0: 0.78, 1.58: 0.06, 2.0: 0.09, 3.0: 0.05, 4.0: 0.02}  # share of neurons by learned width
CLOCK_NS = 10.0
_SYNTHESIZED_LUT = 40_000  # points that the solver estimates larger are not synthesized
ENGINES = ("integer", "hls", "icarus", "verilator", "netlist")
COVERTYPE = (54, 512, 512, 512, 512, 7)
MNIST = (784, 256, 256, 10)
SMALL = (128, 128, 64, 10)


def trained_like(sizes: Sequence[int], name: str, uniform: int | None = None, seed: int = 0) -> Design:
    """A random design: learned widths, or one width for all weights and activations."""
    rng = np.random.default_rng(seed)
    inputs = tuple(
        Quantizer.saturating(Fixed(True, 8, 5) if uniform else Fixed(True, int(rng.choice([4, 6, 8])), 3))
        for _ in range(sizes[0])
    )
    layers = []
    for index, (fan_in, neurons) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        columns = tuple(_neuron(rng, fan_in, last, uniform) for _ in range(neurons))
        layers.append(Layer(f"dense_{index}", columns))
    design = Design(name, inputs, tuple(layers))
    for step in (prune, widths, group):
        design = check(step(design))
    return design


def _neuron(rng: np.random.Generator, fan_in: int, last: bool, uniform: int | None) -> Neuron:
    bits = float(uniform or rng.choice(list(LEARNED), p=list(LEARNED.values())))
    if bits < 2:
        weights = rng.choice([-1, 1] if bits == 1 else [-1, 0, 1], fan_in)
    else:
        limit = 1 << (int(bits) - 1)
        weights = np.clip(np.round(rng.normal(0, limit / 2.2, fan_in)), -limit, limit - 1).astype(int)
    output = None
    if not last:
        width = uniform or int(rng.choice([3, 4, 5]))
        frac = 4 if uniform else width - 1 - int(rng.integers(0, 2))
        output = Quantizer.saturating(Fixed(False, width, frac), "RND_CONV", relu=True)
    scale = int(np.ceil(np.log2(max(np.sqrt(fan_in) * float(np.abs(weights).std()), 1.0))))
    return Neuron(tuple(weights.tolist()), scale, bits, int(rng.integers(-60, 60)), 6, output)


def measure(
    design: Design, interval: int, known: dict[str, Any] | None, simulate_too: bool, synthesize: bool = True
) -> dict[str, Any]:
    """One design at one interval: solver and synthesis for xc7z020, in a build with all engines where asked for.

    ``known`` are earlier figures: kept if they are of the same Verilog, or marked ``stale`` if they are not and nothing
    is to be synthesized.
    """
    part, lowered = catalog.resolve("xc7z020"), lower(design)
    folding = smallest(lowered, part, interval)
    rtl = emit_folded(folding, CLOCK_NS)
    synthesize = synthesize and folding.cost.lut < _SYNTHESIZED_LUT
    key = digest_of(*rtl.files.values())
    if known and "lut" in known and (known.get("rtl") == key or not synthesize):
        same = known.get("rtl") == key
        return {**known, **({"estimate": asdict(folding.cost)} if same else {}), "stale": not same}
    point: dict[str, Any] = {
        "design": design.name,
        "rtl": key,
        "interval": folding.interval,
        "latency": rtl.latency_cycles,
        "results_per_second": 1e9 / CLOCK_NS / folding.interval,
        "memory_bits": folding.memory_bits,
        "learned_bits": folding.learned_bits,
        "estimate": asdict(folding.cost),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if synthesize and simulate_too:
            point.update(_built(design, interval, rtl, folder))
        elif synthesize:
            point.update(_synthesized(rtl, folder))
    return point


def _built(design: Design, interval: int, rtl: Rtl, folder: Path) -> dict[str, Any]:
    """Figures of ``flow.build`` with all engines, which must agree."""
    (folder / "design.json").write_text(to_json(design))
    command = ["flow.build", "--model", "design.json", "--part", "xc7z020", "--architecture", "folded",
               "--initiation-interval", str(interval), "--engines", ",".join(ENGINES)]  # fmt: skip
    subprocess.run([sys.executable, "-m", *command], cwd=folder, check=True)
    report = json.loads((folder / "build" / "report.json").read_text())
    if any((folder / "build" / "rtl" / name).read_text() != text for name, text in rtl.files.items()):
        raise SystemExit("the build made other Verilog than the solver's point")
    found = report["synthesis"]
    return {
        **{k: found[k] for k in ("lut", "ff", "bram18", "dsp", "carry4", "lut_as_memory", "lut_cells")},
        "path_ns": found["critical_path"]["delay_ns"],
        "seconds": report["seconds"]["synthesis"],
        "engines": report["verification"],
        "build": {"command": " ".join(["python", "-m", *command]), "seconds": report["seconds"]["total"],
                  "proof": report["proof"]},
    }  # fmt: skip


def _synthesized(rtl: Rtl, folder: Path) -> dict[str, Any]:
    start = time.monotonic()
    plan.mirror(dict(rtl.files), folder / "rtl")
    script = yosys.synthesis_script([f"../rtl/{name}" for name in rtl.files], rtl.top, "xc7", dsp=True)
    yosys.synthesize(plan.folder(folder / "synth"), script, 7200.0)
    found = read_netlist(folder / "synth" / "netlist.json", rtl.top)
    return {**asdict(found.resources), "path_ns": found.longest_path.delay_ns, "seconds": time.monotonic() - start}


def points(synthesize: bool, only: str | None) -> list[dict[str, Any]]:
    """All points of the benchmark; those measured before are kept in ``folded.json``."""
    store = HERE / "folded.json"
    known: list[dict[str, Any]] = json.loads(store.read_text()) if store.is_file() else []
    wanted = [("mlp_learned", COVERTYPE, None, interval_for(10_000, CLOCK_NS)),
              ("mlp_uniform8", COVERTYPE, 8, interval_for(10_000, CLOCK_NS))]  # fmt: skip
    wanted += [("mnist_learned", MNIST, None, interval) for interval in (20_000, 4_000, 1_000, 250, 100)]
    wanted += [("small_learned", SMALL, None, interval) for interval in (1_500, 500, 250)]
    for name, sizes, uniform, interval in wanted:
        earlier = next((p for p in known if (p["design"], p["asked"]) == (name, interval)), None)
        if only and name != only:
            continue
        design = trained_like(sizes, name, uniform)
        point = measure(design, interval, earlier, name == "mlp_learned", synthesize and uniform is None)
        known = [p for p in known if p is not earlier] + [{**point, "asked": interval}]
        store.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        print(known[-1], flush=True)
    return known


def _row(p: dict[str, Any]) -> list[str]:
    estimate = p["estimate"]
    return [
        p["design"] + (" †" if p.get("stale") else ""),
        str(p["interval"]),
        f"{p['results_per_second']:,.0f}",
        f"{p['lut']:,}" if "lut" in p else "",
        f"{estimate['lut']:,.0f}",
        f"{p['ff']:,}" if "ff" in p else "",
        str(p["bram18"]) if "lut" in p else f"({estimate['bram18']})",
        str(p["dsp"]) if "lut" in p else f"({estimate['dsp']})",
        f"{p['memory_bits'] / p['learned_bits']:.3f}",
        f"{p['seconds']:.0f}" if "seconds" in p else "",
    ]


def engine_table(p: dict[str, Any]) -> str:
    """What every engine of a build found."""
    rows = []
    for name, e in p["engines"].items():
        seen = str(e.get("interval_cycles_seen") or "")
        rows.append([name, f"{e['vectors']:,}", str(e["mismatches"]), f"{e['seconds']:.0f}", seen])
    proved = sum(state == "proved" for state in p["build"]["proof"].values())
    return (
        f"{p['design']} in every engine, by `{p['build']['command']}`, {p['build']['seconds']:.0f} s in all;"
        f" {proved} of {len(p['build']['proof'])} layers proved:\n\n"
        + table(["engine", "vectors", "mismatches", "seconds", "cycles per result seen"], rows)
    )


def plot(found: Sequence[dict[str, Any]]) -> None:
    """LUTs and block RAMs against results per second for the MNIST network."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = sorted((p for p in found if p["design"] == "mnist_learned"), key=lambda p: float(p["results_per_second"]))
    rate = [p["results_per_second"] for p in rows]
    figure, left = plt.subplots(figsize=(6.4, 4.0))
    left.loglog(rate, [p.get("lut", p["estimate"]["lut"]) for p in rows], "o-", color="tab:blue", label="LUT")
    left.set_xlabel("results per second at 100 MHz")
    left.set_ylabel("LUT", color="tab:blue")
    right = left.twinx()
    blocks = [p["bram18"] if "lut" in p else p["estimate"]["bram18"] for p in rows]
    right.plot(rate, blocks, "s--", color="tab:red")
    right.set_ylabel("18 Kb block RAMs", color="tab:red")
    left.set_title("784-256-256-10, learned widths, folded on xc7z020")
    figure.tight_layout()
    figure.savefig(HERE / "folded.png", dpi=120)


NOTES = """The 4 x 512 network at uniform 8 bits is not synthesized: its weights, 6.54 Mbit, are more than all block RAM
of the part holds (280 x 18,432 = 5.16 Mbit), and 6.0 times the 1.08 Mbit that the learned widths take.

What two choices are worth, on the small network (LUT cells, Yosys, all from one earlier version of the Verilog):

| results/s | weights addressed by the counter itself | by a register of their own | and inputs per cycle by group |
|---|---|---|---|
| 71,023 | 3,964 | 2,350 | 2,350 (no group gains) |
| 211,416 | 4,816 | 3,419 | 3,237 |
| 413,223 | 6,772 | 4,885 (4,008 FF) | 4,812 (3,723 FF) |

All groups of a layer share the words that it reads; a group that needs fewer products than one element per neuron gives
takes a part of each word per fold. Measured, that saves 0 to 5 % of the LUTs; the solver's estimate promises 1 to 6 %
for the larger networks."""


def main() -> None:
    """Measure what is missing, then write the section and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synthesize", action="store_true", help="run Yosys and Verilator on points without figures")
    parser.add_argument("--only", help="one design: mlp_learned, mlp_uniform8, mnist_learned or small_learned")
    options = parser.parse_args()
    found = sorted(points(options.synthesize, options.only), key=lambda p: (p["design"], -int(p["interval"])))
    header = ["design", "cycles per result", "results/s at 100 MHz", "LUT sites", "estimated", "FF", "BRAM18", "DSP",
              "memory bits / learned bits", "Yosys s"]  # fmt: skip
    body = table(header, [_row(p) for p in found])
    notes = "\n\n".join(engine_table(p) for p in found if p.get("engines"))
    text = f"""xc7z020 has 53,200 LUT, 106,400 FF, 280 BRAM18 and 220 DSP. Figures in parentheses are
the solver's estimates too, of points that were not synthesized.
Networks are 54-512-512-512-512-7 (mlp), 784-256-256-10 (mnist) and 128-128-64-10 (small), random with the statistics
of trained ones. LUTs are sites; rows with † were synthesized before the latest change of the emitted Verilog, when LUTs
meant cells; `--synthesize` measures them again, minutes each. Seconds are of a busy machine.

{body}

{notes}

{NOTES}

![LUT and block RAM against throughput](folded.png)"""
    plot(found)
    write_section("Folded architecture", "python -m benchmarks.folded --synthesize", text)


if __name__ == "__main__":
    main()
