"""Model files as plain JSON and arrays, read in a process of its own, without Keras and without trusting the file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ModelError, ToolFailed
from flow.core.untrusted import (
    MAX_MODEL,
    MAX_OWN_JSON,
    is_folder,
    opened,
    parse_json,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    refused,
)
from flow.extract.hgq import as_plain
from flow.extract.stored_layout import Array, modern, weights_of
from flow.tools import process

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


def read(path: Path | str, weights: Path | str | None = None) -> StoredModel:
    """Read a ``.h5`` or ``.keras`` file, or an architecture as JSON with the file of its ``weights``.

    Raises ModelError in one line: what is wrong, where, and the remedy.
    """
    path = Path(path)
    given = [path] if weights is None else [Path(weights), path]
    for file in given:
        refuse_folder(file)
        with refused(ModelError, str(file), "give the .h5 or .keras file that training wrote"), opened(file, MAX_MODEL):
            pass  # the reader's process opens it again
    shown = f"{path}{'' if weights is None else f' with {weights}'}"
    resolved = [str(file.resolve()) for file in given[1:]]
    with (
        read_apart(_READER, given[0], *resolved, shown=shown) as folder,
        refused(ModelError, str(path), "save the model again"),
    ):
        return _collect(path, folder)


@contextmanager
def read_apart(reader: Path, path: Path, *more: str, shown: str = "") -> Iterator[Path]:
    """A folder with what the script ``reader`` makes of a file in a process of its own. Raises ModelError.

    The script gets the file, the folder and ``more``; what is wrong with the file it writes into ``error.txt``.
    ``shown`` is what the user calls the file.
    """
    shown = shown or str(path)
    with tempfile.TemporaryDirectory(prefix="flow-model-") as name:
        folder = Path(name)
        command = [sys.executable, "-P", str(reader), str(path.resolve()), name, *more]
        try:
            # One thread: the reader's memory limit counts address space, which thread pools reserve.
            process.run(command, folder, folder / "log", 120, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
        except ToolFailed:
            raise ModelError(f"{shown} is damaged: reading it fails; save or copy the model again") from None
        if (folder / "error.txt").exists():
            raise ModelError(f"{shown} {read_text(folder / 'error.txt', _MAX_REASON)}")
        yield folder


def refuse_folder(path: Path) -> None:
    """Raise ModelError for a folder that TensorFlow saved, with the way to a file."""
    if is_folder(path) and any((path / name).exists() for name in ("saved_model.pb", "keras_metadata.pb")):
        raise ModelError(
            f"{path} is a TensorFlow SavedModel: graphs without the settings of their layers; load it where it was "
            "made with tf.keras.models.load_model() and save it with model.save('model.h5')"
        )


def _collect(path: Path, folder: Path) -> StoredModel:
    text = read_bytes(folder / "model.json", MAX_OWN_JSON)
    facts = parse_json(text, f"{path}: its configuration", finite=False, limit=MAX_OWN_JSON)
    names = [(str(group), str(name)) for group, name in read_json(folder / "names.json", MAX_OWN_JSON)]
    found = read_arrays(folder / "weights.npz").values
    arrays = {name: found[f"a{index}"] for index, name in enumerate(names)}
    try:
        config = modern(facts["config"])
        weights = weights_of(config, arrays, bool(facts["by_class"]))
    except ModelError as exc:
        raise ModelError(f"{path} {exc}") from None
    try:
        config, weights = as_plain(config, weights, bool(facts["by_class"]))
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from None
    return StoredModel(path, config, weights, facts["format"], facts["keras_version"], facts["preprocessing"])
