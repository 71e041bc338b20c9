"""How steps, numbers and formats are worded; anything absent or not finite becomes a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from flow.core.engines import ENGINES

DASH = "\u2013"
MINUS = "\u2212"
RESOURCES = {"lut": "LUT sites", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}  # of a report's synthesis, by its keys
STEPS = 10  # steps of the colour ramp
TITLES = {  # of a build's steps
    "model": "model to integer design",
    "data": "data set",
    "quantize": "formats for the float model",
    "rtl": "adder graphs and Verilog",
    **{engine.name: engine.title for engine in ENGINES},
    "proof": "proof of the folded blocks",
    "text": "proof of the Verilog text",
    "netlist proof": "proof of the netlist",
    "synthesis": "Yosys synthesis",
    "power": "energy by simulated changes",
    "profiles": "use of the formats",
    "shell_synthesis": "Yosys synthesis of the shell",
    "route": "place and route",
    "pipelining": "registers for the routed clock",
    "bitstream files": "assembly of the bitstream",
    "xls_compile": "XLS, DSLX to Verilog",
    "vendor_csim": "AMD HLS, C simulation",
    "vendor_synth": "AMD HLS, synthesis",
    "vendor_cosim": "AMD HLS, co-simulation",
    "vendor_export": "AMD HLS, IP export",
    "vendor_vsynth": "Vivado synthesis",
    "vendor_impl": "Vivado place and route",
}


def number(value: Any, digits: int = 4) -> str:
    """A number for people: thousands separated, floats to ``digits`` significant digits, words as they are."""
    if isinstance(value, bool) or value is None:
        return DASH if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    if isinstance(value, float):
        if not math.isfinite(value):
            return DASH
        text = f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
        return text.replace("-", MINUS)
    return str(value)


def percent(share: Any, digits: int = 1) -> str:
    """A share as a percentage; a small share above nothing never reads as 0."""
    if not _is_number(share):
        return DASH
    least = 10.0**-digits
    if 0 < share * 100 < least:
        return f"< {least:g} %"
    return f"{share * 100:.{digits}f} %"


def ratio(part: Any, whole: Any) -> float:
    """``part / whole``, 0 where that is not defined."""
    return part / whole if _is_number(part) and _is_number(whole) and whole else 0.0


def width(share: float) -> str:
    """A share as a CSS length, held within the bar."""
    return f"{min(max(share, 0.0), 1.0) * 100:.2f}%"


def seconds(value: Any) -> str:
    """Seconds with one decimal, two below a second, minutes from two minutes on."""
    if not _is_number(value):
        return DASH
    if value >= 120:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def bits(value: Any) -> str:
    """A width: ``1.58`` keeps its digits, ``4.0`` is 4."""
    return f"{value:g}" if _is_number(value) else DASH


def span(low: Any, high: Any) -> str:
    """A range of real values."""
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def format_bits(text: Any) -> int | None:
    """Total width in a format such as ``s12.6``."""
    digits = text[1:].partition(".")[0] if isinstance(text, str) else ""
    return int(digits) if digits.isdigit() else None


def step(value: Any, most: float) -> int:
    """Step of the colour ramp: 0 for nothing, then evenly up to ``most``."""
    if not _is_number(value) or value <= 0 or most <= 0:
        return 0
    return min(STEPS - 1, max(1, round(value / most * (STEPS - 1))))


def finite(value: Any) -> float | None:
    """The value if it is a finite number."""
    return value if _is_number(value) else None


def table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping below ``key``, empty where there is none."""
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def window(node: Mapping[str, Any]) -> str:
    """A streamed node's window in words, such as ``3x3 by 2x2``; ``1`` where it sees single pixels of no direction."""
    if node.get("repeats"):
        return f"each {by(node['repeats'])} times"
    stride = f" by {by(node['strides'])}" if any(step > 1 for step in node["strides"]) else ""
    return f"{by(node['window']) or '1'}{stride}"


def by(sizes: Iterable[int]) -> str:
    """Sizes by direction, such as ``28x28``."""
    return "x".join(map(str, sizes))
