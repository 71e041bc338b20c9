"""What training wrote beside a model: its record and the metrics of its epochs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from flow.core.errors import ModelError
from flow.core.untrusted import MAX_JSON, read_json, read_text, refused

_EPOCHS, _COLUMNS = 200, 64  # of a history that are kept


def training_record(model: Path) -> dict[str, Any]:
    """What training wrote beside the model (``m.train.json``), or nothing where there is no such file.

    Raises ModelError for a damaged one: it says which data the model was trained on.
    """
    path = model.with_suffix(".train.json")
    if not os.path.lexists(path):
        return {}
    with refused(ModelError, str(path), "train the model again, or delete the file"):
        record = read_json(path, finite=False)
        words = {key: record.get(key) for key in ("data", "split_key")}
        columns = record.get("target_columns")
        if not all(value is None or isinstance(value, str) for value in words.values()) or not (
            columns is None or isinstance(columns, str | list)
        ):
            raise ValueError("data, split_key or target_columns is not what training writes")
        return dict(record)


def training_history(model: Path) -> dict[str, Any] | None:
    """The metrics per epoch that training wrote beside the model (``m.history.csv``); None where there is no such file.

    ``names`` of the columns and ``rows``: at most 200 of them, the last one included. Raises ModelError for a damaged
    one.
    """
    path = model.with_suffix(".history.csv")
    if not os.path.lexists(path):
        return None
    with refused(ModelError, str(path), "train the model again, or delete the file"):
        lines = read_text(path, MAX_JSON).splitlines()
        names = lines[0].split(",")
        if names[0] != "epoch" or len(names) > _COLUMNS:
            raise ValueError("it is not what training writes")
        shown = dict.fromkeys(round(i) for i in np.linspace(1, len(lines) - 1, min(_EPOCHS, len(lines) - 1)))
        rows = [[float(word or "nan") for word in lines[i].split(",")] for i in shown]
        if not rows or any(len(row) != len(names) for row in rows):
            raise ValueError("its rows are not of one length")
    return {"names": names, "rows": [[v if np.isfinite(v) else None for v in row] for row in rows]}
