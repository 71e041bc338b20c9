"""Vectors in bulk: no two alike, in range, aimed; the native engine finds a fault on a rare pattern of input bits."""

from dataclasses import replace

import numpy as np
import pytest
import strategies

from flow.bench import stress_vectors
from flow.bench.vectors import make_vectors
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.generators import build_graphs
from flow.verify import native, simulate


def network(inputs=9, bits=5):
    """Two layers on inputs that have far more vectors than any run."""
    rng = np.random.default_rng(3)
    act = Quantizer.saturating(Fixed(False, 4, 1), relu=True)

    def neuron(fan_in, output):
        weights = tuple(int(w) for w in rng.integers(-4, 5, fan_in))
        return Neuron(weights, 2, 3.0, int(rng.integers(-9, 9)), 3, output)

    hidden = Layer("hidden", tuple(neuron(inputs, act) for _ in range(6)))
    last = Layer("output", tuple(neuron(6, None) for _ in range(3)))
    return finish(Design("net", (Quantizer.saturating(Fixed(True, bits, 2)),) * inputs, (hidden, last)))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    design, folder = network(), tmp_path_factory.mktemp("net")
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    return design, rtl, describe(design, rtl), folder


def gather(design, count, first=None, seed=0):
    first = make_vectors(design, 300) if first is None else first
    chunks = list(stress_vectors.distinct_vectors(design, first, count, seed))
    assert all(0 < len(chunk) <= stress_vectors.CHUNK for chunk in chunks)
    return np.concatenate(chunks)


def test_bulk_vectors_are_distinct_in_range_and_lead_with_those_given():
    design = network()
    first = np.repeat(make_vectors(design, 300), 2, axis=0)
    made = gather(design, 40_000, first)
    assert len(made) == 40_000 == len(np.unique(made, axis=0))
    assert (made >= -16).all() and (made <= 15).all()
    known = np.unique(first, axis=0)
    assert (np.unique(made[: len(known)], axis=0) == known).all()
    assert (made == gather(design, 40_000, first)).all()
    assert (made != gather(design, 40_000, first, seed=1)).any()


@pytest.mark.parametrize("seed", range(40))
def test_any_design_gets_distinct_vectors(seed):
    design = strategies.random_design(seed, max_size=9)
    made = gather(design, 9000, strategies.vectors(design, 20))
    low, high = ([getattr(q, end) for q in design.inputs] for end in ("low", "high"))
    assert ((made >= low) & (made <= high)).all()
    assert (
        len(np.unique(made, axis=0))
        == len(made)
        == (stress_vectors.space(design) if stress_vectors.is_exhaustive(design, 9000) else 9000)
    )


def test_few_inputs_give_every_vector():
    design = network(inputs=3, bits=4)
    assert stress_vectors.space(design) == 4096 and stress_vectors.is_exhaustive(design, 3000)
    made = gather(design, 3000)
    assert len(np.unique(made, axis=0)) == 4096
    assert not stress_vectors.is_exhaustive(design, 2000) and len(gather(design, 2000)) == 2000


def test_sums_are_aimed_at_thresholds():
    """Far more first-layer sums than at random lie within a step of a place where the output turns over."""
    design = network()
    source = stress_vectors._Source(design, make_vectors(design, 300), 0)
    sums = source.layers[0]

    def close(rows):
        found = np.zeros(len(rows), int)
        for j in sums.aims:
            value = rows @ sums.weights[:, j] + sums.bias[j]
            steps = np.array(stress_vectors._steps(design.layers[0].neurons[j].output))
            found += np.abs(value[:, None] - steps).min(axis=1) <= sums.step[j] / 2
        return found.mean()

    assert close(source.near_thresholds(2000)) > close(source.uniform(2000))
    neuron, target = sums.aim(source.rng, 2000)
    rows = sums.moved(source.uniform(2000), neuron, target, source.low, source.high, source.rng)
    reached = np.abs((rows * sums.weights.T[neuron]).sum(axis=1) + sums.bias[neuron] - target) <= sums.step[neuron]
    assert reached.mean() > 0.6


def test_small_designs_get_most_and_slow_ones_fewest(built):
    design, _, bench, _ = built
    assert native.bulk_count(design, bench) == native._MOST
    slow = replace(bench, initiation_interval=2000, ready=True)
    assert native.bulk_count(design, slow) == 5000


PATTERNS = {12: 0x5A3, 15: 0x2C71}  # bits that must match, and the pattern that they must show


def test_rare_faults_are_found(built, monkeypatch):
    """An output bit inverted where 12, 15 input bits match a pattern; the referee's 2,000 vectors miss such ones."""
    design, rtl, bench, folder = built
    width = bench.in_bits
    taps = np.random.default_rng(8).permutation(width)
    monkeypatch.setattr(native, "_MOST", 300_000)
    text = rtl.files["net.v"]
    for bits, pattern in PATTERNS.items():
        match = " && ".join(f"in_data[{taps[i]}] == 1'b{pattern >> i & 1}" for i in range(bits))
        late = f"reg [{rtl.latency_cycles - 1}:0] rare; always @(posedge clk) rare <= {{rare, {match}}};"
        name = next(line.split("= ")[1].rstrip(";") for line in text.splitlines() if "assign out_data" in line)
        broken = text.replace(
            f"assign out_data = {name};", f"{late}\nassign out_data = {name} ^ rare[{rtl.latency_cycles - 1}];"
        )
        assert broken != text
        place = folder / str(bits)
        plan.write({f"rtl/{n}": broken if n == "net.v" else t for n, t in rtl.files.items()}, place)
        model = simulate.build_verilator(bench, place, place / "model")
        first = make_vectors(design, 2000)
        found = native.run_native(design, bench, first, 0, place / "native", model)
        assert found.mismatches and "neuron 0" in found.difference
        assert found.distinct_vectors == 300_000 and not found.exhaustive
    few = simulate.run_native(bench, first, evaluate(design, first), place / "few", model, gap_one_in=0)
    assert few.agrees
