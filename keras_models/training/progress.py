"""A progress bar with the time left and the figures of the last epoch."""

from __future__ import annotations

import math
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress:
    """Context manager that is called with each epoch's metrics; draws on standard error, in terminals only."""

    def __init__(self, epochs: int) -> None:
        self.bar = Progress(
            TextColumn("training"), BarColumn(10), MofNCompleteColumn(), TimeRemainingColumn(),  # fits 80 columns
            TextColumn("{task.fields[figures]}"), console=Console(stderr=True),
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=epochs, figures="")

    def compiling(self) -> None:
        """Say that the time until the first epoch goes into compilation."""
        self.bar.update(self.task, figures="compiling, once for networks of this shape")

    def __enter__(self) -> EpochProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, row: dict[str, float], widths: object = None) -> None:
        """Advance to the end of an epoch and show its figures."""
        figures = f"val {row['val']:.4f}, {row['mean_weight_bits']:.2f} bits"
        if math.isfinite(row["estimated_luts"]):
            figures += f", {row['estimated_luts']:.0f} sites est."
        self.bar.update(self.task, completed=row["epoch"], figures=figures)
