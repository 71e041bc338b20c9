"""Pipelining: the delay of every node of a layer's graph in a device family, and the placement of registers."""

from __future__ import annotations

from dataclasses import dataclass

from flow.core.errors import DesignError
from flow.parallel.atoms import FULL_ADDER
from flow.parallel.graph import LayerGraph, Node, plain_addition, row_start
from flow.parts.family import Delays


@dataclass(frozen=True)
class Schedule:
    """Pipeline stage of every node; inputs are stage 0, outputs leave through a register at stage ``latency``."""

    stages: tuple[int, ...]
    latency: int
    critical_path_ns: float


def node_delay(node: Node, delays: Delays) -> float:
    """Delay of one node from its latest input, in ns; wiring costs nothing."""
    if node.kind == "sum" and len(node.terms) + (node.constant != 0) > 1:
        return delays.adder(node.bits) * (len(node.terms) - 1 + (node.constant != 0))
    if node.kind == "sum" and node.terms and node.terms[0].negative:
        return delays.adder(node.bits)
    if node.kind == "row" and row_start(node) < len(node.columns):
        if node.atoms == FULL_ADDER:
            return delays.lut + delays.net
        if node.carried:
            return delays.adder(len(node.carried) + node.bits)
        if node.atoms or plain_addition(node.columns):
            return delays.adder(node.bits - row_start(node))
        return delays.lut + delays.net_beside + delays.adder(len(node.columns) - row_start(node))
    if node.kind == "table" and node.low != node.high:
        return delays.lut + delays.net
    if node.kind == "quantize" and node.overflow == "WRAP" and not node.half_even:
        return 0.0
    if node.kind == "quantize" and node.low != node.high:
        return 2 * (delays.lut + delays.net)
    return 0.0


def schedule(graph: LayerGraph, clock_period_ns: float, delays: Delays, every_row: bool = False) -> Schedule:
    """Place registers so that no path between two registers is longer than the clock period by the delay model.

    As soon as possible: a node starts in the stage of its latest operand, or in the next one if it does not fit, or
    where ``every_row`` asks for one operation between two registers. Raises DesignError if one node alone does not fit
    the period.
    """
    budget = clock_period_ns - delays.register
    stages: list[int] = []
    ready: list[float] = []
    longest = 0.0
    for node in graph.nodes:
        delay = node_delay(node, delays)
        if delay > budget:
            need = delay + delays.register
            raise DesignError(
                f"layer {graph.name}: one {node.bits}-bit operation takes {need:.2f} ns, more than the clock period of "
                f"{clock_period_ns:g} ns; ask for a longer --clock-period-ns"
            )
        stage = max((stages[i] for i in node.sources), default=0)
        start = max((ready[i] for i in node.sources if stages[i] == stage), default=0.0)
        if start + delay > budget or (every_row and start and delay):
            stage, start = stage + 1, 0.0
        stages.append(stage)
        ready.append(start + delay)
        longest = max(longest, start + delay)
    latency = max((stages[i] for i in graph.outputs), default=0) + 1
    return Schedule(tuple(stages), latency, longest + delays.register)
