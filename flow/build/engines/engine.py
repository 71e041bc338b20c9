"""What an engine is to a build: when it runs, which tools it needs, and how it comes to its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from flow.bench.description import Bench
from flow.bench.description import to_json as bench_json
from flow.build.engines.boards import Board
from flow.build.hardware import Hardware
from flow.build.options import Options
from flow.build.state import Build
from flow.core.compare import EngineResult
from flow.core.engines import BY_NAME
from flow.emit.shell.axis import Shell
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools.cocotb import bench_digest


@dataclass(frozen=True)
class Made:
    """What a build has emitted when its engines start; ``shell`` and ``board`` where they were asked for."""

    build: Build
    hardware: Hardware
    bench: Bench
    shell: Shell | None = None
    board: Board | None = None

    @cached_property
    def rtl_digest(self) -> str:
        """Digest of the core's Verilog."""
        return plan.digest(self.hardware.rtl.files)

    @cached_property
    def vector_digest(self) -> str:
        """Digest of the vectors, their results, and how many are the referee's."""
        vectors = self.build.vectors
        return digest_of(vectors.inputs.tobytes(), vectors.expected.tobytes(), str(vectors.referee))

    @cached_property
    def key(self) -> str:
        """Digest of all that a simulation of the core depends on: Verilog, bench with its programs, and vectors."""
        return digest_of(self.rtl_digest, bench_json(self.bench), bench_digest(), self.vector_digest)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A verification route, by its name in ``flow.core.engines``.

    ``require`` finds its tools in the build's first second and raises ToolNotFound. ``wanted`` says from the options
    whether it runs, by default whether ``--engines`` has it. ``run`` returns a result for each engine of the module, or
    none where it leaves itself out; it raises FlowError for what the user can fix, never for a mismatch.
    """

    name: str
    require: Callable[[Build], object] = lambda build: None
    wanted: Callable[[Options], bool] | None = None

    def __post_init__(self) -> None:
        assert self.name in BY_NAME, f"flow.core.engines does not list {self.name}"

    def is_asked(self, options: Options) -> bool:
        """Whether a build of these options runs the engine."""
        return self.name in options.engines if self.wanted is None else self.wanted(options)


@dataclass(frozen=True, kw_only=True)
class ModelEngine(Engine):
    """An engine that runs the model itself, before any hardware is made."""

    run: Callable[[Build], Sequence[EngineResult]]


@dataclass(frozen=True, kw_only=True)
class HardwareEngine(Engine):
    """An engine that runs what the build has emitted, once the step ``after`` has made it."""

    run: Callable[[Made], Sequence[EngineResult]]
    after: Literal["rtl", "synthesis", "route"] = "rtl"
    seconds: float = 1.0  # that a small design takes, roughly: the longest start first


def resumed(build: Build, name: str, key: str, work: Callable[[], Sequence[EngineResult]]) -> list[EngineResult]:
    """The results of ``work``, or those that a step of the same ``key`` has kept."""
    kept: Mapping[str, Any] = build.steps.run(name, key, lambda: {r.engine: asdict(r) for r in work()})
    return [EngineResult.of(data) for data in kept.values()]
