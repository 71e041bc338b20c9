"""Random streamed designs through every step to hardware in Icarus: ``python -m tests.streamed_designs 0 300 [1 2]``.

The last two numbers are the fewest and the most pixels in each direction of the image, 2 and 6 else.

Maps of one and two directions, windows of any reach, stride, spread and padding, pools, repeated pixels, branches that
are added up or stand side by side, cores parallel or folded; outputs, latency and cycles per image are exact.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from flow.bench.vectors import make_vectors
from flow.build.state import finish
from flow.build.streaming import stream_hardware
from flow.core.design import Design, Layer, Neuron, from_json, to_json
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.core.nodes import INPUT, Node, Window
from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.parts.catalog import resolve
from flow.streamed import cores
from flow.streamed.timing import cycles
from flow.verify import simulate

VECTORS, LONG_CYCLES = 6, 300


def random_design(seed: int, sizes: tuple[int, int] = (2, 6)) -> Design:
    """A streamed design of up to five nodes over a small image, its ``sizes`` between the two."""
    rng = random.Random(seed)
    directions = rng.choice([1, 2, 2])
    shape = (*(rng.randint(*sizes) for _ in range(directions)), rng.randint(1, 3))
    own = rng.choice([True, False])
    pixel = [_quantizer(rng, True) for _ in range(shape[-1])] if own else [_quantizer(rng, True)] * shape[-1]
    inputs = tuple(pixel) * (len_of(shape) // shape[-1])
    maps: dict[int, tuple[int, ...]] = {INPUT: shape}
    signed = {INPUT: any(q.low < 0 for q in pixel)}
    nodes: list[Node] = []
    layers: list[Layer] = []
    unread = {INPUT}
    count = rng.randint(1, 5)
    for number in range(count):
        last = number == count - 1
        source = rng.choice(sorted(unread)) if not last else max(unread)
        sources = [source]
        if rng.random() < 0.35:
            others = [s for s in maps if maps[s][:-1] == maps[source][:-1] and s != source]
            sources += rng.sample(others, min(1, len(others)))
        if last:  # what nobody reads yet has to be read now, if it fits
            sources = [source, *(s for s in sorted(unread) if s != source and maps[s][:-1] == maps[source][:-1])]
        before = (*maps[source][:-1], sum(maps[s][-1] for s in sources))
        kind = "dense" if last else rng.choices(["dense", "max", "repeat"], [6, 2, 1 if before[:-1] else 0])[0]
        negative = any(signed[s] for s in sources)
        if kind == "repeat":
            repeats = tuple(rng.choice([1, 2, 3]) if n <= 6 else 1 for n in before[:-1])
            window = Window.repeated(before, repeats)
        else:
            window = _window(rng, before, kind, negative)
        name = f"n{number}_{kind}"
        nodes.append(Node(name, kind, tuple(sources), window))
        channels = before[-1]
        if kind == "dense":
            channels = rng.randint(1, 3)
            layers.append(_layer(rng, name, window, channels, last))
            negative = any(n.output is None or n.output.low < 0 for n in layers[-1].neurons)
        maps[number], signed[number] = (*window.positions, channels), negative
        unread = (unread - set(sources)) | {number}
        if len(window.positions) and max(window.positions) == 1 and not last and rng.random() < 0.5:
            break
    if nodes[-1].kind != "dense" or not layers:
        window = Window.pixel(maps[len(nodes) - 1])
        layers.append(_layer(rng, "end", window, 2, True))
        nodes.append(Node("end", "dense", (len(nodes) - 1,), window))
    return finish(Design(f"random{seed}", inputs, tuple(layers), "logits", {}, tuple(nodes)))


def len_of(shape: tuple[int, ...]) -> int:
    """Elements of a map."""
    count = 1
    for size in shape:
        count *= size
    return count


def _quantizer(rng: random.Random, zero: bool) -> Quantizer:
    fmt = Fixed(rng.random() < 0.6, rng.randint(1 if not zero else 2, 4), rng.randint(-1, 3))
    wraps = rng.random() < 0.1
    return Quantizer.wrapping(fmt) if wraps else Quantizer.saturating(fmt, rng.choice(["TRN", "RND", "RND_CONV"]))


def _window(rng: random.Random, shape: tuple[int, ...], kind: str, negative: bool) -> Window:
    if rng.random() < 0.15:
        return Window.whole(shape)
    size, strides, dilation, padded = [], [], [], []
    for n in shape[:-1]:
        reach = rng.randint(1, 3)
        spread = rng.choice([1, 1, 2]) if kind == "dense" else 1
        around = [(0, 0)]
        span = (reach - 1) * spread + 1
        if kind == "dense" or not negative:
            around += [(rng.randint(0, span - 1), rng.randint(0, span - 1)) for _ in range(2)]
        pair = rng.choice(around)
        if span > n + sum(pair):
            reach, spread, pair = 1, 1, (0, 0)
        size.append(reach)
        strides.append(rng.choice([1, 1, 2, 3]))
        dilation.append(spread)
        padded.append(pair)
    return Window(shape, tuple(size), tuple(strides), tuple(dilation), tuple(padded))


def _layer(rng: random.Random, name: str, window: Window, channels: int, last: bool) -> Layer:
    count = window.places * window.channels
    density = rng.choice([1.0, 0.6, 0.2])
    neurons = []
    for _ in range(channels):
        bits = rng.choice([1.58, 2.0, 4.0])
        most = 1 if bits < 2 else (1 << int(bits) - 1) - 1
        weights = tuple(rng.randint(-most, most) if rng.random() < density else 0 for _ in range(count))
        output = None if last and rng.random() < 0.5 else _quantizer(rng, False)
        neurons.append(Neuron(weights, rng.randint(0, 2), bits, rng.randint(-6, 6), rng.randint(0, 3), output))
    return Layer(name, tuple(neurons))


def run(seed: int, folder: Path, sizes: tuple[int, int] = (2, 6)) -> str:
    """What is wrong with a design of this seed; empty where nothing is."""
    design, rng = random_design(seed, sizes), random.Random(seed)
    if from_json(to_json(design)) != design:
        return "JSON"
    folded = rng.random() < 0.4
    image = max(cycles(node.window, 1) for node in design.nodes)
    interval = image * rng.randint(8, 30) if folded else None
    price = cores.Solver.price
    if folded:  # whatever it costs
        cores.Solver.price = lambda self, core: core.folding is None  # type: ignore[method-assign]
    try:
        hardware = stream_hardware(design, resolve("xc7z020"), 10.0, interval, None)
    finally:
        cores.Solver.price = price  # type: ignore[method-assign]
    inputs = make_vectors(design, VECTORS * (1 + 36 // design.pixel_count), seed=seed)
    expected = evaluate(design, inputs)
    if not (hardware.evaluate(inputs) == expected).all():
        return "integer"
    bench = describe(design, hardware.rtl)
    plan.write({f"rtl/{name}": text for name, text in hardware.rtl.files.items()}, folder)
    long_cycles = LONG_CYCLES + 10 * bench.initiation_interval
    result = simulate.run_cocotb("icarus", bench, folder, inputs, expected, folder / "sim", long_cycles=long_cycles)
    return "" if result.agrees else result.message


def main(first: int, count: int, *sizes: int) -> None:
    """Run designs of ``count`` seeds and say which are wrong."""
    start, wrong = time.monotonic(), 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as place:
            try:
                found = run(seed, Path(place), *([(sizes[0], sizes[1])] if sizes else []))
            except Exception as exc:
                found = f"{type(exc).__name__}: {exc}"
        wrong += bool(found)
        print(f"{seed}: {found or 'exact'}", flush=True)
    print(f"{count} designs from seed {first}: {wrong} wrong, {time.monotonic() - start:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
