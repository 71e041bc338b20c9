"""What a person sees of a sweep: a live table on a terminal, elsewhere one line per finished trial."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flow.sweep.space import OBJECTIVES
from flow.sweep.study import Row
from keras_models.untrusted import one_line

_BEST = 10  # rows of the front that the live view shows


class View:
    """The state of a sweep on the console; ``update`` is called as often as something happens."""

    def __init__(self, console: Console, costs: Sequence[str], dashboard: str) -> None:
        self.console, self.costs, self.dashboard = console, costs, dashboard
        self.started = time.monotonic()
        self._guard = threading.Lock()
        self._rows: list[Row] = []
        self._front: list[Row] = []
        self._state: Mapping[str, Any] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live.start()
        elif self.dashboard:
            self.console.print(f"dashboard: {self.dashboard}", soft_wrap=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def update(self, rows: Sequence[Row], front: Sequence[Row], **state: Any) -> None:
        """What is shown from now on; ``state``: phase, ended, wanted, running (number -> seconds), workers, left_s."""
        with self._guard:
            self._rows, self._front, self._state = list(rows), list(front), state

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(Text(one_line(line)), soft_wrap=True)

    def _render(self) -> Group:
        with self._guard:
            rows, front, state = self._rows, self._front, self._state
        line = progress_line(rows, state, time.monotonic() - self.started)
        running = "  ".join(f"#{n} {s:.0f} s" for n, s in sorted(state.get("running", {}).items()))
        parts: list[Any] = [Text(line, style="bold")]
        if self.dashboard:
            parts.append(Text(f"dashboard {self.dashboard}", style="dim"))
        if running:
            parts.append(Text(f"running {running}", style="cyan"))
        if front:
            parts.append(front_table(front[-_BEST:], self.costs, {}))
        return Group(*parts)


def progress_line(rows: Sequence[Row], state: Mapping[str, Any], elapsed_s: float) -> str:
    """Done, running, failed, repeated, workers, time so far and left, in one line."""
    if not state:
        return "starting the workers"
    count = {name: sum(row.state == name for row in rows) for name in ("failed", "repeat")}
    retried = sum(max(row.attempts - 1, 0) for row in rows)
    words = [f"{state.get('phase', 'trials')}: {state.get('ended', 0)} of {state.get('wanted', 0)} ended",
             f"{len(state.get('running', {}))} running", f"{count['failed']} failed"]  # fmt: skip
    words += [f"{count['repeat']} drawn twice"] if count["repeat"] else []
    words += [f"{retried} retried"] if retried else []
    words += [f"{state.get('workers', 0)} workers" if state.get("workers") else "waiting for workers"]
    words += [_time(elapsed_s) + " so far"]
    left = state.get("left_s")
    return ", ".join(words + ([f"about {_time(left)} left"] if left is not None else []))


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def trial_line(row: Row, costs: Sequence[str]) -> str:
    """A finished trial in one line."""
    what = " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                    for name, value in row.parameters.items())  # fmt: skip
    again = f" (attempt {row.attempts})" if row.attempts > 1 else ""
    if row.state == "failed":
        return f"#{row.number} failed{again}: {row.error}"
    figures, seconds = row.result["figures"], row.result["seconds"]
    cached = f", {' and '.join(row.result['cached'])} from the cache" if row.result["cached"] else ""
    cost = f"{figures['lut']:,} LUT sites"
    cost += "".join(f", {name} {figures[name]:,g}" for name in costs if name != "lut")
    score = f"{figures['metric']} {figures['val']:.4f}"
    return f"#{row.number} {score}, {cost}, {sum(seconds.values()):.0f} s{cached}{again}: {what}"


def front_table(front: Sequence[Row], costs: Sequence[str], verified: Mapping[int, str]) -> Table:
    """The front as a table for the console."""
    against = " and ".join(OBJECTIVES[cost] for cost in costs)
    table = Table(title=f"front: validation score against {against}", title_justify="left", box=None,
                  header_style="bold")  # fmt: skip
    metric = front[0].result["figures"]["metric"] if front else "score"
    names = ["trial", metric, "test", "LUT sites", "cells", "FF", "cycles", "hidden", "bits"]
    names += [cost for cost in costs if cost != "lut"]
    for name in names + (["verified"] if verified else []):
        table.add_column(name, justify="left" if name in ("hidden", "verified") else "right")
    for row in front:
        f = row.result["figures"]
        cells = [str(row.number), f"{f['val']:.4f}", f"{f['test']:.4f}", f"{f['lut']:,}",
                 f"{f['lut_cells']:,}", f"{f['ff']:,}",
                 str(f["latency_cycles"]), row.parameters["hidden"], f"{f['weight_bits']:.2f}"]  # fmt: skip
        cells += [f"{f[cost]:,g}" for cost in costs if cost != "lut"]
        table.add_row(*cells, *([verified.get(row.number, "")] if verified else []))
    return table
