"""Steps to a design: folds scales into weights, merges quantizers where that changes no number, refuses otherwise."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from flow.core.design import Design, Layer, Neuron
from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.passes.widths import widths
from flow.extract.dyadic import exact_fraction
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Step
from flow.extract.merge import behind_relu, clamp, merge
from flow.extract.needed import needed_bits
from flow.extract.readout import neurons_of


class Assembler:
    """Folds steps one by one. The *source* is what produces the current signal: the inputs, or the last dense layer."""

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self.inputs: tuple[Quantizer, ...] | None = None
        self.layers: list[Layer] = []
        self.notes: list[str] = []
        self._output: list[Quantizer] | None = None  # quantizer of the source
        self._relu = False  # a ReLU waits for a quantizer
        self._after: Affine | None = None  # scale after the quantizer, to be folded into the next dense layer

    def add(self, step: Step, last: bool) -> None:
        """Fold one step; ``last`` says that no other follows. Raises ModelError naming the layer."""
        if isinstance(step, Quant):
            self._quant(step)
        elif isinstance(step, Relu):
            self._add_relu(step)
        elif isinstance(step, Affine):
            self._affine(step)
        elif isinstance(step, Dense):
            self._dense(step)
        elif isinstance(step, Elementwise):
            raise ModelError(f"layer {step.layer}: {step.name} has no integer form here; quantize what it returns")
        elif last:
            self.notes.append(f"the softmax of layer {step.layer} is left out: the design ends in its logits")
        else:
            raise ModelError(f"layer {step.layer}: a softmax is only possible at the end; remove it")

    def _quant(self, step: Quant) -> None:
        if self._after is not None:
            raise ModelError(
                f"layer {step.layer}: a quantizer follows the scale of layer {self._after.layer}; quantize only once"
            )
        new = [behind_relu(q) for q in step.quantizers] if self._relu else list(step.quantizers)
        self._relu = False
        if self._output is None:
            self._output = new
        else:
            self._output = [merge(a, b, step.layer) for a, b in zip(self._output, new, strict=True)]

    def _add_relu(self, step: Relu) -> None:
        if self._after is not None:
            raise ModelError(
                f"layer {step.layer}: a ReLU follows the scale of layer {self._after.layer}; put the ReLU before it"
            )
        if self._output is None:
            self._relu = True
        else:
            self._output = [clamp(q) for q in self._output]

    def _affine(self, step: Affine) -> None:
        if self._relu and self.layers:
            self._exact_relu()
        if self._output is not None:
            self._after = step if self._after is None else compose(self._after, step)
        elif not self.layers:
            raise ModelError(f"layer {step.layer} scales the inputs before any quantizer; do it in the preprocessing")
        else:
            layer = self.layers[-1]
            neurons = (_scaled(n, step, j) for j, n in enumerate(layer.neurons))
            self.layers[-1] = Layer(layer.name, tuple(neurons))

    def _dense(self, step: Dense) -> None:
        self._close()
        if step.weights.shape[0] != self.elements:
            raise ModelError(f"layer {step.layer}: {step.weights.shape[0]} inputs expected, {self.elements} arrive")
        neurons, after = neurons_of(step), self._after
        self.layers.append(Layer(step.layer, neurons if after is None else tuple(_behind(n, after) for n in neurons)))
        self.elements = step.weights.shape[1]
        self._after = None

    def _close(self) -> None:
        """Give the source its quantizers."""
        if not self.layers:
            if self._output is None:
                raise ModelError("no quantizer comes before the first dense layer")
            self.inputs = tuple(self._output)
        else:
            if self._relu:
                self._exact_relu()
            if self._output is not None:
                layer = self.layers[-1]
                pairs = zip(layer.neurons, self._output, strict=True)
                self.layers[-1] = Layer(layer.name, tuple(replace(n, output=q) for n, q in pairs))
        self._output, self._relu = None, False

    def _exact_relu(self) -> None:
        """A ReLU without quantizer: keep the whole accumulator, which is exact."""
        assert self.inputs is not None
        layer = widths(Design("unnamed", self.inputs, tuple(self.layers))).layers[-1]
        formats = [n.accumulator for n in layer.neurons]
        self._output = [clamp(Quantizer.saturating(f, "TRN")) for f in formats if f is not None]
        self._relu = False

    def end(self) -> Affine | None:
        """Give the source its quantizers, for other readers than `add`'s; the scale that they have to fold."""
        self._close()
        return self._after

    def finish(self) -> tuple[tuple[Quantizer, ...], tuple[Layer, ...]]:
        """Inputs and layers once all steps are in. Raises ModelError where something is left over."""
        if not self.layers:
            raise ModelError("the model has no dense layer; add NMPDense or QDense layers")
        self._close()
        if self._after is not None:
            raise ModelError(f"layer {self._after.layer}: a scale after the last quantizer cannot be folded; remove it")
        assert self.inputs is not None
        return self.inputs, tuple(self.layers)


def compose(first: Affine, second: Affine) -> Affine:
    """``second`` after ``first``."""
    offsets = tuple(
        int(s) * Fraction(2) ** int(e) * o1 + o2
        for s, e, o1, o2 in zip(second.sign, second.exponent, first.offset, second.offset, strict=True)
    )
    return Affine(second.layer, first.sign * second.sign, first.exponent + second.exponent, offsets)


def _behind(neuron: Neuron, affine: Affine) -> Neuron:
    """The neuron fed by ``affine``'s input instead of its output: scales go to the weights, offsets to the bias."""
    used = [int(e) for e, w, s in zip(affine.exponent, neuron.weights, affine.sign, strict=True) if w and s]
    base = min(used, default=0)
    weights = [
        w * int(s) << (int(e) - base) if w and s else 0
        for w, s, e in zip(neuron.weights, affine.sign, affine.exponent, strict=True)
    ]
    scale = Fraction(2) ** -neuron.weight_frac
    moved = sum((w * scale * o for w, o in zip(neuron.weights, affine.offset, strict=True)), Fraction(0))
    bias, bias_frac = exact_fraction(moved + neuron.bias * Fraction(2) ** -neuron.bias_frac)
    bits = needed_bits(weights, neuron.weight_bits)
    return Neuron(tuple(weights), neuron.weight_frac - base, bits, bias, bias_frac)


def _scaled(neuron: Neuron, affine: Affine, index: int) -> Neuron:
    """The neuron followed by ``affine``."""
    sign, exponent = int(affine.sign[index]), int(affine.exponent[index])
    bias = sign * Fraction(2) ** (exponent - neuron.bias_frac) * neuron.bias + affine.offset[index]
    mantissa, frac = exact_fraction(bias)
    return replace(
        neuron,
        weights=tuple(sign * w for w in neuron.weights),
        weight_frac=neuron.weight_frac - exponent,
        bias=mantissa,
        bias_frac=frac,
    )
