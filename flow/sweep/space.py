"""What a sweep searches and how a trial is measured: choices, drawing one of them, objectives."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from flow.build.architecture import ARCHITECTURES
from flow.core.errors import UsageError, reason
from flow.parts.catalog import resolve
from keras_models.methods.cnn_layers import parts_of

OBJECTIVES = {
    "lut": "LUT sites",
    "latency": "latency, ns",
    "energy": "energy estimate, element-cycles per result",
    "bram18": "BRAM18",
}
SCHEMA = 2  # of sweep.json: 2 has several costs, and limits of latency and LUT sites
_PORT_BITS = {"bram18": 36, "dsp": 48}  # bits that a memory's read port and a multiplier's result register switch


class Drawer(Protocol):
    """What draws a parameter: a trial of Optuna."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        """A number between the limits."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a sweep's trials are; kept in ``sweep.json`` and the same on every resume."""

    data: str
    data_digest: str
    part: str
    split_key: str
    target_columns: str | None
    clock_period_ns: float
    objective: str
    hidden: tuple[str, ...]
    bit_sets: tuple[str, ...]
    beta: tuple[float, float] | None
    lut_budget: tuple[float, float] | None
    architecture: tuple[str, ...]
    initiation_interval: tuple[int, ...]
    epochs: int
    seed: int
    task: str
    max_latency_ns: float | None = None
    max_lut_share: float | None = None

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs that are searched for beside the score; the first one orders tables and plots."""
        return tuple(self.objective.split(","))

    @property
    def cost_title(self) -> str:
        """The costs in words."""
        return " and ".join(OBJECTIVES[cost] for cost in self.costs)

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    def excess(self, figures: Mapping[str, Any]) -> dict[str, float]:
        """By how much a design exceeds what is allowed: 1 where it does not fit, latency in ns, share of LUT sites."""
        over = {"fit": 0.0 if figures["fits"] else 1.0}
        if self.max_latency_ns is not None:
            over["latency"] = figures["latency"] - self.max_latency_ns
        if self.max_lut_share is not None:
            over["lut"] = figures["lut"] / resolve(self.part).lut - self.max_lut_share
        return over

    def size(self) -> float:
        """How many different trials there are; infinite where limits leave a range."""
        low, high = self.lut_budget or self.beta or (1.0, 1.0)
        folded = "folded" in self.architecture and len(self.initiation_interval) > 1
        shapes = len(self.architecture) + (len(self.initiation_interval) - 1 if folded else 0)
        return len(self.hidden) * len(self.bit_sets) * shapes if low == high else math.inf

    def differences(self, kept: Mapping[str, Any]) -> list[str]:
        """Names of settings that are not those of a kept sweep."""
        mine = json.loads(self.to_json())
        return [field.name for field in fields(self) if mine[field.name] != kept.get(field.name)]


def draw(settings: Settings, trial: Drawer) -> dict[str, Any]:
    """The parameters of a trial; those of folding only where the trial is folded."""
    found: dict[str, Any] = {
        "hidden": trial.suggest_categorical("hidden", settings.hidden),
        "bit_set": trial.suggest_categorical("bit_set", settings.bit_sets),
    }
    name, limits = ("lut_budget", settings.lut_budget) if settings.lut_budget else ("beta", settings.beta)
    assert limits is not None
    found[name] = _rounded(trial.suggest_float(name, *limits, log=True), name)
    found["architecture"] = trial.suggest_categorical("architecture", settings.architecture)
    if found["architecture"] == "folded" and settings.initiation_interval:
        found["initiation_interval"] = trial.suggest_categorical("initiation_interval", settings.initiation_interval)
    return found


def _rounded(value: float, name: str) -> float:
    """Two significant digits (a budget: three): finer steps are noise, and coarse ones find what is built already."""
    return float(f"{value:.{1 if name == 'beta' else 2}e}")


def train_arguments(settings: Settings, parameters: Mapping[str, Any]) -> list[str]:
    """Arguments of ``keras_models.train`` but its output."""
    network = parameters["hidden"]
    shape = ["--model", "cnn", "--layers", network] if ":" in network else ["--hidden", network]
    words = ["--data", settings.data, "--split-key", settings.split_key, *shape,
             "--epochs", str(settings.epochs), "--seed", str(settings.seed), "--quiet"]  # fmt: skip
    if settings.target_columns:
        words += ["--target-columns", settings.target_columns]
    if parameters["bit_set"] != "default":
        weights, _, activations = parameters["bit_set"].partition("/")
        words += ["--weight-bits", weights, *(["--activation-bits", activations] if activations else [])]
    if "lut_budget" in parameters:
        return [*words, "--lut-budget", f"{parameters['lut_budget']:g}", "--count-luts", "estimate"]
    return [*words, "--beta", f"{parameters['beta']:g}"]


def build_arguments(settings: Settings, parameters: Mapping[str, Any]) -> list[str]:
    """Arguments of ``flow.build`` but its model, engines and output."""
    words = ["--data", settings.data, "--split-key", settings.split_key, "--part", settings.part,
             "--clock-period-ns", f"{settings.clock_period_ns:g}",
             "--architecture", parameters["architecture"]]  # fmt: skip
    if settings.target_columns:
        words += ["--target-columns", settings.target_columns]
    if "initiation_interval" in parameters:
        words += ["--initiation-interval", str(parameters["initiation_interval"])]
    return words


def figures(training: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The measured figures of a trial, from ``m.train.json`` and ``report.json``.

    ``energy`` counts switching elements, not joules: look-up tables, flip-flops, memory port and multiplier bits that
    are clocked, times the clock cycles of one result. At equal activity dynamic energy is proportional to it.
    """
    synthesis = report["synthesis"]
    elements = synthesis["lut_cells"] + synthesis["ff"] + sum(synthesis[k] * bits for k, bits in _PORT_BITS.items())
    return {
        "val": training["val"],
        "test": report["score"]["value"],
        "metric": report["score"]["metric"],
        "weight_bits": round(training["mean_weight_bits"], 4),
        **{key: synthesis[key] for key in ("lut", "lut_cells", "ff", "dsp", "bram18", "fmax_mhz", "fits")},
        "architecture": report["architecture"],
        "latency_cycles": report["latency_cycles"],
        "initiation_interval": report["initiation_interval"],
        "latency": round(report["latency_cycles"] * report["clock_period_ns"], 3),
        "energy": elements * report["initiation_interval"],
        "energy_pj": (report.get("power") or {}).get("pj_per_result"),
        "engines": {name: entry["vectors"] for name, entry in report["verification"].items()},
        "mismatches": sum(entry["mismatches"] for entry in report["verification"].values()),
    }


