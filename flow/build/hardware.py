"""What a build emits: RTL, its arithmetic, and what of it is proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flow.core.fixed import Ints
from flow.emit.rtl.verilog import Rtl
from flow.folded.explanation import FoldingReport
from flow.folded.proof.layer import Block
from flow.parallel.graph import LayerGraph
from flow.streamed.cores import Core
from flow.streamed.explanation import StreamReport
from flow.streamed.timing import Bus, Timing


@dataclass(frozen=True)
class Hardware:
    """Emitted RTL, what a report says of it, and its arithmetic as integers (engine ``integer``).

    ``graphs`` are the proven graphs that the RTL of a parallel design is to be proved equal to; ``blocks`` are, by
    layer of a folded one, the modules that are still to be proved for its proof to hold. ``proof`` is what is known of
    each layer's links so far; ``adders``, ``generators`` (of the graph) and ``least_sites`` (below which no packing of
    the same sums comes) are by layer of a parallel design, ``cores`` those of a streamed one with their RTL,
    ``timing`` is how it moves when a bus brings its pixels; ``hint`` is what the user might ask for instead.
    """

    architecture: str
    reason: str
    rtl: Rtl
    evaluate: Callable[[Ints], Ints]
    proof: Mapping[str, Mapping[str, str]]
    graphs: tuple[LayerGraph, ...] = ()
    blocks: Mapping[str, tuple[Block, ...]] = field(default_factory=dict)
    adders: Mapping[str, int] | None = None
    generators: Mapping[str, str] | None = None
    least_sites: Mapping[str, int] | None = None
    folding: FoldingReport | None = None
    stream: StreamReport | None = None
    cores: Mapping[str, tuple[Core, Rtl]] = field(default_factory=dict)
    timing: Callable[[Bus], Timing] | None = None
    hint: str = ""

    @property
    def may_use_dsp(self) -> bool:
        """Whether products may lie in DSP blocks: those of a folded design, and of cores that were chosen so."""
        folds = [core.folding for core, _ in self.cores.values() if core.folding is not None]
        chosen = any(group.dsp for fold in folds for layer in fold.layers for group in layer.groups)
        return self.architecture == "folded" or chosen
