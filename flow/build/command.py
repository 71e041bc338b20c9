"""``python -m flow.build``: from a trained model to verified hardware in one command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flow.build import choices
from flow.core.engines import NAMED, SELECTABLE
from flow.core.errors import UsageError
from flow.report.command_line import Quiet, Version, application, ending
from flow.report.terminal import SafeConsole
from keras_models import interrupts

if TYPE_CHECKING:
    from flow.build.options import Options

app = application()
Show = Literal["all", "brief", "json"]


def _configured(context: typer.Context, path: Path | None) -> Path | None:
    """Let the file's options stand where the command line has none."""
    if path is not None:
        from flow.build import config_file

        with ending():
            config_file.apply(context, path, but=("config", "quiet", "as_json", "version"))
    return path


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="Trained model: .h5, .keras, .onnx, or an earlier build's design.json.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights of a model that is an architecture alone (JSON of model.to_json()).")
    ] = None,
    part: Annotated[str, typer.Option(help="Device or board, such as xc7z020 or pynq-z2.")] = "xc7z020",
    out: Annotated[Path, typer.Option(help="Folder for everything the build makes.")] = Path("build"),
    data: Annotated[
        str | None, typer.Option(help="Data set whose test part gives vectors and score: a name or an .npz file.")
    ] = None,
    split_key: Annotated[str | None, typer.Option(help="Array of the data set that holds the split.")] = None,
    target_columns: Annotated[str | None, typer.Option(help="Columns of y the model predicts, such as 0,1.")] = None,
    preprocessing: Annotated[
        choices.Preprocessing | None,
        typer.Option(help="Of the data's features: none or standard. By default what the model stores, else none."),
    ] = None,
    vectors: Annotated[
        int | None, typer.Option(min=1, help="Vectors for the cocotb benches; by default chosen by the design's size.")
    ] = None,
    clock_period_ns: Annotated[
        float, typer.Option(min=1.0, max=1000.0, help="Clock period to pipeline for, ns.")
    ] = 10.0,
    pipeline: Annotated[
        choices.Pipeline,
        typer.Option(help="Registers where the clock asks (auto), or behind every row of adders (rows): more clock."),
    ] = "auto",
    architecture: Annotated[
        choices.Architecture,
        typer.Option(help="parallel (a result per clock), folded (weights in memory), or auto: what fits."),
    ] = "auto",
    initiation_interval: Annotated[
        int | None, typer.Option(min=1, help="Folded: at most so many clock cycles per result, as small as possible.")
    ] = None,
    results_per_second: Annotated[
        float | None, typer.Option(min=1.0, help="Folded: at least so many results per second, as small as possible.")
    ] = None,
    dsp: Annotated[
        int | None,
        typer.Option(min=0, help="Folded: DSP blocks to use at most, for the widest products. [default: if LUTs lack]"),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            help=f"Engines to compare, separated by commas, of {','.join(SELECTABLE)}: each must run."
            f" By default all but {','.join(NAMED)} that the design's size allows."
        ),
    ] = None,
    rtl_engine: Annotated[
        choices.RtlEngine, typer.Option(help="What makes the Verilog: own, or the xls HLS compiler.")
    ] = "own",
    backend: Annotated[
        choices.Backend, typer.Option(help="hls4ml back end of the HLS project.", case_sensitive=False)
    ] = "Vitis",
    hls_io: Annotated[
        choices.HlsIo, typer.Option(help="Layers of the HLS project: io_parallel or io_stream.")
    ] = "io_parallel",
    strategy: Annotated[
        choices.Strategy | None,
        typer.Option(
            case_sensitive=False, help="HLS: latency (unrolled, the default) or resource (weights in memory)."
        ),
    ] = None,
    reuse_factor: Annotated[
        int | None, typer.Option(min=1, help="HLS: products per multiplier, and cycles per vector or sum.")
    ] = None,
    hls_config: Annotated[
        Path | None, typer.Option(help="HLS: YAML from flow.hls_config, strategy and reuse factor per layer and group.")
    ] = None,
    vendor_steps: Annotated[
        str, typer.Option(help="AMD steps where a tool is found: csim,synth,cosim,export,vsynth,impl; or none.")
    ] = "csim,synth",
    head: Annotated[
        choices.Head,
        typer.Option(help="What leaves the chip: logits, argmax (the class index), or probability (sigmoid, tanh)."),
    ] = "logits",
    input_format: Annotated[
        str | None,
        typer.Option(
            help='Format of inputs the model does not quantize: s16.10, "ap_fixed<16,6>", or auto (by --data).'
        ),
    ] = None,
    quantize: Annotated[
        bool,
        typer.Option("--quantize", help="Of a float model: choose formats, by --data where given."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random vectors.")] = 0,
    waveform: Annotated[bool, typer.Option(help="Dump waveforms of the Icarus run.")] = False,
    shell: Annotated[
        choices.Shell, typer.Option(help="Around the core: none, axis (AXI4-Stream), pynq or selftest.")
    ] = "none",
    lanes: Annotated[
        choices.Lanes, typer.Option(help="Elements on the stream: bytes (NumPy arrays) or packed.")
    ] = "bytes",
    bus_bits: Annotated[int, typer.Option(help="Width of the stream, 32 or 64 bits.")] = 32,
    layer: Annotated[
        str | None, typer.Option(help="Build dense layers by themselves: a name, several (a,b; a folder each), or all.")
    ] = None,
    route: Annotated[bool, typer.Option("--route", help="Place and route: the clock really reached.")] = False,
    bitstream: Annotated[
        bool, typer.Option("--bitstream", help="Route, make the bitstream, and read it back to prove it.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(callback=_configured, is_eager=True, help="YAML of options, such as the build.yml of a build."),
    ] = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json and nothing else.")] = False,
    version: Version = False,
) -> None:
    """Build verified hardware from a trained model.

    Exit status: 0 when every engine asked for ran and agrees on every vector, 1 for an error you can fix, 2 for wrong
    usage, 3 for a mismatch, 130 when interrupted.
    """
    show: Show = "json" if as_json else "brief" if quiet else "all"
    with ending("run the same command again to go on from the finished steps", stdout_is_kept=show != "all"):
        from flow.build.options import Options  # after the arguments are parsed: --help stays instant

        options = Options.of(
            model, part, out, engines=engines, vendor_steps=vendor_steps, backend=backend, hls_config=hls_config,
            weights=weights, data=data, split_key=split_key, target_columns=target_columns, preprocessing=preprocessing,
            vectors=vectors, clock_period_ns=clock_period_ns, pipeline=pipeline, dsp=dsp, head=head,
            input_format=input_format, quantize=quantize, seed=seed, waveform=waveform, architecture=architecture,
            initiation_interval=initiation_interval, results_per_second=results_per_second, route=route,
            bitstream=bitstream, rtl_engine=rtl_engine, shell=shell, lanes=lanes,
            bus_bits=bus_bits, layer=layer, hls_io=hls_io, strategy=strategy, reuse_factor=reuse_factor,
        )  # fmt: skip
        status = _run(options, show) if layer is None else _run_layers(options, layer, show)
    if as_json:
        print((out / "report.json").read_text(), end="")
    raise typer.Exit(status)


def _run_layers(options: Options, layer: str, show: Show) -> int:
    """Build dense layers by themselves: one in the output folder, several in a folder each."""
    from flow.extract import choose
    from flow.files.ownership import refuse_foreign

    folders = choose(options.model, layer, options.weights)
    if len(folders) == 1 and layer.strip() != "all":
        return _run(replace(options, layer=next(iter(folders))), show)
    if show == "json":
        raise UsageError("--json prints one report; name one layer with --layer")
    for folder in folders.values():  # all of them before the first build starts
        refuse_foreign(options.out / folder, "build", *options.places())
    status = 0
    for number, (name, folder) in enumerate(folders.items(), start=1):
        if show == "all":
            print(f"\nlayer {name}, {number} of {len(folders)}", flush=True)
        status = max(status, _run(replace(options, layer=name, out=options.out / folder), show))
    return status


def _run(options: Options, show: Show) -> int:
    """Build, report and say how it went; 0 or 3."""
    from flow.build.run import run
    from flow.report.console import Progress, brief, summary

    console = SafeConsole()
    progress = Progress(console if show == "all" else SafeConsole(quiet=True))

    def observe(step: str, state: str) -> None:
        progress.observe(step, state)
        interrupts.check_interrupt()  # a library may have swallowed the exception while it was being imported

    with progress:
        build, report = run(options, observe, progress.tell)
    if show != "json":
        (summary if show == "all" else brief)(console, report.to_json(), str(options.out))
    return 3 if build.differences else 0
