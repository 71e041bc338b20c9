"""The proof of a graph can fail: every kind of wrong graph is refused."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_design

from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.widths import widths
from flow.parallel.bit_choice import lowbit_graph
from flow.parallel.generators import alkaid_graph, build_graphs
from flow.parallel.graph import ONE, Bit
from flow.parallel.proof import prove


def design():
    rng = np.random.default_rng(0)
    inputs = tuple(Quantizer.saturating(Fixed(i % 3 == 0, 4, i % 2)) for i in range(12))
    act = Quantizer.saturating(Fixed(False, 4, 1), "RND_CONV")
    neurons = tuple(
        Neuron(
            tuple(int(w) for w in rng.choice([-1, 1], 12)), 1, 1.0, int(rng.integers(-9, 9)), 2, act if j % 2 else None
        )
        for j in range(8)
    )
    return widths(Design("net", inputs, (Layer("dense", neurons),)))


def changed(graph, index, **fields):
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)
    return replace(graph, nodes=tuple(nodes))


def refused(the_design, graph):
    with pytest.raises(DesignError):
        prove(the_design, 0, graph)


def test_every_bit_of_every_row_matters():
    the_design = design()
    graph = lowbit_graph(the_design, 0)
    prove(the_design, 0, graph)
    planted = 0
    for i, node in enumerate(graph.nodes):
        for c, column in enumerate(node.columns):
            for k, bit in enumerate(column):
                others = (*column[:k], *column[k + 1 :])
                for wrong in ((*others, Bit(bit.node, bit.index, not bit.inverted)), others, (*others, bit, bit)):
                    refused(the_design, changed(graph, i, columns=(*node.columns[:c], wrong, *node.columns[c + 1 :])))
                    planted += 1
    assert planted > 300


def test_a_lost_carry_or_a_narrow_range_is_refused():
    the_design = design()
    graph = lowbit_graph(the_design, 0)
    for i, node in enumerate(graph.nodes):
        if node.kind == "row" and not node.partial and node.high > 1:
            refused(the_design, changed(graph, i, high=node.high // 2))
        if node.kind == "row" and len(node.columns) < node.bits:
            refused(the_design, changed(graph, i, columns=(*node.columns, (ONE,))))


def test_swapped_outputs_are_refused():
    the_design = design()
    graph = lowbit_graph(the_design, 0)
    refused(
        the_design, replace(graph, outputs=(graph.outputs[2], graph.outputs[1], graph.outputs[0], *graph.outputs[3:]))
    )


def test_quantizers_are_compared():
    the_design = design()
    graph = lowbit_graph(the_design, 0)
    for i, node in enumerate(graph.nodes):
        if node.kind == "quantize":
            for fields in (
                {"drop": node.drop + 1},
                {"half_even": not node.half_even},
                {"high": node.high - 1},
                {"low": 1},
            ):
                refused(the_design, changed(graph, i, **fields))


@pytest.mark.parametrize("seed", range(10))
def test_wrong_terms_and_constants_of_alkaids_graphs_are_refused(seed):
    the_design = random_design(seed, max_layers=1)
    graph = alkaid_graph(the_design, 0)
    prove(the_design, 0, graph)
    for i, node in enumerate(graph.nodes):
        if node.kind != "sum" or node.low == node.high:
            continue
        refused(the_design, changed(graph, i, constant=node.constant + 1, low=node.low + 1, high=node.high + 1))
        for k, term in enumerate(node.terms):
            wrong = replace(term, negative=not term.negative)
            refused(the_design, changed(graph, i, terms=(*node.terms[:k], wrong, *node.terms[k + 1 :])))


def test_every_entry_of_a_table_matters():
    inputs = tuple(Quantizer.saturating(Fixed(False, 2, 0)) for _ in range(4))
    act = Quantizer.saturating(Fixed(False, 2, -2))
    layer = Layer("dense", (Neuron((3, -2, 1, 3), 0, 3.0, 1, 0, act),))
    the_design = widths(Design("net", inputs, (layer,)))
    graph = lowbit_graph(the_design, 0)
    tables = [i for i, node in enumerate(graph.nodes) if node.kind == "table"]
    assert tables and graph.generator == "bit rows and 1 tables"
    prove(the_design, 0, graph)
    last = graph.nodes[tables[-1]]
    for k, value in enumerate(last.table):
        wrong = (*last.table[:k], value ^ 1, *last.table[k + 1 :])
        try:
            prove(the_design, 0, changed(graph, tables[-1], table=wrong))
        except DesignError:
            continue
        assert len(tables) > 1  # a number of a class that does not occur
    refused(the_design, changed(graph, tables[-1], columns=last.columns[::-1]))
    refused(the_design, changed(graph, tables[-1], high=last.high - 1))


@pytest.mark.parametrize("seed", [322, 772, 958])
def test_inputs_of_one_or_two_values_leave_a_coefficient_open_modulo_the_row(seed):
    """Found by random designs: rows that were right were not proved, and the build was refused."""
    build_graphs(finish(random_design(seed, max_layers=6, max_size=6)))
