"""One training, from a data set to the best model of the run; nothing is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_models.data.loaders import Dataset
from keras_models.data.preprocess import Preprocessing
from keras_models.training import choice, source
from keras_models.training.recipes import fit_config

if TYPE_CHECKING:
    import keras

    from keras_models.methods.catalog import Method
    from keras_models.training.checkpoint import Checkpoint
    from keras_models.training.fit import FitResult


@dataclass(frozen=True)
class Trained:
    """A model after its training, with what it learned from: ``parts`` as `source.prepared` gives them."""

    model: keras.Model
    method: Method
    preprocessing: Preprocessing
    parts: Mapping[str, tuple[Any, ...]]
    result: FitResult


def trained(
    options: argparse.Namespace, dataset: Dataset, sample_weight: Any = None, checkpoint: Checkpoint | None = None,
    trainer: Callable[..., FitResult] | None = None,
) -> Trained:  # fmt: skip
    """Preprocess, build and fit; writes nothing. ``trainer`` stands for `keras_models.training.fit.fit`."""
    import keras

    from keras_models.training.fit import fit

    if options.model == "cnn":
        dataset = source.scaled_as_image(dataset)
    preprocessing = Preprocessing.fit(dataset)
    parts = source.prepared(dataset, preprocessing, options.window, options.class_weight, sample_weight)
    keras.utils.set_random_seed(options.seed)
    method, spec = choice.method_and_spec(
        options, dataset.outputs, preprocessing, parts["train"][0], dataset.declaration.image
    )
    try:
        model = method.build(spec)
    except ValueError as error:
        if options.model != "cnn":
            raise
        raise choice.UsageError(f"--layers {choice.layers_of(options)}: {error}") from None
    config = fit_config(options, len(parts["train"][0]))
    with ExitStack() as stack:
        listeners: list[Any] = []
        told: dict[str, Any] = {}
        if not (options.quiet or options.json):
            from keras_models.training.progress import EpochProgress

            progress = stack.enter_context(EpochProgress(config.epochs))
            listeners.append(progress)
            told["on_compile"] = progress.compiling
        if options.tensorboard is not None:
            from keras_models.training.summaries import Summaries

            listeners.append(stack.enter_context(Summaries(options.tensorboard)).epoch)

        def tell(row: dict[str, float], widths: dict[str, dict[str, int]]) -> None:
            for listen in listeners:
                listen(row, widths)

        result = (trainer or fit)(model, method, parts, dataset.task, config, checkpoint=checkpoint, on_epoch=tell,
                                  **told)  # fmt: skip
    return Trained(model, method, preprocessing, parts, result)
