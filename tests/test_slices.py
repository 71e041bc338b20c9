"""LUT sites of hand-made netlists: by reasoning from the slice (UG474, UG574), and as nextpnr places them."""

import random
import re
from collections import Counter, defaultdict

import pytest

from flow.core.errors import ToolNotFound
from flow.core.untrusted import MAX_OWN_JSON, read_json
from flow.files import plan
from flow.netlist import place_and_route
from flow.netlist.pairing import pairs
from flow.netlist.read import netlist_module
from flow.netlist.slices import expected_sites
from flow.parts.catalog import resolve
from flow.tools import nextpnr, yosys

PARITY_MAJORITY = "0110100110010110100101100110100111101000111010001110100011101000"
PARITY = "".join(str(i.bit_count() % 2) for i in range(64))
OUTPUTS = {"O", "O5", "O6", "Q", "CO"}
WIDTHS = {"CARRY4": 4, "CARRY8": 8}


def cell(kind, parameters=None, **wires):
    directions = {port: "output" if port in OUTPUTS else "input" for port in wires}
    connections = {port: bits if isinstance(bits, list) else [bits] for port, bits in wires.items()}
    return {"type": kind, "parameters": parameters or {}, "port_directions": directions, "connections": connections}


def register(source, target):
    return cell("FDRE", C=1, D=source, Q=target)


def lut(*inputs, **outputs):
    """A double LUT with parity at O6 and a majority at O5, or a plain LUT6 where it has six inputs."""
    pins = inputs if len(inputs) == 6 else (*inputs, *"0" * (5 - len(inputs)), "1")
    wires = {f"I{i}": bit for i, bit in enumerate(pins)}
    kind = "LUT6_2" if len(inputs) < 6 else "LUT6"
    return cell(kind, {"INIT": PARITY_MAJORITY if len(inputs) < 6 else PARITY}, **wires, **outputs)


def chain(select, data, first="0", kind="CARRY4"):
    """A chain of some columns; column i's sum is net 20 + i, its carry 30 + i."""
    width = WIDTHS[kind]
    start = {"CYINIT": first, "CI": "0"} if kind == "CARRY4" else {"CI": first, "CI_TOP": "0"}
    return cell(kind, S=[*select, *"0" * (width - len(select))], DI=[*data, *"0" * (width - len(data))],
                O=[20 + i for i in range(width)], CO=[30 + i for i in range(width)], **start)  # fmt: skip


def sites(*cells, outputs=()):
    ports = {"y": {"direction": "output", "bits": list(outputs)}}
    return expected_sites({"cells": {f"c{i}": c for i, c in enumerate(cells)}, "ports": ports})


INS = (2, 3, 4, 5, 6)


@pytest.mark.parametrize(("kind", "users", "outputs", "expected"), [
    ("CARRY4", [register(20, 40)], (), 1),  # (a) O5 feeds the DI beside it and leaves nothing
    ("CARRY4", [], (20,), 1),  # (d) a port is a user: the sum leaves by the multiplexer, O5 stays
    ("CARRY4", [], (20, 12), 2),  # sum and O5 leave
    ("CARRY4", [register(20, 40)], (12,), 1),  # the sum goes into the register beside it
    ("CARRY4", [register(20, 40), register(20, 41)], (12,), 2),  # a second register lies elsewhere
    ("CARRY4", [register(20, 40)], (12, 40), 1),
    ("CARRY4", [register(20, 40), register(12, 41)], (), 1),
    ("CARRY4", [register(20, 40), register(30, 41)], (), 1),  # one of the two takes the multiplexer
    ("CARRY4", [register(20, 40), register(30, 41)], (12,), 2),
    ("CARRY4", [], (20, 30), 2),  # (b) sum and carry leave
    ("CARRY4", [], (20, 30, 12), 3),
    ("CARRY4", [register(30, 40)], (20,), 1),
    ("CARRY8", [register(20, 40), register(30, 41)], (12,), 1),  # two registers beside each LUT
    ("CARRY8", [register(20, 40), register(12, 41)], (30,), 1),
    ("CARRY8", [register(20, 40), register(30, 41), register(12, 42)], (), 1),
    ("CARRY8", [], (20, 30), 2),
    ("CARRY8", [register(20, 40)], (30, 12), 2),
])  # fmt: skip
def test_what_leaves_a_position_needs_a_way_out(kind, users, outputs, expected):
    beside = lut(*INS, O6=10, O5=12)
    assert sites(beside, chain([10], [12], kind=kind), *users, outputs=outputs).total == expected


