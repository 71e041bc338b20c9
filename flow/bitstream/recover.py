"""The netlist that a bitstream configures, from its features and the database alone: cells, pins and contents."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from flow.bitstream import block_rams, dsp_slices, processor
from flow.bitstream.database import Database
from flow.bitstream.decode import Decoded
from flow.bitstream.fabric import Contradiction, Fabric, Pin, ReadError
from flow.bitstream.netlist import Cell, Recovered, depends, fixed
from flow.bitstream.slices import LETTERS, Slice

_SLICES = ("SLICEL", "SLICEM")
_PADS = ("IOB33", "IOB33M", "IOB33S")
_BLOCKS = [kind for kinds in block_rams.SITES.values() for kind in kinds]
_UNKNOWN = {
    "an input flip-flop": r"ILOGIC_Y\d\.IFF\.ZINV_C",
    "an MMCM or PLL": r".*_ADV\..*IN_USE",
}
_PLACE = re.compile(r"(\w+)\.(X\d)\.([A-D]?)(\w+)(?:\.(\w+))?")


def recover(decoded: Decoded, database: Database) -> Recovered:
    """The netlist behind all pads and flip-flops. Raises ReadError for what the reader does not know."""
    reader = _Reader(decoded, database)
    return reader.read()


class _Reader:
    def __init__(self, decoded: Decoded, database: Database) -> None:
        self.database, self.decoded = database, decoded
        self.fabric = Fabric(database, decoded.features)
        self.slices: dict[str, Slice] = {}
        self.found = Recovered()
        self.waiting: list[str] = []
        self.seen: set[str] = {"0", "1"}
        self.tops: dict[str, tuple[int, int]] = {}  # of each carry chain, positions that select and data are used up to

    def read(self) -> Recovered:
        self._refuse_unknown()
        for tile, names in sorted(self.decoded.features.items()):
            for place in sorted({name.partition(".")[0] for name in names if name.startswith(_SLICES)}):
                one = self._slice(f"{tile}.{place[-2:]}")
                tables = {f"{one.name}.{letter}LUT": one.table(letter) for letter in LETTERS}
                if not one.is_memory:
                    self.found.tables |= {site: table for site, table in tables.items() if table}
                for flip_flop in one.flip_flops():
                    self._use(f"{one.name}.{flip_flop}")
        for tile, site, pin in self._output_pads():
            wire = self.fabric.pin_wire(tile, site, _PADS, "O")
            self.found.outputs[pin] = self._use(self._driver(tile, wire or "", f"pad {pin}"))
        while self.waiting:
            self._make(self.waiting.pop())
        self._follow_idle_pins()
        self.found.switches = self.fabric.switches
        self.found.astray = tuple(self.fabric.astray())
        self.found.idle = tuple((one.name, feature) for one in self.slices.values() for feature in one.idle())
        return self.found

    def _follow_idle_pins(self) -> None:
        """Nets also end at pins that a used slice or clock buffer does not look at; they are followed as well."""
        for tile in self.fabric.reached("CLBL"):  # also LUTs that are empty, being constant
            self._slice(f"{tile}.X0")
            self._slice(f"{tile}.X1")
        for name in self.slices:
            tile, place = name.split(".")
            self._follow(tile, f"{place}Y0", _SLICES)
        for tile in self.fabric.reached("BRAM_L") + self.fabric.reached("BRAM_R"):
            for site, kinds in block_rams.SITES.items():
                self._follow(tile, site, kinds)
        for tile in self.fabric.reached("DSP_"):
            for site in dsp_slices.SITES.values():
                self._follow(tile, site, (dsp_slices.KIND,))
        for name in [name for name in self.found.cells if name.endswith(".BUFG")]:
            tile, site, _ = name.split(".")
            self._follow(tile, site, ("BUFGCTRL",))

    def _follow(self, tile: str, place: str, kinds: Collection[str]) -> None:
        for site in self.database.wiring(self.database.tiles[tile].kind).sites:
            if site["name"] == place and site["type"] in kinds:
                for pin, carried in site["site_pins"].items():
                    if carried and pin not in self.database.outputs(site["type"]):
                        self.fabric.drivers(tile, carried["wire"])

    def _refuse_unknown(self) -> None:
        """Raises ReadError for tiles in use whose cells this reader does not know."""
        for tile, names in self.decoded.features.items():
            kind = self.database.tiles[tile].kind
            for what, sign in _UNKNOWN.items():
                if any(re.fullmatch(sign, name) for name in names):
                    raise ReadError(f"tile {tile} ({kind}) holds {what}, which cannot be read back yet")

    def _output_pads(self) -> list[tuple[str, str, str]]:
        """Tile, site and package pin of every pad that is driven."""
        found = []
        for (tile, site), pin in self.database.pads.items():
            sites = sorted(s for s in self.database.tiles[tile].sites if s.startswith("IOB_")) if tile else []
            if site not in sites or tile not in self.decoded.features:
                continue
            lowest = min(int(s.rpartition("Y")[2]) for s in sites)
            place = f"X0Y{int(site.rpartition('Y')[2]) - lowest}"
            number = 1 - int(place[-1]) if len(sites) > 1 else 0  # features count from above
            if any(re.match(rf"IOB_Y{number}\..*\.DRIVE\.", name) for name in self.decoded.features[tile]):
                found.append((tile, place, pin))
        return found

    def _slice(self, name: str) -> Slice:
        if name not in self.slices:
            tile, place = name.split(".")
            kinds = [k for k in _SLICES if self.fabric.pin_wire(tile, f"{place}Y0", {k}, "CLK")]
            start = f"{kinds[0]}_{place}."
            features = {f[len(start) :] for f in self.decoded.features.get(tile, ()) if f.startswith(start)}
            self.slices[name] = Slice(name, features, self._pins(tile, place, kinds[0]))
        return self.slices[name]

    def _pins(self, tile: str, place: str, kind: str) -> Callable[[str], str]:
        def read(pin: str) -> str:
            wire = self.fabric.pin_wire(tile, f"{place}Y0", {kind}, pin)
            return self._driver(tile, wire or "", f"pin {pin} of slice {tile}.{place}")

        return read

    def _driver(self, tile: str, wire: str, what: str) -> str:
        """The signal on a wire; an unconnected one is high."""
        pins = self.fabric.drivers(tile, wire)
        signals = {signal for pin in pins if (signal := self._signal(pin)) is not None}
        if len(signals) > 1:
            raise ReadError(f"{' and '.join(sorted(signals))} both drive {what}")
        return next(iter(signals), "1")

    def _signal(self, pin: Pin) -> str | None:
        if pin.kind in _SLICES:
            return self._slice(f"{pin.tile}.{pin.site[:2]}").output(pin.pin)
        if pin.kind == "TIEOFF":
            return "1" if pin.pin == "HARD1" else "0"
        if pin.kind in _PADS:
            return self._pad(pin) if pin.pin == "I" else None
        if pin.kind in _BLOCKS:
            return self._block_output(pin)
        if pin.kind == dsp_slices.KIND:
            return self._dsp_output(pin)
        if pin.kind == "BUFGCTRL":
            return f"{pin.tile}.{pin.site}.BUFG"
        if pin.kind == processor.KIND:
            return self._processor(pin)
        raise ReadError(f"the {pin.kind} in {pin.tile} drives a net and cannot be read back yet")

    def _processor(self, pin: Pin) -> str:
        """An output of the processor; with the first one used all of its inputs are looked at."""
        signal = f"{processor.KIND}.{pin.pin}"
        if processor.KIND not in self.found.cells:
            wires = self.fabric.pins(pin.tile, pin.site, processor.KIND)
            outputs = self.database.outputs(processor.KIND)
            self.seen.update(f"{processor.KIND}.{name}" for name in outputs)
            given = {name: (f"{processor.KIND}.{name}",) for name in wires if name in outputs}
            cell = self.found.cells[processor.KIND] = Cell(processor.KIND, {}, {}, given)
            wired = {}
            for name, wire in wires.items():
                if name not in outputs and self.fabric.drivers(pin.tile, wire):
                    wired[name] = (self._use(self._driver(pin.tile, wire, f"pin {name} of the processor")),)
            self.found.cells[processor.KIND] = replace(cell, inputs=wired)
        return signal

    def _block_output(self, pin: Pin) -> str | None:
        """The output of the half of a block RAM that is in use; both kinds of sites have names for it."""
        found = block_rams.output_of(self.fabric.pin_wire(pin.tile, pin.site, {pin.kind}, pin.pin) or "")
        if found is None or f"RAMB18_Y{found[0]}.IN_USE" not in self.decoded.features.get(pin.tile, ()):
            return None
        return f"{pin.tile}.RAMB18_Y{found[0]}.{found[1]}"

    def _block(self, signal: str) -> None:
        name = signal.rpartition(".")[0]
        tile, _, half = name.partition(".")
        features = {f.partition(".")[2] for f in self.decoded.features[tile] if f.startswith(f"{half}.")}
        asked = set()

        def driver(wire: str) -> str:
            signal = self._driver(tile, wire, f"{wire} of {tile}")
            asked.add(signal)
            return signal

        self._keep(name, block_rams.read(name, int(half[-1]), features, driver, self._source))
        for signal in sorted(asked):  # also of pins that are told by another one
            self._use(signal)

    def _keep(self, name: str, cell: Cell) -> None:
        """Note a cell of words: its outputs are known, and what drives its inputs is looked for."""
        self.seen.update(s for signals in cell.outputs.values() for s in signals)
        for signals in cell.inputs.values():
            for used in signals:
                self._use(used)
        self.found.cells[name] = cell

    def _dsp_output(self, pin: Pin) -> str:
        name = next(name for name, site in dsp_slices.SITES.items() if site == pin.site)
        if pin.pin.rstrip("0123456789") not in dsp_slices.OUTPUTS:
            raise Contradiction(f"{pin.pin} of DSP slice {pin.tile}.{name} is used, as in no design of this flow")
        return f"{pin.tile}.{name}.{pin.pin}"

    def _dsp(self, signal: str) -> None:
        name = signal.rpartition(".")[0]
        tile, _, place = name.partition(".")
        start = f"DSP48.{place}."
        features = {f.removeprefix(start) for f in self.decoded.features.get(tile, ()) if f.startswith(start)}

        def driver(pin: str) -> str:
            wire = self.fabric.pin_wire(tile, dsp_slices.SITES[place], {dsp_slices.KIND}, pin)
            return self._driver(tile, wire or "", f"pin {pin} of DSP slice {name}")

        self._keep(name, dsp_slices.read(name, features, driver))

    def _pad(self, pin: Pin) -> str:
        sites = sorted((s for s in self.database.tiles[pin.tile].sites if s.startswith("IOB_")),
                       key=lambda s: int(s.rpartition("Y")[2]))  # fmt: skip
        site = sites[int(pin.site.rpartition("Y")[2])]
        name = f"pad.{self.database.pads.get((pin.tile, site), site)}"
        self.found.inputs.add(name)
        self.seen.add(name)
        return name

    def _use(self, signal: str) -> str:
        if signal not in self.seen:
            self.seen.add(signal)
            self.waiting.append(signal)
        return signal

    def _make(self, signal: str) -> None:
        """Add the cell that drives a signal."""
        if signal.endswith(".BUFG"):
            self._buffer(signal)
            return
        if ".RAMB18_" in signal:
            self._block(signal)
            return
        if ".DSP_" in signal:
            self._dsp(signal)
            return
        match = _PLACE.fullmatch(signal)
        assert match, signal
        one, letter, what = self._slice(f"{match[1]}.{match[2]}"), match[3], match[4]
        if what in ("6LUT", "5LUT") and one.is_memory:
            self._memory(one)
        elif what in ("6LUT", "5LUT"):
            self._lut(signal, one, letter, int(what[0]))
        elif what in ("FF", "5FF"):
            self._flip_flop(signal, one, letter + what)
        elif signal.endswith("MUX"):
            zero, one_, select = one.multiplexer(signal.rpartition(".")[2])
            pins = {"I0": zero, "I1": one_, "S": select}
            self._add(signal, "MUXF8" if signal.endswith("F8MUX") else "MUXF7", {}, pins, {"O": (signal,)})
        else:
            self._carry(one, signal.rpartition(".")[2])

    def _lut(self, signal: str, one: Slice, letter: str, size: int) -> None:
        table, pins = _function(one, letter, size)
        self._add(signal, f"LUT{size}", {"INIT": table}, {f"I{i}": p for i, p in enumerate(pins)}, {"O": (signal,)})

    def _source(self, signal: str) -> str:
        """What drives a signal that LUTs only pass on, as place and route makes some to get through a slice."""
        while match := re.fullmatch(r"(.*)\.([A-D])([56])LUT", signal):
            one = self._slice(match[1])
            if one.is_memory:
                break
            table, pins = _function(one, match[2], int(match[3]))
            live = [i for i, pin in enumerate(pins) if pin != "0"]
            if len(live) != 1 or table & 1 or not table >> (1 << live[0]) & 1:
                break
            signal = pins[live[0]]
        return signal

    def _memory(self, one: Slice) -> None:
        """The LUTs of a slice as the primitive that they are the halves of."""
        memory, name = one.memory(), f"{one.name}.RAM"
        outputs = {
            f"DO{x}": tuple(f"{one.name}.{x}{n}LUT" for n in ((5, 6) if memory.bits == 2 else (6,))) for x in LETTERS
        }
        self.seen.update(s for signals in outputs.values() for s in signals)
        inputs = {f"ADDR{x}": memory.address[i] for i, x in enumerate(LETTERS)}
        inputs |= {f"DI{x}": memory.data[i] for i, x in enumerate(LETTERS)}
        inputs |= {"WE": (memory.enable,), "WCLK": (memory.clock,)}
        for signals in inputs.values():
            for signal in signals:
                self._use(signal)
        contents = {f"INIT_{x}": memory.contents[i] for i, x in enumerate(LETTERS)}
        kind = "RAM32M" if memory.bits == 2 else "RAM64M"
        self.found.cells[name] = Cell(kind, {**contents, "IS_WCLK_INVERTED": int(memory.falling)}, inputs, outputs)

    def _flip_flop(self, signal: str, one: Slice, place: str) -> None:
        ff = one.flip_flop(place)
        kind, pin = (("FDPE", "PRE") if ff.reset_to else ("FDCE", "CLR")) if ff.asynchronous else (
            ("FDSE", "S") if ff.reset_to else ("FDRE", "R"))  # fmt: skip
        pins = {"D": ff.data, "CE": ff.enable, pin: ff.reset, "C": ff.clock}
        self._add(signal, kind, {"INIT": ff.first, "IS_C_INVERTED": int(ff.falling)}, pins, {"Q": (signal,)})

    def _carry(self, one: Slice, output: str) -> None:
        """Add or extend the carry chain of a slice: what lies above its highest used outputs feeds nothing.

        A sum O needs the data below it only, a carry CO also the data beside it.
        """
        name, position = f"{one.name}.CARRY4", int(output[-1])
        carry, before = one.carry(), self.tops.get(name, (0, 0))
        used, fed = max(before[0], position + 1), max(before[1], position + output.startswith("CO"))
        self.tops[name] = used, fed
        outputs = {pin: tuple(f"{name}.{pin}{i}" for i in range(4)) for pin in ("O", "CO")}
        inputs = {
            "CI": ("0",), "CYINIT": (carry.carry_in,),
            "S": (*carry.select[:used], *["0"] * (4 - used)), "DI": (*carry.data[:fed], *["0"] * (4 - fed)),
        }  # fmt: skip
        for signals in inputs.values():
            for signal in signals:
                self._use(signal)
        self.found.cells[name] = Cell("CARRY4", {}, inputs, outputs)

    def _buffer(self, signal: str) -> None:
        """A clock buffer that always passes its first input on; ReadError for any other use."""
        tile, site, _ = signal.split(".")
        start = f"BUFGCTRL.BUFGCTRL_{site}."
        features = {f[len(start) :] for f in self.decoded.features.get(tile, ()) if f.startswith(start)}
        pins = {}
        for pin in ("I0", "CE0", "S0"):
            wire = self.fabric.pin_wire(tile, site, {"BUFGCTRL"}, pin)
            pins[pin] = self._driver(tile, wire or "", f"pin {pin} of clock buffer {tile}.{site}")
        always = all(pins[pin] == ("1" if f"ZINV_{pin}" in features else "0") for pin in ("CE0", "S0"))
        if "IN_USE" not in features or not always or "PRESELECT_I1" in features:
            raise ReadError(f"the clock buffer {tile}.{site} does not simply pass its first input on")
        self._add(signal, "BUFG", {}, {"I": pins["I0"]}, {"O": (signal,)})

    def _add(
        self, name: str, kind: str, parameters: Mapping[str, int], pins: Mapping[str, str],
        outputs: Mapping[str, tuple[str, ...]],
    ) -> None:  # fmt: skip
        for signal in pins.values():
            self._use(signal)
        self.found.cells[name] = Cell(kind, parameters, {pin: (signal,) for pin, signal in pins.items()}, outputs)


def _function(one: Slice, letter: str, size: int) -> tuple[int, list[str]]:
    """The contents of a LUT of so many inputs, and what drives each of these: "0" where nothing depends on it."""
    table = one.table(letter) & ((1 << (1 << size)) - 1)
    wired = [one.pin(f"{letter}{i + 1}") for i in range(size)]
    for i, constant in enumerate(wired):  # a constant pin hides half of the contents: those of the other output
        if constant in ("0", "1"):
            table = fixed(table, i, size, constant == "1")
    return table, [driver if depends(table, i, size) else "0" for i, driver in enumerate(wired)]
