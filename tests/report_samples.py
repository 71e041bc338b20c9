"""Small reports in the layouts of the vendor tools, written from a few figures, to test without real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """What a sample states; ``None`` is printed as the kind prints an unknown figure."""

    latency: tuple[int, int] | None = (12, 15)
    interval: tuple[int, int] | None = (3, 4)
    lut: int = 1526
    ff: int = 2428
    dsp: int = 7
    tiles_x2: int = 5
    uram: int = 2
    slack: float | None = -0.394


def grid(header: list[list[str]], rows: list[list[str] | None], pad: str = " ") -> list[str]:
    """A drawn table; ``None`` among the rows is a rule."""
    drawn = [*header, *(row for row in rows if row)]
    widths = [max(len(row[i]) for row in drawn if len(row) == len(drawn[-1])) for i in range(len(drawn[-1]))]
    rule = "+" + "+".join("-" * (w + 2 * len(pad)) for w in widths) + "+"

    def line(row: list[str]) -> str:
        return "|" + "|".join(f"{pad}{cell:<{w}}{pad}" for cell, w in zip(row, widths, strict=True)) + "|"

    lines = [rule, *(line(row) if len(row) == len(widths) else "|" + "|".join(row) + "|" for row in header), rule]
    return [*lines, *(line(row) if row else rule for row in rows), rule]


def _title(text: str) -> list[str]:
    return ["=" * 64, f"== {text}", "=" * 64]


def _pair(pair: tuple[int, int] | None, unknown: str) -> list[str]:
    return [unknown, unknown] if pair is None else [str(value) for value in pair]


def csynth_xml(f: Figures, dsp: str = "DSP", version: str = "2023.1") -> str:
    low, high = _pair(f.latency, "undef")
    fast, slow = _pair(f.interval, "undef")
    return f"""<profile>
