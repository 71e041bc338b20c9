"""Networks of convolutions: an epoch against plain QKeras', and accuracy against size on MNIST.

    python -m benchmarks.convolutions speed [--rounds 7] [--steps 8] [--systems "QKeras, alpha 1" "NMP hardware"]
    python -m benchmarks.convolutions front FOLDER [--epochs 12] [--runs NMP "uniform 4"] [--train-only]

``speed`` trains the same network on the same rows in the same compiled loop; the systems take turns, epoch by epoch.
``front`` trains by ``python -m keras_models.train`` into FOLDER, a model after the other, builds each as a stream on
xc7z020 at the same rate (what is there is kept), and draws scores against LUT sites and bits of weights.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import RESULTS, table, write_section

LAYERS = "conv:8x5,pool:2,conv:16x5,pool:2,dense:32"
FRONT_LAYERS = "conv:8x5,pool:2,conv:16x5,pool:2,dense:64"
CYCLES = 20_000  # per image, of the hardware: 5,000 images/s at 100 MHz
SYSTEMS = ("QKeras, alpha 1", "QKeras, alpha auto_po2", "NMP paper", "NMP hardware")
BATCH, BETA = 128, 1e-6
COMMON = ("--data", "mnist", "--model", "cnn", "--layers", FRONT_LAYERS, "--batch-size", "128",
          "--learning-rate", "4e-3", "--quiet")  # fmt: skip
RUNS: dict[str, tuple[str, ...]] = {
    "uniform 2": ("--method", "uniform", "--bits", "2"), "uniform 4": ("--method", "uniform", "--bits", "4"),
    "uniform 8": ("--method", "uniform", "--bits", "8"), "NMP": ("--beta", "1e-6", "--strength-rate", "0.05"),
    "NMP, beta 1e-5": ("--beta", "1e-5", "--strength-rate", "0.05"),
}  # fmt: skip
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
PICTURE = RESULTS.with_name("convolutions.png")


def plain(alpha: object) -> Any:
    """The network in QKeras layers with 8 bits throughout."""
    import keras
    import qkeras

    def own() -> dict[str, Any]:
        return {"kernel_quantizer": qkeras.quantized_bits(8, 0, 1, alpha=alpha),
                "bias_quantizer": qkeras.quantized_bits(16, 7, 1, alpha=1)}  # fmt: skip

    def relu() -> Any:
        return qkeras.QActivation(qkeras.quantized_relu(8, 2))

    pool, flatten = keras.layers.MaxPooling2D, keras.layers.Flatten
    return keras.Sequential([
        keras.layers.Input((784,)), keras.layers.Reshape((28, 28, 1)),
        qkeras.QActivation(qkeras.quantized_bits(9, 0, 1, alpha=1)),
        qkeras.QConv2D(8, 5, **own()), relu(), pool(2), qkeras.QConv2D(16, 5, **own()), relu(), pool(2),
        flatten(), qkeras.QDense(32, **own()), relu(), qkeras.QDense(10, **own()),
    ])  # fmt: skip


def _learned(X: np.ndarray, mode: str) -> Any:
    from keras_models.methods import cnn
    from keras_models.methods.cnn_layers import parts_of

    spec = cnn.CnnSpec(784, (), 10, mode, calibration=X, image=(28, 28, 1), parts=parts_of(LAYERS))
    return cnn.METHODS["nmp"].build(spec)


def speed(rounds: int, steps: int, systems: list[str], command: str) -> None:
    """Measure, write the section and print it; the first of the systems is what the others are held against."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    from keras_models.loop.compiled import make_loop
    from keras_models.loop.steps import OptimizerConfig

    random = np.random.default_rng(0)
    X = random.uniform(0, 1, (steps * BATCH, 784)).astype(np.float32)
    y = random.integers(0, 10, len(X)).astype(np.int32)
    makers = dict(zip(SYSTEMS, (lambda: plain(1), lambda: plain("auto_po2"), lambda: _learned(X, "paper"),
                                lambda: _learned(X, "hardware")), strict=True))  # fmt: skip
    loops = [make_loop(makers[s](), X, y, "classification", OptimizerConfig(), BATCH, 0) for s in systems]
    seconds = []
    for _ in range(rounds + 1):
        row = []
        for loop, system in zip(loops, systems, strict=True):
            start = time.perf_counter()
            loop.epoch(1e-3, BETA if system == "NMP hardware" else 0.0)
            row.append(time.perf_counter() - start)
        seconds.append(row)
    times = np.array(seconds[1:])  # the first compiles
    quickest, paired = times.min(axis=0), np.median(times / times[:, :1], axis=0)
    rows = [[system, f"{1000 * own / steps:.1f} ms", f"{own / quickest[0]:.2f}", f"{ratio:.2f}"]
            for system, own, ratio in zip(systems, quickest, paired, strict=True)]  # fmt: skip
    text = table(["system", "step, quickest", f"quickest epochs, times {systems[0]}", "median of paired epochs"], rows)
    notes = f"""
LeNet-like network `{LAYERS}` on 28 x 28 pixels, batches of {BATCH}, {steps} a
round, {rounds} rounds, Adam, in the compiled loop on {keras.backend.backend()}. All systems take turns in every round;
compilation is not included. Of hardware mode the cost is part of the loss. Load averages of the machine while it was
measured: {", ".join(f"{v:.1f}" for v in os.getloadavg())}; where they are above its cores, read the ratios alone."""
    write_section("Training speed of convolutions", command, text + "\n" + notes)
    print(text)


