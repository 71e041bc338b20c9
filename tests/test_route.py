"""Place and route: the wrapper, what is asked of nextpnr, what its report becomes; a real run where it is installed."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flow.build.command import app
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.errors import ReportError, ToolFailed, ToolNotFound
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.verilog import emit_parallel
from flow.netlist import place_and_route
from flow.netlist.read import read_netlist
from flow.netlist.routed_top import Top, wrapper_text
from flow.netlist.sixth_inputs import WAITING, fill_carry_sites, script, waiting
from flow.netlist.truth_tables import lut, own_carry_luts, reduce_carry_luts, reduced, split_double_luts, truth_table
from flow.parallel.generators import build_graphs
from flow.parts.catalog import resolve
from flow.tools import nextpnr, yosys

FAKE = Path(__file__).with_name("fake_nextpnr.py")
Z020 = resolve("xc7z020")


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory):
    """Folder of a small synthesized design, its top module and the design."""
    folder = tmp_path_factory.mktemp("synthesized")
    design = _small_design()
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    for name, text in rtl.files.items():
        (folder / name).write_text(text)
    yosys.synthesize(folder, yosys.synthesis_script(list(rtl.files), rtl.top, "xc7", dsp=False), 600)
    return folder, rtl.top, design


def _small_design():
    """Four inputs, five neurons of three bits, two of two."""
    rng = np.random.default_rng(3)
    signal = Quantizer.saturating(Fixed(False, 4, 2), relu=True)
    hidden = [Neuron(tuple(map(int, rng.integers(-3, 4, 4))), 2, 3.0, 5, 3, signal) for _ in range(5)]
    last = [Neuron(tuple(map(int, rng.integers(-1, 2, 5))), 1, 2.0) for _ in range(2)]
    inputs = (Quantizer.saturating(Fixed(True, 5, 3)),) * 4
    return finish(Design("small", inputs, (Layer("dense_0", tuple(hidden)), Layer("dense_1", tuple(last)))))


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """nextpnr replaced; gives the calls it recorded."""
    program, log = tmp_path / "nextpnr", tmp_path / "calls"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("NMP_NEXTPNR", str(program))
    monkeypatch.setenv("FAKE_LOG", str(log))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def routed(synthesized, folder, period=10.0, name=lambda cell: None):
    folder.mkdir(exist_ok=True)
    source, top, _ = synthesized
    return place_and_route.route(folder, source / "netlist.json", top, Z020, period, 600, name)


def test_nextpnr_is_asked_for_the_part_the_clock_and_three_pads(synthesized, fake, tmp_path):
    result = routed(synthesized, tmp_path / "r", period=9.0)
    (call,) = fake()
    options = dict(zip(call["arguments"], call["arguments"][1:], strict=False))
    assert options["--device"] == "xc7z020clg400-1" and options["--freq"] == "111.111"
    assert "--timing-allow-fail" in call["arguments"] and options["--placer-heap-cell-placement-timeout"] == "1"
    assert sorted(re.findall(r"PACKAGE_PIN (\w+)", call["xdc"])) == ["D19", "H16", "R14"]
    assert "create_clock -period 9 " in call["xdc"]
    assert result.fmax_mhz == 123.5 and result.used == {"SLICE_LUTX": 7, "PAD": 3}
    assert result.lut_sites == {"design": 2, "wrapper": 1, "constants": 1}
    assert not (tmp_path / "r" / nextpnr.placed(1)).exists(), "a placed design is large"


def test_further_seeds_only_while_the_clock_is_missed_and_the_best_counts(synthesized, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FMAX", "90,95,80")
    result = routed(synthesized, tmp_path / "a")
    assert [a["fmax_mhz"] for a in result.attempts] == [90, 95, 80] and (result.fmax_mhz, result.seed) == (95, 2)
    monkeypatch.setenv("FAKE_FMAX", "90,105,80")
    assert [a["seed"] for a in routed(synthesized, tmp_path / "b").attempts] == [1, 2]


def test_the_slowest_path_is_told_in_the_designs_own_cells(synthesized, fake, tmp_path):
    cells = json.loads((synthesized[0] / "netlist.json").read_text())["modules"][synthesized[1]]["cells"]
    seen = []

    def name(cell):
        seen.append(cell)
        return f"neuron {len(set(seen))}"

    path = routed(synthesized, tmp_path / "r", name=name).path
    assert set(seen) <= set(cells), "cells are asked for by the names they have in the synthesized netlist"
    assert (path["delay_ns"], path["logic_ns"], path["routing_ns"], path["levels"]) == (1.675, 0.575, 1.1, 1)
    assert path["start"] == "neuron 1" and path["endpoint"] == "neuron 2"


@pytest.mark.parametrize(("fault", "error", "told"), [
    ("status", ToolFailed, "no BELs remaining"), ("silent", ToolFailed, "without writing"),
    ("cut", ReportError, "not usable JSON"),
])  # fmt: skip
def test_a_failing_nextpnr_is_told(synthesized, fake, tmp_path, monkeypatch, fault, error, told):
    monkeypatch.setenv("FAKE_FAULT", fault)
    with pytest.raises(error, match=told):
        routed(synthesized, tmp_path / "r")


def test_an_old_report_is_never_read(synthesized, fake, tmp_path, monkeypatch):
    routed(synthesized, tmp_path / "r")
    monkeypatch.setenv("FAKE_FAULT", "silent")
    with pytest.raises(ToolFailed):
        routed(synthesized, tmp_path / "r")


def test_missing_nextpnr_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv("NMP_NEXTPNR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ToolNotFound, match=r"install_nextpnr\.sh.*NMP_NEXTPNR"):
        nextpnr.locate()


def test_parts_without_a_chip_database_say_so():
    assert nextpnr.unsupported(Z020) is None and nextpnr.unsupported(resolve("arty-a7-100")) is None
    assert "xczu3eg" in str(nextpnr.unsupported(resolve("xczu3eg")))
    assert "xc7k325t" in str(nextpnr.unsupported(resolve("genesys2")))


def test_temperature_ranges_are_left_out_of_device_names():
    assert nextpnr.device_name(Z020) == "xc7z020clg400-1"
    assert nextpnr.device_name(resolve("arty-a7-35")) == "xc7a35tcsg324-1L"


def test_carry_inputs_get_luts_of_their_own_with_the_same_function():
    def cell(kind, outputs, **wires):
        directions = {port: "output" if port in outputs else "input" for port in wires}
        return {"type": kind, "parameters": {"INIT": "0110"}, "port_directions": directions, "connections": wires}

    shared = cell("LUT2", "O", I0=[2], I1=[3], O=[4])
    chain = cell("CARRY4", ("O", "CO"), S=[4, 4, 5, "0"], DI=[2, "0", "0", "0"], CI=["0"], O=[6, 7, 8, 9],
                 CO=[10, 11, 12, 13])  # fmt: skip
    cells = {"x": shared, "own": cell("LUT2", "O", I0=[2], I1=[3], O=[5]), "c": chain,
             "other": cell("LUT1", "O", I0=[4], O=[14])}  # fmt: skip
    own_carry_luts(cells)
    select = chain["connections"]["S"]
    assert select[:2] == [15, 16] and select[2:] == [5, "0"], "a LUT that drives nothing else is left alone"
    copies = [c for c in cells.values() if c["connections"].get("O") in ([15], [16])]
    assert [(c["parameters"], c["connections"]["I0"], c["connections"]["I1"]) for c in copies] == [
        ({"INIT": "0110"}, [2], [3])
    ] * 2
    assert shared["connections"]["O"] == [4] and cells["other"]["connections"]["I0"] == [4]


def double_lut(init, inputs, **outputs):
    wires = {**{f"I{i}": [bit] for i, bit in enumerate(inputs)}, **{port: [bit] for port, bit in outputs.items()}}
    return {"type": "LUT6_2", "parameters": {"INIT": f"{init:064b}"}, "connections": wires}


@pytest.mark.parametrize("seed", range(5))
def test_double_luts_become_luts_of_the_same_functions(seed):
    rng = np.random.default_rng(seed)
    init = int(rng.integers(0, 1 << 62)) << 2 | seed
    inputs = [[2, 3, 4, 5, 6, 7], [2, "0", 4, "1", 6, "1"], [2, 3, "0", "0", "0", "1"], ["0"] * 6, [2, 2, 3, 3, 4, "x"]]
    cells = {"x": double_lut(init, inputs[seed], O5=8, O6=9)}
    split_double_luts(cells)
    assert sorted(cells) == ["x$O5", "x$O6"]
    for point in range(1 << 6):
        nets = {bit: point >> i & 1 for i, bit in enumerate(range(2, 8))}
        level = [nets[b] if isinstance(b, int) else int(b == "1") for b in inputs[seed]]
        row = sum(value << i for i, value in enumerate(level))
        for output, expected in (("O5", init >> (row & 31) & 1), ("O6", init >> row & 1)):
            cell = cells[f"x${output}"]
            wires = [cell["connections"][f"I{i}"][0] for i in range(int(cell["type"][3:]))]
            assert len(set(wires)) == len(wires)
            place = sum((nets[b] if isinstance(b, int) else 0) << i for i, b in enumerate(wires))
            assert int(cell["parameters"]["INIT"][-1 - place]) == expected


def test_nets_that_a_shell_makes_one_enter_a_lut_beside_a_chain_once():
    cells = {name: double_lut(0x6996966996696996, [2, 3, 4, 5, 6, 6], O6=net) for name, net in (("x", 9), ("y", 10))}
    for cell in cells.values():
        cell |= {"type": "LUT6"}
        cell["connections"]["O"] = cell["connections"].pop("O6")
    cells["chain"] = {"type": "CARRY4", "connections": {"S": [9, "0", "0", "0"], "DI": ["0"] * 4}}
    assert reduce_carry_luts(cells) and not reduce_carry_luts(cells)
    assert truth_table(cells["x"], "O") == (0x6996, [2, 3, 4, 5]) and cells["x"]["type"] == "LUT4"
    assert cells["y"]["type"] == "LUT6"


def chain_of(tables, wires, data, extra=()):
    """A chain of one LUT a position, whose tables and inputs are given, with DI from ``data``."""
    cells = {
        f"s{i}": {"type": f"LUT{len(ins)}", "parameters": {"INIT": f"{table:0{1 << len(ins)}b}"}, "attributes": {},
                  "port_directions": {**{f"I{k}": "input" for k in range(len(ins))}, "O": "output"},
                  "connections": {**{f"I{k}": [bit] for k, bit in enumerate(ins)}, "O": [20 + i]}}
        for i, (table, ins) in enumerate(zip(tables, wires, strict=True))
    }  # fmt: skip
    for name, table, ins, output in extra:
        cells[name] = lut({}, table, ins, output)
    chain = {
        "S": [20 + i for i in range(4)],
        "DI": list(data),
        "CI": ["0"],
        "O": [40, 41, 42, 43],
        "CO": [50, 51, 52, 53],
    }
    directions = {port: "output" if port in ("O", "CO") else "input" for port in chain}
    cells["chain"] = {"type": "CARRY4", "parameters": {}, "port_directions": directions, "connections": chain}
    return cells


def carried(cells, nets):
    """Sums and carry of the chain for values of the nets 2 to 9."""
    nets, todo = dict(nets), {name for name, cell in cells.items() if cell["type"] != "CARRY4"}
    value = lambda bit: nets[bit] if isinstance(bit, int) else int(bit == "1")  # noqa: E731
    for name in todo:
        table, inputs = truth_table(cells[name], "O")
        nets[cells[name]["connections"]["O"][0]] = table >> sum(value(b) << k for k, b in enumerate(inputs)) & 1
    wires, carry, sums = cells["chain"]["connections"], 0, []
    for select, data in zip(wires["S"], wires["DI"], strict=True):
        sums.append(value(select) ^ carry)
        carry = carry if value(select) else value(data)
    return sums, carry


@pytest.mark.parametrize("seed", range(40))
def test_sites_of_carry_positions_are_filled_and_chains_compute_the_same(seed):
    rng = random.Random(seed)
    parity = sum(bin(row).count("1") % 2 << row for row in range(64))
    tables, wires, data, extra = [], [], [], []
    for place in range(4):
        count = rng.choice([3, 5, 6, 6])
        ins = rng.sample(range(2, 10), count)
        kind = rng.choice(["parity", "any", "pair"])
        table = parity if kind == "parity" and count == 6 else rng.getrandbits(1 << count)
        where = rng.choice([ins[rng.randrange(count)], rng.choice([*range(2, 10), "0", "1"]), 30 + place])
        if kind == "pair" and count == 6:  # as LUT6_2 has it: the lower half beside the whole, in another order
            order = rng.sample(range(5), 5)
            half = sum((table >> sum((row >> k & 1) << i for k, i in enumerate(order)) & 1) << row for row in range(32))
            where = 30 + place
            extra.append((f"d{place}", half, [ins[i] for i in order], where))
        elif where == 30 + place:
            extra.append((f"d{place}", rng.getrandbits(8), rng.sample(ins, 3), where))
        tables.append(table)
        wires.append(ins)
        data.append(where)
    before, after = chain_of(tables, wires, data, extra), chain_of(tables, wires, data, extra)
    changed = fill_carry_sites(after)
    rows = [dict(zip(range(2, 10), ([row >> i & 1 for i in range(8)]), strict=True)) for row in range(256)]
    assert [carried(after, r) for r in rows] == [carried(before, r) for r in rows]
    assert sum(name.endswith("$DI") for name in after) == changed
    given, names = waiting(after)
    for name in names:  # what nextpnr has to place fits one site, and the pin that waits is the last input
        assert given[name]["type"] == "LUT5" and given[name]["connections"][WAITING] == after[name]["connections"]["I5"]
        assert set(truth_table(after[f"{name}$DI"], "O")[1]) <= set(truth_table(given[name], "O")[1])
        assert truth_table(after[f"{name}$DI"], "O")[0] == truth_table(after[name], "O")[0] & 0xFFFFFFFF
    assert script(names).startswith(f"for name in {names!r}:")


def test_what_does_not_stand_for_di_is_left_alone():
    parity = sum(bin(row).count("1") % 2 << row for row in range(64))
    both = sum((row & 33 == 33) << row for row in range(64))  # 0 wherever one input is, whatever DI is
    inputs = [2, 3, 4, 5, 6, 7]
    cells = chain_of([parity, both, parity, parity], [inputs] * 4, [7, 7, 8, "1"])
    assert fill_carry_sites(cells) == 1 and cells["chain"]["connections"]["DI"][1:] == [7, 8, "1"]
    assert fill_carry_sites(chain_of([parity] * 4, [inputs] * 4, [7] * 4), six=False) == 0
    odd, five = parity & 0xFFFFFFFF, inputs[:5]
    cells = chain_of([odd] * 4, [five] * 4, [2, "1", 8, "0"])  # one of the inputs, constants, something else
    assert fill_carry_sites(cells) == 3 and cells["chain"]["connections"]["DI"][2] == 8
    assert Top("top", "", "dut", {}).netlist_cell("dut.u_row$O6$copy7$DI") == "u_row"


def test_an_output_depends_only_on_inputs_that_change_it():
    carry = double_lut(0xE8E8E8E8, [2, 3, 4, 5, "0", "1"], O5=8, O6=9)
    assert reduced(*truth_table(carry, "O5")) == (0xE8, [2, 3, 4])


def test_every_input_and_output_bit_meets_a_register():
    sizes = {"clk": 1, "a": 3, "b": 1, "y": 13}
    ports = {n: {"direction": "output" if n == "y" else "input", "bits": [2] * k} for n, k in sizes.items()}
    text = wrapper_text({"ports": ports}, "top")
    assert ".a(stimulus[3:1])" in text and ".b(stimulus[4:4])" in text and ".y(result_0[12:0])" in text
    assert ".clk(clk)," in text and ".y(result_0[12:0])\n" in text
    del ports["clk"]
    assert ".clk" not in wrapper_text({"ports": ports}, "top").split("dut (")[1]
    assert "wire [17:0] result_0;" in text and "result_0[17:13] = 5'd0" in text


def test_build_reports_post_route_figures(synthesized, fake, tmp_path):
    (tmp_path / "design.json").write_text(to_json(synthesized[2]))
    arguments = ["--model", "design.json", "--out", "build", "--engines", "integer", "--vectors", "50", "--route"]

    def build(*more):
        return subprocess.run([sys.executable, "-m", "flow.build", *arguments, *more], cwd=tmp_path, check=False,
                              capture_output=True, text=True, timeout=1200)  # fmt: skip

    done = build()
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    synthesis, top = report["synthesis"], synthesized[1]
    assert synthesis["fmax_mhz"] == 123.5
    assert synthesis["fmax_source"].startswith("nextpnr-himbaechel-xilinx, post-route, one corner")
    assert synthesis["route"]["version"] == "0.99+fake" and synthesis["meets_clock"] is True
    estimate = read_netlist(tmp_path / "build" / "synth" / "netlist.json", top).longest_path.delay_ns
    assert synthesis["fmax_estimate_mhz"] == pytest.approx(1000 / estimate, abs=0.1)
    assert re.match(r"dense_\d neuron \d+|dense_\d shared sums|wrapper", synthesis["critical_path"]["endpoint"])
    assert "123.5 MHz" in done.stdout and len(fake()) == 1
    assert build().returncode == 0 and len(fake()) == 1, "a second run uses the finished step"
    assert build("--part", "xczu3eg").returncode == 0
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert "chip database" in report["skipped"]["route"] and "estimate" in report["synthesis"]["fmax_source"]


@pytest.mark.long
def test_a_missed_clock_is_tried_with_more_registers(synthesized, fake, tmp_path, monkeypatch):
    """Clocks that grow with the registers: the deepest attempt is kept, and stays so in the next build."""
    (tmp_path / "design.json").write_text(to_json(synthesized[2]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_FMAX", "1")
    monkeypatch.setenv("FAKE_REGISTERS", "1")
    asked = ["--model", "design.json", "--engines", "integer", "--vectors", "20", "--route", "--clock-period-ns", "4"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    tried = report["synthesis"]["route"]["pipelining"]
    assert len(tried) > 1 and [t["kept"] for t in tried] == [False] * (len(tried) - 1) + [True]
    assert tried[0]["planned_ns"] == 4 and tried[-1]["fmax_mhz"] == max(t["fmax_mhz"] for t in tried)
    assert report["latency_cycles"] == tried[-1]["latency_cycles"] > tried[0]["latency_cycles"]
    assert report["synthesis"]["fmax_mhz"] == tried[-1]["fmax_mhz"] == report["synthesis"]["route"]["clocks"]["dut.clk"]
    assert any("missed 250 MHz, so it was tried with more registers" in text for text in report["notes"])
    calls = len(fake())
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0 and len(fake()) == calls
    again = json.loads((tmp_path / "build" / "report.json").read_text())
    assert again["synthesis"]["route"] == report["synthesis"]["route"]


def test_real_place_and_route(synthesized, tmp_path):
    try:
        nextpnr.locate()
    except ToolNotFound as missing:
        pytest.skip(str(missing))
    result = routed(synthesized, tmp_path / "r")
    assert result.fmax_mhz and result.fmax_mhz > 50 and result.used["SLICE_FFX"] > 0
    resources = read_netlist(synthesized[0] / "netlist.json", synthesized[1]).resources
    assert resources.lut_cells < result.lut_sites["design"] == pytest.approx(resources.lut, rel=0.05)
    assert result.path["delay_ns"] == pytest.approx(1000 / result.fmax_mhz, rel=0.01)
