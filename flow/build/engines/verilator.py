"""Engines ``verilator`` and ``native`` on one model: the cocotb bench as referee, then bulk vectors and long pauses."""

from __future__ import annotations

from collections.abc import Sequence

from flow.build.engines.core_bench import long_cycles, referee
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.core.compare import EngineResult
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools import verilator
from flow.verify import simulate
from flow.verify.native import run_native


def _run(made: Made) -> Sequence[EngineResult]:
    build, rows, bench = made.build, referee(made), made.bench
    vectors, out = build.vectors, build.options.out
    folder = out / "sim" / "verilator"

    def work() -> Sequence[EngineResult]:
        plan.fresh_folder(folder)
        model = simulate.build_verilator(bench, out, folder / "model")
        bench_run = simulate.run_cocotb(
            "verilator", bench, out, vectors.inputs[rows], vectors.expected[rows], folder / "bench",
            model=model, timeout_s=simulate.TIMEOUT_S, long_cycles=long_cycles(made),
        )  # fmt: skip
        native = run_native(build.design, bench, vectors.inputs, build.options.seed, folder / "native", model)
        return bench_run, native

    return resumed(build, "verilator", digest_of("verilator 3", made.key), work)


ENGINE = HardwareEngine(name="verilator", run=_run, require=lambda build: verilator.find(), seconds=20)
