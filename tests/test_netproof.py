"""The proof of a netlist: what synthesis made is proved, every planted fault is refuted or shown to be none."""

import random
from collections import Counter

import pytest
from netlist_mutants import KINDS, mutant, really_equal
from test_planted_bugs import small_design

from flow import plan
from flow.adders import build_graphs
from flow.emit.verilog import emit_parallel
from flow.netlist import read_netlist
from flow.netproof.prove import compare, prove_netlist, read_gates, read_text
from flow.tools import yosys

SEED = 5


def synthesized(folder, files, top, family="xc7", dsp=False):
    """Sources and netlist of Verilog ``files``, in folders beside each other as in a build."""
    plan.write({f"rtl/{name}": text for name, text in files.items()}, folder)
    sources = [f"../rtl/{name}" for name in files]
    script = yosys.synthesis_script(sources, top, family, dsp)
    yosys.synthesize(plan.folder(folder / "synth"), script, 300)
    return sources, folder / "synth" / "netlist.json", plan.folder(folder / "work")


@pytest.fixture(scope="module", params=["xc7", "xcup"])
def parallel(request, tmp_path_factory):
    """A small network for both kinds of carry chains, read once: text, netlist, working folder, top."""
    design = small_design()
    rtl = emit_parallel(design, build_graphs(design), 10.0, family=request.param)
    folder = tmp_path_factory.mktemp(request.param)
    sources, netlist, work = synthesized(folder, rtl.files, rtl.top, request.param)
    return sources, netlist, work, rtl.top


def test_the_untouched_netlist_is_proved_in_both_of_its_files(parallel):
    sources, netlist, work, top = parallel
    for path in (netlist, netlist.with_suffix(".v")):
        proof = prove_netlist(sources, top, path, work)
        assert proof.proved == len(proof.cones) and not proof.refuted and not proof.undecided
        registers = read_netlist(netlist, top).resources.ff
        assert len(proof.cones) >= registers


def test_planted_faults_are_refuted_or_none(parallel):
    sources, netlist, work, top = parallel
    text, gates = read_text(sources, top, work), read_gates(netlist, top, work)
    source, told, equal = random.Random(SEED), Counter(), []
    for kind in KINDS:
        for _ in range(8):
            planted = mutant(gates, kind, source)
            if planted is None:
                continue
            proof = compare(text, planted[0], work)
            assert not proof.undecided, planted[1]
            told[kind, bool(proof.refuted)] += 1
            if not proof.refuted:
                equal.append(planted)
    for kind in ("init bit", "data of a register", "carry in", "enable", "wire"):
        assert told[kind, True] >= 3, told
    for module, what in equal[:3]:
        assert really_equal(gates, module, top, work), what
