"""Our Pareto front beside the peer's: ``python benchmarks/peer_front.py [NAME ...]``.

One training run per set keeps its whole front; every model of it is built, checked and synthesized. The peer's figures
(HGQ2 0.2.0 + alkaid 0.8.2, per-weight learned widths) are read from a file of earlier runs where it is at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from results_file import table, write_section

SETS = {
    "kth_mesh": ("split", "32-32", "400"),
    "unsw_nb15": ("split_dedup", "64-32", "200"),
}
PEER = Path(os.environ.get("NMP_PEER", Path(__file__).resolve().parents[2] / "shared" / "bench" / "hgq2_fronts.jsonl"))


NOTES = """

kth_mesh: MSE on standardised targets, less is better; unsw_nb15: accuracy. One training run per set and system, seed 3
here, no choice among seeds. Ours: pipelined to 10 ns, Yosys 0.70, every model checked against its Keras model on the
test part. The peer: combinational, Yosys 0.23, measured earlier on two cores.
"""


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with status {done.returncode}")


def our_points(name: str, work: Path) -> list[tuple[int, float]]:
    """(LUT, test score) of every model of one run's front, synthesized and checked."""
    split, hidden, epochs = SETS[name]
    model = work / f"{name}.h5"
    if not model.with_suffix(".front").is_dir():
        run("keras_models.train", "--data", name, "--split-key", split, "--hidden", hidden, "--epochs", epochs,
            "--front", "--seed", "3", "--out", str(model), "--quiet")  # fmt: skip
    points = []
    for file in sorted(model.with_suffix(".front").glob("*.h5")):
        out = work / f"{name}_{file.stem}"
        run("flow.build", "--model", str(file), "--data", name, "--split-key", split, "--engines", "integer",
            "--out", str(out))  # fmt: skip
        report = json.loads((out / "report.json").read_text())
        points.append((report["synthesis"]["lut"], report["score"]["value"]))
    return points


def peer_points(name: str) -> list[tuple[int, float]]:
    """(LUT, test score) of the peer's front, or nothing where its file is not at hand."""
    if not PEER.is_file():
        return []
    found = [json.loads(line) for line in PEER.read_text().splitlines() if line.strip()]
    return [
        (point["luts"], abs(point["test"]))
        for point in found
        if point.get("luts") and (point["dataset"], point["split"]) == (name, SETS[name][0])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SETS), metavar="NAME", help=f"from {', '.join(SETS)}")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "front")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.names:
        for system, points in (("this project", our_points(name, options.work)), ("HGQ2 + alkaid", peer_points(name))):
            texts = [f"{value:.4f} @ {lut:,}" for lut, value in sorted(points)]
            rows.append([name, SETS[name][0], system, "; ".join(texts) or "not at hand"])
    write_section(
        "Score against LUTs, beside HGQ2 + alkaid",
        "python benchmarks/peer_front.py",
        table(["set", "split", "system", "test score @ LUT"], rows) + NOTES,
    )


if __name__ == "__main__":
    main()
