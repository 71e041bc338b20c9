"""Seconds per epoch against plain QKeras QAT at 8 bits: ``python -m benchmarks.training_speed [--rounds 7]``.

The same network, rows and batches on the same backend; the systems take turns, epoch by epoch, so that a busy machine
slows all of them alike. Ratios are of the quickest epochs. All are timed twice: in the compiled loop that
``keras_models.train`` uses, and in Keras' ``fit``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.results_file import table, write_section

NETWORKS = {"16 - 64-32 - 5": (16, (64, 32), 5, 128), "64 - 128-128 - 10": (64, (128, 128), 10, 128),
            "40 - 512-512-512-512 - 10": (40, (512,) * 4, 10, 512)}  # fmt: skip
STEPS = 40
BETA = 1e-6
FIT_EPOCHS = 3  # of one call, which has a cost of its own
SYSTEMS = ("QKeras, alpha 1", "QKeras, alpha auto_po2", "NMP paper", "NMP hardware")
IN_FIT = ("QKeras, alpha 1, in fit", "NMP paper, in fit", "NMP hardware, in fit")
NOTES = """
Seconds per epoch (the quickest of all rounds; compilation is not included) of Adam with 40 batches, as multiples of
QKeras with `quantized_bits(8, 0, alpha=1)` throughout. First table: all in the compiled loop of `keras_models.train`;
`auto_po2` is QKeras with a power-of-two scale per neuron, which is what NMP layers learn. Second table: all in Keras'
`fit`, and in the last column what a user of plain QKeras waits for against a user of `keras_models.train`. The cost of
hardware mode is part of its loss.

As measured, the trainer of NMP layers takes 1.1 to 1.4 times as long as QKeras in the same compiled loop, and 0.07 to
1.1 times as long as QKeras in Keras' `fit`. NMP layers inside `fit` take 1.1 to 1.5 times as long as QKeras there on
TensorFlow and 1.2 to 1.7 times on JAX. The smallest network's epoch of 2 ms moves most from run to
run: hardware mode in the compiled loop between 1.2 and 1.4 on JAX and between 1.2 and 1.6 on TensorFlow.
"""


def plain(inputs: int, hidden: tuple[int, ...], outputs: int, alpha: object) -> object:
    """The MLP in QKeras layers with 8 bits throughout."""
    import keras
    import qkeras

    layers: list[object] = [keras.layers.Input((inputs,)), qkeras.QActivation(qkeras.quantized_bits(8, 3, 1, alpha=1))]
    for number, units in enumerate([*hidden, outputs]):
        layers.append(qkeras.QDense(
            units, kernel_quantizer=qkeras.quantized_bits(8, 0, 1, alpha=alpha),
            bias_quantizer=qkeras.quantized_bits(16, 7, 1, alpha=1),
        ))  # fmt: skip
        if number < len(hidden):
            layers.append(qkeras.QActivation(qkeras.quantized_relu(8, 2)))
    return keras.Sequential(layers)


def seconds(name: str, rounds: int) -> list[list[float]]:
    """Seconds per epoch, a row per round and a column per system, in this process' backend."""
    import keras

    from keras_models.layers.cost import set_beta
    from keras_models.loop.compiled import make_loop
    from keras_models.loop.steps import OptimizerConfig
    from keras_models.methods.models import build_mlp

    inputs, hidden, outputs, batch = NETWORKS[name]
    random = np.random.default_rng(0)
    X = random.normal(size=(STEPS * batch, inputs)).astype(np.float32)
    y = random.integers(0, outputs, len(X)).astype(np.int32)
    models = [plain(inputs, hidden, outputs, 1), plain(inputs, hidden, outputs, "auto_po2"),
              *(build_mlp(inputs, hidden, outputs, mode) for mode in ("paper", "hardware"))]  # fmt: skip
    loops = [make_loop(m, X, y, "classification", OptimizerConfig(), batch, 0) for m in models]
    betas = [0.0 if system.endswith("paper") else BETA for system in SYSTEMS]
    for loop, beta in zip(loops, betas, strict=True):
        loop.epoch(1e-3, beta)
    fitted = [plain(inputs, hidden, outputs, 1),
              *(build_mlp(inputs, hidden, outputs, mode) for mode in ("paper", "hardware"))]  # fmt: skip
    set_beta(fitted[-1], BETA)
    for model in fitted:
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(X, y, batch_size=batch, verbose=0)
    found = []
    for _ in range(rounds):
        row = []
        for loop, beta in zip(loops, betas, strict=True):
            start = time.perf_counter()
            loop.epoch(1e-3, beta)
            row.append(time.perf_counter() - start)
        for model in fitted:
            start = time.perf_counter()
            model.fit(X, y, batch_size=batch, epochs=FIT_EPOCHS, verbose=0)
            row.append((time.perf_counter() - start) / FIT_EPOCHS)
        found.append(row)
    return found


def main() -> None:
    """Measure both backends and write the section; ``--one`` measures in this process and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backends", nargs="*", default=["jax", "tensorflow"], choices=["jax", "tensorflow"])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(seconds(options.one, options.rounds)))
        return
    loops, fits = [], []
    for backend in options.backends:
        for name in options.networks:
            command = [
                sys.executable,
                "-m",
                "benchmarks.training_speed",
                "--one",
                name,
                "--rounds",
                str(options.rounds),
            ]
            environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            best = np.array(json.loads(done.stdout.splitlines()[-1])).min(axis=0)
            for table_rows, times in ((loops, best[: len(SYSTEMS)]), (fits, [*best[len(SYSTEMS) :], best[3]])):
                ratios = [f"{t / times[0]:.2f}" for t in times[1:]]
                table_rows.append([backend, name, f"{1000 * times[0]:.3g} ms", *ratios])
                print(*table_rows[-1], sep=" | ", flush=True)
    header = ["backend", "network", f"epoch of {SYSTEMS[0]}, quickest", *SYSTEMS[1:]]
    header_fit = ["backend", "network", f"epoch of {IN_FIT[0]}, quickest", *IN_FIT[1:], "NMP hardware, compiled loop"]
    text = table(header, loops) + "\n\n" + table(header_fit, fits) + "\n" + NOTES
    write_section("Training speed", "python -m benchmarks.training_speed", text)


if __name__ == "__main__":
    main()
