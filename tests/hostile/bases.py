"""The good files that scenes bend, each made once per run, below one folder."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures"


class Bases:
    """Good files of every kind; what needs Keras or a build is made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def text(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    @cached_property
    def design(self) -> Path:
        """Three inputs, two layers."""
        from strategies import random_design

        from flow.build.state import finish
        from flow.core.design import to_json

        return self.text("good.json", to_json(finish(random_design(5, max_layers=2, max_size=3))))

    def arrays(self, inputs: int = 3, classes: int = 2) -> dict[str, Any]:
        rng = np.random.default_rng(inputs)
        X = rng.normal(size=(40, inputs)).astype(np.float32)
        return {"X": X, "y": rng.integers(0, classes, 40), "split": np.repeat([0, 1, 2], [20, 10, 10])}

    def data(self, inputs: int = 3) -> Path:
        path = self.folder / f"good{inputs}.npz"
        if not path.exists():
            np.savez(path, **self.arrays(inputs))
        return path

    @cached_property
    def qkeras(self) -> bytes:
        """An ``.h5`` of the old line with six inputs."""
        return (FIXTURES / "old_functional.h5").read_bytes()

    @cached_property
    def sequential(self) -> bytes:
        """The same line's other form."""
        return (FIXTURES / "old_sequential.h5").read_bytes()

    @cached_property
    def archive(self) -> bytes:
        """A ``.keras`` of our layers with three inputs, with its preprocessing."""
        import keras

        import keras_models
        from keras_models.data.preprocess import attach

        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras_models.NMPInputQuantizer(),
                keras_models.NMPDense(4, activation="relu"),
                keras_models.NMPDense(2),
            ]
        )
        path = self.folder / "m.keras"
        model.save(path)
        attach(path, self.preprocessing())
        return path.read_bytes()

    def preprocessing(self, inputs: int = 3) -> Any:
        from keras_models.data.loaders import load_dataset
        from keras_models.data.preprocess import Preprocessing

        return Preprocessing.fit(load_dataset(str(self.data(inputs))))

    @cached_property
    def checkpoint(self) -> bytes:
        """What ``--resume`` leaves of a training that was killed after its second epoch."""
        from keras_models import train
        from keras_models.training import checkpoint

        write = checkpoint.Checkpoint.epoch

        def stopping(self: Any, model: Any, engine: Any, run: Any) -> None:
            self.seconds = 0.0
            write(self, model, engine, run)
            raise KeyboardInterrupt

        checkpoint.Checkpoint.epoch = stopping  # type: ignore[method-assign]
        try:
            train.main(self.training(self.folder / "m.h5"))
        finally:
            checkpoint.Checkpoint.epoch = write  # type: ignore[method-assign]
        return (self.folder / "m.checkpoint.npz").read_bytes()

    def training(self, out: Path) -> list[str]:
        words = f"--data {self.data()} --hidden 2 --epochs 3 --resume --quiet --out {out}"
        return words.split()

    @cached_property
    def yaml(self) -> str:
        from flow.core.design import from_json
        from flow.hls.library import design_config

        path = self.folder / "hls.yml"
        design_config(from_json(self.design.read_text()), path)
        return path.read_text()

    @cached_property
    def build(self) -> Path:
        """The output folder of a finished build of the design."""
        from hostile.worker import run_command

        out = self.folder / "built"
        run_command("flow.build", ["--model", str(self.design), "--out", str(out), *QUICK])
        return out

    @cached_property
    def sweep(self) -> Path:
        """A sweep's folder with two finished trials."""
        from test_sweep_parts import result, settle

        from flow.sweep.study import Study

        folder = self.folder / "sweeps" / "s"
        folder.mkdir(parents=True)
        settings = settle(data=str(self.data()), hidden="2,4", epochs=1)
        (folder / "sweep.json").write_text(settings.to_json())
        study = Study(folder, settings)
        for lut in (100.0, 200.0):
            drawn = study.ask()
            assert drawn
            study.finish(drawn[0], result(0.5 + lut / 1000, lut))
        return folder

    @cached_property
    def report(self) -> dict[str, Any]:
        from html_samples import report

        found: dict[str, Any] = json.loads(json.dumps(report()))
        return found

    @cached_property
    def report_file(self) -> Path:
        return self.text("report.json", json.dumps(self.report))

    def copy_of(self, folder: Path, place: Path) -> Path:
        shutil.copytree(folder, place, symlinks=True)
        return place


QUICK = ("--engines", "integer", "--vectors", "20", "--vendor-steps", "none")
