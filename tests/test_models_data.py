"""Data sets, preprocessing and their errors; none of it may import Keras."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_models.data import DataError, load_dataset
from keras_models.preprocess import Preprocessing, attach, read

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
        "import keras_models.preprocess, keras_models.data, sys; "
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
        ({"y": np.full(60, -1)}, "start at 0"),
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
    monkeypatch.setattr("keras_models.data.DECLARATIONS", _declared({4: 3}))
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
    from keras_models.data import Declaration

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
