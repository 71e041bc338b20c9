"""Engine ``netlist``: the synthesized netlist, simulated in Icarus, or in Verilator where cycles are many."""

from __future__ import annotations

from collections.abc import Sequence

from flow.bench.description import Bench
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.build.state import Build, leave_out
from flow.core.compare import EngineResult
from flow.emit.rtl.cells import cell_models
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools import icarus, yosys
from flow.verify import simulate

_NETLIST_WORK = 80_000_000  # cells times cycles of a netlist that Icarus simulates in a minute or two
_ICARUS_LIMIT = 300_000_000  # and beyond which Verilator does it, minutes of compilation first
_LONG_SHARE = 400  # of that work, in each phase with long pauses: the Verilog has been through them
_COMPILED_WORK = 12_000_000_000  # what Verilator simulates in a minute or two
_NETLIST_LIMIT = 200_000_000_000  # and beyond which the engine is left out
_DSP_CELLS = 1000  # cells that take as long to simulate as a DSP block's model


def _run(made: Made) -> Sequence[EngineResult]:
    """Simulate as many vectors as take a minute or two."""
    build, bench = made.build, made.bench
    vectors, out = build.vectors, build.options.out
    count, compiled = _netlist_vectors(build, bench)
    if not count:
        return ()
    work_limit = _COMPILED_WORK if compiled else _NETLIST_WORK
    long_cycles = min(simulate.LONG_CYCLES, work_limit // _cells(build) // _LONG_SHARE)

    def work() -> Sequence[EngineResult]:
        cells = out / "sim" / "cells.v"
        plan.write_file(cells, cell_models(yosys.cell_library().read_text()))
        sources = [out / "synth" / "netlist.v", cells]
        place = out / "sim" / "netlist_model"
        model = simulate.build_verilator(bench, out, place, sources=sources) if compiled else None
        result = simulate.run_cocotb(
            "netlist", bench, out, vectors.inputs[:count], vectors.expected[:count], out / "sim" / "netlist",
            sources=sources, model=model, timeout_s=simulate.TIMEOUT_S, long_cycles=long_cycles,
        )  # fmt: skip
        return (result,)

    return resumed(build, "netlist", digest_of("netlist 5", made.key, (out / "synth" / "netlist.v").read_bytes()), work)


def _netlist_vectors(build: Build, bench: Bench) -> tuple[int, bool]:
    """How many vectors the netlist engine simulates, and whether in Verilator, which pays where cycles are many.

    0 where even a few would take hours, which the report says.
    """
    cells = _cells(build)
    referee = build.vectors.referee
    if bench.initiation_interval == 1:
        return min(referee, max(60, 600_000 // cells)), False
    bench_alone = 20 * bench.latency_cycles + 26 * bench.initiation_interval  # the bench's cycles without vectors
    fewest = bench_alone + 16 * bench.initiation_interval
    if cells * fewest > _NETLIST_LIMIT:
        leave_out(build, "netlist", f"{_named(build)} for {fewest} cycles and more would take hours to simulate")
        return 0, False
    compiled = cells * fewest > _ICARUS_LIMIT
    cycles = (_COMPILED_WORK if compiled else _NETLIST_WORK) // cells
    return min(referee, max(4, (cycles - bench_alone) // (4 * bench.initiation_interval))), compiled


def _named(build: Build) -> str:
    cells, blocks = _contents(build)
    return f"{cells} cells" + (f" and {blocks} DSP blocks" if blocks else "")


def _cells(build: Build) -> int:
    """What a netlist's simulation costs, in cells; the model of a DSP block is as dear as many."""
    cells, blocks = _contents(build)
    return max(cells + _DSP_CELLS * blocks, 1)


def _contents(build: Build) -> tuple[int, int]:
    """A netlist's LUT cells and registers, and its DSP blocks."""
    assert build.facts.synthesis is not None
    resources = build.facts.synthesis.resources
    return resources.lut_cells + resources.ff, resources.dsp


ENGINE = HardwareEngine(name="netlist", run=_run, require=lambda build: icarus.find(), after="synthesis")
