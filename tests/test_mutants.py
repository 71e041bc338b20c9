"""A few mutants of each kind through a build's checks; the campaign of hundreds is benchmarks/mutants.py."""

import random

import mutant_checks
import mutant_designs
import mutants_verilog
import numpy as np
import pytest
from equivalence import core_ports, same_hardware
from mutants import Edit, Mutant, edited, generate

from flow.bench.description import from_json, to_json
from flow.core.evaluate import evaluate
from flow.emit.rtl.testbench import describe
from flow.files import plan


@pytest.fixture(scope="module")
def subjects():
    return mutant_designs.subjects()


@pytest.fixture(scope="module")
def emitted(subjects, tmp_path_factory):
    """What a build emits for the Verilog subjects, without a build's checks."""

    def place(subject):
        base = tmp_path_factory.mktemp("base") / "build"
        hardware = subject.hardware()
        plan.mirror(dict(hardware.rtl.files), plan.folder(base / "rtl"))
        plan.write_file(base / "sim" / "bench.json", to_json(describe(subject.design, hardware.rtl)))
        return base

    return {name: place(s) for name, s in subjects.items() if s.kind == "verilog"}


def test_every_class_of_a_mutated_head_is_selected(subjects):
    """Else a mutant of a logit that never wins could not be told from the hardware, nor proved to be no fault."""
    for subject in subjects.values():
        if subject.design.head == "argmax":
            inputs = mutant_designs.random_inputs(subject.design, 4000, 1)
            classes = len(subject.design.layers[-1].neurons)
            chosen = np.bincount(evaluate(subject.design, inputs)[:, 0], minlength=classes)
            assert chosen.min() > 0, (subject.name, chosen)


def mutants_of(subject, base, count, seed):
    files = subject.files(base)
    masks = {name: subject.mask(text) for name, text in files.items()}
    return generate(files, masks, subject.operators, count, seed)


@pytest.mark.parametrize("name", ["verilog parallel", "verilog folded, slices"])
def test_no_mutant_of_verilog_survives(name, subjects, emitted):
    subject, base = subjects[name], emitted[name]
    rest = len(mutants_verilog.OPERATORS)
    chosen = mutants_of(subject, base, rest, 11)[:: 4 if "folded" in name else 3]
    verdicts = [mutant_checks.judged(subject, m, base) for m in chosen]
    assert {v["outcome"] for v in verdicts} <= {"caught", "equivalent", "invalid"}, verdicts
    assert sum(v["outcome"] == "caught" for v in verdicts) >= 3


def test_no_mutant_of_the_driver_survives(subjects, tmp_path):
    subject = subjects["driver PYNQ"]
    for mutant in mutants_of(subject, tmp_path, 3, 5):
        verdict = mutant_checks.judged(subject, mutant, tmp_path)
        assert verdict["outcome"] in ("caught", "equivalent"), verdict
        # a driver that waits for ever is found out by its time
        assert verdict["outcome"] == "equivalent" or verdict["by"].startswith(("test_", "hang")), verdict


def test_the_true_driver_passes_and_words_are_no_fault(subjects, tmp_path):
    subject = subjects["driver PYNQ"]
    (name, text), = subject.files(tmp_path).items()  # fmt: skip
    nothing = Mutant(name, "comment", (Edit(len(text), len(text), "# the end\n"),))
    verdict = mutant_checks.judged(subject, nothing, tmp_path)
    assert verdict["outcome"] == "survived", verdict


@pytest.mark.long
def test_mutants_of_hls_sources_are_built_and_compared(subjects, tmp_path):
    subject = subjects["hls io_parallel"]
    base = tmp_path / "build"
    mutant_checks.prepare(subject, base)
    weight = next(m for m in mutants_of(subject, base, 20, 1) if m.operator == "weight")
    verdict = mutant_checks.judged(subject, weight, base)
    assert (verdict["outcome"], verdict["by"]) == ("caught", "hls"), verdict
    text = subject.files(base)["firmware/nnet_utils/nmp_grouped_dense.h"]
    at = text.index("index[0] = 0;")  # of the head, which this design does not have
    unused = Mutant("firmware/nnet_utils/nmp_grouped_dense.h", "number", (Edit(at + 11, at + 12, "1"),))
    verdict = mutant_checks.judged(subject, unused, base)
    assert (verdict["outcome"], verdict["by"]) == ("equivalent", "same object code"), verdict


def test_hardware_that_differs_once_in_many_inputs_is_not_the_same(subjects, emitted, tmp_path):
    subject, base = subjects["verilog parallel"], emitted["verilog parallel"]
    files, bench = subject.files(base), from_json((base / "sim" / "bench.json").read_text())
    ports = core_ports(bench, subject.design)
    assert len(bench.inputs) == 4 and bench.inputs[1].bits == 4

    def same(text):
        changed = {**files, "net.v": files["net.v"].replace("assign out_data = output_y;", text)}
        assert changed != files
        return same_hardware(ports, files, changed, tmp_path / "pair", synthesis=False)

    assert same("assign out_data = ~(~output_y);")
    late = "reg [14:0] late; always @(posedge clk) late <= in_data; "
    assert not same(f"{late}assign out_data = output_y ^ (late == 15'h2a51);")
    assert not same("integer n = 0; always @(posedge clk) n <= n + 1; assign out_data = output_y ^ (n > 300);")
    assert same(f"{late}assign out_data = output_y ^ (late[7:4] == 8);"), "the second input is never -8"


def test_every_operator_finds_places_and_changes_something(subjects, emitted, tmp_path):
    for name, subject in subjects.items():
        if subject.kind == "verilog":
            files = subject.files(emitted[name])
        elif subject.kind == "driver":
            files = subject.files(tmp_path)
        else:
            continue
        masks = {f: subject.mask(t) for f, t in files.items()}
        assert all(len(masks[f]) == len(t) for f, t in files.items())
        found = generate(files, masks, subject.operators, 60, 3)
        assert found == generate(files, masks, subject.operators, 60, 3) and len(set(found)) == 60
        missing = set(subject.operators) - {m.operator for m in found}
        assert missing <= {"memory bit", "truth"}, (name, missing)
        for mutant in found:
            before, after = mutant.difference(files).split(": `", 1)[1].split("` -> `")
            assert before != after.rstrip("`") and mutant.apply(files)[mutant.file] != files[mutant.file]


def test_what_only_a_proof_reads_is_not_mutated():
    text = "a <= 1'b0;\n`ifdef FORMAL\nb <= 1'b0;  // c\n`endif\nd <= 1'b0;  // e <= 1'b1;\n"
    places = mutants_verilog.OPERATORS["constant bit"](text, mutants_verilog.mask(text), random.Random(0))
    changed = {edited(text, site) for site in places}
    assert changed == {text.replace("a <= 1'b0", "a <= 1'b1"), text.replace("d <= 1'b0", "d <= 1'b1")}
