"""Faults that show only after a long pause, stall or run, or by a reset at one moment: each bench finds the family."""

import patient_models as models
import pytest
import strategies

from flow.bench.endurance import COLUMNS, schedule
from flow.bench.vectors import pack
from flow.core.evaluate import evaluate
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.folded.lowering import lower
from flow.folded.search import smallest
from flow.parallel.generators import build_graphs
from flow.parts.catalog import resolve
from flow.verify import simulate
from sim.lengths import lengths

# (fault, length); those of results that are held are for the module with handshakes.
STREAMED = [
    (models.AT_LEAST_IDLE, 65), (models.AT_LEAST_IDLE, 3000), (models.EXACTLY_IDLE, 21), (models.EXACTLY_IDLE, 77),
    (models.EXACTLY_IDLE, 257), (models.EXACTLY_IDLE, 1024), (models.RESET_LENGTH, 2), (models.RESET_LENGTH, 65),
    (models.RESET_MOMENT, 0), (models.RESET_MOMENT, 5), (models.RESET_AFTER_IDLE, 1000), (models.IDLE_AFTER_RESET, 3),
    (models.LATE_AFTER_IDLE, 700), (models.EXACTLY_TAKEN, 1500), (models.AT_LEAST_TAKEN, 3000),
]  # fmt: skip
HELD = [
    (models.CHANGES_WHILE_HELD, 200), (models.CHANGES_WHILE_HELD, 3000), (models.AFTER_A_STALL, 21),
    (models.AFTER_A_STALL, 257), (models.LOST_WHILE_HELD, 300),
]  # fmt: skip
CASES = [(ready, *case) for ready in (False, True) for case in STREAMED + (HELD if ready else [])]
# What the cocotb bench reaches within its cycles: one case in three, each length and fault in either module.
SLOW = [case for number, case in enumerate(CASES) if number % 3 == case[0]]
NATIVE_CYCLES = 500_000


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    made = {}
    for ready in (False, True):
        folder = tmp_path_factory.mktemp("ready" if ready else "pipeline")
        bench = models.write(folder, ready)
        made[ready] = folder, bench, simulate.build_verilator(bench, folder, folder / "model")
    return made


def native(modules, ready, fault, length):
    """The two native runs: gapless vectors, then the schedule."""
    folder, bench, model = modules[ready]
    plan = schedule(bench, NATIVE_CYCLES)
    bulk = simulate.run_native(bench, *models.vectors(fault, length, 6000), folder / "bulk", model)
    inputs, expected = (
        pack(v, e) for v, e in zip(models.vectors(fault, length, len(plan)), (bench.inputs, bench.outputs), strict=True)
    )
    return bulk, simulate.stream_native(bench, inputs, expected, folder / "pauses", model, schedule=plan)


@pytest.mark.parametrize("ready", [False, True])
def test_patient_hardware_without_a_fault_agrees(modules, ready):
    folder, bench, _ = modules[ready]
    slow = simulate.run_cocotb("icarus", bench, folder, *models.vectors(0, 0), folder / "cocotb")
    for result in (slow, *native(modules, ready, 0, 0)):
        assert result.agrees, result.message


@pytest.mark.parametrize(("ready", "fault", "length"), CASES)
def test_the_native_harness_finds_it(modules, ready, fault, length):
    bulk, pauses = native(modules, ready, fault, length)
    assert not (bulk.agrees and pauses.agrees)


@pytest.mark.parametrize(("ready", "fault", "length"), SLOW)
def test_the_cocotb_bench_finds_it(modules, ready, fault, length):
    folder, bench, _ = modules[ready]
    result = simulate.run_cocotb("icarus", bench, folder, *models.vectors(fault, length), folder / "cocotb")
    assert not result.agrees


