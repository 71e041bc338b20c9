"""A layer's constant matrix as shared additions: the cheapest of three generators, each result proved.

One is alkaid's adder graph of two-input additions, the others are ``flow.parallel.bit_choice``'s: rows of three bits
per column, which take fewest LUTs, and chains of atoms, which take fewest sites where sums go on without a register.
"""

from __future__ import annotations

import numpy as np

from flow.core.design import Design, Neuron
from flow.core.errors import DesignError
from flow.core.integers import magnitude
from flow.parallel.bit_choice import atom_graph, lowbit_graph
from flow.parallel.builder import GraphBuilder, aligned_bias, form_dtype, rounding_constant, without_dead
from flow.parallel.cost import graph_luts
from flow.parallel.graph import LayerGraph, Term
from flow.parallel.proof import prove
from flow.parallel.sites import Target

_USUAL = Target()
_EXACT_FLOAT32 = 1 << 24
_ALKAID_WEIGHTS = 15_000  # non-zero ones; beyond, alkaid takes minutes, and its graphs are twice as large
_SURELY = 1.1  # so much dearer than chains, rows shared one way are not cheaper in another: 6 % was the most seen


def build_graphs(design: Design, target: Target = _USUAL) -> tuple[LayerGraph, ...]:
    """A proven graph for every layer of a design (widths pass done), made for a clock and a family of parts."""
    return tuple(build_graph(design, index, target) for index in range(len(design.layers)))


def build_graph(design: Design, index: int, target: Target = _USUAL) -> LayerGraph:
    """The cheapest graph of layer ``index``; proved before returned.

    That is one of fewest LUTs, or one that costs less on ``target`` and takes no more sites there.
    """
    others = (alkaid_graph(design, index),) if _alkaid_holds(design, index) else ()
    atoms = atom_graph(design, index, target) if target.family.carry_bits else None
    if atoms and _are_dearer(design, index, others, atoms, target):
        graph = atoms
    else:
        graph = min((lowbit_graph(design, index), *others), key=graph_luts)
        graph = _on_target(graph, atoms, target) if atoms else graph
    prove(design, index, graph)
    return graph


def quick_sites(design: Design, index: int, target: Target = _USUAL) -> float:
    """LUT sites of layer ``index`` with little search: at most 3 % more than `build_graph` takes, in what was seen."""
    if target.family.carry_bits:
        return target.sites(atom_graph(design, index, target, quick=True))
    return target.sites(lowbit_graph(design, index, quick=True))


def _are_dearer(design: Design, index: int, others: tuple[LayerGraph, ...], atoms: LayerGraph, target: Target) -> bool:
    """Whether rows and ``others`` are surely dearer than chains of atoms, as rows shared in one way let tell."""

    def is_dearer(graph: LayerGraph, factor: float) -> bool:
        return target.sites(graph) > factor * target.sites(atoms) and target.cost(graph) > factor * target.cost(atoms)

    rows = lowbit_graph(design, index, quick=True)
    return is_dearer(rows, _SURELY) and all(is_dearer(other, 1.0) for other in others)


def _on_target(first: LayerGraph, other: LayerGraph, target: Target) -> LayerGraph:
    """The other graph where it costs less and takes no more sites."""
    if target.sites(other) > target.sites(first):
        return first
    return min(first, other, key=target.cost)


def _alkaid_holds(design: Design, index: int) -> bool:
    """Whether alkaid, whose weights are float32 and whose ranges are floats, does the layer in reasonable time."""
    layer = design.layers[index]
    if np.count_nonzero(layer.matrix) > _ALKAID_WEIGHTS or magnitude(layer.matrix) >= _EXACT_FLOAT32:
        return False
    return form_dtype(layer, design.formats_into(index), design.ranges_into(index)) is np.int64


def alkaid_graph(design: Design, index: int) -> LayerGraph:
    """Layer ``index`` as alkaid's adder graph, then bias and quantizer per neuron; not proved yet."""
    layer = design.layers[index]
    builder = _AlkaidBuilder(design, index)
    sums = builder.matrix_sums()
    outputs = [builder.neuron_output(j, neuron, *sums[j]) for j, neuron in enumerate(layer.neurons)]
    return without_dead(LayerGraph(layer.name, tuple(builder.nodes), tuple(outputs), "adder graph"))


class _AlkaidBuilder(GraphBuilder):
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
        return self.add_sum(terms, 0, -1), exponent, both

    def neuron_output(self, j: int, neuron: Neuron, node: int, exponent: int, negative: bool) -> int:
        """Append bias and quantizer of neuron ``j``; gives its output node."""
        accumulator = neuron.accumulator
        assert accumulator is not None
        if node < 0:
            return self.add_constant_neuron(j, neuron)
        constant = aligned_bias(neuron) + rounding_constant(neuron.output, accumulator.frac)
        term = Term(node, exponent - neuron.weight_frac + accumulator.frac, negative)
        if neuron.output is None:
            return self.add_sum((term,), constant, j) if constant or negative or term.shift else node
        if constant or negative:
            term = Term(self.add_sum((term,), constant, j), 0)
        return self.add_quantize(term, j)
