"""The energy of a result, from the changes of the synthesized netlist's nets as vectors stream through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from flow.bench.description import Bench
from flow.bench.vectors import pack
from flow.build.engines.engine import Made
from flow.build.engines.synthesis import origins
from flow.build.facts import Power
from flow.build.profiles import typical
from flow.core.fixed import Ints
from flow.files.steps import digest_of
from flow.netlist.activity import NotStreamed, activity
from flow.netlist.energy import FACTOR, LEFT_OUT, SOURCE, energy
from flow.netlist.read import netlist_module

_VECTORS = 512
_MOST_CELLS = 300_000  # of a netlist that is evaluated: half a minute
_WAITS = "energy is estimated for parallel hardware only, which takes a vector in every cycle"


def estimate_power(made: Made) -> None:
    """Note the estimate in the build's facts, or why there is none."""
    build, bench = made.build, made.bench
    if bench.initiation_interval != 1 or bench.ready:
        build.skipped["power"] = _WAITS
        return
    inputs, said = typical(build, _VECTORS)
    out = build.options.out

    def work() -> dict[str, Any]:
        with netlist_module(out / "synth" / "netlist.json", bench.top) as module:
            if len(module["cells"]) > _MOST_CELLS:
                return {"reason": f"a netlist of {len(module['cells']):,} cells takes minutes to evaluate"}
            try:
                found = activity(module, _streams(bench, inputs), len(inputs), bench.latency_cycles + 1)
            except NotStreamed as exc:
                return {"reason": str(exc)}
            spent, known = energy(module, found, build.options.part.family), origins(build, module)
        layers = {}
        if known is not None:
            usage = known.usage({cell: round(1000 * fj) for cell, fj in spent.by_cell.items()})["layers"]
            layers = {
                name: round((sum(row["neurons"].values()) + row["shared"]) / 1e6, 3) for name, row in usage.items()
            }
        mhz = 1000 / build.options.clock_period_ns
        return asdict(Power(
            pj_per_result=round(spent.total_fj / 1000, 3), mw=round(spent.total_fj * mhz / 1e6, 4), clock_mhz=mhz,
            results_per_second=mhz * 1e6, changes_per_cycle=round(spent.changes, 1), nets=spent.nets,
            cycles=found.cycles, vectors=said, layers=layers, source=SOURCE, left_out=LEFT_OUT, factor=FACTOR,
        ))  # fmt: skip

    if len(inputs) <= bench.latency_cycles + 2:
        build.skipped["power"] = f"{len(inputs)} vectors do not fill a pipeline of {bench.latency_cycles} cycles"
        return
    key = digest_of("power 1", (out / "synth" / "netlist.json").read_bytes(), inputs.tobytes(), SOURCE,
                    str(build.options.clock_period_ns))  # fmt: skip
    kept: Mapping[str, Any] = build.steps.run("power", key, work, ())
    if "reason" in kept:
        build.skipped["power"] = kept["reason"]
    else:
        build.facts.power = Power(**kept)


def _streams(bench: Bench, inputs: Ints) -> dict[str, list[int]]:
    """The top's input ports over all cycles, bit by bit: one vector per cycle, always valid, never reset."""
    always = (1 << len(inputs)) - 1
    words = np.ascontiguousarray(pack(inputs, bench.inputs).astype("<u4"))
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : max(bench.in_bits, 1)]
    data = [int.from_bytes(np.packbits(column, bitorder="little").tobytes(), "little") for column in bits.T]
    return {"clk": [0], "rst": [0], "in_valid": [always], "in_data": data}