def front(folder: Path, epochs: int, runs: list[str], train_only: bool, command: str) -> None:
    """Train and build what is missing, write the section and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in runs:
        out = _model(folder, name)
        if not out.with_suffix(".train.json").exists():
            words = [sys.executable, "-m", "keras_models.train", *COMMON, *RUNS[name], "--epochs", str(epochs),
                     "--resume", "--out", str(out)]  # fmt: skip
            subprocess.run(words, check=True, env=QUIET)
    if train_only:
        return
    for name in runs:
        out = _model(folder, name)
        if not (out.with_suffix("") / "report.json").exists():
            words = [sys.executable, "-m", "flow.build", "--model", str(out), "--data", "mnist", "--part", "xc7z020",
                     "--architecture", "streaming", "--initiation-interval", str(CYCLES), "--vectors", "10",
                     "--engines", "integer,verilator", "--out", str(out.with_suffix(""))]  # fmt: skip
            subprocess.run(words, check=True, env=QUIET)
    points = [_point(folder, name) for name in runs]
    rows = [[p["name"], f"{100 * p['test']:.2f} %", f"{p['bits']:.2f}", f"{p['activations']:.2f}",
             f"{p['bytes'] / 1024:.1f}", f"{p['luts']:,}", f"{p['bram']}", f"{p['cycles']:,}",
             p["checked"], f"{p['parallel']:,.0f}"]
            for p in points]  # fmt: skip
    header = ["model", "test accuracy of the hardware", "weight bits", "activation bits", "KiB stored", "LUT sites",
              "BRAM18", "cycles per image", "vectors, mismatches", "LUT sites, estimated, all in parallel"]  # fmt: skip
    text = table(header, rows)
    missing = ", ".join(name for name in RUNS if name not in runs)
    told = f"{epochs} epochs.{f' Not trained for this table: {missing}.' if missing else ''}"
    write_section("MNIST with convolutions", command, f"{text}\n{NOTES}\n{told}\n{_histories(folder, runs)}")
    _draw(points)
    print(text)


NOTES = f"""
`{FRONT_LAYERS}` trained by `python -m keras_models.train` on the shared MNIST (50,001
training, 9,999 validation and 10,000 test images) and built by `python -m flow.build` as a stream on xc7z020, an image
in at most {CYCLES:,} cycles. The uniform models are QKeras' with power-of-two scales per filter and at least 4 bits of
activations. LUT sites are expected ones after Yosys, not placed; the last column is training's estimate for filters and
neurons that each have an adder graph of their own, one of each filter, without line buffers and pools. Accuracy is
that of the integers that the hardware computes, on all test images; vectors are those of Keras and of Verilator. Stored
are weights at their widths, biases of 16 bits and two bytes for each format.

![front](convolutions.png)
"""


def _model(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '_').replace(',', '')}.h5"


def _histories(folder: Path, runs: list[str]) -> str:
    """What each run's epochs were, in words."""
    lines = []
    for name in runs:
        with _model(folder, name).with_suffix(".history.csv").open() as file:
            rows = list(csv.DictReader(file))
        told = [f"{100 * float(r['val']):.2f} % at {float(r['mean_weight_bits']):.2f} bits" for r in rows]
        lines.append(f"Validation of {name}, epoch by epoch: {', '.join(told)}.")
    return "\n".join(lines)


def _point(folder: Path, name: str) -> dict[str, Any]:
    """A run's model and its hardware."""
    out = _model(folder, name)
    trained = json.loads(out.with_suffix(".train.json").read_text())
    built = json.loads((out.with_suffix("") / "report.json").read_text())
    checks = built["verification"]
    checked = ", ".join(f"{engine} {c['vectors']:,}: {c['mismatches']}" for engine, c in checks.items())
    return {"name": name, "test": built["score"]["value"], "bits": trained["mean_weight_bits"],
            "activations": trained["mean_activation_bits"], "bytes": trained["model_bytes"],
            "luts": built["synthesis"]["lut"], "bram": built["synthesis"]["bram18"],
            "cycles": built["initiation_interval"], "checked": checked,
            "parallel": trained["estimated_luts"]}  # fmt: skip


def _draw(points: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, key, label in zip(axes, ("luts", "bytes"), ("LUT sites", "bytes stored"), strict=True):
        for name in dict.fromkeys(p["name"] for p in points):
            own = [p for p in points if p["name"] == name]
            axis.plot([p[key] for p in own], [100 * (1 - p["test"]) for p in own], "o", label=name)
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("test error, %")
    axes[0].legend()
    figure.savefig(PICTURE, dpi=90)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    timed = commands.add_parser("speed")
    timed.add_argument("--rounds", type=int, default=7)
    timed.add_argument("--steps", type=int, default=8)
    timed.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS, metavar="NAME")
    run = commands.add_parser("front")
    run.add_argument("folder", type=Path)
    run.add_argument("--epochs", type=int, default=12)
    run.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS, metavar="NAME")
    run.add_argument("--train-only", action="store_true", help="train what is missing, and end")
    options = parser.parse_args()
    words = ["FOLDER" if word == str(getattr(options, "folder", "")) else word for word in sys.argv[1:]]
    command = f"python -m benchmarks.convolutions {shlex.join(words)}"
    if options.command == "speed":
        speed(options.rounds, options.steps, options.systems, command)
    else:
        front(options.folder, options.epochs, options.runs, options.train_only, command)


if __name__ == "__main__":
    main()
