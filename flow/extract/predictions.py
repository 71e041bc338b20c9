"""What a Keras model itself predicts: its own arithmetic on its own float inputs, nothing put on a design's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.extract.design import require_numbers
from flow.extract.graph_trace import trace
from flow.extract.quiet import quiet
from flow.extract.reference import BATCH, final_function, flat_outputs, shaped_inputs


def predictions(model: Any, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """The outputs of ``model.predict`` (vectors x outputs), a final softmax included, for float inputs."""
    inputs = np.asarray(inputs, np.float32)
    traced = trace(model)
    require_numbers(inputs, sum(entry.elements for entry in traced.inputs))
    with quiet():
        batches: Any = model.predict(shaped_inputs(traced, inputs), batch_size=BATCH, verbose=0)
    return flat_outputs(batches, len(inputs))


def ends_in(model: Any) -> str | None:
    """The softmax, sigmoid or tanh at the end of all outputs of a model, which its design leaves out."""
    functions = {final_function(applied) for applied in trace(model).last}
    return functions.pop() if len(functions) == 1 else None
