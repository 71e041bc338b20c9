"""Faults that only show after a long pause, stall or run, or by a reset at one moment: the benches find the whole family.

Each module carries many bugs; two more input elements say which one is at work and at what length, so that one model
serves all cases.
"""

from dataclasses import replace

import numpy as np
import pytest
import sim_models as models

from flow import native_engine, simulate
from flow.bench import Bench, Element
from flow.endurance import schedule
from flow.vectors import pack
from sim.lengths import lengths

# idle: cycles without an offer; held: cycles for which a result has waited; count: results since reset
COUNTERS = """
  wire [4:0] bug = kind;
  reg [4:0] kind = 0;
  reg [16:0] limit = 0;
  reg [16:0] idle, held, count, age, asserted;
  reg hit_idle, stale;
  initial asserted = 0;
  always @(posedge clk) begin
    if (in_valid && !rst) begin kind <= in_data[13:9]; limit <= in_data[30:14]; end
    idle <= rst || TAKES ? 0 : idle + 1;
    age <= TAKES ? 0 : age + 1;
    count <= rst ? 0 : count + (GIVES ? 1 : 0);
    held <= rst || GIVES || !out_valid ? 0 : held + 1;
    asserted <= rst ? asserted + 1 : 0;
    stale <= rst ? stale || (bug == 5 && asserted + 1 == limit) || (bug == 6 && age == limit) : stale && !GIVES;
    if (rst && !asserted) stale <= (bug == 5 && limit == 1) || (bug == 6 && age == limit)
                                   || (bug == 7 && idle >= limit);
    if (TAKES) hit_idle <= (bug == 1 && idle >= limit) || (bug == 2 && idle == limit);
  end
  wire wrong = (hit_idle && FIRST) || (bug == 3 && count == limit) || (bug == 4 && count >= limit) || stale;
endmodule
"""
PORTS = ("in_data,", "[8:0] in_data"), ("[8:0] in_data", "[30:0] in_data")


def planted(folder, text):
    """The module with all bugs, and its description."""
    ready = "in_ready" in text
    takes, gives = ("in_valid && in_ready", "out_valid && out_ready") if ready else ("in_valid", "v[1]")
    first = "1'b1" if ready else "b2 == b2"
    text = text.replace("[8:0] in_data", "[30:0] in_data")
    text = text.replace("{b, d, s}", "{b, d, s ^ {6'd0, wrong} ^ {5'd0, bug == 9 && held >= limit, 1'b0}}")
    text = text.replace("{b2, d2, s2}", "{b2, d2, s2 ^ {6'd0, wrong}}")
    text = text.replace("x <= in_data", "x <= in_data[8:0]")
    counters = COUNTERS.replace("TAKES", f"({takes})").replace("GIVES", f"({gives})").replace("FIRST", first)
    bench = models.write(folder, text.rstrip().removesuffix("endmodule") + counters, interval=3 if ready else 1)
    more = (Element(5, False, "bug"), Element(17, False, "limit"))
    return replace(bench, inputs=bench.inputs + more)


def with_bug(bug, limit, count=40):
    inputs, expected = models.vectors(count)
    return np.concatenate([inputs, np.tile([bug, limit], (count, 1))], axis=1), expected


@pytest.fixture(scope="module", params=["pipeline", "handshake"])
def module(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    bench = planted(folder, getattr(models, request.param.upper()))
    return folder, bench, simulate.build_verilator(bench, folder, folder / "model")
