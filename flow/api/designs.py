"""Designs by themselves: read from files or made of models, and evaluated on real numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow.api.door import door
from flow.build.state import ModelFile, finish
from flow.core import evaluate as golden
from flow.core.design import Design
from flow.core.errors import DataError, ModelError, UsageError
from flow.core.fixed import Ints
from flow.core.nodes import Form
from flow.core.packages import missing_packages_told
from flow.core.untrusted import is_folder

_ROWS = 1 << 16  # evaluated at a time: bounds the memory, whatever the number of rows


@door
def load_design(path: str | Path, *, input_format: str | None = None) -> Design:
    """The finished integer design of a ``design.json``, of a build's folder, or of a Keras or ONNX model's file.

    ``input_format``, such as ``s16.10`` or ``ap_fixed<16,6>``, states that of a model which does not quantize its
    inputs. Raises ModelError or DesignError for a file that is none, or a model without an exact integer form.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise UsageError(f"path={path!r:.40}: give the name of a design.json, a build's folder or a model's file")
    return design_of(Path(path), input_format)


def design_of(model: Any, input_format: str | None = None, form: Form = "auto") -> Design:
    """The finished design of a file, a Keras model or a design; the others as `flow.extract.extract` takes them."""
    if isinstance(model, Design):
        return finish(model)
    if isinstance(model, str | Path):
        path = Path(model)
        file = ModelFile(path / "design.json" if is_folder(path) else path)
        if file.is_design:
            return finish(file.given)
        with missing_packages_told():
            return finish(file.extracted(input_format, form=form))
    if not looks_like_keras(model):
        raise ModelError(f"{type(model).__name__} is no model: give a Keras model, a file's name or a design")
    from flow.extract import extract

    return finish(extract(model, input_format=input_format, form=form))


def looks_like_keras(model: Any) -> bool:
    """Whether an object can be stored as a Keras model is; Keras is not imported to find out."""
    return callable(getattr(model, "save", None)) and hasattr(model, "layers")


@door
def evaluate(design: Design, X: ArrayLike) -> NDArray[Any]:
    """What the hardware of ``design`` computes for model inputs ``X`` (rows x inputs, real numbers).

    Inputs are rounded and saturated to the design's input formats as its host does. Returns the outputs (rows x
    outputs) as the real numbers that they stand for; with head ``argmax`` class indices (rows, int64). Raises DataError
    where ``X`` does not fit.
    """
    if not isinstance(design, Design):
        raise UsageError(f"design={design!r:.40}: give a design, such as flow.load_design returns")
    inputs = as_rows(X, len(design.inputs))
    parts = [
        golden.evaluate(design, golden.quantize_inputs(design, inputs[start : start + _ROWS], start))
        for start in range(0, max(len(inputs), 1), _ROWS)
    ]
    return as_real(design, np.concatenate(parts))


def as_array(name: str, value: Any) -> NDArray[Any]:
    """An argument as an array. Raises DataError for rows of different lengths."""
    try:
        return np.asarray(value)
    except Exception:  # whatever an object of another library says of itself
        raise DataError(f"{name} is no array; give rows of equally many numbers") from None


def as_rows(X: ArrayLike, width: int) -> NDArray[Any]:
    """``X`` as rows of ``width`` real numbers each; whatever shape a row has is flattened."""
    values = as_array("X", X)
    if values.dtype.kind not in "fiub" or values.ndim < 2:
        raise DataError(f"X is {values.dtype} of shape {values.shape}; give numbers, a row for every vector")
    if math.prod(values.shape[1:]) != width:
        raise DataError(f"X has rows of shape {values.shape[1:]}, the hardware takes {width} inputs")
    return values.reshape(len(values), width)


def as_real(design: Design, mantissas: Ints) -> NDArray[Any]:
    """Outputs of a design (rows x outputs) as real numbers, or as class indices (rows) where those are its output."""
    if design.head == "argmax":
        return np.asarray(mantissas[:, 0], np.int64)
    return golden.real_outputs(design, mantissas)
