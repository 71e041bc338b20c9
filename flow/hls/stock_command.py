"""``python -m flow.hls_stock``: a model as a plain hls4ml project, stock layers only, for any of hls4ml's back ends."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flow.core.errors import ModelError, ToolFailed, ToolNotFound, UsageError, reason
from flow.core.untrusted import is_folder
from flow.files.ownership import RECORD, refuse_foreign
from flow.report.command_line import Quiet, Version, application, ending
from keras_models.untrusted import one_line

app = application()
Backend = Literal["Vitis", "Vivado", "VivadoAccelerator", "Catapult", "Quartus", "oneAPI", "Libero"]


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="Trained model: .h5, .keras, .onnx, or a build's design.json.")],
    backend: Annotated[Backend, typer.Option(case_sensitive=False, help="hls4ml back end.")] = "Catapult",
    part: Annotated[str | None, typer.Option(help="Device, by the back end's own name; its default if absent.")] = None,
    clock_period_ns: Annotated[float, typer.Option(min=0.1, max=1000.0, help="Clock period, ns.")] = 5.0,
    out: Annotated[Path, typer.Option(help="Folder for the project.")] = Path("hls_stock"),
    check: Annotated[int, typer.Option(min=0, help="Compile it and compare so many random vectors exactly.")] = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Write a plain hls4ml project of a model, for any back end.

    It has stock layers only, which compute the model's integers.
    outputs.json says which neuron leaves at which output; a class index (argmax) is left to the host.
    """
    with ending():
        told = one_line(_write(model, backend, part, clock_period_ns, out, check))
    if not quiet:
        typer.echo(told)


def _write(model: Path, backend: str, part: str | None, clock_period_ns: float, out: Path, check: int) -> str:
    if is_folder(out) and any(out.iterdir()) and not (out / RECORD).is_file():
        raise UsageError(f"{out} holds other files; give a new folder for the project")
    refuse_foreign(out, "stock hls4ml project")
    from flow.build.options import Options
    from flow.build.state import ModelFile
    from flow.emit.hls.project import collect
    from flow.emit.hls.stock import stock_graph
    from flow.files import plan
    from flow.files.steps import build_lock

    design = ModelFile(model).design(Options.of(model, out=out))
    with tempfile.TemporaryDirectory(prefix="nmp-hls-") as folder:
        graph, stock = stock_graph(design, part, backend, clock_period_ns, str(Path(folder) / "project"))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # some writers of hls4ml talk
                files = collect(graph, design)
        except FileNotFoundError as exc:
            raise ToolFailed(f"this hls4ml cannot write {backend} projects: it comes without {exc.filename}") from None
        place = str(Path(folder) / "project").encode()
        moved = {k: (v.encode() if isinstance(v, str) else v).replace(place, b".") for k, v in files.items()}
        note = _compare(graph, design, stock, check) if check else ""
    outputs = {"backend": backend, "outputs": list(stock.order), "head": design.head}
    with build_lock(out, "stock hls4ml project"):
        plan.mirror({**moved, "outputs.json": json.dumps(outputs) + "\n"}, out)
    return f"{note}{backend} project in {out}; output k is neuron outputs[k] of {out}/outputs.json"


def _compare(graph: Any, design: Any, stock: Any, count: int) -> str:
    """hls4ml's own compilation against the integer design, on random vectors."""
    import numpy as np

    from flow.core.evaluate import evaluate, to_float

    try:
        graph.compile()
    except (RuntimeError, OSError) as exc:
        raise ToolNotFound(f"the project cannot be compiled here ({reason(exc)}); leave out --check") from None
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(q.low, q.high + 1, count) for q in design.inputs], axis=1)
    found = np.empty((count, len(stock.order)))
    values = graph.predict(np.ascontiguousarray(to_float(x, design.input_formats)))
    found[:, list(stock.order)] = np.reshape(values, found.shape)
    wrong = found != to_float(evaluate(replace(design, head="logits"), x), design.output_formats)
    if wrong.any():
        vector, neuron = np.argwhere(wrong)[0]
        raise ModelError(f"the stock project differs from the integer design: vector {vector}, neuron {neuron}")
    return f"{count} vectors equal the integer design; "
