"""Nodes as their own runtime executes them: onnxruntime those of ONNX, qonnx its own. A graph is never run as a whole.

A node is built anew from what was read of it, so nothing of the file itself reaches a runtime.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError, reason
from flow.extract.onnx.stored import QUANTIZING, Node, StoredOnnx
from flow.extract.quiet import quiet

RUNTIME = "qonnx"  # what messages call both together
_PACKAGES = ("onnx", "onnxruntime", "qonnx")
_DOMAIN = "qonnx.custom_op.general"
_IR_VERSION = 8
_OLDEST, _NEWEST = 9, 21  # operator sets that are tried
Array = NDArray[Any]
Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Runtime:
    """Executes nodes of one graph, those that make its constants among them."""

    def __init__(self, stored: StoredOnnx) -> None:
        self.opset = min(max(stored.opset, _OLDEST), _NEWEST)
        self._constants: dict[str, Array] = dict(stored.constants)
        self._makers = {name: node for node in stored.nodes for name in node.outputs}

    def function(self, node: Node, signal: str, shape: tuple[int, ...]) -> Function:
        """What a node makes of ``signal``, a function of rows x elements of ``shape``. Raises ModelError.

        Its other inputs are constants that the walk along the graph has folded already: so they are few and finite.
        """
        run = self._runner(node)
        given = {name: self._constant(name) for name in node.inputs if name and name != signal}

        def function(values: NDArray[np.float32]) -> NDArray[np.float32]:
            rows = np.ascontiguousarray(values, np.float32).reshape(len(values), *shape)
            found = run([given.get(name, rows) for name in node.inputs if name])
            return np.asarray(found, np.float32).reshape(len(values), -1)

        return function

    def whole(self, node: Node) -> Callable[[Mapping[str, Array]], Array]:
        """What a node makes of its signals, arrays by their names. Raises ModelError."""
        run = self._runner(node)

        def function(signals: Mapping[str, Array]) -> Array:
            return run([signals[n] if n in signals else self._constant(n) for n in node.inputs if n])

        return function

    def _constant(self, name: str) -> Array:
        """A constant, computed where a node makes it of others."""
        if name not in self._constants:
            node = self._makers[name]
            if node.kind == "Constant":
                value = np.asarray(node.settings.get("value", next(iter(node.settings.values()), 0)))
            else:
                value = self._runner(node)([self._constant(other) for other in node.inputs if other])
            self._constants[name] = value
        return self._constants[name]

    def _runner(self, node: Node) -> Callable[[Sequence[Array]], Array]:
        make = _custom if node.kind in QUANTIZING else _standard
        run: Callable[[Sequence[Array]], Array] | None = None

        def runner(arrays: Sequence[Array]) -> Array:
            nonlocal run
            try:
                with quiet():
                    run = run or make(node, self.opset, arrays)
                    return run(arrays)
            except Exception as exc:  # onnxruntime and qonnx each raise a family of their own
                raise ModelError(
                    f"node {node.name[:64]} ({node.kind[:64]}) fails when {RUNTIME} executes it ({reason(exc, 120)}); "
                    "export it again"
                ) from None

        return runner


def versions() -> dict[str, str]:
    """The runtimes' versions by their names."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _names(node: Node) -> list[str]:
    return [name for name in node.inputs if name]


def _custom(node: Node, opset: int, arrays: Sequence[Array]) -> Callable[[Sequence[Array]], Array]:
    """A node of qonnx; a Trunc of five inputs is of its first version, which knows no scale of the output."""
    from onnx import helper
    from qonnx.custom_op.registry import getCustomOp

    kind = "IntQuant" if node.kind == "Quant" else node.kind
    proto = helper.make_node(kind, _names(node), [node.outputs[0]], domain=_DOMAIN, **node.settings)
    version = 1 if kind != "Trunc" or len(arrays) < 6 else 2
    operation = getCustomOp(proto, onnx_opset_version=version)

    def run(arrays: Sequence[Array]) -> Array:
        context: dict[str, Any] = dict(zip(_names(node), arrays, strict=True))
        with np.errstate(all="ignore"):
            operation.execute_node(context, None)
        return np.asarray(context[node.outputs[0]], np.float32)

    return run


def _standard(node: Node, opset: int, arrays: Sequence[Array]) -> Callable[[Sequence[Array]], Array]:
    """A session of onnxruntime for one node."""
    import onnxruntime
    from onnx import TensorProto, helper

    names = list(dict.fromkeys(_names(node)))
    shapes = dict(zip(_names(node), arrays, strict=True))
    entries = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(shapes[n].dtype), [None] * shapes[n].ndim)
        for n in names
    ]
    ending = helper.make_tensor_value_info(node.outputs[0], TensorProto.FLOAT, None)
    proto = helper.make_node(node.kind, list(node.inputs), [node.outputs[0]], **node.settings)
    graph = helper.make_graph([proto], "node", entries, [ending])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(arrays: Sequence[Array]) -> Array:
        given = dict(zip(_names(node), arrays, strict=True))
        return np.asarray(session.run(None, given)[0])

    return run
