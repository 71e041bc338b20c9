"""Which element of the design lies at which place: of a folded layer's input words, and of the output port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.design import Design
from flow.core.errors import DesignError
from flow.folded.proof.rtl_reader import Bit, ReadLayer, signed

Range = tuple[int, int]


@dataclass(frozen=True)
class Element:
    """What enters a layer at a place: an element of the design, shifted left, and the range of its mantissa."""

    index: int
    shift: int
    range: Range


def input_places(read: ReadLayer, design: Design, ranges: Sequence[Range], name: str) -> list[Element | None]:
    """The element at every place of the first layer's words."""
    bits = operand(read, name)[0]
    owner, first = {}, 0
    for element, fmt in enumerate(design.input_formats):
        owner[first] = element
        first += fmt.bits
    found: list[Element | None] = []
    for word in read.inputs:
        if len(word) % bits:
            raise DesignError(f"layer {name}: an input word of {len(word)} bits is no number of elements")
        places = [word[k : k + bits] for k in range(0, len(word), bits)]
        found += [_input_place(place, owner, design, ranges, name) for place in places]
    return found


def _input_place(
    place: Sequence[Bit], owner: dict[int, int], design: Design, ranges: Sequence[Range], name: str
) -> Element | None:
    used = [bit for bit in place if bit is not None]
    if not used:
        return None
    shift = next(k for k, bit in enumerate(place) if bit is not None)
    if used[0] not in owner:
        raise DesignError(f"layer {name}: an input word cuts an element at bit {used[0]} of the port")
    element = max(e for first, e in owner.items() if first == used[0])
    fmt, (low, high) = design.input_formats[element], ranges[element]
    own = [used[0] + k for k in range(min(fmt.bits, len(place) - shift))]
    above = list(place[shift + len(own) :])
    if list(place[shift : shift + len(own)]) == own:
        if above and above == [used[0] + fmt.bits - 1] * len(above) and fmt.signed:
            return Element(element, shift, (low, high))
        fits = low >= 0 and high >> len(own) == 0
        if above and above == [None] * len(above) and fits:
            return Element(element, shift, (low, high))
        if not above and (fits or (fmt.signed and -low <= 1 << len(own) - 1 > high)):
            return Element(element, shift, (low, high))
    raise DesignError(f"layer {name}: input element {element} does not enter its word at its value")


def buffer_places(read: ReadLayer, sent: list[dict[int, Element]], name: str) -> list[Element | None]:
    """The element at every place of a buffer, as the units of the layer before fill its banks in turn."""
    words, simd = read.control["WORDS"], sum(b.parameters["BANKS"] for b in read.buffers)
    places: list[Element | None] = [None] * (words * simd)
    if sorted(b.lane for b in read.buffers) != list(range(len(sent))):
        raise DesignError(f"layer {name}: not every unit of the layer before has its buffer")
    for buffer in read.buffers:
        banks, shape = buffer.parameters["BANKS"], buffer.parameters
        if (shape["DEPTH"], shape["SLOTS"], shape["BITS"]) != (words, read.control["SLOTS"], operand(read, name)[0]):
            raise DesignError(f"layer {name}: a buffer has another shape than its sequencer walks")
        elements = [sent[buffer.lane][turn] for turn in sorted(sent[buffer.lane])]
        if len(elements) > banks * words:
            raise DesignError(f"layer {name}: {len(elements)} elements overflow {banks} banks of {words} words")
        for n, element in enumerate(elements):
            places[n // banks * simd + buffer.first + n % banks] = element
    return places


def operand(read: ReadLayer, name: str) -> tuple[int, int]:
    """Width and sign of the elements of a layer, the same for all its groups."""
    kinds = {(g.parameters["X_BITS"], g.parameters["X_SIGNED"]) for g in read.groups.values()}
    if len(kinds) != 1:
        raise DesignError(f"layer {name}: its groups take elements of different widths")
    return next(iter(kinds))


def check_collected(
    design: Design, sent: list[dict[int, Element]], ranges: Sequence[Range], text: str, layer: str
) -> None:
    """Every output element is what its neuron sent, or its constant, at its place of the port."""
    taken = {
        int(n): (int(lane), int(turn), int(low), int(bits))
        for lane, turn, n, low, bits in re.findall(
            rf"if \({layer}_write\[(\d+)\] && {layer}_place == \d+'d(\d+)\) n(\d+) <= {layer}_data\[(\d+)\+:(\d+)\];",
            " ".join(text.split()),  # long lines go on in the next one
        )
    }
    port = r"assign collected(?:\[(\d+)(?::(\d+))?\])? = "
    assigned = re.findall(port + r"(?:n(\d+)|(\d+)'d(\d+));  // neuron (\d+)", text)
    sources = {int(j): (high, low, n, bits, value) for high, low, n, bits, value, j in assigned}
    offset = 0
    for j, fmt in enumerate(design.output_formats):
        where = f"layer {layer}, neuron {j}: the top module"
        if fmt.bits:
            high, low, n, _, value = sources.get(j, ("", "", "", "", ""))
            if high and (int(high), int(low or high)) != (offset + fmt.bits - 1, offset):
                raise DesignError(f"{where} puts its output elsewhere")
            if n:
                lane, turn, start, width = taken.get(int(n), (-1, -1, -1, -1))
                element = sent[lane].get(turn) if 0 <= lane < len(sent) else None
                if int(n) != j or element is None or element.index != j or element.shift or width != fmt.bits:
                    raise DesignError(f"{where} takes another output")
                if not (fmt.low <= ranges[j][0] and ranges[j][1] <= fmt.high):
                    raise DesignError(f"{where} has too few bits for {ranges[j][0]}..{ranges[j][1]}")
                out_bits = int(re.findall(rf"wire \[(\d+):0\] {layer}_data;", text)[0]) + 1
                if start != lane * (out_bits // len(sent)):
                    raise DesignError(f"{where} takes another output")
            elif not value or ranges[j] != (signed(int(value), fmt.bits) if fmt.signed else int(value),) * 2:
                raise DesignError(f"{where} gives another constant than {ranges[j][0]}")
        offset += fmt.bits
