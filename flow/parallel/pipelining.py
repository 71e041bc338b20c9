"""Pipelining: a delay model for the part and the placement of registers in a layer's graph.

Delays are for 7-series fabric, speed grade -1 (LUT, CARRY4 and flip-flop figures as in Xilinx DS187/DS181 and in
prjxray's timing database); net delays are fitted to routed designs (``benchmarks.route``). Two sets of them: ``XC7``
plans pipelines and takes every net for a rather long one; ``XC7_ROUTED`` estimates the clock of a finished netlist,
where most nets are short and one or two of the slowest path make a detour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from flow.core.errors import DesignError
from flow.parallel.graph import LayerGraph, Node, row_start


@dataclass(frozen=True)
class Delays:
    """Delays in ns of one logic level and of the register-to-register overhead."""

    lut: float = 0.125
    net: float = 0.62  # to two users
    net_per_doubling: float = 0.1  # of the users
    net_beside: float = 0.5  # from a column of a row of bits to the column above, in the same or the next slice
    detour: float = 0.0  # by which the long nets of a path exceed the others, once per path
    carry_entry: float = 0.532  # through the LUT beside the chain into the chain
    carry_per_4_bits: float = 0.16  # carry in to carry out, and on to the next slice
    carry_exit: float = 0.25  # carry in to sum
    register: float = 0.45  # clock to output plus setup; a register lies in the slice of the logic before it
    wide_mux: float = 0.25  # MUXF7, MUXF8
    # What memories and multipliers take more than a register does (0.35 clock to output, 0.1 setup), from prjxray's
    # slowest corner: RAMB CLK to DO 2.454 (0.882 through its register), ADDR 0.566; RAM64 1.163, SRL 1.481; DSP48E1.
    block_output: float = 2.1
    block_output_register: float = 0.53
    block_setup: float = 0.47
    lut_memory_output: float = 0.81
    lut_memory_setup: float = 0.55
    shift_output: float = 1.13
    dsp_product: float = 1.64
    dsp_sum: float = 2.02

    def fanout(self, users: int) -> float:
        """Delay of a net with this many users, in ns."""
        return self.net + self.net_per_doubling * (log2(max(users, 1)) - 1)

    def node(self, node: Node) -> float:
        """Delay of one node from its latest input, in ns; wiring costs nothing."""
        if node.kind == "sum" and len(node.terms) + (node.constant != 0) > 1:
            return self.adder(node.bits) * (len(node.terms) - 1 + (node.constant != 0))
        if node.kind == "sum" and node.terms and node.terms[0].negative:
            return self.adder(node.bits)
        if node.kind == "row" and row_start(node) < len(node.columns):
            return self.lut + self.net_beside + self.adder(len(node.columns) - row_start(node))
        if node.kind == "table" and node.low != node.high:
            return self.lut + self.net
        if node.kind == "quantize" and node.low != node.high:
            return 2 * (self.lut + self.net)
        return 0.0

    def adder(self, bits: int) -> float:
        """Delay of a carry-chain adder of ``bits`` bits, in ns."""
        return self.net + self.carry_entry + self.carry_per_4_bits * ((bits - 1) // 4) + self.carry_exit


XC7 = Delays()
XC7_ROUTED = Delays(net=0.4, net_beside=0.325, detour=1.2)


@dataclass(frozen=True)
class Schedule:
    """Pipeline stage of every node; inputs are stage 0, outputs leave through a register at stage ``latency``."""

    stages: tuple[int, ...]
    latency: int
    critical_path_ns: float


def schedule(graph: LayerGraph, clock_period_ns: float, delays: Delays = XC7) -> Schedule:
    """Place registers so that no path between two registers is longer than the clock period by the delay model.

    As soon as possible: a node starts in the stage of its latest operand, or in the next one if it does not fit.
    Raises DesignError if one node alone does not fit the period.
    """
    budget = clock_period_ns - delays.register
    stages: list[int] = []
    ready: list[float] = []
    longest = 0.0
    for node in graph.nodes:
        delay = delays.node(node)
        if delay > budget:
            need = delay + delays.register
            raise DesignError(
                f"layer {graph.name}: one {node.bits}-bit operation takes {need:.2f} ns, more than the clock period of "
                f"{clock_period_ns:g} ns; ask for a longer --clock-period-ns"
            )
        stage = max((stages[i] for i in node.sources), default=0)
        start = max((ready[i] for i in node.sources if stages[i] == stage), default=0.0)
        if start + delay > budget:
            stage, start = stage + 1, 0.0
        stages.append(stage)
        ready.append(start + delay)
        longest = max(longest, start + delay)
    latency = max((stages[i] for i in graph.outputs), default=0) + 1
    return Schedule(tuple(stages), latency, longest + delays.register)
