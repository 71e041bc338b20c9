"""The shell around streamed networks: pixels of any size from a bus, maps as results, the rate that was calculated."""

import numpy as np
import pytest
from test_shell_axis import run

from flow.bench.bus_layout import layout_of
from flow.bench.vectors import make_vectors
from flow.build.engines.shell import axis_shell
from flow.build.state import finish
from flow.build.streaming import stream_hardware
from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.core.nodes import INPUT, Node, Window
from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.parts.catalog import resolve

BYTE = Quantizer.saturating(Fixed(True, 5, 0))


def network(channels, end):
    """A window with zeros around it on 4 x 3 pixels, and a layer that sees its map ``"whole"`` or in ``"pixels"``.

    With ``"early"`` a window that leaves the lower half of an image alone, so that the result leaves before it is in.
    """
    rng = np.random.default_rng(channels)

    def layer(name, count):
        neurons = [Neuron(tuple(map(int, rng.integers(-1, 2, count))), 0, 1.58, 1, 0, BYTE) for _ in range(2)]
        return Layer(name, tuple(neurons))

    if end == "early":
        slide, height = Window((8, 3, channels), (3, 3), (6, 1), (1, 1), ((0, 0), (0, 0))), 8
    else:
        slide, height = Window((4, 3, channels), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))), 4
    behind = (Window.whole if end == "whole" else Window.pixel)((*slide.positions, 2))
    nodes = (Node("slide", "dense", (INPUT,), slide), Node("end", "dense", (0,), behind))
    layers = (layer("slide", 9 * channels), layer("end", behind.places * 2))
    return finish(Design("shelled", (BYTE,) * 3 * height * channels, layers, "logits", {}, nodes))


def shelled(folder, design, lanes, bus, changes=()):
    hardware = stream_hardware(design, resolve("xc7z020"), 10.0, None, None)
    bench = describe(design, hardware.rtl)
    shell = axis_shell(design.name, hardware, bench, layout_of(bench, lanes, bus))
    for file, old, new in changes:
        name = next(name for name in shell.files if name.endswith(file))
        assert shell.files[name].count(old) == 1
        shell.files[name] = shell.files[name].replace(old, new)
    plan.write(hardware.rtl.files, folder / "rtl")
    inputs = make_vectors(design, 8)
    sources = [folder / "rtl" / name for name in hardware.rtl.files]
    return run(folder, shell, bench, sources, inputs, evaluate(design, inputs), long_cycles=60)


@pytest.mark.parametrize(
    ("channels", "end", "lanes", "bus"),
    [
        (3, "whole", "bytes", 32),
        (3, "early", "packed", 32),
        pytest.param(9, "pixels", "packed", 64, marks=pytest.mark.long),
        pytest.param(1, "pixels", "bytes", 64, marks=pytest.mark.long),
    ],
)
def test_pixels_of_a_bus_are_exact_and_on_time(tmp_path, channels, end, lanes, bus):
    result = shelled(tmp_path, network(channels, end), lanes, bus)
    assert result.agrees and result.vectors == 8, result.message


BUGS = {
    "a beat without room": ("axis_pixels.v", " && rest <= PIXEL_UNITS[COUNT_BITS-1:0]", ""),
    "padding taken for a pixel": ("axis_pixels.v", "(!complete || leaves) && rest", "rest"),
    "an image without a place for its result": ("_axis.v", "space || !part_first", "1'b1"),
    "every image ends its packet": ("_axis.v", ".whole_last(vector_last)", ".whole_last(1'b1)"),
}


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS)
def test_bugs_are_found(tmp_path, bug):
    assert not shelled(tmp_path, network(3, "whole"), "bytes", 32, [BUGS[bug]]).agrees
