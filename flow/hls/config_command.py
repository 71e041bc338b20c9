"""``python -m flow.hls_config``: the hls4ml configuration of a model with its width groups, as YAML to edit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from flow.core.errors import NotOurs
from flow.report.command_line import Quiet, Version, application, ending
from keras_models.untrusted import one_line

app = application()


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="Trained model: .h5, .keras, or a build's design.json.")],
    out: Annotated[Path, typer.Option(help="YAML file to write.")] = Path("hls.yml"),
    strategy: Annotated[
        Literal["Latency", "Resource"],
        typer.Option(help="Strategy of every group to begin with."),
    ] = "Latency",
    reuse_factor: Annotated[int, typer.Option(min=1, help="Reuse factor of every group to begin with.")] = 1,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Write hls4ml's configuration of a model, to be edited.

    flow.build --hls-config and hls4ml itself take it. It lists every layer's groups by weight width,
    each with its own Strategy and ReuseFactor.
    """
    with ending():
        if os.path.lexists(out):  # it is meant to be edited
            raise NotOurs(f"{out} is there already, perhaps edited; remove it or choose another name with --out")
        _write(model, out, strategy, reuse_factor)
    if not quiet:
        typer.echo(f"{one_line(str(out))} written; give it to flow.build as --hls-config or to hls4ml as hls_config")


def _write(model: Path, out: Path, strategy: str, reuse_factor: int) -> None:
    from flow.build.state import ModelFile, finish
    from flow.hls.library import hls4ml_config

    source = ModelFile(model)
    if source.is_design:
        from flow.hls.library import design_config

        design_config(finish(source.given), out, strategy, reuse_factor)
    else:
        hls4ml_config(source.keras(), out, strategy, reuse_factor)
