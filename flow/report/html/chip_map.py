"""A report's bitstream: what was compared on the way to it and back, and a picture of the chip by layers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from markupsafe import Markup

from flow.report.wording import number, table

_COLOURS = ("#2a78d6", "#e1812c", "#3a923a", "#c03d3e", "#9372b2", "#845b53", "#d684bd", "#b8b836", "#4ab8c4")
_OTHER = "#a8a8a8"
_LINE = 14
_COMPARED = {
    "luts": "LUTs", "flip_flops": "flip-flops", "carries": "carry chains", "memories": "memories",
    "dsp_slices": "DSP slices", "pins": "pins",
}  # fmt: skip


def svg(layout: Mapping[str, Any]) -> str:
    """The picture of ``flow.bitstream.layout``'s data; names of layers are escaped."""
    columns, rows = int(layout["columns"]), 2 * int(layout["rows"])
    parts = [f'<rect width="{columns}" height="{rows}" fill="#f2f2f2" stroke="#808080" stroke-width="1"/>']
    for i, (layer, slices) in enumerate(layout["layers"].items()):
        colour = _COLOURS[i % len(_COLOURS)] if layer else _OTHER
        path = "".join(f"M{int(x)} {2 * int(y)}h1v2h-1z" for x, y in slices)
        name = escape(str(layer)) or "wrapper, constants and ways for nets"
        y = rows + _LINE * (i + 1)
        parts.append(f'<path d="{path}" fill="{colour}"><title>{name}</title></path>')
        parts.append(f'<rect x="0" y="{y - 9}" width="9" height="9" fill="{colour}"/>')
        parts.append(f'<text x="14" y="{y - 1}" fill="currentColor">{name}: {len(slices):,} slices</text>')
    height = rows + _LINE * (len(layout["layers"]) + 1)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} {height}" role="img" font-size="10">'
    return f"{head}<title>which layer lies where on the chip</title>{''.join(parts)}</svg>\n"


def bitstream(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Each comparison with its outcome, and the picture; None where no bitstream was made."""
    found, entry = table(report, "bitstream"), table(table(report, "verification"), "bitstream")
    if not found:
        return None
    compared, right = table(found, "compared"), not found["differences"]
    bits = number(found["bits"])
    counts = ", ".join(f"{number(compared.get(key))} {word}" for key, word in _COMPARED.items())
    rows = [
        ("routed design to bits", f"{number(found['features'])} features, none unknown; {bits} bits", True),
        ("contents of LUTs", f"{len(found['lut_contents_corrected'])} were written wrong by nextpnr, corrected", True),
        ("bits to netlist", f"{bits} bits and {number(found['switches'])} switches of the routing explained", right),
        ("netlist of the bits and the synthesized one", counts, right),
        ("netlist of the bits in Verilator", f"{number(entry.get('vectors'))} vectors", not entry.get("mismatches", 1)),
    ]
    head = {name: found[name] for name in ("file", "sha256", "part")}
    return {**head, "rows": rows, "picture": Markup(svg(found["placed"]))}
