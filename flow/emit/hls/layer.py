"""One grouped dense layer as HLS C++: all numbers are computed here, ``nmp_layer.h.j2`` lays them out.

Tensors between layers are *containers*: one fixed-point type per tensor, as hls4ml has it, wide enough for every
element. Inside a layer each element, weight group, sum and output is handled in its own exact type.
"""

from __future__ import annotations

from dataclasses import dataclass

from flow.core.design import Design, Layer, Neuron, layer_output_formats
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Quantizer, bits_for, rounded
from flow.core.passes.group import layer_groups
from flow.emit.hls.schedule import UNROLLED, Schedule

MAX_CONTAINER_BITS = 1024  # AP_INT_MAX_W, the widest type of the HLS libraries by default


@dataclass(frozen=True)
class Container:
    """The one format of a whole tensor; unlike an element's, not limited to the integer model's 62 bits."""

    signed: bool
    bits: int
    frac: int

    @property
    def integer_bits(self) -> int:
        """Bits left of the binary point, sign included; what ``ap_fixed`` calls I."""
        return self.bits - self.frac

    @property
    def ap_type(self) -> str:
        """The type in C++."""
        return f"ap_{'' if self.signed else 'u'}fixed<{self.bits}, {self.integer_bits}>"


@dataclass(frozen=True)
class LayerInput:
    """What enters a layer: formats and mantissa ranges of its elements."""

    formats: tuple[Fixed, ...]
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, design: Design, index: int) -> LayerInput:
        """What enters layer ``index`` of a design."""
        return cls(design.formats_into(index), design.ranges_into(index))


@dataclass(frozen=True)
class NeuronCode:
    """One neuron's statements; ``start`` and ``step`` only where the sum is built in a loop."""

    index: int
    summary: str
    lines: tuple[str, ...]
    start: str = ""
    step: str = ""


@dataclass(frozen=True)
class GroupCode:
    """One width group: its weight array (rows of neurons that need one) and its neurons.

    A group that shares multipliers, or stands beside one that does (``apart``), is a function of its own, so that HLS
    shares nothing between widths; ``multipliers`` limits its products of more than two weight bits, 0 if it has none.
    """

    summary: str
    array: str
    weight_type: str
    plain_type: str
    columns: int
    rows: tuple[tuple[int, tuple[int, ...]], ...]
    neurons: tuple[NeuronCode, ...]
    schedule: Schedule = UNROLLED
    multipliers: int = 0
    apart: bool = False

    @property
    def scheduled(self) -> bool:
        """Whether the group's statements stand in a function of their own."""
        return bool(self.rows) and (not self.schedule.unrolled or (self.apart and self.multipliers > 0))


@dataclass(frozen=True)
class LayerCode:
    """Everything the template needs."""

    name: str
    function: str
    inputs: int
    outputs: int
    grid: int
    x_type: str
    takes: tuple[str, ...]
    groups: tuple[GroupCode, ...]

    @property
    def interval(self) -> int:
        """Clock cycles between vectors the layer asks for; 0 where a group loops, which takes as long as it takes."""
        shared = [g.schedule for g in self.groups if g.scheduled]
        return 0 if any(s.strategy == "resource" for s in shared) else max([1, *(s.reuse for s in shared)])


def container(formats: tuple[Fixed, ...], where: str) -> Container:
    """The narrowest format whose values include every value of every element format; at least one bit."""
    used = [f for f in formats if f.bits]
    if not used:
        return Container(False, 1, 0)
    frac = max(f.frac for f in used)
    signed = any(f.signed for f in used)
    bits = max(f.bits + (signed and not f.signed) + frac - f.frac for f in used)
    if bits > MAX_CONTAINER_BITS:
        raise DesignError(f"{where}: element formats spread over {bits} bits, HLS types end at {MAX_CONTAINER_BITS}")
    return Container(signed, bits, frac)


