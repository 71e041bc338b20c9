"""HGQ2's front on prepared data, as alkaid's Verilog. It runs in an environment of its own and imports nothing of ours:

    python -m venv peer
    peer/bin/pip install HGQ2==0.2.0 alkaid==0.8.2 jax jaxlib keras
    peer/bin/python benchmarks/peer.py DATA.npz --hidden 32-32 --epochs 400 --out FOLDER

One training run with widths per weight under a rising beta; models that no other one of the run beats in validation
score and EBOPs are kept, and ``--points`` of them, evenly spread over the logarithm of EBOPs, become Verilog, with and
without ternary fusion: ``FOLDER/0/plain``, ``FOLDER/0/fused``, ... Scores of the test part go to ``points.json``.
DATA.npz holds ``X`` (model inputs), ``y`` (labels, or standardised targets of one or more columns) and ``split``
(0 train, 1 validation, 2 test), as `benchmarks.peer_front` writes it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np
from alkaid.codegen.rtl import RTLModel
from alkaid.converter import trace_model
from alkaid.trace import trace
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, PieceWiseSchedule

FIRST, LAST, RATE = 1e-6, 1e-3, 5e-3  # beta at the beginning and the end, and the learning rate
_EVERY, _BATCH = 4, 16384


class Front(keras.callbacks.Callback):
    """Keeps the weights of every model of a run that no other one beats in validation score and EBOPs."""

    def __init__(self, inputs, targets, score, first_epoch):
        super().__init__()
        self.inputs, self.targets, self.score, self.first_epoch = inputs, targets, score, first_epoch
        self.kept = []  # (loss, EBOPs, weights)

    def on_epoch_end(self, epoch, logs=None):
        """Look at the model every few epochs, once its widths have begun to move."""
        if epoch < self.first_epoch or epoch % _EVERY:
            return
        trace_minmax(self.model, self.inputs, batch_size=_BATCH, verbose=0)
        loss = self.score(self.model, *self.targets)
        bits = sum(float(layer.ebops) for layer in self.model.layers if hasattr(layer, "ebops"))
        if not any(other <= loss and cost <= bits for other, cost, _ in self.kept):
            self.kept = [kept for kept in self.kept if not (loss <= kept[0] and bits <= kept[1])]
            self.kept.append((loss, bits, self.model.get_weights()))

    def spread(self, count):
        """So many of them, evenly over the logarithm of EBOPs."""
        front = sorted(self.kept, key=lambda kept: kept[1])
        costs = np.log([cost + 1 for _, cost, _ in front])
        places = {int(np.argmin(abs(costs - wanted))) for wanted in np.linspace(costs[0], costs[-1], count)}
        return [front[place] for place in sorted(places)]


def loss_of(model, inputs, targets):
    """Share of wrong labels, or the mean squared error of targets."""
    found = model.predict(inputs, batch_size=_BATCH, verbose=0)
    if targets.dtype.kind == "i":
        return float((found.argmax(axis=1) != targets).mean())
    return float(((found - targets) ** 2).mean())


def network(inputs, hidden, outputs):
    """HGQ2's dense network with a learned width for every weight and every input of a layer."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=FIRST),
    ):
        layers = [QDense(width, activation="relu") for width in hidden]
        return keras.Sequential([keras.layers.Input((inputs,)), *layers, QDense(outputs)])


def main():
    """Train, keep the front, write Verilog and scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--hidden", required=True, help="such as 32-32")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    keras.utils.set_random_seed(asked.seed)
    with np.load(asked.data) as data:
        x, y, split = data["X"].astype(np.float32), data["y"], data["split"]
    is_labels = y.dtype.kind == "i"
    y = y if is_labels else y.reshape(len(y), -1).astype(np.float32)
    train, validation, test = ((x[split == part], y[split == part]) for part in range(3))
    model = network(
        x.shape[1], [int(n) for n in asked.hidden.split("-")], int(y.max()) + 1 if is_labels else y.shape[1]
    )
    size = 2048 if len(train[0]) > 20_000 else 256
    steps = -(-len(train[0]) // size)
    rate = keras.optimizers.schedules.CosineDecay(RATE, asked.epochs * steps, alpha=0.05)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if is_labels else "mse"
    model.compile(keras.optimizers.Adam(rate), loss=loss, jit_compile=True)
    front = Front(train[0], validation, loss_of, asked.epochs // 20)
    rising = [(0, FIRST, "constant"), (asked.epochs // 10, FIRST, "log"), (asked.epochs, LAST, "constant")]
    start = time.monotonic()
    model.fit(*train, epochs=asked.epochs, batch_size=size, verbose=0,
              callbacks=[BetaScheduler(PieceWiseSchedule(rising)), front])  # fmt: skip
    seconds = time.monotonic() - start
    points = []
    for number, (_, bits, weights) in enumerate(front.spread(asked.points)):
        model.set_weights(weights)
        trace_minmax(model, train[0], batch_size=_BATCH, verbose=0)
        graph = trace(*trace_model(model))
        for name, fuse in (("plain", False), ("fused", True)):
            RTLModel(graph, asked.out / str(number) / name, "dut", ternary_fuse=fuse, print_latency=False).write()
        wrong = (graph.predict(test[0][:2000].astype(np.float64)) != model.predict(test[0][:2000], verbose=0)).sum()
        points.append({"point": number, "loss": loss_of(model, *test), "ebops": bits, "mismatches": int(wrong)})
        print(json.dumps(points[-1]), flush=True)
    (asked.out / "points.json").write_text(json.dumps({"seconds": round(seconds, 1), "points": points}, indent=1))


if __name__ == "__main__":
    main()
