"""Reads an untrusted model file in a process of its own, which imports nothing of the project.

A damaged HDF5 file can crash or hang its library, and a hostile one can claim sizes that no machine has. So this script
limits its own memory and time, follows no links to other files, reads only what the model's layers need, checks every
declared size first, and hands back plain arrays and JSON. Nothing of the file is ever executed or unpickled.

    python model_reader.py MODEL FOLDER    writes FOLDER/model.json and FOLDER/weights.npz, or FOLDER/error.txt
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_FILE = 1 << 30
MAX_CONFIG = 1 << 24
MAX_ELEMENTS = 1 << 26
MAX_LAYERS = 1024
MAX_RATIO = 1000
MAX_MEMORY = 6 << 30
MAX_SECONDS = 15  # of computing; a damaged file can send the HDF5 library round in circles
_PREPROCESSING = "nmp_preprocessing"  # as training names it, in archives with .json behind
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"


class Refused(Exception):
    """What is wrong with the file, in words for its owner."""


def main(path: Path, folder: Path) -> None:
    """Read ``path`` and write the result into ``folder``."""
    _limit()
    try:
        config, weights, facts = read(path)
        (folder / "model.json").write_text(json.dumps({"config": config, **facts, "layers": sorted(weights)}))
        arrays = {f"{n}:{i}": a for n, arrays in weights.items() for i, a in enumerate(arrays)}
        with (folder / "weights.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **{f"a{i}": a for i, a in enumerate(arrays.values())})
        (folder / "names.json").write_text(json.dumps([key.rpartition(":")[::2] for key in arrays]))
    except Refused as exc:
        _tell(folder, str(exc))
    except MemoryError:
        _tell(folder, "needs more memory than a model should; save it again")
    except Exception as exc:  # h5py, zipfile and zlib each raise a family of their own on damaged files
        words = " ".join(str(exc).split())[:150] or type(exc).__name__
        _tell(folder, f"is damaged or truncated ({words}); save or copy the model again")


def _tell(folder: Path, reason: str) -> None:
    (folder / "error.txt").write_text(reason, encoding="utf-8", errors="backslashreplace")


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, Any]]:
    """Configuration, weights by layer name, and facts (``format``, ``keras_version``) of a model file."""
    size = path.stat().st_size
    if not size:  # asked before it is opened: files of the kernel, which can make one wait, have no size
        raise Refused("is empty; save or copy the model again")
    if size > MAX_FILE:
        raise Refused(f"has {size} bytes, more than {MAX_FILE}; hardware models are smaller")
    with path.open("rb") as stream:
        magic = stream.read(8)
    if magic == _HDF5:
        with h5py.File(path, "r") as file:
            return _read_h5(file)
    if magic.startswith(_ZIP):
        return _read_keras(path)
    raise Refused("is neither a Keras .h5 nor a .keras file; give the file that model.save() wrote")


def _read_h5(file: Any) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, Any]]:
    if "model_config" not in file.attrs:
        raise Refused("holds no model configuration, perhaps weights only; save the whole model with model.save()")
    if file.attrs.get_id("model_config").get_storage_size() > MAX_CONFIG:
        raise Refused("has a model configuration of more than 16 MiB; save the model again")
    config = _parse(file.attrs["model_config"])
    root = _child(file, "model_weights", h5py.Group)
    budget = _Budget()
    weights = {}
    for name, _ in _layers(config):
        if _has(root, name):
            group = _child(root, name, h5py.Group)
            weights[name] = [budget.array(_walk(group, n)) for n in _names(group)]
    return config, weights, {
        "format": "h5", "keras_version": _text(file.attrs.get("keras_version", ""))[:32],
        "preprocessing": _h5_preprocessing(file),
    }  # fmt: skip


def _h5_preprocessing(file: Any) -> str | None:
    if _PREPROCESSING not in file.attrs:
        return None
    if file.attrs.get_id(_PREPROCESSING).get_storage_size() > MAX_CONFIG:
        raise Refused("has preprocessing of more than 16 MiB; save the model again")
    return _text(file.attrs[_PREPROCESSING])


def _names(group: Any) -> list[str]:
    """The attribute ``weight_names``, which Keras splits into chunks when it is long."""
    parts = ["weight_names"] if "weight_names" in group.attrs else []
    parts = parts or [f"weight_names{i}" for i in range(64) if f"weight_names{i}" in group.attrs]
    return [_text(n) for part in parts for n in np.asarray(group.attrs[part]).ravel()[:4096]]


def _read_keras(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [e.filename for e in entries]
        for needed in ("config.json", "model.weights.h5"):
            if names.count(needed) != 1:
                raise Refused(f"is a zip archive without one {needed}, so no Keras model; save it with model.save()")
        config = _parse(_unpack(archive, "config.json", MAX_CONFIG))
        metadata = _parse(_unpack(archive, "metadata.json", 1 << 16)) if "metadata.json" in names else {}
        entry = f"{_PREPROCESSING}.json"
        preprocessing = _text(_unpack(archive, entry, MAX_CONFIG)) if entry in names else None
        stored = io.BytesIO(_unpack(archive, "model.weights.h5", MAX_FILE))
    with h5py.File(stored, "r") as file:
        return config, _keras_weights(file, config), {
            "format": "keras", "keras_version": str(metadata.get("keras_version", ""))[:32],
            "preprocessing": preprocessing,
        }  # fmt: skip


def _unpack(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    entry = archive.getinfo(name)
    if entry.flag_bits & 1:
        raise Refused("is encrypted; save the model without a password")
    if entry.file_size > limit or entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        raise Refused(f"unpacks {name} to {entry.file_size} bytes, too many for its size; save the model again")
    with archive.open(entry) as stream:
        data = stream.read(limit + 1)  # a header may lie about the size
    if len(data) > limit:
        raise Refused(f"unpacks {name} to more than {limit} bytes; save the model again")
    return data


def _keras_weights(file: Any, config: dict[str, Any]) -> dict[str, list[Any]]:
    """Keras 3 stores the n-th layer of a class under ``layers/<class_name>_<n>/vars``, classes in snake case."""
    for place in ("layers", "_layer_checkpoint_dependencies"):
        if _has(file, place):
            root = _child(file, place, h5py.Group)
            break
    else:
        raise Refused("holds no layers; save the whole model with model.save()")
    budget, seen = _Budget(), dict[str, int]()
    weights = {}
    for name, kind in _layers(config):
        key = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        key = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
        count = seen.get(key, 0)
        seen[key] = count + 1
        key = f"{key}_{count}" if count else key
        if _has(root, key):
            group = _child(root, key, h5py.Group)
            inner = [_child(group, "batchnorm", h5py.Group)] if _has(group, "batchnorm") else []  # of QDenseBatchnorm
            found = [array for part in (group, *inner) for array in _variables(part, budget)]
            weights.update({name: found} if found else {})
    return weights


def _variables(group: Any, budget: _Budget) -> list[Any]:
    if not _has(group, "vars"):
        return []
    variables = _child(group, "vars", h5py.Group)
    numbered = sum(key.isdecimal() for key in variables)  # counters and the like have names
    return [budget.array(_child(variables, str(i), h5py.Dataset)) for i in range(min(numbered, 4096))]


def _layers(config: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, class) of the layers; what is malformed is left to the reader of the configuration."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise Refused(
            f"does not list its layers (at most {MAX_LAYERS}); rebuild it as a Sequential or functional model"
        )
    found = []
    for layer in layers:
        own = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(own, dict) or not isinstance(own.get("name"), str):
            raise Refused("has a layer without a name; save the model again")
        found.append((own["name"], str(layer.get("class_name", "")).rpartition(">")[2]))
    return found


class _Budget:
    """Bounds what all arrays of a file may hold together."""

    def __init__(self) -> None:
        self.left = MAX_ELEMENTS

    def array(self, dataset: Any) -> Any:
        """The dataset's values, its declared size checked before anything is read."""
        if dataset.dtype.kind not in "fiu" or dataset.is_virtual or dataset.external:
            raise Refused(f"stores {dataset.name} in an unusual way; save the model again")
        self.left -= max(int(dataset.size or 0), 1)
        if self.left < 0:
            raise Refused(f"declares more than {MAX_ELEMENTS} weights; hardware models are smaller")
        return dataset[()]


def _walk(group: Any, name: str) -> Any:
    parts = name.split("/")
    for part in parts[:-1]:
        group = _child(group, part, h5py.Group)
    return _child(group, parts[-1], h5py.Dataset)


def _has(group: Any, name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and group.get(name, getlink=True) is not None


def _child(group: Any, name: str, kind: type) -> Any:
    """One step down a hard link: soft and external links could lead anywhere."""
    if not _has(group, name) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Refused(f"has no {name[:60]!r} in {group.name}; save the model again")
    child = group[name]
    if not isinstance(child, kind):
        raise Refused(f"stores {name[:60]!r} as something else than it should; save the model again")
    return child


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _parse(data: Any) -> dict[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError, TypeError):
        raise Refused("has a configuration that is not JSON; save or copy the model again") from None
    if not isinstance(config, dict):
        raise Refused("has a configuration that is no model; save the model again")
    return config


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
