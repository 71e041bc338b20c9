"""Emitted hardware can be read: no long lines, a heading per neuron that says what it computes, stages in order."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import strategies
from test_folded_lowering import PRICES, folded_design, mixed_groups

from flow.bench.bus_layout import layout_of
from flow.core.design import Design, Layer
from flow.core.errors import DesignError
from flow.core.evaluate import evaluate
from flow.core.fixed import bits_for
from flow.core.passes.widths import widths
from flow.emit.layout import WIDTH, instance, wrapped
from flow.emit.rtl.cells import cell_models
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.folded_memory import rom
from flow.emit.rtl.names import SHARED
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.emit.shell.axis import emit_axis
from flow.emit.shell.pynq import emit_pynq
from flow.folded.allocate import fold
from flow.folded.folding import Memory
from flow.folded.lowering import lower
from flow.folded.proof.rtl_reader import read_rom
from flow.parallel.generators import alkaid_graph, build_graphs
from flow.parts.family import FAMILIES
from flow.proof.text.lexer import tokens
from flow.tools import yosys


def long_lines(files):
    return [(name, line) for name, text in files.items() for line in text.splitlines() if len(line) > WIDTH]


def parallel(seed):
    """A random design's parallel hardware: any generator, family and head."""
    design = strategies.random_design(seed, max_size=9)
    graphs = build_graphs(design)
    if seed % 4 == 3:
        graphs = tuple(alkaid_graph(design, i) for i in range(len(design.layers)))
    return design, graphs, emit_parallel(design, graphs, 10.0, (*FAMILIES, strategies.GENERIC)[seed % 4])


@pytest.fixture(scope="module")
def hardware():
    return [parallel(seed) for seed in range(12)]


def test_no_line_of_a_parallel_design_and_its_shell_is_long(hardware):
    for design, _, rtl in hardware:
        bench = describe(design, rtl)
        shell = emit_axis(design.name, rtl, bench, layout_of(bench, "bytes", 64))
        vectors = strategies.vectors(design, 2)
        pynq = emit_pynq(design, shell, bench, 10.0, None, vectors, evaluate(design, vectors))
        scripts = {name: text for name, text in pynq.items() if name.endswith(".tcl")}
        assert len(scripts) == 2 and not long_lines({**rtl.files, **shell.files, **scripts})


def test_no_line_of_a_folded_design_is_long():
    made = 0
    for seed in range(8):
        design = folded_design(seed, max_size=14) if seed < 5 else mixed_groups(seed, (40, 7), inputs=60)
        design = replace(design, head="argmax") if seed % 2 and len(design.output_formats) > 1 else design
        try:
            rtl = emit_folded(fold(lower(design), (40, 300)[seed % 2], PRICES, bool(seed % 3)), 10.0)
        except DesignError:
            continue  # the interval is too short for this design
        assert not long_lines(rtl.files)
        made += 1
    assert made > 4


HEADING = re.compile(r"    // -{8} Neuron (\d+): ([\d.]+)-bit weights, output (\S+?),? .*-{8}")


def headings(text):
    """By neuron: learned width, output format and the sum as it stands in the comment."""
    found, lines = {}, text.splitlines()
    for i, line in enumerate(lines):
        if match := HEADING.fullmatch(line):
            rest = " ".join(part.strip().removeprefix("//").strip() for part in lines[i + 1 : i + 60])
            found[int(match[1])] = (
                match[2],
                match[3],
                re.match(r"sum = ((?:(?! stage | output).)*)", rest + " stage ")[1],
            )
    return found


def real_sum(text, values):
    """What a heading's sum is for real input values, exactly."""
    text = re.sub(r"x(\d+)", lambda m: f"values[{m[1]}]", text)
    text = re.sub(r"2\*\*(-?\d+)", lambda m: f"power({m[1]})", text)
    return eval(text, {"values": values, "power": lambda n: Fraction(2) ** n})


