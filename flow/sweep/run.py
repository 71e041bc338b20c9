"""The driver of a sweep: keeps every worker busy, notes results as they come, verifies the front."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flow.core.errors import FlowError
from flow.sweep.cluster import slots
from flow.sweep.space import Settings, build_arguments, train_arguments
from flow.sweep.study import Study
from flow.sweep.trial import Job, Outcome, attempts, run_trial
from flow.sweep.view import View, trial_line

_POLL_S = 0.1
_COUNT_S = 1.0  # between looks at how many workers there are
_PATIENCE_S = 30.0  # without a worker before the sweep says what it waits for
_RESUBMISSIONS = 2  # of a trial whose workers died; Dask itself tries each submission several times


@dataclass
class Sweep:
    """A sweep under way. ``refresh`` writes the tables; ``interrupted`` is asked between all steps."""

    folder: Path
    cache: Path
    token: str
    settings: Settings
    study: Study
    client: Any
    view: View
    trials: int
    engines: str
    deadline: float | None
    refresh: Callable[[], None]
    interrupted: Callable[[], bool]
    _futures: dict[int, Any] = field(default_factory=dict)
    _started: dict[int, float] = field(default_factory=dict)
    _jobs: dict[int, Job] = field(default_factory=dict)
    _resubmitted: dict[int, int] = field(default_factory=dict)
    _workers: int = 0
    _counted: float = 0.0
    _shown: float = 0.0
    _alone: float | None = None
    _durations: list[float] = field(default_factory=list)
    mismatch: bool = False

    def search(self) -> None:
        """Run trials until there are enough, the time is up or nothing new is drawn."""
        waiting = self.study.unfinished()
        exhausted = False
        while True:
            self._count_workers()
            while len(self._futures) < max(self._workers, 1) and not exhausted:
                drawn = waiting.pop(0) if waiting else self._new_trial()
                if drawn is None:
                    exhausted = True
                    break
                self._submit(self._job(*drawn))
            if not self._futures:
                return
            ended = sum(row.state in ("done", "failed") for row in self.study.rows())
            self._collect(self._finish_trial, "trials", ended, self.trials)

    def verify(self, engines: str) -> None:
        """Complete the builds of the front with all ``engines``, those that are not yet."""
        front = self.study.front(self.study.rows())
        waiting = [row for row in front if self.study.verified(row.number).get("engines_asked") != engines]
        wanted = len(waiting)
        while waiting or self._futures:
            self._count_workers()
            while waiting and len(self._futures) < max(self._workers, 1):
                row = waiting.pop(0)
                job = self._job(row.number, dict(row.parameters))
                self._submit(replace(job, engines=engines, kind="verifications"))
            ended = wanted - len(waiting) - len(self._futures)
            self._collect(
                lambda outcome: self._finish_verification(outcome, engines), "front, all engines", ended, wanted
            )

    def abandon(self) -> None:
        """Let go of what is running; it is taken up again on the next start, or by another worker."""
        self.study.release(list(self._futures))
        from distributed.client import ClosedClientError

        with contextlib.suppress(ClosedClientError, OSError):  # the scheduler went first
            for future in self._futures.values():
                future.cancel()
        self._futures.clear()

    def _new_trial(self) -> tuple[int, dict[str, Any]] | None:
        tried = sum(row.state != "repeat" for row in self.study.rows())
        if tried >= self.trials or (self.deadline is not None and time.monotonic() > self.deadline):
            return None
        drawn = self.study.ask()
        if drawn is None:
            self.view.say(f"nothing new to try after {tried} different trials; widen the choices to go on")
        return drawn

    def _job(self, number: int, parameters: Mapping[str, Any]) -> Job:
        return Job(
            number, self.folder, self.token, self.cache, tuple(train_arguments(self.settings, parameters)),
            tuple(build_arguments(self.settings, parameters)), self.engines, self.settings.data_digest,
        )  # fmt: skip

    def _submit(self, job: Job) -> None:
        self._jobs[job.number] = job
        self._started.setdefault(job.number, time.monotonic())
        self._futures[job.number] = self.client.submit(run_trial, job, pure=False)

    def _count_workers(self) -> None:
        if time.monotonic() - self._counted > _COUNT_S:
            self._counted = time.monotonic()
            self._require_scheduler()
            try:
                self._workers = slots(self.client)
            except (OSError, TimeoutError, RuntimeError):
                self._require_scheduler()
            self._say_when_alone()

    def _say_when_alone(self) -> None:
        """One line where no worker is there for long: queued jobs look like a sweep that hangs."""
        now = time.monotonic()
        if self._workers:
            self._alone = None
        elif self._alone is None:
            self._alone = now
        elif now - self._alone > _PATIENCE_S:
            self._alone = math.inf
            self.view.say("no worker is there; the sweep goes on as soon as one comes (are its jobs queued or dead?)")

    def _require_scheduler(self) -> None:
        if self.client.status not in ("running", "connecting"):
            raise FlowError("the scheduler is gone; start it and run the same command again, nothing finished is lost")

    def _collect(self, finish: Callable[[Outcome], None], phase: str, ended: int, wanted: int) -> None:
        """Wait a moment, then take what has ended."""
        if self.interrupted():
            raise KeyboardInterrupt
        self.study.beat(list(self._futures))
        self._show(phase, ended, wanted)
        time.sleep(_POLL_S)
        for number in [n for n, future in self._futures.items() if future.done()]:
            outcome = self._outcome(number)
            if outcome is not None:
                del self._futures[number]
                self._durations.append(time.monotonic() - self._started.pop(number))
                finish(outcome)

    def _show(self, phase: str, ended: int, wanted: int) -> None:
        now = time.monotonic()
        if now - self._shown < _COUNT_S:
            return
        self._shown = now
        rows = self.study.rows()
        running = {n: now - self._started[n] for n in self._futures}
        self.view.update(rows, self.study.front(rows), phase=phase, ended=ended, wanted=wanted, running=running,
                         workers=self._workers, left_s=self._left(wanted - ended, running))  # fmt: skip

    def _left(self, remaining: int, running: Mapping[int, float]) -> float | None:
        """Seconds to go, from the mean of the trials so far; None before the first has ended."""
        if not self._durations:
            return None
        mean = sum(self._durations) / len(self._durations)
        work = mean * max(remaining, len(running)) - sum(min(seconds, mean) for seconds in running.values())
        left = max(work, 0.0) / max(self._workers, 1)
        return left if self.deadline is None else min(left, max(self.deadline - time.monotonic(), mean))

    def _outcome(self, number: int) -> Outcome | None:
        """What a trial's future holds; None where it was submitted again because its workers died."""
        from distributed import KilledWorker

        future = self._futures[number]
        if future.status == "finished":
            outcome: Outcome = future.result()
            if outcome.fatal:
                raise FlowError(outcome.error)
            return outcome
        self._require_scheduler()
        failure = future.exception() if future.status == "error" else None
        if isinstance(failure, ImportError):
            raise FlowError(f"a worker cannot run trials: {failure}; install nmp-flow where the workers run")
        if failure is not None and not isinstance(failure, KilledWorker):
            return Outcome(number, "", error=f"{type(failure).__name__}: {failure}")
        self._resubmitted[number] = self._resubmitted.get(number, 0) + 1
        if self._resubmitted[number] > _RESUBMISSIONS:
            return Outcome(number, "", error="its worker was killed at every attempt; is there enough memory?")
        self._submit(self._jobs[number])
        return None

    def _finish_trial(self, outcome: Outcome) -> None:
        self.mismatch = self.mismatch or outcome.mismatch
        if outcome.error:
            self.study.fail(outcome.number, outcome.error)
        else:
            self.study.finish(outcome.number, {
                "figures": outcome.figures, "worker": outcome.worker, "cached": list(outcome.cached),
                "seconds": outcome.seconds, "report": outcome.report,
                "attempts": attempts(self.folder, outcome.number),
            })  # fmt: skip
        row = next(row for row in self.study.rows() if row.number == outcome.number)
        self.view.say(trial_line(row, self.settings.costs))
        self.refresh()

    def _finish_verification(self, outcome: Outcome, engines: str) -> None:
        self.mismatch = self.mismatch or outcome.mismatch
        found = outcome.figures
        self.study.note_verified(outcome.number, {
            "engines_asked": "" if outcome.error else engines, "error": outcome.error,
            "engines": found.get("engines", {}), "mismatches": found.get("mismatches"),
        })  # fmt: skip
        vectors = f"{len(found['engines'])} engines, {sum(found['engines'].values()):,} vectors" if found else ""
        said = f"failed: {outcome.error}" if outcome.error else f"verified: {vectors}, 0 mismatches"
        self.view.say(f"#{outcome.number} {said}")
        self.refresh()
