"""What Keras computes at the places where a design has its values: at the inputs and behind every dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.extract.chain import Applied, layers_of
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax
from flow.extract.quiet import quiet
from flow.extract.read import steps_of
from flow.extract.reference import BATCH, final_function, shaped_inputs

Floats = NDArray[np.float64]


def keras_values(model: Any, design: Design, inputs: NDArray[np.floating]) -> list[tuple[str, Floats]]:
    """Keras' own values for model inputs (vectors x elements): those of the inputs, then of each layer of ``design``.

    Each with the name of the Keras layer whose output they are, ``""`` for inputs that the model does not quantize.
    They are float32 sums: where a neuron needs more than 24 bits, rounded ones. Logits are those before a final
    function that the design leaves out.
    """
    import keras

    path = layers_of(model)
    shaped = shaped_inputs(model, inputs, design)
    probability = bool(design.source.get("probability"))
    places = _places(path, probability)
    wanted = [path[place].layer for place in places if place is not None]
    last = path[-1].layer
    inside = not probability and places[-1] == len(path) - 1 and final_function(path[-1]) is not None
    with quiet():
        if inside:
            function, last.activation = last.activation, keras.activations.linear
        try:
            found = keras.Model(model.inputs, [layer.output for layer in wanted]).predict(
                shaped, batch_size=BATCH, verbose=0
            )
        finally:
            if inside:
                last.activation = function
    parts = found if isinstance(found, list) else [found]
    values = iter([np.asarray(part, np.float64).reshape(len(shaped), -1) for part in parts])
    raw = np.asarray(shaped, np.float64).reshape(len(shaped), -1)
    return [("", raw) if place is None else (path[place].name, next(values)) for place in places]


def _places(path: list[Applied], probability: bool) -> list[int | None]:
    """Where on the path a design's values are: of its inputs, then of each dense layer; None for the model's input.

    A scale behind a quantizer moves into the next dense layer, and a final function is left out unless its values are
    the design's (``probability``): neither is such a place.
    """
    places: list[int | None] = [None]
    quantized = waiting = moved = False  # the source has a quantizer; a ReLU that has none; a scale behind it
    for number, applied in enumerate(path):
        is_dense = is_end = False
        for step in steps_of(applied):
            if isinstance(step, Dense):
                places.append(number)
                quantized = waiting = moved = False
                is_dense = True
            elif isinstance(step, Quant):
                quantized, waiting = True, False
            elif isinstance(step, Relu):
                waiting = waiting or not quantized
            elif isinstance(step, Affine):
                moved = moved or quantized or waiting
            elif isinstance(step, Softmax) or (isinstance(step, Elementwise) and step.left_out and not probability):
                is_end = number == len(path) - 1
        if not moved and (is_dense or not is_end):
            places[-1] = number
    return places
