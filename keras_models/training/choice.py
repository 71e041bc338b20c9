"""Which model to train: the command line's options about it, their check, and the method's specification."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from keras_models.methods.cnn_layers import DEFAULT_LAYERS, Part, image_of, parts_of
from keras_models.training.bits import KINDS, LEAST_MEAN, MOST_MEAN
from keras_models.training.budget import COUNTS, can_count

if TYPE_CHECKING:
    import numpy as np

    from keras_models.data.preprocess import Preprocessing
    from keras_models.methods.catalog import Method, ModelSpec

MODELS = {"mlp": "32-32", "cnn": "", "tabformer": "16-32"}  # and their default sizes

PLAIN_METHODS = ("nmp", "uniform", "float")  # of a cnn or a tabformer
WEIGHTS_ONLY_METHODS = ("nmp", "uniform")  # of a mlp
DEFAULT_BITS = {"uniform": 8.0, "adq": 3.0, "cmpq": 3.0}
BIT_LIMITS = {"uniform": (1.0, 16.0), "adq": (2.0, 5.0), "cmpq": (1.0, 8.0)}


class UsageError(ValueError):
    """Arguments that are well-formed but cannot work; the message is one line."""


def add_options(p: argparse.ArgumentParser) -> None:
    """Add the options that describe the model."""
    p.add_argument("--model", choices=MODELS, default="mlp", help="dense layers, convolutions and "
                   "pools, or a transformer over a table's columns")  # fmt: skip
    p.add_argument("--layers", metavar="conv:8x5,pool:2,dense:32", help="of a cnn: conv:FILTERSxSIZE, depthwise:SIZE, "
                   "pool:SIZE and dense:UNITS, with :same and :strideN behind; the output is added")  # fmt: skip
    p.add_argument("--image", metavar="28x28x1", help="of a cnn: what shape the features of a row have, channels last; "
                   "known of mnist, digits and an X of images")  # fmt: skip
    p.add_argument("--bits", type=float, help="weight bits: of --method uniform 1, 1.58 or 2 to 16 (default 8); mean "
                                              "bits of adq, 2 to 5, and of cmpq, 1 to 8 (default 3)")  # fmt: skip
    p.add_argument("--size-share", type=float, default=0.5, metavar="S",
                   help="budget of --method sigmaquant: weight bits as a share of 8 bits throughout")  # fmt: skip
    p.add_argument("--max-loss", type=float, default=0.01, metavar="L",
                   help="budget of --method sigmaquant: share of the 8-bit score that may be lost")  # fmt: skip
    p.add_argument("--episodes", type=int, default=40, help="of --method releq: assignments its agent tries")
    p.add_argument("--hidden", metavar="64-32", help="hidden layer sizes; of a tabformer: token and row width")
    p.add_argument("--weight-bits", metavar="0-1.58-4", help="widths a neuron's weights may take")
    p.add_argument("--activation-bits", metavar="0-2-4", help="widths a neuron's activation may take")
    p.add_argument("--cost", choices=("luts", "bits"), default="luts", help="what --beta weighs: estimated LUTs, or "
                   "bits that store the weights (and a tenth as much the activations' bits)")  # fmt: skip
    for which in ("weight", "activation"):
        p.add_argument(f"--mean-{which}-bits", type=float, metavar="N", help=f"at most so many for the mean width of "
                       f"{which}s: the cost, in bits, is steered so that wider ones end just below")  # fmt: skip
    p.add_argument("--window", type=int, default=1, metavar="N", help="of a tabformer: rows in time order per input")
    p.add_argument("--heads", type=int, default=2, help="of a tabformer")
    p.add_argument("--blocks", type=int, default=1, help="of a tabformer: encoder blocks over columns, and over rows")
    p.add_argument("--count-luts", choices=COUNTS, help="what counts for --lut-budget: synthesis (default with flow "
                   "installed; some seconds to minutes), the adder graphs, or training's own estimate")  # fmt: skip
    p.add_argument("--weights-only", action="store_true", help="activations (and a mlp's inputs) stay float: the "
                   "published weights-only mode; the model cannot become hardware")  # fmt: skip


def in_bits(options: argparse.Namespace) -> bool:
    """Whether the cost counts bits: asked for, or meant by a budget of mean widths."""
    return bool(options.cost == "bits" or bit_budgets(options))


def bit_budgets(options: argparse.Namespace) -> dict[str, float]:
    """The budgets of mean widths by the names of `FitConfig`'s."""
    return {kind: limit for kind in KINDS if (limit := getattr(options, kind)) is not None}


