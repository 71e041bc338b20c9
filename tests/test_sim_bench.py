"""The cocotb bench under Icarus: it passes what is right and names what is wrong."""

import json

import pytest
import sim_models as models

from flow.bench.description import from_json, to_json
from flow.core.errors import DataError, DesignError, ToolFailed, ToolNotFound
from flow.verify import simulate

COUNT = 150


def run(folder, bench, engine="icarus", **options):
    inputs, expected = models.vectors(COUNT)
    return simulate.run_cocotb(engine, bench, folder, inputs, expected, folder / "work", **options)


def test_right_hardware_agrees(tmp_path):
    result = run(tmp_path, models.write(tmp_path, models.PIPELINE), waveform=True)
    assert result.agrees, result.message
    assert (result.vectors, result.latency_seen, result.interval_seen) == (COUNT, 3, 1)
    assert (tmp_path / "work" / "waves.fst").stat().st_size > 1000
    assert json.loads((tmp_path / "work" / "result.json").read_text())["mismatches"] == 0


def test_right_handshake_agrees(tmp_path):
    result = run(tmp_path, models.write(tmp_path, models.HANDSHAKE, interval=3), seed=5)
    assert result.agrees, result.message
    assert (result.vectors, result.latency_seen, result.interval_seen) == (COUNT, 3, 3)


DATA_BUGS = {
    "wrong bit for one input": ("s2 <= s1;", "s2 <= (d1 == -5'sd4) ? s1 ^ 7'd4 : s1;", "neuron 0"),
    "swapped neurons": ("{b2, d2, s2}", "{d2, b2, s2}", "neuron 1"),
    "one unknown bit": ("{b2, d2, s2}", "{b2, d2[4:1], b2 == 9 ? 1'bx : d2[0], s2}", "neuron 1"),
    "floating neuron": ("{b2, d2, s2}", "{5'bz, d2, s2}", "neuron 3"),
    "data taken a cycle late": ("{b2, d2, s2}", "{b1, d2, s2}", "neuron 3"),
    "wrong last element": ("b2 <= b1;", "b2 <= b1 == 31 ? 5'd0 : b1;", "neuron 3"),
}


@pytest.mark.parametrize("bug", DATA_BUGS)
def test_wrong_number_is_told_with_vector_and_neuron(tmp_path, bug):
    old, new, neuron = DATA_BUGS[bug]
    result = run(tmp_path, models.write(tmp_path, models.PIPELINE, (old, new)))
    assert not result.agrees
    first = result.first_mismatch
    assert first is not None and first.element == f"layer last, {neuron}"
    _, expected = models.vectors(COUNT)
    element = [e.name for e in models.OUTPUTS].index(first.element)
    assert first.expected == expected[first.vector, element] != first.actual
    assert str(first) in result.message


PROTOCOL_BUGS = {
    "one cycle too early": ("out_valid = v[2];\n  assign out_data = {b2, d2, s2}", "out_valid = v[1];\n  assign out_data = {b1, d1, s1}", "latency 2 seen, 3 stated"),  # noqa: E501
    "one cycle too late": (
        "assign out_valid = v[2];\n  assign out_data = {b2, d2, s2}",
        "reg w; reg [16:0] q; always @(posedge clk) begin w <= v[2] & ~rst; q <= {b2, d2, s2}; end\n"
        "  assign out_valid = w; assign out_data = q",
        "latency 4 seen, 3 stated",
    ),
    "valid without its data": ("out_valid = v[2]", "out_valid = v[1]", "latency 2 seen, 3 stated"),
    "no result at all": ("out_valid = v[2]", "out_valid = 1'b0", "no result within"),
    "every 32nd result dropped": ("out_valid = v[2]", "out_valid = v[2] && count != 31", "out_valid: expected 1"),
    "extra results": ("out_valid = v[2]", "out_valid = v[2] || count[1:0] == 3", "no result is due"),
    "reset does not flush": ("rst ? 3'd0 : {v[1:0], in_valid}", "{v[1:0], in_valid & ~rst}", "should have flushed"),
    "valid never reset": ("rst ? 3'd0 : {v[1:0], in_valid}", "{v[1:0], in_valid}", "during reset"),
    "unknown valid": ("out_valid = v[2]", "out_valid = count == 7 ? 1'bx : v[2]", "out_valid is X"),
    "stuck after a reset in the stream": ("out_valid = v[2]", "out_valid = v[2] && !dead", "out_valid: expected 1"),
}  # fmt: skip


@pytest.mark.parametrize("bug", PROTOCOL_BUGS)
def test_wrong_timing_is_told(tmp_path, bug):
    old, new, message = PROTOCOL_BUGS[bug]
    result = run(tmp_path, models.write(tmp_path, models.PIPELINE, (old, new)))
    assert not result.agrees
    told = [str(result.first_mismatch), *result.problems]
    assert any(message in text for text in told), told


