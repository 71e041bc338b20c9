"""The memory of a sweep: an Optuna study in SQLite, written by the driver alone; a kill at any moment loses nothing."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.core.errors import FlowError
from flow.core.untrusted import Unusable, opened
from flow.sweep.space import Settings, draw, pareto
from flow.sweep.trial import attempts
from flow.tool_reports.open_json import in_sites

DATABASE = "study.db"
_MAX_DATABASE = 1 << 32
_MAGIC = b"SQLite format 3\0"
FILES = ("sweep.json", "token.json", DATABASE, "trials.csv", "front.csv", "front.json", "front.html")
_REPEATS = 50  # of trials that were drawn before, after which the space counts as exhausted


@dataclass(frozen=True)
class Row:
    """A trial as the tables show it; ``state`` is running, done, repeat (of ``same_as``) or failed."""

    number: int
    state: str
    parameters: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    same_as: int | None = None
    attempts: int = 0


class Study:
    """Draws trials and remembers what became of them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        self.folder, self.settings = folder, settings
        self.more_is_better = settings.task == "classification"
        self._optuna = optuna
        try:
            _check_database(folder / DATABASE)
            storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / DATABASE).resolve()}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study = optuna.create_study(
                    study_name=folder.name,
                    storage=storage,
                    directions=["maximize" if self.more_is_better else "minimize", "minimize"],
                    load_if_exists=True,
                )
                # Every start draws on: the same seed again would repeat the trials that are there.
                seed = settings.seed + 1000 * len(self._study.get_trials(deepcopy=False))
                self._study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            self._recover()
            self.front(self.rows())
        except Exception as exc:  # whatever SQLAlchemy, Alembic or odd content make of a damaged file
            reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            raise FlowError(
                f"{folder / DATABASE} cannot be used: {reason}; remove the folder or choose another --name"
            ) from None

    def _recover(self) -> None:
        """A trial whose driver was killed before its parameters were all drawn never was one; nor was a repeat."""
        for trial in self._trials("RUNNING"):
            if "parameters" not in trial.user_attrs or "same_as" in trial.user_attrs:
                self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def _trials(self, *states: str) -> list[Any]:
        wanted = tuple(getattr(self._optuna.trial.TrialState, state) for state in states)
        found: list[Any] = self._study.get_trials(deepcopy=False, states=wanted)
        return found

    def unfinished(self) -> list[tuple[int, dict[str, Any]]]:
        """Trials that were drawn but have no result: of a driver that was killed or interrupted."""
        return [(t.number, t.user_attrs["parameters"]) for t in self._trials("RUNNING")]

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """A new trial, different from all before; None where so many draws in a row gave nothing new."""
        known = {_text(t.user_attrs["parameters"]): t for t in self._trials("RUNNING", "COMPLETE", "FAIL")
                 if "parameters" in t.user_attrs and "same_as" not in t.user_attrs}  # fmt: skip
        for _ in range(_REPEATS if len(known) < self.settings.size() else 0):
            trial = self._study.ask()
            parameters = draw(self.settings, trial)
            same = known.get(_text(parameters))
            if same is None:
                trial.set_user_attr("parameters", parameters)
                return trial.number, parameters
            trial.set_user_attr("same_as", same.number)
            trial.set_user_attr("parameters", parameters)
            if same.values is not None:
                self._study.tell(trial, same.values)
            else:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return None

    def finish(self, number: int, result: Mapping[str, Any]) -> None:
        """Note a trial's result and its two values."""
        self._attribute(number, "result", dict(result))
        self._study.tell(number, self._values(result["figures"]))

    def fail(self, number: int, error: str) -> None:
        """Note why a trial has no result."""
        self._attribute(number, "error", error)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _attribute(self, number: int, name: str, value: Any) -> None:
        frozen = next(t for t in self._trials("RUNNING") if t.number == number)
        self._optuna.trial.Trial(self._study, frozen._trial_id).set_user_attr(name, value)

    def _values(self, figures: Mapping[str, Any]) -> tuple[float, float]:
        return float(figures["val"]), float(figures[self.settings.objective])

    def verified(self, number: int) -> dict[str, Any]:
        """What the full verification of a trial of the front found, or nothing."""
        found: dict[str, Any] = self._study.user_attrs.get(f"verified {number}", {})
        return found

    def note_verified(self, number: int, found: Mapping[str, Any]) -> None:
        """Note what the full verification of a trial found."""
        self._study.set_user_attr(f"verified {number}", dict(found))

    def rows(self) -> list[Row]:
        """Every trial, by number; those that never had parameters are left out."""
        found = []
        for trial in self._study.get_trials(deepcopy=False):
            attributes = trial.user_attrs
            if "parameters" not in attributes:
                continue
            same = attributes.get("same_as")
            state = {"RUNNING": "running", "COMPLETE": "done", "FAIL": "failed"}[trial.state.name]
            result = attributes.get("result", {})
            if "figures" in result:
                result = {**result, "figures": in_sites(result["figures"])}
            found.append(Row(
                trial.number, state if same is None else "repeat", attributes["parameters"], result,
                attributes.get("error", ""), same, result.get("attempts", attempts(self.folder, trial.number)),
            ))  # fmt: skip
        return found

    def front(self, rows: list[Row]) -> list[Row]:
        """The Pareto front of the finished trials whose design fits the part, by rising cost."""
        done = {row.number: row for row in rows if row.state == "done" and row.result["figures"]["fits"]}
        points = {number: self._values(row.result["figures"]) for number, row in done.items()}
        return [done[number] for number in pareto(points, self.more_is_better)]


def _check_database(path: Path) -> None:
    """Raise where the file is no whole database: SQLite itself notices damage only when it meets it."""
    if not os.path.lexists(path):
        return
    with opened(path, _MAX_DATABASE) as file:
        if file.read(len(_MAGIC)) not in (_MAGIC, b""):  # None of a file of the kernel, for which SQLite would wait
            raise Unusable(f"{path} is no database")
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("PRAGMA quick_check(1)").fetchall()
    if found != [("ok",)]:
        raise ValueError(f"it is damaged: {found[0][0]}")


def _text(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
