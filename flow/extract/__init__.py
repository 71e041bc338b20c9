"""Keras to `Design`. Nothing here imports Keras until a model is loaded.

`load_model` reads a file safely, `extract` turns the model into integers, `keras_outputs` is the Keras side of the
comparison, `predictions` what Keras itself predicts, `float32_exactness` says which neurons it cannot compute exactly.
"""

from flow.extract.design import extract
from flow.extract.float32 import float32_exactness
from flow.extract.formats import parse_format
from flow.extract.input_format import choose_format
from flow.extract.load import load_model
from flow.extract.predictions import ends_in, predictions
from flow.extract.projection import choose
from flow.extract.reference import compare_with_keras, keras_outputs

__all__ = [
    "choose",
    "choose_format",
    "compare_with_keras",
    "ends_in",
    "extract",
    "float32_exactness",
    "keras_outputs",
    "load_model",
    "parse_format",
    "predictions",
]
