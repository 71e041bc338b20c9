"""The netlist of a bitstream as Verilog, cut out of the wrapper that it was routed in: the design's own ports again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow.bitstream import dsp_slices
from flow.bitstream.blocks import LUT_MEMORIES
from flow.bitstream.compare import Comparison
from flow.bitstream.fabric import Contradiction
from flow.bitstream.netlist import Cell, Recovered, depends

_LUTS = ("LUT5", "LUT6")


def core_verilog(
    top: str, ports: Mapping[str, Any], places: Mapping[str, Sequence[Any]], comparison: Comparison
) -> str:
    """A module ``top`` with the ``ports`` of Yosys' module of that name, made of the cells between them.

    ``places`` are the nets, of the netlist that place and route was given, that each port is. Raises Contradiction
    where an output of the design is nowhere in the bitstream.
    """
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for name, port in ports.items():
        for i, bit in enumerate(places[name]):
            signal = comparison.signal_of(bit)
            place = f"{name}[{i}]" if len(places[name]) > 1 else name
            if port["direction"] == "input":
                if bit not in ("0", "1"):
                    inputs |= dict.fromkeys(comparison.same_as(bit), place)
            elif signal is None:
                raise Contradiction(f"output {place} of the design is nowhere in the bitstream")
            else:
                outputs[place] = signal
    used = _behind(set(outputs.values()), inputs, comparison.recovered)
    wires = {s: f"s{i}" for i, s in enumerate(s for c in used.values() for bits in c.outputs.values() for s in bits)}
    unread = {s: "1'b0" for c in used.values() for bits in c.inputs.values() for s in bits}
    names = {**unread, **wires, **inputs, "0": "1'b0", "1": "1'b1"}
    lines = [f"// {top}, read back from its bitstream: {len(used)} cells", "`default_nettype none"]
    lines += [f"module {top} (", ",\n".join(_port(name, port) for name, port in ports.items()), ");"]
    lines += [f"    wire {wire};" for wire in wires.values()]
    lines += [_instance(name, cell, names, wires) for name, cell in used.items()]
    lines += [f"    assign {port} = {names[signal]};" for port, signal in outputs.items()]
    return "\n".join([*lines, "endmodule", "`default_nettype wire", ""])


def _behind(signals: set[str], inputs: Mapping[str, str], recovered: Recovered) -> dict[str, Cell]:
    """The cells that signals depend on, up to the inputs."""
    drivers = {
        s: (name, pin, i) for name, cell in recovered.cells.items() for pin, bits in cell.outputs.items()
        for i, s in enumerate(bits)
    }  # fmt: skip
    found: dict[str, Cell] = {}
    seen: set[str] = set()
    stack = sorted(signals)
    while stack:
        signal = stack.pop()
        if signal in inputs or signal in seen or signal not in drivers:
            continue
        seen.add(signal)
        name, pin, i = drivers[signal]
        found[name] = recovered.cells[name]
        stack += _read(found[name], pin, i)
    return found


def _read(cell: Cell, pin: str, bit: int) -> list[str]:
    """The input signals that a bit of an output depends on.

    A bit of a memory in LUTs holds what its own data pin was given. Pins of bits that nobody reads are wires of the
    slice, and carry whatever belongs to the flip-flops beside it.
    """
    if cell.kind not in LUT_MEMORIES:
        return [s for bits in cell.inputs.values() for s in bits]
    own = (f"ADDR{pin[-1]}", "ADDRD")  # where it is read, and where all four are written
    shared = [s for name, bits in cell.inputs.items() if name in own or name[:2] not in ("DI", "AD") for s in bits]
    return [cell.inputs[f"DI{pin[-1]}"][bit], *shared]


def _width(kind: str, parameter: str) -> int:
    """The bits of a parameter."""
    if parameter.startswith("INIT"):
        return 256 if kind.startswith("RAMB") else 64 if kind.startswith("RAM") else 1
    if parameter.startswith(("READ_WIDTH", "WRITE_WIDTH")):
        return 8
    return 2 if kind == dsp_slices.KIND else 1


def _straight(cell: Cell, names: Mapping[str, str]) -> tuple[Mapping[str, int], Mapping[str, tuple[str, ...]]]:
    """The parameters and input signals of a cell; those of a DSP slice with the inversions of its pins outside it."""
    inputs = {pin: tuple(names[s] for s in bits) for pin, bits in cell.inputs.items()}
    if cell.kind != dsp_slices.KIND:
        return cell.parameters, inputs
    turned = {pin: cell.parameters[f"IS_{pin}_INVERTED"] for pin in dsp_slices.INVERTIBLE}
    inputs |= {
        pin: tuple(f"~{name}" if mask >> i & 1 else name for i, name in enumerate(inputs[pin]))
        for pin, mask in turned.items()
    }
    return {p: v for p, v in cell.parameters.items() if not p.startswith("IS_")}, inputs


def _table(name: str, cell: Cell, names: Mapping[str, str]) -> str:
    size, table = int(cell.kind[3]), cell.parameters["INIT"]
    used = [i for i in range(size) if depends(table, i, size)]
    rows = [sum((row >> k & 1) << i for k, i in enumerate(used)) for row in range(1 << len(used))]
    short = sum((table >> row & 1) << k for k, row in enumerate(rows))
    wire, pins = names[cell.outputs["O"][0]], [names[cell.inputs[f"I{i}"][0]] for i in reversed(used)]
    if not pins:
        return f"    assign {wire} = 1'b{short};  // {name}"
    table_wire = f"t{wire[1:]}"
    return (
        f"    wire [{len(rows) - 1}:0] {table_wire} = {len(rows)}'h{short:x};  // {name}\n"
        f"    assign {wire} = {table_wire}[{{{', '.join(pins)}}}];"
    )


def _port(name: str, port: Mapping[str, Any]) -> str:
    width = f"[{len(port['bits']) - 1}:0] " if len(port["bits"]) > 1 else ""
    return f"    {port['direction']} wire {width}{name}"


def _instance(name: str, cell: Cell, names: Mapping[str, str], wires: Mapping[str, str]) -> str:
    """A cell; LUTs as tables over the signals that count, which simulate several times faster than instances.

    What it makes has wires of its own: the lowest sum of a chain without a carry is a port's input by another name.
    """
    if cell.kind in _LUTS:
        return _table(name, cell, names)
    parameters, inputs = _straight(cell, names)
    texts = [f".{p}({_width(cell.kind, p)}'h{v:x})" for p, v in parameters.items()]
    values = ", ".join([*texts, *(f'.{p}("{v}")' for p, v in cell.words.items())])
    outputs = {pin: tuple(wires[s] for s in bits) for pin, bits in cell.outputs.items()}
    pins = ", ".join(f".{pin}({{{', '.join(reversed(bits))}}})" for pin, bits in [*inputs.items(), *outputs.items()])
    return f"    {cell.kind} {f'#({values}) ' if values else ''}\\{name} ({pins});"
