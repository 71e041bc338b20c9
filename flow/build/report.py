"""A build's outcome, typed: what ``report.json`` holds is this, field by field under the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from flow.build.facts import (
    BitstreamFacts,
    HlsProject,
    LayerProfile,
    NetlistProof,
    Power,
    Predictions,
    Quantization,
    ShellFacts,
    VendorFacts,
    XlsFacts,
)
from flow.build.state import Score
from flow.core.compare import EngineResult
from flow.folded.explanation import FoldingReport
from flow.netlist.sta import TimingPath
from flow.streamed.explanation import StreamReport

_ABSENT: Mapping[str, Any] = {"absent": True}  # of a field that is left out of the file where it is None


@dataclass(frozen=True)
class InputColumns:
    """Formats, real ranges and rounding of the design's inputs, an entry per element."""

    format: Sequence[str]
    range: Sequence[Sequence[float]]
    rounding: Sequence[str]
    name: Sequence[str] | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True)
class NeuronColumns:
    """A layer's neurons: a list per property, real values for ranges; None where there is nothing to tell."""

    weight_bits: Sequence[float]
    zero_weights: Sequence[int]
    accumulator: Sequence[str | None]
    accumulator_range: Sequence[Sequence[float]]
    output: Sequence[str | None]
    rounding: Sequence[str | None]
    name: Sequence[str] | None = field(default=None, metadata=_ABSENT)
    luts: Sequence[int] | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True)
class WidthGroup:
    """Neurons of one learned weight width."""

    weight_bits: float
    neurons: int


@dataclass(frozen=True)
class LayerLuts:
    """LUTs of a layer: in all, those that several neurons (folded, streamed: parts) share, and by part of those."""

    total: int
    shared: int
    parts: Mapping[str, int] | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True)
class LayerReport:
    """A layer: sizes, groups, mean widths, zero weights, accumulator widths (least and most), LUTs, neurons.

    ``proof`` says whether its Verilog's arithmetic is ``proved`` equal to the design's or ``tested``.
    """

    name: str
    inputs: int
    neurons: int
    groups: Sequence[WidthGroup]
    mean_weight_bits: float
    mean_activation_bits: float | None
    zero_weights: int
    weights: int
    accumulator_bits: Sequence[int]
    luts: LayerLuts | None
    per_neuron: NeuronColumns
    proof: str
    profile: LayerProfile | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True)
class Route:
    """How place and route came to its clock; ``clocks`` are those of the netlist, in MHz, ``pipelining`` the depths."""

    version: str
    seed: int
    attempts: Sequence[Mapping[str, Any]]
    clocks: Mapping[str, float]
    pipelining: Sequence[Mapping[str, Any]]
    used: Mapping[str, int]
    lut_sites: Mapping[str, int]


@dataclass(frozen=True)
class SynthesisReport:
    """Resources against the part, and the clock with its source; after place and route the estimate beside it."""

    tool: str
    version: str
    lut: int
    ff: int
    dsp: int
    bram18: int
    lut_cells: int
    lut_paired: int
    lut_as_memory: int
    carry4: int
    inverters: int
    available: Mapping[str, int]
    utilization: Mapping[str, float]
    fits: bool
    fmax_mhz: float | None
    fmax_source: str
    critical_path: TimingPath | Mapping[str, Any]
    meets_clock: bool | None = field(default=None, metadata=_ABSENT)
    fmax_estimate_mhz: float | None = field(default=None, metadata=_ABSENT)
    route: Route | None = field(default=None, metadata=_ABSENT)
    paths: Sequence[TimingPath] | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True)
class BuildReport:
    """Everything a build found; ``status`` is ``ok``, or ``mismatch`` where an engine or a proof disagreed.

    ``adders``, ``generators`` and ``least_sites`` (LUT sites below which no packing of the same sums comes) are by
    layer of a parallel design, ``folding`` is a folded one's, ``stream`` has the nodes of a streamed one. Latencies are
    in clock cycles. ``proof`` is by layer, argmax head and top module; ``seconds`` by step. ``files`` are those of the
    build's folder that are worth opening, by path; ``profiled`` says on which vectors the layers' profiles are.
    """

    status: str
    design: str
    head: str
    part: str
    clock_period_ns: float
    architecture: str
    architecture_reason: str
    rtl_engine: str
    latency_cycles: int
    layer_latency_cycles: Mapping[str, int]
    initiation_interval: int
    estimated_critical_path_ns: float
    proof: Mapping[str, Mapping[str, str]]
    undecided: Sequence[str]
    inputs: InputColumns
    layers: Sequence[LayerReport]
    verification: Mapping[str, EngineResult]
    synthesis: SynthesisReport
    skipped: Mapping[str, str]
    score: Score | None
    keras_score: Score | None
    preprocessing: str
    classes: Sequence[int] | None
    class_names: Sequence[str] | None
    warnings: Sequence[str]
    notes: Sequence[str]
    training: Mapping[str, Any]
    model: Mapping[str, str]
    command: Sequence[str]
    differences: Sequence[str]
    source: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    adders: Mapping[str, int] | None = field(default=None, metadata=_ABSENT)
    generators: Mapping[str, str] | None = field(default=None, metadata={**_ABSENT, "name": "engines"})
    least_sites: Mapping[str, int] | None = field(default=None, metadata=_ABSENT)
    folding: FoldingReport | None = field(default=None, metadata=_ABSENT)
    stream: StreamReport | None = field(default=None, metadata=_ABSENT)
    hls_project: HlsProject | None = field(default=None, metadata=_ABSENT)
    shell: ShellFacts | None = field(default=None, metadata=_ABSENT)
    netlist_proof: NetlistProof | None = field(default=None, metadata=_ABSENT)
    vendor: VendorFacts | None = field(default=None, metadata=_ABSENT)
    xls: XlsFacts | None = field(default=None, metadata=_ABSENT)
    quantization: Quantization | None = field(default=None, metadata=_ABSENT)
    bitstream: BitstreamFacts | None = field(default=None, metadata=_ABSENT)
    predictions: Predictions | None = field(default=None, metadata=_ABSENT)
    power: Power | None = field(default=None, metadata=_ABSENT)
    profiled: str | None = field(default=None, metadata=_ABSENT)
    files: Mapping[str, str] | None = field(default=None, metadata=_ABSENT)
    schema: int = 1

    def to_json(self) -> dict[str, Any]:
        """The data of ``report.json``."""
        return {**plain(self), "score": plain(self.score) or {}}


def plain(value: Any) -> Any:
    """Report data as JSON has it: mappings, lists, numbers and words."""
    if isinstance(value, EngineResult):
        return value.entry()
    if isinstance(value, ShellFacts):
        own = {name: plain(getattr(value, name)) for name in _names(value) if name not in ("layout", "synthesis")}
        taken = {} if value.synthesis is None else {"synthesis": plain(value.synthesis)}
        return {**own, **value.layout.to_dict(), **taken}
    if isinstance(value, VendorFacts):
        return {"tool": value.tool, "steps": plain(value.steps), **plain(value.figures)}
    if is_dataclass(value):
        return {
            f.metadata.get("name", f.name): plain(getattr(value, f.name))
            for f in fields(value)
            if not (f.metadata.get("absent") and getattr(value, f.name) is None)
        }
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _names(value: Any) -> list[str]:
    return [f.name for f in fields(value)]