def test_a_row_of_two_columns():
    """The lower LUT's O5 goes to the upper column: one site per bit if the sums are registered, two if they leave."""
    low, high = lut(2, 3, O6=10, O5=12), lut(4, 12, O6=11)
    row = [low, high, chain([10, 11], ["0", 12])]
    registered = [register(20, 40), register(21, 41)]
    assert sites(*row, *registered).total == 2
    assert sites(*row, outputs=(20, 21)).total == 3
    assert sites(*row, *registered, register(22, 42)).total == 3, "a third column, whose LUT passes a constant"
    for odd in (5, "1"):  # a signal that no LUT drives, a constant
        assert sites(low, high, chain([odd, 11], ["0", 12]), *registered).total == 3


@pytest.mark.parametrize(("inputs", "data", "more", "expected"), [
    (INS, 12, (), 1),  # DI comes from the O5 beside it anyway
    (INS, 2, (), 1),  # one of the LUT's inputs: O5 passes it
    (INS, "0", (), 1),
    (INS, 7, (), 2),  # a sixth signal has no way in
    ((2, 3, 4), 7, (), 1),
    ((2, 3, 4), 7, (12,), 2),  # O5 is in use and has to move
    ((2, 3, 4, 5, 6, 8), "0", (), 2),  # six inputs leave nothing for O5
])  # fmt: skip
def test_a_signal_as_carry_in_holds_the_pin_of_the_first_di(inputs, data, more, expected):
    outputs = {"O": 10} if len(inputs) == 6 else {"O6": 10, "O5": 12}
    found = sites(lut(*inputs, **outputs), chain([10], [data], first=9), register(20, 40), outputs=more)
    assert found.total == expected
    if data not in (12, "0"):
        constant = sites(lut(*inputs, **outputs), chain([10], [data]), register(20, 40), outputs=more)
        assert constant.total == 1, "without it the pin is free"


def test_a_chain_of_eight_goes_on_in_the_next_and_a_lut_lies_beside_one_only():
    select = [lut(100 + i, O6=10 + i) for i in range(4)]
    first, second = chain([10, 11, 12, 13], "0000"), chain([10], "0")
    second["connections"] = {**second["connections"], "CI": [33], "O": [60, 61, 62, 63], "CO": [70, 71, 72, 73]}
    found = sites(*select, first, second, outputs=(20, 21, 22, 23, 60))
    assert found.total == 5, "the second chain's position passes the LUT's signal on"
    assert found.by_cell == {"c0": 1, "c1": 1, "c2": 1, "c3": 1, "c5": 1}
    assert sites(*select, first, second, outputs=(20, 21, 22, 23, 60, 33)).total == 6, "the last carry leaves as well"


def test_inverters_and_memories_are_luts_and_wide_multiplexers_need_them():
    assert sites(cell("INV", I=2, O=3), register(3, 4)).total == 1
    assert sites(cell("RAM32M", ADDRA=[2], DOA=[3])).total == 4
    mux = cell("MUXF7", I0=10, I1=11, S=2, O=12)
    assert sites(lut(2, 3, O6=10), lut(4, 5, O6=11), mux, outputs=(12,)).total == 2
    assert sites(lut(2, 3, O6=10), mux, outputs=(12,)).total == 2, "a register's signal passes through a LUT"


def test_what_may_share_a_site_is_paired():
    alone = [lut(2, 3, 4, O6=10), lut(4, 5, 6, O6=11), lut(2, 3, 4, 5, 6, 7, O=12), lut(8, 9, O6=13)]
    found = sites(*alone, outputs=(10, 11, 12, 13))
    assert (found.total, found.paired) == (4, 3)
    displaced = [lut(*INS, O6=10, O5=12), chain([10], ["0"]), lut(2, 3, O6=14)]
    found = sites(*displaced, outputs=(20, 12, 14))
    assert (found.total, found.paired) == (3, 2), "an O5 that had to move shares a site with another"


def test_pairs_are_legal_and_nearly_as_many_as_there_are():
    source, found, best = random.Random(3), 0, 0
    for _ in range(60):
        functions = [frozenset(source.sample(range(12), source.randint(1, 5))) for _ in range(9)]
        found += pairs(functions)
        best += most_pairs(tuple(functions))
    assert 0.93 * best <= found <= best


def most_pairs(functions):
    """By trying all."""
    if len(functions) < 2:
        return 0
    first, rest = functions[0], functions[1:]
    most = most_pairs(rest)
    for i, other in enumerate(rest):
        if len(first | other) <= 5 and most < len(functions) // 2:
            most = max(most, 1 + most_pairs(rest[:i] + rest[i + 1 :]))
    return most


