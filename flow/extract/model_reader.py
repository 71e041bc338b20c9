"""Reads an untrusted model file in a process of its own, which imports nothing of the project.

A damaged HDF5 file can crash or hang its library, and a hostile one can claim sizes that no machine has. So this script
limits its own memory and time, follows no links to other files, reads only where layers keep their weights, checks
every declared size first, and hands back plain arrays and JSON. Nothing of the file is ever executed or unpickled.

    python model_reader.py MODEL FOLDER [ARCHITECTURE]

writes FOLDER/model.json, FOLDER/weights.npz and FOLDER/names.json (of each array the group it lies in and its name
there), or FOLDER/error.txt. With an ARCHITECTURE, the JSON of ``model.to_json()``, MODEL may hold weights alone.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_FILE = 1 << 30
MAX_CONFIG = 1 << 24
MAX_ELEMENTS = 1 << 26
MAX_GROUPS = 4096
MAX_DEPTH = 8  # of models inside models
MAX_RATIO = 1000
MAX_MEMORY = 6 << 30
MAX_SECONDS = 15  # of computing; a damaged file can send the HDF5 library round in circles
_PREPROCESSING = "nmp_preprocessing"  # as training names it, in archives with .json behind
_PLACES = ("layers", "_layer_checkpoint_dependencies")
_MODELS = ("Sequential", "Functional", "Model", "")
_SIGNALS = ("iq", "kq", "bq", "oq")  # quantizers of HGQ 2's layers
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"


class Refused(Exception):
    """What is wrong with the file, in words for its owner."""


Weights = dict[tuple[str, str], Any]  # arrays by group and name


def main(path: Path, folder: Path, architecture: Path | None = None) -> None:
    """Read ``path`` and write the result into ``folder``."""
    _limit()
    try:
        config, weights, facts = read(path, architecture)
        (folder / "model.json").write_text(json.dumps({"config": config, **facts}))
        with (folder / "weights.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **{f"a{i}": a for i, a in enumerate(weights.values())})
        (folder / "names.json").write_text(json.dumps(list(weights)))
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


def read(path: Path, architecture: Path | None) -> tuple[dict[str, Any], Weights, dict[str, Any]]:
    """Configuration, weights, and facts (``format``, ``keras_version``, ``preprocessing``) of a model file."""
    given = None if architecture is None else _parse(_start(architecture, MAX_CONFIG, -1))
    magic = _start(path, MAX_FILE, 8)
    if magic == _HDF5:
        with h5py.File(path, "r") as file:
            return _read_h5(file, given)
    if magic.startswith(_ZIP):
        return _read_keras(path, given)
    raise Refused("is neither a Keras .h5 nor a .keras file; give the file that model.save() wrote")


def _start(path: Path, limit: int, count: int) -> bytes:
    """The first ``count`` bytes of a file of at most ``limit``, -1 for all."""
    size = path.stat().st_size
    if not size:  # asked before it is opened: files of the kernel, which can make one wait, have no size
        raise Refused("is empty; save or copy the model again")
    if size > limit:
        raise Refused(f"has {size} bytes, more than {limit}; hardware models are smaller")
    with path.open("rb") as stream:
        return stream.read(count)


def _read_h5(file: Any, given: dict[str, Any] | None) -> tuple[dict[str, Any], Weights, dict[str, Any]]:
    if given is None and "model_config" not in file.attrs:
        raise Refused(
            "holds weights only, no architecture; save the whole model with model.save(), or give both: "
            "--model a.json --weights w.h5, where a.json holds the text of model.to_json()"
        )
    if given is None and file.attrs.get_id("model_config").get_storage_size() > MAX_CONFIG:
        raise Refused("has a model configuration of more than 16 MiB; save the model again")
    config = given or _parse(file.attrs["model_config"])
    by_class = given is not None and "model_weights" not in file and "layer_names" not in file.attrs
    if by_class:
        weights = _keras_weights(file)
    else:
        root = given is not None and "model_weights" not in file
        weights = _h5_weights(file if root else _child(file, "model_weights", h5py.Group))
    return config, weights, {
        "format": "h5", "by_class": by_class, "keras_version": _text(file.attrs.get("keras_version", ""))[:32],
        "preprocessing": _h5_preprocessing(file),
    }  # fmt: skip


def _h5_weights(root: Any) -> Weights:
    """A group per layer of the model; that of a model inside the model holds all its layers' weights."""
    budget = _Budget()
    weights: Weights = {}
    for key in _keys(root):
        budget.group()
        if not _has(root, key):  # no name of a layer
            continue
        group = _child(root, key, h5py.Group)
        weights |= {(key, name): budget.array(_walk(group, name)) for name in _names(group)}
    return weights


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