def _check_bit_budgets(options: argparse.Namespace) -> None:
    for kind, limit in bit_budgets(options).items():
        if not LEAST_MEAN <= limit <= MOST_MEAN:
            raise UsageError(f"--{kind.replace('_', '-')} {limit:g}: give {LEAST_MEAN:g} to {MOST_MEAN:g}")
    if bit_budgets(options) and options.beta is not None:
        raise UsageError("--beta and budgets of mean bits exclude each other: these set the weight of the cost")
    if options.mean_activation_bits is not None and options.weights_only:
        raise UsageError("--mean-activation-bits needs quantized activations; leave out --weights-only")


def check_model(options: argparse.Namespace) -> None:
    """Raise `UsageError` for a model that cannot be."""
    sizes = sizes_of(options)
    _check_method(options)
    _check_bit_budgets(options)
    if options.model != "cnn" and (options.layers or options.image):
        raise UsageError("--layers and --image are for --model cnn")
    if options.count_luts not in (None, "estimate") and (options.model != "mlp" or not options.lut_budget):
        raise UsageError(f"--count-luts {options.count_luts} is for --model mlp with --lut-budget")
    if options.weights_only and (options.lut_budget or options.front):
        raise UsageError("--lut-budget and --front need quantized activations; leave out --weights-only")
    if options.model != "tabformer":
        if (options.window, options.heads, options.blocks) != (1, 2, 1):
            raise UsageError("--window, --heads and --blocks are for --model tabformer")
        if options.model == "cnn":
            _check_cnn(options)
        if options.weights_only and options.method not in WEIGHTS_ONLY_METHODS:
            raise UsageError(f"--weights-only is for --method {' and '.join(WEIGHTS_ONLY_METHODS)}, "
                             f"not {options.method}")  # fmt: skip
        return
    if options.weight_bits or options.activation_bits or in_bits(options):
        raise UsageError("--weight-bits, --activation-bits, their means and --cost bits are for --model mlp and cnn")
    if options.method not in PLAIN_METHODS:
        raise UsageError(f"--model tabformer trains by {', '.join(PLAIN_METHODS)}, not {options.method}")
    for name in ("window", "heads", "blocks"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, got {getattr(options, name)}")
    if len(sizes) != 2 or any(size % options.heads for size in sizes):
        raise UsageError(f"--hidden {options.hidden}: a tabformer takes token and row width, like 16-32, both "
                         f"multiples of its {options.heads} heads")  # fmt: skip


def _network(
    options: argparse.Namespace, image: tuple[int, ...], inputs: int
) -> tuple[tuple[int, ...], tuple[Part, ...]]:
    """The shape of an image and the layers of a cnn; raises `UsageError`."""
    try:
        shape = image_of(options.image) if options.image else image
        parts = parts_of(layers_of(options))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not shape:
        raise UsageError("--model cnn: say what shape a row's features have, such as --image 28x28x1")
    if math.prod(shape) != inputs:
        raise UsageError(f"--image {'x'.join(map(str, shape))}: that is not the {inputs} features of a row")
    return shape, parts


def layers_of(options: argparse.Namespace) -> str:
    """The layers of a cnn that were asked for, or its own."""
    return str(options.layers or DEFAULT_LAYERS)


def _check_cnn(options: argparse.Namespace) -> None:
    try:
        parts_of(layers_of(options))
        if options.image:
            image_of(options.image)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if options.hidden or options.weights_only:
        raise UsageError("--hidden and --weights-only are not for --model cnn; its layers are those of --layers")
    if options.method not in PLAIN_METHODS:
        raise UsageError(f"--model cnn trains by {', '.join(PLAIN_METHODS)}, not {options.method}")


def _check_method(options: argparse.Namespace) -> None:
    low, high = BIT_LIMITS.get(options.method, (0.0, 16.0))
    if options.bits is not None and not low <= options.bits <= high:
        raise UsageError(f"--bits {options.bits:g}: {options.method} takes {low:g} to {high:g}")
    if options.method == "uniform" and bits_of(options) not in (1.58, *range(1, 17)):
        raise UsageError(f"--bits {options.bits:g}: uniform takes 1, 1.58 or whole numbers to 16")
    if not 0.25 <= options.size_share <= 1:
        raise UsageError(f"--size-share {options.size_share:g}: give a share from 0.25 (2 bits) to 1 (8 bits)")
    if not 0 <= options.max_loss < 1:
        raise UsageError(f"--max-loss {options.max_loss:g}: give a share from 0 to below 1")
    if options.episodes < 1:
        raise UsageError(f"--episodes must be 1 or more, got {options.episodes}")


def bits_of(options: argparse.Namespace) -> float:
    """The width asked for, or the method's own."""
    return DEFAULT_BITS.get(options.method, 8.0) if options.bits is None else options.bits


def deployment(options: argparse.Namespace, method: Method) -> dict[str, Any]:
    """Whether ``flow.build`` takes the trained model, and if not why, for ``m.train.json``."""
    obstacle = method.obstacle
    if options.model == "tabformer":
        obstacle = "embeddings, norms and softmax stay float; only its projections export"
    elif options.weights_only:
        obstacle = "inputs and activations stay float"
    return {"deployable": not obstacle, "obstacle": obstacle or None}


def count_of(options: argparse.Namespace) -> str:
    """What counts for a LUT budget: what was asked for, else synthesis where the model can become hardware here."""
    if not options.lut_budget:
        return "estimate"
    if options.count_luts is not None:
        return str(options.count_luts)
    return "synthesis" if options.model == "mlp" and can_count() else "estimate"


def method_settings(options: argparse.Namespace) -> dict[str, float]:
    """The values that the compared systems' own searches take."""
    return {"bits": bits_of(options), "size_share": options.size_share, "max_loss": options.max_loss,
            "episodes": options.episodes}  # fmt: skip


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


def _bit_sets(options: argparse.Namespace) -> dict[str, Any]:
    from keras_models.methods.catalog import bit_sets
    from keras_models.quantizers.precision import BitLadder

    try:
        found = bit_sets(options.weight_bits, options.activation_bits)
        for bits in found.values():
            BitLadder(bits)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return found


def method_and_spec(
    options: argparse.Namespace,
    outputs: int,
    preprocessing: Preprocessing,
    X: np.ndarray,
    image: tuple[int, ...] = (),
) -> tuple[Method, ModelSpec]:
    """The training method for the chosen model and what it needs to build it.

    ``X`` are training inputs, ``image`` is the shape of one where the data set says it.
    """
    from keras_models.methods import catalog

    common: dict[str, Any] = {
        "inputs": X.shape[-1], "hidden": sizes_of(options), "outputs": outputs, "mode": options.mode,
        "bits": bits_of(options), "seed": options.seed, "calibration": X, "weights_only": options.weights_only,
    }  # fmt: skip
    cost = "bits" if in_bits(options) else "luts"
    if options.model == "mlp":
        return catalog.METHODS[options.method], catalog.ModelSpec(
            **common, dense=_bit_sets(options) | {"cost": cost},
        )  # fmt: skip
    if options.model == "cnn":
        from keras_models.methods import cnn

        shape, parts = _network(options, image, X.shape[-1])
        return cnn.METHODS[options.method], cnn.CnnSpec(
            **common, dense=_bit_sets(options) | {"cost": cost}, image=shape, parts=parts
        )
    from keras_models.methods import tabformer

    categories = tuple(len(levels) for _, levels in preprocessing.categorical)
    spec = tabformer.TabSpec(
        **common, categories=categories, window=options.window, heads=options.heads, blocks=options.blocks
    )
    return tabformer.METHODS[options.method], spec
