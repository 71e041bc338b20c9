"""Compiled training: one call per epoch, data and optimizer state on the device, on JAX or TensorFlow.

`make_engine` gives the engine of the running Keras backend. Both take the same steps from the same seeds: the order of
rows comes from NumPy, the update rules from `optimizer_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from .export import precision_layers
from .packing import Packing

Tensor = Any
PREDICT_ROWS = 8192
COST_STEPS = 4  # steps that share one gradient of the hardware cost: it depends on the variables only, not on the rows
FORMAT_ROLES = ("strength", "log2_range")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam or SGD; ``strength_rate`` and ``range_rate`` multiply the learning rate of strengths and log2 ranges."""

    name: str = "adam"
    strength_rate: float = 1.0
    range_rate: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def rates(self, variables: Sequence[Any]) -> list[float]:
        """The learning-rate multiplier of each variable, by its role."""
        roles = tuple(zip(FORMAT_ROLES, (self.strength_rate, self.range_rate), strict=True))
        return [next((rate for role, rate in roles if v.name.endswith(role)), 1.0) for v in variables]


def optimizer_step(
    config: OptimizerConfig,
    rates: Sequence[Any],
    learning_rate: Tensor,
    step: Tensor,
    values: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Sequence[tuple[Tensor, Tensor]],
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """New values and moments; ``step`` counts from 1 (float). A rate is a number or has the value's shape."""
    if config.name == "sgd":
        return [v - learning_rate * r * g for v, r, g in zip(values, rates, gradients, strict=True)], list(moments)
    correction = ops.sqrt(1.0 - config.beta_2**step) / (1.0 - config.beta_1**step)
    new_values, new_moments = [], []
    for value, rate, gradient, (first, second) in zip(values, rates, gradients, moments, strict=True):
        first = config.beta_1 * first + (1.0 - config.beta_1) * gradient
        second = config.beta_2 * second + (1.0 - config.beta_2) * ops.square(gradient)
        change = first / (ops.sqrt(second) + config.epsilon)
        new_values.append(value - learning_rate * rate * correction * change)
        new_moments.append((first, second))
    return new_values, new_moments


def task_loss(task: str, targets: Tensor, outputs: Tensor) -> Tensor:
    """Mean squared error, or cross-entropy of logits with integer classes."""
    if task == "regression":
        return ops.mean(ops.square(outputs - targets))
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True))


