"""A killed training run goes on to the same model; pictures and summaries of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_models import build_mlp, train
from keras_models.training import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STOPS = 2 if os.environ["KERAS_BACKEND"] == "jax" else 1
PNG = b"\x89PNG\r\n"


class Stopped(BaseException):
    """Stands for a kill that leaves no time for anything."""


BUDGETS = {
    "LUT sites": ("--lut-budget", 2000, "--count-luts", "estimate"),
    "bits": ("--mean-weight-bits", 8, "--mean-activation-bits", 8, "--settle", 0.9),
}


def options(out: Path, *more: object, budget: str = "LUT sites") -> list[str]:
    given = ["--data", "breast_cancer", "--hidden", "4", "--epochs", 12, "--seed", 5, "--quiet", *BUDGETS[budget]]
    return [str(value) for value in [*given, "--out", out, *more]]


def arrays(path: Path) -> list[np.ndarray]:
    from keras_models.methods.models import load_model

    return load_model(path).get_weights()


def same_run(one: Path, other: Path) -> None:
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.with_suffix(".history.csv").read_bytes() == other.with_suffix(".history.csv").read_bytes()


@pytest.mark.parametrize("budget", BUDGETS)
def test_stopped_at_random_epochs_ends_in_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str
) -> None:
    monkeypatch.setattr(checkpoint.Checkpoint, "__init__", _eager(checkpoint.Checkpoint.__init__))
    assert train.main(options(tmp_path / "whole.h5", budget=budget)) == 0
    stops = set(np.random.default_rng().choice(np.arange(2, 12), STOPS, replace=False).tolist())
    write = checkpoint.Checkpoint.epoch

    def stopping(self: object, model: object, engine: object, run: object) -> None:
        write(self, model, engine, run)
        if len(run.result.history) in stops:
            stops.remove(len(run.result.history))
            raise Stopped

    monkeypatch.setattr(checkpoint.Checkpoint, "epoch", stopping)
    for _ in range(STOPS):
        with pytest.raises(Stopped):
            train.main(options(tmp_path / "m.h5", "--resume", budget=budget))
        assert (tmp_path / "m.checkpoint.npz").is_file() and not (tmp_path / "m.h5").exists()
    assert train.main(options(tmp_path / "m.h5", "--resume", budget=budget)) == 0
    same_run(tmp_path / "whole.h5", tmp_path / "m.h5")
    assert not list(tmp_path.glob("*checkpoint*"))


@pytest.mark.long
def test_stopped_on_tensorflow_ends_in_the_same_model() -> None:
    test = f"{__file__}::test_stopped_at_random_epochs_ends_in_the_same_model"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and f"{len(BUDGETS)} passed" in done.stdout, done.stdout


def _eager(original: object) -> object:
    return lambda self, path: original(self, path, 0.0)


def test_kill_9_ends_in_the_same_model(tmp_path: Path) -> None:
    more = ("--resume", "--epochs", 300)
    command = [sys.executable, "-m", "keras_models.train", *options(tmp_path / "m.h5", *more)]
    process = subprocess.Popen(command)
    try:
        while not (tmp_path / "m.checkpoint.npz").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(float(np.random.default_rng().uniform(0, 1)))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert train.main(options(tmp_path / "m.h5", *more)) == 0
    assert train.main(options(tmp_path / "whole.h5", *more[1:])) == 0
    same_run(tmp_path / "whole.h5", tmp_path / "m.h5")


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, word in ((b"no archive", "not a checkpoint"), (None, "other data or settings")):
        file = tmp_path / "m.checkpoint.npz"
        if content is None:
            np.savez(file, state=np.asarray('{"key": "another"}'))
        else:
            file.write_bytes(content)
        assert train.main(options(tmp_path / "m.h5", "--resume")) == 1
        assert word in capsys.readouterr().err and not (tmp_path / "m.h5").exists()
    assert train.main([*options(tmp_path / "m.h5", "--resume", "--method", "releq")]) == 2


def test_callbacks_in_plain_fit(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from keras_models import ParetoFront, PrecisionPictures

    random = np.random.default_rng(0)
    X = random.normal(size=(256, 5)).astype(np.float32)
    model = build_mlp(5, (6,), 1, seed=1)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    front = ParetoFront()
    pictures = PrecisionPictures(tmp_path / "pictures", tmp_path / "tb")
    model.fit(X, X[:, :1], validation_data=(X, X[:, :1]), epochs=3, verbose=0, callbacks=[front, pictures])
    assert 1 <= len(front.front.members) <= 3
    for name in ("front", "widths", "neurons"):
        assert (tmp_path / "pictures" / f"{name}.png").read_bytes().startswith(PNG)
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    tags = events.Tags()
    assert len(events.Scalars("val")) == 3 and "widths/dense_0/weights" in tags["histograms"]
    assert events.Images("pictures/neurons")[0].encoded_image_string.startswith(PNG)
    assert sum(events.Histograms("widths/dense_0/weights")[0].histogram_value.bucket) == 6


def test_summaries_of_a_run_that_went_on_hold_every_epoch_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from keras_models.training.summaries import Summaries

    for epochs in (range(1, 6), range(4, 8)):  # killed after the fifth epoch, the last checkpoint was of the third
        with Summaries(tmp_path) as summaries:
            for epoch in epochs:
                summaries.epoch({"epoch": epoch, "val": epoch + len(epochs)}, {"dense": {"2": epoch}})
    events = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload()
    assert [(e.step, e.value) for e in events.Scalars("val")] == [
        (1, 6),
        (2, 7),
        (3, 8),
        (4, 8),
        (5, 9),
        (6, 10),
        (7, 11),
    ]
    assert [e.step for e in events.Histograms("widths/dense")] == list(range(1, 8))


def test_the_front_line_is_the_undominated_set() -> None:
    from keras_models.training.pictures import front_of

    points = [(3.0, 1.0), (1.0, 5.0), (2.0, 6.0), (2.0, 4.0), (4.0, 2.0)]
    assert front_of(points, False) == [(1.0, 5.0), (2.0, 4.0), (3.0, 1.0)]
    assert front_of(points, True) == [(1.0, 5.0), (2.0, 6.0)]
