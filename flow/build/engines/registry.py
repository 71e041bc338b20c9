"""The engines of a build: each module of this package that ``flow.core.engines`` lists, imported when it is needed."""

from __future__ import annotations

from importlib import import_module

from flow.build.engines.engine import Engine, HardwareEngine, ModelEngine
from flow.build.options import Options
from flow.core.engines import ENGINES


def load(name: str) -> Engine:
    """The engine of a listed name."""
    engine = import_module(f"{__package__}.{name}").ENGINE
    assert isinstance(engine, Engine) and engine.name == name, name
    return engine


def engines() -> list[Engine]:
    """All engines that have a module of their own, in the order of the list."""
    return [load(listed.name) for listed in ENGINES if not listed.within]


def model_engines(options: Options) -> list[ModelEngine]:
    """Those that a build runs on its model."""
    return [engine for engine in engines() if isinstance(engine, ModelEngine) and engine.is_asked(options)]


def hardware_engines(options: Options) -> list[HardwareEngine]:
    """Those that a build runs on its hardware."""
    return [engine for engine in engines() if isinstance(engine, HardwareEngine) and engine.is_asked(options)]
