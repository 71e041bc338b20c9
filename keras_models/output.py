"""The files a training run leaves, each one whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .preprocess import Preprocessing, attach

if TYPE_CHECKING:
    import keras

    from .fit import FitResult

FRONT_POINTS = 12


def write(out: Path, model: keras.Model, preprocessing: Preprocessing, report: Any, result: FitResult) -> None:
    """Write all files of a run, each one whole or not at all."""
    if result.front.members:
        _write_front(out, model, preprocessing, result)
    table = io.StringIO()
    rows = csv.DictWriter(table, fieldnames=list(result.history[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(result.history)
    _replace_text(out.with_suffix(".history.csv"), table.getvalue())
    save_model(out, model, preprocessing)
    _replace_text(out.with_suffix(".train.json"), json.dumps(report, indent=1) + "\n")


def save_model(out: Path, model: keras.Model, preprocessing: Preprocessing) -> None:
    """Save a model with its preprocessing, replacing ``out`` in one step."""
    import logging

    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras advises against .h5 on every save; it is asked for here
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        temporary = Path(folder) / out.name
        model.save(temporary)
        attach(temporary, preprocessing)
        temporary.replace(out)


def _replace_text(path: Path, text: str) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        temporary.write_text(text)
        temporary.replace(path)


def _write_front(out: Path, model: keras.Model, preprocessing: Preprocessing, result: FitResult) -> None:
    """``m.front/``: models spread over the run's Pareto set and ``front.json`` that lists them."""
    chosen = model.get_weights()
    folder = out.with_suffix(".front")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{folder.name}.") as name:
        fresh = Path(name) / "front"
        fresh.mkdir()
        entries = []
        for snapshot in result.front.spread(FRONT_POINTS):
            model.set_weights(list(snapshot.weights))
            file = fresh / f"luts_{snapshot.luts:06.0f}{out.suffix}"
            save_model(file, model, preprocessing)
            entries.append({"file": file.name, "val": abs(snapshot.merit), "estimated_luts": snapshot.luts,
                            "epoch": snapshot.epoch, **snapshot.statistics})  # fmt: skip
        (fresh / "front.json").write_text(json.dumps(entries, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    model.set_weights(chosen)


def write_run_pictures(
    folder: Path | None, tensorboard: Path | None, model: keras.Model, result: FitResult, higher_is_better: bool
) -> None:
    """Draw a run in ``folder`` and add the pictures to the summaries in ``tensorboard``; ``model`` is the one kept."""
    if folder is None and tensorboard is None:
        return
    from .pictures import run_pictures, write_pictures
    from .widths import neuron_widths

    pictures = run_pictures(result.history, result.widths, neuron_widths(model), higher_is_better)
    if folder is not None:
        write_pictures(folder, pictures)
    if tensorboard is not None:
        from .summaries import Summaries

        with Summaries(tensorboard) as summaries:
            summaries.pictures(pictures, len(result.history))