ROWS = {  # name: (body, sites); four LUTs of five inputs each, s their parities, d their majorities
    "own_di": ("CARRY4 c (.CI(1'b0), .CYINIT(1'b0), .S(s), .DI(d), .O(y));", 4),
    "registered": ("wire [3:0] o; CARRY4 c (.CI(1'b0), .CYINIT(1'b0), .S(s), .DI(d), .O(o)); R r (clk, o, y);", 4),
    "carry_in": ("CARRY4 c (.CI(1'b0), .CYINIT(a[23]), .S(s), .DI(d), .O(y));", 4),
    "carry_in_and_di": ("CARRY4 c (.CI(1'b0), .CYINIT(a[23]), .S(s), .DI({d[3:1], a[22]}), .O(y));", 5),
    "net_twice": (
        "wire t, u; LUT6_2 #(.INIT(64'h6996966996696996)) m (.I0(a[0]), .I1(a[1]), .I2(a[2]), .I3(a[3]), .I4(a[4]), "
        ".I5(a[4]), .O6(t), .O5(u)); "
        "CARRY4 c (.CI(1'b0), .CYINIT(a[23]), .S({s[3:1], t}), .DI({d[3:1], u}), .O(y));",
        4,
    ),
}  # fmt: skip
COPIES = 3


def rows():
    """Verilog of every row several times, from rotated inputs."""
    luts = "\n".join(
        f"LUT6_2 #(.INIT(64'b{PARITY_MAJORITY})) l{i} ("
        + ", ".join(f".I{k}(a[{(4 * i + k) % 22}])" for k in range(5))
        + f", .I5(1'b1), .O6(s[{i}]), .O5(d[{i}]));"
        for i in range(4)
    )
    registers = "\n".join(f"FDRE r{i} (.C(clk), .CE(1'b1), .R(1'b0), .D(d[{i}]), .Q(q[{i}]));" for i in range(4))
    text = [f"module R (input clk, input [3:0] d, output [3:0] q);\n{registers}\nendmodule"]
    for name, (body, _) in ROWS.items():
        ports = "input clk, input [23:0] a, output [3:0] y"
        text.append(f"module {name} ({ports});\nwire [3:0] s, d;\n{luts}\n{body}\nendmodule")
    names = [f"{name}__{j}" for name in ROWS for j in range(COPIES)]
    text.append(f"module top (input clk, input [23:0] a, output [{4 * len(names) - 1}:0] y);")
    for k, name in enumerate(names):
        turned = f"{{a[{5 * k % 19}:0], a[23:{5 * k % 19 + 1}]}}"
        text.append(f"{name.split('__')[0]} u_{name} (clk, {turned}, y[{4 * k}+:4]);")
    return "\n".join([*text, "endmodule\n"])


SYNTHESIS = """\
read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v
read_verilog top.v
hierarchy -top top
flatten
setundef -zero
clean
select top
write_json -selected netlist.json
"""


def test_rows_take_the_sites_that_nextpnr_gives_them(tmp_path):
    try:
        nextpnr.locate()
    except ToolNotFound as missing:
        pytest.skip(str(missing))
    plan.write({"top.v": rows(), "place/note": ""}, tmp_path)
    yosys.run_script(tmp_path, SYNTHESIS, "hand", 300)
    with netlist_module(tmp_path / "netlist.json", "top") as module:
        expected = Counter()
        for name, count in expected_sites(module).by_cell.items():
            expected[re.search(r"u_(\w+?)__", name)[1]] += count
    assert expected == {name: count * COPIES for name, (_, count) in ROWS.items()}
    z020 = resolve("xc7z020")
    around = place_and_route.prepare(tmp_path / "place", tmp_path / "netlist.json", "top", 300, z020)
    nextpnr.place_and_route(tmp_path / "place", z020, 20.0, 1, 600, around.constraints(20.0), place_only=True)
    (placed,) = read_json(tmp_path / "place" / nextpnr.placed(1), MAX_OWN_JSON)["modules"].values()
    found = defaultdict(set)
    for name, placed_cell in placed["cells"].items():
        bel = re.fullmatch(r"(.*)[56]LUT", placed_cell["attributes"].get("NEXTPNR_BEL", ""))
        owner = re.search(r"u_(\w+?)__", name)
        if bel and owner:
            found[owner[1]].add(bel[1])
    assert {name: len(beds) for name, beds in found.items()} == expected
