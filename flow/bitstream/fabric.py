"""The wires of a configured device: which pin of which site drives each, through the switches that are on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from flow.bitstream.database import Database
from flow.core.errors import ReportError

Wire = tuple[str, str]  # tile, wire

# Sites that a net goes through: what drives such an output, when the features say that they do nothing but pass it on.
_THROUGH = {"ILOGICE3": {"O": "D"}, "OLOGICE3": {"OQ": "D1"}, "BUFHCE": {"O": "I"}}
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class Pin:
    """An output pin of a site of a tile; ``site`` is its place in the tile, such as ``X0Y0``."""

    tile: str
    kind: str
    site: str
    pin: str


class ReadError(ReportError):
    """The bitstream holds something that the reader does not know."""


class Contradiction(ReadError):
    """The bitstream holds something that no working design holds, such as a net that is driven twice."""


class Fabric:
    """The device's wires under the features of its tiles. Answers are kept."""

    def __init__(self, database: Database, features: Mapping[str, Collection[str]]) -> None:
        self.database = database
        self.switches = 0
        self._on: dict[Wire, list[str]] = {}
        self._nodes: dict[Wire, tuple[Wire, ...]] = {}
        self._found: dict[Wire, tuple[Pin, ...]] = {}
        self._features = features
        self._used: set[Wire] = set()
        self._empty: dict[str, Mapping[str, tuple[tuple[str, str], ...]]] = {}
        for tile, names in features.items():
            known = database.wiring(database.tiles[tile].kind).switches
            for name in names:
                to, _, source = name.partition(".")
                if (to, source) in known:
                    self._on.setdefault((tile, to), []).append(source)
                    self.switches += 1

    def drivers(self, tile: str, wire: str) -> tuple[Pin, ...]:
        """The pins that drive a wire: none, one, or those of sites of which only one can be in use.

        Raises Contradiction where two switches drive one wire, or a net goes round in a circle.
        """
        start, path = (tile, wire), []
        here: Wire | None = start
        found: tuple[Pin, ...] = ()
        while here is not None:
            if here in self._found:
                found = self._found[here]
                break
            path.append(here)
            if len(path) > _MOST_STEPS:
                raise Contradiction(f"the net at {wire} of {tile} goes round in a circle")
            here, found = self._step(self.node(here))
        for place in path:
            self._found[place] = found
        return found

    def astray(self) -> list[str]:
        """Switches that are on and that no net which was asked for goes through."""
        return [
            f"{tile}: the switch from {source} to {to} is on and leads nowhere"
            for (tile, to), sources in self._on.items()
            for source in sources
            if (tile, to) not in self._used
        ]

    def reached(self, kind: str) -> list[str]:
        """The tiles of kinds that begin with ``kind`` to which a switch that is on leads."""
        found = {tile for wire in self._on for tile, _ in self.node(wire)}
        return sorted(tile for tile in found if self.database.tiles[tile].kind.startswith(kind))

    def node(self, wire: Wire) -> tuple[Wire, ...]:
        """All names of one piece of metal: a wire of a tile and what it is joined to in others."""
        if wire in self._nodes:
            return self._nodes[wire]
        database = self.database
        seen, stack = {wire}, [wire]
        while stack:
            name, inner = stack.pop()
            tile = database.tiles[name]
            for dx, dy, kind, other in database.connections.get((tile.kind, inner), ()):
                there = database.at.get((tile.x + dx, tile.y + dy))
                if there and database.tiles[there].kind == kind and (there, other) not in seen:
                    seen.add((there, other))
                    stack.append((there, other))
        found = tuple(sorted(seen))
        for piece in found:
            self._nodes[piece] = found
        return found

    def pin_wire(self, tile: str, site: str, kinds: Collection[str], pin: str) -> str | None:
        """The wire at a pin of a site."""
        for entry in self.database.wiring(self.database.tiles[tile].kind).sites:
            if entry["name"] == site and entry["type"] in kinds and entry["site_pins"].get(pin):
                return str(entry["site_pins"][pin]["wire"])
        return None

    def pins(self, tile: str, site: str, kind: str) -> dict[str, str]:
        """The wire at each pin of a site that has one."""
        for entry in self.database.wiring(self.database.tiles[tile].kind).sites:
            if entry["name"] == site and entry["type"] == kind:
                return {pin: str(carried["wire"]) for pin, carried in entry["site_pins"].items() if carried}
        return {}

    def _step(self, node: tuple[Wire, ...]) -> tuple[Wire | None, tuple[Pin, ...]]:
        """Where a node's value comes from: another wire, or the pins that drive it."""
        on = [(tile, source) for tile, wire in node for source in self._on.get((tile, wire), ())]
        if len(on) > 1:
            raise Contradiction(f"{on[0][1]} and {on[1][1]} both drive {node[0][1]} of {node[0][0]}")
        if on:
            self._used.update(node)
            return on[0], ()
        pins = [Pin(tile, *found) for tile, wire in node for found in self._pins(tile, wire)]
        for pin in pins:
            inner = _THROUGH.get(pin.kind, {}).get(pin.pin)
            before = self.pin_wire(pin.tile, pin.site, {pin.kind}, inner) if inner else None
            if before is not None:
                self._check_passing(pin, before)
                return (pin.tile, before), ()
        if pins:
            return None, tuple(pins)
        for choose in (self._always, self._without_bits):
            sources = list(dict.fromkeys(choose(node)))
            if len(sources) == 1:
                return sources[0], ()
            if sources:
                return None, tuple(pin for source in sources for pin in self.drivers(*source))
        return None, ()

    def _always(self, node: tuple[Wire, ...]) -> Iterator[Wire]:
        """What drives a node without any bit: fixed connections and the ones that hold where no switch is on."""
        for tile, wire in node:
            for source, sort in self.database.wiring(self.database.tiles[tile].kind).pseudo.get(wire, ()):
                if sort in ("always", "default"):
                    yield tile, source

    def _without_bits(self, node: tuple[Wire, ...]) -> Iterator[Wire]:
        """Switches that are on where all of their bits are 0."""
        for tile, wire in node:
            for source, others in self._empty_switches(self.database.tiles[tile].meaning).get(wire, ()):
                if not any(name in self._features.get(tile, ()) for name in others.split()):
                    yield tile, source

    def _empty_switches(self, kind: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """Per destination the sources that need no bit, with the switches that have one of their bits."""
        if kind not in self._empty:
            found: dict[str, list[tuple[str, str]]] = {}
            features = self.database.features(kind).values()
            switches = [f for f in features if f.name.count(".") == 1]
            to_any: dict[str, list[str]] = {}
            for feature in switches:
                if feature.ones:
                    to_any.setdefault(feature.name.partition(".")[0], []).append(feature.name)
            for feature in switches:
                to, _, source = feature.name.partition(".")
                if not feature.ones and feature.zeros:
                    found.setdefault(to, []).append((source, " ".join(to_any.get(to, ()))))
            self._empty[kind] = {to: tuple(sources) for to, sources in found.items()}
        return self._empty[kind]

    def _pins(self, tile: str, wire: str) -> Iterator[tuple[str, str, str]]:
        for kind, site, pin in self.database.wiring(self.database.tiles[tile].kind).pins.get(wire, ()):
            if pin in self.database.outputs(kind):
                yield kind, site, pin

    def _check_passing(self, pin: Pin, wire: str) -> None:
        """Raises Contradiction where a site that a net goes through does more than pass it on."""
        features = self._features.get(pin.tile, ())
        if pin.kind == "BUFHCE":
            wanted, shown = f"BUFHCE.BUFHCE_{pin.site}.IN_USE", "is not in use"
        elif pin.kind == "OLOGICE3":  # whose features are numbered as its wires are
            wanted, shown = f"OLOGIC_Y{wire[wire.index('LOGIC') + 5]}.OMUX.D1", "does more than pass its input on"
        else:
            return  # an input without its flip-flop has no feature; one with it is refused by the census
        if wanted not in features:
            raise Contradiction(f"the {pin.kind} {pin.site} of {pin.tile} {shown}")
