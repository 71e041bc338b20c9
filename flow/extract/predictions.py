"""What a Keras model itself predicts: its own arithmetic on its own float inputs, nothing put on a design's grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.extract.chain import input_shape, layers_of
from flow.extract.design import require_numbers
from flow.extract.quiet import quiet
from flow.extract.reference import BATCH, final_function


def predictions(model: Any, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """The outputs of ``model.predict`` (vectors x outputs), a final softmax included, for float inputs."""
    inputs = np.asarray(inputs, np.float32)
    shape = input_shape(model)
    require_numbers(inputs, math.prod(shape))
    with quiet():
        batches: Any = model.predict(inputs.reshape(len(inputs), *shape), batch_size=BATCH, verbose=0)
    return np.asarray(batches, np.float64).reshape(len(inputs), -1)


def ends_in(model: Any) -> str | None:
    """The softmax, sigmoid or tanh at the end of a model, which its design leaves out."""
    path = layers_of(model)
    return final_function(path[-1]) if path else None
