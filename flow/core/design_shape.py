"""The fields of a ``design.json``, each with its kind."""

from __future__ import annotations

from flow.core.shapes import ANY, Each, Fields, Maybe, Row, Table

_FIXED = Fields({"signed": bool, "bits": int, "frac": int})
_QUANTIZER = Fields({"format": _FIXED, "rounding": str, "low": int, "high": int, "overflow": str})
_NEURON = Fields({
    "weights": Each(int), "weight_frac": int, "weight_bits": float, "bias": int, "bias_frac": int,
    "output": Maybe(_QUANTIZER), "accumulator": Maybe(_FIXED),
})  # fmt: skip
_GROUP = Fields({"weight_bits": float, "neurons": Each(int)})
_LAYER = Fields({"name": str, "neurons": Each(_NEURON), "groups": Each(_GROUP)})
_WINDOW = Fields({
    "shape": Each(int), "size": Each(int), "strides": Each(int), "dilation": Each(int), "padded": Each(Row((int, int))),
    "repeats": Each(int),
})  # fmt: skip
_NODE = Fields({"name": str, "kind": str, "sources": Each(int), "window": _WINDOW})
_PORTS = Each(Row((str, int)))
_NAMES = Each(str)

# How the design came about: what is shown of it, and what decides how outputs are compared and scored.
SOURCE = Fields({
    "notes": _NAMES, "versions": Table(Maybe(str)), "input_format": Maybe(str), "left_out": Maybe(str),
    "asked": Each(ANY), "real": _NAMES, "probability": bool, "runtime": Maybe(str),
    "preprocessing": Maybe(Fields({})), "renamed": Table(str), "neurons": Table(Each(ANY)),
    "ports": Fields({"inputs": _PORTS, "outputs": _PORTS}), "input_unit": Maybe(float), "output_unit": Maybe(float),
    "names": Maybe(Fields({"inputs": _NAMES, "outputs": _NAMES})),
})  # fmt: skip
DESIGN = Fields({
    "name": str, "head": str, "inputs": Each(_QUANTIZER), "layers": Each(_LAYER), "source": SOURCE,
    "nodes": Each(_NODE),
})  # fmt: skip
