"""RTL as AMD's HLS would leave it: our own core behind the ports of an hls4ml project, right and with planted bugs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from flow.build.architecture import choose
from flow.core.design import Design
from flow.core.fixed import Fixed
from flow.emit.hls.layer import Container, container
from flow.parts.catalog import resolve

CREDITS = """
    // Results wait in a buffer; a vector enters while a place is free.
    reg [{width}:0] memory [0:15]; reg [4:0] head, tail, credits;
    assign t_ready = credits != 0; assign r_valid = head != tail; assign r_data = memory[tail[3:0]];
    always @(posedge ap_clk) if (reset) begin head <= 0; tail <= 0; credits <= 15; end else begin
        if (ok) begin memory[head[3:0]] <= out; head <= head + 1; end
        if (r_valid & r_ready) tail <= tail + 1;
        credits <= credits + (r_valid & r_ready) - (t_valid & t_ready);
    end
"""


@dataclass(frozen=True)
class Kind:
    """Ports of a core: ``data`` is ap_vld, ap_none or axis, ``out`` the outputs' where it differs; ``wide``: inputs
    (and results, if streams) are one port; ``packed``: as Vivado HLS packs them; ``early``: ap_ready before the data.
    """

    data: str = "ap_vld"
    out: str = ""
    control: str = "ap_ctrl_hs"
    wide: bool = True
    packed: bool = False
    interval: int = 1
    dataflow: bool = False
    early: bool = False
    ready: bool = True
    active_low: bool = False
    memory: bool = False
    bug: str = ""


def fabricate(folder: Path, design: Design, kind: Kind, top: str = "hls_tiny") -> tuple[Path, Path]:
    """The csynth.xml and the RTL folder of a project around our core."""
    rtl = choose(replace(design, name="inner"), resolve("xc7z020"), 10.0, "parallel").rtl
    ins = container(design.input_formats, "i")
    outs = Container(False, max(len(design.output_formats) - 1, 1).bit_length(), 0)
    formats: tuple[Fixed, ...] = (Fixed(False, outs.bits, 0),)
    if design.head == "logits":
        outs, formats = container(design.output_formats, "o"), design.output_formats
    rows = _control(kind)
    stream = kind.data == "axis"
    x, before = _ports(kind, "x", "in", len(design.input_formats), ins.bits, stream)
    y, after = _ports(kind, "y", "out", len(formats), outs.bits, stream)
    rows += [*x, *y]
    aligned = f"wire [{ins.bits * len(design.input_formats) - 1}:0] all = {before};"
    low, results = 0, []
    for j, f in enumerate(formats):
        results.append(f"wire [{outs.bits - 1}:0] result{j} = {_placed(f, outs, low)}{_flip(kind, j)};")
        low += f.bits
    body = f"""module {top} ({", ".join(f"{d}put wire [{max(b, 1) - 1}:0] {n}" for n, _, d, b, _ in rows)});
    wire reset = {"~ap_rst_n" if kind.active_low else "ap_rst"};
    wire [{sum(f.bits for f in design.input_formats) - 1}:0] data; wire t_valid, t_ready, ok;
    wire [{low - 1}:0] out, r_data; wire r_valid, r_ready;
    {'reg [7:0] rom [0:0]; initial $readmemh("./zero.dat", rom);' if kind.memory else ""}
    {aligned} {_inputs(design, ins)} {" ".join(results)}
    {rtl.top} core (.clk(ap_clk), .rst(reset), .in_valid(t_valid & t_ready), .in_data(data), .out_valid(ok),
        .out_data(out));
    {_stream_body(kind, low) if stream else _parallel_body(kind)}
    {after}
