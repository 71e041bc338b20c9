"""Stands in for nextpnr-himbaechel-xilinx: records its arguments and reports a path through the design it was given.

FAKE_FMAX lists the Fmax of each seed in MHz, such as ``90,120``, times the design's registers with FAKE_REGISTERS;
FAKE_FAULT makes it misbehave: ``status`` ends with an error, ``silent`` writes no report, ``cut`` writes half of one.
"""

import json
import os
import sys
from pathlib import Path

STEPS = (("clk-to-q", 0.35), ("routing", 0.5), ("logic", 0.125), ("routing", 0.6), ("setup", 0.1))


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def report(seed):
    design = json.loads(Path(option("--json")).read_text())["modules"]["flow_route"]
    registers = [name for name, cell in design["cells"].items() if cell["type"].startswith("FD") and "dut" in name]
    path = []
    for index, (kind, delay) in enumerate(STEPS):
        cell = {"cell": registers[0 if index == 0 else -1], "loc": [1, 1], "port": "Q"}
        path.append({"type": kind, "delay": delay, "net": "n", "from": cell, "to": cell})
    rates = [float(rate) for rate in os.environ.get("FAKE_FMAX", "123.5").split(",")]
    achieved = rates[min(seed, len(rates)) - 1] * (len(registers) if "FAKE_REGISTERS" in os.environ else 1)
    clock = "posedge dut.clk"
    return {
        "critical_paths": [{"from": clock, "to": clock, "path": path}],
        "fmax": {"dut.clk": {"achieved": achieved, "constraint": float(option("--freq"))}},
        "utilization": {"SLICE_LUTX": {"used": 7, "available": 106400}, "PAD": {"used": 3, "available": 392},
                        "DSP48E1_DSP48E1": {"used": 0, "available": 220}},
    }  # fmt: skip


def placed():
    """Two LUTs of the design in one site, one beside a constant, and one of the wrapper."""
    beds = {"dut.u_x.lut$O5": "X1Y1/SLICE_X0Y0.A5LUT", "$flatten\\dut.u_x.lut": "X1Y1/SLICE_X0Y0.A6LUT",
            "dut.other": "X1Y1/SLICE_X0Y0.B6LUT", "$PACKER_GND_NET$LUT1": "X1Y1/SLICE_X0Y0.B5LUT",
            "$PACKER_GND_NET$LUT2": "X2Y1/SLICE_X0Y0.A5LUT", "fold_1[0].u_parity": "X3Y1/SLICE_X0Y0.D6LUT",
            "dut.register": "X3Y1/SLICE_X0Y0.AFF"}  # fmt: skip
    cells = {name: {"type": "SLICE_LUTX", "attributes": {"NEXTPNR_BEL": bed}} for name, bed in beds.items()}
    return {"modules": {"top": {"cells": cells}}}


def main():
    if "--help" in sys.argv:
        print("  --pre-route arg                       python file to run before routing")
        return
    if "--version" in sys.argv:
        print('"nextpnr-himbaechel-xilinx" -- Next Generation Place and Route (Version 0.99+fake)', file=sys.stderr)
        return 0
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        print(json.dumps({"arguments": sys.argv[1:], "xdc": Path("route.xdc").read_text()}), file=log)
    fault = os.environ.get("FAKE_FAULT")
    if fault == "status":
        print("ERROR: Unable to place cell 'dut.x', no BELs remaining")
        return 125
    if fault != "silent":
        Path(option("--write")).write_text(json.dumps(placed()))
        for output in (word for word in sys.argv if word.startswith("fasm=")):
            Path(output.removeprefix("fasm=")).write_text("")
        text = json.dumps(report(int(option("--seed"))))
        Path(option("--report")).write_text(text[: len(text) // 2] if fault == "cut" else text)
    return 0


sys.exit(main())
