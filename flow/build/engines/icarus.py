"""Engine ``icarus``: the emitted Verilog in Icarus, under the cocotb bench."""

from __future__ import annotations

from collections.abc import Sequence

from flow.build.engines.core_bench import long_cycles, referee
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.core.compare import EngineResult
from flow.files.steps import digest_of
from flow.tools import icarus
from flow.verify import simulate


def _run(made: Made) -> Sequence[EngineResult]:
    build, rows = made.build, referee(made)
    vectors, out, waveform = build.vectors, build.options.out, build.options.waveform

    def work() -> Sequence[EngineResult]:
        result = simulate.run_cocotb(
            "icarus", made.bench, out, vectors.inputs[rows], vectors.expected[rows], out / "sim" / "icarus",
            timeout_s=simulate.TIMEOUT_S, waveform=waveform, long_cycles=long_cycles(made),
        )  # fmt: skip
        return (result,)

    return resumed(build, "icarus", digest_of("icarus 3", made.key, str(waveform)), work)


ENGINE = HardwareEngine(name="icarus", run=_run, require=lambda build: icarus.find(), seconds=6)
