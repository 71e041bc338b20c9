"""Reads emitted Verilog of a folded layer back into data, for its proof: memories, elements, buffers, output units.

Nothing here knows how the text was made. What cannot be read as expected raises DesignError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flow.core.errors import DesignError
from flow.parts.family import LUT_BITS

Parameters = dict[str, int]
Bit = int | None  # index of a bit of the input port; None is 0

_PARAMETERS = r"((?:\s*\.\w+\(\d+\),?)+)\s*"
_PE = re.compile(
    rf"for \((\w+)_p = 0; \1_p < (\d+); \1_p = \1_p \+ 1\) begin : \1 folded_pe #\({_PARAMETERS}\) pe \(\s*"
    r"\.clk\(clk\), \.clear\(rst\), \.x\((\w+)\), \.w\(\1_w\[\1_p\*(\d+)\+:(\d+)\]\),\s*"
    r"\.valid\(sum_valid\), \.last\(([^;]*?)\), \.result\(\1_sum\[\1_p\*(\d+)\+:(\d+)\]\)"
)
_BUFFER = re.compile(
    rf"folded_buffer #\({_PARAMETERS}\) buffer\d+ \(\s*\.clk\(clk\), \.rst\(rst\), \.write\(in_write\[(\d+)\]\),"
    r" \.data\(in_data\[(\d+)\+:(\d+)\]\), \.close\(in_close\),\s*"
    r"\.read_address\(read_at\w*\), \.word\(fetched\[(\d+)\+:(\d+)\]\)"
)
_THRESHOLD = re.compile(
    rf"folded_threshold #\({_PARAMETERS}\) threshold(\d+) \(\s*\.clk\(clk\), \.sum\(sum\2_q\d*\),"
    r" \.bias\(parameter\2\[(\d+):(\d+)\]\),\s*\.low\(fields\2\[(\d+):0\]\), \.high\(fields\2\[(\d+)\+:(\d+)\]\),\s*"
    r"\.shift\(fields\2\[(\d+)\+:(\d+)\]\), \.align\(fields\2\[(\d+)\+:(\d+)\]\),\s*"
    r"\.even\(fields\2\[(\d+)\]\),\s*\.wrap\((2'd0|fields\2\[\d+:\d+\])\),\s*\.out_data\(out_data\[(\d+)\+:(\d+)\]\)"
)
_SUM = re.compile(r"(?:\{\{\d+\{(\w+)_sum\[(\d+)\]\}\}, )?(\w+)_sum\[(\d+)\+:(\d+)\]\}?")


@dataclass(frozen=True)
class Rom:
    """The words of a memory, all of them, each ``width`` bits."""

    width: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class ReadGroup:
    """One weight group: ``pe`` elements with the parameters of ``folded_pe``, ``slices`` parts of every word."""

    name: str
    pe: int
    slices: int
    parameters: Parameters
    rom: Rom


@dataclass(frozen=True)
class ReadBuffer:
    """The banks that one output unit of the layer before fills: parameters, that unit, first place in the word."""

    parameters: Parameters
    lane: int
    first: int


@dataclass(frozen=True)
class Format:
    """What an output unit does with a sum, beside the bias."""

    even: int
    align: int
    shift: int
    high: int
    low: int
    wrap: int = 0


@dataclass(frozen=True)
class ReadLane:
    """An output unit: by place the (group, element) it takes, by code its formats, parameters of ``folded_threshold``.

    ``rom`` holds {bias, code} of every turn.
    """

    choices: dict[int, tuple[str, int]]
    formats: dict[int, Format]
    code_bits: int
    parameters: Parameters
    rom: Rom


@dataclass(frozen=True)
class ReadLayer:
    """One layer. ``inputs`` has the input words as bits of the port, lowest first; later layers have ``buffers``."""

    control: Parameters
    drain: int
    turns: int
    groups: dict[str, ReadGroup]
    lanes: tuple[ReadLane, ...]
    buffers: tuple[ReadBuffer, ...]
    inputs: tuple[tuple[Bit, ...], ...]
    slice_parameters: tuple[tuple[str, Parameters], ...] = ()


def read_layer(files: Mapping[str, str], module: str) -> ReadLayer:
    """Read the layer module ``module`` and its memories from emitted files."""
    text = _flat(files[f"{module}.v"])
    groups = {}
    for match in _PE.finditer(text):
        group = _group(files, module, text, match)
        groups[group.name] = group
    control = _parameters(_one(rf"folded_control #\({_PARAMETERS}\)", text, module)[1])
    buffers = tuple(_buffer(match, module) for match in _BUFFER.finditer(text))
    first = "input wire in_valid" in text
    return ReadLayer(
        control=control,
        drain=int(_one(r"wire last_place = place == \d+'d(\d+);", text, module)[1]) + 1,
        turns=int(_one(r"wire last_turn = turn == \d+'d(\d+);", text, module)[1]) + 1,
        groups=groups,
        lanes=tuple(_lane(files, module, text, match) for match in _THRESHOLD.finditer(text)),
        buffers=buffers,
        inputs=_input_words(text, module) if first else (),
        slice_parameters=tuple(
            (m[2], _parameters(m[1])) for m in re.finditer(rf"folded_slices #\({_PARAMETERS}\) (\w+)_slices", text)
        ),
    )


def read_rom(files: Mapping[str, str], module: str) -> Rom:
    """Read a memory; every address must be there once, every word be as wide as the memory."""
    text = _flat(files.get(f"{module}.v", ""))
    shape = _one(r"reg \[(\d+):0\] memory \[0:(\d+)\];", text, module)
    width, depth = int(shape[1]) + 1, int(shape[2]) + 1
    lines = [(int(a), _constant(word)) for a, word in re.findall(r" memory\[(\d+)\] = ([^;]*);", text)]
    words = [word for _, (word, _) in lines]
    if [a for a, _ in lines] != list(range(depth)) or {bits for _, (_, bits) in lines} != {width}:
        raise DesignError(f"{module}: not every word of the memory is there once, {width} bits wide")
    tables = {
        (int(bit), int(part)): int(content, 16)
        for content, bit, part in re.findall(r"LUT6 #\(\.INIT\(64'h([0-9a-f]{16})\)\) l_t(\d+)_(\d+) ", text)
    }
    wanted = {
        (bit, part): sum((word >> bit & 1) << i for i, word in enumerate(words[LUT_BITS * part :][:LUT_BITS]))
        for bit in range(width)
        for part in range(-(-depth // LUT_BITS))
    }
    if tables and tables != wanted:
        raise DesignError(f"{module}: its look-up tables do not hold the words of the memory")
    return Rom(width, tuple(words))


def _flat(text: str) -> str:
    """The text without comments and line breaks: where a statement goes on in the next line means nothing."""
    text = re.sub(r"\s+", " ", re.sub(r"//[^\n]*", "", text))
    return re.sub(r"(?<=\() | (?=\))", "", text)


def _constant(text: str) -> tuple[int, int]:
    """Value and width of a number or of several joined, highest first. Raises DesignError for anything else."""
    if not re.fullmatch(r"\{?\d+'h[0-9a-f]+(, \d+'h[0-9a-f]+)*\}?", text):
        raise DesignError(f"{text:.40} is no word of a memory")
    value = width = 0
    for bits, digits in re.findall(r"(\d+)'h([0-9a-f]+)", text):
        if int(digits, 16) >> int(bits):
            raise DesignError(f"{bits}'h{digits:.40} of a memory's word is wider than it says")
        value, width = value << int(bits) | int(digits, 16), width + int(bits)
    return value, width


def _one(pattern: str, text: str, where: str) -> re.Match[str]:
    found = list(re.finditer(pattern, text))
    if len(found) != 1:
        raise DesignError(f"{where}: {len(found)} places look like {pattern!r:.60}, one expected")
    return found[0]


def _parameters(text: str) -> Parameters:
    return {name: int(value) for name, value in re.findall(r"\.(\w+)\((\d+)\)", text)}


def _group(files: Mapping[str, str], module: str, text: str, match: re.Match[str]) -> ReadGroup:
    name, pe, parameters = match[1], int(match[2]), _parameters(match[3])
    where = f"{module}, group {name}"
    weight_bits = parameters["SIMD"] * parameters["WEIGHT_BITS"]
    if {int(match[5]), int(match[6])} != {weight_bits} or {int(match[8]), int(match[9])} != {parameters["SUM_BITS"]}:
        raise DesignError(f"{where}: elements are not side by side")
    instance = rf"(\w+) {name}_rom \(\.clk\(clk\), \.address\((\w+)\[(\d+):0\]\), \.word\({name}_word\)\);"
    rom = _one(instance, text, where)
    memory = read_rom(files, rom[1])
    if len(memory.words) > 2 << int(rom[3]):
        raise DesignError(f"{where}: the address does not reach every word")
    slices, operand = 1, parameters["SIMD"] * parameters["X_BITS"]
    sliced = re.search(rf"folded_slices #\({_PARAMETERS}\) {name}_slices", text)
    if sliced:
        slices = _parameters(sliced[1])["SLICES"]
        parts = re.findall(rf"(?:\d+'d(\d+)|default): {name}_x <= \w+\[(\d+)\+:(\d+)\];", text)
        expected = [(i, i * operand, operand) for i in range(slices)]
        if [(int(n or slices - 1), int(low), int(w)) for n, low, w in parts] != expected:
            raise DesignError(f"{where}: the parts of the input words are not taken in turn")
    if parameters["KIND"] == 2:
        _check_trits(name, pe * parameters["SIMD"], memory.width, text, where)
    return ReadGroup(name, pe, slices, parameters, memory)


def _check_trits(name: str, count: int, width: int, text: str, where: str) -> None:
    """Decoders in order over the word, what is left of it as it is."""
    whole, wanted = count // 3, []
    if whole:
        decoder = f".code({name}_word[5*{name}_t+:5]), .trits({name}_code[6*{name}_t+:6])"
        wanted += [f"{name}_t < {whole};", decoder]
    if count % 3:
        wanted.append(f"assign {name}_code[{2 * count - 1}:{6 * whole}] = {name}_word[{width - 1}:{5 * whole}];")
    if any(part not in text for part in wanted):
        raise DesignError(f"{where}: the ternary weights are not decoded in order")


def _buffer(match: re.Match[str], module: str) -> ReadBuffer:
    parameters = _parameters(match[1])
    bits, banks = parameters["BITS"], parameters["BANKS"]
    lane, low, width, first, word = (int(match[k]) for k in range(2, 7))
    if (low, width, word) != (lane * bits, bits, banks * bits) or first % bits:
        raise DesignError(f"{module}: buffer of unit {lane} is not wired to its unit and its place in the word")
    return ReadBuffer(parameters, lane, first // bits)


def _lane(files: Mapping[str, str], module: str, text: str, match: re.Match[str]) -> ReadLane:
    number, parameters = int(match[2]), _parameters(match[1])
    where = f"{module}, output unit {number}"
    choices = {}
    for place, source in re.findall(rf"\d+'d(\d+): sum{number} = ([^;]*);", text):
        choices[int(place)] = _choice(source, where)
    instance = rf"(\w+) parameters{number} \(\.clk\(clk\), \.address\(turn\), \.word\(parameter{number}\)\);"
    rom = _one(instance, text, where)
    memory, code_bits = read_rom(files, rom[1]), int(match[4])
    limit, shift, align = (parameters[f"{name}_BITS"] for name in ("LIMIT", "SHIFT", "ALIGN"))
    wiring = [limit - 1, limit, limit, 2 * limit, shift, 2 * limit + shift, align, 2 * limit + shift + align]
    wraps = match[13] != "2'd0"
    top = 2 * limit + shift + align
    wiring += [number * parameters["OUT_BITS"], parameters["OUT_BITS"]]
    biased = (int(match[3]) + 1, memory.width) == (memory.width, parameters["BIAS_BITS"] + code_bits)
    wrapping = match[13] in ("2'd0", f"fields{number}[{top + 2}:{top + 1}]")
    if [int(match[k]) for k in (*range(5, 13), 14, 15)] != wiring or not biased or not wrapping:
        raise DesignError(f"{where}: bias and format are not wired field by field")
    formats = {}
    for code, fields in re.findall(rf"\d+'d(\d+): fields{number} = \{{([^;]*)\}};", text):
        values = [(int(v), int(w)) for w, v in re.findall(r"(\d+)'d(\d+)", fields)]
        if [w for _, w in values] != [*[2] * wraps, 1, align, shift, limit, limit]:
            raise DesignError(f"{where}: format {code} has fields of other widths")
        *wrap, even, up, drop, high, low = (v for v, _ in values)
        formats[int(code)] = Format(even, up, drop, signed(high, limit), signed(low, limit), sum(wrap))
    return ReadLane(choices, formats, code_bits, parameters, memory)


def _choice(source: str, where: str) -> tuple[str, int]:
    """Group and element of a sum, sign extended from its own top bit."""
    match = _SUM.fullmatch(source)
    if match is None:
        raise DesignError(f"{where}: {source} is not the sum of an element")
    low, bits = int(match[4]), int(match[5])
    if low % bits or (match[1] is not None and (match[1], int(match[2])) != (match[3], low + bits - 1)):
        raise DesignError(f"{where}: {source} is not the sum of one element")
    return match[3], low // bits


def signed(value: int, bits: int) -> int:
    """``value`` as a two's complement number of ``bits`` bits."""
    return value - (value >> (bits - 1) << bits)


