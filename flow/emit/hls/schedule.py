"""How the sums of a width group are scheduled: hls4ml's ``Strategy`` and ``ReuseFactor``, per layer and per group.

Latency unrolls every product and starts a new vector every ``ReuseFactor`` cycles, so that as many products share a
multiplier; Resource builds every sum in ``ReuseFactor`` steps from weights in a memory of the group's own width.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flow.core.design import Design, Group, Layer
from flow.core.errors import ConfigError, UsageError
from flow.core.fixed import Fixed
from flow.core.passes.group import layer_groups

STRATEGIES = ("latency", "resource")
MAX_REUSE = 1 << 16  # a sum has no more inputs
IO_TYPES = ("io_parallel", "io_stream")
LAYER_TYPE = "NMPGroupedDense"  # hls4ml's name of our layers
_MODEL_KEYS = frozenset({"Strategy", "ReuseFactor", "Precision"})
_LAYER_KEYS = frozenset({"Strategy", "ReuseFactor", "Groups", "Precision", "Trace"})
_GROUP_KEYS = frozenset({"WeightBits", "Neurons", "Precision", "Strategy", "ReuseFactor"})


@dataclass(frozen=True)
class Schedule:
    """Strategy (``latency`` or ``resource``) and reuse factor of one group."""

    strategy: str = "latency"
    reuse: int = 1

    @property
    def unrolled(self) -> bool:
        """Nothing is shared: the group's statements stand in the layer function itself."""
        return self == Schedule()


UNROLLED = Schedule()


@dataclass(frozen=True)
class HlsChoices:
    """What a user chooses for an HLS project: the interface of layers, the default schedule, and ``LayerName``.

    ``layers`` maps a layer's name to its entry in hls4ml's configuration: ``Strategy``, ``ReuseFactor`` and ``Groups``,
    a list of entries with ``WeightBits`` and their own ``Strategy`` and ``ReuseFactor``.
    """

    io_type: str = "io_parallel"
    default: Schedule = UNROLLED
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


DEFAULT = HlsChoices()


def choices(io: str, strategy: str | None, reuse: int | None, config: Any, where: str = "the HLS config") -> HlsChoices:
    """Options and the content of a configuration file (None without one) as choices; options win over ``Model`` and
    ``LayerType``, and those of a layer over both.

    Raises UsageError, for the configuration ConfigError, naming what is unknown.
    """
    config = _mapping({} if config is None else config, where)
    _only(config, ("Model", "LayerType", "LayerName"), where)
    model, types, layers = (_mapping(config.get(k) or {}, f"{where}, {k}") for k in ("Model", "LayerType", "LayerName"))
    _only(model, _MODEL_KEYS, f"{where}, Model")
    _only(types, ("Input", LAYER_TYPE), f"{where}, LayerType")
    default = overridden(UNROLLED, model, f"{where}, Model")
    own = _mapping(types.get(LAYER_TYPE) or {}, f"{where}, LayerType {LAYER_TYPE}")
    default = overridden(default, own, f"{where}, LayerType {LAYER_TYPE}")
    given = {"Strategy": strategy, "ReuseFactor": reuse}
    default = overridden(default, {k: v for k, v in given.items() if v is not None}, "the options", UsageError)
    io = io if io.startswith("io_") else f"io_{io}"
    if io not in IO_TYPES:
        raise UsageError(f"HLS interface {io} is not known; choose {' or '.join(IO_TYPES)}")
    return HlsChoices(io, default, {str(k): _mapping(v, f"{where}, layer {k}") for k, v in layers.items()})


def resolved(design: Design, chosen: HlsChoices) -> tuple[HlsChoices, tuple[str, ...]]:
    """The choices with a valid schedule for every group, and notes on reuse factors that had to be replaced.

    Raises ConfigError for layers, groups or keys that do not exist.
    """
    names = [layer.name for layer in design.layers]
    foreign = [k for k, v in chosen.layers.items() if k not in names and set(v) & {"Groups", "Strategy", "ReuseFactor"}]
    if foreign:
        raise ConfigError(f"the HLS config speaks of layer {foreign[0]}; the model has {', '.join(names)}")
    notes: list[str] = []
    layers: dict[str, dict[str, Any]] = {}
    for layer in design.layers:
        entry, where = chosen.layers.get(layer.name, {}), f"HLS config, layer {layer.name}"
        _only(entry, _LAYER_KEYS, where)
        found, replaced = schedules(layer, overridden(chosen.default, entry, where), entry.get("Groups") or ())
        layers[layer.name] = {"Groups": annotated(layer, found)}
        notes += replaced
    return replace(chosen, layers=layers), tuple(notes)


def annotated(layer: Layer, found: Sequence[Schedule]) -> list[dict[str, Any]]:
    """The configuration's ``Groups`` of a layer."""
    return [
        {
            "WeightBits": group.weight_bits,
            "Neurons": list(group.neurons),
            "Precision": group_precision(layer, group),
            "Strategy": schedule.strategy.capitalize(),
            "ReuseFactor": schedule.reuse,
        }
        for group, schedule in zip(layer.groups or layer_groups(layer), found, strict=True)
    ]


