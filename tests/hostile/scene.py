"""A scene, and the commands that read files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hostile.bases import QUICK


@dataclass(frozen=True)
class Scene:
    """What was done, the command (or the function) that reads it, and what must not be there after a refusal."""

    done: str
    command: str  # a module, or "module:function" of a reader without a command of its own
    arguments: list[str]
    fresh: tuple[Path, ...] = ()


def build_scene(place: Path, model: Path, *more: str) -> Scene:
    return Scene(
        "", "flow.build", ["--model", str(model), "--out", str(place / "out"), *QUICK, *more], (place / "out",)
    )


def config_scene(place: Path, model: Path) -> Scene:
    arguments = ["--model", str(model), "--out", str(place / "hls.yml")]
    return Scene("", "flow.hls_config", arguments, (place / "hls.yml",))


def stock_scene(place: Path, model: Path) -> Scene:
    arguments = ["--model", str(model), "--out", str(place / "stock"), "--backend", "Vitis"]
    return Scene("", "flow.hls_stock", arguments, (place / "stock",))


def train_scene(place: Path, data: Path, *more: str) -> Scene:
    arguments = ["--data", str(data), "--hidden", "2", "--epochs", "1", "--quiet", *more]
    return Scene("", "keras_models.train", [*arguments, "--out", str(place / "t.h5")], (place / "t.h5",))


def sweep_scene(place: Path, *more: str) -> Scene:
    """Nothing listens at the port: a sweep that reads everything ends there."""
    words = ["--out", str(place / "sweeps"), "--name", "s", "--scheduler", "tcp://127.0.0.1:9", *more]
    return Scene("", "flow.sweep", words)


def after(done: str, scene: Scene) -> Scene:
    """The scene with what was done."""
    return replace(scene, done=done)
