"""What a build is asked for: checked as a whole when it is made, by a command line or by a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flow.bench.bus_layout import BUS_BITS
from flow.build import config_file
from flow.build.architecture import STREAMING, check_wishes, form_of
from flow.build.choices import ALL, settled
from flow.core.engines import DEFAULT, SELECTABLE
from flow.core.engines import chosen as chosen_engines
from flow.core.errors import ConfigError, UsageError
from flow.core.nodes import Form
from flow.core.untrusted import read_yaml, refused
from flow.emit.hls.schedule import HlsChoices
from flow.emit.hls.schedule import choices as hls_choices
from flow.emit.shell import pynq, zynq
from flow.emit.shell.selftest import BOARDS
from flow.extract.formats import AUTO, parse_format
from flow.extract.onnx.stored import SUFFIX as ONNX
from flow.parts import catalog
from flow.parts.catalog import Part
from flow.tool_reports.open_json import UNFINISHED
from flow.tools import vendor_hls

QUANTIZED = "quantized.h5"  # what --quantize makes of a float model, in the build's folder


@dataclass(frozen=True)
class Options:
    """What a build is asked for.

    Raises UsageError for what does not exist or does not go together, ConfigError for the ``hls_config`` file.
    """

    model: Path
    part: Part
    out: Path
    weights: Path | None = None  # of a model that is an architecture alone
    data: str | None = None
    split_key: str | None = None
    target_columns: str | None = None
    preprocessing: str | None = None
    vectors: int | None = None
    clock_period_ns: float = 10.0
    pipeline: str = "auto"
    dsp: int | None = None
    architecture: str = "auto"
    initiation_interval: int | None = None
    results_per_second: float | None = None
    engines: tuple[str, ...] = DEFAULT
    engines_named: bool = False  # by the user: then one that cannot run is an error
    backend: str = "Vitis"
    head: str = "logits"
    input_format: str | None = None
    quantize: bool = False
    seed: int = 0
    waveform: bool = False
    route: bool = False
    bitstream: bool = False  # which needs the route
    rtl_engine: str = "own"
    shell: str = "none"
    lanes: str = "bytes"
    bus_bits: int = 32
    layer: str | None = None  # a name, or as asked for: several, or all
    hls_io: str = "io_parallel"
    strategy: str | None = None
    reuse_factor: int | None = None
    hls_config: Path | None = None
    vendor_steps: tuple[str, ...] = ("csim", "synth")

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.bitstream:
            object.__setattr__(self, "route", True)
        for option, value, known in (
            *((name.replace("_", "-"), getattr(self, name), all_of) for name, all_of in ALL.items()),
            ("bus-bits", self.bus_bits, BUS_BITS),
            *(("engines", name, SELECTABLE) for name in self.engines),
            *(("vendor-steps", name, vendor_hls.STEPS) for name in self.vendor_steps),
        ):  # fmt: skip
            if value is not None and value not in known:
                *others, last = map(str, known)
                raise UsageError(f"--{option} {value} is not known; choose {', '.join(others)} or {last}")
        self._check_numbers()
        self._check_together()
        _ = self.hls_choices  # a wrong name or file is reported before the work starts

    @classmethod
    def of(
        cls,
        model: str | Path,
        part: str | Part = "xc7z020",
        out: str | Path = "build",
        *,
        engines: str | Sequence[str] | None = None,
        vendor_steps: str | Sequence[str] = ("csim", "synth"),
        backend: str = "Vitis",
        hls_config: str | Path | None = None,
        weights: str | Path | None = None,
        **others: Any,
    ) -> Options:
        """Options as people write them: a part or board by its name, lists as text, paths as text.

        ``others`` are fields of their own names. ``engines=None`` is the default choice, from which those that the
        design's size forbids are left out; engines that are named must run.
        """
        return cls(
            _path("model", model),
            catalog.resolve(part) if isinstance(part, str) else part,
            _path("out", out),
            engines=DEFAULT if engines is None else chosen_engines(_listed("engines", engines)),
            engines_named=engines is not None,
            vendor_steps=vendor_hls.chosen(_listed("vendor-steps", vendor_steps) or "none"),
            hls_config=None if hls_config is None else _path("hls-config", hls_config),
            weights=None if weights is None else _path("weights", weights),
            **settled({**others, "backend": backend}),
        )

    @cached_property
    def hls_choices(self) -> HlsChoices:
        """What the options and the ``hls_config`` file say about the HLS project."""
        path = self.hls_config
        content, where = (None, "the HLS config") if path is None else (_read(path), str(path))
        return hls_choices(self.hls_io, self.strategy, self.reuse_factor, content, where)

    @property
    def form(self) -> Form:
        """Whether windows over pixels are unrolled or streamed, as `flow.extract.extract` takes it."""
        if self.layer is not None or self.rtl_engine == "xls":
            return "unrolled"
        return form_of(self.architecture)

    @property
    def on_processor(self) -> bool:
        """Whether the bitstream has the core behind a Zynq's processor."""
        return self.shell == "pynq" and self.bitstream

    def places(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The files a build writes in its folder, and the folders it writes into."""
        asked = {
            "hls": "hls" in self.engines,
            "shell": self.shell != "none",
            "pynq": self.shell == "pynq" and not self.bitstream,
            "board": self.on_processor,
            "proof": self.architecture != "parallel",
            "route": self.route,
            "bitstream": self.bitstream,
            "xls": "xls" in self.engines or self.rtl_engine == "xls",
        }
        folders = ("rtl", "sim", "synth", "netproof", *(name for name, is_asked in asked.items() if is_asked))
        quantized = (QUANTIZED,) if self.quantize else ()
        return ("design.json", "report.json", "report.html", config_file.NAME, UNFINISHED, *quantized), folders

    def words(self) -> dict[str, Any]:
        """The options that are set, by name, as a command line takes them: lists with commas, paths as text.

        ``engines`` are left out where the build chooses them.
        """
        found = {option.name: getattr(self, option.name) for option in fields(self)}
        found["part"] = self.part.board or self.part.name
        for name in ("engines", "vendor_steps"):
            found[name] = ",".join(found[name]) or "none"
        if not found.pop("engines_named") and self.engines == DEFAULT:
            del found["engines"]
        return {n: str(v) if isinstance(v, Path) else v for n, v in found.items() if v is not None}

    def _check_kinds(self) -> None:
        """What a program gives may be of any type."""
        for name, kind in get_type_hints(Options).items():
            value, kinds = getattr(self, name), get_args(kind) if isinstance(kind, UnionType) else (kind,)
            known = tuple(get_origin(k) or k for k in kinds) + ((int,) if float in kinds else ())
            if not isinstance(value, known) or (isinstance(value, bool) and bool not in known):
                words = " or ".join(_WORDS.get(k, k.__name__) for k in dict.fromkeys(known) if k is not NoneType)
                raise UsageError(f"--{name.replace('_', '-')} is {type(value).__name__} {value!r:.40}; give {words}")

    def _check_numbers(self) -> None:
        for option, value, least in (
            ("vectors", self.vectors, 1), ("initiation-interval", self.initiation_interval, 1),
            ("results-per-second", self.results_per_second, 1), ("reuse-factor", self.reuse_factor, 1),
            ("clock-period-ns", self.clock_period_ns, 1), ("seed", self.seed, 0), ("dsp", self.dsp, 0),
        ):  # fmt: skip
            if value is not None and not value >= least:
                raise UsageError(f"--{option} {value}: give {least} or more")
        if self.clock_period_ns > 1000:
            raise UsageError(f"--clock-period-ns {self.clock_period_ns:g}: give 1000 or less")

    def _check_together(self) -> None:
        if self.preprocessing == "standard" and not self.data:
            raise UsageError(
                "--preprocessing standard is fitted on the training part of a data set; name it with --data"
            )
        if self.input_format == AUTO and not self.data:
            raise UsageError("--input-format auto chooses a format from a data set; name it with --data")
        if self.input_format not in (None, AUTO):
            parse_format(str(self.input_format))
        if self.shell == "pynq" and self.part.name != pynq.PART:
            raise UsageError(
                f"--shell pynq is for the PYNQ-Z1 and PYNQ-Z2 ({pynq.PART}), not {self.part.name}; use --shell axis"
            )
        if self.on_processor and self.bus_bits != zynq.BUS_BITS:
            raise UsageError(f"--shell pynq --bitstream has a bus of {zynq.BUS_BITS} bits; leave --bus-bits out")
        if self.shell == "selftest" and (self.part.board not in BOARDS or not self.bitstream):
            known = ", ".join(sorted(BOARDS))
            raise UsageError(f"--shell selftest is a bitstream for a board: give --bitstream and --part of {known}")
        if self.rtl_engine == "xls" and self.architecture in ("folded", STREAMING):
            raise UsageError(
                f"--rtl-engine xls makes parallel hardware only; drop it or --architecture {self.architecture}"
            )
        if self.layer is not None and self.architecture == STREAMING:
            raise UsageError("--architecture streaming is of a whole network; leave it out with --layer")
        wishes = self.architecture, self.initiation_interval, self.results_per_second, self.pipeline, self.dsp
        check_wishes(*wishes)
        if self.dsp is not None and self.dsp > self.part.dsp:
            raise UsageError(f"--dsp {self.dsp} is more than the {self.part.dsp} DSP blocks of {self.part.device}")
        if self.rtl_engine == "xls" and self.pipeline == "rows":
            raise UsageError("--pipeline rows is of our own Verilog; XLS places registers by the clock alone")
        if self.weights is not None and self.model.suffix != ".json":
            raise UsageError("--weights belongs to an architecture alone, such as --model a.json; leave it out")
        if self.quantize and self.model.suffix == ".json":
            raise UsageError("--quantize is for float models; a design.json is built as it is")
        if self.layer is None:
            return
        if self.model.suffix == ONNX:
            raise UsageError("--layer is for Keras models; leave it out for an ONNX model")
        if self.model.suffix == ".json" and self.weights is None:
            raise UsageError("--layer is for Keras models; a design.json is built as it is")
        if self.quantize:
            raise UsageError("--quantize is for a whole float model; leave it out with --layer")
        if self.data:
            raise UsageError("--data gives inputs of the whole model, not of one layer; leave it out with --layer")
        if self.preprocessing:
            raise UsageError(
                "--preprocessing is of the whole model's inputs, not of one layer's; leave it out with --layer"
            )


_WORDS = {str: "text", int: "an integer", float: "a number", bool: "True or False", Path: "a file's name",
          Part: "a device or board by its name"}  # fmt: skip


def _listed(option: str, names: str | Sequence[str]) -> str:
    if isinstance(names, str):
        return names
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"--{option} is {type(names).__name__} {names!r:.40}; give names")
    return ",".join(names)


def _path(option: str, name: str | Path) -> Path:
    if not isinstance(name, str | Path) or not str(name):
        raise UsageError(f"--{option} is {type(name).__name__} {name!r:.40}; give a file's name")
    return Path(name)


def _read(path: Path) -> Any:
    with refused(ConfigError, str(path), "python -m flow.hls_config writes one"):
        return read_yaml(path)
