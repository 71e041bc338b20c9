"""Deeper pipelining where place and route misses the clock: the plan's delays are estimates, the route's are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flow.build.engines.engine import Made
from flow.build.engines.routing import run_route
from flow.build.engines.synthesis import synthesize
from flow.build.state import Build
from flow.core.remarks import note
from flow.files.steps import digest_of
from flow.tools import nextpnr

_ATTEMPTS = 3
_SHRINKS = (0.97, 0.9, 0.8, 0.7)  # of the period to plan for, beside what the route missed it by


def can_go_deeper(build: Build) -> bool:
    """Whether a build routes hardware whose registers our own planner places by the clock."""
    options = build.options
    assert build.hardware is not None
    routes = options.route and nextpnr.unsupported(options.part) is None
    return (
        routes
        and build.hardware.architecture == "parallel"
        and options.rtl_engine == "own"
        and (options.pipeline == "auto")
    )


def settle(build: Build, first: Made, emit: Callable[[float], Made]) -> Made:
    """What ``emit`` makes for the clock period with which place and route meets the one asked for, or comes closest.

    It is synthesized and routed when this returns. ``first`` is what it made for that one. The attempts stand in the
    build's facts.
    """
    asked = build.options.clock_period_ns
    key = digest_of("pipelining 1", first.rtl_digest, str(asked), build.options.part.name, nextpnr.locate(),
                    build.options.shell, str(build.options.bitstream))  # fmt: skip
    last = [first]
    found = build.steps.run("pipelining", key, lambda: _tried(build, last, emit))
    build.facts.pipelining = tuple(found["attempts"])
    kept = next(attempt for attempt in found["attempts"] if attempt["kept"])
    if len(found["attempts"]) > 1:
        build.say(note(_told(found["attempts"], 1000 / asked)))
    made = last[0] if last[0].rtl_digest == kept["rtl"] else emit(kept["planned_ns"])
    if build.facts.synthesis is None or made is not last[0]:
        _routed(made)
    return made


def _routed(made: Made) -> float | None:
    """Synthesize and route; the clock that was reached."""
    synthesize(made)
    run_route(made)
    synthesis = made.build.facts.synthesis
    assert synthesis is not None and synthesis.routed is not None
    return synthesis.routed.fmax_mhz


def _tried(build: Build, last: list[Made], emit: Callable[[float], Made]) -> dict[str, Any]:
    """Attempts until the clock is met or nothing deeper comes of it; ``last`` becomes what the last one emitted."""
    asked = planned = build.options.clock_period_ns
    attempts: list[dict[str, Any]] = []
    while True:
        made = last[0]
        fmax = _routed(made)
        attempts.append({
            "planned_ns": round(planned, 3), "latency_cycles": made.hardware.rtl.latency_cycles, "fmax_mhz": fmax,
            "rtl": made.rtl_digest, "kept": False,
        })  # fmt: skip
        if fmax is None or fmax * asked >= 1000 or len(attempts) == _ATTEMPTS:
            break
        missed, start = min(fmax * asked / 1000, 1.0), planned
        for shrink in _SHRINKS:
            planned = round(start * missed * shrink, 3)
            last[0] = emit(planned)
            if last[0].rtl_digest not in {attempt["rtl"] for attempt in attempts}:
                break
        else:
            break
    max(attempts, key=lambda attempt: attempt["fmax_mhz"] or float("inf"))["kept"] = True
    return {"attempts": attempts}


def _told(attempts: list[dict[str, Any]], wanted_mhz: float) -> str:
    """The attempts as a line."""
    each = [
        f"{a['latency_cycles']} cycles, planned for {a['planned_ns']:g} ns: {a['fmax_mhz']:g} MHz"
        + (" (kept)" if a["kept"] else "")
        for a in attempts
    ]
    return f"place and route missed {wanted_mhz:g} MHz, so it was tried with more registers: {'; '.join(each)}"
