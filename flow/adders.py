"""Adder graphs: a layer's constant matrix as shared additions, found by alkaid, then bias and quantizers.

The matrix part is proved equal to the design by exact symbolic evaluation (``prove``), not only tested.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flow.errors import DesignError
from flow.fixed import Ints, Quantizer
from flow.graph import LayerGraph, Node, Term, linear_form, quantize, shifted_form
from flow.ir import Design, Neuron

_EXACT_FLOAT32 = 1 << 24


def build_graphs(design: Design) -> tuple[LayerGraph, ...]:
    """A proven graph for every layer of a design (widths pass done)."""
    return tuple(build_graph(design, index) for index in range(len(design.layers)))


def build_graph(design: Design, index: int) -> LayerGraph:
    """The graph of layer ``index``: inputs, shared adders, per-neuron bias and quantizer; proved before returned."""
    layer = design.layers[index]
    builder = _Builder(design, index)
    sums = builder.matrix_sums()
    outputs = [builder.neuron_output(j, neuron, *sums[j]) for j, neuron in enumerate(layer.neurons)]
    graph = _without_dead(LayerGraph(layer.name, tuple(builder.nodes), tuple(outputs), "adder graph"))
    prove(design, index, graph)
    return graph


class _Builder:
    def __init__(self, design: Design, index: int) -> None:
        self.layer = design.layers[index]
        self.formats = design.formats_into(index)
        self.ranges = design.ranges_into(index)
        self.nodes: list[Node] = [Node("input", low, high, element=i) for i, (low, high) in enumerate(self.ranges)]
        self.forms: list[Ints] = list(np.eye(len(self.nodes), dtype=np.int64))
        self.lows = np.array([low for low, _ in self.ranges], np.int64)
        self.highs = np.array([high for _, high in self.ranges], np.int64)

    def matrix_sums(self) -> list[tuple[int, int, bool]]:
        """For each neuron the node of its weighted sum, that node's LSB exponent, and whether it is negated.

        The exponent is relative to the weight scale: the sum is ``node * 2**exponent`` before ``2**-weight_frac``.
        Node -1 stands for a neuron without weights.
        """
        matrix = self.layer.matrix * ((self.lows != 0) | (self.highs != 0))[:, None]
        live_rows, live_columns = np.flatnonzero(matrix.any(axis=1)), np.flatnonzero(matrix.any(axis=0))
        result = [(-1, 0, False)] * matrix.shape[1]
        if not len(live_rows):
            return result
        kernel = matrix[np.ix_(live_rows, live_columns)]
        if np.abs(kernel).max() >= _EXACT_FLOAT32:
            raise DesignError(f"layer {self.layer.name}: a weight mantissa has more than 24 bits")
        intervals = []
        for i in live_rows:
            low, high = self.ranges[i]
            lsb = 2.0 ** -self.formats[i].frac
            intervals.append((low * lsb, high * lsb, lsb))
        from alkaid.cmvm import cmvm_solve  # imported here: a build from cached graphs does not need it

        first, second = cmvm_solve(kernel.astype(np.float32), qintervals=intervals)
        values = [(int(i), -self.formats[i].frac, False) for i in live_rows]
        for stage in (first, second):
            values = self._stage(stage, values)
        for column, value in zip(live_columns, values, strict=True):
            result[column] = value
        return result

    def _stage(self, stage: object, values: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
        """Append one alkaid program's operations; ``values`` are its inputs as (node, exponent, negated)."""
        buffer: list[tuple[int, int, bool]] = []
        shifts = stage.inp_shifts  # type: ignore[attr-defined]
        for op in stage.ops:  # type: ignore[attr-defined]
            if op.opcode == -1:
                node, exponent, negative = values[op.data[0]]
                buffer.append((node, exponent + int(shifts[op.data[0]]), negative))
            elif op.opcode in (0, 1):
                left, right = buffer[op.addr[0]], buffer[op.addr[1]]
                right = (right[0], right[1] + int(op.data[0]), right[2] ^ (op.opcode == 1))
                buffer.append(self._add(left, right))
            else:
                raise DesignError(f"layer {self.layer.name}: the adder-graph solver used unknown operation {op.opcode}")
        outputs = []
        for index, shift, negative in zip(stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True):  # type: ignore[attr-defined]
            if index < 0:  # a column of an intermediate matrix that is all zero
                outputs.append((-1, 0, False))
                continue
            node, exponent, sign = buffer[index]
            outputs.append((node, exponent + int(shift), sign ^ bool(negative)))
        return outputs

    def _add(self, left: tuple[int, int, bool], right: tuple[int, int, bool]) -> tuple[int, int, bool]:
        """Add two signed values; two negative ones become the negation of a sum."""
        if left[0] < 0 or right[0] < 0:
            return right if left[0] < 0 else left
        exponent = min(left[1], right[1])
        both = left[2] and right[2]
        terms = (
            Term(left[0], left[1] - exponent, left[2] and not both),
            Term(right[0], right[1] - exponent, right[2] and not both),
        )
        return self._sum(terms, 0, -1), exponent, both

    def _sum(self, terms: tuple[Term, ...], constant: int, neuron: int) -> int:
        form = np.zeros(len(self.ranges), np.int64)
        for term in terms:
            part = self.forms[term.node]
            part = part << term.shift if term.shift >= 0 else part >> -term.shift
            form = form - part if term.negative else form + part
        low, high = self._range(form)
        self.nodes.append(Node("sum", low + constant, high + constant, terms, constant, neuron=neuron))
        self.forms.append(form)
        return len(self.nodes) - 1

    def _range(self, form: Ints) -> tuple[int, int]:
        """Exact range of a linear form over the input ranges; forms are free of the constant."""
        at_low, at_high = form * self.lows, form * self.highs
        return int(np.minimum(at_low, at_high).sum()), int(np.maximum(at_low, at_high).sum())

    def neuron_output(self, j: int, neuron: Neuron, node: int, exponent: int, negative: bool) -> int:
        """Append bias and quantizer of neuron ``j``; gives its output node."""
        accumulator = neuron.accumulator
        assert accumulator is not None
        bias = neuron.bias << (accumulator.frac - neuron.bias_frac) if neuron.bias else 0
        quantizer = neuron.output
        if node < 0:
            value = int(quantizer.from_integer(np.array([bias]), accumulator.frac)[0]) if quantizer else bias
            self.nodes.append(Node("sum", value, value, (), value, neuron=j))
            self.forms.append(np.zeros(len(self.ranges), np.int64))
            return len(self.nodes) - 1
        term = Term(node, exponent - neuron.weight_frac + accumulator.frac, negative)
        if quantizer is None:
            return self._sum((term,), bias, j) if bias or negative or term.shift else node
        drop = accumulator.frac - quantizer.format.frac
        constant = bias + (1 << (drop - 1) if quantizer.rounding != "TRN" and drop > 0 else 0)
        if constant or negative:
            term = Term(self._sum((term,), constant, j), 0)
        return self._quantize(term, quantizer, drop, j)

    def _quantize(self, term: Term, quantizer: Quantizer, drop: int, neuron: int) -> int:
        half_even = quantizer.rounding == "RND_CONV" and drop > 0
        source = self.nodes[term.node]
        probe = Node("quantize", quantizer.low, quantizer.high, (term,), drop=drop, half_even=half_even, neuron=neuron)
        ends = np.array([source.low, source.high], np.int64)
        ends = ends << term.shift if term.shift >= 0 else ends >> -term.shift
        low, high = quantize(probe, ends)
        self.nodes.append(replace(probe, low=int(low), high=int(high)))
        self.forms.append(np.zeros(len(self.ranges), np.int64))
        return len(self.nodes) - 1


