"""Images of a data set in the order in which hardware takes them: pixel by pixel, with channels last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flow.build.state import ModelFile
from flow.core.remarks import Remark, note
from keras_models.data.loaders import Dataset


def turned(model: ModelFile, dataset: Dataset) -> tuple[Dataset, tuple[Remark, ...]]:
    """The data with images as the hardware takes them; those of an ONNX model may lie as that takes them.

    Only an ``X`` of images says how its images lie: where that fits both ways, and in flat rows, channels are last.
    """
    if not model.is_onnx or not model.onnx.is_graph:
        return dataset, ()
    shape, image = model.onnx.shape, dataset.declaration.image
    first, last = ((*s, 1)[:3] for s in (shape, (*shape[1:], shape[0])))
    if image != first or first == last:
        return dataset, ()
    rows = np.moveaxis(dataset.X.reshape(-1, *shape), 1, -1).reshape(len(dataset.X), -1)
    own = replace(dataset, X=np.ascontiguousarray(rows), declaration=replace(dataset.declaration, image=last))
    return own, (note(f"data {dataset.name}: its images have channels first and were turned to channels last"),)
