"""SigmaQuant (arXiv 2602.22136): widths per layer from the spread of weights, refined until two budgets hold.

Phase 1 clusters the layers by the standard deviation of their weights and gives the more widely spread clusters more
bits. Phase 2 alternates short training with one change at a time: where the score is below its budget, the layer whose
quantized weights diverge most from the float ones (Kullback-Leibler, per added bit of size) goes up a width; where the
size is above its budget, the layer that diverges least goes down one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_models.loop.stage import Stage, relative_score
from keras_models.methods.kmeans import kmeans
from keras_models.methods.layerwise import dense_layers, layer_sizes, set_widths, train_reference, widths_of
from keras_models.quantizers.exact import to_numpy

WIDTHS = (2, 4, 6, 8)
ROUNDS = 12
BINS = 64


def divergence(values: np.ndarray, quantized: np.ndarray) -> float:
    """Kullback-Leibler divergence, in nats, of the histogram of quantized weights from that of the weights."""
    limit = max(float(np.abs(values).max()), float(np.abs(quantized).max()), 1e-9)
    p, q = (np.histogram(v, BINS, (-limit, limit))[0] + 1e-3 for v in (values, quantized))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def coarse_widths(spreads: np.ndarray, share: float, sizes: np.ndarray) -> list[int]:
    """Phase 1: clusters of spreads, narrowest to widest, get rising widths; all move down until the size fits.

    ``share`` is the size budget in weight bits as a share of 8 bits throughout.
    """
    clusters = min(len(WIDTHS), len(set(spreads.tolist())))
    labels = kmeans(spreads, clusters)[1]
    for top in range(len(WIDTHS) - 1, -1, -1):
        widths = [WIDTHS[max(0, top - (clusters - 1 - int(label)))] for label in labels]
        if (sizes * widths).sum() <= share * 8 * sizes.sum():
            break
    return widths


@dataclass
class Search:
    """One search; ``size_share`` and ``max_loss`` in the stage's settings are the budgets."""

    stage: Stage

    def __post_init__(self) -> None:
        stage = self.stage
        self.sizes = layer_sizes(stage.model)
        self.share, self.max_loss = stage.settings["size_share"], stage.settings["max_loss"]
        self.start, self.reference = train_reference(stage)
        self.cycle = max(1, round(0.03 * stage.epochs))

    def size(self, widths: list[int]) -> float:
        """Weight bits as a share of 8 bits throughout."""
        return float((self.sizes * widths).sum() / (8 * self.sizes.sum()))

    def divergences(self) -> np.ndarray:
        """Each layer's divergence at its present width."""
        found = []
        for layer in dense_layers(self.stage.model):
            mantissa, frac, _ = layer.kernel_quantizer_internal.integers(layer.kernel)
            found.append(divergence(to_numpy(layer.kernel), np.ldexp(mantissa.astype(np.float64), -frac)))
        return np.asarray(found)

    def move(self, widths: list[int], up: bool) -> list[int] | None:
        """One layer a width up or down, or None where all are at the end."""
        end = WIDTHS[-1] if up else WIDTHS[0]
        possible = [k for k, width in enumerate(widths) if width != end]
        if not possible:
            return None
        divergences = self.divergences()
        # a large layer costs more of the size budget for the same gain
        merit = divergences / self.sizes if up else -divergences / self.sizes
        chosen = max(possible, key=lambda k: merit[k])
        place = WIDTHS.index(widths[chosen]) + (1 if up else -1)
        return [WIDTHS[place] if k == chosen else width for k, width in enumerate(widths)]

    def run(self) -> dict[str, Any]:
        """Both phases; returns what was found for the report."""
        stage = self.stage
        spreads = np.asarray([float(np.std(to_numpy(layer.kernel))) for layer in dense_layers(stage.model)])
        widths: list[int] | None = coarse_widths(spreads, self.share, self.sizes)
        tried: dict[tuple[int, ...], float] = {}
        while widths is not None and tuple(widths) not in tried and len(tried) < ROUNDS:
            stage.restore(self.start)
            set_widths(stage.model, widths)
            stage.train(self.cycle, 0.5)
            tried[tuple(widths)] = relative_score(stage.task, stage.score(), self.reference)
            good, small = tried[tuple(widths)] >= 1 - self.max_loss, self.size(widths) <= self.share
            if good and small:
                break
            widths = self.move(widths, up=not good and small)
        return self.settle(tried)

    def settle(self, tried: dict[tuple[int, ...], float]) -> dict[str, Any]:
        """Leave the model at the best assignment: both budgets, else the best score within the size budget."""
        small = {widths: kept for widths, kept in tried.items() if self.size(list(widths)) <= self.share}
        chosen = max(small or tried, key=lambda widths: tried[widths])
        self.stage.restore(self.start)
        set_widths(self.stage.model, chosen)
        assert widths_of(self.stage.model) == list(chosen)
        return {"layer_bits": list(chosen), "size_share": self.size(list(chosen)), "size_budget": self.share,
                "reference_score": self.reference, "score_budget": 1 - self.max_loss, "assignments_tried": len(tried),
                "size_budget_met": bool(small)}  # fmt: skip


def search(stage: Stage) -> dict[str, Any]:
    """Pretrain at 8 bits, run both phases and leave the model at their widths."""
    return Search(stage).run()


def verdict(stage: Stage, found: dict[str, Any]) -> dict[str, Any]:
    """After training: whether both budgets hold for the finished model, and the line that says so if not."""
    kept = relative_score(stage.task, stage.score(), found["reference_score"])
    met = bool(found["size_budget_met"] and kept >= found["score_budget"])
    note = "" if met else (f"kept {kept:.3f} of the 8-bit score (asked {found['score_budget']:.3f}) at "
                           f"{found['size_share']:.3f} of its size (asked {found['size_budget']:.3f})")  # fmt: skip
    return {"score_share": kept, "budgets_met": met, "budgets_note": note}
