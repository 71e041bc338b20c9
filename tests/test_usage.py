"""LUTs are traced to the neuron that alone uses them; nothing is counted twice or lost."""

import json

import pytest

from flow.core.errors import ReportError
from flow.emit.rtl.names import SHARED, LayerNames
from flow.netlist.read import netlist_module
from flow.netlist.slices import expected_sites
from flow.netlist.usage import lut_origins

NAMES = (
    LayerNames(
        "a", "u_a", "a_y", "top_a.v", {"s0": SHARED, "n0_out_q1": 0, "n1_sum": 1, "n1_out_q1": 1}, ((1, SHARED), (2, 1))
    ),
    LayerNames("b", "u_b", "b_y", "top_b.v", {"n0_sum": 0}, ((1, 0),)),
)
LAYERS = {"a": [1, 1], "b": [2]}


def cell(kind: str, inputs: list[int], outputs: list[int], src: str = "") -> dict:
    carry = kind == "CARRY4"
    ports = {"S" if carry else "D" if kind == "FDRE" else "I0": inputs, "Q" if kind == "FDRE" else "O": outputs}
    directions = {p: "output" if p in "QO" else "input" for p in ports}
    return {
        "type": kind,
        "parameters": {"INIT": "10"},
        "connections": ports,
        "port_directions": directions,
        "attributes": {"src": src},
    }


def usage(tmp_path, cells: dict, nets: dict | None = None) -> dict:
    names = {name: {"bits": bits} for name, bits in (nets or {}).items()}
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": {"cells": cells, "netnames": names, "ports": {}}}}))
    return traced(path)


def traced(path) -> dict:
    with netlist_module(path, "top") as module:
        return lut_origins(module, LAYERS, NAMES).usage(expected_sites(module).by_cell)


def neurons(found: dict, layer: str) -> tuple[dict, int]:
    return found["layers"][layer]["neurons"], found["layers"][layer]["shared"]


def test_by_the_verilog_line_of_the_adder_it_feeds(tmp_path):
    cells = {"l": cell("LUT2", [2], [3]), "c": cell("CARRY4", [3], [4], "../rtl/top_a.v:2.10-2.30|/lib/arith.v:1.2")}
    assert neurons(usage(tmp_path, cells), "a") == ({"1": 1}, 0)


def test_by_net_name_and_by_packed_output(tmp_path):
    cells = {"l": cell("LUT4", [2], [3]), "m": cell("LUT6", [2], [5]), "o": cell("LUT1", [2], [8])}
    found = usage(tmp_path, cells, {"u_a.n0_out_q1": [3], "a_y": [5, 6], "b_y": [7, 8], "u_a.x": [2]})
    assert neurons(found, "a") == ({"0": 2}, 0)
    assert neurons(found, "b") == ({"0": 1}, 0)


def test_shared_only_where_several_neurons_use_it(tmp_path):
    cells = {
        "one": cell("LUT2", [1], [10], "../rtl/top_a.v:1.1-1.9"),
        "n0": cell("FDRE", [10], [20]),
        "both": cell("LUT2", [1], [11], "../rtl/top_a.v:1.1-1.9"),
        "n0b": cell("FDRE", [11], [21]),
        "n1b": cell("FDRE", [11], [22]),
    }
    found = usage(tmp_path, cells, {"u_a.n0_out_q1": [20, 21], "u_a.n1_out_q1": [22]})
    assert neurons(found, "a") == ({"0": 1}, 1)


def test_the_first_layer_owns_what_feeds_later_ones(tmp_path):
    cells = {"l": cell("LUT3", [1], [2]), "a": cell("FDRE", [2], [3]), "b": cell("CARRY4", [2], [4], "top_b.v:1.1-1.2")}
    assert neurons(usage(tmp_path, cells, {"u_a.n1_out_q1": [3]}), "a") == ({"1": 1}, 0)


def test_loops_long_chains_and_strangers_end(tmp_path):
    cells = {"x": cell("LUT2", [1], [2]), "y": cell("LUT2", [2], [1]), "memory": cell("RAM64M", [9], [8])}
    cells |= {f"c{i}": cell("LUT1", [100 + i], [101 + i]) for i in range(5000)}
    found = usage(tmp_path, cells, {"u_b.n0_sum": [5100]})
    assert found["other"] == 2 + 4
    assert neurons(found, "b") == ({"0": 5000}, 0)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"modules": {}}', '{"modules": {"top": {"cells": {"a": 1}, "netnames": {}}}}']
)
def test_damaged_netlists_end_in_one_line(tmp_path, text):
    (tmp_path / "n.json").write_text(text)
    with pytest.raises(ReportError, match=r"n\.json(: not a netlist of top| is not usable JSON)"):
        traced(tmp_path / "n.json")
