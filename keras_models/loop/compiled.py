"""Compiled training: one call per epoch, data and optimizer state on the device, on JAX or TensorFlow.

`make_loop` gives the loop of the running Keras backend. Both take the same steps from the same seeds: the order of
rows comes from NumPy, the update rules from `steps.optimizer_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.base import Interval
from keras_models.layers.export import precision_layers
from keras_models.layers.neurons import ACTIVATION_SHARE
from keras_models.loop.packing import Packing
from keras_models.loop.steps import FORMAT_ROLES, OptimizerConfig, optimizer_step, task_loss
from keras_models.quantizers.exact import to_numpy, whole_program

Tensor = Any
PREDICT_ROWS = 8192
COST_STEPS = 4  # steps that share one gradient of the hardware cost: it depends on the variables only, not on the rows


class Loop:
    """Trains ``model`` in place on (X, y), rows weighted where ``weights`` (rows,) are given; rows beyond full batches
    are left out of an epoch (others each time).

    An epoch is one compiled function of the values of variables. Subclasses say how to compile and differentiate.
    """

    def __init__(
        self, model: keras.Model, X: np.ndarray, y: np.ndarray, task: str,
        optimizer: OptimizerConfig, batch_size: int, seed: int, weights: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.model, self.task, self.optimizer = model, task, optimizer
        self.batch_rows = batch_size  # asked for
        self.take(X, y, weights)
        self.charged = False  # a cost without weight is not computed; once it was, it stays: no second compilation
        variables = model.trainable_variables
        self.rates = optimizer.rates(variables)
        self.of_formats = [v.name.endswith(FORMAT_ROLES) for v in variables]
        self.packing = Packing([v.shape for v in variables])
        self.betas = [i for i, v in enumerate(model.non_trainable_variables) if v.name == "beta"]
        self.update = {charged: self._compile(charged) for charged in (False, True)}
        self.forward = self._compile_forward()
        self.restart(seed)

    def take(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Train on these rows from now on, of as many columns and weighted as those before."""
        self.rows = len(X)
        self.batch_size = min(self.batch_rows, self.rows)
        self.data = tuple(ops.convert_to_tensor(part) for part in (X, y, weights) if part is not None)

    def restart(self, seed: int) -> None:
        """As if new, with what is compiled kept; the model's weights are the caller's to set."""
        self.random = np.random.default_rng(seed)
        self.steps_done = 0
        self._moments = [_tensors((zeros, zeros)) for zeros in self.packing.zeros()]

    def _compile(self, charged: bool) -> Callable[..., Any]:
        """`_update` with an epoch that is compiled, by itself or with the assignments."""
        raise NotImplementedError

    def _compile_forward(self) -> Callable[[np.ndarray], Any]:
        """Model outputs of rows, of the variables as they are when it is called."""
        raise NotImplementedError

    def _differentiate(
        self, function: Callable[..., Any], values: list[Tensor], *rest: Any
    ) -> tuple[Any, list[Tensor]]:
        """What ``function`` gives, (scalar, anything), and the scalar's gradients to the values."""
        raise NotImplementedError

    def _rates(self, formats: Tensor) -> list[Any]:
        """The multipliers of the packed variables, those of strengths and ranges times ``formats``."""
        parts = [self.packing.spread([r * (f == part) for r, f in zip(self.rates, self.of_formats, strict=True)])
                 for part in (False, True)]  # fmt: skip
        return [fixed + scaled * formats for fixed, scaled in zip(*parts, strict=True)]

    def _constrained(self, packed: Sequence[Tensor]) -> list[Tensor]:
        """Packed variables within what their constraints allow; intervals are applied to all in one operation."""
        constraints = [v.constraint for v in self.model.trainable_variables]
        if not all(c is None or isinstance(c, Interval) for c in constraints):
            values = zip(self.packing.unpack(packed), constraints, strict=True)
            return self.packing.pack([v if c is None else c(v) for v, c in values])
        bounds = [(-np.inf, np.inf) if c is None else c.bounds for c in constraints]
        low, high = (self.packing.spread(ends) for ends in zip(*bounds, strict=True))
        return [v if np.isinf([a, b]).all() else ops.clip(v, a, b) for v, a, b in zip(packed, low, high, strict=True)]

    @contextmanager
    def _layers_with(self, **values: Any) -> Iterator[None]:
        """The model's layers with other values of attributes that they have."""
        found = [(layer, name) for layer in precision_layers(self.model) for name in values if hasattr(layer, name)]
        before = [getattr(layer, name) for layer, name in found]
        for layer, name in found:
            setattr(layer, name, values[name])
        try:
            yield
        finally:
            for (layer, name), value in zip(found, before, strict=True):
                setattr(layer, name, value)

    def _loss(
        self, trainable: Any, fixed: Any, x: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Scalar, without the hardware cost, and new values of the fixed variables."""
        with self._layers_with(charged=False):  # the cost comes from `_cost`
            out, fixed, losses = self.model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
        return task_loss(self.task, target, out, weights) + sum(losses, start=0.0), list(fixed)

    def _cost(self, trainable: Any, fixed: Any, share: Tensor, price: Tensor) -> tuple[Tensor, None]:
        """Scalar: the hardware cost in the loss; what a bit of an activation counts is as `epoch` says."""
        variables = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        scope = keras.StatelessScope(state_mapping=list(zip(variables, [*trainable, *fixed], strict=True)))
        with scope, self._layers_with(charged=False, activation_share=share, activation_price=price):
            costs = (layer.beta * layer.hardware_cost(exact=False) for layer in precision_layers(self.model))
            return ops.convert_to_tensor(sum(costs, start=0.0), "float32"), None

    def _epoch(
        self, charged: bool, trainable: Any, fixed: Any, moments: Any, data: Any, indices: Tensor,
        count: Tensor, learning_rate: Tensor, beta: Tensor, formats: Tensor, *prices: Tensor,
    ) -> Any:  # fmt: skip
        """New trainable values, fixed values and moments, and the mean loss."""
        rates, steps = self._rates(formats), indices.shape[0]

        def step(cost: Any, i: Tensor, carry: Any) -> Any:
            packed, fixed, moments, count, total = carry
            batch = (ops.take(part, indices[i], axis=0) for part in data)
            (loss, fixed), found = self._differentiate(self._loss, self.packing.unpack(packed), fixed, *batch)
            gradients = self.packing.pack(found)
            if cost is not None:
                loss, gradients = loss + cost[0], [a + b for a, b in zip(gradients, cost[1], strict=True)]
            packed, moments = optimizer_step(self.optimizer, rates, learning_rate, count, packed, gradients, moments)
            return self._constrained(packed), fixed, moments, count + 1.0, total + loss

        def charged_steps(i: Tensor, carry: Any) -> Any:
            (cost, _), found = self._differentiate(self._cost, self.packing.unpack(carry[0]), carry[1], *prices)
            end = ops.minimum(COST_STEPS * (i + 1), steps)
            return ops.fori_loop(COST_STEPS * i, end, partial(step, (cost, self.packing.pack(found))), carry)

        fixed = [beta if i in self.betas else v for i, v in enumerate(fixed)]
        carry = (self.packing.pack(trainable), fixed, moments, count, ops.zeros(()))
        if charged:
            carry = ops.fori_loop(0, -(-steps // COST_STEPS), charged_steps, carry)
        else:
            carry = ops.fori_loop(0, steps, partial(step, None), carry)
        packed, fixed, moments, _, total = carry
        return self.packing.unpack(packed), fixed, moments, total / steps

    def _update(self, epoch: Callable[..., Any], *state: Any) -> Any:
        """Assign what an epoch makes of the variables; its moments and mean loss."""
        variables = (self.model.trainable_variables, self.model.non_trainable_variables)
        *values, moments, loss = epoch(*([v.value for v in part] for part in variables), *state)
        for part, new in zip(variables, values, strict=True):
            for variable, value in zip(part, new, strict=True):
                variable.assign(value)
        return moments, loss

    def epoch(
        self, learning_rate: float, beta: float, formats: float = 1.0,
        activation_share: float = ACTIVATION_SHARE, activation_price: float = 0.0,
    ) -> float:  # fmt: skip
        """One pass over the shuffled rows; returns the mean loss (cost included).

        ``formats`` multiplies the learning rate of strengths and ranges: 0 keeps every width and range as it is.
        In a cost in bits, a bit of an activation counts ``activation_share`` for each weight of its neuron and
        ``activation_price`` besides.
        """
        self.charged = self.charged or beta > 0
        steps = self.rows // self.batch_size
        indices = self.random.permutation(self.rows)[: steps * self.batch_size].reshape(steps, self.batch_size)
        given = (self.steps_done + 1, learning_rate, beta, formats, activation_share, activation_price)
        scalars = _tensors(np.float32(v) for v in given)
        rows = ops.convert_to_tensor(indices.astype(np.int32))
        self._moments, loss = self.update[self.charged](self._moments, self.data, rows, *scalars)
        self.steps_done += steps
        return float(loss)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Model outputs, of the variables as they are now."""
        return np.concatenate(
            [np.asarray(self.forward(X[i : i + PREDICT_ROWS])) for i in range(0, len(X), PREDICT_ROWS)]
        )

    def moments(self) -> list[np.ndarray]:
        """The optimizer's state, first and second moment of each trainable variable in turn."""
        parts = [self.packing.unpack([to_numpy(pair[part]) for pair in self._moments]) for part in range(2)]
        return [np.asarray(value) for pair in zip(*parts, strict=True) for value in pair]

    def set_moments(self, moments: Sequence[np.ndarray]) -> None:
        """Put back what `moments` gave."""
        self._moments = [
            _tensors(pair) for pair in zip(*(self.packing.pack(moments[i::2]) for i in (0, 1)), strict=True)
        ]


def _tensors(values: Iterable[Any]) -> tuple[Tensor, ...]:
    return tuple(ops.convert_to_tensor(value) for value in values)


class JaxLoop(Loop):
    """Compiled by ``jax.jit``."""

    def _compile(self, charged: bool) -> Callable[..., Any]:
        import jax

        return partial(self._update, jax.jit(partial(self._epoch, charged)))

    def _compile_forward(self) -> Callable[[np.ndarray], Any]:
        import jax

        compiled = jax.jit(lambda *values: self.model.stateless_call(*values, training=False)[0])
        parts = (self.model.trainable_variables, self.model.non_trainable_variables)
        return lambda X: compiled(*([v.value for v in part] for part in parts), X)

    def _differentiate(
        self, function: Callable[..., Any], values: list[Tensor], *rest: Any
    ) -> tuple[Any, list[Tensor]]:
        import jax

        return jax.value_and_grad(function, has_aux=True)(values, *rest)


class TensorFlowLoop(Loop):
    """Compiled by XLA as a ``tf.function``, which assigns the variables: outside it takes 40 us each."""

    def _compile(self, charged: bool) -> Callable[..., Any]:
        import tensorflow as tf

        def update(*state: Any) -> Any:
            with whole_program():
                return self._update(partial(self._epoch, charged), *state)

        compiled: Callable[..., Any] = tf.function(update, jit_compile=True)
        return compiled

    def _compile_forward(self) -> Callable[[np.ndarray], Any]:
        import tensorflow as tf

        compiled = tf.function(lambda x: self.model(x, training=False))
        return lambda X: compiled(tf.constant(X))

    def _differentiate(
        self, function: Callable[..., Any], values: list[Tensor], *rest: Any
    ) -> tuple[Any, list[Tensor]]:
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            found = function(values, *rest)
        return found, tape.gradient(found[0], values, unconnected_gradients="zero")


def make_loop(*args: Any, **kwargs: Any) -> Loop:
    """The loop of the running Keras backend; raises ValueError for one that is not supported."""
    loops = {"jax": JaxLoop, "tensorflow": TensorFlowLoop}
    backend = keras.backend.backend()
    if backend not in loops:
        raise ValueError(f"training runs on the Keras backends {' and '.join(loops)}, not on {backend!r}")
    return loops[backend](*args, **kwargs)
