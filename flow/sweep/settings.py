"""From the command line to a sweep's settings: defaults, what an earlier start decided, and whether it can work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.core import engines
from flow.core.errors import ConfigError, DataError, UsageError
from flow.core.untrusted import refused
from flow.parts import catalog
from flow.sweep.space import (
    SCHEMA,
    Settings,
    architecture_choices,
    bit_set_choices,
    hidden_choices,
    interval_choices,
    limits,
    objective_choices,
)
from keras_models.data import loaders

_KINDS: Mapping[str, type | tuple[type, ...]] = {  # of what sweep.json holds
    **dict.fromkeys(("data", "data_digest", "part", "split_key", "objective", "task"), str),
    **dict.fromkeys(("hidden", "bit_sets", "architecture", "initiation_interval"), list),
    **dict.fromkeys(("beta", "lut_budget"), (list, type(None))),
    **dict.fromkeys(("epochs", "seed"), int),
    "clock_period_ns": (int, float),
    "target_columns": (str, type(None)),
    **dict.fromkeys(("max_latency_ns", "max_lut_share"), (int, float, type(None))),
}
_OLD = {"max_latency_ns": None, "max_lut_share": None}  # what sweep.json of schema 1 does not say


def settle(
    defaults: Mapping[str, Any], given: Mapping[str, Any], kept: Mapping[str, Any] | None, name: str
) -> Settings:
    """The settings: what was ``given``, else what the sweep was started with, else the default.

    Raises UsageError for wishes that cannot work or that differ from the sweep's own, DataError for the data.
    """
    if given["data"] is None and kept is None:
        raise UsageError("--data is needed to start a sweep; a name or an .npz file")
    asked = {key: value for key, value in given.items() if value is not None}
    if kept is not None:
        asked = {**_as_given(kept, name), **asked}
    merged = {**defaults, **asked}
    if merged["beta"] and merged["lut_budget"]:
        raise UsageError("--beta and --lut-budget exclude each other")
    settings = _settings(merged)
    if kept is not None:
        different = settings.differences(kept)
        if different:
            first = different[0].replace("_", "-")
            what = "the data have changed" if first == "data-digest" else f"--{first} differs"
            raise UsageError(f"sweep {name} was started with other settings: {what}; choose another --name")
    return settings


def _settings(merged: Mapping[str, Any]) -> Settings:
    share = merged["max_lut_share"]
    if share is not None and not 0 < share <= 1:
        raise UsageError(f"--max-lut-share {share:g}: give a share of the part's LUT sites, above 0 and up to 1")
    architecture = architecture_choices(merged["architecture"])
    budget = limits(merged["lut_budget"], "--lut-budget")
    data, digest, task = _data(merged["data"], merged["split_key"], merged["target_columns"])
    return Settings(
        data=data, data_digest=digest, task=task, part=catalog.resolve(merged["part"]).name,
        split_key=merged["split_key"], target_columns=merged["target_columns"],
        clock_period_ns=merged["clock_period_ns"], objective=objective_choices(merged["objective"]),
        hidden=hidden_choices(merged["hidden"]), bit_sets=bit_set_choices(merged["bit_sets"]),
        beta=None if budget else limits(merged["beta"] or merged["beta_default"], "--beta"), lut_budget=budget,
        architecture=architecture, initiation_interval=interval_choices(merged["initiation_interval"], architecture),
        epochs=merged["epochs"], seed=merged["seed"], max_latency_ns=merged["max_latency_ns"], max_lut_share=share,
    )  # fmt: skip


def _as_given(kept: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Kept settings as the options they came from. Raises ConfigError where some are missing or of another type.

    Sweeps that earlier versions started go on; those of later ones are refused.
    """
    schema = kept.get("schema", 1)
    if isinstance(schema, int) and schema > SCHEMA:
        raise ConfigError(
            f"sweep {name} was started by a later version of this program (its sweep.json has schema {schema}, this "
            f"version knows up to {SCHEMA}): go on with that version, or choose another --name"
        )
    with refused(ConfigError, f"sweep.json of {name} is damaged", "remove the folder or choose another --name"):
        kept = {**_OLD, **kept}
        for key, kinds in _KINDS.items():
            value = kept[key]
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise TypeError(f"{key} is {value!r:.40}")
        found = dict(kept)
        for key in ("hidden", "bit_sets", "architecture", "initiation_interval"):
            found[key] = ",".join(map(str, kept[key])) or None
        for key in ("beta", "lut_budget"):
            found[key] = None if kept[key] is None else ":".join(repr(float(value)) for value in kept[key])
    return {key: value for key, value in found.items() if value is not None}


def _data(name: str, split_key: str, target_columns: str | None) -> tuple[str, str, str]:
    """The data as every worker is asked for it, the digest of its content, and its task."""
    try:
        columns = [int(part) for part in target_columns.split(",")] if target_columns else None
    except ValueError:
        raise UsageError(f"--target-columns {target_columns}: give column numbers like 0,1") from None
    try:
        dataset = loaders.load_dataset(name, split_key, columns)
        known = name in loaders.BUNDLED or not Path(name).is_file()
    except (loaders.DataError, OSError, ValueError) as exc:
        raise DataError(str(exc)) from None
    total = hashlib.sha256()
    for array in (dataset.X, dataset.y, dataset.split):
        total.update(json.dumps([str(array.dtype), array.shape]).encode() + array.tobytes())
    return name if known else str(Path(name).resolve()), total.hexdigest(), dataset.task


def check_engines(trials: str, front: str) -> None:
    """Raise UsageError for engines that do not exist; ``none`` is for the front alone."""
    engines.chosen(trials)
    if front.strip() != "none":
        engines.chosen(front, "--front-engines")
