"""Model files: old and new ones load, damaged and hostile ones end in one line, nothing of a file is ever run."""

from __future__ import annotations

import copy
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from flow.core.errors import FlowError, ModelError
from flow.extract import model_reader, stored_model
from flow.extract.config import model_spec

FIXTURES = Path(__file__).parent / "fixtures"
OLD = FIXTURES / "old_functional.h5"


def stored_config(path: Path = OLD) -> dict:
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def keras_archive(config: dict, **extra: bytes) -> bytes:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
        for name, content in extra.items():
            archive.writestr(name, content)
    return data.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        stored_model.read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 500
    return message


def test_reads_an_old_file_without_keras():
    stored = stored_model.read(OLD)
    assert (stored.format, stored.keras_version) == ("h5", "2.15.0")
    assert [w.shape for w in stored.weights["hidden"]] == [(6, 7), (7,)]
    spec = model_spec(stored.config)
    assert spec.input_shape == (6,) and [la.kind for la in spec.layers][:2] == ["QActivation", "QDense"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a text file named .h5\n", "neither a Keras .h5 nor a .keras"),
        (OLD.read_bytes()[:9000], "damaged or truncated"),
        (keras_archive({})[:200], "damaged or truncated"),
        (keras_archive({"class_name": "Sequential"}), "does not list its layers"),
    ],
)
def test_damaged_files_end_in_one_line(tmp_path, content, words):
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    assert words in refused(path)


def test_missing_folder_unreadable_and_device(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.h5")
    assert "is a folder" in refused(tmp_path)
    assert "not a regular file" in refused(Path(os.devnull))
    locked = tmp_path / "locked.h5"
    locked.write_bytes(OLD.read_bytes())
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        assert "cannot be read: Permission denied" in refused(locked)
    locked.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_wrong_extension_is_no_obstacle(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(OLD.read_bytes())
    assert stored_model.read(path).format == "h5"


def test_weights_only_file(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("hidden")
    assert "model.save()" in refused(path)


def test_declared_sizes_are_bounded(tmp_path):
    path = tmp_path / "bomb.h5"
    path.write_bytes(OLD.read_bytes())
    with h5py.File(path, "a") as file:
        group = file["model_weights/hidden/hidden"]
        del group["kernel:0"]
        group.create_dataset("kernel:0", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 10), compression="gzip")
    assert path.stat().st_size < 1 << 20
    assert "declares more than" in refused(path)


def test_zip_bomb(tmp_path):
    path = tmp_path / "bomb.keras"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (1 << 24))
        archive.writestr("model.weights.h5", b"")
    path.write_bytes(data.getvalue())
    assert "too many for its size" in refused(path)


def test_links_to_other_files_are_not_followed(tmp_path):
    other, path = tmp_path / "other.h5", tmp_path / "link.h5"
    other.write_bytes(OLD.read_bytes())
    path.write_bytes(OLD.read_bytes())
    with h5py.File(path, "a") as file:
        group = file["model_weights/hidden/hidden"]
        del group["kernel:0"]
        group["kernel:0"] = h5py.ExternalLink(str(other), "/model_weights/hidden/hidden/kernel:0")
    assert "save the model again" in refused(path)


def changed(change) -> dict:
    config = stored_config()
    change(config["config"])
    return config


def layer(config: dict, name: str) -> dict:
    return next(la for la in config["layers"] if la["config"]["name"] == name)


def become(name: str, kind: str, **settings):
    def change(config):
        entry = layer(config, name)
        entry["class_name"] = kind
        entry["config"].update(settings)

    return change


def branch(config):
    layer(config, "scores")["inbound_nodes"] = [[["relu", 0, 0, {}], ["norm", 0, 0, {}]]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (become("relu", "Lambda", function="__import__('os').system('x')"), "layer relu is a Lambda"),
        (become("hidden", "LSTM"), "layer hidden is recurrent"),
        (become("hidden", "Conv3D"), "layer hidden is a Conv3D, which is not read"),
        (become("hidden", "os>system"), "layer hidden is of type system"),
        (become("hidden", "QDense", units=10**9), "layer hidden: setting units = 1000000000"),
        (become("hidden", "QDense", dtype="float16"), "layer hidden computes in 'float16'"),
        (become("hidden", "QDense", kernel_quantizer="open('x')"), "layer hidden: kernel_quantizer"),
        (become("hidden", "QDense", kernel_quantizer={"class_name": "Popen", "config": {}}), "layer hidden"),
        (become("relu", "QActivation", activation="quantized_relu(4,2)); import os"), "layer relu: activation"),
        (branch, "layer scores (QDense) joins 2 branches"),
        (lambda c: c.update(input_layers=[["features", 0, 0], ["relu", 0, 0]]), "the model has 2 inputs"),
        (lambda c: layer(c, "features")["config"].update(batch_input_shape=[None, None]), "not fixed"),
        (lambda c: layer(c, "features")["config"].update(batch_input_shape=[None, 10**9]), "more than"),
        (lambda c: layer(c, "hidden").update(inbound_nodes=[[["relu", 0, 0, {}]]]), "used more than once"),
    ],
)
def test_what_cannot_become_hardware_is_refused_by_name(change, words):
    with pytest.raises(ModelError) as caught:
        model_spec(changed(change))
    assert words in str(caught.value)


