"""A Keras model evaluated layer by layer with exact sums, for models whose sums float32 cannot hold.

The quantizers are still the model's own, called on float32. An exact sum is handed to them *rounded to odd*: the last
bit of the float32 stands for everything below it, so that rounding again to a coarser grid is the same as rounding the
exact sum once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Layer, Neuron
from flow.core.evaluate import accumulate, as_read
from flow.core.fixed import Fixed, Quantizer
from flow.core.integers import Ints, narrowed, shifted_left, wide
from flow.extract.arrays import predicted, to_numpy
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_column, exact_fraction
from flow.extract.folded_batchnorm import folded_constants
from flow.extract.graph_trace import Trace
from flow.extract.hgq_steps import LAYERS
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.mix import KINDS, Mix, read_mix
from flow.extract.read import BIAS, steps_of
from flow.extract.readout import neurons_of, parameters
from flow.extract.remedies import IGNORED

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """Numbers (vectors x elements) as mantissas and the fraction bits of each column."""

    mantissas: Ints
    fracs: list[int]

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Exact:
        """The finite floats that they are, each column on the coarsest grid that holds it."""
        values = np.asarray(values, np.float64).reshape(len(values), -1)
        parts, exponents = np.frexp(values)
        whole = np.ldexp(parts, 53).astype(np.int64)
        zeros = np.log2(np.maximum(whole & -whole, 1).astype(np.float64)).astype(np.int64)
        steps = np.where(whole == 0, np.iinfo(np.int64).max, exponents + zeros - 53).min(axis=0, initial=1 << 40)
        fracs = [-int(s) if s < 1 << 40 else 0 for s in steps]
        scaled = np.ldexp(values, fracs)
        small = np.abs(scaled).max(initial=0) < 2.0**62
        return cls(scaled.astype(np.int64) if small else np.vectorize(int, otypes=[object])(scaled), fracs)

    def floats(self) -> Floats:
        """The numbers, rounded to odd where float64 does not hold them."""
        return np.asarray(np.ldexp(_odd_float64(self.mantissas), [-f for f in self.fracs]), np.float64)


def layerwise_outputs(
    traced: Trace, inputs: NDArray[np.float32], real: Collection[str] = (), whole: bool = False
) -> Exact:
    """Logits for rows that hold the model's inputs one after the other; if ``whole``, with the functions at the end.

    Scales and offsets of the layers in ``real`` are applied as real numbers, those of others as Keras does in float32.
    """
    places = np.cumsum([entry.elements for entry in traced.inputs])[:-1]
    values: dict[int, Exact | NDArray[np.float32]] = dict(enumerate(np.split(as_read(inputs), places, axis=1)))
    ends = frozenset() if whole else traced.ends
    for call in traced.calls:
        source = values[call.sources[0]]
        if call.kind in IGNORED:
            values[call.result] = source
        elif call.kind in KINDS:
            values[call.result] = _mixed(read_mix(call), [_exact(values[s]) for s in call.sources])
        elif call.kind == "Relu":
            values[call.result] = _rectified(_exact(source))
        else:
            values[call.result] = _apply(call.applied, source, call.name in real, call.result in ends)
    return _joined([_exact(values[value]) for value in traced.outputs])


def _joined(parts: Sequence[Exact]) -> Exact:
    """The columns of all parts, one after the other."""
    exact = object if any(part.mantissas.dtype == object for part in parts) else np.int64
    columns = np.concatenate([part.mantissas.astype(exact) for part in parts], axis=1)
    return Exact(columns, [frac for part in parts for frac in part.fracs])


def _mixed(mix: Mix, sources: Sequence[Exact]) -> Exact:
    """The sums of a `Mix`, exactly."""
    columns, fracs = [], []
    for element, offset in enumerate(mix.offset):
        mantissa, own = exact_fraction(offset)
        terms = [(np.full(len(sources[0].mantissas), mantissa, object), own)] if mantissa else []
        for source, place, factors in zip(sources, mix.places, mix.factors, strict=True):
            if place[element] >= 0:
                factor, down = exact_fraction(factors[element])
                terms.append((wide(source.mantissas[:, place[element]]) * factor, source.fracs[place[element]] + down))
        fracs.append(max((frac for _, frac in terms), default=0))
        zeros = np.zeros(len(sources[0].mantissas), object)
        columns.append(sum((wide(shifted_left(t, fracs[-1] - frac)) for t, frac in terms), zeros))
    return Exact(narrowed(np.stack(columns, axis=1)), fracs)


def _accumulated(layer: Layer, values: Exact) -> Exact:
    return Exact(*accumulate(layer, values.mantissas, tuple(Fixed(True, 1, f) for f in values.fracs)))


def _rectified(values: Exact) -> Exact:
    return Exact(np.maximum(values.mantissas, 0), values.fracs)


def reach(quantizer: Quantizer) -> float:
    """A magnitude beyond which every value saturates."""
    return float(2 * max(-quantizer.low, quantizer.high + 1) * 2.0**-quantizer.format.frac)


def _exact(values: Exact | NDArray[np.float32]) -> Exact:
    return values if isinstance(values, Exact) else Exact.of(values)


def _apply(
    applied: Applied, values: Exact | NDArray[np.float32], real: bool, ends: bool
) -> Exact | NDArray[np.float32]:
    steps = steps_of(applied)
    if applied.kind in LAYERS:
        for step in steps:
            values = _hgq_step(step, values, real, ends)
        return values
    function: Any = lambda x: applied.layer(x, training=False)  # noqa: E731
    if isinstance(steps[0] if steps else None, Dense):
        values = _accumulated(_layer(applied), _exact(values))
        steps = steps[1:]
        function = getattr(applied.layer, "activation_quantizer", None) or applied.layer.activation
    while steps and isinstance(steps[0], Elementwise | Affine):
        values = _elementwise(steps[0], values, real, ends)
        steps = steps[1:]
    if not steps or isinstance(steps[0], Softmax):
        return values
    if isinstance(steps[0], Relu):
        return _rectified(_exact(values))
    quant = next(s for s in steps if isinstance(s, Quant))
    limits = np.array([reach(q) for q in quant.quantizers])
    seen = _odd_float32(np.clip(values.floats() if isinstance(values, Exact) else values, -limits, limits))
    answers = to_numpy(function(seen.reshape(len(seen), *applied.output_shape)))
    return np.asarray(answers, np.float32).reshape(len(seen), -1)


def _hgq_step(step: Step, values: Exact | NDArray[np.float32], real: bool, ends: bool) -> Exact | NDArray[np.float32]:
    """A step of a layer of HGQ, whose quantizers may wrap, which no rounding before it allows for."""
    if isinstance(step, Elementwise | Affine):
        return _elementwise(step, values, real, ends)
    if isinstance(step, Quant):
        columns = [
            q.from_integer(values.mantissas[:, j], values.fracs[j])
            if isinstance(values, Exact)
            else q.from_float(values[:, j])
            for j, q in enumerate(step.quantizers)
        ]
        return Exact(np.stack(columns, axis=1), [q.format.frac for q in step.quantizers])
    if isinstance(step, Dense):
        return _accumulated(Layer(step.layer, neurons_of(step)), _exact(values))
    return _rectified(_exact(values)) if isinstance(step, Relu) else values


def _elementwise(
    step: Elementwise | Affine, values: Exact | NDArray[np.float32], real: bool, ends: bool
) -> Exact | NDArray[np.float32]:
    """A scale in real numbers, or a function as Keras computes it; one at the end that may be left out is."""
    if isinstance(step, Elementwise) and not (real and step.scale is not None):
        if step.left_out and ends:
            return values
        return step.function(_odd_float32(values.floats()) if isinstance(values, Exact) else values)
    return _scaled(step, _exact(values))


def _scaled(step: Affine | Elementwise, values: Exact) -> Exact:
    columns, fracs = [], []
    for j, (scale, offset) in enumerate(zip(*parameters(step), strict=True)):
        (factor, down), (mantissa, own) = exact_fraction(scale), exact_fraction(offset)
        frac = values.fracs[j] + down
        fracs.append(max(frac, own if mantissa else frac))
        column = shifted_left(wide(values.mantissas[:, j]) * factor, fracs[-1] - frac)
        columns.append(wide(column) + (mantissa << fracs[-1] - own if mantissa else 0))
    return Exact(narrowed(np.stack(columns, axis=1)), fracs)


def _layer(applied: Applied) -> Layer:
    """The dense layer that predictions compute, from the floats of its kernel and its bias; not its float bias."""
    layer = applied.layer
    if applied.kind == "QDenseBatchnorm":
        constants, folded = folded_constants(applied)
        kernel, bias = as_read(constants), as_read(folded).astype(np.float64)
    else:
        quantizer = getattr(layer, "kernel_quantizer_internal", None)
        kernel = as_read(to_numpy(layer.kernel) if quantizer is None else predicted(quantizer, layer.kernel))
        bias = _bias(applied)
    if any(isinstance(s, Elementwise) and s.name == BIAS for s in steps_of(applied)):
        bias = np.zeros(1)
    bias, neurons = np.broadcast_to(bias, kernel.shape[1:]), []
    for j in range(kernel.shape[1]):
        (own,), bias_frac = exact_column(bias[j : j + 1])
        weights, frac = exact_column(kernel[:, j])
        neurons.append(Neuron(tuple(weights), frac, 0.0, own, bias_frac))
    return Layer(applied.name, tuple(neurons))


def _bias(applied: Applied) -> Floats:
    layer = applied.layer
    if hasattr(layer, "export_integer"):
        part = next(p for p in layer.export_integer() if p["kind"] == "dense")
        return np.asarray(np.ldexp(np.asarray(part["bias"], np.float64), -np.asarray(part["bias_frac"])))
    if not layer.use_bias:
        return np.zeros(1)
    if getattr(layer, "bias_quantizer", None):
        return as_read(predicted(layer.bias_quantizer_internal, layer.bias)).astype(np.float64)
    return as_read(to_numpy(layer.bias)).astype(np.float64)


def _odd_float64(values: Ints) -> Floats:
    """Integers to float64, rounded to odd."""
    nearest = values.astype(np.float64)
    if values.dtype == np.int64 and np.abs(nearest).max(initial=0) < 2.0**53:
        return nearest
    back = np.vectorize(int, otypes=[object])(nearest) if nearest.size else wide(values)
    over = (back - wide(values)) * np.sign(wide(values))  # by how much too large in magnitude
    return _odd(nearest, np.asarray(over > 0, bool), np.asarray(over != 0, bool), np.int64)


def _odd_float32(values: Floats) -> NDArray[np.float32]:
    """float64 to float32, rounded to odd."""
    values = np.asarray(values, np.float64)
    nearest = values.astype(np.float32)
    exact = nearest.astype(np.float64)
    return np.asarray(_odd(nearest, np.abs(exact) > np.abs(values), exact != values, np.int32), np.float32)


def _odd(nearest: NDArray[Any], beyond: NDArray[np.bool_], inexact: NDArray[np.bool_], bits: Any) -> NDArray[Any]:
    """Rounded to odd: towards zero, with the last bit set where something was cut off."""
    cut = np.where(beyond, np.nextafter(nearest, nearest.dtype.type(0)), nearest).astype(nearest.dtype)
    return np.asarray((cut.view(bits) | inexact.astype(bits)).view(nearest.dtype))
