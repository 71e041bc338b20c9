"""What is mutated: small designs rich in features, built once; their texts, operators and how a build is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mutants_code
import mutants_python
import mutants_verilog
import numpy as np
from mutants import Operator
from test_folded_lowering import mixed_groups

import hls_templates
from flow.build import stages
from flow.build.architecture import choose
from flow.build.hardware import Hardware
from flow.build.options import Options
from flow.build.state import Build, finish
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.evaluate import evaluate, real_outputs
from flow.core.fixed import Fixed, Ints, Quantizer
from flow.files.plan import folder, write_file
from flow.files.steps import build_lock
from flow.parts.catalog import Part, resolve

_PERIOD_NS = 4.0
DRIVER = "pynq_driver.py"
_RTL = ("integer", "icarus", "verilator", "netlist")


@dataclass(frozen=True)
class Subject:
    """A design, what of it is mutated (``kind``: verilog, shell, netlist, hls or driver), and its build's options."""

    kind: str
    architecture: str
    design: Design
    options: Mapping[str, Any]
    operators: Mapping[str, Operator]
    mask: Callable[[str], str]
    engines: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for files and tables."""
        return f"{self.kind} {self.architecture}"

    @property
    def outputs(self) -> int:
        """Numbers of a result."""
        return 1 if self.design.head == "argmax" else len(self.design.layers[-1].neurons)

    def hardware(self) -> Hardware:
        """The hardware of the unchanged design."""
        asked = self.options
        return choose(
            self.design, self.part, asked.get("clock_period_ns", _PERIOD_NS), asked["architecture"],
            asked.get("initiation_interval"),
        )  # fmt: skip

    def build(self, out: Path) -> Build:
        """Build the design in ``out``, as a user's build would; what is unchanged there is not done again."""
        model = folder(out.parent) / f"{out.name}.design.json"
        write_file(model, to_json(self.design))
        asked = Options(model, self.part, out, engines=self.engines, **{"clock_period_ns": _PERIOD_NS, **self.options})
        build = stages.prepare(asked, lambda step, state: None, lambda step, what: None)
        with build_lock(out):
            stages.perform(build)
        return build

    @property
    def part(self) -> Part:
        """Zynq-7020; for block RAM with so few LUTs that they cost more than memories."""
        part = resolve("xc7z020")
        return replace(part, lut=700) if "block RAM" in self.architecture else part

    def files(self, out: Path) -> dict[str, str]:
        """The texts that are mutated, by the name under which the build emits them."""
        places = {
            "verilog": [("rtl", "*.v")],
            "shell": [("shell", "*.v")],
            "netlist": [("synth", "netlist.v")],
            "hls": [("hls", f"firmware/{name}") for name in ("*.h", "*.cpp", "nnet_utils/nmp_grouped_dense.h")],
        }
        if self.kind == "driver":
            return {DRIVER: (Path(hls_templates.__file__).parent / DRIVER).read_text()}
        found = [(out / top, p) for top, pattern in places[self.kind] for p in sorted((out / top).glob(pattern))]
        return {str(p.relative_to(top)): p.read_text() for top, p in found}


def small_parallel(seed: int, head: str) -> Design:
    """Four inputs of 15 bits together, two layers: every width, rounding and kind of saturation; rows and tables."""
    rng = np.random.default_rng(seed)
    inputs = (
        Quantizer.saturating(Fixed(True, 4, 2)),
        Quantizer(Fixed(True, 4, 2), "RND_CONV", -7, 7),
        Quantizer.saturating(Fixed(False, 3, 1)),
        Quantizer.saturating(Fixed(True, 4, 1), "TRN"),
    )
    hidden = (
        (1.0, Quantizer.saturating(Fixed(False, 3, 1), "RND_CONV", relu=True)),
        (1.58, Quantizer.saturating(Fixed(True, 4, 1), "RND")),
        (3.0, Quantizer.saturating(Fixed(False, 4, 2), "TRN", relu=True)),
        (4.0, Quantizer(Fixed(True, 4, 1), "RND_CONV", -7, 7)),
        (6.0, Quantizer.saturating(Fixed(False, 4, 1), "RND", relu=True)),
    )
    output = (
        (1.0, None),
        (3.0, Quantizer.saturating(Fixed(True, 5, 1), "RND_CONV")),
        (4.0, None),
        (4.0, Quantizer.saturating(Fixed(True, 6, 2), "TRN")),
    )
    layers, fan_in = [], len(inputs)
    for name, neurons in (("hidden", hidden), ("output", output)):
        layers.append(Layer(name, tuple(_neuron(rng, fan_in, bits, quantizer) for bits, quantizer in neurons)))
        fan_in = len(neurons)
    return finish(Design("net", inputs, tuple(layers), head))


