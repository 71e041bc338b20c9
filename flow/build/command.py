"""``python -m flow.build``: from a trained model to verified hardware in one command."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flow.core.errors import FlowError, UsageError
from flow.report.terminal import SafeConsole, error, protect

if TYPE_CHECKING:
    from flow.build.state import Options

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_interrupted = threading.Event()


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="Trained model: .h5, .keras, or a design.json of an earlier build.")],
    part: Annotated[str, typer.Option(help="Device or board, such as xc7z020 or pynq-z2.")] = "xc7z020",
    out: Annotated[Path, typer.Option(help="Folder for everything the build makes.")] = Path("build"),
    data: Annotated[
        str | None, typer.Option(help="Data set whose test part gives vectors and score: a name or an .npz file.")
    ] = None,
    split_key: Annotated[str | None, typer.Option(help="Array of the data set that holds the split.")] = None,
    target_columns: Annotated[str | None, typer.Option(help="Columns of y the model predicts, such as 0,1.")] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(help="Of the data's features: none or standard. By default what the model stores, else none."),
    ] = None,
    vectors: Annotated[
        int | None, typer.Option(min=1, help="Vectors for the cocotb benches; by default chosen by the design's size.")
    ] = None,
    clock_period_ns: Annotated[
        float, typer.Option(min=1.0, max=1000.0, help="Clock period to pipeline for, ns.")
    ] = 10.0,
    architecture: Annotated[
        str, typer.Option(help="parallel (a result per clock), folded (weights in memory), or auto: what fits.")
    ] = "auto",
    initiation_interval: Annotated[
        int | None, typer.Option(min=1, help="Folded: at most so many clock cycles per result, as small as possible.")
    ] = None,
    results_per_second: Annotated[
        float | None, typer.Option(min=1.0, help="Folded: at least so many results per second, as small as possible.")
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            help="Engines to compare, separated by commas, of integer,hls,icarus,verilator,netlist,xls: each must run."
            " By default all but xls that the design's size allows."
        ),
    ] = None,
    rtl_engine: Annotated[str, typer.Option(help="What makes the Verilog: own, or the xls HLS compiler.")] = "own",
    backend: Annotated[str, typer.Option(help="hls4ml back end of the HLS project: Vitis or Vivado.")] = "Vitis",
    hls_io: Annotated[str, typer.Option(help="Layers of the HLS project: io_parallel or io_stream.")] = "io_parallel",
    strategy: Annotated[
        str | None, typer.Option(help="HLS: latency (unrolled, the default) or resource (weights in memory).")
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
    head: Annotated[str, typer.Option(help="What leaves the chip: logits, or argmax (the class index).")] = "logits",
    input_format: Annotated[
        str | None, typer.Option(help="Format of inputs the model does not quantize, such as s8.4 or u8.0.")
    ] = None,
    quantize: Annotated[
        bool,
        typer.Option("--quantize", help="Of a float model: choose formats, by --data where given."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random vectors.")] = 0,
    waveform: Annotated[bool, typer.Option(help="Dump waveforms of the Icarus run.")] = False,
    shell: Annotated[str, typer.Option(help="Around the core: none, axis (AXI4-Stream) or pynq.")] = "none",
    lanes: Annotated[str, typer.Option(help="Elements on the stream: bytes (NumPy arrays) or packed.")] = "bytes",
    bus_bits: Annotated[int, typer.Option(help="Width of the stream, 32 or 64 bits.")] = 32,
    layer: Annotated[
        str | None, typer.Option(help="Build dense layers by themselves: a name, several (a,b; a folder each), or all.")
    ] = None,
    route: Annotated[bool, typer.Option("--route", help="Place and route: the clock really reached.")] = False,
) -> None:
    """Build verified hardware from a trained model.

    Exit status: 0 when every engine asked for ran and agrees on every vector, 1 for an error you can mend, 2 for wrong
    usage, 3 for a mismatch, 130 when interrupted.
    """
    settings: dict[str, Any] = {
        "model": model, "out": out, "data": data, "split_key": split_key, "target_columns": target_columns,
        "preprocessing": preprocessing,
        "vectors": vectors, "clock_period_ns": clock_period_ns, "head": head, "input_format": input_format,
        "quantize": quantize,
        "seed": seed, "waveform": waveform, "architecture": architecture,
        "initiation_interval": initiation_interval, "results_per_second": results_per_second,
        "route": route, "rtl_engine": rtl_engine,
        "shell": shell, "lanes": lanes, "bus_bits": bus_bits,
        "hls_io": hls_io, "strategy": strategy, "reuse_factor": reuse_factor, "hls_config": hls_config,
        "vendor_steps": vendor_steps,
    }  # fmt: skip
    protect()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)  # a batch system's way to say that the time is up
    try:
        status = _build(settings, part, engines, backend, layer)
    except FlowError as exc:
        error(str(exc))
        status = exc.exit_status
    except KeyboardInterrupt:
        error("interrupted; run the same command again to go on from the finished steps")
        status = 130
    raise typer.Exit(status)


def _build(settings: dict[str, Any], part_name: str, engines: str | None, backend: str, layer: str | None) -> int:
    from flow.build import hls_choices, state
    from flow.build.engines.axis import check_options
    from flow.parts import catalog  # after the arguments are parsed: --help stays instant
    from flow.tools import vendor_hls

    part = catalog.resolve(part_name)
    known = state.ENGINES + state.OPTIONAL_ENGINES
    chosen = state.ENGINES if engines is None else _choose_engines(engines, known)
    settings["engines_named"] = engines is not None
    if settings["head"] not in ("logits", "argmax"):
        raise UsageError(f"--head {settings['head']} is not known; choose logits or argmax")
    if settings["rtl_engine"] not in state.RTL_ENGINES:
        raise UsageError(f"--rtl-engine {settings['rtl_engine']} is not known; choose own or xls")
    _check_preprocessing(settings["preprocessing"], settings["data"])
    check_options(settings["shell"], settings["lanes"], settings["bus_bits"], part)
    if settings["architecture"] not in state.ARCHITECTURES:
        raise UsageError(f"--architecture {settings['architecture']} is not known; choose auto, parallel or folded")
    backends = {"vitis": "Vitis", "vivado": "Vivado"}
    if backend.lower() not in backends:
        raise UsageError(f"--backend {backend} is not known; choose Vitis or Vivado")
    settings["vendor_steps"] = vendor_hls.chosen(settings["vendor_steps"])
    options = state.Options(part=part, engines=chosen, backend=backends[backend.lower()], **settings)
    hls_choices.from_options(options)  # a wrong name or file is told before the work starts
    if layer is None:
        return _run(options)
    return _run_layers(options, layer)


def _run_layers(options: Options, layer: str) -> int:
    """Build dense layers by themselves: one in the output folder, several in a folder each."""
    from flow.build.state import places
    from flow.extract import choose
    from flow.files.ownership import refuse_foreign

    if options.model.suffix == ".json":
        raise UsageError("--layer is for Keras models; a design.json is built as it is")
    if options.data:
        raise UsageError("--data gives inputs of the whole model, not of one layer; leave it out with --layer")
    if options.quantize:
        raise UsageError("--quantize is for a whole float model; leave it out with --layer")
    if options.preprocessing:
        raise UsageError(
            "--preprocessing is of the whole model's inputs, not of one layer's; leave it out with --layer"
        )
    folders = choose(options.model, layer)
    if len(folders) == 1 and layer.strip() != "all":
        return _run(replace(options, layer=next(iter(folders))))
    for folder in folders.values():  # all of them before the first build starts
        refuse_foreign(options.out / folder, "build", *places(options))
    status = 0
    for number, (name, folder) in enumerate(folders.items(), start=1):
        print(f"\nlayer {name}, {number} of {len(folders)}", flush=True)
        status = max(status, _run(replace(options, layer=name, out=options.out / folder)))
    return status


def _run(options: Options) -> int:
    """Build, report and say how it went; 0 or 3."""
    from flow.build import outcome, report_data, stages, state
    from flow.build.engines.jobs import run_engines
    from flow.files.ownership import refuse_foreign
    from flow.files.steps import build_lock
    from flow.report.console import Progress, summary

    console = SafeConsole()
    start = time.monotonic()
    progress = Progress(console)

    def observe(step: str, state: str) -> None:
        progress.observe(step, state)
        if _interrupted.is_set():  # a library swallowed the exception while it was being imported
            raise KeyboardInterrupt

    places = state.places(options)
    refuse_foreign(options.out, "build", *places)  # before any work, and before anything is changed
    with progress:
        build = stages.prepare(options, observe, progress.tell)
        with build_lock(options.out, "build", *places):
            try:
                with outcome.recorded(options):
                    stages.perform(build, run_engines)
                    build.steps.seconds["total"] = round(time.monotonic() - start, 3)
                    report = report_data.report(build)
                    outcome.write(options.out, report)
            except (FlowError, KeyboardInterrupt):
                if outcome.earlier_report(options.out):
                    console.print(f"{options.out}/report.json is still that of the build before this one", markup=False)
                raise
    summary(console, report, str(options.out))
    return 3 if build.differences else 0


def _interrupt(*_: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _check_preprocessing(asked: str | None, data: str | None) -> None:
    from flow.extract.test_data import PREPROCESSINGS

    if asked is not None and asked not in PREPROCESSINGS:
        raise UsageError(f"--preprocessing {asked} is not known; choose none or standard")
    if asked == "standard" and not data:
        raise UsageError("--preprocessing standard is fitted on the training part of a data set; name it with --data")


def _choose_engines(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise UsageError(f"--engines {text}: choose from {', '.join(known)}")
    return tuple(name for name in known if name in chosen)