def _read_keras(path: Path, given: dict[str, Any] | None) -> tuple[dict[str, Any], Weights, dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [e.filename for e in entries]
        for needed in ("config.json", "model.weights.h5"):
            if names.count(needed) != 1:
                raise Refused(f"is a zip archive without one {needed}, so no Keras model; save it with model.save()")
        config = given or _parse(_unpack(archive, "config.json", MAX_CONFIG))
        kind = str(config.get("class_name", "")).rpartition(">")[2]
        if isinstance(config.get("config"), dict) and "layers" not in config["config"] and kind not in _MODELS:
            raise Refused(
                f"is a model of a class of its own ({kind[:64]}), whose layers only its code "
                "connects; rebuild it as a Sequential or functional model and save it again"
            )
        metadata = _parse(_unpack(archive, "metadata.json", 1 << 16)) if "metadata.json" in names else {}
        entry = f"{_PREPROCESSING}.json"
        preprocessing = _text(_unpack(archive, entry, MAX_CONFIG)) if entry in names else None
        stored = io.BytesIO(_unpack(archive, "model.weights.h5", MAX_FILE))
    with h5py.File(stored, "r") as file:
        return config, _keras_weights(file), {
            "format": "keras", "by_class": True, "keras_version": str(metadata.get("keras_version", ""))[:32],
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


def _keras_weights(file: Any) -> Weights:
    """Keras 3 and the last of Keras 2 store a layer's weights by number under ``layers/<class_name>_<n>/vars``."""
    weights: Weights = {}
    _scope(file, "", _Budget(), weights, 0)
    if not any(_has(file, place) for place in _PLACES):
        raise Refused("holds no layers; save the whole model with model.save()")
    return weights


def _scope(scope: Any, path: str, budget: _Budget, weights: Weights, depth: int) -> None:
    """The weights of the layers under ``scope``, and of those inside them: of models inside the model."""
    place = next((place for place in _PLACES if _has(scope, place)), None)
    if place is None or depth > MAX_DEPTH:
        return
    root = _child(scope, place, h5py.Group)
    for key in _keys(root):
        budget.group()
        if not _has(root, key):
            continue
        layer = _child(root, key, h5py.Group)
        _scope(layer, f"{path}{key}/", budget, weights, depth + 1)
        inner = [_child(layer, "batchnorm", h5py.Group)] if _has(layer, "batchnorm") else []  # of QDenseBatchnorm
        signals = [
            _child(layer, part, h5py.Group) for part in ("iq", "kq", "bq", "oq") if _has(layer, part)
        ]  # of HGQ 2
        inner += [_child(part, "quantizer", h5py.Group) for part in (layer, *signals) if _has(part, "quantizer")]
        found = [array for part in (layer, *inner) for array in _variables(part, budget)]
        weights.update({(path + key, str(i)): array for i, array in enumerate(found)})


def _variables(group: Any, budget: _Budget) -> list[Any]:
    if not _has(group, "vars"):
        return []
    variables = _child(group, "vars", h5py.Group)
    numbered = sum(name.isdecimal() for name in variables)  # counters and the like have names
    return [budget.array(_child(variables, str(i), h5py.Dataset)) for i in range(min(numbered, MAX_GROUPS))]


class _Budget:
    """Bounds what all arrays of a file may hold together, and how many groups are looked into."""

    def __init__(self) -> None:
        self.left, self.groups = MAX_ELEMENTS, MAX_GROUPS

    def group(self) -> None:
        """Count one more group."""
        self.groups -= 1
        if self.groups < 0:
            raise Refused(f"holds more than {MAX_GROUPS} layers; hardware models are smaller")

    def array(self, dataset: Any) -> Any:
        """The dataset's values, its declared size checked before anything is read."""
        is_brain = dataset.dtype == "V2" and str(dataset.attrs.get("dtype")) == "bfloat16"
        if (dataset.dtype.kind not in "fiu" and not is_brain) or dataset.is_virtual or dataset.external:
            raise Refused(f"stores {dataset.name} in an unusual way; save the model again")
        self.left -= max(int(dataset.size or 0), 1)
        if self.left < 0:
            raise Refused(f"declares more than {MAX_ELEMENTS} weights; hardware models are smaller")
        found = dataset[()]
        if is_brain:  # the upper half of a float32
            return (np.asarray(found).view("<u2").astype(np.uint32) << 16).view(np.float32)
        return found


def _walk(group: Any, name: str) -> Any:
    parts = name.split("/")
    for part in parts[:-1]:
        group = _child(group, part, h5py.Group)
    return _child(group, parts[-1], h5py.Dataset)


def _has(group: Any, name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and group.get(name, getlink=True) is not None


def _keys(group: Any) -> list[str]:
    """What may be followed: a layer of another name has no weights here."""
    return [key for key in group if _has(group, key)]


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
    main(*(Path(argument) for argument in sys.argv[1:4]))