def layer_code(
    layer: Layer, entering: LayerInput, schedules: tuple[Schedule, ...] = (), interval: int = 1
) -> LayerCode:
    """Constants, types and statements of one layer; ``schedules``, one valid schedule per group, default to unrolled.

    With strategy ``resource`` every sum of the group is built in a loop, each step over a slice of the inputs, with its
    weights in a memory of the group's width. The ``widths`` pass must have run.
    ``interval`` is that of the pipeline the layer becomes part of: above 1 HLS may share what it finds side by side.
    """
    grid = container(entering.formats, f"inputs of layer {layer.name}")
    out = container(layer_output_formats(layer), f"layer {layer.name}")
    x_type = f"ap_int<{grid.bits + (not grid.signed)}>"
    groups = layer.groups or layer_groups(layer)
    apart = interval > 1 or not all(s.unrolled for s in schedules)
    return LayerCode(
        name=layer.name,
        function=f"nmp_{layer.name}",
        inputs=layer.inputs,
        outputs=len(layer.neurons),
        grid=grid.frac,
        x_type=x_type,
        takes=tuple(_take(i, f, grid, x_type) for i, f in enumerate(entering.formats)),
        groups=tuple(
            _group(layer, g.weight_bits, g.neurons, entering, grid, out, schedule, apart)
            for g, schedule in zip(groups, schedules or (UNROLLED,) * len(groups), strict=True)
        ),
    )


def quantizer_code(name: str, quantizers: tuple[Quantizer, ...], entering: LayerInput) -> LayerCode:
    """A layer that only quantizes: element ``i`` passes through quantizer ``i``."""
    grid = container(entering.formats, f"inputs of layer {name}")
    out = container(tuple(q.format for q in quantizers), f"layer {name}")
    x_type = f"ap_int<{grid.bits + (not grid.signed)}>"
    whole = Fixed.holding(*_bounds(grid), grid.frac)
    elements = []
    for i, quantizer in enumerate(quantizers):
        value = _quantize(quantizer, whole, f"x[{i}]")
        line = f"out[{i}] = nmp::place<res_T, {out.frac - quantizer.format.frac}>({value});"
        if not quantizer.format.bits:
            line = f"out[{i}] = 0;"
        elements.append(NeuronCode(i, f"{entering.formats[i]} to {quantizer.format}", (line,)))
    group = GroupCode("quantizers", "", "", "", 0, (), tuple(elements))
    return LayerCode(
        name=name,
        function=f"nmp_{name}",
        inputs=len(quantizers),
        outputs=len(quantizers),
        grid=grid.frac,
        x_type=x_type,
        takes=tuple(_take(i, f, grid, x_type) for i, f in enumerate(entering.formats)),
        groups=(group,),
    )


def _bounds(form: Container) -> tuple[int, int]:
    return (-(1 << (form.bits - 1)), (1 << (form.bits - 1)) - 1) if form.signed else (0, (1 << form.bits) - 1)


def integer_type(fmt: Fixed) -> str:
    """The ap type of a mantissa; HLS has no zero-bit type, so the constant 0 takes one bit."""
    return f"ap_{'' if fmt.signed else 'u'}int<{max(fmt.bits, 1)}>"


def _take(index: int, fmt: Fixed, grid: Container, x_type: str) -> str:
    if not fmt.bits:
        return f"x[{index}] = 0;"
    return f"x[{index}] = nmp::take<{x_type}, {integer_type(fmt)}, {grid.frac - fmt.frac}>(in[{index}]);"


def _group(
    layer: Layer,
    weight_bits: float,
    members: tuple[int, ...],
    entering: LayerInput,
    grid: Container,
    out: Container,
    schedule: Schedule,
    apart: bool,
) -> GroupCode:
    live = [low != 0 or high != 0 for low, high in entering.ranges]
    weights = {j: tuple(w if on else 0 for w, on in zip(layer.neurons[j].weights, live, strict=True)) for j in members}
    rows = {j: row for j, row in weights.items() if any(row)}
    values = [w for row in rows.values() for w in row]
    binary = bool(values) and set(values) <= {-1, 1}
    if binary:
        rows = {j: tuple(int(w < 0) for w in row) for j, row in rows.items()}
    bits = 1 if binary else bits_for(min([-1, *values]), max([0, *values]))[1]
    array = f"{layer.name}_w{weight_bits:g}".replace(".", "p")
    weight_type = "ap_uint<1>" if binary else f"ap_int<{max(bits, 2)}>"
    neurons = []
    for j in members:
        row = list(rows).index(j) if j in rows else None
        call = None if row is None else (weight_type, f"{array}[{row}]")
        neurons.append(_neuron(layer, j, call, sum(w != 0 for w in weights[j]), grid, out, schedule))
    kind = "binary, bit 1 is weight -1" if binary else f"stored as {weight_type}" if rows else "constants"
    return GroupCode(
        summary=f"{weight_bits:g}-bit weights: {len(members)} neuron{'s' * (len(members) > 1)}, {kind}",
        array=array,
        weight_type=weight_type,
        plain_type=next(t for b, t in ((8, "signed char"), (16, "short"), (32, "int"), (64, "long long")) if bits <= b),
        columns=layer.inputs,
        rows=tuple(rows.items()),
        neurons=tuple(neurons),
        schedule=schedule, apart=apart,
        multipliers=0 if binary or bits <= 2 else _multipliers(list(rows.values()), schedule),
    )  # fmt: skip


