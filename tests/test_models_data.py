"""Data sets, preprocessing and their errors; none of it may import Keras."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_models.data.labels import label_remarks
from keras_models.data.loaders import DataError, load_dataset
from keras_models.data.own import data_for
from keras_models.data.preprocess import Preprocessing, attach, read

ROOT = Path(__file__).resolve().parent.parent


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    good = {
        "X": random.normal(size=(60, 4)).astype(np.float32),
        "y": random.normal(size=(60, 2)).astype(np.float32),
        "split": np.repeat([0, 1, 2], 20).astype(np.int8),
    }
    return {k: v for k, v in {**good, **changes}.items() if v is not None}


def save(path: Path, **changes: np.ndarray) -> str:
    np.savez(path, **arrays(**changes))
    return str(path)


def test_numpy_only() -> None:
    code = (
        "import keras_models.data.preprocess, keras_models.data.loaders, sys; "
        "assert not {'keras', 'tensorflow', 'jax', 'qkeras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_loads_paths_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    file = save(tmp_path / "mine" / "mine.npz")
    monkeypatch.setenv("NMP_DATA", str(tmp_path))
    named, direct = load_dataset("mine"), load_dataset(file)
    np.testing.assert_array_equal(named.X, direct.X)
    assert named.task == "regression" and named.outputs == 2
    assert load_dataset(file, target_columns=(1,)).outputs == 1
    assert [len(named.part(p)[0]) for p in ("train", "val", "test")] == [20, 20, 20]


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_bundled_sets_split_the_same_each_time(name: str) -> None:
    first, second = load_dataset(name), load_dataset(name)
    np.testing.assert_array_equal(first.split, second.split)
    assert first.task == "classification" and set(first.split.tolist()) == {0, 1, 2}


NAN = np.full((60, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": None}, "no array 'y'"),
        ({"X": NAN}, "column 0"),
        ({"X": np.zeros(60)}, "rows, features"),
        ({"X": np.array([["a"] * 4] * 60)}, "array"),
        ({"split": np.zeros(60, np.int8)}, "no val"),
        ({"split": np.repeat([0, 1, 2], 10).astype(np.int8)}, "rows"),
        ({"split": np.zeros(60)}, "integer"),
        ({"y": np.full(60, np.inf)}, "infinity"),
        ({"y": np.zeros((60, 3), int)}, "one label per row"),
        ({"y": np.full(60, 1 << 63, np.uint64)}, "beyond 64 bits"),
        ({"y": np.array(["a"] * 60)}, "y must be"),
    ],
)
def test_bad_sets_are_refused_in_one_line(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(save(tmp_path / "d.npz", **changes))
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    whole = Path(save(tmp_path / "d.npz")).read_bytes()
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name, content in {
        "cut.npz": whole[:200], "text.npz": b"hello", "empty.npz": b"",
        "array.npz": (tmp_path / "single.npy").read_bytes(),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            load_dataset(str(tmp_path / name))
    pickled = np.empty(2, object)
    pickled[:] = [{}, []]
    with pytest.raises(DataError, match="pickle"):
        load_dataset(save(tmp_path / "pickle.npz", X=pickled))
    with pytest.raises(DataError, match="not found"):
        load_dataset("no_such_set")
    with pytest.raises(DataError, match="target columns"):
        load_dataset(save(tmp_path / "d.npz"), target_columns=(2,))


def test_preprocessing_of_each_kind_of_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    X = np.stack(
        [
            random.normal(5, 2, 3000),
            np.exp(random.normal(0, 4, 3000)),
            random.integers(0, 2, 3000).astype(float),
            np.full(3000, 7.0),
            random.choice([3.0, 1.0, 9.0, 4.0], 3000, p=[0.5, 0.3, 0.15, 0.05]),
        ],
        axis=1,
    ).astype(np.float32)
    monkeypatch.setattr("keras_models.data.loaders.DECLARATIONS", _declared({4: 3}))
    split = np.repeat([0, 1, 2], 1000).astype(np.int8)
    dataset = load_dataset(save(tmp_path / "d.npz", X=X, y=random.normal(9, 3, 3000), split=split))
    fitted = Preprocessing.fit(dataset)
    out = fitted.apply(dataset.part("train")[0])
    assert out.dtype == np.float32 and out.shape == (1000, fitted.outputs) == (1000, 7)
    np.testing.assert_allclose(out[:, :2].mean(axis=0), 0, atol=0.05)
    assert fitted.log == (False, True, False, False)
    np.testing.assert_array_equal(out[:, 2], X[:1000, 2])
    assert (out[:, 3] == 0).all()
    np.testing.assert_array_equal(out[:, 4:], (X[:1000, 4:] == [1, 3, 9]).astype(np.float32))
    y = fitted.apply_targets(dataset.part("train")[1])
    assert abs(float(y.mean())) < 1e-5 and abs(float(y.std()) - 1) < 1e-5
    np.testing.assert_allclose(fitted.restore_targets(y), dataset.part("train")[1], rtol=1e-5)
    again = Preprocessing.from_json(fitted.to_json())
    assert again == fitted and again.to_json() == fitted.to_json()
    np.testing.assert_array_equal(again.apply(X), fitted.apply(X))
    with pytest.raises(ValueError, match="5"):
        fitted.apply(X[:, :3])


def _declared(categorical: dict[int, int]) -> dict:
    from keras_models.data.loaders import Declaration

    return {"d": Declaration(categorical=categorical)}


def test_integer_features_stay_exact() -> None:
    dataset = load_dataset("digits")
    out = Preprocessing.fit(dataset).apply(dataset.X)
    np.testing.assert_array_equal(out * 16, dataset.X)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_attached_to_model_files(tmp_path: Path, suffix: str) -> None:
    fitted = Preprocessing.fit(load_dataset("breast_cancer"))
    path = tmp_path / f"m.{suffix}"
    if suffix == "h5":
        h5py.File(path, "w").close()
    else:
        zipfile.ZipFile(path, "w").close()
    assert read(path) is None
    attach(path, fitted)
    assert read(path) == fitted


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}', '{"version": 1, "features": 3}', "nan"])
def test_damaged_descriptions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.from_json(text)


LABELS = {  # the training part's labels, those of the other parts, the outputs they become, and what is said
    "0 to 2": ([0, 1, 2], [2, 1, 0], [2, 1, 0], ""),
    "1 to 3": ([1, 2, 3], [3, 1, 2], [2, 0, 1], "labels 1 to 3 are outputs 0 to 2"),
    "gaps": ([7, 2, 400], [400, 2, 7], [2, 0, 1], "labels 2, 7, 400 are outputs 0 to 2"),
    "signs": ([-1, 1, 1], [1, -1, 1], [1, 0, 1], "labels -1, 1 are outputs 0, 1"),
    "unseen": (
        [0, 1, 1],
        [1, 5, 0],
        [1, -1, 0],
        r"1 of 3 rows of the test part have labels .*\(5\); they count as wrong",
    ),
    "beyond 32 bits": ([1 << 32, 0, 1], [1 << 32, 1, 0], [2, 1, 0], "labels 0, 1, 4294967296 are outputs 0 to 2"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_labels_of_any_kind_become_outputs(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    seen, others, indices, words = LABELS[kind]
    y, split = np.array([*seen, *others, *others]).reshape(shape), np.repeat([0, 1, 2], 3)
    dataset = load_dataset(save(tmp_path / "d.npz", X=np.eye(9, 4), y=y, split=split))
    assert dataset.task == "classification" and dataset.outputs == len(set(seen))
    fitted = Preprocessing.from_json(Preprocessing.fit(dataset).to_json())
    assert fitted.classes == tuple(sorted(set(seen)))
    found = fitted.apply_targets(dataset.part("test")[1])
    assert found.tolist() == indices
    known = found >= 0
    np.testing.assert_array_equal(fitted.labels(found[known]), np.array(others)[known])
    said = " ".join(label_remarks(dataset))
    assert re.search(words, said) if words else not said


def test_labels_that_cannot_be_learned_are_refused(tmp_path: Path) -> None:
    one = load_dataset(save(tmp_path / "d.npz", y=np.repeat([3, 0, 1], 20)))
    with pytest.raises(DataError, match="one class only \\(label 3\\)"):
        label_remarks(one)


def test_descriptions_of_earlier_versions_name_outputs_by_number() -> None:
    fields = json.loads(Preprocessing.fit(load_dataset("digits")).to_json())
    assert fields.pop("classes") == list(range(10))
    old = Preprocessing.from_json(json.dumps(fields))
    assert old.classes == () and old.apply_targets(np.array([0, 9, -1, 1 << 40])).tolist() == [0, 9, -1, -1]
    assert old.labels(np.array([3])).tolist() == [3]


@pytest.mark.parametrize("classes", [[0, 0], [1, 0], [0.5], ["a"], [True, 2], [1 << 64], 3, "01"])
def test_damaged_labels_are_refused(classes: object) -> None:
    fields = json.loads(Preprocessing.fit(load_dataset("digits")).to_json()) | {"classes": classes}
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.from_json(json.dumps(fields))


def test_training_needs_all_parts_and_a_build_test_rows_alone(tmp_path):
    path = tmp_path / "d.npz"
    rows = {"X": np.ones((4, 2), np.float32), "y": np.arange(4) % 2}
    np.savez(path, **rows, split=np.array([0, 0, 2, 2]))
    assert len(data_for(str(path), None).dataset.part("test")[0]) == 2
    with pytest.raises(DataError, match="has no val rows"):
        load_dataset(str(path))
    np.savez(path, **rows, split=np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="has no test rows"):
        data_for(str(path), None)
