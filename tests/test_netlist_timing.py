"""Static timing of netlists, by hand-made ones: what memories and multipliers add to a path."""

import json

import pytest

from flow.netlist.read import read_netlist
from flow.netlist.sta import in_words
from flow.parts.family import XC7

ROUTED = XC7.routed

OUTPUTS = {"O", "Q", "DOADO", "DOA", "DOD", "P", "CO"}
REGISTERED, PLAIN = "0" * 31 + "1", "0" * 32


def cell(kind, parameters=None, **wires):
    directions = {port: "output" if port in OUTPUTS else "input" for port in wires}
    connections = {port: bits if isinstance(bits, list) else [bits] for port, bits in wires.items()}
    return {
        "type": kind,
        "parameters": parameters or {"INIT": "10"},
        "port_directions": directions,
        "connections": connections,
    }


def register(source, target):
    return cell("FDRE", C=1, D=source, Q=target)


def read(tmp_path, *cells):
    module = {"cells": {f"c{i}": c for i, c in enumerate(cells)}, "netnames": {}, "ports": {}}
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {"top": module}}))
    return read_netlist(tmp_path / "netlist.json", "top")


def path_ns(tmp_path, *cells):
    """The longest path of a netlist of these cells, less a register's clock-to-output and setup."""
    return read(tmp_path, *cells).longest_path.delay_ns - ROUTED.register - ROUTED.detour


NET = ROUTED.fanout(1)


def near(value):
    return pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("option", "late"), [(PLAIN, ROUTED.block_output), (REGISTERED, ROUTED.block_output_register)])
def test_a_block_ram_answers_late(tmp_path, option, late):
    memory = cell("RAMB18E1", {"DOA_REG": option}, CLKARDCLK=1, ADDRARDADDR=[2, "0"], DOADO=[3])
    logic = cell("LUT1", I0=3, O=4)
    assert path_ns(tmp_path, memory, logic, register(4, 5)) == near(late + NET + ROUTED.lut)


def test_a_block_rams_address_is_set_up(tmp_path):
    memory = cell("RAMB36E1", {"DOA_REG": REGISTERED}, CLKARDCLK=1, ADDRARDADDR=[3], DOADO=[6])
    logic = [cell("LUT1", I0=2, O=7), cell("LUT1", I0=7, O=3)]
    assert path_ns(tmp_path, register(6, 2), *logic, memory) == near(2 * (NET + ROUTED.lut) + NET + ROUTED.block_setup)


def test_a_memory_in_luts_is_read_through_its_address(tmp_path):
    memory = cell("RAM64M", WCLK=1, WE="1", ADDRA=[3], ADDRD=["0"], DIA=["0"], DOA=4)
    first = cell("LUT1", I0=2, O=3)
    last = cell("LUT1", I0=4, O=5)
    # register, LUT, memory as a LUT, LUT, register
    assert path_ns(tmp_path, register(8, 2), first, memory, last, register(5, 6)) == near(3 * (NET + ROUTED.lut))


def test_what_was_just_written_comes_late_and_writing_takes_a_setup(tmp_path):
    memory = cell("RAM32M", WCLK=1, WE="1", ADDRA=["0"], ADDRD=[2], DIA=["0"], DOA=4)
    last = cell("LUT1", I0=4, O=5)
    assert path_ns(tmp_path, memory, last, register(5, 6)) == near(ROUTED.lut_memory_output + NET + ROUTED.lut)
    # ADDRD is the write address: a register's output goes straight there
    assert path_ns(tmp_path, register(8, 2), memory) == near(NET + ROUTED.lut_memory_setup)


def test_a_shift_register_in_luts_comes_late(tmp_path):
    chain = cell("SRL16E", CLK=1, CE="1", D=2, A0="1", A1="0", A2="0", A3="0", Q=4)
    assert path_ns(tmp_path, chain, register(4, 5)) == near(ROUTED.shift_output + NET)


@pytest.mark.parametrize(("used", "expected"), [
    ((), ROUTED.dsp_product + ROUTED.dsp_sum + 2 * NET),
    (("PREG",), ROUTED.dsp_product + ROUTED.dsp_sum + NET),
    (("AREG", "BREG", "PREG"), NET),
    (("MREG",), max(ROUTED.dsp_product + NET, ROUTED.dsp_sum + NET)),
    (("AREG", "BREG"), ROUTED.dsp_product + ROUTED.dsp_sum + NET),
])  # fmt: skip
def test_a_multiplier_takes_what_its_registers_leave(tmp_path, used, expected):
    product = cell("DSP48E1", dict.fromkeys(used, REGISTERED), CLK=1, A=[2], B=[3], P=[4])
    assert path_ns(tmp_path, register(7, 2), register(8, 3), product, register(4, 5)) == near(expected)


def test_wide_multiplexers_lie_behind_their_luts(tmp_path):
    tables = [cell("LUT1", I0=2, O=3), cell("LUT1", I0=2, O=4)]
    mux = cell("MUXF7", I0=3, I1=4, S=5, O=6)
    expected = ROUTED.fanout(2) + ROUTED.lut + ROUTED.wide_mux
    assert path_ns(tmp_path, register(8, 2), *tables, mux, register(6, 7)) == near(expected)


def test_a_carry_chain_of_eight_bits_is_two_of_four(tmp_path):
    def chain(kind, bits, carry, first):
        named = {"CYINIT": "0"} if kind == "CARRY4" else {"CI_TOP": "0"}
        return cell(kind, S=[2] + ["0"] * (bits - 1), DI=["0"] * bits, CI=carry, **named,
                    O=list(range(first, first + bits)), CO=list(range(first + 20, first + 20 + bits)))  # fmt: skip

    four = [chain("CARRY4", 4, "0", 100), chain("CARRY4", 4, 123, 200)]
    four[1]["connections"]["S"] = ["0"] * 4
    two = path_ns(tmp_path, register(8, 2), *four, register(203, 9))
    one = path_ns(tmp_path, register(8, 2), chain("CARRY8", 8, "0", 100), register(107, 9))
    assert one == near(NET + ROUTED.lut + ROUTED.carry_entry - ROUTED.lut + ROUTED.carry_per_4_bits)
    assert two == near(one - ROUTED.carry_per_4_bits + ROUTED.carry_exit)


def test_the_longest_path_is_told_by_what_its_cells_belong_to(tmp_path):
    slow = [cell("LUT1", I0=2, O=3), cell("LUT1", I0=3, O=4), cell("LUT1", I0=4, O=5)]
    path = read(tmp_path, register(8, 2), *slow, register(5, 9), cell("LUT1", I0=2, O=6), register(6, 7)).longest_path
    assert path.through == ("c0", "c1", "c2", "c3", "c4") and path.levels == 3
    owners = {"c1": "a shared sums", "c2": "a neuron 3", "c3": "a neuron 3", "c4": "a neuron 3"}
    named = in_words(path, owners.get)
    assert named.through == ["a shared sums", "a neuron 3"] and named.endpoint == "a neuron 3"
    assert in_words(path, {}.get).endpoint == path.endpoint
