"""What a person sees of a build: live steps, then a summary."""

from __future__ import annotations

import threading
import time
from math import prod
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flow.core.engines import in_order, model_kind
from flow.report.proof_chain import LINKS, chain, undecided
from flow.report.vendor_rows import vendor
from flow.report.wording import RESOURCES, TITLES, by, window
from keras_models.untrusted import one_line

_VENDOR_ROWS = {  # short enough for a narrow terminal
    "HLS synthesis (estimate)": "HLS estimate",
    "C/RTL co-simulation": "co-simulation",
    "Vivado synthesis, out of context": "Vivado synthesis",
    "Vivado place and route, out of context": "Vivado routed",
}
_TELL_WIDTH = 60
_TELL_S = 30.0  # between two lines about one running step, where lines cannot be shown in place
_MARKS = {"running": "[cyan]…[/]", "done": "[green]✓[/]", "cached": "[green]=[/]", "failed": "[red]✗[/]",
          "interrupted": "[yellow]✗[/]"}  # fmt: skip


class Progress:
    """Shows each step as it runs; on a terminal in place, otherwise one line per finished step."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.states: dict[str, tuple[str, float, float]] = {}
        self.reported: dict[str, tuple[str, float]] = {}
        self.guard = threading.Lock()
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.console.is_terminal:
            self.live.stop()
            self.console.print(self._render())

    def observe(self, step: str, state: str) -> None:
        """Take note of a step's state; called from several threads."""
        now = time.monotonic()
        with self.guard:
            start = self.states[step][1] if step in self.states else now
            self.states[step] = (state, start, now)
        if not self.console.is_terminal and state != "running":
            word = "unchanged" if state == "cached" else state
            self.console.print(f"{TITLES.get(step, step)}: {word} ({now - start:.1f} s)")

    def tell(self, step: str, what: str) -> None:
        """Show what a running step is doing; called from several threads. Not on a terminal: now and then a line."""
        now = time.monotonic()
        with self.guard:
            start = self.states[step][1] if step in self.states else now
            due = now - self.reported.get(step, ("", start))[1] >= _TELL_S
            if self.console.is_terminal or due:
                self.reported[step] = (what, now)
        if due and not self.console.is_terminal:
            self.console.print(f"{TITLES.get(step, step)}: {now - start:.0f} s, {what}", markup=False)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        with self.guard:
            states, reported = dict(self.states), dict(self.reported)
        for step, (state, start, last) in states.items():
            end = time.monotonic() if state == "running" else last
            note = {"cached": "unchanged", "interrupted": "interrupted"}.get(state, f"{end - start:.1f} s")
            what = reported[step][0] if state == "running" and step in reported else ""
            table.add_row(_MARKS[state], TITLES.get(step, step), f"[dim]{note}[/]", Text(what[:_TELL_WIDTH], "dim"))
        return table


def summary(console: Console, report: dict[str, Any], folder: str) -> None:
    """Print layers, engines, resources and the verdict of a finished build."""
    console.print()
    console.print(_layers(report))
    if report.get("stream"):
        console.print(_nodes(report["stream"]))
    console.print(_engines(report))
    if report.get("proof"):
        console.print(_proof(report))
    for place in undecided(report):
        console.print(f"[yellow]not decided by proof: {escape(place)}[/]")
    if report.get("bitstream"):
        console.print(_bitstream(report))
    console.print(_resources(report))
    if found := vendor(report):
        console.print(_vendor(found))
    for step, reason in report["skipped"].items():
        if step != "keras_score":  # stands beside the design's score
            console.print(f"[dim]skipped {step}: {shown(reason)}[/]")
    _differences(console, report)
    _scores(console, report)
    for line in report["notes"]:
        console.print(Text(f"note: {one_line(line)}", "yellow"), soft_wrap=True)
    _warnings(console, report)
    console.print(f"{_verdict(report)}; report in {shown(folder)}/report.html")


def brief(console: Console, report: dict[str, Any], folder: str) -> None:
    """Print what must not be missed, and nothing of a build that went well."""
    _differences(console, report)
    _warnings(console, report)
    if report["status"] != "ok":
        console.print(f"{_verdict(report)}; report in {shown(folder)}/report.html")


def _differences(console: Console, report: dict[str, Any]) -> None:
    for difference in report["differences"]:
        console.print(f"[red]{shown(difference)}[/]", highlight=False)


def _warnings(console: Console, report: dict[str, Any]) -> None:
    for line in report["warnings"]:
        console.print(Text(f"warning: {one_line(line)}", "bold red"), soft_wrap=True)


def _verdict(report: dict[str, Any]) -> str:
    if report["status"] == "ok":
        return "[bold green]every engine agrees on every vector[/]"
    differing = any(entry["mismatches"] for entry in report["verification"].values())
    return f"[bold red]{'engines disagree' if differing else 'the hardware is not what the design says'}[/]"


def shown(text: str) -> str:
    """Text of unknown origin as Rich's markup for itself, without control characters."""
    return escape(one_line(text))


_PREPARED = {
    "stored": "by the preprocessing stored with the model",
    "none": "as they are in the data, without preprocessing",
    "standard": "by --preprocessing standard, fitted on the training part",
}


def _scores(console: Console, report: dict[str, Any]) -> None:
    """The design's score, the Keras model's beside it, and what was done with the rows' features."""
    score, own = report["score"], report["keras_score"]
    if not score:
        return
    console.print(f"{score['metric']} of the integer design on {score['rows']} test rows of {score['data']}: "
                  f"[bold]{score['value']:.4f}[/]")  # fmt: skip
    value = "none, the build started from a design.json" if own is None else f"[bold]{own['value']:.4f}[/]"
    console.print(f"{score['metric']} of the {model_kind(report.get('source'))} model on the same rows: {value}")
    console.print(f"inputs of both: {_PREPARED[report['preprocessing']]}")


