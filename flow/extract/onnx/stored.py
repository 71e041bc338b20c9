"""ONNX files as plain data, read in a process of its own."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.untrusted import MAX_MODEL, MAX_OWN_JSON, opened, read_arrays, read_json, refused
from flow.extract.stored_model import read_apart

Array = NDArray[Any]
SUFFIX = ".onnx"
WINDOWED = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample")
QUANTIZING = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")
MISSING = "reading ONNX files needs the packages onnx and qonnx: pip install 'nmp-flow[onnx]'"
_READER = Path(__file__).with_name("reader.py")


@dataclass(frozen=True)
class Node:
    """An operation: its kind, own name, names of its inputs and outputs, and settings (tensors as arrays)."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, eq=False)
class StoredOnnx:
    """A graph: nodes in the order they are computed, constant tensors, and the one input and output of fixed shape.

    Each is equal to itself alone, so that what is made of it can be kept.
    """

    path: Path
    name: str
    nodes: tuple[Node, ...]
    constants: dict[str, Array]
    entry: str
    shape: tuple[int, ...]  # of the input, without the batch axis
    end: str
    opset: int = 13  # version of ONNX's own operators

    @property
    def is_quantized(self) -> bool:
        """Whether it has quantizers of QONNX."""
        return any(node.kind in QUANTIZING for node in self.nodes)

    @property
    def has_windows(self) -> bool:
        """Whether it has convolutions or pools, so that its signals are maps with channels first."""
        return any(node.kind in WINDOWED for node in self.nodes)

    @property
    def is_graph(self) -> bool:
        """Whether it has windows, or branches that are joined: its design is one of nodes."""
        if self.has_windows:
            return True
        moving = {self.entry}
        for node in self.nodes:
            signals = [name for name in node.inputs if name in moving]
            if len(signals) > 1:
                return True
            if signals:
                moving.update(node.outputs)
        return False


def read(path: Path | str) -> StoredOnnx:
    """Read an ONNX file. Raises ModelError in one line: what is wrong, where, and the remedy."""
    path = Path(path)
    if any(importlib.util.find_spec(package) is None for package in ("onnx", "qonnx")):
        raise ModelError(f"{path}: {MISSING}")
    with refused(ModelError, str(path), "give the .onnx file that was exported"), opened(path, MAX_MODEL):
        pass  # the reader's process opens it again
    with read_apart(_READER, path) as folder, refused(ModelError, str(path), "export the model again"):
        return collected(
            path, read_json(folder / "graph.json", MAX_OWN_JSON), read_arrays(folder / "arrays.npz").values
        )


def collected(path: Path, graph: dict[str, Any], arrays: dict[str, Array]) -> StoredOnnx:
    """What the reader found in a file, checked. Raises ModelError in one line."""
    for which in ("inputs", "outputs"):
        if len(graph[which]) != 1:
            names = ", ".join(v["name"][:32] for v in graph[which][:8])
            raise ModelError(f"{path} has {len(graph[which])} {which} ({names}); export it with one of each")
    entry, end = graph["inputs"][0], graph["outputs"][0]
    shape = entry["shape"][1:]
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ModelError(f"{path}: the shape {entry['shape']} of its input is not fixed; export it with a full shape")
    if int(np.prod(shape)) > 1 << 16:
        raise ModelError(f"{path}: its input has {int(np.prod(shape))} elements; hardware models have fewer")
    constants = {name: arrays[key] for name, key in graph["constants"].items()}
    nodes = []
    for number, node in enumerate(graph["nodes"]):
        settings = {
            key: arrays[value["array"]] if isinstance(value, dict) else value
            for key, value in node["attributes"].items()
        }
        name = node["name"] or f"{node['kind']}_{number}"
        nodes.append(Node(node["kind"], name, tuple(node["inputs"]), tuple(node["outputs"]), settings))
    return StoredOnnx(
        path,
        path.stem,
        tuple(nodes),
        constants,
        entry["name"],
        tuple(shape),
        end["name"],
        int(graph["opsets"].get("", 13)),
    )
