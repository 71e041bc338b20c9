"""The files a training run leaves, each one whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_models.data.preprocess import Preprocessing, attach
from keras_models.untrusted import Unusable, read_json, read_text

if TYPE_CHECKING:
    import keras

    from keras_models.training.fit import FitResult

FRONT_POINTS = 12
_MAX_HISTORY = 1 << 30  # bytes
PICTURES = ("front.png", "widths.png", "neurons.png")


class InTheWay(ValueError):
    """Something that no training wrote lies where one would write; the message is one line."""


def check_place(out: Path, front: bool, pictures: bool) -> None:
    """Raise `InTheWay` where the files beside the model ``out`` would replace something that no training wrote."""
    record, history = out.with_suffix(".train.json"), out.with_suffix(".history.csv")
    if _there(record) and not _is_record(record):
        raise InTheWay(_refusal(out, record))
    if _there(history) and not _first_line(history).startswith("epoch,"):
        raise InTheWay(_refusal(out, history))
    folder = out.with_suffix(".front")
    if front and _there(folder):
        strangers = set(_names(folder)) - {"front.json", *_listed(folder)} if folder.is_dir() else {""}
        if strangers or folder.is_symlink():
            raise InTheWay(_refusal(out, folder / min(strangers, default="")))
    folder = out.with_suffix(".pictures")
    if pictures and _there(folder):
        strangers = set(_names(folder)) & set(PICTURES) if folder.is_dir() and not record.is_file() else set()
        if strangers or folder.is_symlink() or not folder.is_dir():
            raise InTheWay(_refusal(out, folder / min(strangers, default="")))


def _refusal(out: Path, path: Path) -> str:
    return f"{path} was not written by a training; move it away or choose another name than {out} with --out"


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _is_record(path: Path) -> bool:
    try:
        found = read_json(path)
    except Unusable:
        return False
    return isinstance(found, dict) and {"metric", "method", "epochs"} <= found.keys()


def _first_line(path: Path) -> str:
    try:
        return read_text(path, _MAX_HISTORY).partition("\n")[0]
    except Unusable:
        return ""


def _listed(folder: Path) -> list[str]:
    """The models that ``front.json`` in ``folder`` lists."""
    try:
        return [str(entry["file"]) for entry in read_json(folder / "front.json")]
    except (ValueError, LookupError, TypeError):
        return []


def write(out: Path, model: keras.Model, preprocessing: Preprocessing, report: Any, result: FitResult | None) -> None:
    """Write all files of a run, each one whole or not at all; ``result`` is None where nothing was trained."""
    if result is not None:
        if result.front.members:
            _write_front(out, model, preprocessing, result)
        write_history(out, result.history)
    save_model(out, model, preprocessing)
    _replace_text(out.with_suffix(".train.json"), json.dumps(report, indent=1) + "\n")


def write_history(out: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write ``m.history.csv`` beside the model ``out``: the metrics of every epoch."""
    table = io.StringIO()
    rows = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(history)
    _replace_text(out.with_suffix(".history.csv"), table.getvalue())


def save_model(out: Path, model: keras.Model, preprocessing: Preprocessing | None) -> None:
    """Save a model with its preprocessing, if any, replacing ``out`` in one step."""
    import logging

    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras advises against .h5 on every save; it is asked for here
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        temporary = Path(folder) / out.name
        model.save(temporary)
        if preprocessing is not None:
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
        _replace_front(folder, fresh)
    model.set_weights(chosen)


def _replace_front(folder: Path, fresh: Path) -> None:
    """Put ``fresh`` in the place of an earlier front; what else lies there stays."""
    earlier = {"front.json", *_listed(folder)} if folder.is_dir() else set()
    for name in earlier & set(_names(folder) if earlier else ()):
        (folder / name).unlink()
    folder.mkdir(exist_ok=True)
    for path in sorted(fresh.iterdir(), key=lambda p: p.suffix == ".json"):
        path.replace(folder / path.name)


def write_run_pictures(
    folder: Path | None, tensorboard: Path | None, model: keras.Model, result: FitResult, higher_is_better: bool
) -> None:
    """Draw a run in ``folder`` and add the pictures to the summaries in ``tensorboard``; ``model`` is the one kept."""
    if folder is None and tensorboard is None:
        return
    from keras_models.layers.widths import neuron_widths
    from keras_models.training.pictures import run_pictures, write_pictures

    pictures = run_pictures(result.history, result.widths, neuron_widths(model), higher_is_better)
    if folder is not None:
        write_pictures(folder, pictures)
    if tensorboard is not None:
        from keras_models.training.summaries import Summaries

        with Summaries(tensorboard) as summaries:
            summaries.pictures(pictures, len(result.history))
