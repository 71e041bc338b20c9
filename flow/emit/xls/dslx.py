"""The design in DSLX, the language of the XLS compiler: a second route to hardware that shares no arithmetic with ours.

Neurons of one width group share a function whose weights are parameters in the group's own width; each neuron calls it
with its row of weights and the exact width of its own sum, then rounds and saturates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.design import Design, Group, Layer, layer_output_formats
from flow.core.fixed import Fixed
from flow.emit.rtl.expressions import port_bits
from flow.emit.templates import FOLDER, render
from flow.emit.xls.neuron import NeuronText, SharedSum, neuron_text, shifted, signed_bits

TOP = "network"
WORDS = f"{TOP}_words"


@dataclass(frozen=True)
class _Row:
    neuron: int
    weights: str


@dataclass(frozen=True)
class _GroupText:
    title: str
    columns: str
    constant: str
    function: str
    weight: str
    width: int
    product: str
    terms: tuple[str, ...]
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class _LayerText:
    name: str
    function: str
    type: str
    inputs: int
    input_types: str
    input_note: str
    output_types: str
    groups: tuple[_GroupText, ...]
    neurons: tuple[NeuronText, ...]
    result: str


def emit_dslx(design: Design) -> str:
    """DSLX of a design (widths and group passes done): function ``network`` maps packed inputs to packed outputs.

    ``network_words`` is the same function on arrays of 32-bit words, for running it as software.
    """
    layers = [_layer_text(design, index) for index in range(len(design.layers))]
    head, pack = _head(design, f"x{len(layers)}")
    input_bits = port_bits(design.input_formats)
    result_bits = output_bits(design)
    return render(
        "network.x.j2",
        design=design.name,
        arithmetic=(FOLDER / "arithmetic.x").read_text(),
        layers=layers,
        top=TOP,
        input_bits=input_bits,
        output_bits=result_bits,
        input_words=math.ceil(input_bits / 32),
        output_words=math.ceil(result_bits / 32),
        unpack=_unpack(design.input_formats),
        head=head,
        pack=pack,
    )


def output_bits(design: Design) -> int:
    """Width of the packed result: the logits, or a class index."""
    formats = design.output_formats
    return max((len(formats) - 1).bit_length(), 1) if design.head == "argmax" else port_bits(formats)


def _layer_text(design: Design, index: int) -> _LayerText:
    layer, formats = design.layers[index], design.formats_into(index)
    function = f"layer{index}_{layer.name}"
    fields = _fields(formats)
    sums: dict[int, SharedSum] = {}
    groups = []
    for grp in layer.groups:
        text, shared = _group_text(layer, grp, formats, fields, function)
        if text is not None:
            groups.append(text)
            sums.update(shared)
    ranges = design.ranges_into(index)
    neurons = tuple(neuron_text(n, j, sums.get(j), formats, ranges) for j, n in enumerate(layer.neurons))
    outputs = layer_output_formats(layer)
    return _LayerText(
        name=layer.name,
        function=function,
        type=f"Layer{index}_{layer.name}",
        inputs=len(formats),
        input_types=_tuple([_type(formats[i]) for i in fields]),
        input_note=("inputs " + " ".join(f"{i}:{formats[i]}" for i in fields)) if fields else "no input has a bit",
        output_types=_tuple([_type(f) for f in outputs if f.bits]),
        groups=tuple(groups),
        neurons=neurons,
        result=_tuple([f"y{j}" for j, f in enumerate(outputs) if f.bits]),
    )


def _group_text(
    layer: Layer, grp: Group, formats: tuple[Fixed, ...], fields: dict[int, int], function: str
) -> tuple[_GroupText | None, dict[int, SharedSum]]:
    """The shared function of one group and how each of its neurons calls it; None if no weight counts."""
    rows = {j: layer.neurons[j].weights for j in grp.neurons}
    columns = [i for i in fields if any(w[i] for w in rows.values())]
    summing = [j for j in grp.neurons if any(rows[j][i] for i in columns)]
    if not summing:
        return None, {}
    label = f"w{grp.weight_bits:g}".replace(".", "p")
    name, constant = f"{function}_{label}", f"{function}_{label}".upper()
    used = [rows[j][i] for j in summing for i in columns]
    one_bit = grp.weight_bits <= 1 and all(abs(w) == 1 for w in used)
    bits = 1 if one_bit else max(signed_bits(min(used), max(used)), min(math.ceil(grp.weight_bits), 32))
    finest = max(formats[i].frac for i in columns)
    text = _GroupText(
        title=f"{len(summing)} neuron{'s' * (len(summing) > 1)} of {grp.weight_bits:g}-bit weights",
        columns=" ".join(map(str, columns)),
        constant=constant,
        function=name,
        weight="u1" if one_bit else f"s{bits}",
        width=len(columns),
        product="plus_or_minus" if one_bit else "times",
        terms=tuple(_term(fields[i], finest - formats[i].frac) for i in columns),
        rows=tuple(_Row(j, ", ".join(str(_coded(rows[j][i], one_bit)) for i in columns)) for j in summing),
    )
    return text, {j: SharedSum(name, f"{constant}[{k}]", finest) for k, j in enumerate(summing)}


def _coded(weight: int, one_bit: bool) -> int:
    return int(weight > 0) if one_bit else weight


def _term(position: int, shift: int) -> str:
    return shifted(f"x.{position} as sN[S]", shift)


def _fields(formats: Sequence[Fixed]) -> dict[int, int]:
    """Element index -> position in the tuple, which leaves out elements without bits."""
    live = [i for i, f in enumerate(formats) if f.bits]
    return {element: position for position, element in enumerate(live)}


def _type(fmt: Fixed) -> str:
    return f"{'s' if fmt.signed else 'u'}{fmt.bits}"


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _unpack(formats: Sequence[Fixed]) -> str:
    items, offset = [], 0
    for fmt in formats:
        if fmt.bits:
            items.append(f"x[{offset} +: u{fmt.bits}]" + (f" as s{fmt.bits}" if fmt.signed else ""))
        offset += fmt.bits
    return _tuple(items)


def _head(design: Design, value: str) -> tuple[list[str], str]:
    """Lines after the last layer, and the packed result."""
    formats, fields = design.output_formats, _fields(design.output_formats)
    if design.head != "argmax":
        parts = [f"({value}.{position} as u{formats[j].bits})" for j, position in fields.items()]
        return [], " ++ ".join(reversed(parts)) if parts else "u1:0"
    finest = max(f.frac for f in formats)
    width = max(f.bits + finest - f.frac + (not f.signed) for f in formats) or 1
    index = output_bits(design)
    lines = ["// the index of the largest logit, by a tournament: rounds of pairs"]
    for j, fmt in enumerate(formats):
        logit = shifted(f"{value}.{fields[j]} as s{width}", finest - fmt.frac) if fmt.bits else f"s{width}:0"
        lines.append(f"let r0_{j} = ({logit}, u{index}:{j});")
    level, entries = 0, [f"r0_{j}" for j in range(len(formats))]
    while len(entries) > 1:
        level += 1
        winners = []
        for k in range(0, len(entries), 2):
            pair = entries[k : k + 2]
            winners.append(f"r{level}_{k // 2}" if len(pair) == 2 else pair[0])
            if len(pair) == 2:
                lines.append(f"let {winners[-1]} = larger({pair[0]}, {pair[1]});")
        entries = winners
    return lines, f"{entries[0]}.1"
