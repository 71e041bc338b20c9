"""What a bench must know of emitted RTL, element by element."""

from __future__ import annotations

from flow.bench.description import Bench, Element
from flow.core.compare import output_names
from flow.core.design import Design
from flow.core.fixed import bits_for
from flow.emit.rtl.verilog import Rtl


def describe(design: Design, rtl: Rtl) -> Bench:
    """The bench description of emitted RTL; elements are named by layer and neuron."""
    inputs = tuple(Element.of(f, f"input {i}") for i, f in enumerate(design.input_formats))
    if design.head == "argmax":
        _, bits = bits_for(0, max(len(design.output_formats) - 1, 1))
        outputs: tuple[Element, ...] = (Element(bits, False, *output_names(design)),)
    else:
        outputs = tuple(map(Element.of, design.output_formats, output_names(design)))
    sources = tuple(f"rtl/{name}" for name in rtl.files)
    is_streamed = bool(design.nodes)
    return Bench(
        rtl.top, sources, inputs, outputs, rtl.latency_cycles, rtl.initiation_interval, rtl.ready,
        in_beats=design.nodes[0].window.pixel_count if is_streamed else 1,
        out_beats=design.nodes[-1].window.count if is_streamed and design.head != "argmax" else 1,
        streams=is_streamed,
    )  # fmt: skip
