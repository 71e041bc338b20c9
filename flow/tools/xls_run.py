"""Runs the XLS compiler in a process of its own: ``python -m flow.tools.xls_run verilog|words FOLDER ...``.

XLS is a C++ library that ends its process where it finds a fault in itself. Each folder holds ``design.x`` and
``job.json``; results are written beside them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xls
from xls.c_api import jit_fn_predict

_MODULE = "design"
_WORD_BITS = 32


def verilog(folder: Path, job: dict[str, Any]) -> None:
    """``design.ir`` (optimised) and ``design.v``: the function as a pipeline of registered stages."""
    optimised = _optimised(folder, job["function"])
    (folder / "design.ir").write_text(optimised)
    generated = xls.parse_ir_package(optimised).schedule_and_codegen(
        with_delay_model=True,
        generator="pipeline",
        module_name=job["module"],
        delay_model=job["delay_model"],
        clock_period_ps=job["clock_period_ps"],
        flop_inputs=False,
        flop_outputs=True,
        output_port_name="y",
        use_system_verilog=False,
    )
    (folder / "design.v").write_text(generated.get_verilog_text())


def words(folder: Path, job: dict[str, Any]) -> None:
    """``outputs.bin``: the function, compiled to machine code, on every row of ``inputs.bin`` (32-bit words)."""
    package = xls.parse_ir_package(_optimised(folder, job["function"]))
    function = package.get_function(xls.mangle_dslx_name(_MODULE, job["function"])).to_jit()
    given, wanted = job["input_words"], job["output_words"]
    inputs = np.fromfile(folder / "inputs.bin", "<u4").astype(np.int64)
    outputs = np.asarray(jit_fn_predict(function, inputs, _WORD_BITS, given, wanted), np.int64)
    (outputs & 0xFFFFFFFF).astype("<u4").tofile(folder / "outputs.bin")


def _optimised(folder: Path, function: str) -> str:
    path = folder / "design.x"
    text = xls.convert_dslx_to_ir(path.read_text(), path.name, _MODULE)
    return str(xls.optimize_ir(text, xls.mangle_dslx_name(_MODULE, function)))


def main(task: str, folders: list[str]) -> None:
    """Do ``task`` in every folder; XLS's own message ends the process where it refuses one."""
    work = {"verilog": verilog, "words": words}[task]
    for name in folders:
        folder = Path(name)
        try:
            work(folder, json.loads((folder / "job.json").read_text()))
        except RuntimeError as exc:
            sys.exit(f"error: {folder.name}: {' '.join(str(exc).split())}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
