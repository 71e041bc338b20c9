"""Which model to train: the command line's options about it, their check, and the method's specification."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from .methods import Method, ModelSpec
    from .preprocess import Preprocessing

MODELS = {"mlp": "32-32", "tabformer": "16-32"}  # and their default sizes


class UsageError(ValueError):
    """Arguments that are well-formed but cannot work; the message is one line."""


def add_options(p: argparse.ArgumentParser) -> None:
    """Add the options that describe the model."""
    p.add_argument("--model", choices=MODELS, default="mlp")
    p.add_argument("--hidden", metavar="64-32", help="hidden layer sizes; of a tabformer: token and row width")
    p.add_argument("--weight-bits", metavar="0-1.58-4", help="widths a neuron's weights may take")
    p.add_argument("--activation-bits", metavar="0-2-4", help="widths a neuron's activation may take")
    p.add_argument("--window", type=int, default=1, metavar="N", help="of a tabformer: rows in time order per input")
    p.add_argument("--heads", type=int, default=2, help="of a tabformer")
    p.add_argument("--blocks", type=int, default=1, help="of a tabformer: encoder blocks over columns, and over rows")
    p.add_argument("--weights-only", action="store_true", help="of a tabformer: activations stay float")


def check_model(options: argparse.Namespace) -> None:
    """Raise `UsageError` for a model that cannot be."""
    sizes = sizes_of(options)
    if options.model != "tabformer":
        if (options.window, options.heads, options.blocks, options.weights_only) != (1, 2, 1, False):
            raise UsageError("--window, --heads, --blocks and --weights-only are for --model tabformer")
        return
    if options.weight_bits or options.activation_bits:
        raise UsageError("--weight-bits and --activation-bits are for --model mlp")
    for name in ("window", "heads", "blocks"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, got {getattr(options, name)}")
    if len(sizes) != 2 or any(size % options.heads for size in sizes):
        raise UsageError(f"--hidden {options.hidden}: a tabformer takes token and row width, like 16-32, both "
                         f"multiples of its {options.heads} heads")  # fmt: skip
    if options.weights_only and options.lut_budget:
        raise UsageError("--lut-budget needs quantized activations; leave out --weights-only")


def sizes_of(options: argparse.Namespace) -> tuple[int, ...]:
    """The sizes asked for, or the model's own."""
    return hidden_sizes(MODELS[options.model] if options.hidden is None else options.hidden)


def hidden_sizes(text: str) -> tuple[int, ...]:
    """(64, 32) from "64-32"; an empty text is no hidden layer."""
    try:
        sizes = tuple(int(part) for part in text.split("-")) if text else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise UsageError(f"--hidden {text!r}: give layer sizes like 64-32")
    return sizes


def method_and_spec(
    options: argparse.Namespace, outputs: int, preprocessing: Preprocessing, X: np.ndarray
) -> tuple[Method, ModelSpec]:
    """The training method for the chosen model and what it needs to build it; ``X`` are training inputs."""
    from . import methods

    common = (X.shape[-1], sizes_of(options), outputs, options.mode, options.bits, options.seed, X)
    if options.model == "mlp":
        return methods.METHODS[options.method], methods.ModelSpec(
            *common, widths=methods.bit_sets(options.weight_bits, options.activation_bits)
        )
    from . import tabformer

    categories = tuple(len(levels) for _, levels in preprocessing.categorical)
    shape = (options.window, options.heads, options.blocks, options.weights_only)
    return tabformer.METHODS[options.method], tabformer.TabSpec(*common, categories, *shape)
