"""The folded architecture in simulation: every bit, the exact latency and interval, under gaps and stalls."""

import re
from dataclasses import replace

import pytest
import strategies
from test_folded_lowering import PRICES, folded_design, mixed_groups

from flow.core.errors import DesignError, ReportError
from flow.core.evaluate import evaluate
from flow.emit.rtl.cells import cell_models
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.folded.allocate import fold
from flow.folded.lowering import lower
from flow.netlist.folded_usage import SEQUENCE, folded_origins
from flow.netlist.read import measured, netlist_module, read_netlist
from flow.tools import yosys
from flow.verify import simulate


def build(design, interval, folder, weights=PRICES, dsp=False):
    rtl = emit_folded(fold(lower(design), interval, replace(weights, dsp=0.0) if dsp else weights, dsp), 10.0)
    plan.mirror(dict(rtl.files), folder / "rtl")
    return rtl, describe(design, rtl)


def run(design, bench, folder, count=24, **options):
    inputs = strategies.vectors(design, count)
    engine = options.pop("engine", "icarus")
    options.setdefault("long_cycles", 2000)  # test_long_pauses has the patience
    return simulate.run_cocotb(engine, bench, folder, inputs, evaluate(design, inputs), folder / "sim", **options)


@pytest.mark.parametrize("seed", range(12))
def test_random_designs_agree_on_every_bit_and_cycle(seed, tmp_path):
    design = folded_design(seed, max_size=14)
    for interval in ((15, 400), (30, 60))[seed % 2]:
        try:
            rtl, bench = build(design, interval, tmp_path, dsp=bool(seed % 3))
        except DesignError:
            continue  # the interval is too short for this design
        result = run(design, bench, tmp_path)
        assert result.agrees, result.message
        assert result.latency_seen == rtl.latency_cycles


def test_a_wrong_weight_is_found(tmp_path):
    design = folded_design(11, max_size=14)
    _, bench = build(design, 400, tmp_path)
    memory = next(p for p in sorted((tmp_path / "rtl").glob("*.v")) if "_parameters0" in p.name)
    text = memory.read_text().splitlines()
    line = next(i for i, t in enumerate(text) if "memory[0] =" in t)
    head, digits = text[line].split("'h")
    digits = digits.replace(digits[0], "7" if digits[0] != "7" else "3", 1)
    text[line] = f"{head}'h{digits}"
    memory.write_text("\n".join(text))
    assert not run(design, bench, tmp_path).agrees


@pytest.mark.parametrize("number", range(2))
def test_a_layer_that_does_not_wait_for_room_is_found(number, tmp_path):
    """Only an output that is held until the design is full shows it."""
    design = strategies.random_design(62, max_size=9)
    rtl, bench = build(design, 12, tmp_path)
    layers = [tmp_path / "rtl" / f"{rtl.top}_{name}.v" for name in rtl.layer_latency_cycles]
    text = layers[number].read_text()
    assert len(layers) == 2 and text.count(" && room;") == 1
    layers[number].write_text(text.replace(" && room;", ";"))
    result = run(design, bench, tmp_path)
    assert not result.agrees and "held output" in result.message


def test_constant_designs_answer_every_vector(tmp_path):
    design = folded_design(0)
    layers = tuple(
        replace(la, neurons=tuple(replace(n, weights=(0,) * len(n.weights), weight_bits=0.0) for n in la.neurons))
        for la in design.layers
    )
    from flow.core.passes.group import group
    from flow.core.passes.prune import prune
    from flow.core.passes.widths import widths

    for head in ("logits", "argmax"):
        constant = group(widths(prune(replace(design, layers=layers, head=head))))
        rtl, bench = build(constant, 10, tmp_path)
        assert rtl.initiation_interval == rtl.latency_cycles == 1
        assert run(constant, bench, tmp_path).agrees