def _multipliers(rows: list[tuple[int, ...]], schedule: Schedule) -> int:
    """Products at work in one cycle: all positions of a slice where weights come from memory, else the nonzero ones."""
    products = sum(len(row) if schedule.strategy == "resource" else sum(w != 0 for w in row) for row in rows)
    return -(-products // schedule.reuse)


def _neuron(
    layer: Layer,
    index: int,
    weights: tuple[str, str] | None,
    nonzero: int,
    grid: Container,
    out: Container,
    schedule: Schedule,
) -> NeuronCode:
    neuron = layer.neurons[index]
    total = neuron.accumulator
    assert total is not None
    fmt = neuron.output.format if neuron.output else total
    at = out.frac - fmt.frac
    res = f"nmp::place<res_T, {at}>"
    if weights is None or (neuron.output and neuron.output.low == neuron.output.high):
        value = constant_output(neuron)
        line = f"out[{index}] = {res}({integer_type(fmt)}({value}LL));" if value else f"out[{index}] = 0;"
        return NeuronCode(index, f"constant {value} in {fmt}", (line,))
    weight_type, row = weights
    grid_frac = grid.frac + neuron.weight_frac
    drop, up = max(grid_frac - total.frac, 0), max(total.frac - grid_frac, 0)
    bias = neuron.bias << (total.frac - neuron.bias_frac) if neuron.bias else 0
    sum_type = integer_type(total)
    steps = schedule.reuse if schedule.strategy == "resource" else 1
    dot = f"nmp::dot<{weight_type}, {drop}, {up}, {layer.inputs // steps}, {steps}>(x, {row}, "
    first, start, step = f"{sum_type}({bias}LL)", "", ""
    lines = [f"const {sum_type} sum_{index} = {dot}0, {first});"]
    if schedule.strategy == "resource":
        start, step = f"{sum_type} sum_{index} = {bias}LL;", f"sum_{index} = {dot}r, sum_{index});"
        lines = []
    if neuron.output:
        lines.append(f"out[{index}] = {res}({_quantize(neuron.output, total, f'sum_{index}')});")
    else:
        lines.append(f"out[{index}] = {res}(sum_{index});")
    summary = f"{nonzero} of {layer.inputs} weights, sum {total}, output {fmt}"
    return NeuronCode(index, summary, tuple(lines), start, step)


def _quantize(quantizer: Quantizer, total: Fixed, value: str) -> str:
    fmt = quantizer.format
    # Beyond two bits above the sum the result no longer depends on how much is dropped.
    drop = min(total.frac - fmt.frac, total.bits + 2)
    low, high = (rounded(m, drop, quantizer.rounding) for m in (total.low, total.high))
    least, most = quantizer.low, quantizer.high
    checked = [low < least, high > most]
    if quantizer.wraps:  # the conversion to the output's type keeps the lowest bits
        least, checked = 0, [quantizer.overflow == "RELU_WRAP" and low < 0, False]
    flags = ", ".join(str(check).lower() for check in checked)
    types = f"{integer_type(fmt)}, {drop}, nmp::{quantizer.rounding}, {flags}"
    return f"nmp::quantize<{types}>({value}, {least}LL, {most}LL)"


def constant_output(neuron: Neuron) -> int:
    """Output mantissa of a neuron whose sum is its bias alone."""
    quantizer = neuron.output
    if quantizer is None:
        assert neuron.accumulator is not None
        return neuron.bias << (neuron.accumulator.frac - neuron.bias_frac) if neuron.bias else 0
    return int(quantizer.from_integer([neuron.bias], neuron.bias_frac)[0])
