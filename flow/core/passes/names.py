"""Names of modules, functions and files: what is emitted under them, and a design whose names clash nowhere.

Everything emitted is named after the design and its layers. A legal name may make one of our own: layer ``row`` of a
design ``nmp`` would be the module ``nmp_row``, layer ``in`` of a folded design the wire ``in_data``. Such a layer, or
design, gets another name here, so that whatever is emitted later fits; all other names stay as they are.
"""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from flow.core.design import Design
from flow.core.keywords import CPP, CPP_NAMES, PRIMITIVES, RESERVED, VHDL

# Modules, and so files, whose names are the same in every design.
MODULES = frozenset(
    """
    axis_collect axis_packets axis_pixels axis_registers axis_results axis_send flow_route folded_buffer folded_control
    folded_pe folded_product folded_results folded_slices folded_threshold folded_tokens folded_trits nmp_atoms
    nmp_carried nmp_dump nmp_full_adder nmp_row nmp_sum nmp_table stream_collect stream_fifo stream_gather stream_lines
    stream_max stream_register stream_repeat stream_window vendor_bench_top
    """.split()
)
_PORTS = frozenset("clk rst in_valid in_ready in_data out_valid out_ready out_data aclk aresetn".split())
_TOP_SIGNALS = _PORTS | {"argmax_y", "u_argmax"}
_SIMULATORS = frozenset(("TOP", "std"))  # Verilator's own, and a package of SystemVerilog
_SIGNAL_SUFFIXES = ("y", "write", "data", "place", "close", "release")
_PARTS = r"(binary|ternary|signed\d+|parameters\d+)"  # of a folded layer, modules of their own
_WIDTH = r"w\d+(p\d+)?"  # of a group: its array of weights in C++
# What the headers of C, of AMD and of hls4ml define: macros by families, and include guards, which are made of names.
_CPP_FAMILIES = re.compile(
    r"layer\d+_\w+|u?int(_fast|_least)?\d+_t|u_int\d+_t|pthread_\w+|(nnet|ap|AP|APFX|AF|OP|REF|SC|X_HLS)_\w+"
    r"|(ADJ|CLOCK|CLONE|CPU|EXIT|FD|FE|FP|HUGE_VAL|INT\d*|UINT\d*|U?INT_\w+|U?INTMAX|U?INTPTR|LC|M|MOD|PTHREAD|PTRDIFF"
    r"|SCHED|SEEK|SIG_ATOMIC|SIZE|SNAN|STA|TIME|TIMER|WCHAR|WINT)_\w+",
)
_MAX_NAME = 64


def verilog_top(design: Design) -> str:
    """Name of the top module: the design's, unless Verilog knows that word."""
    return design.name if design.name not in RESERVED else f"{design.name}_top"


def hls_top(design: Design) -> str:
    """Name of the HLS project and its top function: the design's, unless C++, Verilog or VHDL knows that word."""
    taken = design.name in CPP | RESERVED or design.name.lower() in VHDL
    return f"{design.name}_top" if taken else design.name


def names(design: Design) -> Design:
    """The design, with another name for itself or a layer where something of ours has that name already.

    What was renamed stands in ``source``: ``renamed`` maps the old names of layers to the new ones, and a note says it.
    """
    notes: list[str] = []
    if _top_clashes(design):
        old, design = design.name, replace(design, name=f"net_{design.name[: _MAX_NAME - 4]}")
        notes.append(f"the model is called {design.name} in the hardware: {old} is a name of the flow's own")
    renamed: dict[str, str] = {}
    for index, layer in enumerate(design.layers):
        if not _clashes(design, index, layer.name):
            continue
        new = next(n for n in _endings(layer.name) if not _clashes(design, index, n))
        notes.append(f"layer {layer.name} is called {new} in the hardware: its own name would clash there")
        renamed[layer.name] = new
        layers = tuple(replace(la, name=new) if i == index else la for i, la in enumerate(design.layers))
        design = replace(design, layers=layers)
    if not notes:
        return design
    before = design.source.get("notes")
    source = {**design.source, "notes": [*(before if isinstance(before, list) else []), *notes]}
    return replace(design, source={**source, "renamed": {**renamed_layers(design), **renamed}})


def renamed_layers(design: Design) -> dict[str, str]:
    """The layers that were renamed: old names and new ones."""
    found = design.source.get("renamed")
    return {str(old): str(new) for old, new in found.items()} if isinstance(found, dict) else {}


def _endings(name: str) -> Iterator[str]:
    """``name`` with one ending after the other."""
    stem = name[: _MAX_NAME - 12]
    yield f"{stem}_layer"
    yield from (f"{stem}_layer{number}" for number in itertools.count(2))


def _top_clashes(design: Design) -> bool:
    """Whether the design's own name is one that is taken, whatever its layers are called."""
    rtl, hls = verilog_top(design), hls_top(design)
    modules = {rtl, *(f"{rtl}_{own}" for own in ("axis", "argmax", "network"))}
    return (
        bool(modules & PRIMITIVES or {m.lower() for m in modules} & MODULES)
        or rtl in _PORTS | _SIMULATORS
        or hls in CPP_NAMES
        or hls in errno.errorcode.values()
        or hls.lower() in ("defines", "parameters", "nmp_grouped_dense")
        or bool(_CPP_FAMILIES.fullmatch(hls))
    )


def _clashes(design: Design, index: int, name: str) -> bool:
    """Whether layer ``index`` called ``name`` would clash with ours, the top's, or an earlier or later layer's."""
    rtl, hls = verilog_top(design), hls_top(design)
    module, others = f"{rtl}_{name}", [la.name for i, la in enumerate(design.layers) if i != index]
    if module in PRIMITIVES or module.lower() in {*MODULES, f"{rtl}_axis".lower(), f"{rtl}_network".lower()}:
        return True
    if design.head == "argmax" and name.lower() == "argmax":
        return True
    if hls == f"nmp_{name}" or re.fullmatch(rf"(nmp_)?{name}_{_WIDTH}", hls):
        return True
    own = set(_signals(name))
    if own & _TOP_SIGNALS or any(own & set(_signals(other)) for other in others):
        return True
    return any(
        other.lower() == name.lower() or re.fullmatch(rf"{other}_({_PARTS}|{_WIDTH})", name, re.IGNORECASE)
        for other in others
    )


def _signals(layer: str) -> Iterator[str]:
    """What the top module declares for a layer."""
    yield f"u_{layer}"
    yield from (f"{layer}_{suffix}" for suffix in _SIGNAL_SUFFIXES)
