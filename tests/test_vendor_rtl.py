"""RTL with the ports of AMD's HLS in our bench: our own core behind such ports, right and with planted bugs."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_hls_project import small_design, vectors

from flow.architecture import choose
from flow.emit.hls_layer import container
from flow.errors import DesignError
from flow.evaluate import evaluate
from flow.parts import resolve
from flow.vendor_rtl import run_rtl


def port(name: str, protocol: str, direction: str, bits: int, data: bool) -> str:
    kind = "data" if data else "control"
    return (f"<RtlPorts><name>{name}</name><Object>{name}</Object><IOProtocol>{protocol}</IOProtocol>"
            f"<Dir>{direction}</Dir><Bits>{bits}</Bits><Attribute>{kind}</Attribute></RtlPorts>")  # fmt: skip


def fabricate(folder: Path, protocol: str = "ap_vld", wide: bool = True, bug: str = "") -> tuple[Path, Path]:
    """Our core as a pipelined ap_ctrl_hs function: its csynth.xml and its RTL folder."""
    design = small_design()
    rtl = choose(design, resolve("xc7z020"), 10.0, "parallel").rtl
    ins, outs = container(design.input_formats, "i"), container(design.output_formats, "o")
    ports = [("ap_clk", "in"), ("ap_rst", "in"), ("ap_start", "in"), ("ap_done", "out"), ("ap_idle", "out"),
             ("ap_ready", "out")]  # fmt: skip
    rows = [(n, "ap_ctrl_hs", d, 1, False) for n, d in ports]
    count = len(design.input_formats)
    rows += (
        [("x", protocol, "in", ins.bits * count, True)]
        if wide
        else [(f"x_{i}", protocol, "in", ins.bits, True) for i in range(count)]
    )
    rows += [(f"y_{j}", protocol, "out", outs.bits, True) for j in range(len(design.output_formats))]
    if protocol == "ap_vld":
        rows += [(f"{n}_ap_vld", "ap_vld", d, 1, False) for n, _, d, _, data in list(rows) if data]
    heads = ", ".join(f"{d}put wire [{b - 1}:0] {n}" for n, _, d, b, _ in rows)
    sent = "x" if wide else "{" + ", ".join(f"x_{i}" for i in reversed(range(count))) + "}"
    lines, low = [], 0
    for j, f in enumerate(design.output_formats):
        sign = f"{{{outs.bits}{{out[{low + f.bits - 1}]}}}}" if f.signed else f"{outs.bits}'d0"
        value = f"({sign} << {f.bits}) | out[{low} +: {f.bits}]" if f.bits else f"{outs.bits}'d0"
        flip = " ^ 1" if bug == "value" and j == 1 else ""
        lines.append(f"assign y_{j} = (({value}) << {outs.frac - f.frac if f.bits else 0}){flip};")
        if protocol == "ap_vld":
            lines.append(f"assign y_{j}_ap_vld = ap_done{' & 0' if bug == 'silent' else ''};")
        low += f.bits
    late = "reg l; always @(posedge ap_clk) l <= ok & ~ap_rst; assign ap_done = l;"
    body = f"""module hls_small ({heads});
    wire [{rtl_in(design) - 1}:0] data; wire [{ins.bits * count - 1}:0] all = {sent};
    wire [{low - 1}:0] out; wire ok;
    {inputs_of(design, ins)}
    {rtl.top} core (.clk(ap_clk), .rst(ap_rst), .in_valid(ap_start), .in_data(data), .out_valid(ok), .out_data(out));
    assign ap_ready = ap_start; assign ap_idle = ~ap_start;
    {late if bug == "late" else "assign ap_done = ok;"}
    {" ".join(lines)}
endmodule
"""
    source = folder / "rtl"
    source.mkdir(parents=True)
    for name, text in {**rtl.files, "hls_small.v": body}.items():
        (source / Path(name).name).write_text(text)
    report = folder / "small_csynth.xml"
    latency = rtl.latency_cycles
    report.write_text(
        "<profile><ReportVersion><Version>2023.1</Version></ReportVersion><UserAssignments><unit>ns</unit>"
        "<TopModelName>small</TopModelName></UserAssignments><PerformanceEstimates><SummaryOfOverallLatency>"
        f"<unit>clock cycles</unit><Best-caseLatency>{latency}</Best-caseLatency>"
        f"<Worst-caseLatency>{latency}</Worst-caseLatency><Interval-min>1</Interval-min><Interval-max>1</Interval-max>"
        "</SummaryOfOverallLatency></PerformanceEstimates><InterfaceSummary>"
        + "".join(port(*row) for row in rows)
        + "</InterfaceSummary></profile>"
    )
    return report, source


def rtl_in(design) -> int:
    return sum(f.bits for f in design.input_formats)


def inputs_of(design, ins) -> str:
    lines, low = [], 0
    for i, f in enumerate(design.input_formats):
        if f.bits:
            lines.append(f"assign data[{low} +: {f.bits}] = all[{i * ins.bits + ins.frac - f.frac} +: {f.bits}];")
        low += f.bits
    return " ".join(lines)


def simulate(tmp_path: Path, engine: str = "icarus", **how):
    design = small_design()
    x = vectors(design, 40, seed=5)
    report, source = fabricate(tmp_path, **how)
    return run_rtl(design, x, evaluate(design, x), report, source, "hls_small", tmp_path / "work", engine)


@pytest.mark.parametrize(("protocol", "wide", "engine"), [("ap_vld", True, "icarus"), ("ap_none", False, "icarus"),
                                                         ("ap_vld", True, "verilator")])  # fmt: skip
def test_vendor_ports_are_bit_exact(tmp_path: Path, protocol: str, wide: bool, engine: str) -> None:
    result = simulate(tmp_path, engine, protocol=protocol, wide=wide)
    assert result.agrees and result.vectors == 40, result.message


@pytest.mark.parametrize("bug", ["value", "silent", "late"])
def test_planted_bugs_are_found(tmp_path: Path, bug: str) -> None:
    assert not simulate(tmp_path, protocol="ap_none" if bug == "late" else "ap_vld", bug=bug).agrees


def test_unknown_ports_are_refused(tmp_path: Path) -> None:
    design = small_design()
    x = vectors(design, 4)
    report, source = fabricate(tmp_path)
    for old, new in (("ap_start", "go"), ("<Bits>16<", "<Bits>15<"), ("x_ap_vld", "x_ap_ack")):
        assert old in report.read_text()
        changed = tmp_path / "changed.xml"
        changed.write_text(report.read_text().replace(old, new))
        with pytest.raises(DesignError):
            run_rtl(design, x, evaluate(design, x), changed, source, "hls_small", tmp_path / "work")
