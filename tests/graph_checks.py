"""What tests of chains and of tables ask alike: wrong graphs and instances refused, netlists proved and counted."""

import re
from dataclasses import replace

import pytest
from strategies import random_design

from flow.core.errors import DesignError
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.netlist.read import netlist_module
from flow.netlist.slices import expected_sites
from flow.parallel.bit_choice import atom_graph
from flow.parallel.proof import prove
from flow.parallel.sites import Target
from flow.proof.netlist.prove import prove_netlist
from flow.proof.text.prove import prove_text
from flow.tools import yosys

RELAXED = Target(1e6)


def refused(design, graph, i, **fields):
    """The graph of a layer with fields of a node changed passes no proof."""
    nodes = list(graph.nodes)
    nodes[i] = replace(nodes[i], **fields)
    with pytest.raises(DesignError):
        prove(design, 0, replace(graph, nodes=tuple(nodes)))


def instance_refuted(net, pattern, replacement):
    """The text of a layer is proved as it is, and refuted with the first match of a pattern replaced."""
    design, graph, rtl = net
    assert prove_text(design, [graph], rtl.files, rtl.top, rtl.layer_latency_cycles) == []
    text, found = re.subn(pattern, replacement, rtl.files["net_dense.v"], count=1)
    assert found, pattern
    told = prove_text(design, [graph], {**rtl.files, "net_dense.v": text}, rtl.top, rtl.layer_latency_cycles)
    assert told and all(f.refuted for f in told), [str(f) for f in told]


def random_texts_proved(seeds, max_size, has):
    """How many random designs have a node that ``has`` something; their texts are proved."""
    seen = 0
    for seed in seeds:
        design = random_design(seed, max_size=max_size)
        graphs = [atom_graph(design, index, RELAXED) for index in range(len(design.layers))]
        if any(has(node) for graph in graphs for node in graph.nodes):
            rtl = emit_parallel(design, graphs, 1e6)
            assert prove_text(design, graphs, rtl.files, rtl.top, rtl.layer_latency_cycles) == [], seed
            seen += 1
    return seen


def proved_netlist_sites(rtl, folder):
    """The sites that the synthesized text is expected to take; its netlist is proved."""
    plan.mirror(dict(rtl.files), folder)
    yosys.synthesize(folder, yosys.synthesis_script(list(rtl.files), rtl.top, "xc7", dsp=False), 600)
    netlist = folder / "netlist.json"
    proof = prove_netlist(list(rtl.files), rtl.top, netlist, folder)
    assert proof.cones and not proof.refuted and not proof.undecided
    with netlist_module(netlist, rtl.top) as module:
        return expected_sites(module).total
