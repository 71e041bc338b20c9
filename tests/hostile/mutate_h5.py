"""HDF5 models, bent: their configuration, attributes and data sets."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from hostile.mutate_json import Changed, damaged, json_changed


def h5_changed(rng: random.Random, content: bytes, attribute: str = "model_config") -> Changed:
    """An HDF5 model: its configuration bent, a data set of other values, type or kind, or an attribute of them."""
    how = rng.randrange(5)
    if how == 0:
        return damaged(rng, content)
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        if how in (1, 2):
            done, text = json_changed(rng, json.loads(file.attrs[attribute]))
            _write_attribute(file, attribute, text)
        elif how == 3:
            done = _attribute_changed(rng, file)
        else:
            done = _dataset_changed(rng, file["model_weights"])
    return done, stream.getvalue()


def h5_text(content: bytes, attribute: str, text: bytes) -> bytes:
    """An HDF5 file with an attribute of its own."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        _write_attribute(file, attribute, text)
    return stream.getvalue()


def _write_attribute(file: Any, name: str, text: bytes) -> None:
    if name in file.attrs:
        del file.attrs[name]
    file.attrs.create(name, text.replace(b"\0", b"?"), dtype=h5py.string_dtype())


def _attribute_changed(rng: random.Random, file: Any) -> str:
    groups = [file]
    file.visititems(lambda _, item: groups.append(item) if len(item.attrs) else None)
    owner = rng.choice([g for g in groups if len(g.attrs)])
    name = rng.choice(sorted(owner.attrs))
    odd = [
        np.arange(3),
        np.float64("nan"),
        b"\xff\xfe",
        "x" * 300,
        np.array([b"../x", b"/"]),
        np.array([[b"a"]]),
        None,
        h5py.Empty("f4"),
        np.array([b"kernel:0"] * 3000),
        b"",
        np.bool_(True),
        np.array([], "S1"),
    ]
    value = rng.choice(odd)
    del owner.attrs[name]
    if value is not None:
        owner.attrs[name] = value
    return f"attribute {name} of {owner.name} is {str(value)[:30]!r}"


def _dataset_changed(rng: random.Random, root: Any) -> str:
    found: list[str] = []
    root.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    name = rng.choice(sorted(found))
    values, shape = root[name][()], root[name].shape
    del root[name]
    fill = rng.choice([np.nan, np.inf, 1e30, 1e-42, -0.0])
    makers: dict[str, Callable[[], Any]] = {
        "missing": lambda: None,
        "a group": lambda: root.create_group(name),
        "shorter": lambda: root.create_dataset(name, data=values.reshape(-1)[:-1]),
        f"all {fill}": lambda: root.create_dataset(name, data=np.full_like(values, fill)),
        "text": lambda: root.create_dataset(name, data=np.array([b"text"] * 3)),
        "empty": lambda: root.create_dataset(name, data=np.zeros((0, 3), np.float32)),
        "10**12 declared": lambda: root.create_dataset(name, (10**6, 10**6), "f4", chunks=(1, 1024)),
        "2**25 declared": lambda: root.create_dataset(name, (1 << 25,), "f4", chunks=(1 << 16,), compression="gzip"),
        "no space": lambda: root.create_dataset(name, data=h5py.Empty("f4")),
        "half": lambda: root.create_dataset(name, data=values.astype("f2")),
        "double": lambda: root.create_dataset(name, data=values.astype("f8")),
        "integers": lambda: root.create_dataset(name, data=np.ones(shape, "i8")),
        "complex": lambda: root.create_dataset(name, data=values.astype("c8")),
        "a soft link": lambda: root.__setitem__(name, h5py.SoftLink("/")),
        "an outside link": lambda: root.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/x")),
        "a reference": lambda: root.create_dataset(name, data=root.ref, dtype=h5py.ref_dtype),
        "outside storage": lambda: root.create_dataset(name, shape, "f4", external=[("/dev/zero", 0, 1 << 20)]),
    }
    how = rng.choice(sorted(makers))
    makers[how]()
    return f"{name}: {how}"
