"""Layers by class name: which ones become hardware, which change nothing, and what to do about all others."""

from __future__ import annotations

from keras_models.layers.inactive import INACTIVE

# These change no value; the order of a flattened signal is that of the memory, as in NumPy.
IGNORED = INACTIVE | {"InputLayer", "Flatten", "Reshape"}
ATTENTION = ("TokenAttention", "MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention")
DENSE = ("NMPDense", "QDense", "QDenseBatchnorm")
_REPLACE = "replace it with NMPDense or QDense"
FLOAT_REMEDY = "quantize the model with --quantize, or train it with NMPDense or QDense"
_WINDOWS = "Conv1D, Conv2D and DepthwiseConv2D, plain or quantized, and pools of maxima and means"
_CODEBOOK = f"has weights from a codebook of free values, which have no integer form: {_REPLACE}"
_OWN = (
    "is of a class that Keras and QKeras lack, and the file does not hold its arithmetic: copy its weights as they "
    "predict into a QDense with kernel_quantizer {}(alpha=1)"
)
_REMEDIES = {
    "AdaptiveCodebookDense": _CODEBOOK,
    "ChannelCodebookDense": _CODEBOOK,
    "Lambda": "is a Lambda, whose code could be anything: remove it or do its work in the preprocessing",
    "TernaryDense": _OWN.format("ternary"),
    "BinaryDense": _OWN.format("binary"),
    "Normalization": "scales floats: do it in the preprocessing, before the first quantizer",
    "LayerNormalization": "divides by its data: use BatchNormalization, whose scales are constants, or none",
    "QAdaptiveActivation": "adapts to the data it sees: freeze it into a QActivation",
    "Sequential": "is a model inside the model: add its layers one by one instead",
    "Functional": "is a model inside the model: add its layers one by one instead",
    "Model": "is a model inside the model: add its layers one by one instead",
}


NEEDS_PATH = (
    ", and here one path of layers is needed; remove the branch, or train it quantized, with QDense and QActivation: "
    "then it is built as it is"
)


def refusal(name: str, kind: str) -> str:
    """The line that refuses layer ``name`` of class ``kind``."""
    return f"layer {name[:64]} {_REMEDIES.get(kind) or _general(kind[:64])}"


def _general(kind: str) -> str:
    if any(word in kind for word in ("RNN", "LSTM", "GRU")):
        return f"is recurrent ({kind}): only feed-forward models of NMPDense, QDense and activations become hardware"
    if "Conv" in kind or "Pool" in kind:
        return f"is a {kind}, which is not read: of windows {_WINDOWS} are"
    return f"is of type {kind}, which has no integer form here: use NMPDense, QDense, NMPActivation or QActivation"


def transformer(attention: str, dense: list[str]) -> str:
    """The line that refuses a model with attention as a whole."""
    reason = f"layer {attention[:64]} is attention, which with its softmax and layer norms stays in software"
    if not dense:
        return f"{reason}; the model has no NMPDense or QDense projections to build in hardware"
    return f"{reason}; build the {len(dense)} dense projections with --layer all, or one with --layer {dense[0][:64]}"


def joins(name: str, kind: str, count: int) -> str:
    """The line that refuses a layer with several inputs, in a model of any graph."""
    return (
        f"layer {name[:64]} ({kind[:64]}) takes {count} signals together, which has no exact form in rows of weights; "
        "join them with Add, Subtract, Average or Concatenate"
    )


def forks(name: str, kind: str, count: int) -> str:
    """The line that refuses a layer with several inputs where one path of layers is needed."""
    return f"layer {name[:64]} ({kind[:64]}) joins {count} branches{NEEDS_PATH}"
