"""Model files as plain JSON and arrays, read in a process of its own, without Keras and without trusting the file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from flow.core.errors import ModelError, ToolFailed
from flow.core.untrusted import (
    MAX_MODEL,
    MAX_OWN_JSON,
    opened,
    parse_json,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    refused,
)
from flow.tools import process

Array = NDArray[Any]
_READER = Path(__file__).with_name("model_reader.py")
_MAX_REASON = 1 << 16


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
    with refused(ModelError, str(path), "give the .h5 or .keras file that training wrote"), opened(path, MAX_MODEL):
        pass  # the reader's process opens it again
    with read_apart(_READER, path) as folder, refused(ModelError, str(path), "save the model again"):
        return _collect(path, folder)


@contextmanager
def read_apart(reader: Path, path: Path, *more: str) -> Iterator[Path]:
    """A folder with what the script ``reader`` makes of a file in a process of its own. Raises ModelError.

    The script gets the file, the folder and ``more``; what is wrong with the file it writes into ``error.txt``.
    """
    with tempfile.TemporaryDirectory(prefix="flow-model-") as name:
        folder = Path(name)
        command = [sys.executable, "-P", str(reader), str(path.resolve()), name, *more]
        try:
            # One thread: the reader's memory limit counts address space, which thread pools reserve.
            process.run(command, folder, folder / "log", 120, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
        except ToolFailed:
            raise ModelError(f"{path} is damaged: reading it fails; save or copy the model again") from None
        if (folder / "error.txt").exists():
            raise ModelError(f"{path} {read_text(folder / 'error.txt', _MAX_REASON)}")
        yield folder


def _collect(path: Path, folder: Path) -> StoredModel:
    text = read_bytes(folder / "model.json", MAX_OWN_JSON)
    facts = parse_json(text, f"{path}: its configuration", finite=False, limit=MAX_OWN_JSON)
    weights: dict[str, list[Array]] = {name: [] for name in facts["layers"]}
    arrays = read_arrays(folder / "weights.npz").values
    for index, (layer, _) in enumerate(read_json(folder / "names.json", MAX_OWN_JSON)):
        weights[layer].append(arrays[f"a{index}"])
    frozen = {name: tuple(found) for name, found in weights.items()}
    return StoredModel(path, facts["config"], frozen, facts["format"], facts["keras_version"], facts["preprocessing"])
