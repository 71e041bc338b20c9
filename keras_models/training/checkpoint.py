"""The whole state of a training run in one file, so that a run that was killed goes on as if it had not been.

The file is an ``.npz`` of plain arrays and one JSON text; nothing in it is executed when it is read. It is replaced
in one step, so a kill leaves the state of an earlier epoch or of this one, never half of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_models.quantizers.exact import to_numpy
from keras_models.training.pareto import Snapshot
from keras_models.untrusted import Unusable, parse_json, read_arrays

if TYPE_CHECKING:
    import keras

    from keras_models.loop.compiled import Loop
    from keras_models.training.fit import FitConfig, RunState

SECONDS_BETWEEN = 2.0  # epochs of small models take milliseconds; writing each would cost more than training


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message is one line."""


def identity(model: keras.Model, parts: Mapping[str, tuple[np.ndarray, ...]], task: str, config: FitConfig) -> str:
    """A digest of all a run depends on: data, settings, variables and the Keras backend."""
    import keras

    digest = hashlib.sha256()
    variables = [(v.path, list(v.shape)) for v in model.variables]
    settings = {**asdict(config), "method_settings": dict(config.method_settings)}
    digest.update(json.dumps([keras.backend.backend(), task, settings, variables]).encode())
    for name in sorted(parts):
        for rows in parts[name]:
            digest.update(f"{name} {rows.dtype} {rows.shape}".encode() + np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()


@dataclass
class Checkpoint:
    """Writes and reads the state of one run at ``path``; ``seconds`` is the least time between two writes."""

    path: Path
    seconds: float = SECONDS_BETWEEN
    _key: str = ""
    _written: float = 0.0

    def begin(self, key: str, model: keras.Model, loop: Loop, run: RunState) -> int:
        """Continue the run that ``path`` holds, if there is one; returns the epochs already done.

        ``key`` is the run's `identity`. Raises `CheckpointError` for a file of another run or a damaged one.
        """
        self._key, self._written = key, time.monotonic()
        if not self.path.exists():
            return 0
        try:
            arrays = read_arrays(self.path).values
            text, seal = str(arrays.pop("state")), str(arrays.pop("seal", ""))
            state = parse_json(text, "its state", finite=False)
            found = state["key"]
        except (Unusable, KeyError, TypeError) as error:
            reason = f" ({error})" if isinstance(error, Unusable) else ""
            raise CheckpointError(
                f"{self.path}: not a checkpoint of this program{reason}; delete it to start anew"
            ) from error
        if found != key:
            raise CheckpointError(f"{self.path}: is of a run with other data or settings; repeat that run's options, "
                                  "or delete the file to start anew")  # fmt: skip
        if seal != _seal(text, arrays):
            raise CheckpointError(f"{self.path}: what it holds has changed since; delete it to start anew")
        try:
            _restore(arrays, state, model, loop, run)
            return len(run.result.history)
        except Exception as error:  # whatever Keras and NumPy say about values of other shapes and types
            raise CheckpointError(f"{self.path}: is damaged ({error}); delete it to start anew") from error

    def epoch(self, model: keras.Model, loop: Loop, run: RunState) -> None:
        """Note the state after an epoch, when the last note is old enough."""
        if time.monotonic() - self._written < self.seconds:
            return
        state, arrays = _capture(model, loop, run)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                text = json.dumps({"key": self._key, **state}, default=_plain)
                named: dict[str, Any] = {"state": np.asarray(text), "seal": np.asarray(_seal(text, arrays)), **arrays}
                np.savez(file, **named)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file of a finished run, and what killed writes left of it."""
        self.path.unlink(missing_ok=True)
        for rest in self.path.parent.glob(f".{self.path.name}.*"):
            if rest.suffix[1:].isdecimal():  # a process number
                rest.unlink(missing_ok=True)


def _seal(state: str, arrays: Mapping[str, np.ndarray]) -> str:
    """A digest of all a checkpoint holds, in it: a changed one is not continued."""
    digest = hashlib.sha256(state.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.tolist()


def _capture(model: keras.Model, loop: Loop, run: RunState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    arrays = {f"variable_{i}": to_numpy(v) for i, v in enumerate(model.variables)}
    arrays |= {f"moment_{i}": value for i, value in enumerate(loop.moments())}
    snapshots = {f"front_{k}": s for k, s in enumerate(run.result.front.members)}
    if run.result.best is not None:
        snapshots["best"] = run.result.best
    if run.budget is not None:
        snapshots |= {f"budget_{k}": s for k, s in enumerate(run.budget.shortlist)}
    for name, snapshot in snapshots.items():
        arrays |= {f"{name}_{i}": np.asarray(w) for i, w in enumerate(snapshot.weights)}
    state = {
        "steps_done": loop.steps_done,
        "random": loop.random.bit_generator.state,
        "run": run.state(),
        "history": run.result.history,
        "widths": run.result.widths,
        "found": run.result.found,
        "seconds": run.elapsed(),
        "snapshots": {name: _snapshot_state(snapshot) for name, snapshot in snapshots.items()},
    }
    return state, arrays


def _snapshot_state(snapshot: Snapshot) -> dict[str, Any]:
    return {"merit": snapshot.merit, "luts": snapshot.luts, "epoch": snapshot.epoch, "count": len(snapshot.weights),
            "statistics": snapshot.statistics}  # fmt: skip


def _restore(
    arrays: Mapping[str, np.ndarray], state: Mapping[str, Any], model: keras.Model, loop: Loop, run: RunState
) -> None:
    for i, variable in enumerate(model.variables):
        variable.assign(arrays[f"variable_{i}"])
    loop.set_moments([arrays[f"moment_{i}"] for i in range(len(loop.moments()))])
    loop.steps_done = state["steps_done"]
    loop.random.bit_generator.state = state["random"]
    run.restore(state["run"])
    result = run.result
    result.history, result.widths, result.found = state["history"], state["widths"], state["found"]
    run.earlier_seconds = state["seconds"]
    snapshots: dict[str, Snapshot] = {}
    for name, item in state["snapshots"].items():
        weights: Sequence[np.ndarray] = [arrays[f"{name}_{i}"] for i in range(item["count"])]
        snapshots[name] = Snapshot(item["merit"], item["luts"], item["epoch"], weights, item["statistics"])
    result.best = snapshots.pop("best", None)
    if run.budget is not None:
        run.budget.shortlist = [snapshots.pop(name) for name in list(snapshots) if name.startswith("budget_")]
    result.front.members = list(snapshots.values())
