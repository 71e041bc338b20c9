"""What a PYNQ-Z1 or PYNQ-Z2 needs beside the shell: Vivado scripts, the Python driver with its data, a notebook."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from flow.bench.description import Bench
from flow.core.design import Design
from flow.core.fixed import Ints
from flow.core.units import input_unit, output_unit
from flow.emit.shell.axis import MAGIC, VERSION, Shell
from flow.emit.shell.zynq import BASE, DMA, MAX_CLOCK_MHZ, SPAN
from flow.emit.templates import FOLDER, render

PART = "xc7z020clg400-1"
FILES = ("package_ip.tcl", "block_design.tcl", "driver.py", "accelerator.json", "selftest.json", "example.ipynb")
_VENDOR, _CORE, _DMA = "nmp-flow", "accelerator", "axi_dma_0"
_PLL_MHZ = 1000.0  # of the processor's IO PLL on PYNQ's boards, which FCLK0 is divided from


def emit_pynq(
    design: Design,
    shell: Shell,
    bench: Bench,
    clock_period_ns: float,
    preprocessing: dict[str, Any] | None,
    inputs: Ints,
    expected: Ints,
    classes: Sequence[int] = (),
    class_names: Sequence[str] = (),
) -> dict[str, str]:
    """Files of the folder ``pynq``, beside ``rtl`` and ``shell``.

    ``preprocessing`` is what the build applied, ``classes`` the label of each class index where known, ``class_names``
    what these are called, ``inputs`` and ``expected`` are the mantissas of the self test.
    """
    name = shell.top.removesuffix("_axis")
    clock_mhz = f"{min(1000 / clock_period_ns, MAX_CLOCK_MHZ):g}"
    common = {"part": PART, "vendor": _VENDOR, "top": shell.top}
    sources = [f"../{s}" for s in bench.sources] + [f"../shell/{s}" for s in shell.files]
    about = accelerator(design, shell, bench, preprocessing, classes, class_names)
    return {
        "package_ip.tcl": render(
            "package_ip.tcl.j2", **common, sources=sources, design=design.name, digest=shell.digest
        ),
        "block_design.tcl": render(
            "block_design.tcl.j2", **common, name=name, boards="PYNQ-Z1 and PYNQ-Z2", clock_mhz=clock_mhz,
            bus_bits=shell.layout.bus_bits, core=_CORE, dma=_DMA,
        ),
        "driver.py": (FOLDER / "pynq_driver.py").read_text(),
        "accelerator.json": json.dumps(about, sort_keys=True, indent=1) + "\n",
        "selftest.json": selftest(inputs, expected),
        "example.ipynb": json.dumps(notebook(design, about), sort_keys=True, indent=1) + "\n",
    }  # fmt: skip


def emit_board(
    design: Design,
    shell: Shell,
    bench: Bench,
    clock_mhz: float,
    logic: str,
    preprocessing: dict[str, Any] | None,
    inputs: Ints,
    expected: Ints,
    classes: Sequence[int] = (),
    class_names: Sequence[str] = (),
) -> dict[str, str]:
    """Files of the folder ``board`` beside a bitstream whose module ``logic`` is a slave of the processor.

    The clock is the processor's, of at most ``clock_mhz``; all else is as in `emit_pynq`.
    """
    clock_mhz = min(clock_mhz, MAX_CLOCK_MHZ)
    about = accelerator(design, shell, bench, preprocessing, classes, class_names)
    name = shell.top.removesuffix("_axis")
    windows = {"base": BASE, "bytes": SPAN, "places": shell.places, "clock_mhz": round(clock_mhz, 3), "dma": DMA}
    about = {key: value for key, value in about.items() if key != "dma"} | {"windows": windows}
    handoff = render(
        "overlay.hwh.j2", name=name, core=_CORE, logic=logic, device=PART[2:7], package="clg400",
        divisors=_divisors(clock_mhz), base=f"{BASE:#x}", high=f"{BASE + SPAN - 1:#x}",
    )  # fmt: skip
    return {
        f"{name}.hwh": handoff,
        "driver.py": (FOLDER / "pynq_driver.py").read_text(),
        "accelerator.json": json.dumps(about, sort_keys=True, indent=1) + "\n",
        "selftest.json": selftest(inputs, expected),
        "example.ipynb": json.dumps(notebook(design, about), sort_keys=True, indent=1) + "\n",
    }


def selftest(inputs: Ints, expected: Ints) -> str:
    """Vectors with their results, as the driver reads them."""
    return json.dumps({"inputs": inputs.tolist(), "expected": expected.tolist()}, separators=(",", ":")) + "\n"


def _divisors(clock_mhz: float) -> tuple[int, int]:
    """What PYNQ divides the IO PLL of its boards by."""
    whole = math.ceil(_PLL_MHZ / clock_mhz * (1 - 1e-9))
    second = -(-whole // 63)
    return -(-whole // second), second


def accelerator(
    design: Design,
    shell: Shell,
    bench: Bench,
    preprocessing: dict[str, Any] | None,
    classes: Sequence[int] = (),
    class_names: Sequence[str] = (),
) -> dict[str, Any]:
    """What the driver must know: identity, layout, input quantizers, outputs, preprocessing, labels."""
    fracs = [0] if design.head == "argmax" else [f.frac for f in design.output_formats]
    return {
        "schema": 1,
        "name": design.name,
        "head": design.head,
        "magic": MAGIC,
        "version": VERSION,
        "digest": shell.digest,
        "layout": shell.layout.to_dict(),
        "bitstream": f"{shell.top.removesuffix('_axis')}.bit",
        "core": _CORE,
        "dma": _DMA,
        "inputs": [
            {"bits": q.format.bits, "frac": q.format.frac, "rounding": q.rounding, "low": q.low, "high": q.high}
            | ({"overflow": q.overflow} if q.wraps else {})
            for q in design.inputs
        ],
        "outputs": [
            {"bits": e.bits, "signed": e.signed, "frac": frac, "name": e.name}
            for e, frac in zip(bench.outputs, fracs, strict=True)
        ],
        "units": [float(input_unit(design)), 1.0 if design.head == "argmax" else float(output_unit(design))],
        "preprocessing": preprocessing,
        "classes": list(classes) or None,
        "class_names": list(class_names) or None,
    }


def notebook(design: Design, about: dict[str, Any]) -> dict[str, Any]:
    """A notebook that loads the overlay, tests it, predicts and measures."""
    preprocessing = about["preprocessing"]
    features = preprocessing["features"] if preprocessing else len(design.inputs)
    unit = "in the data's own units: preprocessing is the model's own" if preprocessing else "as the model takes them"
    answer = "the label of every row" if design.head == "argmax" else f"{len(about['outputs'])} outputs for every row"
    cells = [
        _text(
            f"# {design.name} on the chip\n",
            "Put this folder on the board, with its `.bit` and `.hwh`, and run the cells.",
        ),
        _code("import numpy as np\n", "from driver import Accelerator\n", "\n", "accelerator = Accelerator.load()"),
        _text("Vectors with known results, compared exactly:"),
        _code("accelerator.self_test()"),
        _text(f"`predict` takes rows of {features} features, {unit}. It gives {answer}."),
        _code(f"X = np.zeros((4, {features}))  # put your own rows here\n", "accelerator.predict(X)"),
        _text("How fast, with everything that Python does around the transfer:"),
        _code(
            "import time\n", "\n", f"many = np.zeros((10000, {features}))\n", "start = time.perf_counter()\n",
            "accelerator.predict(many)\n", 'print(f"{len(many) / (time.perf_counter() - start):,.0f} rows per second")',
        ),
    ]  # fmt: skip
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _text(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": list(lines)}


def _code(*lines: str) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": list(lines)}
