"""Training runs of the methods benchmark, in this process; what they measured, as dictionaries for JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROWS, VALIDATION_ROWS = 6000, 4000  # of the training and validation parts; the test part is whole
FEWER_ROWS = {"mnist": 3000}  # of the training part of sets that take long
SETS = {
    "qoe_poqemon": ("--hidden", "32-32", "--batch-size", "64"),
    "kth_vod": ("--hidden", "32-32", "--batch-size", "64"),
    "kth_mesh": ("--hidden", "32-32"),
    "rss_5g": ("--hidden", "32-32"),
    "unsw_nb15": ("--hidden", "32-32", "--split-key", "split_dedup"),
    "higgs_23k": ("--hidden", "32-32"),
    "covertype_93k": ("--hidden", "32-32"),
    "mnist": ("--hidden", "32-32"),
}
_UNSEEN = ("--hidden", "32-32")  # of sets by their files, where no other options are given
_COMMON = ("--epochs", "120", "--batch-size", "128", "--learning-rate", "0.005", "--optimizer", "adam",
           "--patience", "1000", "--out", "unused.h5")  # fmt: skip
# as many epochs as ADQ, SigmaQuant and ReLeQ train: 0.3 x 120 before their widths are found, then 120
_LEARNED = ("--epochs", "156", "--learning-rate", "0.01")
METHODS = {
    "float": ("--method", "float"),
    "uniform 8": ("--method", "uniform", "--bits", "8"),
    "uniform 4": ("--method", "uniform", "--bits", "4"),
    "uniform 2": ("--method", "uniform", "--bits", "2"),
    "uniform 1.58": ("--method", "uniform", "--bits", "1.58"),
    "uniform 1": ("--method", "uniform", "--bits", "1"),
    "layer-wise learned": ("--method", "layerwise", "--beta", "2e-5", *_LEARNED),
    "ADQ": ("--method", "adq", "--bits", "3"),
    "SigmaQuant": ("--method", "sigmaquant", "--size-share", "0.5", "--max-loss", "0.01"),
    "ReLeQ": ("--method", "releq", "--episodes", "16"),
    "CMPQ": ("--method", "cmpq", "--bits", "3"),
    "NMP paper": ("--mode", "paper", "--cost", "bits", "--settle", "0.7", "--schedule", "cosine",
                  "--strength-rate", "0.5", *_LEARNED),
    "NMP hardware": ("--cost", "bits", "--settle", "0.5", *_LEARNED),
}  # fmt: skip
PAPER_PER_BIT = (0.001, 0.003, 0.01, 0.03, 0.3, 1.0, 3.0)  # paper mode's loss per mean weight bit; one training each
OURS = tuple(method for method in METHODS if method.startswith("NMP"))
BASELINES = tuple(method for method in METHODS if method not in OURS)
WIDTHS = ("mean_weight_bits", "mean_activation_bits")
_WIDEST = 8.0  # mean widths that NMP is asked for in hardware mode


class Runner:
    """Trains one method on one set with any number of seeds; what is compiled for the first serves them all.

    ``name`` is one of the eight sets, or a file; ``more`` are options of the training for that.
    """

    def __init__(self, name: str, method: str, more: Sequence[str] = ()) -> None:
        from keras_models import train
        from keras_models.data.loaders import load_dataset
        from keras_models.data.preprocess import Preprocessing
        from keras_models.training import choice
        from keras_models.training.recipes import fit_config

        self.name, self.method_name = name, method
        self.options = train.parser().parse_args(
            ["--data", name, *_COMMON, *SETS.get(name, _UNSEEN), *METHODS[method], *more]
        )
        train.check(self.options)
        dataset = load_dataset(name, self.options.split_key)
        self.task = dataset.task
        preprocessing = Preprocessing.fit(dataset)
        limits = {"train": FEWER_ROWS.get(name, ROWS), "val": VALIDATION_ROWS}
        self.parts = {p: _sample(dataset.part(p), preprocessing, limits.get(p)) for p in ("train", "val", "test")}
        inputs = self.parts["train"][0]
        self.method, self.spec = choice.method_and_spec(self.options, dataset.outputs, preprocessing, inputs)
        self.config = fit_config(self.options, len(inputs))
        self.model: Any = None
        self.loop: Any = None

    def measure(self, seed: int, designs: Path) -> dict[str, Any]:
        """Train and score with a seed; designs of the models that can become hardware go to ``designs``.

        ``points`` are the models: NMP has one per weight of the cost in paper mode, and in hardware mode one per pair
        of mean widths that a baseline has with this seed, whose runs are in ``designs``.
        """
        from keras_models.training.fit import NothingWithin

        points: list[dict[str, Any]] = []
        seconds, found = 0.0, {}
        for about in self._wanted(seed, designs):
            try:
                result = self._train(seed, about)
            except NothingWithin:  # no model is so narrow
                continue
            seconds, found = seconds + result.seconds, result.found
            name = f"{slug(self.name, self.method_name, seed)}-{len(points)}.design.json"
            points.append({**self._point(designs / name), **about})
        return {
            "set": Path(self.name).stem, "method": self.method_name, "seed": seed, "task": self.task,
            "rows": len(self.parts["train"][0]), "test_rows": len(self.parts["test"][0]),
            "epochs": self.config.epochs, "seconds": round(seconds, 2),
            "found": found, "obstacle": self.method.obstacle or None, "points": points,
        }  # fmt: skip

    def _wanted(self, seed: int, designs: Path) -> list[dict[str, Any]]:
        """The trainings of a seed, by what is special to each."""
        if self.method_name == "NMP paper":
            return [{"loss_per_mean_bit": per_bit} for per_bit in PAPER_PER_BIT]
        if self.method_name != "NMP hardware":
            return [{}]
        found: dict[tuple[float, ...], list[str]] = {}
        for baseline in (b for b in BASELINES if b != "float"):
            path = designs / f"{slug(self.name, baseline, seed)}.json"
            if not path.is_file():
                raise ValueError(f"NMP hardware is trained at the mean widths of {baseline} with seed {seed}, which "
                                 "is not measured yet: leave --methods out, or name it too")  # fmt: skip
            run = json.loads(path.read_text())
            widths = tuple(min(_WIDEST, run["points"][0][kind] or _WIDEST) for kind in WIDTHS)
            found.setdefault(widths, []).append(baseline)
        return [{"asked": dict(zip(WIDTHS, widths, strict=True)), "widths_of": of} for widths, of in found.items()]

    def _train(self, seed: int, about: dict[str, Any]) -> Any:
        """A run's result, as one of `_wanted` says."""
        import keras

        from keras_models.training.fit import fit, loop_for

        keras.utils.set_random_seed(seed)
        fresh = self.method.build(dataclasses.replace(self.spec, seed=seed))
        if self.model is None:
            self.model = fresh
            self.loop = loop_for(fresh, self.method, self.parts, self.task, self.config)
        else:
            self.model.set_weights(fresh.get_weights())
        config = dataclasses.replace(self.config, seed=seed, **about.get("asked", {}))
        per_bit = about.get("loss_per_mean_bit")
        if per_bit is not None:
            weights = sum(
                layer.kernel.shape[0] * layer.units for layer in self.model.layers if hasattr(layer, "kernel")
            )
            config = dataclasses.replace(config, beta=per_bit / weights, beta_start=per_bit / weights / 100)
        return fit(self.model, self.method, self.parts, self.task, config, loop=self.loop)

    def _point(self, design: Path) -> dict[str, Any]:
        from flow.build.state import finish
        from flow.core.design import to_json
        from flow.extract.design import extract
        from keras_models.training.fit import score_of

        luts, statistics = self.method.describe(self.model)
        point = {
            **{k: score_of(self.task, self.loop.predict(self.parts[k][0]), self.parts[k][1]) for k in ("val", "test")},
            **{k: statistics[k] for k in ("mean_weight_bits", "mean_activation_bits", "model_bytes")},
            "luts_estimate": luts,
        }
        if not self.method.obstacle:
            design.write_text(to_json(finish(extract(self.model))))
            point["design"] = design.name
        return point


def _sample(part: tuple[np.ndarray, np.ndarray], preprocessing: Any, limit: int | None) -> tuple[Any, Any]:
    X, y = part
    if limit is not None and len(X) > limit:
        rows = np.sort(np.random.default_rng(0).permutation(len(X))[:limit])
        X, y = X[rows], y[rows]
    return preprocessing.apply(X), preprocessing.apply_targets(y)


def hardware(design: Path) -> dict[str, Any]:
    """LUT sites, adders and energy per result of a design's generated adder graphs."""
    from flow.core.design import from_json
    from flow.parallel.cost import graph_energy_pj
    from flow.parallel.generators import build_graphs
    from flow.parallel.sites import Target

    graphs = build_graphs(from_json(design.read_text()))
    return {
        "luts": sum(Target().sites(graph) for graph in graphs),
        "adders": sum(graph.adders for graph in graphs),
        "energy_pj": round(sum(graph_energy_pj(graph) for graph in graphs), 2),
    }


def slug(name: str, method: str, seed: int) -> str:
    """The stem of a run's files."""
    return f"{Path(name).stem}-{method.replace(',', '').replace(' ', '_')}-{seed}"