def _input_words(text: str, module: str) -> tuple[tuple[Bit, ...], ...]:
    """The words the first layer chooses from, each as bits of the input port, lowest first."""
    words: list[tuple[Bit, ...]] = []
    last = int(_one(r"input wire \[(\d+):0\] in_data", text, module)[1])
    text = re.sub(r"\bheld\b(?!\[)", f"held[{last}:0]" if last else "held[0]", text)
    blocks = re.findall(r"(?:(?:\d+'d(\d+)|(default)): )?block(\d+) <= \{([^;]*)\};", text)
    before = (-1, -1)  # block and place in it
    sizes: dict[int, int] = {}
    for place, _, block, source in blocks:
        number = int(block)
        follows = before[1] + 1 if number == before[0] else 0
        if (place and int(place) != follows) or number not in (before[0], before[0] + 1):
            raise DesignError(f"{module}: the input words are not in order")
        before = number, follows
        sizes[number] = follows + 1
        words.append(_bits(source))
    if len(sizes) > 1 and any(sizes[n] != sizes[0] for n in range(len(sizes) - 1)):
        raise DesignError(f"{module}: the blocks of input words differ in size")
    return tuple(words)


def _bits(source: str) -> tuple[Bit, ...]:
    """Bits of a concatenation of slices of ``held``, constants 0 and repeated bits, lowest first."""
    bits: list[Bit] = []
    tokens = re.findall(r"\{(\d+)\{held\[(\d+)\]\}\}|held\[(\d+)(?::(\d+))?\]|(\d+)'d0", source)
    for times, sign, high, low, zeros in reversed(tokens):
        if times:
            bits += [int(sign)] * int(times)
        elif zeros:
            bits += [None] * int(zeros)
        else:
            bits += list(range(int(low or high), int(high) + 1))
    return tuple(bits)
