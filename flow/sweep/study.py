"""The memory of a sweep: an Optuna study in a journal, a file that many processes on many hosts append to.

It needs no locks of the file system but that a link is made once, which network file systems keep; a kill at any moment
loses nothing. Sweeps of earlier versions, whose study is a SQLite file, are taken over into a journal.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sqlite3
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.core.errors import FlowError
from flow.core.untrusted import Unusable, opened
from flow.sweep.space import Settings, draw, pareto
from flow.sweep.trial import attempts
from flow.tool_reports.open_json import in_sites

JOURNAL = "study.journal"
DATABASE = "study.db"  # of sweeps that earlier versions started
_MAX_DATABASE = 1 << 32
_MAGIC = b"SQLite format 3\0"
FILES = ("sweep.json", "token.json", DATABASE, JOURNAL, "trials.csv", "front.csv", "front.json", "front.html")
_BEAT_S = 30.0  # between the signs of life of a running trial
_DEAD_S = 300.0  # without one, after which it is anybody's: clocks of hosts differ, and file systems are slow
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
    """Draws trials and remembers what became of them.

    ``shared``: other processes draw from the same study at the same time. Otherwise this one is the only driver, and no
    trial of an earlier driver runs any more.
    """

    def __init__(self, folder: Path, settings: Settings, shared: bool = False) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        self.folder, self.settings, self.shared = folder, settings, shared
        self._me = f"{'worker' if shared else 'driver'} {uuid.uuid4().hex}"
        self._beaten = 0.0
        self.more_is_better = settings.task == "classification"
        self._optuna = optuna
        file = JOURNAL
        try:
            if (folder / DATABASE).exists() and not os.path.lexists(folder / JOURNAL):
                file = DATABASE
                self._take_over()
            file = JOURNAL
            _check_journal(folder / JOURNAL)
            storage = self._storage(folder / JOURNAL)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study = optuna.create_study(
                    study_name=folder.name,
                    storage=storage,
                    directions=["maximize" if self.more_is_better else "minimize", *["minimize"] * len(settings.costs)],
                    load_if_exists=True,
                )
                # Every start draws on: the same seed again would repeat the trials that are there.
                seed = settings.seed + 1000 * len(self._study.get_trials(deepcopy=False))
                if shared:  # workers that start together draw different trials
                    seed += int(self._me[-6:], 16)
                self._study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            self._recover()
            self.front(self.rows())
        except Exception as exc:  # whatever SQLAlchemy, Alembic or odd content make of a damaged file
            reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            raise FlowError(
                f"{folder / file} cannot be used: {reason}; remove the folder or choose another --name"
            ) from None

    def _storage(self, path: Path) -> Any:
        journal = self._optuna.storages.journal
        return journal.JournalStorage(journal.JournalFileBackend(str(path.resolve())))

    def _take_over(self) -> None:
        """Copy the study of an earlier version's SQLite file into the journal, which appears whole."""
        old, new = self.folder / DATABASE, self.folder / f".{JOURNAL}.{uuid.uuid4().hex}"
        _check_database(old)
        optuna = self._optuna
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.copy_study(
                from_study_name=self.folder.name, from_storage=f"sqlite:///{old.resolve()}",
                to_storage=self._storage(new), to_study_name=self.folder.name,
            )  # fmt: skip
        new.replace(self.folder / JOURNAL)

    def _recover(self) -> None:
        """A trial whose driver was killed before its parameters were all drawn never was one; nor was a repeat."""
        young = datetime.datetime.now() - datetime.timedelta(seconds=_DEAD_S)
        for trial in self._trials("RUNNING"):
            half = "parameters" not in trial.user_attrs or "same_as" in trial.user_attrs
            if half and trial.datetime_start < young:  # another worker may be drawing it just now
                self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def _trials(self, *states: str) -> list[Any]:
        wanted = tuple(getattr(self._optuna.trial.TrialState, state) for state in states)
        found: list[Any] = self._study.get_trials(deepcopy=False, states=wanted)
        return found

    def unfinished(self) -> list[tuple[int, dict[str, Any]]]:
        """Trials that were drawn but that nobody runs: of drivers and workers that were killed or interrupted.

        They are this process's from now on.
        """
        return [(t.number, t.user_attrs["parameters"]) for t in self._trials("RUNNING")
                if "parameters" in t.user_attrs and "same_as" not in t.user_attrs and self._taken(t)]  # fmt: skip

    def _taken(self, trial: Any) -> bool:
        """Whether this process gets a trial that is left: of all who claim it now the first in the journal does."""
        attributes = trial.user_attrs
        owner = str(attributes.get("owner", "driver"))
        handle, now = self._optuna.trial.Trial(self._study, trial._trial_id), time.time()
        orphan = not self.shared and owner.startswith("driver")  # the lock of the folder is ours
        if not orphan:
            if now - float(attributes.get("beat", 0.0)) < _DEAD_S:
                return False
            handle.set_user_attr(f"claim after {owner}: {self._me}", now)
            if not self._first(handle.user_attrs, f"claim after {owner}", now):
                return False
        self._own(handle)
        return True

    def _first(self, attributes: Mapping[str, float], turn: str, now: float) -> bool:
        """Whether the first claim of a turn is ours; one whose process has not gone on since counts no more."""
        claims = [name for name, at in attributes.items() if name.startswith(turn) and now - at < _DEAD_S]
        return bool(claims) and claims[0].endswith(self._me)

    def _own(self, handle: Any) -> None:
        handle.set_user_attr("beat", time.time())
        handle.set_user_attr("owner", self._me)

    def beat(self, numbers: Iterable[int]) -> None:
        """A sign of life of the trials that this process runs."""
        if time.monotonic() - self._beaten > _BEAT_S:
            self._beaten = time.monotonic()
            self._note(numbers, time.time())

    def release(self, numbers: Iterable[int]) -> None:
        """Leave trials that this process has begun to whoever comes next."""
        self._note(numbers, 0.0)

    def _note(self, numbers: Iterable[int], beat: float) -> None:
        mine = set(numbers)
        for trial in self._trials("RUNNING"):
            if trial.number in mine:
                self._optuna.trial.Trial(self._study, trial._trial_id).set_user_attr("beat", beat)

    def verifier(self) -> bool:
        """Whether this process verifies the front: of several workers the first one that finds no trial running."""
        if not self.shared:
            return True
        now = time.time()
        if any(now - float(t.user_attrs.get("beat", 0.0)) < _DEAD_S for t in self._trials("RUNNING")):
            return False
        done = max((t.number for t in self._trials("COMPLETE", "FAIL")), default=0)
        turn = f"verifies up to {done}"
        self._study.set_user_attr(f"{turn}: {self._me}", now)
        return self._first(self._study.user_attrs, turn, now)

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """A new trial, different from all before; None where so many draws in a row gave nothing new."""
        known = {_text(t.user_attrs["parameters"]): t for t in self._trials("RUNNING", "COMPLETE", "FAIL")
                 if "parameters" in t.user_attrs and "same_as" not in t.user_attrs}  # fmt: skip
        for _ in range(_REPEATS if len(known) < self.settings.size() else 0):
            trial = self._study.ask()
            parameters = draw(self.settings, trial)
            same = known.get(_text(parameters))
            if same is None:
                self._own(trial)
                trial.set_user_attr("parameters", parameters)
                same = self._drawn_before(trial.number, parameters)
                if same is None:
                    return trial.number, parameters
            trial.set_user_attr("same_as", same.number)
            trial.set_user_attr("parameters", parameters)
            if same.values is not None:
                self._study.tell(trial, same.values)
            else:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return None

    def _drawn_before(self, number: int, parameters: Mapping[str, Any]) -> Any | None:
        """A trial of the same parameters that another process has drawn a moment before."""
        if not self.shared:
            return None
        earlier = [t for t in self._trials("RUNNING", "COMPLETE", "FAIL") if t.number < number]
        return next((t for t in earlier if t.user_attrs.get("parameters") == parameters
                     and "same_as" not in t.user_attrs), None)  # fmt: skip

    def finish(self, number: int, result: Mapping[str, Any]) -> None:
        """Note a trial's result and its values."""
        self._attribute(number, "result", dict(result))
        for limit, over in self.settings.excess(result["figures"]).items():
            self._running(number).set_constraint(limit, over)
        self._study.tell(number, self._values(result["figures"]))

    def fail(self, number: int, error: str) -> None:
        """Note why a trial has no result."""
        self._attribute(number, "error", error)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _attribute(self, number: int, name: str, value: Any) -> None:
        self._running(number).set_user_attr(name, value)

    def _running(self, number: int) -> Any:
        frozen = next(t for t in self._trials("RUNNING") if t.number == number)
        return self._optuna.trial.Trial(self._study, frozen._trial_id)

    def _values(self, figures: Mapping[str, Any]) -> tuple[float, ...]:
        return float(figures["val"]), *(float(figures[cost]) for cost in self.settings.costs)

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
        """The Pareto front of the finished trials whose design fits the part and keeps all limits, by rising cost."""
        done = {row.number: row for row in rows
                if row.state == "done" and max(self.settings.excess(row.result["figures"]).values()) <= 0}  # fmt: skip
        points = {number: self._values(row.result["figures"]) for number, row in done.items()}
        return [done[number] for number in pareto(points, self.more_is_better)]


def _check_journal(path: Path) -> None:
    """Raise where the file is no journal, such as a file of the kernel, for which a reader would wait."""
    if os.path.lexists(path):
        with opened(path, _MAX_DATABASE) as file:
            if file.read(1) not in (b"{", b""):
                raise Unusable(f"{path} is no journal")


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
