"""Coordinates of plots: values to places on a canvas, and ticks; the templates draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flow.report.wording import number

_TICKS = 5


class Canvas:
    """A plot's frame, with room for ticks on the left and below; sizes are in the units of its view box."""

    def __init__(self, width: float = 900.0, height: float = 420.0, left: float = 70.0, below: float = 50.0) -> None:
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = left, width - 20.0, 15.0, height - below

    def across(self, values: Sequence[float], log: bool = False) -> Callable[[float], float]:
        """The place of a value, from left to right over the range of ``values``."""
        return _scale(values, self.left, self.right, log)

    def upwards(self, values: Sequence[float]) -> Callable[[float], float]:
        """The place of a value, from the bottom to the top."""
        return _scale(values, self.bottom, self.top, False)

    def frame(self, xs: Sequence[float], ys: Sequence[float], log: bool = False) -> dict[str, Any]:
        """Sizes, and ticks of both axes with their texts; ``log`` is of the axis from left to right."""
        x, y = self.across(xs, log), self.upwards(ys)
        return {
            "width": self.width, "height": self.height, "left": self.left, "right": self.right, "top": self.top,
            "bottom": self.bottom, "x_ticks": [(f"{x(v):.1f}", number(_short(v))) for v in ticks(xs, log)],
            "y_ticks": [(f"{y(v):.1f}", number(_short(v))) for v in ticks(ys, False)],
        }  # fmt: skip


def line(places: Sequence[tuple[float, float]]) -> str:
    """The path of a line through places."""
    return "".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(places))


def wide(values: Sequence[float]) -> bool:
    """Whether values are so far apart that an axis should be logarithmic."""
    return max(values) > 8 * max(min(values), 1)


def ticks(values: Sequence[float], log: bool) -> list[float]:
    """Evenly placed values for an axis over the range of ``values``, round ones where it is not logarithmic."""
    low, high = _span(values)
    if log:
        steps = [i / (_TICKS - 1) for i in range(_TICKS)]
        return [math.exp(math.log(max(low, 1e-9)) + s * math.log(high / max(low, 1e-9))) for s in steps]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> float | int:
    """Three significant digits: what a tick has room for."""
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded.is_integer() else rounded


def _scale(values: Sequence[float], low: float, high: float, log: bool) -> Callable[[float], float]:
    least, most = _span(values)
    a, b = (math.log(max(least, 1e-9)), math.log(max(most, 1e-9))) if log else (least, most)

    def place(value: float) -> float:
        return low + (high - low) * ((math.log(max(value, 1e-9)) if log else value) - a) / (b - a)

    return place


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The values' range, widened a little and never empty."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    return (low - margin if low - margin > 0 or low <= 0 else low * 0.9), high + margin
