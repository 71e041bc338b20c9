"""The chain of equalities from an integer design to its netlist, as a report tells it: links, layers, states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LINKS = {
    "design-graph": "design = graph",
    "graph-verilog": "graph = Verilog",
    "verilog-netlist": "Verilog = netlist",
    "netlist-bitstream": "netlist = bitstream",
}
OPEN = 5  # undecided places that are named on a screen; the report has all of them


def chain(report: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The links that a report knows, and for each layer, argmax head and top the state of each link ("" unknown).

    States are ``proved``, ``sampled`` (compared on vectors only), ``undecided`` (named in ``report["undecided"]``) and
    ``refuted``.
    """
    found = report.get("proof")
    layers = {k: v for k, v in found.items() if isinstance(v, Mapping)} if isinstance(found, Mapping) else {}
    order = {layer["name"]: place for place, layer in enumerate(report.get("layers", ()))}  # JSON files sort names
    rows = sorted(layers.items(), key=lambda row: order.get(row[0], len(order)))
    links = [link for link in LINKS if any(link in states for states in layers.values())]
    return links, [(name, [str(states.get(link, "")) for link in links]) for name, states in rows]


def undecided(report: Mapping[str, Any]) -> list[str]:
    """What could not be decided, for a screen: the first few places, then how many more there are."""
    found = report.get("undecided")
    places = [str(place) for place in found] if isinstance(found, list) else []
    return places[:OPEN] + ([f"and {len(places) - OPEN} more places"] if len(places) > OPEN else [])
