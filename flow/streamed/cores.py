"""The cores of a streamed network: each layer as a design of its own, parallel or folded, at one rate for all.

A core sees what its node's window sees and computes the layer there once per position. It is an ordinary design, so
adder graphs, folding, memories and proofs are those of dense networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flow.core.design import Design, Layer
from flow.core.errors import DesignError
from flow.core.fixed import Quantizer
from flow.core.nodes import Window
from flow.core.passes.names import verilog_top
from flow.folded.folding import Cost, Folding
from flow.folded.lowering import lower
from flow.folded.search import fits, smallest
from flow.parallel.generators import build_graphs
from flow.parallel.graph import LayerGraph
from flow.parallel.sites import Target
from flow.parts.catalog import Part
from flow.streamed.shapes import is_plain, is_whole
from flow.streamed.timing import cycles

MAX_PARALLEL_WEIGHTS = 20_000  # of one core: an adder graph of more takes minutes to find
_COMPARED = 800  # weights of a core up to which an adder graph is found although it can be folded
_BIT_SITES = 0.7  # of a bit of a weight in an adder graph, roughly: of those worth finding for comparison
_LONG_ROW = 256  # pixels
_LUT_RAM_ROWS = 64  # that a LUT of memory holds; three of four LUTs hold a bit each, or two of half as many rows
# Sites by what Yosys made of streams: of a counter's bit, of a compared and chosen bit, of what results leave by
_STEP_SITES, _MAX_SITES, _FEW_BITS, _LEAVING_SITES = 3.5, 1.9, 4, (10.0, 1.1)


@dataclass(frozen=True)
class Core:
    """A layer's hardware: its design, and graphs where it is parallel or a folding where it is folded."""

    design: Design
    sites: float
    bram18: int
    dsp: int = 0
    interval: int = 1  # cycles per position
    graphs: tuple[LayerGraph, ...] = ()
    folding: Folding | None = None

    @property
    def kind(self) -> str:
        """How the layer is computed."""
        return "parallel" if self.folding is None else "folded"


def core_design(design: Design, index: int) -> Design:
    """Layer ``index`` of a streamed design as a design of its own."""
    number = design.node_of(index)
    layer = design.layers[index]
    formats, ranges = design.formats_into(index), design.ranges_into(index)
    inputs = tuple(Quantizer(f, "TRN", *r) for f, r in zip(formats, ranges, strict=True))
    is_last = number == len(design.nodes) - 1
    name = f"{verilog_top(design)}_{layer.name}_core"
    return Design(name, inputs, (Layer(layer.name, layer.neurons, layer.groups),), design.head if is_last else "logits")


def pixel_bits(design: Design, number: int) -> int:
    """Bits of the pixels that a node looks at."""
    return sum(span.format.bits for span in design.spans_at(number))


def rows_kept(window: Window) -> int:
    """Rows of pixels that lie in a memory: those above a window, or the one that is repeated."""
    if len(window.shape) < 3 or is_whole(window):
        return 0
    return int(window.repeats[0] > 1) if window.repeats else window.reach[0] - 1


def in_block_ram(window: Window) -> bool:
    """Whether the rows of a window lie in block RAM: of long rows, which take less of a part there than in LUTs."""
    return rows_kept(window) > 0 and window.row_pixels > _LONG_ROW


def window_memories(design: Design, number: int) -> int:
    """Block RAMs of 18 kbit that the rows of a window are about to take."""
    window = design.nodes[number].window
    if not in_block_ram(window):
        return 0
    return math.ceil(rows_kept(window) * pixel_bits(design, number) / 36) * math.ceil(window.row_pixels / 512)


def sites_around(design: Design, number: int) -> float:
    """LUT sites of a node beside its core: the rows of its window and what steps through them, comparisons of a pool,
    and the register or queue that a core's results leave by.
    """
    node, bits = design.nodes[number], pixel_bits(design, number)
    window, sites = node.window, 0.0
    if not (is_plain(window) or is_whole(window)):
        sites += _STEP_SITES * sum(
            (n + sum(p)).bit_length() for n, p in zip(window.shape, _around(window), strict=False)
        )
        if not in_block_ram(window):
            short = window.row_pixels <= _LUT_RAM_ROWS // 2
            sites += rows_kept(window) * bits * (2 if short else 4 * math.ceil(window.row_pixels / _LUT_RAM_ROWS)) / 3
    if node.kind == "max":
        widths = [span.format.bits for span in design.spans_at(number)]
        sites += (window.places - 1) * sum(_MAX_SITES * (w if w > _FEW_BITS else 0.75 * w) for w in widths)
    if node.kind == "dense":
        sites += _LEAVING_SITES[0] + _LEAVING_SITES[1] * sum(span.format.bits for span in design.spans(number))
    return sites


def node_sites(design: Design, number: int, core: Core | None) -> float:
    """LUT sites of a node: its core, where it has one, and what is beside it."""
    return (core.sites if core else 0.0) + sites_around(design, number)