HANDSHAKE_BUGS = {
    "loses a stalled result": ("state <= out_ready ? 0 : 3", "state <= 0", "changed while out_ready was 0"),
    "changes a stalled result": ("assign out_data = {b, d, s}", "reg f = 0; always @(posedge clk) f <= out_valid && !out_ready;\n  assign out_data = {b, d, s ^ f}", "changed while out_ready was 0"),  # noqa: E501
    "slower": ("state == 0 || (out_valid && out_ready)", "state == 0", "interval 4 seen, 3 stated"),
    "never ready again": ("in_ready = state == 0", "in_ready = x[3:0] !== 5 && state == 0", "in_ready stayed 0"),
    "result twice": ("state <= out_ready ? 0 : 3", "state <= 3", "no vector"),
    "latency too short": ("state <= state + 1", "state <= 3", "latency 2 seen, 3 stated"),
}  # fmt: skip


@pytest.mark.parametrize("bug", HANDSHAKE_BUGS)
def test_wrong_handshake_is_told(tmp_path, bug):
    old, new, message = HANDSHAKE_BUGS[bug]
    result = run(tmp_path, models.write(tmp_path, models.HANDSHAKE, (old, new), interval=3))
    assert not result.agrees
    told = [str(result.first_mismatch), *result.problems]
    assert any(message in text for text in told), told


def test_port_of_the_wrong_width(tmp_path):
    bench = models.write(tmp_path, models.PIPELINE, ("[16:0] out_data", "[15:0] out_data"))
    result = run(tmp_path, bench)
    assert "out_data has 16 bits, 17 stated" in result.message


def test_netlist_runs_other_sources_with_defines(tmp_path):
    text = models.PIPELINE.replace("b2 <= b1;", "`ifdef BROKEN\n b2 <= 5'd0;\n`else\n b2 <= b1;\n`endif")
    bench = models.write(tmp_path, models.PIPELINE)
    (tmp_path / "netlist.v").write_text(text)
    sources = [tmp_path / "netlist.v"]
    assert run(tmp_path, bench, "netlist", sources=sources).agrees
    assert not run(tmp_path, bench, "netlist", sources=sources, defines={"BROKEN": ""}).agrees


def test_syntax_error_names_the_log(tmp_path):
    bench = models.write(tmp_path, "module pipeline (input wire clk;\n")
    with pytest.raises(ToolFailed, match=r"icarus_build\.log"):
        run(tmp_path, bench)


def test_missing_port_is_a_tool_failure_not_a_result(tmp_path):
    bench = models.write(tmp_path, models.PIPELINE.replace("in_valid", "in_valued"))
    with pytest.raises(ToolFailed, match=r"did not finish|icarus_run\.log"):
        run(tmp_path, bench)


def test_simulation_that_ends_itself_is_no_result(tmp_path):
    bench = models.write(
        tmp_path, models.PIPELINE, ("endmodule", "  always @(posedge clk) if (count == 9) $finish;\nendmodule")
    )
    with pytest.raises(ToolFailed):
        run(tmp_path, bench)


def test_timeout_leaves_no_result(tmp_path):
    bench = models.write(tmp_path, models.PIPELINE, ("endmodule", "  initial while (1) ;\nendmodule"))
    with pytest.raises(ToolFailed, match="stopped after 2 s"):
        run(tmp_path, bench, timeout_s=2)
    assert not (tmp_path / "work" / "result.json").exists()


def test_old_results_are_never_read(tmp_path):
    bench = models.write(tmp_path, models.PIPELINE)
    assert run(tmp_path, bench).agrees
    models.write(tmp_path, "module pipeline;\n initial $finish;\nendmodule\n")
    with pytest.raises(ToolFailed):
        run(tmp_path, bench)


def test_missing_simulator_is_named_with_its_remedy(tmp_path, monkeypatch):
    bench = models.write(tmp_path, models.PIPELINE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolNotFound, match=r"iverilog.*apt-get install iverilog.*NMP_IVERILOG"):
        run(tmp_path, bench)
    monkeypatch.setenv("NMP_VERILATOR", "/nowhere/verilator")
    with pytest.raises(ToolNotFound, match="NMP_VERILATOR"):
        simulate.build_verilator(bench, tmp_path, tmp_path / "work")


def test_missing_source_and_empty_vectors(tmp_path):
    bench = models.write(tmp_path, models.PIPELINE)
    inputs, expected = models.vectors(3)
    with pytest.raises(DataError, match="not 0"):
        simulate.run_cocotb("icarus", bench, tmp_path, inputs[:0], expected[:0], tmp_path / "work")
    (tmp_path / "pipeline.v").unlink()
    with pytest.raises(DataError, match=r"pipeline\.v"):
        run(tmp_path, bench)


def test_description_round_trip_and_malformed(tmp_path):
    bench = models.write(tmp_path, models.HANDSHAKE, interval=3)
    assert from_json(to_json(bench)) == bench
    for text in ("", "[]", "{}", '{"schema": 1}', to_json(bench).replace('"bits": 4', '"bits": -4')):
        with pytest.raises(DesignError):
            from_json(text)
