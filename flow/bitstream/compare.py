"""Compares the netlist of a bitstream with the one that was synthesized: every cell, pin and content.

Both become one and-inverter graph over the same flip-flops, which correspond by where they were placed. Place and route
only moves cells, adds cells that pass a signal on, and turns the pins of LUTs: so what is equal is one node there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flow.bitstream import blocks, dsp_slices, processor, reach
from flow.bitstream.functions import FUNCTIONS, is_lut
from flow.bitstream.netlist import Recovered, as_module, depends
from flow.bitstream.placement import PlacedCell, contents_by_site
from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal
from flow.proof.netlist.cells import FLIP_FLOPS
from flow.proof.netlist.side import Bit, Side
from flow.proof.netlist.words import number

_HOLDING = (*FLIP_FLOPS, *blocks.KINDS, processor.KIND)
Module = Mapping[str, Any]  # a flat module of Yosys' JSON
Namer = Callable[[str], str | None]  # a cell of the netlist -> "dense_0 neuron 17"


@dataclass(frozen=True)
class Compared:
    """What was compared, and each difference as a sentence; ``passing`` are LUTs that only pass a signal on."""

    luts: int
    flip_flops: int
    carries: int
    multiplexers: int
    memories: int
    dsp_slices: int
    pins: int
    passing: int
    differences: tuple[str, ...]


def compare(
    netlist: Module, recovered: Recovered, placement: Mapping[str, PlacedCell], pads: Mapping[str, str], name: Namer
) -> Compared:
    """Compare ``netlist``, what place and route was given, with what was recovered from the bitstream.

    ``pads`` says on which package pin each port lies, ``name`` what a cell belongs to in the design.
    """
    return Comparison(netlist, recovered, placement, pads, name).run()


class Comparison:
    """Both netlists over one graph. ``signals`` are those of the bitstream by their literals."""

    def __init__(
        self,
        netlist: Module,
        recovered: Recovered,
        placement: Mapping[str, PlacedCell],
        pads: Mapping[str, str],
        name: Namer,
    ) -> None:
        self.recovered, self.placement, self.pads, self.name = recovered, placement, pads, name
        self.graph = Aig()
        self.found, self.nets = as_module(recovered)
        self.ours = Side(self.graph, netlist, FUNCTIONS, self.graph.variable)
        self.theirs = Side(self.graph, self.found, FUNCTIONS, self.graph.variable)
        self.differences: list[str] = []
        self.pins = 0
        self.blocks = blocks.places(self.ours.cells, placement)
        self._seed()

    def run(self) -> Compared:
        """All comparisons. A cell is told only if what feeds it is right."""
        kinds = [cell["type"] for cell in self.ours.cells.values()]
        luts = [n for n, c in self.ours.cells.items() if is_lut(c["type"])]
        wrong = {n for n in luts if not self._same_lut(n)}
        for cell in sorted(wrong):
            if not any(before in wrong for before in reach.luts_before(self.ours, cell, _HOLDING)):
                self._tell(cell, self._why(cell))
        for cell in self._flip_flops():
            self._compare_flip_flop(cell, wrong)
        self._compare_blocks()
        self._compare_processor()
        self._compare_pads()
        passing = self._census()
        return Compared(
            len(luts), sum(k in FLIP_FLOPS for k in kinds), kinds.count("CARRY4"),
            sum(k.startswith("MUXF") for k in kinds), sum(k in blocks.MEMORIES for k in kinds),
            kinds.count(dsp_slices.KIND), self.pins, passing,
            tuple(self.differences),
        )  # fmt: skip

    def signal_of(self, bit: Bit) -> str | None:
        """The signal of the bitstream that a net of the netlist is; None where there is none."""
        if bit in ("0", "1"):
            return str(bit)
        self.ours.word([bit])
        literal = self.ours.literals[bit]
        if literal in (FALSE, TRUE):
            return str(literal)
        return self._signals.get(literal)

    def same_as(self, bit: Bit) -> Sequence[str]:
        """Every signal of the bitstream that is the same as a net of the netlist; none of constants."""
        literal = self.ours.word([bit])[0]
        return () if literal in (FALSE, TRUE) else self._equal.get(literal, ())

    @cached_property
    def _signals(self) -> Mapping[Literal, str]:
        """The bitstream's signals by their literals: where others pass it on, the flip-flop that makes it."""
        makers = {s for c in self.recovered.cells.values() if c.kind in FLIP_FLOPS for s in c.outputs["Q"]}
        return {literal: max(signals, key=makers.__contains__) for literal, signals in self._equal.items()}

    @cached_property
    def _equal(self) -> Mapping[Literal, list[str]]:
        """The bitstream's signals by their literals."""
        found: dict[Literal, list[str]] = {}
        for signal, net in self.nets.items():
            found.setdefault(self.theirs.word([net])[0], []).append(signal)
        return found

    def _seed(self) -> None:
        """One variable for each pad and flip-flop, on both sides."""
        for port, entry in self.ours.ports.items():
            if entry["direction"] == "input":
                variable = self.graph.variable()
                self.ours.seed(entry["bits"][0], variable)
                if f"pad.{self.pads.get(port)}" in self.nets:
                    self.theirs.seed(self.nets[f"pad.{self.pads[port]}"], variable)
        for cell in self._flip_flops():
            variable = self.graph.variable()
            self.ours.seed(self.ours.cells[cell]["connections"]["Q"][0], variable)
            place = self.placement.get(cell)
            if place and place.key in self.recovered.cells:
                self.theirs.seed(self.nets[place.key], variable)
        for cell in self._processors():
            for bit, source in processor.outputs(self.ours.cells[cell]):
                variable = self.graph.variable()
                self.ours.seed(bit, variable)
                if source in self.nets:
                    self.theirs.seed(self.nets[source], variable)
        for cell, parts in self.blocks.items():
            for bit, signal in blocks.outputs(self.ours.cells[cell], parts, self.recovered):
                variable = self.graph.variable()
                self.ours.seed(bit, variable)
                if signal is not None:
                    self.theirs.seed(self.nets[signal], variable)

    def _compare_blocks(self) -> None:
        for cell, parts in self.blocks.items():
            entry = self.ours.cells[cell]
            if not parts or any(part not in self.recovered.cells for part in parts):
                self._tell(cell, "is not in the bitstream")
                continue
            where = "" if cell in self.placement else f"at {parts[0]} "
            for name in blocks.contents(entry, parts, self.recovered):
                what = "contents" if name.startswith("INIT") else "settings"
                self._tell(cell, f"{where}has other {what} ({name}) in the bitstream")
            for pin, bit, signal, turned in blocks.inputs(entry, parts, self.recovered):
                self.pins += 1
                if self.ours.word([bit])[0] ^ turned != self.theirs.word([self.nets.get(signal, signal)])[0]:
                    self._tell(cell, f"{where}has another signal at pin {pin} in the bitstream")
        known = {part for parts in self.blocks.values() for part in parts}
        for name in sorted(n for n, c in self.recovered.cells.items() if c.kind in blocks.KINDS):
            if name not in known:
                self.differences.append(f"{name} of the bitstream belongs to no cell of the netlist")

    def _processors(self) -> list[str]:
        return [name for name, cell in self.ours.cells.items() if cell["type"] == processor.KIND]

    def _compare_processor(self) -> None:
        for cell in self._processors():
            for pin, bit, signal in processor.inputs(self.ours.cells[cell], self.recovered):
                self.pins += 1
                if bit is None or signal is None:
                    self._tell(cell, f"has pin {pin} driven in the {'bitstream' if bit is None else 'netlist'} only")
                elif self.ours.word([bit])[0] != self.theirs.word([self.nets.get(signal, signal)])[0]:
                    self._tell(cell, f"has another signal at pin {pin} in the bitstream")
        if not self._processors() and processor.KIND in self.recovered.cells:
            self.differences.append("the bitstream is connected to the processor, the netlist is not")

    def _flip_flops(self) -> Iterator[str]:
        return (n for n, c in self.ours.cells.items() if c["type"] in FLIP_FLOPS and c["connections"].get("Q"))

    def _literals(self, cell: str) -> tuple[Literal, Literal | None]:
        """A LUT's output in the netlist, and at the place where it lies in the bitstream."""
        ours = self.ours.word(self.ours.cells[cell]["connections"]["O"])[0]
        place = self.placement.get(cell)
        if place is None or place.key not in self.recovered.cells:
            return ours, None
        return ours, self.theirs.word([self.nets[place.key]])[0]

    def _same_lut(self, cell: str) -> bool:
        self.pins += sum(len(bits) for bits in self.ours.cells[cell]["connections"].values())
        ours, theirs = self._literals(cell)
        if theirs is None and self.ours.cells[cell]["connections"]["O"][0] not in self._live:
            return True  # it feeds nothing but the end of a carry chain; its contents are compared all the same
        return ours == theirs

    @cached_property
    def _live(self) -> frozenset[Bit]:
        """The nets of the netlist on which anything depends."""
        return reach.live(self.ours, [processor.KIND])

    def _why(self, cell: str) -> str:
        theirs = self._literals(cell)[1]
        if theirs is None:
            return "is not in the bitstream, or nothing reads it there"
        found = self.recovered.cells[self.placement[cell].key]
        wanted = {x >> 1 for bits in self._inputs_of(cell) for x in self.ours.word(bits)}
        given = {
            x >> 1 for bits in found.inputs.values() for x in self.theirs.word([self.nets.get(s, s) for s in bits])
        }
        if given - {0} <= wanted:
            return "has other contents (INIT) in the bitstream, or exchanged pins"
        return "has a pin that another signal drives in the bitstream"

    def _inputs_of(self, cell: str) -> Iterator[list[Bit]]:
        entry = self.ours.cells[cell]
        return (bits for port, bits in entry["connections"].items() if entry["port_directions"][port] == "input")

    def _compare_flip_flop(self, cell: str, wrong: set[str]) -> None:
        entry, place = self.ours.cells[cell], self.placement.get(cell)
        theirs = self.recovered.cells.get(place.key) if place else None
        if place is None or theirs is None or theirs.kind not in FLIP_FLOPS:
            self._tell(cell, "is not in the bitstream")
            return
        kind, other = FLIP_FLOPS[entry["type"]], FLIP_FLOPS[theirs.kind]
        first = str(entry["parameters"].get("INIT", "0"))[-1:]
        inverted = number(entry["parameters"].get("IS_C_INVERTED", 0))
        if first in "01" and int(first) != theirs.parameters["INIT"]:
            self._tell(cell, f"starts as {theirs.parameters['INIT']} in the bitstream")
        if inverted != theirs.parameters["IS_C_INVERTED"]:
            self._tell(cell, "takes the other edge of its clock in the bitstream")
        resets = False
        for pin, same in (("D", "D"), ("CE", "CE"), ("C", "C"), (kind.pin, other.pin)):
            self.pins += 1
            ours = self.ours.word(entry["connections"].get(pin, ["1" if pin == "CE" else "0"]))[0]
            found = self.theirs.word([self.nets.get(s, s) for s in theirs.inputs[same]])[0]
            resets |= pin == kind.pin and ours != FALSE
            if ours != found and not any(
                before in wrong for before in reach.luts_feeding(self.ours, entry, pin, _HOLDING)
            ):
                self._tell(cell, f"has another signal at pin {pin} in the bitstream")
        if resets and (kind.value, kind.asynchronous) != (other.value, other.asynchronous):
            self._tell(cell, "is set or reset otherwise in the bitstream")

    def _compare_pads(self) -> None:
        outputs = {self.pads[n]: p["bits"][0] for n, p in self.ours.ports.items() if p["direction"] == "output"}
        for pin in sorted(outputs.keys() | self.recovered.outputs.keys()):
            if pin not in self.recovered.outputs or pin not in outputs:
                where = "netlist" if pin in outputs else "bitstream"
                self.differences.append(f"pad {pin} is driven in the {where} only")
                continue
            signal = self.recovered.outputs[pin]
            if self.ours.word([outputs[pin]]) != self.theirs.word([self.nets.get(signal, signal)]):
                self.differences.append(f"pad {pin} is driven by another signal in the bitstream")

    def _census(self) -> int:
        """Differences for what only the bitstream holds. Returns how many LUTs pass a signal on."""
        known = {place.key for name, place in self.placement.items() if name in self.ours.cells}
        contents = contents_by_site(self.placement)
        passing = 0
        for signal, cell in self.recovered.cells.items():
            if cell.kind in FLIP_FLOPS and signal not in known:
                self.differences.append(f"the flip-flop {signal} of the bitstream belongs to no cell of the netlist")
            if not is_lut(cell.kind) or signal in known:
                continue
            size, table = int(cell.kind[3]), cell.parameters["INIT"]
            passing += 1
            if sum(depends(table, i, size) for i in range(size)) > 1:
                self.differences.append(f"{signal} of the bitstream computes something and belongs to no cell")
        for site in sorted(self.recovered.tables.keys() | contents.keys()):
            table, wanted = self.recovered.tables.get(site, 0), contents.get(site)
            if wanted is None and sum(depends(table, i, 6) for i in range(6)) > 1:
                self.differences.append(f"{site} of the bitstream has contents and belongs to no cell of the netlist")
            elif wanted is not None and table != wanted and not self._told_at(site):
                name = next(n for n, p in self.placement.items() if p.bel.endswith("LUT") and p.site == site)
                self._tell(name, f"has contents {table:016x} at {site}, not {wanted:016x}")
        return passing

    def _told_at(self, site: str) -> bool:
        return any(f" at {site[:-3]}" in text for text in self.differences)

    def _tell(self, cell: str, why: str) -> None:
        place = self.placement.get(cell)
        where = self.name(cell) or "wrapper"
        self.differences.append(f"{where}: {cell}{f' at {place.key}' if place else ''} {why}")
