"""How a run is trained where the command line does not say: rates, epochs and the weight of the cost, by mode."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from keras_models.training import choice

if TYPE_CHECKING:
    from keras_models.training.fit import FitConfig

LEARNING = ("nmp", "layerwise")  # methods whose widths follow the hardware cost
MODES = ("hardware", "paper")
RATES = ("grown", "published")  # of paper mode: those with which widths grow in so few steps, and the publication's
RECIPES: dict[str, dict[str, Any]] = {
    "hardware": {"epochs": 400, "learning_rate": 7e-3, "optimizer": "adam", "schedule": "cosine", "strength_rate": 0.2,
                 "beta": 2e-5, "patience": None},
    "grown": {"epochs": 100, "learning_rate": 1e-2, "optimizer": "adam", "schedule": "cosine", "strength_rate": 0.05,
              "beta": 0.0, "patience": None},
    "published": {"epochs": 100, "learning_rate": 1e-3, "optimizer": "sgd", "schedule": "constant",
                  "strength_rate": 1.0, "beta": 0.0, "patience": 20},
}  # fmt: skip
FRONT_BETA = 1e-3


def fit_config(options: argparse.Namespace, rows: int) -> FitConfig:
    """Training settings: what was given, else the mode's defaults."""
    from keras_models.training.fit import FitConfig

    paper = options.method == "nmp" and options.mode == "paper"
    default = RECIPES[options.rates if paper else "hardware"]

    def given(value: Any, fallback: Any) -> Any:
        return fallback if value is None else value

    beta = given(options.beta, FRONT_BETA if options.front else default["beta"])
    beta = beta if options.method in LEARNING else 0.0
    return FitConfig(
        epochs=given(options.epochs, default["epochs"]),
        batch_size=given(options.batch_size, 512 if rows > 20000 else 128),
        learning_rate=given(options.learning_rate, default["learning_rate"]),
        optimizer=given(options.optimizer, default["optimizer"]),
        constant_rate=given(options.schedule, default["schedule"]) == "constant",
        strength_rate=given(options.strength_rate, default["strength_rate"]),
        beta=beta,
        beta_start=beta / 100 if choice.in_bits(options) else FitConfig.beta_start,
        lut_budget=options.lut_budget,
        **choice.bit_budgets(options),
        count_luts=choice.count_of(options),
        front=options.front,
        settle=options.settle,
        patience=given(options.patience, default["patience"]),
        seed=options.seed,
        method_settings=choice.method_settings(options),
    )
