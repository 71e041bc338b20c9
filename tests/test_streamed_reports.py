"""What is said of a streamed network: its estimate, the maps inside it, its cells in the netlist, and its page."""

import html_samples
import numpy as np
import pytest
from test_shell_streamed import network

import flow
from flow.api.trace import traced
from flow.bench.vectors import make_vectors
from flow.build.report import plain
from flow.build.streaming import stream_hardware
from flow.core.errors import UsageError
from flow.core.evaluate import evaluate, real_inputs, real_outputs
from flow.netlist.streamed_usage import streamed_origins
from flow.parts.catalog import resolve
from flow.report.html.pages import page
from flow.streamed.explanation import with_netlist


@pytest.fixture(scope="module")
def design():
    return network(3, "pixels")


@pytest.fixture(scope="module")
def hardware(design):
    return stream_hardware(design, resolve("xc7z020"), 10.0, None, None)


def test_an_estimate_is_what_the_build_chooses(design, hardware):
    found = flow.estimate(design)
    stream = hardware.stream
    assert found.architecture == "streaming" and found.fits and found.initiation_interval == stream.cycles_per_image
    assert (
        list(found.layers.values()) == [node.lut for node in stream.nodes]
        and abs(found.lut - sum(found.layers.values())) <= 1
    )
    slower = flow.estimate(design, architecture="streaming", results_per_second=100_000)
    assert slower.results_per_second >= 100_000 and slower.lut <= found.lut
    with pytest.raises(UsageError, match="streamed network"):
        flow.estimate(design, architecture="folded")


def test_a_trace_shows_every_map(design):
    rows = real_inputs(design, make_vectors(design, 5))
    found = traced(design, rows, None)
    assert list(found) == ["slide", "end"] and found["slide"].values.shape == (5, 24)
    outputs = real_outputs(design, evaluate(design, make_vectors(design, 5)))
    assert np.array_equal(found["end"].values, outputs) and found["slide"].values.any()


def cell(kind, reads, drives):
    return {
        "type": kind, "attributes": {}, "port_directions": {"I": "input", "O": "output"},
        "connections": {"I": reads, "O": drives},
    }  # fmt: skip


def test_cells_are_those_of_the_node_that_makes_their_values():
    """Bit 1 leaves the window of node 0 and enters its core, 2 leaves the core and enters node 1 through a queue."""
    nets = {
        "w0_data": [1], "u_w0.out_data": [1], "u_n0.in_data": [1], "u_n0.sum": [2], "n0_data": [2],
        "u_n0_1.in_data": [2], "u_n0_1.words": [3], "n0_1_data": [3], "u_n1.in_data": [3], "u_n1.y": [4],
        "n1_data": [4], "n1_ready": [5],
    }  # fmt: skip
    cells = {
        "window": cell("FDRE", [9], [1]), "core": cell("LUT6", [1], [2]), "queue": cell("RAM32M", [2], [3]),
        "second": cell("LUT6", [3], [4]), "unnamed": cell("LUT2", [3], [6]), "before": cell("LUT6", [6, 8], [4]),
        "ready": cell("LUT1", [7], [5]),
    }  # fmt: skip
    module = {"cells": cells, "netnames": {name: {"bits": bits} for name, bits in nets.items()}}
    found = streamed_origins(module, ["slide", "end"])
    assert found.name("core") == "slide core" and found.name("queue") == "end queues before it"
    usage = found.usage(dict.fromkeys(cells, 1))
    assert usage["layers"]["slide"]["parts"] == {"window": 1, "core": 1}
    assert usage["layers"]["end"]["parts"] == {"queues before it": 1, "core": 3} and usage["other"] == 1


def test_a_page_tells_maps_windows_and_pace(hardware):
    usage = {"slide": {"parts": {"window": 31, "core": 47}, "shared": 0}}
    stream = plain(with_netlist(hardware.stream, usage))
    text = page(html_samples.report(stream=stream))
    for told in ("Stream of pixels", "4x3x3", "1 before, 1 behind", ">78<", ">31<", "An image every 30 cycles"):
        assert told in text, told
    assert "Latency, layer by layer" not in text and "Stream of pixels" not in page(html_samples.report())