def group_precision(layer: Layer, group: Group) -> dict[str, str]:
    """The narrowest types of hls4ml that hold every weight and every quantized result of a group; none for constants.

    A neuron whose result is its exact sum has no type here: it depends on what enters the layer.
    """
    neurons = [layer.neurons[j] for j in group.neurons]
    weights = [Fixed.holding(min(n.weights), max(n.weights), n.weight_frac) for n in neurons if any(n.weights)]
    results = [n.output.format for n in neurons if n.output is not None]
    found = {"weight": weights, "result": results if len(results) == len(neurons) else []}
    return {name: _type(forms) for name, forms in found.items() if any(f.bits for f in forms)}


def _type(forms: Sequence[Fixed]) -> str:
    used = [f for f in forms if f.bits]
    frac, signed = max(f.frac for f in used), any(f.signed for f in used)
    integer = max(f.bits - f.frac + (signed and not f.signed) for f in used)
    return f"ap_{'' if signed else 'u'}fixed<{integer + frac},{integer}>"


def schedules(layer: Layer, default: Schedule, entries: Any) -> tuple[tuple[Schedule, ...], tuple[str, ...]]:
    """The schedule of every group of a layer, and notes on reuse factors that were replaced by the nearest valid one.

    ``entries`` is the configuration's ``Groups``. Raises ConfigError where it does not fit the layer.
    """
    groups = layer.groups or layer_groups(layer)
    own = _entries(layer, groups, entries)
    found, notes = [], []
    for group in groups:
        where = f"layer {layer.name}, group of {group.weight_bits:g}-bit weights"
        wanted = overridden(default, own.get(group.weight_bits, {}), where)
        valid = valid_reuse_factors(layer) if wanted.strategy == "resource" else (wanted.reuse,)
        schedule = replace(wanted, reuse=_nearest(valid, wanted.reuse))
        if schedule != wanted and any(any(layer.neurons[j].weights) for j in group.neurons):
            choice = ",".join(map(str, valid))
            notes.append(f"Invalid ReuseFactor={wanted.reuse} in {where}. Using ReuseFactor={schedule.reuse} instead. "
                         f"Valid ReuseFactor(s): {choice}.")  # fmt: skip
        found.append(schedule)
    return tuple(found), tuple(notes)


def valid_reuse_factors(layer: Layer) -> tuple[int, ...]:
    """Resource strategy: every sum takes an equal share of the inputs in every step."""
    return tuple(r for r in range(1, layer.inputs + 1) if layer.inputs % r == 0)


def _entries(layer: Layer, groups: Sequence[Group], entries: Any) -> dict[float, Mapping[str, Any]]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ConfigError(f"HLS config, layer {layer.name}: Groups must be a list of entries with WeightBits")
    known = {g.weight_bits: g for g in groups}
    own: dict[float, Mapping[str, Any]] = {}
    for entry in entries:
        where = f"HLS config, layer {layer.name}, Groups"
        bits = _mapping(entry, where).get("WeightBits")
        _only(entry, _GROUP_KEYS, where)
        group = known.get(bits) if isinstance(bits, (int, float)) else None
        if group is None:
            widths = ", ".join(f"{b:g}" for b in known)
            raise ConfigError(f"{where}: there is no group with WeightBits {bits!s:.40}; the layer has {widths}")
        if "Neurons" in entry and entry["Neurons"] != list(group.neurons):
            raise ConfigError(f"{where}: the neurons of WeightBits {bits} are not this model's; write the config again")
        if "Precision" in entry and entry["Precision"] != group_precision(layer, group):
            raise ConfigError(
                f"{where}: the Precision of WeightBits {bits} is the model's own; leave it as it was written"
            )
        own[group.weight_bits] = entry
    return own


def overridden(
    schedule: Schedule, entry: Mapping[str, Any], where: str, error: type[UsageError] = ConfigError
) -> Schedule:
    """The schedule with an entry's own ``Strategy`` and ``ReuseFactor``. Raises ``error`` for unknown ones."""
    strategy = entry.get("Strategy", schedule.strategy)
    if not isinstance(strategy, str) or strategy.lower() not in STRATEGIES:
        raise error(f"{where}: grouped layers have Strategy Latency or Resource, not {strategy!s:.40}")
    reuse = entry.get("ReuseFactor", schedule.reuse)
    if isinstance(reuse, bool) or not isinstance(reuse, int) or not 1 <= reuse <= MAX_REUSE:
        raise error(f"{where}: ReuseFactor must be a whole number of 1 to {MAX_REUSE}, not {reuse!s:.40}")
    return Schedule(strategy.lower(), reuse)


def _nearest(valid: Sequence[int], wanted: int) -> int:
    """As hls4ml chooses: the closest, of two equally close ones the smaller."""
    place = bisect_left(valid, wanted)
    around = valid[max(place - 1, 0) : place + 1]
    return min(around, key=lambda r: (abs(r - wanted), r))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected names with values, found {value!r:.40}")
    return value


def _only(entry: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := sorted(map(str, set(entry) - set(known))):
        raise ConfigError(f"{where}: {unknown[0]} is not known; known: {', '.join(sorted(known))}")
