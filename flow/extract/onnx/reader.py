"""Reads an untrusted ONNX file in a process of its own, which imports nothing of the project.

    python reader.py MODEL FOLDER    writes FOLDER/graph.json and FOLDER/arrays.npz, or FOLDER/error.txt

Protocol buffers are parsed within limits of memory and time, data in other files are not followed, functions and
subgraphs are refused, every declared size is checked first. Nothing of the file is executed.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

MAX_FILE = 1 << 30
MAX_NODES = 4096
MAX_ELEMENTS = 1 << 26
MAX_TEXT = 256
MAX_LIST = 4096
MAX_MEMORY = 8 << 30
MAX_SECONDS = 60  # of computing


class Refused(Exception):
    """What is wrong with the file, in words for its owner."""


def main(path: Path, folder: Path) -> None:
    """Read ``path`` and write the result into ``folder``."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        graph, arrays = read(path)
        (folder / "graph.json").write_text(json.dumps(graph))
        with (folder / "arrays.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except Refused as exc:
        _tell(folder, str(exc))
    except MemoryError:
        _tell(folder, "needs more memory than a model should; save it again")
    except Exception as exc:  # protobuf and onnx each raise a family of their own on damaged files
        words = " ".join(str(exc).split())[:150] or type(exc).__name__
        _tell(folder, f"is no readable ONNX model ({words}); export or copy it again")


def _tell(folder: Path, reason: str) -> None:
    (folder / "error.txt").write_text(reason, encoding="utf-8", errors="backslashreplace")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The graph as plain data, and its constant tensors by the numbers that the graph gives them."""
    if not 0 < path.stat().st_size <= MAX_FILE:
        raise Refused(f"has {path.stat().st_size} bytes; 1 to {MAX_FILE} are possible")
    model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    graph = model.graph
    if not graph.node or len(graph.node) > MAX_NODES:
        raise Refused(f"has {len(graph.node)} nodes; 1 to {MAX_NODES} are possible")
    if model.functions:
        raise Refused("defines functions of its own; export it without them")
    if len(graph.sparse_initializer):
        raise Refused("holds sparse tensors; export it with dense ones")
    arrays = _Arrays()
    constants = {tensor.name: arrays.add(tensor) for tensor in graph.initializer}
    return {
        "producer": model.producer_name[:MAX_TEXT],
        "name": graph.name[:MAX_TEXT],
        "constants": constants,
        "inputs": [_value(v) for v in graph.input if v.name not in constants],
        "outputs": [_value(v) for v in graph.output],
        "opsets": {entry.domain: entry.version for entry in model.opset_import},
        "nodes": [_node(node, arrays) for node in graph.node],
    }, arrays.found


class _Arrays:
    """Bounds what all tensors of a file hold together."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.left = MAX_ELEMENTS

    def add(self, tensor: Any) -> str:
        """The name that the tensor's array gets."""
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise Refused("keeps its weights in another file; save it in one file")
        if min(tensor.dims, default=0) < 0:
            raise Refused(f"has a tensor {tensor.name[:60]!r} of shape {list(tensor.dims)[:8]}; export it again")
        self.left -= max(math.prod(tensor.dims), 1)
        if self.left < 0:
            raise Refused(f"declares more than {MAX_ELEMENTS} weights; hardware models are smaller")
        array = np.asarray(numpy_helper.to_array(tensor))
        if array.dtype.kind not in "fiub":
            raise Refused(f"has a tensor {tensor.name[:60]!r} of type {array.dtype}; use float32")
        self.found[f"a{len(self.found)}"] = array
        return f"a{len(self.found) - 1}"


def _value(value: Any) -> dict[str, Any]:
    shape = value.type.tensor_type.shape
    return {"name": value.name, "shape": [d.dim_value if d.HasField("dim_value") else None for d in shape.dim][:16]}


def _node(node: Any, arrays: _Arrays) -> dict[str, Any]:
    if max(len(node.input), len(node.output), len(node.attribute)) > MAX_LIST:
        raise Refused(f"has a node {node.op_type[:60]} with thousands of inputs; export it again")
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = {"array": arrays.add(value)}
        elif isinstance(value, bytes):
            value = value[:MAX_TEXT].decode(errors="replace")
        elif attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) and len(value) <= MAX_LIST:
            value = list(value)
        elif not isinstance(value, int | float):
            raise Refused(f"has a node {node.op_type[:60]} with an attribute {attribute.name[:60]} that cannot be read")
        attributes[attribute.name] = value
    return {
        "kind": node.op_type[:MAX_TEXT], "domain": node.domain[:MAX_TEXT], "name": node.name[:MAX_TEXT],
        "inputs": list(node.input), "outputs": list(node.output), "attributes": attributes,
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