endmodule
"""
    source = folder / "rtl"
    source.mkdir(parents=True)
    for name, text in {**rtl.files, f"{top}.v": body, "zero.dat": "00\n"}.items():
        (source / Path(name).name).write_text(text)
    report = folder / "tiny_csynth.xml"
    late = 7 if stream or kind.dataflow else 0  # an estimate is not what the RTL does
    report.write_text(_xml(rows, rtl.latency_cycles + kind.interval - 1 + late, kind))
    return report, source


def _control(kind: Kind) -> list[tuple[str, str, str, int, bool]]:
    names = [("ap_clk", "in"), ("ap_rst_n" if kind.active_low else "ap_rst", "in")]
    if kind.control != "ap_ctrl_none":
        names += [("ap_start", "in"), ("ap_done", "out"), ("ap_idle", "out"), ("ap_ready", "out")]
    if kind.control == "ap_ctrl_chain":
        names.append(("ap_continue", "in"))
    return [(n, kind.control, d, 1, False) for n, d in names]


def _ports(kind: Kind, name: str, side: str, count: int, bits: int, stream: bool) -> tuple[list, str]:
    """Rows of the report, and the Verilog that takes the elements from the ports or puts them there."""
    one = kind.wide and (stream or side == "in")
    protocol = kind.data if stream or side == "in" else kind.out or kind.data
    per_port, names = (count, [name]) if one else (1, [f"{name}_{i}" for i in range(count)])
    if not stream:
        rows = [(n, protocol, side, bits * per_port, True) for n in names]
        rows += [(f"{n}_ap_vld", protocol, side, 1, False) for n in names if protocol == "ap_vld"]
        if side == "in":
            return rows, "{" + ", ".join(reversed(names)) + "}"
        return rows, _parallel_results(kind, names, protocol)
    width = -(-bits * per_port // 8) * 8 if kind.packed else -(-bits // 8) * 8 * per_port
    stride = bits if kind.packed else width // per_port
    names = [n if one else n.replace(name, f"{name}_V_data") + "_V" for n in names]
    back = {"in": "out", "out": "in"}[side]
    rows = [(f"{n}_TDATA", "axis", side, width, True) for n in names]
    rows += [(f"{n}_TVALID", "axis", side, 1, False) for n in names]
    rows += [(f"{n}_TREADY", "axis", back, 1, False) for n in names if kind.ready or side == "in"]
    if side == "in":
        places = [f"{n}_TDATA[{k * stride} +: {bits}]" for n in names for k in range(per_port)]
        valid = " & ".join(f"{n}_TVALID" for n in names)
        taken = " ".join(f"assign {n}_TREADY = joined & t_ready;" for n in names)
        token = {"": "1'b1", "hs": "ap_start", "early": "tokens != 0"}[
            "" if kind.control == "ap_ctrl_none" else "early" if kind.early else "hs"
        ]
        kept = "{" + ", ".join(reversed(places)) + "}"
        return rows, kept + f"; wire joined = {valid} & {token}; assign t_valid = joined; {taken[:-1]}"
    return rows, _stream_results(kind, names, per_port, width, stride, bits)


def _parallel_results(kind: Kind, names: list[str], protocol: str) -> str:
    lines = []
    for j, n in enumerate(names):
        skew = kind.dataflow and j % 2
        if skew:
            lines.append(f"reg late{j}; reg [63:0] value{j}; always @(posedge ap_clk) begin late{j} <= ok & ~reset; "
                         f"value{j} <= result{j}; end")  # fmt: skip
        lines.append(f"assign {n} = {f'value{j}' if skew else f'result{j}'};")
        if protocol == "ap_vld":
            silent = " & 0" if kind.bug == "silent" else ""
            lines.append(f"assign {n}_ap_vld = {f'late{j}' if skew else 'ok'}{silent};")
    return " ".join(lines)


def _stream_results(kind: Kind, names: list[str], per_port: int, width: int, stride: int, bits: int) -> str:
    lines = [f"reg [{len(names) - 1}:0] gone; wire [{len(names) - 1}:0] went;"]
    for p, n in enumerate(names):
        # What lies between elements is not theirs.
        pad = "{" + f"{stride - bits}{{1'b1}}" + "}, " if stride > bits else ""
        parts = [f"{pad}result{p * per_port + k}" for k in range(per_port)]
        rest = width - stride * per_port
        top = f"{rest}'d0, " if rest else ""
        lines.append(f"assign {n}_TDATA = {{{top}{', '.join(reversed(parts))}}};")
        lines.append(f"assign {n}_TVALID = r_valid & ~gone[{p}];")
        lines.append(f"assign went[{p}] = gone[{p}] | {f'{n}_TREADY' if kind.ready else '1'};")
    hold = "" if kind.bug == "impatient" else "& (&went)"
    lines.append(f"assign r_ready = r_valid {hold};")
    lines.append("always @(posedge ap_clk) gone <= reset | r_ready ? 0 : r_valid ? went : gone;")
    return "\n    ".join(lines)


def _stream_body(kind: Kind, bits: int) -> str:
    text = CREDITS.format(width=bits - 1)
    if kind.control == "ap_ctrl_none":
        return text
    text += "assign ap_idle = 0; assign ap_done = r_valid & r_ready;\n"
    if not kind.early:
        return text + "assign ap_ready = t_valid & t_ready;"
    return (
        text
        + """reg [1:0] tokens; assign ap_ready = ap_start & tokens != 2;
    always @(posedge ap_clk) tokens <= reset ? 0 : tokens + ap_ready - (t_valid & t_ready);"""
    )


def _parallel_body(kind: Kind) -> str:
    if kind.control == "ap_ctrl_none":
        return f"assign t_valid = {'1' if kind.data == 'ap_none' else 'x_ap_vld'}; assign t_ready = 1; {_RESULT}"
    late = "reg l; always @(posedge ap_clk) l <= ok & ~reset; assign ap_done = l;"
    return f"""reg [7:0] phase; always @(posedge ap_clk) phase <= reset | ap_ready ? 0 : phase + ap_start;
    assign ap_ready = ap_start & phase == {kind.interval - 1}; assign ap_idle = ~ap_start;
    assign t_valid = ap_start; assign t_ready = ap_ready; {_RESULT}
    {late if kind.bug == "late" else "assign ap_done = ok;"}"""


_RESULT = "assign r_data = out; assign r_valid = ok; assign r_ready = 1;"


def _placed(f: Fixed, outs: Container, low: int) -> str:
    if not f.bits:
        return f"{outs.bits}'d0"
    sign = f"{{{outs.bits}{{r_data[{low + f.bits - 1}]}}}}" if f.signed else f"{outs.bits}'d0"
    return f"((({sign} << {f.bits}) | r_data[{low} +: {f.bits}]) << {outs.frac - f.frac})"


def _flip(kind: Kind, j: int) -> str:
    return (" ^ 1" if kind.bug == "value" and j == 0 else "") + (" ^ rom[0]" if kind.memory else "")


def _inputs(design: Design, ins: Container) -> str:
    lines, low = [], 0
    for i, f in enumerate(design.input_formats):
        if f.bits:
            lines.append(f"assign data[{low} +: {f.bits}] = all[{i * ins.bits + ins.frac - f.frac} +: {f.bits}];")
        low += f.bits
    return " ".join(lines)


def _xml(rows: list[tuple[str, str, str, int, bool]], latency: int, kind: Kind) -> str:
    ports = "".join(
        f"<RtlPorts><name>{n}</name><Object>{n}</Object><IOProtocol>{p}</IOProtocol><Dir>{d}</Dir><Bits>{b}</Bits>"
        f"<Attribute>{'data' if data else 'control'}</Attribute></RtlPorts>"
        for n, p, d, b, data in rows
    )
    return (
        f"<profile><ReportVersion><Version>{'2020.1' if kind.packed else '2023.1'}</Version></ReportVersion>"
        "<UserAssignments><unit>ns</unit><TopModelName>tiny</TopModelName></UserAssignments><PerformanceEstimates>"
        f"<PipelineType>{'dataflow' if kind.dataflow else 'yes'}</PipelineType><SummaryOfOverallLatency>"
        f"<unit>clock cycles</unit><Best-caseLatency>{latency}</Best-caseLatency>"
        f"<Worst-caseLatency>{latency}</Worst-caseLatency><Interval-min>{kind.interval}</Interval-min>"
        f"<Interval-max>{kind.interval}</Interval-max></SummaryOfOverallLatency></PerformanceEstimates>"
        f"<InterfaceSummary>{ports}</InterfaceSummary></profile>"
    )
