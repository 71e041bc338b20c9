"""What Keras's float32 can hold of a design: which sums it rounds, and which it cannot hold at all."""

from __future__ import annotations

from flow.core.design import Design, Neuron
from flow.core.errors import ModelError
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths

FLOAT32_BITS = 24  # integers up to 2**24 are exact in float32
MAX_EXPONENT = 126  # 2**-126 is its smallest normal number; sums stay below 2**126


def float32_exactness(design: Design) -> list[tuple[str, int, int]]:
    """(layer, neuron, bits) of the neurons whose partial sums may exceed what float32 holds exactly.

    Those that were read by what Keras answers to each of their sums are exact, whatever they take here.
    """
    asked = design.source.get("asked") or []  # layers by number, or of models that branch neurons: (layer, neuron)
    names = {la.name for i, la in enumerate(design.layers) if i in asked}
    neurons = {(design.layers[pair[0]].name, pair[1]) for pair in asked if isinstance(pair, list)}
    return [
        (layer, j, bound.bit_length())
        for layer, j, bound, _ in bounds(widths(design))
        if bound > 1 << FLOAT32_BITS and layer not in names and (layer, j) not in neurons
    ]


def require_range(design: Design) -> None:
    """Raise ModelError where a sum has steps or values beyond float32's range, so that Keras itself takes others."""
    for layer, j, bound, grid in bounds(widths(design)):
        where = f"layer {layer}, neuron {j}"
        if bound and grid > MAX_EXPONENT:
            raise ModelError(
                f"{where}: its sum has steps of 2**-{grid}, which Keras takes for 0: float32 ends at "
                f"2**-{MAX_EXPONENT}; scale its inputs or weights"
            )
        if bound.bit_length() - grid > MAX_EXPONENT:
            raise ModelError(
                f"{where}: its sum can reach 2**{bound.bit_length() - grid}, which Keras takes for infinity: float32 "
                f"is used up to 2**{MAX_EXPONENT}; scale its inputs or weights"
            )


def bounds(design: Design) -> list[tuple[str, int, int, int]]:
    """(layer, neuron, bound, fraction bits): of every partial sum, in units of the finest step that occurs in it."""
    found = []
    for index, layer in enumerate(design.layers):
        formats, ranges = design.formats_into(index), design.ranges_into(index)
        largest = [max(abs(low), abs(high)) for low, high in ranges]
        found += [(layer.name, j, *_bound(n, formats, largest)) for j, n in enumerate(layer.neurons)]
    return found


def _bound(neuron: Neuron, formats: tuple[Fixed, ...], largest: list[int]) -> tuple[int, int]:
    signals = zip(neuron.weights, largest, formats, strict=True)
    terms = [(abs(w) * x, f.frac + neuron.weight_frac) for w, x, f in signals]
    terms.append((abs(neuron.bias), neuron.bias_frac))
    fracs = [frac for size, frac in terms if size]
    output = neuron.output
    if output is not None and output.rounding != "RND":
        # QKeras adds the rounding error back to the signal (x + (q - x)), which needs both steps at once.
        fracs.append(output.format.frac)
    grid = max(fracs, default=0)
    return sum(size << (grid - frac) for size, frac in terms if size), grid
