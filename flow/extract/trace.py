"""What Keras computes at the places where a design has its values: at the inputs and behind every dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.errors import ModelError
from flow.extract.assemble import compose
from flow.extract.chain import Applied
from flow.extract.graph_trace import trace
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax
from flow.extract.quiet import quiet
from flow.extract.read import steps_of
from flow.extract.reference import BATCH, final_function, on_grid

Floats = NDArray[np.float64]


def keras_values(model: Any, design: Design, inputs: NDArray[np.floating]) -> list[tuple[str, Floats]]:
    """Keras' own values for model inputs (vectors x elements): those of the inputs, then of each layer of ``design``.

    Each with the name of the Keras layer whose output they are, ``""`` for inputs that the model does not quantize.
    They are float32 sums: where a neuron needs more than 24 bits, rounded ones. Logits are those before a final
    function that the design leaves out.
    """
    import keras

    followed = trace(model)
    path = followed.path
    if path is None:
        raise ModelError(
            f"model {model.name} is more than one path of layers, so the values inside it are not matched to those of "
            "Keras; its outputs are, by the keras engine of a build"
        )
    shaped = on_grid(followed, inputs, design).reshape(-1, *followed.inputs[0].shape)
    probability = bool(design.source.get("probability"))
    places = _places(path, probability)
    tensors = [first := keras.Input(followed.inputs[0].shape)]
    for applied in path:  # called anew, in one graph: the model's own may be nested
        tensors.append(applied.layer(tensors[-1]))
    wanted = [tensors[place.number + 1] for place in places if place is not None]
    last = path[-1].layer
    at_end = places[-1] is not None and places[-1].number == len(path) - 1
    inside = at_end and not probability and final_function(path[-1]) is not None
    with quiet():
        if inside:
            function, last.activation = last.activation, keras.activations.linear
        try:
            found = keras.Model(first, wanted).predict(shaped, batch_size=BATCH, verbose=0)
        finally:
            if inside:
                last.activation = function
    parts = iter(found if isinstance(found, list) else [found])
    values: list[tuple[str, Floats]] = []
    for place in places:
        part = np.asarray(shaped if place is None else next(parts), np.float64).reshape(len(shaped), -1)
        values.append(("", part) if place is None else (path[place.number].name, _unscaled(part, place.scale)))
    return values


@dataclass(frozen=True)
class _Place:
    """The layer on the path whose output is a design's values, and the scale it puts on them."""

    number: int
    scale: Affine | None


def _unscaled(values: Floats, scale: Affine | None) -> Floats:
    """What a scale by powers of two was put on; exact where its offsets are."""
    if scale is None:
        return values
    offset = np.array([float(part) for part in scale.offset])
    return np.asarray((values - offset) / np.ldexp(scale.sign.astype(np.float64), scale.exponent), np.float64)


def _places(path: list[Applied], probability: bool) -> list[_Place | None]:
    """Where on the path a design's values are: of its inputs, then of each dense layer; None for the model's input.

    A scale behind a quantizer moves into the next dense layer, and a final function is left out unless its values are
    the design's (``probability``): neither layer is such a place, but for a quantizer's own scale.
    """
    places: list[_Place | None] = [None]
    quantized = waiting = moved = False  # the source has a quantizer; a ReLU that has none; a scale behind it
    for number, applied in enumerate(path):
        is_place, scale = not moved, None
        for step in steps_of(applied):
            if isinstance(step, Dense):
                places.append(None)
                quantized = waiting = moved = False
                is_place, scale = True, None
            elif isinstance(step, Quant):
                quantized, waiting = True, False
            elif isinstance(step, Relu):
                waiting = waiting or not quantized
            elif isinstance(step, Affine):
                if quantized or waiting:
                    moved, scale = True, step if scale is None else compose(scale, step)
            elif isinstance(step, Softmax) or (isinstance(step, Elementwise) and step.left_out and not probability):
                # inside a dense layer it can be switched off
                is_place = is_place and (number < len(path) - 1 or places[-1] is None)
        if is_place:
            places[-1] = _Place(number, scale)
    return places