<ReportVersion><Version>{version}</Version></ReportVersion>
<UserAssignments><unit>ns</unit><Part>xc7z020-clg400-1</Part><TopModelName>demo</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod><TargetInitiationInterval>4294967295</TargetInitiationInterval>
</UserAssignments>
<PerformanceEstimates><PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>4.350</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit>
<Best-caseLatency>{low}</Best-caseLatency><Worst-caseLatency>{high}</Worst-caseLatency>
<Interval-min>{fast}</Interval-min><Interval-max>{slow}</Interval-max></SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>{f.tiles_x2}</BRAM_18K><{dsp}>{f.dsp}</{dsp}><FF>{f.ff}</FF><LUT>{f.lut}</LUT>
<URAM>{f.uram}</URAM></Resources>
<AvailableResources><BRAM_18K>280</BRAM_18K><{dsp}>220</{dsp}><FF>106400</FF><LUT>53200</LUT><URAM>0</URAM>
</AvailableResources></AreaEstimates>
<ModuleInformation><Module><Name>part_of_demo</Name><PerformanceEstimates><SummaryOfOverallLatency>
<Best-caseLatency>999</Best-caseLatency></SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><LUT>999</LUT></Resources></AreaEstimates></Module></ModuleInformation>
</profile>
"""


def csynth_rpt(f: Figures, dsp: str = "DSP", tool: str = "Vitis", target: str = "5.00 ns") -> str:
    timing = grid(
        [["  Clock ", "  Target ", " Estimated", " Uncertainty"]], [["ap_clk", target, "4.350 ns", "0.62 ns"]], ""
    )
    latency = grid(
        [
            [" Latency (cycles) ", " Latency (absolute) ", " Interval ", " Pipeline"],
            [" min ", " max ", "  min  ", "  max  ", " min ", " max ", " Type "],
        ],
        [[*_pair(f.latency, "?"), "60.0 ns", "75.0 ns", *_pair(f.interval, "?"), "yes"]],
        "",
    )
    used = ["Total", str(f.tiles_x2), str(f.dsp), str(f.ff), str(f.lut), str(f.uram)]
    rows: list[list[str] | None] = [
        ["Expression", "-", "-", "0", "34", "-"], None, used, None,
        ["Available SLR", "70", "55", "26600", "13300", "0"], None,
        ["Available", "280", "220", "106400", "53200", "0"], None, ["Utilization (%)", "~0", "3", "2", "2", "0"],
    ]  # fmt: skip
    usage = grid([["  Name ", " BRAM_18K", f" {dsp}", "  FF  ", " LUT ", " URAM"]], rows, "")
    lines = [
        *_title(f"{tool} HLS Report for 'demo'"), "* Date:           Mon Jan  1 00:00:00 2024", "",
        "* Version:        2023.1 (Build 1 on Jan 1 2023)", "* Target device:  xc7z020-clg400-1", "", "",
        *_title("Performance Estimates"), "+ Timing: ", "    * Summary: ", *("    " + line for line in timing), "",
        "+ Latency: ", "    * Summary: ", *("    " + line for line in latency), "", "    + Detail: ",
        "        * Loop: ", "        N/A", "", "",
        *_title("Utilization Estimates"), "* Summary: ", *usage, "", "+ Detail: ", "    N/A", "",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def summary_rpt(f: Figures, merged_header: bool = False) -> str:
    first = ["Modules", "Issue", " ", "Latency", "Latency", " ", "BRAM", " ", " ", " ", " "]
    names = ["& Loops", "Slack", "(cycles)", "(ns)", "Interval", "Pipelined", "BRAM", "DSP", "FF", "LUT", "URAM"]
    high = "-" if f.latency is None else str(f.latency[1])
    slow = "-" if f.interval is None else str(f.interval[1])
    top = ["+ demo", "0.09", high, "2.630e+03", slow, "yes", str(f.tiles_x2), "-", f"{f.ff} (4%)", f"{f.lut} (~0%)"]
    loop = [" o Outer", "7.30", "9", "90", "1", "yes", "-", "-", "-", "-", "-"]
    header = [first[:-1] if merged_header else first, [name + " " for name in names]]
    table = grid(header, [[*top, str(f.uram)], loop], "")
    lines = [
        *_title("Synthesis Summary Report of 'demo'"), "+ General Information: ",
        "    * Version:        2025.1 (Build 6 on May 21 2025)", "    * Target device:  xc7z020-clg400-1", "", "",
        "+ Performance & Resource Estimates: ", "", *("    " + line for line in table), "",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def cosim_rpt(f: Figures, language: str = "Verilog") -> str:
    wide = "-" * 47
    rule = f"+----------+----------+{wide}+{wide}+----------------------+"

    def row(cells: list[str]) -> str:
        widths = (10, 10, 15, 15, 15, 15, 15, 15, 22)
        return "|" + "|".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)) + "|"

    low, high = _pair(f.latency, "NA")
    fast, slow = _pair(f.interval, "NA")
    ran = [language, "Pass", low, high, high, fast, slow, slow, "2129"]
    other = ["VHDL" if language == "Verilog" else "Verilog", *["NA"] * 8]
    lines = [
        "Report time       : Mon Jan  1 00:00:00 2024.", "Solution          : solution1.",
        "Simulation tool   : xsim.", "", rule,
        f"|          |          |{'Latency(Clock Cycles)':^47}|{'Interval(Clock Cycles)':^47}| Total Execution Time |",
        f"+   RTL    +  Status  +{wide}+{wide}+    (Clock Cycles)    +",
        "|          |          |" + "|".join(f"{name:^15}" for name in ["min", "avg", "max"] * 2) + f"|{'':22}|",
        rule, *(row(cells) for cells in ([ran, other] if language == "VHDL" else [other, ran])), rule,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def export_rpt(f: Figures, implemented: bool = False) -> str:
    def usage(stage: str, lut: int) -> list[str]:
        pairs = {"SLICE": 0, "LUT": lut, "FF": f.ff, "DSP": f.dsp, "BRAM": f.tiles_x2, "URAM": f.uram}
        return [
            f"#=== {stage} Resource usage ===",
            *(f"{name + ':':<10}{value:>9}" for name, value in pairs.items()),
            "",
        ]

    stages = usage("Post-Synthesis", f.lut + implemented)
    final = [
        "#=== Final timing ===",
        "CP required:                     5.000",
        "CP achieved post-synthesis:      2.648",
    ]
    if implemented:
        stages += usage("Post-Implementation", f.lut)
        final.append("CP achieved post-implementation: 3.100")
    head = ["", "", "Implementation tool: Xilinx Vivado v.2023.2", "Device target:       xc7z020-clg400-1", ""]
    return "\n".join([*head, *stages, *final, "Timing met", ""])


def _vivado(heading: str) -> list[str]:
    return [
        "-" * 80, "| Tool Version : Vivado v.2022.2 (lin64) Build 3671981", "| Design       : demo",
        "| Device       : xc7z020clg400-1", "| Design State : Synthesized", "-" * 80, "", heading, "",
    ]  # fmt: skip


def utilization_rpt(f: Figures, prohibited: bool = True) -> str:
    def table(name: str, rows: list[tuple[str, str, str]]) -> list[str]:
        extra = ["0"] if prohibited else []
        header = ["Site Type", "Used", "Fixed", *(["Prohibited"] if prohibited else []), "Available", "Util%"]
        return [name, "---", "", *grid([header], [[a, used, "0", *extra, b, "0.1"] for a, used, b in rows]), "", ""]

    half = f"{f.tiles_x2 / 2:g}"
    logic = [
        ("Slice LUTs*", str(f.lut), "53200"),
        ("  LUT as Logic", "1", "53200"),
        ("Slice Registers", str(f.ff), "106400"),
    ]
    memory = [("Block RAM Tile", half, "140"), ("  RAMB18", "1", "280"), ("URAM", str(f.uram), "0")]
    by_slr = [["CLB LUTs", "0", "0"], ["DSPs", "0", "0"], ["Block RAM Tile", "0", "0"]]
    lines = [
        *_vivado("Utilization Design Information"), *table("1. Slice Logic", logic), *table("2. Memory", memory),
        *table("3. DSP", [("DSPs", str(f.dsp), "220")]), *table("4. Slices", [("Slice Registers", "77", "1")]),
        "5. By SLR", "", *grid([["Site Type", "SLR0", "SLR1"]], [list(row) for row in by_slr]), "",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def timing_rpt(f: Figures, clocks: int = 1) -> str:
    names = ["WNS(ns)", "TNS(ns)", "TNS Failing Endpoints", "TNS Total Endpoints", "WHS(ns)", "THS(ns)"]
    slack = "NA" if f.slack is None else f"{f.slack:.3f}"
    cells = [slack, "0.000", "0", "3442", "0.071", "0.000"]
    rows = ["    " + "  ".join(f"{text:>{len(n)}}" for text, n in zip(row, names, strict=True)) + "  "
            for row in (names, ["-" * len(n) for n in names], cells)]  # fmt: skip
    bar = "-" * 96
    periods = [f"clk{i}  {{0.000 2.500}}  {5 + i}.000  200.000" for i in range(clocks)]
    lines = [
        *_vivado("Timing Summary Report"), bar, "| Design Timing Summary", "| ---------------------", bar, "",
        *rows, "", "",
        "Timing constraints are not met.", "", "", bar, "| Clock Summary", "| -------------", bar, "",
        "Clock  Waveform(ns)  Period(ns)  Frequency(MHz)", "-----  ------------  ----------  --------------",
        *periods, "",
        "", bar, "| Intra Clock Table", "| -----------------", bar, "",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


SAMPLES: dict[str, Callable[[Figures], str]] = {
    "hls_csynth_xml": csynth_xml,
    "hls_csynth_rpt": csynth_rpt,
    "hls_summary_rpt": summary_rpt,
    "hls_cosim_rpt": cosim_rpt,
    "hls_export_rpt": export_rpt,
    "vivado_utilization": utilization_rpt,
    "vivado_timing": timing_rpt,
}
