"""Engine ``integer``: the hardware's arithmetic, run as integers, against the golden model."""

from __future__ import annotations

import time
from collections.abc import Sequence

from flow.build.engines.engine import HardwareEngine, Made
from flow.core.compare import EngineResult, compared


def _run(made: Made) -> Sequence[EngineResult]:
    build, start = made.build, time.monotonic()
    with build.steps.timed("integer"):
        values = made.hardware.evaluate(build.vectors.inputs)
        seconds = time.monotonic() - start
        return (compared("integer", build.design, build.vectors.expected, values, seconds),)


ENGINE = HardwareEngine(name="integer", run=_run)
