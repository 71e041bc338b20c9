"""The shell's bench finds what shows only in a long stall or packet, beside register traffic, or by a reset in it."""

import pytest
import sim_models as models
from test_shell_axis import hand_written, run

from flow.build.engines.axis import LONG_CYCLES

SEND, REGISTERS, COLLECT = "axis_send.v", "axis_registers.v", "axis_packets.v"
END = "endmodule"
WAITED = """
    reg [15:0] waited, earlier, count, place;
    always @(posedge clk) begin
        waited <= rst || !busy || m_axis_tready ? 0 : waited + 1;
        if (rst) earlier <= 0;
        else if (busy && m_axis_tready) earlier <= waited;
        count <= rst ? 0 : count + result_sent;
        place <= rst || (result_sent && m_axis_tlast) ? 1 : place + result_sent;
    end
endmodule"""


def sending(old, new):
    """A fault of the output stream that counts stalled cycles, results, and the place in the packet."""
    return SEND, (old, new), (END, WAITED)


DATA, LAST = "m_axis_tdata = held[BUS-1:0]", "m_axis_tlast = ends && final_beat"
BUGS = {
    "data wrong from 500 stalled cycles on": sending(DATA, f"{DATA} ^ (waited >= 500)"),
    "data wrong after exactly 77 stalled cycles": sending(DATA, f"{DATA} ^ (earlier == 77)"),
    "data wrong after exactly 129 stalled cycles": sending(DATA, f"{DATA} ^ (earlier == 129)"),
    "TLAST falls after 200 stalled cycles": sending(LAST, f"{LAST} && waited < 200"),
    "no TLAST after 1500 results": sending(LAST, f"{LAST} && count < 1500"),
    "no TLAST at a packet of 257": sending(LAST, f"{LAST} && place != 257"),
    "TLAST after 513 results too": sending(LAST, f"{LAST} || (place == 513 && final_beat)"),
    "data wrong at the 2049th result": sending(DATA, f"{DATA} ^ (count == 2048)"),
    "a read beside a write": (REGISTERS, ("10'h13: read_data <= packet", "10'h13: read_data <= write ? 0 : packet")),
    "an answer lost beside a write": (REGISTERS, ("!rst && (read ||", "!rst && ((read && !write) ||")),
    "an answer that moves while it waits": (REGISTERS, ("if (read) begin", "if (s_axi_arvalid || read_valid) begin")),
    "an answer that ends by itself": (REGISTERS, ("(answered && !s_axi_bready)", "1'b0")),
    "a strobe ignored": (REGISTERS, ("10'h13 && s_axi_wstrb[i]", "10'h13 && (s_axi_wstrb[i] || i == 2)")),
    "reset without its strobe": (REGISTERS, ("10'h10 && s_axi_wstrb[0]", "10'h10")),
    "a counter of ten bits": (
        REGISTERS,
        ("counters[32*i+:32] <= counters[32*i+:32] + 32'd1", "counters[32*i+:32] <= (counters[32*i+:32] + 1) % 1024"),
    ),
    "an event lost beside a read": (REGISTERS, ("else if (events[i])", "else if (events[i] && !(read && i == 1))")),
    "an answer outlives a reset": (
        REGISTERS, ("answered <= !rst &&", "answered <="), ("    integer i;", "    initial answered = 0; integer i;"),
    ),
    "an error cleared by a write to exactly one address": (
        REGISTERS, ("wire [4:0] forgiven = ", "wire [4:0] forgiven = (write && target == 10'd914) ? 5'd2 : "),
    ),
    "exactly one address that answers": (
        REGISTERS, ("10'h13: read_data <= packet", "10'h13, 10'd700: read_data <= packet"),
    ),
    "TLAST missed at exactly one PACKET": (
        COLLECT, ("filling || s_axis_tlast", "(filling || s_axis_tlast) ^ (packet_vectors[13:2] == 12'd2988)"),
    ),
    "input lost after 300 idle cycles": (
        COLLECT,
        ("assign beat = ", "reg [15:0] idle;\n    assign beat = (idle > 300) ^ "),
        (END, "    always @(posedge clk) idle <= rst || take ? 0 : idle + 1;\nendmodule"),
    ),
}  # fmt: skip


@pytest.fixture
def planted(tmp_path):
    def simulate(file=None, *changes, cycles=3000):
        shell, bench, sources = hand_written(tmp_path, models.PIPELINE, "wide", 32)
        for old, new in changes:
            assert shell.files[file].count(old) == 1, shell.files[file]
            shell.files[file] = shell.files[file].replace(old, new)
        return run(tmp_path, shell, bench, sources, *models.vectors(12), long_cycles=cycles)

    return simulate


def marked(bug):
    """Single lengths and addresses, which take the whole of a build's cycles, but for one of them."""
    whole = "exactly" in bug and "77" not in bug
    return pytest.param(bug, marks=[pytest.mark.long] if whole else [])


@pytest.mark.parametrize("bug", [marked(bug) for bug in BUGS])
def test_bugs_are_found(planted, bug):
    # Each single length is tried in as many cycles as a build's bench has.
    result = planted(*BUGS[bug], cycles=LONG_CYCLES if "exactly" in bug else 3000)
    assert not result.agrees


def test_the_untouched_shell_agrees(planted):
    result = planted()
    assert result.agrees, result.message