class Engine:
    """Trains ``model`` in place on (X, y); rows beyond full batches are left out of an epoch (others each time)."""

    def __init__(
        self, model: keras.Model, X: np.ndarray, y: np.ndarray, task: str,
        optimizer: OptimizerConfig, batch_size: int, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.task, self.optimizer = model, task, optimizer
        self.batch_size = min(batch_size, len(X))
        self.rows = len(X)
        self.random = np.random.default_rng(seed)
        self.steps_done = 0
        self.charged = False  # a cost without weight is not computed; once it was, it stays: no second compilation
        self.rates = optimizer.rates(model.trainable_variables)
        self.of_formats = [v.name.endswith(FORMAT_ROLES) for v in model.trainable_variables]
        self.packing = Packing([v.shape for v in model.trainable_variables])
        self._prepare(X, y)

    def restart(self, seed: int) -> None:
        """As if new, with what is compiled kept; the model's weights are the caller's to set."""
        self.random = np.random.default_rng(seed)
        self.steps_done = 0
        self._forget()

    def _prepare(self, X: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        raise NotImplementedError

    def _rates(self, formats: Tensor) -> list[Any]:
        """The multipliers of the packed variables, those of strengths and ranges times ``formats``."""
        parts = [self.packing.spread([r * (f == part) for r, f in zip(self.rates, self.of_formats, strict=True)])
                 for part in (False, True)]  # fmt: skip
        return [fixed + scaled * formats for fixed, scaled in zip(*parts, strict=True)]

    def _constrained(self, packed: Sequence[Tensor]) -> list[Tensor]:
        """Packed variables within what their constraints allow; intervals are applied to all in one operation."""
        constraints = [v.constraint for v in self.model.trainable_variables]
        bounds = [getattr(c, "bounds", (-np.inf, np.inf)) for c in constraints]
        low, high = (self.packing.spread(ends) for ends in zip(*bounds, strict=True))
        packed = [v if np.isinf([a, b]).all() else ops.clip(v, a, b) for v, a, b in zip(packed, low, high, strict=True)]
        if all(c is None or hasattr(c, "bounds") for c in constraints):
            return packed
        values = zip(self.packing.unpack(packed), constraints, strict=True)
        return self.packing.pack([v if c is None else c(v) for v, c in values])

    def _run(self, indices: np.ndarray, learning_rate: float, beta: float, formats: float) -> float:
        raise NotImplementedError

    def _cost(self) -> Tensor:
        """Scalar: the hardware cost in the loss."""
        costs = (layer.beta * layer.hardware_cost(exact=False) for layer in precision_layers(self.model))
        return ops.convert_to_tensor(sum(costs, start=0.0), "float32")

    @contextmanager
    def _uncharged(self) -> Iterator[None]:
        """The model's calls leave their cost out of its losses: the engine takes it from `_cost`."""
        layers = precision_layers(self.model)
        before = [layer.charged for layer in layers]
        for layer in layers:
            layer.charged = False
        try:
            yield
        finally:
            for layer, charged in zip(layers, before, strict=True):
                layer.charged = charged

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Model outputs, of the variables as they are now."""
        raise NotImplementedError

    def moments(self) -> list[np.ndarray]:
        """The optimizer's state, first and second moment of each trainable variable in turn."""
        raise NotImplementedError

    def _pairs(self, to_numpy: Callable[[Any], np.ndarray]) -> list[np.ndarray]:
        parts = [self.packing.unpack([to_numpy(pair[part]) for pair in self._moments]) for part in range(2)]
        return [np.asarray(value) for pair in zip(*parts, strict=True) for value in pair]

    def set_moments(self, moments: Sequence[np.ndarray]) -> None:
        """Put back what `moments` gave."""
        raise NotImplementedError

    def epoch(self, learning_rate: float, beta: float, formats: float = 1.0) -> float:
        """One pass over the shuffled rows; returns the mean loss (cost included).

        ``formats`` multiplies the learning rate of strengths and ranges: 0 keeps every width and range as it is.
        """
        self.charged = self.charged or beta > 0
        steps = self.rows // self.batch_size
        indices = self.random.permutation(self.rows)[: steps * self.batch_size].reshape(steps, self.batch_size)
        loss = self._run(indices.astype(np.int32), learning_rate, beta, formats)
        self.steps_done += steps
        return loss


def _beta_positions(model: keras.Model) -> list[int]:
    return [i for i, v in enumerate(model.non_trainable_variables) if v.name == "beta"]


class JaxEngine(Engine):
    """One jitted loop per epoch over data that stays on the device."""

    def _prepare(self, X: np.ndarray, y: np.ndarray) -> None:
        import jax
        import jax.numpy as jnp

        self._X, self._y = jnp.asarray(X), jnp.asarray(y)
        self._forget()
        self._betas = _beta_positions(self.model)
        self._compiled = jax.jit(self._epoch, static_argnums=0)
        self._forward = jax.jit(lambda t, n, x: self.model.stateless_call(t, n, x, training=False)[0])

    def _forget(self) -> None:
        import jax.numpy as jnp

        self._moments = [(jnp.asarray(zeros), jnp.asarray(zeros)) for zeros in self.packing.zeros()]

    def _epoch(
        self, charged: bool, state: Any, X: Tensor, y: Tensor, indices: Tensor,
        learning_rate: Tensor, beta: Tensor, formats: Tensor,
    ) -> Any:  # fmt: skip
        import jax
        import jax.numpy as jnp

        rates, steps = self._rates(formats), indices.shape[0]

        def loss_of(trainable: Any, fixed: Any, x: Tensor, target: Tensor) -> tuple[Tensor, Any]:
            with self._uncharged():
                out, fixed, losses = self.model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
            return task_loss(self.task, target, out) + sum(losses, start=0.0), fixed

        def cost_of(trainable: Any, fixed: Any) -> Tensor:
            variables = [*self.model.trainable_variables, *self.model.non_trainable_variables]
            with keras.StatelessScope(state_mapping=zip(variables, [*trainable, *fixed], strict=True)):
                return self._cost()

        def step(cost: Any, i: Tensor, carry: Any) -> Any:
            packed, fixed, moments, count, total = carry
            rows = jax.lax.dynamic_index_in_dim(indices, i, keepdims=False)
            batch = (jnp.take(X, rows, axis=0), jnp.take(y, rows, axis=0))
            (loss, fixed), found = jax.value_and_grad(loss_of, has_aux=True)(self.packing.unpack(packed), fixed, *batch)
            gradients = self.packing.pack(found)
            if cost is not None:
                loss, gradients = loss + cost[0], [a + b for a, b in zip(gradients, cost[1], strict=True)]
            packed, moments = optimizer_step(
                self.optimizer, rates, learning_rate, count, packed, gradients, moments
            )
            return self._constrained(packed), fixed, moments, count + 1.0, total + loss

        def charged_steps(i: Tensor, carry: Any) -> Any:
            cost, found = jax.value_and_grad(cost_of)(self.packing.unpack(carry[0]), carry[1])
            first, end = COST_STEPS * i, jnp.minimum(COST_STEPS * (i + 1), steps)
            return jax.lax.fori_loop(first, end, partial(step, (cost, self.packing.pack(found))), carry)

        trainable, fixed, moments, count = state
        fixed = [beta if i in self._betas else v for i, v in enumerate(fixed)]
        carry = (self.packing.pack(trainable), fixed, moments, count, np.float32(0.0))
        if charged:
            carry = jax.lax.fori_loop(0, -(-steps // COST_STEPS), charged_steps, carry)
        else:
            carry = jax.lax.fori_loop(0, steps, partial(step, None), carry)
        packed, fixed, moments, _, total = carry
        return self.packing.unpack(packed), fixed, moments, total / steps

    def _values(self) -> tuple[list[Any], list[Any]]:
        return (
            [v.value for v in self.model.trainable_variables],
            [v.value for v in self.model.non_trainable_variables],
        )

    def _run(self, indices: np.ndarray, learning_rate: float, beta: float, formats: float) -> float:
        scalars = (np.float32(learning_rate), np.float32(beta), np.float32(formats))
        state = (*self._values(), self._moments, np.float32(self.steps_done + 1))
        trainable, fixed, self._moments, loss = self._compiled(
            self.charged, state, self._X, self._y, indices, *scalars
        )
        for variable, value in zip(self.model.trainable_variables, trainable, strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.non_trainable_variables, fixed, strict=True):
            variable.assign(value)
        return float(loss)

    def moments(self) -> list[np.ndarray]:
        """The optimizer's state, first and second moment of each trainable variable in turn."""
        return self._pairs(np.asarray)

    def set_moments(self, moments: Sequence[np.ndarray]) -> None:
        """Put back what `moments` gave."""
        import jax.numpy as jnp

        first, second = (self.packing.pack(part) for part in (moments[::2], moments[1::2]))
        self._moments = [(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(first, second, strict=True)]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Model outputs, of the variables as they are now."""
        parts = [self._forward(*self._values(), X[i : i + PREDICT_ROWS]) for i in range(0, len(X), PREDICT_ROWS)]
        return np.concatenate([np.asarray(p) for p in parts])


class TensorFlowEngine(Engine):
    """One ``tf.function`` per epoch with a loop inside."""

    def _prepare(self, X: np.ndarray, y: np.ndarray) -> None:
        import tensorflow as tf

        self._X, self._y = tf.constant(X), tf.constant(y)
        self._moments = [(tf.Variable(zeros), tf.Variable(zeros)) for zeros in self.packing.zeros()]
        self._betas = [self.model.non_trainable_variables[i] for i in _beta_positions(self.model)]
        self._step, self._charge = self._one_step, self._one_charge
        self._compiled = tf.function(self._epoch, jit_compile=True)
        self._forward = tf.function(lambda x: self.model(x, training=False))

    def _forget(self) -> None:
        import tensorflow as tf

        for pair in self._moments:
            for moment in pair:
                moment.assign(tf.zeros(moment.shape))

    def _gradients(self, tape: Any, loss: Tensor) -> list[Tensor]:
        """Of all trainable variables, packed."""
        import tensorflow as tf

        variables = self.model.trainable_variables
        found = tape.gradient(loss, [v.value for v in variables])
        return self.packing.pack([tf.zeros(v.shape) if g is None else g for g, v in zip(found, variables, strict=True)])

    def _one_charge(self) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            cost = self._cost()
        return cost, self._gradients(tape, cost)

    def _one_step(
        self, cost: Any, index: Tensor, learning_rate: Tensor, formats: Tensor, count: Tensor
    ) -> Tensor:  # fmt: skip
        import tensorflow as tf

        variables = self.model.trainable_variables
        with tf.GradientTape() as tape, self._uncharged():
            out = self.model(tf.gather(self._X, index), training=True)
            loss = task_loss(self.task, tf.gather(self._y, index), out) + sum(self.model.losses, start=0.0)
        gradients = self._gradients(tape, loss)
        if cost is not None:
            loss, gradients = loss + cost[0], [a + b for a, b in zip(gradients, cost[1], strict=True)]
        moments = [(a.value(), b.value()) for a, b in self._moments]
        packed, moments = optimizer_step(
            self.optimizer, self._rates(formats), learning_rate, count,
            self.packing.pack([v.value for v in variables]), gradients, moments,
        )  # fmt: skip
        for variable, value in zip(variables, self.packing.unpack(self._constrained(packed)), strict=True):
            variable.assign(value)
        for (first, second), (new_first, new_second) in zip(self._moments, moments, strict=True):
            first.assign(new_first)
            second.assign(new_second)
        return loss

    def _epoch(self, charge: bool, indices: Tensor, learning_rate: Tensor, formats: Tensor, count: Tensor) -> Tensor:
        import tensorflow as tf

        steps = indices.shape[0]

        def step(cost: Any, i: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
            return i + 1, total + self._step(cost, indices[i], learning_rate, formats, count + tf.cast(i, tf.float32))

        def charged(first: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
            end, cost = tf.minimum(first + COST_STEPS, steps), self._charge()
            return tf.while_loop(lambda i, _: i < end, partial(step, cost), (first, total))

        body = charged if charge else partial(step, None)
        _, total = tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), tf.constant(0.0)))
        return total / steps

    def _run(self, indices: np.ndarray, learning_rate: float, beta: float, formats: float) -> float:
        import tensorflow as tf

        for variable in self._betas:
            variable.assign(beta)
        scalars = [tf.constant(s, tf.float32) for s in (learning_rate, formats, self.steps_done + 1)]
        return float(self._compiled(self.charged, tf.constant(indices), *scalars))

    def moments(self) -> list[np.ndarray]:
        """The optimizer's state, first and second moment of each trainable variable in turn."""
        return self._pairs(lambda moment: moment.numpy())

    def set_moments(self, moments: Sequence[np.ndarray]) -> None:
        """Put back what `moments` gave."""
        for part in range(2):
            for pair, value in zip(self._moments, self.packing.pack(moments[part::2]), strict=True):
                pair[part].assign(value)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Model outputs, of the variables as they are now."""
        import tensorflow as tf

        parts = [self._forward(tf.constant(X[i : i + PREDICT_ROWS])) for i in range(0, len(X), PREDICT_ROWS)]
        return np.concatenate([p.numpy() for p in parts])


def make_engine(*args: Any, **kwargs: Any) -> Engine:
    """The engine of the running Keras backend; raises ValueError for one that is not supported."""
    engines = {"jax": JaxEngine, "tensorflow": TensorFlowEngine}
    backend = keras.backend.backend()
    if backend not in engines:
        raise ValueError(f"training runs on the Keras backends {' and '.join(engines)}, not on {backend!r}")
    return engines[backend](*args, **kwargs)
