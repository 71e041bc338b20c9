"""What the steps of a build have found beside their engines' results: a section each, None until its step has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flow.bench.bus_layout import Layout
from flow.netlist.place_and_route import Routed
from flow.netlist.read import Resources
from flow.netlist.sta import TimingPath


@dataclass(frozen=True)
class HlsProject:
    """The hls4ml project: how its layers are joined, each group's schedule, and reuse factors that were replaced."""

    io_type: str
    layers: Mapping[str, Sequence[Mapping[str, Any]]]
    notes: tuple[str, ...]


@dataclass
class ShellFacts:
    """The stream shell; ``synthesis`` is what it takes beside the core, once that was synthesized."""

    kind: str
    top: str
    layout: Layout
    digest: str
    places: int
    initiation_interval: int
    results_per_second: int
    registers: Mapping[str, Sequence[int]]
    synthesis: Mapping[str, int] | None = None


@dataclass(frozen=True)
class NetlistProof:
    """Cones of logic compared between Verilog and netlist, and what became of them."""

    cones: int
    proved: int
    refuted: int
    undecided: int
    seconds: float


@dataclass(frozen=True)
class VendorStep:
    """A finished step of AMD's tools, and its reports as paths below the HLS project."""

    seconds: float
    reports: tuple[str, ...]


@dataclass
class VendorFacts:
    """What AMD's tools did; ``figures`` are read from their reports, by section such as ``csynth``."""

    tool: str
    steps: dict[str, VendorStep] = field(default_factory=dict)
    figures: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class XlsFacts:
    """The compilation by XLS."""

    latency_cycles: int
    compile_seconds: float
    delay_model: str


@dataclass(frozen=True)
class RouteFacts(Routed):
    """Place and route of what was synthesized, and the version of the tool."""

    version: str


@dataclass(frozen=True)
class BitstreamFacts:
    """The bitstream and what reading it back has found.

    ``lut_contents_corrected`` names LUT sites whose contents place and route had written wrong. ``compared`` counts
    LUTs, flip-flops, carry chains, multiplexers and pins of the netlist that were compared, and LUTs of the bitstream
    that only pass a signal on. ``switches`` are those of the routing that are on;
    ``placed`` is which layer lies in which slice (`flow.bitstream.layout`).
    """

    file: str
    sha256: str
    part: str
    idcode: str
    features: int
    bits: int
    frames: int
    lut_contents_corrected: Sequence[str]
    switches: int
    compared: Mapping[str, int]
    differences: int
    placed: Mapping[str, Any]
    seconds: Mapping[str, float]


@dataclass
class Synthesis:
    """The netlist: what it occupies, its longest path, its LUTs by layer and neuron; ``routed`` where that was asked.

    ``usage`` is ``flow.netlist``'s table of LUTs by layer, empty where nothing is known. ``paths`` are the longest ones
    by layer and neuron, longest first.
    """

    resources: Resources
    path: TimingPath
    usage: Mapping[str, Any]
    routed: RouteFacts | None = None
    paths: Sequence[TimingPath] = ()


@dataclass(frozen=True)
class Quantization:
    """How a float model was quantized: on which inputs, the format that was given for them, noise allowed, mean bits.

    ``float_score`` is the float model's ``metric`` and ``value`` on the test part; None without data.
    """

    method: str
    calibrated_on: str
    input_format: str | None
    noise: float | None
    mean_weight_bits: float
    mean_activation_bits: float | None
    mean_input_bits: float
    float_score: Mapping[str, Any] | None


@dataclass(frozen=True)
class ClassPredictions:
    """Rows of the test part by label (first index) and predicted class; ``unknown`` rows have labels of no class."""

    names: Sequence[str]
    matrix: Sequence[Sequence[int]]
    unknown: int


@dataclass(frozen=True)
class TargetPredictions:
    """Errors of one target of a regression.

    ``mse`` is on the targets as the model learned them (standardised where training did so), ``mse_own_unit`` and all
    else in the data's own unit; ``points`` are some rows' targets and predictions.
    """

    name: str
    mse: float
    mse_own_unit: float | None
    mean_absolute_error: float
    bias: float
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Predictions:
    """What the integer design makes of the test part: of classes, or of every target."""

    classes: ClassPredictions | None = None
    targets: Sequence[TargetPredictions] | None = None


@dataclass(frozen=True)
class LayerProfile:
    """How a layer uses its formats on ``rows`` vectors.

    ``weights_by_bits``: weights by the significant bits of their mantissas, 0 for zeros; ``weights_at_end``: of neurons
    of 3 bits and more those at the end of their format, with ``weights_of_them`` in all. ``outputs_by_tenth``: outputs
    by their share of the largest value of their format, in tenths; ``zeros`` of them, and by neuron how many were
    ``saturated``, above or, without ReLU, below.
    """

    rows: int
    weights_by_bits: Sequence[int]
    weights_at_end: int
    weights_of_them: int
    outputs_by_tenth: Sequence[int]
    zeros: int
    saturated: Sequence[int]


@dataclass(frozen=True)
class Power:
    """Dynamic energy by simulated changes of the netlist's nets (`flow.netlist.energy`).

    ``layers`` holds picojoules per result by layer, ``factor`` by how much the figures may be off, up or down.
    """

    pj_per_result: float
    mw: float
    clock_mhz: float
    results_per_second: float
    changes_per_cycle: float
    nets: int
    cycles: int
    vectors: str
    layers: Mapping[str, float]
    source: str
    left_out: str
    factor: float


@dataclass
class Facts:
    """All sections.

    ``proof`` is by layer, argmax head and top module what is known of each link of the chain from design to hardware;
    ``undecided`` names what could not be proved. ``pipelining`` are the attempts to meet the clock after place and
    route: period that was planned for, latency, clock reached, digest of the Verilog, and which one was kept.
    """

    proof: dict[str, dict[str, str]] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    hls_project: HlsProject | None = None
    shell: ShellFacts | None = None
    netlist_proof: NetlistProof | None = None
    vendor: VendorFacts | None = None
    xls: XlsFacts | None = None
    synthesis: Synthesis | None = None
    pipelining: Sequence[Mapping[str, Any]] = ()
    bitstream: BitstreamFacts | None = None
    quantization: Quantization | None = None
    predictions: Predictions | None = None
    profiles: Sequence[LayerProfile] = ()
    profiled: str = ""  # on which vectors
    power: Power | None = None
