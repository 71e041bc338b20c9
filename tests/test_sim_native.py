"""Verilator: one model runs the cocotb bench and the native harness, and both find the same faults."""

from dataclasses import replace

import numpy as np
import pytest
import sim_models as models

from flow.verify import simulate


@pytest.fixture(scope="module", params=["pipeline", "handshake"])
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    text = getattr(models, request.param.upper())
    # The bug shows on one input only, so vectors decide whether this hardware is right.
    bug = ("s2 <= s1;", "s2 <= (d1 == 5'sd4 && b1 == 17) ? s1 ^ 7'd32 : s1;")
    if request.param == "handshake":
        bug = ("{b, d, s}", "{b, d, d == 5'sd4 && b == 17 ? s ^ 7'd32 : s}")
    bench = models.write(folder, text, bug, interval=3 if request.param == "handshake" else 1)
    return folder, bench, simulate.build_verilator(bench, folder, folder / "build")


def clean(count):
    inputs, expected = models.vectors(count, seed=1)
    keep = ~((inputs[:, 0] == 5) & (inputs[:, 2] == 17))
    return inputs[keep], expected[keep]


def test_both_agree_with_the_golden_outputs(built):
    folder, bench, model = built
    inputs, expected = clean(1000)
    slow = simulate.run_cocotb("verilator", bench, folder, inputs, expected, folder / "cocotb", model=model)
    assert slow.agrees, slow.message
    for gap in (0, 7):
        fast = simulate.run_native(bench, inputs, expected, folder / "native", model, gap_one_in=gap)
        assert fast.agrees, fast.message
        assert fast.vectors == slow.vectors == len(inputs)
        assert slow.latency_seen == 3
        assert fast.latency_seen == (None if bench.ready and gap else 3)
        outputs = np.fromfile(folder / "native" / "outputs.bin", "<u4")
        assert len(outputs) == len(inputs)


def test_results_that_are_never_kept_waiting_need_no_out_ready(tmp_path):
    """Hardware whose out_ready is tied to 1, as a board's logic ties it."""
    tied = [("out_valid && out_ready", "out_valid"), ("state <= out_ready ? 0 : 3", "state <= 0")]
    bench = models.write(tmp_path, models.HANDSHAKE, *tied, interval=3)
    model = simulate.build_verilator(bench, tmp_path, tmp_path / "build")
    inputs, expected = clean(600)
    for stalls in (True, False):
        found = simulate.run_native(bench, inputs, expected, tmp_path / "native", model, gap_one_in=7, stalls=stalls)
        assert found.agrees != stalls


def test_both_tell_the_same_first_mismatch(built):
    folder, bench, model = built
    inputs, expected = models.vectors(3000, seed=1)
    at = np.nonzero((inputs[:, 0] == 5) & (inputs[:, 2] == 17))[0]
    slow = simulate.run_cocotb("verilator", bench, folder, inputs, expected, folder / "cocotb", model=model)
    fast = simulate.run_native(bench, inputs, expected, folder / "native", model)
    for result in (slow, fast):
        assert result.mismatches == len(at) > 0
        assert result.first_mismatch is not None
        assert (result.first_mismatch.vector, result.first_mismatch.element) == (at[0], "layer last, neuron 0")
        assert (result.first_mismatch.expected, result.first_mismatch.actual) == (22, 22 ^ 32)


def test_native_checks_the_latency(built):
    folder, bench, model = built
    inputs, expected = clean(500)
    for stated in (2, 4):
        wrong = replace(bench, latency_cycles=stated)
        result = simulate.run_native(wrong, inputs, expected, folder / "native", model, gap_one_in=0)
        assert not result.agrees
        assert f"latency 3 seen, {stated} stated" in result.problems


def test_native_sees_dropped_and_extra_results(tmp_path):
    drop = ("out_valid = v[2]", "out_valid = (v[2] && count != 31) || (count == 12 && !v[2])")
    bench = models.write(tmp_path, models.PIPELINE, drop)
    model = simulate.build_verilator(bench, tmp_path, tmp_path / "build", waveform=True)
    inputs, expected = models.vectors(400)
    result = simulate.run_native(bench, inputs, expected, tmp_path / "native", model, gap_one_in=3)
    assert not result.agrees
    assert "results for 400 vectors" in result.message or "accepted" in result.message
    result = simulate.run_cocotb("verilator", bench, tmp_path, inputs, expected, tmp_path / "cocotb", model=model)
    assert not result.agrees
    assert (tmp_path / "cocotb" / "waves.vcd").stat().st_size > 1000
