"""The netlist of a bitstream as Verilog, cut out of the wrapper that it was routed in: the design's own ports again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow.bitstream import dsp_slices
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
    names = {**wires, **inputs, "0": "1'b0", "1": "1'b1"}
    lines = [f"// {top}, read back from its bitstream: {len(used)} cells", "`default_nettype none"]
    lines += [f"module {top} (", ",\n".join(_port(name, port) for name, port in ports.items()), ");"]
    lines += [f"    wire {wire};" for wire in wires.values()]
    lines += [_instance(name, cell, names) for name, cell in used.items()]
    lines += [f"    assign {port} = {names[signal]};" for port, signal in outputs.items()]
    return "\n".join([*lines, "endmodule", "`default_nettype wire", ""])


def _behind(signals: set[str], inputs: Mapping[str, str], recovered: Recovered) -> dict[str, Cell]:
    """The cells that signals depend on, up to the inputs."""
    drivers = {s: name for name, cell in recovered.cells.items() for bits in cell.outputs.values() for s in bits}
    found: dict[str, Cell] = {}
    stack = sorted(signals)
    while stack:
        signal = stack.pop()
        name = drivers.get(signal)
        if signal in inputs or name is None or name in found:
            continue
        found[name] = recovered.cells[name]
        stack += [s for bits in found[name].inputs.values() for s in bits]
    return found


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


def _instance(name: str, cell: Cell, names: Mapping[str, str]) -> str:
    """A cell; LUTs as tables over the signals that count, which simulate several times faster than instances."""
    if cell.kind in _LUTS:
        return _table(name, cell, names)
    parameters, inputs = _straight(cell, names)
    texts = [f".{p}({_width(cell.kind, p)}'h{v:x})" for p, v in parameters.items()]
    values = ", ".join([*texts, *(f'.{p}("{v}")' for p, v in cell.words.items())])
    outputs = {pin: tuple(names[s] for s in bits) for pin, bits in cell.outputs.items()}
    pins = ", ".join(f".{pin}({{{', '.join(reversed(bits))}}})" for pin, bits in [*inputs.items(), *outputs.items()])
    return f"    {cell.kind} {f'#({values}) ' if values else ''}\\{name} ({pins});"
