"""Finds a netlist's arrays for a written memory of the Verilog, and says what must be equal for them to agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal, Word
from flow.proof.netlist.memory import Array
from flow.proof.netlist.registers import Samples
from flow.proof.netlist.side import Bit, Cell, Side
from flow.proof.netlist.words import Ports, all_of, number

_Key = tuple[int, ...]


@dataclass(frozen=True)
class Cone:
    """Two functions that must be equal: of a register's next state, an output or a memory's port.

    ``names`` are the text's names for it; ``fault`` says what is wrong without looking at the functions; ``guess`` is
    the register, or the bit of a memory, whose partner in the netlist was not found by its name, and was ``made`` where
    it is no net there.
    """

    names: tuple[str, ...]
    text: Literal
    netlist: Literal
    fault: str = ""
    guess: Bit | None = None  # a register's net, or the name of a bit of a memory
    made: bool = False


@dataclass(frozen=True)
class _Written:
    """One bit of every word of a memory of the text: where in it, what it holds at first, and how it is written."""

    name: str
    values: int
    defined: int
    enable: Literal
    address: Word
    data: Literal


class Matcher:
    """Relates the written memories of the text to ``arrays``; what must be equal for that is added to ``cones``.

    ``beyond`` gets, by the node of a variable for what an array shows, when it is read beyond the memory's words. The
    bits of memories in ``refused`` get no array.
    """

    def __init__(
        self,
        graph: Aig,
        samples: Samples,
        arrays: Sequence[Array],
        same_clock: Callable[[Bit, Bit | None], bool],
        cones: list[Cone],
        beyond: dict[int, Literal],
        refused: Collection[Bit],
    ) -> None:
        self.graph, self.samples, self.same_clock = graph, samples, same_clock
        self.cones, self.beyond, self.refused = cones, beyond, refused
        self.depths = sorted({len(a.address) for a in arrays})
        self.known: dict[_Key, list[Array]] = defaultdict(list)
        for array in arrays:
            self.known[self._key(array.enable, array.address, array.data)].append(array)

    def read(
        self, side: Side, cell: Cell, ports: Ports, contents: tuple[list[int], list[int]], addresses: list[Word]
    ) -> Word:
        """What the memory's read ports show, a free variable where no array is found."""
        p, name = cell["parameters"], cell["parameters"]["MEMID"].lstrip("\\")
        enables, data = ports["WR_EN"], ports["WR_DATA"]
        clock = cell["connections"]["WR_CLK"][0]
        usable = number(p["WR_CLK_ENABLE"]) and number(p["WR_CLK_POLARITY"])
        found = []
        for bit, (values, defined) in enumerate(zip(*contents, strict=True)):
            written = _Written(f"{name}[{bit}]", values, defined, enables[bit], ports["WR_ADDR"], data[bit])
            found.append(self._blocks(written, number(p["SIZE"]), clock) if usable else None)
        return [
            self._read(f"{name}[{bit}]", blocks, address, number(p["SIZE"]))
            if blocks
            else side.unexplained("a written memory")
            for address in addresses
            for bit, blocks in enumerate(found)
        ]

    def _key(self, enable: Literal, address: Word, data: Literal) -> _Key:
        """What tells arrays apart: how they are written. Address and data count where there is a write alone."""
        used = self.samples.of(enable)
        return (used, *(self.samples.of(literal) & used for literal in (data, *address)))

    def _blocks(self, written: _Written, size: int, clock: Bit) -> list[Array] | None:
        """The arrays that together hold one bit of every word, each a power of two of words."""
        for bits in () if written.name in self.refused else self.depths:
            count = -(-size // (1 << bits))
            low = [*written.address, *[FALSE] * bits][:bits]
            enables = [
                self.graph.both(written.enable, self._at(written.address[bits:], block)) for block in range(count)
            ]
            found = [self._array(written.name, self._key(e, low, written.data), clock) for e in enables]
            if None not in found:
                arrays = [a for a in found if a is not None]
                for block, (array, enable) in enumerate(zip(arrays, enables, strict=True)):
                    self._must_agree(written, array, enable, low, block << bits)
                return arrays
        return None

    def _array(self, name: str, key: _Key, clock: Bit) -> Array | None:
        usable = [a for a in self.known.get(key, ()) if self.same_clock(clock, a.clock)]
        named = [a for a in usable if a.name.startswith(name.rpartition("[")[0] + ".")]
        return next(iter(named or usable), None)

    def _at(self, address: Word, block: int) -> Literal:
        """Whether the upper bits of an address say ``block``."""
        return all_of(self.graph, [bit ^ (~block >> i & 1) for i, bit in enumerate(address)])

    def _must_agree(self, written: _Written, array: Array, enable: Literal, low: Word, start: int) -> None:
        graph, words = self.graph, (1 << (1 << len(low))) - 1
        defined = written.defined >> start & words
        wrong = (written.values >> start ^ array.first) & defined
        fault = f"word {start + (wrong & -wrong).bit_length() - 1} starts otherwise in the netlist" if wrong else ""
        self.cones.append(Cone((f"{written.name} write enable",), enable, array.enable, fault, written.name))
        pairs = [
            ("data", written.data, array.data),
            *((f"address[{i}]", low[i], a) for i, a in enumerate(array.address)),
        ]
        for what, text, netlist in pairs:
            names = (f"{written.name} write {what}",)
            text, netlist = graph.both(enable, text), graph.both(enable, netlist)
            self.cones.append(Cone(names, text, netlist, guess=written.name))

    def _read(self, name: str, blocks: list[Array], address: Word, size: int) -> Literal:
        """What a read port shows. Beyond the memory's words the Verilog leaves that undefined, so that any value is
        right there: it is what the synthesizer's selection shows, which looks at no address bit that it need not."""
        bits = len(blocks[0].address)
        low = [*address, *[FALSE] * bits][:bits]
        shown = [self._shown(name, array, low) for array in blocks]
        beyond = _at_least(self.graph, address, size)
        for node in self.graph.cone(shown):
            self.beyond[node] = self.graph.either(beyond, self.beyond.get(node, FALSE))
        return self._selected(shown, address[bits:])

    def _selected(self, shown: list[Literal], select: Word) -> Literal:
        if len(shown) == 1:
            return shown[0]
        half = 1 << len(select) - 1
        if len(shown) <= half:
            return self._selected(shown, select[:-1])
        upper, lower = (self._selected(part, select[:-1]) for part in (shown[half:], shown[:half]))
        return self.graph.choose(select[-1], upper, lower)

    def _shown(self, name: str, array: Array, address: Word) -> Literal:
        """What an array shows: the netlist's reading at the same address, which is to be proved the same."""
        wanted = [self.samples.of(bit) for bit in address]
        for read, literal in array.reads.items():
            if [self.samples.of(bit) for bit in read] == wanted:
                for i, (text, netlist) in enumerate(zip(address, read, strict=True)):
                    if text != netlist:
                        self.cones.append(Cone((f"{name} read address[{i}]",), text, netlist, guess=name))
                return literal
        return array.read(self.graph, address)


def _at_least(graph: Aig, word: Word, least: int) -> Literal:
    """Whether an unsigned ``word`` is ``least`` or more."""
    if least >> len(word):
        return FALSE
    found = TRUE
    for i, bit in enumerate(word):
        found = graph.both(bit, found) if least >> i & 1 else graph.either(bit, found)
    return found
