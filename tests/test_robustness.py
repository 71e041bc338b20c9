"""Random designs of all widths through every engine, many at a time; the full campaign is benchmarks/robustness.py."""

from dataclasses import replace

import batch
import numpy as np
import pytest

from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.verify import simulate


@pytest.mark.parametrize(
    ("architecture", "seeds"),
    [pytest.param("parallel", range(2000, 2001), marks=pytest.mark.long), ("folded", range(2000, 2001))],
)
def test_every_engine_agrees_on_every_design(architecture, seeds, tmp_path):
    cases = [batch.make_case(seed, architecture, 40) for seed in seeds]
    assert batch.judge(cases, tmp_path, netlist_vectors=16, long_cycles=2000) == dict.fromkeys(
        ("integer", "hls", "icarus", "verilator", "netlist"), ""
    )


@pytest.mark.parametrize("architecture", ["parallel", "folded"])
def test_a_wrong_number_is_told_with_its_design(architecture, tmp_path):
    cases = [batch.make_case(seed, architecture, 24) for seed in range(2000, 2003)]
    victim = next(c for c in cases[1:] if (c.expected != c.expected[0]).any())
    made = batch.make_batch([(c.design, c.hardware.rtl) for c in cases])
    plan.mirror(dict(made.files), tmp_path / "rtl")
    inputs = batch.side_by_side([c.inputs for c in cases])
    expected = batch.side_by_side([np.roll(c.expected, 1, axis=0) if c is victim else c.expected for c in cases])
    result = simulate.run_cocotb("icarus", made.bench, tmp_path, inputs, expected, tmp_path / "sim", long_cycles=2000)
    assert not result.agrees
    assert f"design {victim.design.name}, " in result.message


def test_designs_out_of_step_are_told(tmp_path):
    cases = [batch.make_case(seed, "parallel", 24) for seed in range(2000, 2003)]
    rtls = [(c.design, c.hardware.rtl) for c in cases]
    rtls[1] = (rtls[1][0], replace(rtls[1][1], latency_cycles=rtls[1][1].latency_cycles + 1))
    made = batch.make_batch(rtls)
    plan.mirror(dict(made.files), tmp_path / "rtl")
    inputs, expected = (batch.side_by_side([getattr(c, side) for c in cases]) for side in ("inputs", "expected"))
    result = simulate.run_cocotb("icarus", made.bench, tmp_path, inputs, expected, tmp_path / "sim", long_cycles=2000)
    assert not result.agrees


def test_an_input_of_one_value_may_be_anything_between_vectors(tmp_path):
    """Found by random designs: such an input was read undelayed, whatever lay on the port."""
    case = batch.make_case(455, "parallel", 64)
    bench = describe(case.design, case.hardware.rtl)
    plan.mirror(dict(case.hardware.rtl.files), tmp_path / "rtl")
    result = simulate.run_cocotb(
        "icarus", bench, tmp_path, case.inputs, case.expected, tmp_path / "sim", long_cycles=2000
    )
    assert result.agrees, result.message