@pytest.mark.long
def test_memories_become_block_ram_and_the_netlist_agrees(tmp_path):
    design = folded_design(7, max_size=14)
    weights = replace(PRICES, lut=1.0)
    rtl, bench = build(design, 100, tmp_path, weights=weights)
    sources = [f"../rtl/{name}" for name in rtl.files]
    yosys.synthesize(plan.folder(tmp_path / "synth"), yosys.synthesis_script(sources, rtl.top, "xc7", dsp=True), 600.0)
    netlist = tmp_path / "synth" / "netlist.v"
    assert "RAMB18E1" in netlist.read_text()
    folding = fold(lower(design), 100, weights)
    assert_luts_are_traced(tmp_path / "synth" / "netlist.json", rtl.top, folding)
    found = read_netlist(tmp_path / "synth" / "netlist.json", rtl.top).resources
    assert folding.cost.lut == pytest.approx(found.lut, rel=0.2) and folding.cost.bram18 == found.bram18
    cells = tmp_path / "cells.v"
    cells.write_text(cell_models(yosys.cell_library().read_text()))
    compiled = in_verilator(bench, tmp_path, [netlist, cells])  # Icarus would take minutes
    result = run(design, bench, tmp_path, count=6, engine="netlist", sources=[netlist, cells], model=compiled)
    assert result.agrees and result.engine == "netlist" and result.latency_seen == rtl.latency_cycles, result.message
    text = netlist.read_text()
    emptied = re.sub(r"(?<=\.INIT_00\(256'b)[x01]+", lambda bits: bits[0].replace("1", "0"), text)
    assert emptied != text
    netlist.write_text(emptied)
    planted = in_verilator(bench, tmp_path, [netlist, cells])
    wrong = run(design, bench, tmp_path, count=24, engine="netlist", sources=[netlist, cells], model=planted)
    assert not wrong.agrees


def in_verilator(bench, folder, sources):
    return simulate.build_verilator(bench, folder, folder / "model", sources=sources)


def assert_luts_are_traced(netlist, top, folding):
    """Every LUT has one owner, and nearly all lie in a part of a layer."""
    groups = {la.layer.name: [g.coding.label for g in la.groups] for la in folding.layers}
    with netlist_module(netlist, top) as module:
        usage = folded_origins(module, groups).usage(measured(module).sites)
    inside = [sum(found["parts"].values()) + found["shared"] for found in usage["layers"].values()]
    assert sum(inside) + usage["other"] == read_netlist(netlist, top).resources.lut
    assert sum(inside) > 0.8 * (sum(inside) + usage["other"])
    for layer in folding.layers:
        found = usage["layers"][layer.layer.name]["parts"]
        assert all(found.get(g.coding.label, 0) for g in layer.groups if g.sum_bits > 6)
        assert found[SEQUENCE]
    with pytest.raises(ReportError, match="synthesize again"):
        read_netlist(netlist, "other")


def test_emission_is_a_pure_function(tmp_path):
    design = folded_design(5, max_size=14)
    assert build(design, 100, tmp_path)[0] == build(design, 100, tmp_path)[0]


@pytest.mark.parametrize(("neurons", "interval"), [((20, 6), 18), ((20, 6), 20), ((14, 7), 20)])
def test_groups_with_inputs_per_cycle_of_their_own_agree(neurons, interval, tmp_path):
    design = mixed_groups(interval, neurons)
    folding = fold(lower(design), interval, PRICES)
    groups = [(g, la) for la in folding.layers for g in la.groups if g.slices > 1]
    assert groups, "the solver gives some group a part of the words"
    assert all(g.simd * g.slices == la.simd and g.folds <= la.folds for g, la in groups)
    rtl, bench = build(design, interval, tmp_path)
    result = run(design, bench, tmp_path, 12)
    assert result.agrees, result.message
    assert result.latency_seen == rtl.latency_cycles


def test_a_part_that_is_not_reset_between_vectors_is_found(tmp_path):
    design = mixed_groups(0, (20, 6))
    folding = fold(lower(design), 18, PRICES)
    assert any(la.folds % g.slices for la in folding.layers for g in la.groups)
    _, bench = build(design, 18, tmp_path)
    counter = tmp_path / "rtl" / "folded_slices.v"
    counter.write_text(counter.read_text().replace("rst || vector_end", "rst"))
    assert not run(design, bench, tmp_path, 12).agrees
