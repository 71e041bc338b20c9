"""Model files of other forms: bare lists of layers, pruning wrappers, architecture and weights apart, folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from flow.build.options import Options
from flow.build.state import ModelFile
from flow.core.errors import ModelError, UsageError
from flow.extract import stored_model
from flow.extract.config import model_spec

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENTIAL, FUNCTIONAL = FIXTURES / "old_sequential.h5", FIXTURES / "old_functional.h5"


def stored_config(path: Path) -> dict:
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def changed(tmp_path: Path, source: Path, config: object) -> Path:
    path = tmp_path / "changed.h5"
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    return path


def same_weights(one: stored_model.StoredModel, other: stored_model.StoredModel) -> bool:
    return one.weights.keys() == other.weights.keys() and all(
        len(a) == len(other.weights[name]) and all(map(np.array_equal, a, other.weights[name]))
        for name, a in one.weights.items()
    )


def test_a_sequential_model_that_is_a_bare_list_of_layers(tmp_path):
    """As Keras before 2.2.3 stored it."""
    config = stored_config(SEQUENTIAL)
    layers = [entry for entry in config["config"]["layers"] if entry["class_name"] != "InputLayer"]
    old = stored_model.read(changed(tmp_path, SEQUENTIAL, {"class_name": "Sequential", "config": layers}))
    plain = stored_model.read(SEQUENTIAL)
    assert replace(model_spec(old.config), name="") == replace(model_spec(plain.config), name="")
    assert same_weights(old, plain)


def wrapped(tmp_path: Path, mask: np.ndarray) -> Path:
    """The functional fixture as pruning-aware training leaves it, layer ``hidden`` in a wrapper."""
    config = stored_config(FUNCTIONAL)
    text = json.dumps(config["config"]).replace('["hidden", 0', '["prune_low_magnitude_hidden", 0')
    config["config"] = json.loads(text)
    entry = next(e for e in config["config"]["layers"] if e["config"]["name"] == "hidden")
    inner = {"class_name": entry["class_name"], "config": entry["config"]}
    entry["class_name"], entry["name"] = "PruneLowMagnitude", "prune_low_magnitude_hidden"
    entry["config"] = {"name": "prune_low_magnitude_hidden", "layer": inner, "block_size": [1, 1]}
    path = changed(tmp_path, FUNCTIONAL, config)
    with h5py.File(path, "a") as file:
        root = file["model_weights"]
        root.move("hidden", "prune_low_magnitude_hidden")
        group = root["prune_low_magnitude_hidden"]
        extra = {"mask:0": mask, "threshold:0": np.float32(0.1), "pruning_step:0": np.int64(9)}
        for key, value in extra.items():
            group[f"prune_low_magnitude_hidden/{key}"] = value
        names = [*group.attrs["weight_names"], *(f"prune_low_magnitude_hidden/{key}" for key in extra)]
        group.attrs["weight_names"] = [name.encode() if isinstance(name, str) else name for name in names]
    return path


def test_pruning_wrappers_are_taken_off_and_their_masks_applied(tmp_path):
    plain = stored_model.read(FUNCTIONAL)
    mask = np.ones((6, 7), np.float32)
    mask[2, 3] = 0
    stored = stored_model.read(wrapped(tmp_path, mask))
    assert model_spec(stored.config) == model_spec(plain.config)
    kernel, bias = stored.weights["hidden"]
    assert np.array_equal(kernel, plain.weights["hidden"][0] * mask) and kernel[2, 3] == 0
    assert np.array_equal(bias, plain.weights["hidden"][1])
    assert plain.weights["hidden"][0][2, 3] != 0


def apart(tmp_path: Path) -> tuple[Path, Path]:
    """The functional fixture as JSON and as Keras 2 saved weights."""
    architecture, weights = tmp_path / "a.json", tmp_path / "w.h5"
    architecture.write_text(json.dumps(stored_config(FUNCTIONAL)))
    with h5py.File(FUNCTIONAL) as file, h5py.File(weights, "w") as out:
        for name in file["model_weights"]:
            file.copy(f"model_weights/{name}", out)
        out.attrs["layer_names"] = [name.encode() for name in file["model_weights"]]
    return architecture, weights


def test_architecture_and_weights_apart(tmp_path):
    architecture, weights = apart(tmp_path)
    whole = stored_model.read(FUNCTIONAL)
    for file in (weights, FUNCTIONAL):
        found = stored_model.read(architecture, file)
        assert found.config == whole.config and same_weights(found, whole)
    assert not ModelFile(architecture, None, weights).is_design
    assert ModelFile(architecture, None, weights).digest != ModelFile(architecture, None, FUNCTIONAL).digest


def test_files_that_were_changed_since_are_known(tmp_path):
    architecture, weights = apart(tmp_path)
    for model, file in ((ModelFile(architecture, None, weights), weights), (ModelFile(architecture), architecture)):
        model.require_unchanged()
        model.digest += " and how it was quantized"  # which is not of the file
        model.require_unchanged()
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(ModelError, match="is not the file any more that was built"):
            model.require_unchanged()


def test_half_a_model_is_refused_with_the_way_to_the_other_half(tmp_path):
    architecture, weights = apart(tmp_path)
    with pytest.raises(ModelError, match=r"holds weights only.*--model a.json --weights"):
        stored_model.read(weights)
    with pytest.raises(ModelError, match=r"a.json is an architecture without weights.*--weights w.h5"):
        ModelFile(architecture).given  # noqa: B018
    with pytest.raises(UsageError, match="--weights belongs to an architecture"):
        Options.of(FUNCTIONAL, weights=weights)
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    for read in (stored_model.read, ModelFile):
        with pytest.raises(ModelError, match=r"is a TensorFlow SavedModel.*model.save\('model.h5'\)"):
            read(folder)