def _neuron(rng: np.random.Generator, inputs: int, bits: float, output: Quantizer | None) -> Neuron:
    limit = max((1 << int(bits) - 1) - 1, 1)
    weights = rng.choice([-1, 1], inputs) if bits == 1 else rng.integers(-limit, limit + 1, inputs)
    return Neuron(
        tuple(int(w) for w in weights), int(rng.integers(0, 3)), bits, int(rng.integers(-9, 10)), 3, output
    )  # fmt: skip


def random_inputs(design: Design, count: int, seed: int) -> Ints:
    """Random input mantissas of a design (vectors x inputs)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(q.low, q.high + 1, count) for q in design.inputs], axis=1)


def balanced(design: Design) -> Design:
    """The design with an argmax head and biases by which its logits are equal on average.

    A class that no input selects hides what is wrong with its logit, which then is no fault of the hardware.
    """
    logits = real_outputs(design, evaluate(design, random_inputs(design, 4000, 0)))
    *layers, last = design.layers
    neurons = tuple(
        replace(n, bias=n.bias - round(float(mean) * (1 << n.bias_frac)), accumulator=None)
        for n, mean in zip(last.neurons, logits.mean(axis=0), strict=True)
    )
    return finish(replace(design, head="argmax", layers=(*layers, replace(last, neurons=neurons))))


def subjects() -> dict[str, Subject]:
    """All of them, by name."""
    logits, argmax = small_parallel(2, "logits"), small_parallel(3, "argmax")
    groups = mixed_groups(0, (20, 6))
    memories = balanced(mixed_groups(3, (10, 5), inputs=10))
    verilog = (mutants_verilog.OPERATORS, mutants_verilog.mask)
    netlist = (mutants_code.NETLIST, mutants_code.netlist_mask)
    cpp = (mutants_code.CPP, mutants_code.cpp_mask)
    few = {"architecture": "folded", "initiation_interval": 18, "clock_period_ns": 10.0, "vectors": 200}
    many = {**few, "initiation_interval": 40}
    parallel = {"architecture": "parallel"}
    made = [
        Subject("verilog", "parallel", logits, parallel, *verilog, _RTL),
        Subject("verilog", "parallel, argmax", argmax, parallel, *verilog, _RTL),
        Subject("verilog", "folded, slices", groups, few, *verilog, _RTL),
        Subject("verilog", "folded, block RAM", memories, many, *verilog, _RTL),
        Subject("shell", "parallel", logits, {**parallel, "shell": "axis"}, *verilog, ("integer",)),
        Subject(
            "shell", "folded", groups, {**few, "shell": "axis", "bus_bits": 64}, *verilog, ("integer",)
        ),
        Subject("netlist", "parallel", logits, parallel, *netlist, ("integer", "netlist")),
        Subject("netlist", "folded, block RAM", memories, many, *netlist, ("integer", "netlist")),
        Subject("hls", "io_parallel", logits, parallel, *cpp, ("integer", "hls")),
        Subject(
            "hls", "io_stream", argmax,
            {**parallel, "hls_io": "io_stream", "strategy": "resource", "reuse_factor": 1}, *cpp, ("integer", "hls"),
        ),
        Subject("driver", "PYNQ", logits, parallel, mutants_python.OPERATORS, str, ()),
    ]  # fmt: skip
    return {s.name: s for s in made}
