"""Operations on tensors that a stored graph may hold beside layers, under the names of ``keras.ops``."""

from __future__ import annotations

from typing import Any

from flow.extract.stored_layout import class_of
from flow.extract.windows import CONVOLUTIONS, POOLS

_KERAS_3 = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide", "TrueDivide": "true_divide",
    "Negative": "negative", "Concatenate": "concatenate", "GetItem": "getitem", "Relu": "relu",
    "Transpose": "transpose", "ExpandDims": "expand_dims", "Squeeze": "squeeze", "Reshape": "reshape",
}  # fmt: skip
_KERAS_2 = {
    "math.add": "add", "__operators__.add": "add", "math.subtract": "subtract", "math.multiply": "multiply",
    "math.truediv": "true_divide", "math.divide": "divide", "math.negative": "negative", "concat": "concatenate",
    "__operators__.getitem": "getitem", "nn.relu": "relu", "transpose": "transpose", "expand_dims": "expand_dims",
    "squeeze": "squeeze", "reshape": "reshape",
}  # fmt: skip
# Names of arguments and settings, in the order in which `keras.ops` takes them.
_ARGUMENTS = {
    "add": ("y",), "subtract": ("y",), "multiply": ("y",), "divide": ("y",), "true_divide": ("y",), "negative": (),
    "concatenate": ("axis",), "getitem": ("slice_spec",), "relu": (), "transpose": ("axes", "perm"),
    "expand_dims": ("axis",), "squeeze": ("axis",), "reshape": ("newshape", "shape"),
}  # fmt: skip
JOINING = ("Add", "Subtract", "Average", "Multiply", "Concatenate")  # layers that read several values at once
MOVED = ("Cropping1D", "Cropping2D", "ZeroPadding1D", "ZeroPadding2D", "UpSampling1D", "UpSampling2D")
# Layers that read several values, move and scale them, or see windows of them.
_BY_CALL = frozenset((*JOINING, *MOVED, *CONVOLUTIONS, *POOLS, "Permute", "RepeatVector", "Rescaling"))


def is_by_call(entry: dict[str, Any]) -> bool:
    """Whether a stored entry is an operation, or a layer that only models of any graph know."""
    kind = class_of(entry)
    return kind in _BY_CALL or kind in ("TFOpLambda", "SlicingOpLambda") or operation_of(entry) is not None


def operation_of(entry: dict[str, Any]) -> str | None:
    """The operation that a stored entry is, by its name in ``keras.ops``; None for a layer or an unknown operation."""
    kind, module, config = str(entry.get("class_name")), str(entry.get("module")), entry.get("config")
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        return _KERAS_2.get(str(config.get("function"))) if isinstance(config, dict) else None
    # Files in HDF5 do not say modules; a layer has these settings, an operation has not.
    plain = isinstance(config, dict) and not {"trainable", "dtype"} & config.keys()
    return _KERAS_3.get(kind) if plain or module.startswith(("keras.src.ops", "keras.ops")) else None


def applied(operation: str, tensors: list[Any], named: dict[str, Any]) -> Any:
    """The operation on tensors of Keras and plain values; raises whatever Keras raises."""
    from keras import ops

    extra = [named[key] for key in _ARGUMENTS[operation] if named.get(key) is not None]
    if operation == "getitem":
        index = [*tensors[1:], *extra][0]
        return tensors[0][tuple(index) if isinstance(index, list) else index]
    if operation == "concatenate":
        return ops.concatenate(tensors[0], *(extra[:1] or tensors[1:2]))
    return getattr(ops, operation)(*tensors, *extra[:1])
