"""Keras variables and tensors as NumPy arrays, and what the graphs of predictions compute from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError, reason


def to_numpy(value: Any) -> NDArray[Any]:
    """The values of a Keras variable, a tensor of either backend, an array or a number."""
    # Asking a Keras variable for __array__ warns under NumPy 2, so its own method comes first.
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def backend_name() -> str:
    """Keras's backend: ``jax``, ``tensorflow``, ..."""
    import keras

    return str(keras.backend.backend())


def failing(name: str, kind: str, exc: Exception) -> ModelError:
    """The refusal of a layer that fails when it is asked, in whatever way its backend does."""
    backend = backend_name()
    other = {"jax": "tensorflow", "tensorflow": "jax"}.get(backend, "tensorflow")
    return ModelError(
        f"layer {name} ({kind}) fails when asked on Keras's backend {backend} ({reason(exc, 120)}); "
        f"correct its settings, or try KERAS_BACKEND={other}"
    )


def predicted(function: Callable[[Any], Any], values: Any) -> NDArray[np.float32]:
    """What ``function`` of the values (a variable or float32) gives in a compiled graph, as in ``model.predict``.

    Eager calls may give something else: graphs are rewritten, ``x + (q - x)`` to ``q`` among other things.
    """
    import keras

    if not isinstance(values, keras.Variable):
        values = keras.Variable(np.asarray(values, np.float32), trainable=False)
    if backend_name() == "tensorflow":
        import tensorflow as tf

        # Traced on purpose, once: called as a function, TensorFlow would warn of so many tracings.
        graph = tf.function(lambda: tf.convert_to_tensor(function(values))).get_concrete_function()
        return to_numpy(graph())
    import jax

    # An argument, not a constant: what XLA folds while it compiles it does not compute as it computes at run time.
    return np.asarray(jax.jit(lambda x: keras.ops.convert_to_tensor(function(x)))(values.value))


def layer_function(layer: Any, shape: tuple[int, ...]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What a built layer on elements of ``shape`` answers in ``model.predict``: a function of rows x elements."""
    import keras

    entry = keras.Input(shape)
    model = keras.Model(entry, layer(entry, training=False))

    def function(values: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.asarray(values, np.float32).reshape(len(values), *shape)
        return to_numpy(model.predict(rows, batch_size=max(len(rows), 1), verbose=0)).reshape(len(rows), -1)

    return function


def used(layer: Any, which: str, variable: Any) -> NDArray[np.float32]:
    """A layer's ``kernel``, ``bias`` or such as predictions use it: through the quantizer of that name, if there is."""
    quantizer = getattr(layer, f"{which}_quantizer_internal", None)
    return to_numpy(variable) if quantizer is None else predicted(quantizer, variable)
