"""A Keras model evaluated layer by layer with exact sums, for models whose sums float32 cannot hold.

The quantizers are still the model's own, called on float32. An exact sum is handed to them *rounded to odd*: the last
bit of the float32 stands for everything below it, so that rounding again to a coarser grid is the same as rounding the
exact sum once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Layer, Neuron
from flow.core.evaluate import as_read
from flow.core.fixed import Ints, Quantizer
from flow.core.integers import narrowed, shifted_left, wide
from flow.core.nodes import Window
from flow.extract.arrays import to_numpy, used
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_column, exact_fraction
from flow.extract.exact_numbers import Exact, accumulated, odd_float32, rectified, scaled
from flow.extract.folded_batchnorm import folded_constants
from flow.extract.graph_trace import Call, Trace
from flow.extract.hgq_steps import LAYERS
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.mix import KINDS, Mix, read_mix
from flow.extract.read import BIAS, steps_of
from flow.extract.readout import neurons_of
from flow.extract.remedies import IGNORED
from flow.extract.windows import AVERAGING, CONVOLUTIONS, MAXIMA, members, window_of

Floats = NDArray[np.float64]
_ELEMENTS = 1 << 24  # under the windows of a layer at a time


def layerwise_outputs(
    traced: Trace, inputs: NDArray[np.float32], real: Collection[str] = (), whole: bool = False
) -> Exact:
    """Logits for rows that hold the model's inputs one after the other; if ``whole``, with the functions at the end.

    Scales and offsets of the layers in ``real`` are applied as real numbers, those of others as Keras does in float32.
    """
    heaviest = max((seen.count * seen.places * seen.channels for seen in map(_slides, traced.calls) if seen), default=1)
    rows = max(1, _ELEMENTS // heaviest)
    parts = [_outputs(traced, inputs[i : i + rows], real, whole) for i in range(0, max(len(inputs), 1), rows)]
    if len(parts) == 1:
        return parts[0]
    fracs = np.max([part.fracs for part in parts], axis=0)
    lifted = [wide(shifted_left(wide(part.mantissas), fracs - np.array(part.fracs, np.int64))) for part in parts]
    return Exact(narrowed(np.concatenate(lifted)), fracs.tolist())


def _outputs(traced: Trace, inputs: NDArray[np.float32], real: Collection[str], whole: bool) -> Exact:
    places = np.cumsum([entry.elements for entry in traced.inputs])[:-1]
    values: dict[int, Exact | NDArray[np.float32]] = dict(enumerate(np.split(as_read(inputs), places, axis=1)))
    ends = frozenset() if whole else traced.ends
    for call in traced.calls:
        source = values[call.sources[0]]
        if call.kind in IGNORED:
            values[call.result] = source
        elif call.kind in KINDS:
            values[call.result] = _mixed(read_mix(call), [_exact(values[s]) for s in call.sources])
        elif call.kind in MAXIMA:
            values[call.result] = _largest(_exact(source), members(_window(call)))
        elif call.kind == "Relu":
            values[call.result] = rectified(_exact(source))
        elif (seen := _slides(call)) is not None:
            filters = call.applied.output_shape[-1:]
            single = Applied(call.applied.layer, (*seen.size, seen.channels), filters, single=True)
            made = _apply(single, _under(seen, _exact(source)), call.name in real, call.result in ends)
            values[call.result] = _map_of(made, len(inputs))
        else:
            values[call.result] = _apply(call.applied, source, call.name in real, call.result in ends)
    return _joined([_exact(values[value]) for value in traced.outputs])


def _window(call: Call) -> Window:
    return window_of(call.name, call.kind, call.applied.layer.get_config(), call.applied.input_shape)


def _slides(call: Call) -> Window | None:
    """The window of a layer that does the same at every position."""
    if call.kind not in CONVOLUTIONS | AVERAGING:
        return None
    found = _window(call)
    return None if call.kind in AVERAGING and found.is_padded else found  # of fewer values at the borders


def _under(window: Window, values: Exact) -> Exact:
    """What lies under a window at all its positions (vectors by positions x elements)."""
    own = np.array(values.fracs, np.int64)
    fracs = own.reshape(-1, window.channels).max(axis=0)
    lifted = shifted_left(values.mantissas, np.tile(fracs, window.pixel_count) - own)
    seen = window.under(lifted.reshape(len(lifted), window.pixel_count, window.channels))
    return Exact(seen.reshape(-1, window.places * window.channels), fracs.tolist() * window.places)


def _map_of(made: Exact | NDArray[np.float32], vectors: int) -> Exact | NDArray[np.float32]:
    """Pixels (vectors by positions x filters) as elements of a map."""
    if not isinstance(made, Exact):
        return made.reshape(vectors, -1)
    columns = made.mantissas.reshape(vectors, -1)
    return Exact(columns, made.fracs * (columns.shape[1] // max(len(made.fracs), 1)))


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


def _largest(values: Exact, rows: Sequence[Ints]) -> Exact:
    """The largest of these columns of values, for every row of them."""
    columns, fracs = [], []
    for row in rows:
        finest = max(values.fracs[i] for i in row)
        lifted = [wide(shifted_left(wide(values.mantissas[:, i]), finest - values.fracs[i])) for i in row]
        columns.append(np.stack(lifted, axis=1).max(axis=1))
        fracs.append(finest)
    return Exact(narrowed(np.stack(columns, axis=1)), fracs)


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
        values = accumulated(_layer(applied), _exact(values))
        steps = steps[1:]
        function = getattr(applied.layer, "activation_quantizer", None) or getattr(applied.layer, "activation", None)
    while steps and isinstance(steps[0], Elementwise | Affine):
        values = _elementwise(steps[0], values, real, ends)
        steps = steps[1:]
    if not steps or isinstance(steps[0], Softmax):
        return values
    if isinstance(steps[0], Relu):
        return rectified(_exact(values))
    quant = next(s for s in steps if isinstance(s, Quant))
    limits = np.array([reach(q) for q in quant.quantizers])
    seen = odd_float32(np.clip(values.floats() if isinstance(values, Exact) else values, -limits, limits))
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
        return accumulated(Layer(step.layer, neurons_of(step)), _exact(values))
    return rectified(_exact(values)) if isinstance(step, Relu) else values


def _elementwise(
    step: Elementwise | Affine, values: Exact | NDArray[np.float32], real: bool, ends: bool
) -> Exact | NDArray[np.float32]:
    """A scale in real numbers, or a function as Keras computes it; one at the end that may be left out is."""
    if isinstance(step, Elementwise) and not (real and step.scale is not None):
        if step.left_out and ends:
            return values
        return step.function(odd_float32(values.floats()) if isinstance(values, Exact) else values)
    return scaled(step, _exact(values))


def _layer(applied: Applied) -> Layer:
    """The dense layer that predictions compute, from the floats of its kernel and its bias; not its float bias."""
    layer = applied.layer
    if applied.kind in CONVOLUTIONS | AVERAGING:
        dense = steps_of(applied)[0]
        assert isinstance(dense, Dense)
        return Layer(applied.name, neurons_of(dense))
    if applied.kind == "QDenseBatchnorm":
        constants, folded = folded_constants(applied)
        kernel, bias = as_read(constants), as_read(folded).astype(np.float64)
    else:
        kernel = as_read(used(layer, "kernel", layer.kernel))
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
    return as_read(used(layer, "bias", layer.bias)).astype(np.float64)