def prove(design: Design, index: int, graph: LayerGraph) -> None:
    """Prove a graph's sums equal the design's: exact affine forms over the inputs, for every neuron.

    Quantizers act on one value and are monotone; their parameters are compared. Raises DesignError naming the neuron.
    """
    layer, formats = design.layers[index], design.formats_into(index)
    forms, constants = linear_form(graph, len(formats))
    for j, neuron in enumerate(layer.neurons):
        where = f"layer {layer.name}, neuron {j}: the adder graph"
        node, accumulator = graph.nodes[graph.outputs[j]], neuron.accumulator
        assert accumulator is not None
        expected = [
            w << (accumulator.frac - f.frac - neuron.weight_frac) if w and r != (0, 0) else 0
            for w, f, r in zip(neuron.weights, formats, design.ranges_into(index), strict=True)
        ]
        bias = neuron.bias << (accumulator.frac - neuron.bias_frac) if neuron.bias else 0
        if not any(expected):
            _prove_constant(neuron, bias, node, where)
            continue
        form, constant, shift = forms[graph.outputs[j]], constants[graph.outputs[j]], 0
        if neuron.output:
            form, constant, shift = forms[node.terms[0].node], constants[node.terms[0].node], node.terms[0].shift
            bias += _prove_quantizer(neuron.output, accumulator.frac, node, where)
        assert form is not None
        form, constant = shifted_form(form, constant, shift)
        if form.tolist() != expected or constant != bias:
            raise DesignError(f"{where} computes another sum")


def _prove_constant(neuron: Neuron, bias: int, node: Node, where: str) -> None:
    assert neuron.accumulator is not None
    value = bias
    if neuron.output:
        value = int(neuron.output.from_integer(np.array([bias]), neuron.accumulator.frac)[0])
    if node.kind != "sum" or node.terms or node.constant != value:
        raise DesignError(f"{where} does not produce the constant {value}")


def _prove_quantizer(quantizer: Quantizer, frac: int, node: Node, where: str) -> int:
    """Compare a quantize node's parameters; gives the rounding constant its sum must contain."""
    drop = frac - quantizer.format.frac
    half_even = quantizer.rounding == "RND_CONV" and drop > 0
    if node.kind != "quantize" or (node.drop, node.half_even) != (drop, half_even):
        raise DesignError(f"{where} rounds differently")
    if node.low < quantizer.low or node.high > quantizer.high:
        raise DesignError(f"{where} saturates differently")
    return 1 << (drop - 1) if quantizer.rounding != "TRN" and drop > 0 else 0


def _without_dead(graph: LayerGraph) -> LayerGraph:
    """Drop nodes no output depends on; inputs stay, so ports keep their meaning."""
    used = set(graph.outputs)
    for i in range(len(graph.nodes) - 1, -1, -1):
        if i in used:
            used.update(t.node for t in graph.nodes[i].terms)
    keep = [i for i, n in enumerate(graph.nodes) if i in used or n.kind == "input"]
    new = {old: position for position, old in enumerate(keep)}
    nodes = tuple(
        replace(graph.nodes[i], terms=tuple(replace(t, node=new[t.node]) for t in graph.nodes[i].terms)) for i in keep
    )
    return replace(graph, nodes=nodes, outputs=tuple(new[i] for i in graph.outputs))