def test_reset_drops_what_is_in_flight_and_nothing_else(modules):
    folder, bench, model = modules[True]
    plan = schedule(bench, 20_000)
    inputs, expected = models.vectors(0, 0, len(plan))
    result = simulate.stream_native(
        bench, pack(inputs, bench.inputs), pack(expected, bench.outputs), folder / "drop", model, schedule=plan
    )
    resets = int((plan[:, COLUMNS.index("reset")] > 0).sum())
    assert result.agrees and len(plan) - 4 * resets < result.vectors < len(plan)


def test_a_line_too_many_in_the_power_up_state_is_found(tmp_path):
    """A register that reset reaches only in its second cycle: one cycle of reset must do."""
    bench = models.write(tmp_path, True)
    text = (tmp_path / bench.sources[0]).read_text()
    (tmp_path / bench.sources[0]).write_text(text.replace("if (rst) state <= 0;", "if (rst && was_rst) state <= 0;"))
    slow = simulate.run_cocotb("icarus", bench, tmp_path, *models.vectors(0, 0), tmp_path / "cocotb", long_cycles=0)
    assert not slow.agrees


def test_lengths():
    for budget in (0, 3, 50, 1000, 20_000, 300_000):
        found = lengths(budget, overhead=2)
        assert found == sorted(set(found)) and sum(found) + 2 * len(found) <= budget
    found = set(lengths(20_000))
    assert set(range(1, 81)) < found and {2**k + d for k in range(2, 11) for d in (-1, 0, 1)} < found
    assert max(found) >= 4096 and max(lengths(300_000)) == 5000
    assert set(range(1, 500)) < set(lengths(300_000))


EMITTED = {
    "output wrong after 65 idle cycles": (False, "{data} ^ (earlier >= 65)"),
    "output wrong after exactly 21 idle cycles": (False, "{data} ^ (earlier == 21)"),
    "folded: output moves after 200 stalled cycles": (True, "{data} ^ (held >= 200)"),
    "folded: output wrong after 700 idle cycles": (True, "{data} ^ (earlier >= 700)"),
}
WATCH = """
    reg [15:0] idle, earlier, held;
    always @(posedge clk) begin
        idle <= rst || TAKES ? 0 : idle + 1;
        if (TAKES) earlier <= idle;
        held <= rst || !STALLED ? 0 : held + 1;
    end
endmodule"""


@pytest.mark.parametrize("bug", EMITTED)
def test_it_is_found_in_emitted_verilog(tmp_path, bug):
    """The core under another name, inside a top that falsifies its results."""
    folded, data = EMITTED[bug]
    design = strategies.random_design(62, max_size=9)
    if folded:
        rtl = emit_folded(smallest(lower(design), resolve("xc7z020"), 12), 10.0)
    else:
        rtl = emit_parallel(design, build_graphs(design), 10.0)
    bench, text = describe(design, rtl), rtl.files[f"{rtl.top}.v"]
    start = text.index(f"module {rtl.top}")
    head = text[start : text.index("\n);", start) + 3]
    ports = ", ".join(f".{port}({port})" for port in bench.ports if port != "out_data")
    takes, stalled = ("(in_valid && in_ready)", "(out_valid && !out_ready)") if folded else ("in_valid", "1'b0")
    wrapper = [
        head, f"    wire [{bench.out_bits - 1}:0] data;", f"    core core ({ports}, .out_data(data));",
        WATCH.replace("TAKES", takes).replace("STALLED", stalled).replace("endmodule", ""),
        f"    assign out_data = {data.format(data='data')};", "endmodule",
    ]  # fmt: skip
    core = text.replace(f"module {rtl.top}", "module core")
    plan.write({f"rtl/{n}": t for n, t in {**rtl.files, f"{rtl.top}.v": core + "\n".join(wrapper)}.items()}, tmp_path)
    inputs = strategies.vectors(design, 24)
    result = simulate.run_cocotb("icarus", bench, tmp_path, inputs, evaluate(design, inputs), tmp_path / "sim")
    assert not result.agrees and ("long gaps" in result.message or "long stalls" in result.message)
