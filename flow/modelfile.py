"""Model files as plain JSON and arrays, read in a process of its own, without Keras and without trusting the file."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import ModelError, ToolFailed
from flow.tools import process

Array = NDArray[Any]
_READER = Path(__file__).with_name("modelread.py")


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds: its configuration as JSON and the arrays of each layer, in the order they were saved."""

    path: Path
    config: dict[str, Any]
    weights: dict[str, tuple[Array, ...]]
    format: str  # "h5" or "keras"
    keras_version: str
    preprocessing: str | None  # JSON that training attached


def read(path: Path | str) -> StoredModel:
    """Read a ``.h5`` or ``.keras`` file. Raises ModelError in one line: what is wrong, where, and the remedy."""
    path = Path(path)
    _check_readable(path)
    with tempfile.TemporaryDirectory(prefix="flow-model-") as name:
        folder = Path(name)
        command = [sys.executable, "-P", str(_READER), str(path.resolve()), name]
        try:
            # One thread: the reader's memory limit counts address space, which thread pools reserve.
            process.run(command, folder, folder / "log", 120, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
        except ToolFailed:
            raise ModelError(f"{path} is damaged: reading it fails; save or copy the model again") from None
        if (folder / "error.txt").exists():
            raise ModelError(f"{path} {(folder / 'error.txt').read_text()}")
        return _collect(path, folder)


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder; give one file, saved with model.save('model.keras')")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is not a regular file; give a .h5 or .keras file")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; give the .h5 or .keras file that training wrote") from None
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ModelError(f"{path} cannot be read: {reason}; give a .h5 or .keras file you may read") from None


def _collect(path: Path, folder: Path) -> StoredModel:
    facts = json.loads((folder / "model.json").read_text())
    weights: dict[str, list[Array]] = {name: [] for name in facts["layers"]}
    names = json.loads((folder / "names.json").read_text())
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        for index, (layer, _) in enumerate(names):
            weights[layer].append(arrays[f"a{index}"])
    frozen = {name: tuple(found) for name, found in weights.items()}
    return StoredModel(path, facts["config"], frozen, facts["format"], facts["keras_version"], facts["preprocessing"])