def pareto(points: Mapping[int, tuple[float, ...]], more_is_better: bool) -> list[int]:
    """Keys of the points (score, costs...) that no other point beats in all, by rising costs; of equals the first."""
    sign = -1.0 if more_is_better else 1.0
    found = {key: (*costs, sign * score) for key, (score, *costs) in points.items()}
    front: list[int] = []
    for key in sorted(found, key=lambda k: (found[k], k)):
        if not any(all(a <= b for a, b in zip(found[other], found[key], strict=True)) for other in front):
            front.append(key)
    return front


def objective_choices(text: str) -> str:
    """Costs like ``lut,latency``. Raises UsageError."""
    found = choices(text, "--objective")
    for choice in found:
        if choice not in OBJECTIVES:
            raise UsageError(f"--objective {choice} is not known; choose from {', '.join(OBJECTIVES)}")
    return ",".join(found)


def choices(text: str, option: str) -> tuple[str, ...]:
    """The parts of a list separated by commas. Raises UsageError for an empty one."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UsageError(f"{option} {text!r}: give at least one choice")
    return found


def hidden_choices(text: str) -> tuple[str, ...]:
    """Networks like ``16,32-32``, or of convolutions like ``conv:4x3,pool:2;conv:8x3,dense:8``. Raises UsageError."""
    if ":" in text:
        networks = tuple(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))
        for network in networks:
            try:
                parts_of(network)
            except ValueError as exc:
                raise UsageError(f"--hidden {network}: {reason(exc)}; choices are separated by semicolons") from None
        return networks
    found = choices(text, "--hidden")
    for choice in found:
        if not all(part.isdigit() and int(part) > 0 for part in choice.split("-")):
            raise UsageError(f"--hidden {choice}: give layer sizes like 64-32, choices separated by commas")
    return found


def bit_set_choices(text: str) -> tuple[str, ...]:
    """Bit sets like ``default,0-1.58-4,0-2-4-8/0-4-8``. Raises UsageError."""
    found = choices(text, "--bit-sets")
    for choice in found:
        if choice != "default":
            for part in choice.split("/", 1):
                _check_widths(choice, part)
    return found


def _check_widths(choice: str, text: str) -> None:
    try:
        widths = [float(part) for part in text.split("-")]
    except ValueError:
        widths = []
    legal = all(w == 1.58 or (w.is_integer() and w <= 16) for w in widths)
    if not widths or not legal or widths != sorted(set(widths)):
        raise UsageError(
            f"--bit-sets {choice}: give rising widths of 0 to 16 bits or 1.58 like 0-1.58-4, those of activations "
            "after a slash, or the word default"
        )


def architecture_choices(text: str) -> tuple[str, ...]:
    """Some of parallel, folded and auto. Raises UsageError."""
    found = choices(text, "--architecture")
    for choice in found:
        if choice not in ARCHITECTURES:
            raise UsageError(f"--architecture {choice} is not known; choose from {', '.join(ARCHITECTURES)}")
    return found


def interval_choices(text: str | None, architecture: tuple[str, ...]) -> tuple[int, ...]:
    """Initiation intervals of folded trials. Raises UsageError."""
    if text is None:
        return ()
    if "folded" not in architecture:
        raise UsageError("--initiation-interval is of folded trials; add folded to --architecture")
    found = choices(text, "--initiation-interval")
    if not all(part.isdigit() and int(part) > 0 for part in found):
        raise UsageError(f"--initiation-interval {text}: give clock cycles like 16,64")
    return tuple(int(part) for part in found)


def limits(text: str | None, option: str) -> tuple[float, float] | None:
    """(low, high) of ``LOW:HIGH`` or one value. Raises UsageError unless 0 < low <= high."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in (text.split(":") if ":" in text else (text, text)))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high < math.inf:
        raise UsageError(f"{option} {text}: give positive limits like 1e-6:1e-3, or one value")
    return low, high