def test_a_thousand_mutated_configurations_end_in_a_model_or_one_line():
    random = np.random.default_rng(1)
    values = [None, -1, 10**12, 1.5, float("nan"), "x" * 300, [], {}, [[]], {"class_name": "Lambda"}, True]
    outcomes = [0, 0]
    for _ in range(1000):
        config = stored_config(FIXTURES / random.choice(["old_functional.h5", "old_sequential.h5"]))
        for _ in range(random.integers(1, 4)):
            mutate(config, random, values)
        try:
            model_spec(config)
            outcomes[0] += 1
        except ModelError as exc:
            outcomes[1] += 1
            assert len(str(exc)) < 500 and "\n" not in str(exc)
    assert min(outcomes) > 100, outcomes


def mutate(node, random, values) -> None:
    """Replace, drop or double one random place of nested lists and dictionaries."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = keys[random.integers(len(keys))]
        if isinstance(node[key], dict | list) and node[key] and random.random() < 0.8:
            node = node[key]
            continue
        choice = random.integers(3)
        if choice == 0:
            del node[key]
        elif choice == 1 and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        else:
            node[key] = copy.deepcopy(values[random.integers(len(values))])
        return


def test_mutated_bytes_end_in_a_model_or_one_line(tmp_path):
    random = np.random.default_rng(2)
    archive = keras_archive(stored_config())
    for number in range(24):
        data = bytearray(OLD.read_bytes() if number % 4 else archive)
        if number % 3 == 0:
            data = data[: random.integers(len(data))]
        else:
            for place in random.integers(len(data), size=2 ** random.integers(0, 9)):
                data[place] = random.integers(256)
        path = tmp_path / "mutated.h5"
        path.write_bytes(data)
        try:
            model_spec(stored_model.read(path).config)
        except FlowError as exc:
            assert "\n" not in str(exc) and len(str(exc)) < 600


def test_a_crash_of_the_reader_is_one_line(tmp_path, monkeypatch):
    script = tmp_path / "crash.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(stored_model, "_READER", script)
    assert "is damaged: reading it fails" in refused(OLD)


def test_the_reader_bounds_its_own_memory(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(model_reader.__file__).parent)!r}); import model_reader, numpy; "
        "model_reader.MAX_MEMORY = 1 << 31; model_reader._limit(); numpy.ones(1 << 30)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode and "MemoryError" in done.stderr


def test_preprocessing_is_read_with_the_same_care(tmp_path):
    from flow.extract.test_data import stored_preprocessing
    from keras_models.data import preprocess

    ours = model_reader._PREPROCESSING
    assert (ours, f"{ours}.json") == (preprocess.ATTRIBUTE, preprocess.ENTRY)
    path = tmp_path / "model.h5"
    path.write_bytes(OLD.read_bytes())
    assert stored_preprocessing(path) is None
    with h5py.File(path, "a") as file:
        file.attrs[preprocess.ATTRIBUTE] = "[1, 2"
    with pytest.raises(ModelError, match="preprocessing"):
        stored_preprocessing(path)
    bomb = tmp_path / "model.keras"
    bomb.write_bytes(keras_archive(stored_config(), **{preprocess.ENTRY: b" " * (1 << 25)}))
    assert "too many for its size" in refused(bomb)