def _layers(report: dict[str, Any]) -> Table:
    table = Table(title=f"{report['design']} on {report['part']}", title_justify="left", box=None, header_style="bold")
    for name in ("layer", "in", "neurons", "zero", "bits out", "sum bits", "cycles", "adders"):
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True, overflow="fold")
    table.add_column("neurons x weight bits")  # the only one that wraps: a layer may have many groups
    for row in report["layers"]:
        groups = " ".join(f"{g['neurons']}x{g['weight_bits']:g}b" for g in row["groups"])
        out = row["mean_activation_bits"]
        low, high = row["accumulator_bits"]
        cycles = report.get("layer_latency_cycles", {}).get(row["name"], "")
        table.add_row(
            row["name"], str(row["inputs"]), str(row["neurons"]), f"{row['zero_weights'] / row['weights']:.0%}",
            "exact" if out is None else f"{out:.1f}", f"{low}-{high}", str(cycles),
            str(report.get("adders", {}).get(row["name"], "")), groups,
        )  # fmt: skip
    return table


def _nodes(stream: dict[str, Any]) -> Table:
    """A streamed network: which map each node looks at, how it is computed, and how long an image takes there."""
    title = f"streamed: {stream['cycles_per_image']:,} cycles per image"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for name in ("node", "map", "window", "out", "core", "cycles x positions", "buffer bits", "LUT sites", "BRAM18"):
        table.add_column(name, justify="left" if name in ("node", "map", "window", "out", "core") else "right")
    for node in stream["nodes"]:
        out = by([*node["positions"], node["channels"]])
        positions = prod(node["positions"])
        table.add_row(
            shown(node["name"]), by(node["shape"]), window(node), out, node["core"],
            f"{node['interval']:,} x {positions:,}", f"{node['buffer_bits']:,}", f"~{node['lut']:,}",
            str(node["bram18"]),
        )  # fmt: skip
    return table


def _engines(report: dict[str, Any]) -> Table:
    table = Table(title="verification", title_justify="left", box=None, header_style="bold")
    table.add_column("engine")
    for name in ("vectors", "mismatches", "seconds", "vectors/s"):
        table.add_column(name, justify="right")
    for name in in_order(report["verification"]):
        entry = report["verification"][name]
        bad = entry["mismatches"]
        rate = entry.get("vectors_per_second")
        table.add_row(name, f"{entry['vectors']:,}", f"[red]{bad:,}[/]" if bad else "[green]0[/]",
                      f"{entry['seconds']:.1f}", f"{rate:,.{int(rate < 10)}f}" if rate else "")  # fmt: skip
    return table


def _proof(report: dict[str, Any]) -> Table:
    """Which equalities hold for every vector, and which were compared on vectors only."""
    links, rows = chain(report)
    table = Table(title="proof", title_justify="left", box=None, header_style="bold")
    table.add_column("", no_wrap=True)
    for link in links:  # the headings wrap: four links are wider than a terminal
        table.add_column(LINKS[link])
    styles = {"proved": "green", "refuted": "red"}
    for name, states in rows:
        table.add_row(name, *(f"[{styles.get(state, 'yellow')}]{state}[/]" if state else "" for state in states))
    return table


def _bitstream(report: dict[str, Any]) -> Table:
    """The file, and what reading it back has compared."""
    found = report["bitstream"]
    compared, wrong = found["compared"], found["differences"]
    table = Table(title="bitstream, not tried on a board", title_justify="left", box=None, show_header=False)
    table.add_row("file", shown(found["file"]))
    table.add_row("features, bits", f"{found['features']:,}, {found['bits']:,}")
    table.add_row("LUT contents corrected", f"{len(found['lut_contents_corrected'])}")
    table.add_row("LUTs, flip-flops, pins compared", f"{compared.get('luts', 0):,}, {compared.get('flip_flops', 0):,}, "
                  f"{compared.get('pins', 0):,}")  # fmt: skip
    table.add_row("differences", f"[red]{wrong}[/]" if wrong else "[green]0[/]")
    return table


def _vendor(found: dict[str, Any]) -> Table:
    table = Table(title=f"{found['tool']} on the HLS project", title_justify="left", box=None, header_style="bold")
    for name in ("", "", "latency", "interval", "LUT", "FF", "DSP", "BRAM18", "clock"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for title, *figures, clock in found["rows"]:
        table.add_row(_VENDOR_ROWS.get(title, title), *figures, clock.removesuffix(" slack"))
    return table


def _resources(report: dict[str, Any]) -> Table:
    synthesis = report["synthesis"]
    table = Table(title="resources", title_justify="left", box=None, header_style="bold")
    table.add_column("")
    for name in ("used", "available", "share"):
        table.add_column(name, justify="right")
    for key, label in RESOURCES.items():
        available = synthesis["available"][key]
        share = synthesis[key] / available if available else 0.0
        table.add_row(label, f"{synthesis[key]:,}", f"{available:,}",
                      f"[red]{share:.1%}[/]" if share > 1 else f"{share:.1%}")  # fmt: skip
    if "route" in synthesis:
        table.add_row("LUT sites, placed", f"{synthesis['route']['lut_sites']['design']:,}", "", "")
    table.add_row("latency", f"{report['latency_cycles']} cycles", "", "")
    clock = f"{synthesis['fmax_mhz']} MHz"
    label = "Fmax (routed)" if "route" in synthesis else "Fmax (estimate)"
    table.add_row(label, clock, f"{1000 / report['clock_period_ns']:.0f} asked", "")
    if synthesis["critical_path"].get("through"):
        table.add_row("bound by", synthesis["critical_path"]["endpoint"], "", "")
    return table
