"""Faults planted in a synthesized netlist (a module of Yosys' JSON), and an independent check of those called equal."""

import copy
import json
import random
import re
from pathlib import Path

from flow.core.errors import ToolFailed
from flow.files import plan
from flow.proof.netlist.words import number
from flow.tools import yosys

KINDS = ("init bit", "two pins", "data of a register", "carry in", "wire", "enable", "contents")


def mutant(module: dict, kind: str, source: random.Random) -> tuple[dict, str] | None:
    """A copy of the module with one fault of a kind, and what it is; None where there is nothing to plant."""
    found = copy.deepcopy(module)
    cells = sorted((n, c) for n, c in found["cells"].items() if _takes(kind, c))
    if not cells:
        return None
    name, cell = source.choice(cells)
    return found, f"{kind}: {name} {_plant(kind, cell, cells, found, source)}"


def _takes(kind: str, cell: dict) -> bool:
    lut, flip_flop = re.fullmatch(r"LUT\d(_2)?", cell["type"]), cell["type"].startswith("FD")
    return {
        "init bit": bool(lut),
        "two pins": bool(lut) and len(_pins(cell)) > 1,
        "data of a register": flip_flop,
        "enable": flip_flop,
        "carry in": cell["type"] in ("CARRY4", "CARRY8"),
        "wire": bool(lut) and bool(_pins(cell)),
        "contents": cell["type"].startswith("RAMB") and _words(cell) != [],
    }[kind]


def _pins(cell: dict) -> list[str]:
    return [p for p, bits in cell["connections"].items() if re.fullmatch(r"I\d", p) and isinstance(bits[0], int)]


def _entries(cell: dict) -> list[int]:
    """The entries of a LUT that its inputs can choose, some of which may be constants; O5 sees the lower half only."""
    size = int(cell["type"][3])
    fixed = {i: int(bit) for i in range(size) if (bit := cell["connections"][f"I{i}"][0]) in ("0", "1")}
    if cell["type"] == "LUT6_2":
        fixed.pop(5, None)
    return [entry for entry in range(1 << size) if all(entry >> i & 1 == bit for i, bit in fixed.items())]


def _words(cell: dict) -> list[str]:
    rows = {p: v for p, v in cell["parameters"].items() if re.fullmatch(r"INIT_[0-9A-F]{2}", p)}
    return [p for p, v in rows.items() if number(v)]


def _plant(kind: str, cell: dict, cells: list, module: dict, source: random.Random) -> str:
    pins, parameters = cell["connections"], cell["parameters"]
    if kind in ("init bit", "contents"):
        name = "INIT" if kind == "init bit" else source.choice(_words(cell))
        bits = parameters[name]
        at = len(bits) - 1 - source.choice(_entries(cell)) if kind == "init bit" else bits.rindex("1")
        parameters[name] = bits[:at] + str(1 - int(bits[at])) + bits[at + 1 :]
        return f"{name} bit {len(bits) - 1 - at}"
    if kind == "two pins":
        a, b = source.sample(_pins(cell), 2)
        pins[a], pins[b] = pins[b], pins[a]
        return f"{a} and {b}"
    if kind == "data of a register":
        other = source.choice(cells)[1]
        pins["D"], other["connections"]["D"] = other["connections"]["D"], pins["D"]
        return "swapped with another's"
    if kind == "carry in":
        pin = "CI" if cell["type"] == "CARRY8" or pins["CI"] != ["0"] else "CYINIT"
        pins[pin] = ["1"] if pins[pin] != ["1"] else ["0"]
        return pin
    if kind == "enable":
        pins["CE"] = ["0"]
        return "CE"
    pin = source.choice(_pins(cell))
    nets = sorted({b for c in module["cells"].values() for bits in c["connections"].values() for b in bits
                   if isinstance(b, int)})  # fmt: skip
    pins[pin] = [source.choice(nets)]
    return pin


def _lut(size: int, name: str = "", outputs: str = "output O", body: str = "assign O = INIT[i];") -> str:
    """A LUT without inner nets, which a check that compares nets by name would compare."""
    pins = [f"I{k}" for k in range(size)]
    index = f"wire [{size - 1}:0] i = {{{', '.join(reversed(pins))}}};"
    head = f"module {name or f'LUT{size}'} ({outputs}, input {', '.join(pins)});"
    return f"{head}\nparameter [{2**size - 1}:0] INIT = 0;\n{index}\n{body}\nendmodule\n"


_LUTS = "".join(_lut(n) for n in range(1, 7))
_LUTS += _lut(6, "LUT6_2", "output O5, output O6", "assign O6 = INIT[i];\nassign O5 = INIT[{1'b0, i[4:0]}];")


def _without_names(module: dict) -> dict:
    """The module with names for registers and ports alone.

    Equivalence is of what has a name: a wire may differ where nothing sees it, as the data of a carry that passes.
    """
    kept = {b for port in module["ports"].values() for b in port["bits"]}
    kept |= {b for cell in module["cells"].values() if cell["type"].startswith("FD") for b in cell["connections"]["Q"]}
    nets = {name: net for name, net in module["netnames"].items() if set(net["bits"]) <= kept}
    cells = {f"$cell{k}": cell for k, cell in enumerate(module["cells"].values())}
    return {**module, "netnames": nets, "cells": cells}


def really_equal(before: dict, after: dict, top: str, work: Path) -> bool:
    """Whether Yosys' own equivalence checks, which share nothing with ours, prove two netlists equal."""
    lines = []
    for name, module in (("gold", before), ("gate", after)):
        plan.write_file(work / "luts.v", _LUTS)
        plan.write_file(work / f"{name}.json", json.dumps({"modules": {top: _without_names(module)}}))
        lines += [
            "read_verilog +/xilinx/cells_sim.v",
            "read_verilog -overwrite luts.v",
            f"read_json {name}.json",
            f"hierarchy -top {top}",
            "proc",
        ]
        lines += ["flatten", "setattr -unset init w:*", f"rename {top} {name}", "opt_clean", f"design -stash {name}"]
    lines += ["design -copy-from gold gold", "design -copy-from gate gate", "equiv_make gold gate both"]
    lines += ["hierarchy -top both", "opt_expr", "equiv_simple", "equiv_induct", "equiv_status -assert"]
    try:
        yosys.run_script(work, "\n".join(lines) + "\n", "equal", 600)
    except ToolFailed as failed:
        assert "unproven" in str(failed), failed
        return False
    return True