def test_every_neuron_stands_under_its_formats_weights_and_bias(hardware):
    """The headings are the design: evaluated on inputs they give the accumulators that the golden model rounds."""
    for design, _, rtl in hardware[:8]:
        inputs = strategies.vectors(design, 3, 5)
        formats = design.input_formats
        for index, layer in enumerate(design.layers):
            found = headings(rtl.files[f"{rtl.top}_{layer.name}.v"])
            assert sorted(found) == list(range(len(layer.neurons)))
            bare = Layer(layer.name, tuple(replace(n, output=None) for n in layer.neurons))
            inside = Design("one", design.inputs, (*design.layers[:index], bare))
            before = evaluate(Design("b", design.inputs, design.layers[:index]), inputs) if index else inputs
            sums = evaluate(widths(inside), inputs)
            for j, neuron in enumerate(layer.neurons):
                width, output, text = found[j]
                assert width == f"{neuron.weight_bits:g}"
                assert output == str(neuron.output.format if neuron.output else neuron.accumulator)
                for row, vector in enumerate(before):
                    values = [int(m) * Fraction(2) ** -f.frac for m, f in zip(vector, formats, strict=True)]
                    frac = widths(inside).layers[-1].neurons[j].accumulator.frac
                    assert real_sum(text, values) == int(sums[row, j]) * Fraction(2) ** -frac, (design, j)
            formats = tuple(n.output.format if n.output else n.accumulator for n in layer.neurons)


def test_stages_follow_each_other_and_hold_what_belongs_to_them(hardware):
    """In each section stages ascend, registers come first, and every name is declared before it is used."""
    for _, graphs, rtl in hardware:
        for graph in graphs:
            text = rtl.files[f"{rtl.top}_{graph.name}.v"]
            sections = re.split(r"\n    // -{8} ", text)[1:]
            assert len(sections) == len(graph.outputs) + 1
            for section in sections:
                order = [int(n) for n in re.findall(r"^    // stage (\d+) of \d+$", section, re.MULTILINE)]
                assert order == sorted(set(order))
                for stage in re.split(r"\n    // (?:stage|output)", section):
                    logic = [m.start() for m in re.finditer(r"\n    (?:wire|assign) ", stage)]
                    clocked = [m.start() for m in re.finditer(r"\n    (?:reg|always)", stage)]
                    assert not logic or not clocked or max(clocked) < min(logic)


def test_emission_knows_whose_every_name_and_line_is(hardware):
    for _, _, rtl in hardware:
        for names in rtl.names:
            lines = rtl.files[names.file].splitlines()
            for number, line in enumerate(lines, start=1):
                if not re.match(r"    (wire|reg) ", line):
                    continue
                for name in re.findall(r"\b(n\d+_\w+|s\d+\w*)\b", line.split("//")[0].split("=")[0].split("(")[0]):
                    assert names.neuron_of(name) is not None, name
                    if line.startswith("    wire"):
                        assert names.neuron_at(number) == names.neuron_of(name)
                        owner = re.match(r"n(\d+)_", name)
                        assert names.neuron_of(name) in {SHARED, int(owner[1]) if owner else SHARED}
            assert names.neuron_of("x0") is None and names.neuron_at(1) == SHARED


@pytest.mark.parametrize("width", [1, 4, 250, 256, 257, 512, 1023])
def test_words_of_memories_are_read_back_however_long_they_are(width):
    rng = np.random.default_rng(width)
    words = [int.from_bytes(rng.bytes(width // 8 + 1), "little") % (1 << width) for _ in range(5)]
    text = rom("weights", "Weights", Memory(5, width, "block"), words, {2: "noted " * 30}, True)
    assert read_rom({"weights.v": text}, "weights").words == tuple(words)
    assert not long_lines({"weights.v": text}) and text.count("noted") == 30


def test_breaking_lines_changes_no_token():
    line = "    assign y = {" + ", ".join(f"n{i}_out[{i}]" for i in range(60)) + "};  // " + "what it is " * 20
    assert len(line) > WIDTH and not long_lines({"y": wrapped(line)})
    assert [t.text for t in tokens(wrapped(line))] == [t.text for t in tokens(line)]
    for count in (1, 3, 12, 40):
        ports = [f".p{i}({{a{i}[7:0], b{i}}})" for i in range(count)]
        lines = instance("cell", "name", [f".W{i}(8'b{i:08b})" for i in range(count)], ports)
        assert not [part for part in lines if len(part) > WIDTH - 4]
        whole = f"cell #({', '.join(f'.W{i}(8{chr(39)}b{i:08b})' for i in range(count))}) name ({', '.join(ports)});"
        assert [t.text for t in tokens("\n".join(lines))] == [t.text for t in tokens(whole)]


def test_constants_are_written_as_numbers():
    signed, bits = bits_for(-63, 63)
    assert signed and bits == 7
    texts = [rtl.files[name] for _, _, rtl in (parallel(2),) for name in rtl.files if "dense" in name]
    assert any("? -7'd63 : " in text for text in texts) and not any("7'd65" in text for text in texts)


def test_simulation_models_of_block_memories_have_no_long_lines():
    text = cell_models(yosys.cell_library().read_text())
    assert not long_lines({"cells.v": text[text.index("// Simulation models of Xilinx block RAMs") :]})
