"""Ablation of what the paper leaves open: ``python benchmarks/ablation.py [--data kth_mesh ...] [--epochs 40]``.

Trains one 32-32 network per variant in paper mode (and the uniform 8-bit network it is compared with) and writes the
table to RESULTS.md. Every variant changes one thing of the documented start.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from results_file import table, write_section

from keras_models.data.loaders import load_dataset
from keras_models.data.preprocess import Preprocessing
from keras_models.methods.catalog import METHODS, ModelSpec
from keras_models.training.fit import FitConfig, fit, score_of

HIDDEN = (32, 32)
ROWS = 20000  # of a training part, enough to rank variants
PUBLISHED: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-3, "strength_rate": 1.0, "constant_rate": True}
CHOSEN: dict[str, Any] = {"optimizer": "adam", "learning_rate": 1e-2, "strength_rate": 0.5, "constant_rate": False,
                          "settle": 0.7}  # fmt: skip
SGD = {**PUBLISHED, "learning_rate": 1e-1, "constant_rate": False}
PER_MEAN_BIT = "loss_per_mean_bit"
# variant -> settings of the training, arguments of the layers
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SGD 1e-3 constant, as published": (PUBLISHED, {}),
    "SGD 1e-1 cosine": (SGD, {}),
    "SGD 1e-1 cosine, strengths x10": ({**SGD, "strength_rate": 10.0}, {}),
    "chosen: Adam 1e-2 cosine, strengths x0.5, settled at 0.7": (CHOSEN, {}),
    "not settled": ({**CHOSEN, "settle": None}, {}),
    "strengths x0.05": ({**CHOSEN, "strength_rate": 0.05}, {}),
    "strengths x0.2": ({**CHOSEN, "strength_rate": 0.2}, {}),
    "strengths x1": ({**CHOSEN, "strength_rate": 1.0}, {}),
    "bit penalty 0.003 per mean bit": ({**CHOSEN, PER_MEAN_BIT: 0.003}, {}),
    "bit penalty 0.03 per mean bit": ({**CHOSEN, PER_MEAN_BIT: 0.03}, {}),
    "bit penalty 0.3 per mean bit": ({**CHOSEN, PER_MEAN_BIT: 0.3}, {}),
    "temperatures x0.4": (CHOSEN, {"weight_temperature": 0.05, "activation_temperature": 0.067}),
    "temperatures x2": (CHOSEN, {"weight_temperature": 0.25, "activation_temperature": 0.33}),
    "thresholds 0.5 0.75 0.9": (CHOSEN, {"weight_thresholds": (0.5, 0.75, 0.9)}),
    "narrow clip range of weights": (CHOSEN, {"weight_range": -2.0}),
}


def trained(name: str, method_name: str, settings: dict[str, Any], layers: dict[str, Any], epochs: int,
            seed: int) -> tuple[float, float, float]:  # fmt: skip
    """Test score and mean bits of weights and activations of one variant's best model."""
    dataset = load_dataset(name)
    preprocessing = Preprocessing.fit(dataset)
    parts = {}
    for part in ("train", "val", "test"):
        X, y = (rows[:ROWS] for rows in dataset.part(part))
        parts[part] = (preprocessing.apply(X), preprocessing.apply_targets(y))
    keras.utils.set_random_seed(seed)
    X = parts["train"][0]
    spec = ModelSpec(X.shape[1], HIDDEN, dataset.outputs, "paper", 8, seed, X, dense={"cost": "bits", **layers})
    method = METHODS[method_name]
    model = method.build(spec)
    weights = sum(la.kernel.shape[0] * la.units for la in model.layers if hasattr(la, "kernel"))
    beta = settings.get(PER_MEAN_BIT, 0.0) / weights
    settings = {key: value for key, value in settings.items() if key != PER_MEAN_BIT}
    config = FitConfig(epochs=epochs, batch_size=128, seed=seed, beta=beta, beta_start=beta / 100, **settings)
    result = fit(model, method, parts, dataset.task, config)
    assert result.best is not None
    outputs = model.predict(parts["test"][0], batch_size=8192, verbose=0)
    bits = result.best.statistics
    return (score_of(dataset.task, outputs, parts["test"][1]), bits["mean_weight_bits"],
            bits["mean_activation_bits"] or float("nan"))  # fmt: skip


def main() -> int:
    """Run all variants and write the section."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", nargs="+", default=["kth_mesh", "rss_5g", "unsw_nb15"], metavar="NAME")
    p.add_argument("--epochs", type=int, default=60)
    p.add_argument("--seeds", type=int, default=3)
    options = p.parse_args()
    runs = {"uniform 8 bit, Adam": ("uniform", {k: v for k, v in CHOSEN.items() if k != "settle"}, {})}
    runs |= {name: ("nmp", settings, layers) for name, (settings, layers) in VARIANTS.items()}
    rows = []
    for name, (method, settings, layers) in runs.items():
        cells = [name]
        for data in options.data:
            found = [trained(data, method, settings, layers, options.epochs, s) for s in range(options.seeds)]
            (score, weights, activations), (spread, *_) = np.mean(found, axis=0), np.std(found, axis=0)
            cells += [f"{score:.4f} +- {spread:.4f}", f"{weights:.2f}", f"{activations:.2f}"]
            print(name, data, *cells[-3:], flush=True)
        rows.append(cells)
    header = ["variant", *(f"{d} {what}" for d in options.data for what in ("score", "weight bits", "activation bits"))]
    body = (f"Paper mode, 32-32, {options.epochs} epochs, {options.seeds} seeds (mean and standard deviation), at most "
            f"{ROWS:,} rows per part, batches of 128; score of the best validation epoch on the test part: mean "
            "squared error for kth and rss (less is better), accuracy for unsw. Rows after the chosen one change one "
            f"thing of it.\n\n{table(header, rows)}\n")  # fmt: skip
    write_section("Ablation of paper mode", shlex.join(["python", "benchmarks/ablation.py", *sys.argv[1:]]), body)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