def _around(window: Window) -> tuple[tuple[int, int], ...]:
    return window.padded or ((0, 0),) * len(window.shape)


def _slowest(window: Window, image: int) -> int:
    """Most cycles per position with which an image takes at most ``image`` cycles."""
    interval = max(image // window.count, 1)
    while interval > 1 and cycles(window, interval) > image:
        interval -= 1
    return interval


def _graph_sites(layer: Layer) -> float:
    """LUT sites that an adder graph of the layer is about to take, without finding it."""
    sizes = np.abs(layer.matrix[layer.matrix != 0])
    return _BIT_SITES * float(np.floor(np.log2(sizes) + 1).sum())


class Solver:
    """Cores for a part; what was found for a layer is kept for the next question."""

    def __init__(self, design: Design, part: Part, target: Target) -> None:
        self.design, self.part, self.target = design, part, target
        self.nodes = [design.nodes[design.node_of(i)] for i in range(len(design.layers))]
        self.designs = [core_design(design, i) for i in range(len(design.layers))]
        self.around = sum(sites_around(design, k) for k in range(len(design.nodes)))
        self.memories = sum(window_memories(design, k) for k in range(len(design.nodes)))
        self._parallel: dict[int, Core | None] = {}
        self._folded: dict[tuple[int, int], Core | None] = {}

    @property
    def shortest(self) -> int:
        """Cycles per image below which no window comes."""
        return max(cycles(node.window, 1) for node in self.design.nodes)

    def within(self, image: int) -> list[Core]:
        """The cheapest cores that take an image in so many cycles. Raises DesignError naming a layer that cannot."""
        if image < self.shortest:
            raise DesignError(
                f"an image takes {self.shortest} cycles to enter, a pixel each; ask for that interval or a longer one"
            )
        return [self._cheapest(i, _slowest(node.window, image)) for i, node in enumerate(self.nodes)]

    def fastest(self) -> list[Core]:
        """Those that take an image in the fewest cycles found with which the part is not too full."""
        low = self.shortest
        first = self._fitting(low)
        if first is not None:
            return first
        high, found = 2 * low, self._fitting(2 * low)
        most = 4 * max(n.window.count * n.window.places * n.window.channels * 4 for n in self.nodes) + low
        while found is None:
            if high > most:
                raise DesignError(
                    f"the network does not fit {self.part.device} even folded; choose a larger --part or train with "
                    "fewer bits or filters"
                )
            low, high = high, 2 * high
            found = self._fitting(high)
        while high > 1.15 * low:
            middle = math.isqrt(low * high)
            better = self._fitting(middle)
            low, high, found = (low, middle, better) if better is not None else (middle, high, found)
        return found

    def fits(self, cores: Sequence[Core]) -> bool:
        """Whether the cores and what lies around them leave the part the room that routing needs."""
        costs = (Cost(core.sites, core.bram18, core.dsp) for core in cores)
        return fits(sum(costs, Cost(self.around, self.memories)), self.part)

    def _fitting(self, image: int) -> list[Core] | None:
        try:
            found = self.within(image)
        except DesignError:
            return None
        return found if self.fits(found) else None

    def _cheapest(self, index: int, interval: int) -> Core:
        folded = self._folded_core(index, interval) if interval > 1 else None
        layer = self.designs[index].layers[0]
        is_large = int((layer.matrix != 0).sum()) > _COMPARED
        is_dear = folded is not None and self.price(folded) <= _graph_sites(layer) / self.part.lut
        parallel = None if folded is not None and (is_large or is_dear) else self._parallel_core(index)
        known = [core for core in (parallel, folded) if core is not None]
        if not known:
            raise DesignError(
                f"layer {self.designs[index].layers[0].name} has too many weights to compute them in {interval} cycles "
                "per position; ask for a longer interval"
            )
        return min(known, key=self.price)

    def price(self, core: Core) -> float:
        """What a core costs: how much of the part it takes."""
        return core.sites / self.part.lut + core.bram18 / max(self.part.bram18, 1)

    def _parallel_core(self, index: int) -> Core | None:
        if index not in self._parallel:
            design = self.designs[index]
            few = int((design.layers[0].matrix != 0).sum()) <= MAX_PARALLEL_WEIGHTS
            graphs = build_graphs(design, self.target) if few else ()
            sites = float(sum(self.target.sites(graph) for graph in graphs))
            self._parallel[index] = Core(design, sites, 0, graphs=graphs) if few else None
        return self._parallel[index]

    def _folded_core(self, index: int, interval: int) -> Core | None:
        if (index, interval) not in self._folded:
            self._folded[index, interval] = self._fold(self.designs[index], interval)
        return self._folded[index, interval]

    def _fold(self, design: Design, interval: int) -> Core | None:
        lowered = lower(design)
        if not lowered.layers:
            return None
        try:
            found = smallest(lowered, self.part, interval)
        except DesignError:
            return None
        if found.interval > interval:
            return None
        cost = found.cost
        return Core(design, cost.lut, cost.bram18, cost.dsp, found.interval, folding=found)
