"""Quantize a float model: formats for every neuron by their error, then fine-tuning from the float weights.

    python -m keras_models.quantize float.h5 --data d.npz --out nmp.h5 [--epochs 50]

Writes the model of NMP layers, ready for ``flow.build``, and ``nmp.train.json`` with the scores of both. Features go in
as they are in the data, unless ``--preprocessing standard`` is given.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_models import interrupts
from keras_models.command_line import parsed
from keras_models.data.loaders import DataError, Dataset
from keras_models.data.own import data_for
from keras_models.data.preprocess import Preprocessing, read
from keras_models.train import check_seed, check_writable, choose_backend, keep_tensorflow_out
from keras_models.training.choice import UsageError
from keras_models.training.ending import status_of
from keras_models.training.output import check_place
from keras_models.training.source import columns_of
from keras_models.untrusted import MAX_JSON, one_line, read_text

if TYPE_CHECKING:
    from keras_models.quantize.chain import FloatChain
    from keras_models.quantize.judge import Judged

_READER = "flow.extract.float_model"  # by name: only there are files of others read, and nothing above is imported


def parser(prog: str = "python -m keras_models.quantize") -> argparse.ArgumentParser:
    """The command line."""
    about = "Formats for every neuron by their error, then fine-tuning from the float weights."
    p = argparse.ArgumentParser(prog=prog, description=f"Quantize a float model.\n\n{about}")
    p.add_argument("model", type=Path, metavar="float.h5", help="float model: .h5, .keras or .onnx")
    p.add_argument("--data", required=True, metavar="NAME|FILE", help="calibrates, decides the widths, and trains")
    p.add_argument("--out", required=True, type=Path, metavar="nmp.h5", help="model to write, .h5 or .keras")
    p.add_argument("--epochs", type=int, default=0, help="of fine-tuning; 0, the default, is none")
    p.add_argument("--preprocessing", choices=("none", "standard"), help="of the data's features: as they "
                   "are, or standardised as training does; default what the float model stores, else none; it is "
                   "saved with the model")  # fmt: skip
    p.add_argument("--beta", type=float, default=2e-5, help="weight of the hardware cost in fine-tuning, per LUT")
    p.add_argument("--learning-rate", type=float, default=2e-3, help="of fine-tuning")
    p.add_argument("--batch-size", type=int, help="default 512, 128 for small sets")
    p.add_argument("--split-key", default="split", metavar="K", help="array of the data set that holds the split")
    p.add_argument("--target-columns", metavar="0,1", help="columns of y that the model predicts")
    p.add_argument("--seed", type=int, default=0, help="of fine-tuning")
    p.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    p.add_argument("--json", action="store_true", help="print nmp.train.json and nothing else")
    return p


def main(arguments: Sequence[str] | None = None, prog: str = "python -m keras_models.quantize") -> int:
    """Run the command line; returns the exit status, as `keras_models.train.main` does."""
    return run(parsed(parser(prog), arguments), arguments is None)


def run(options: argparse.Namespace, alone: bool = True) -> int:
    """Quantize as the options say; the exit status, as of `main`."""
    return status_of(lambda: _reported(options, alone), lambda: "no file was written")


def _reported(options: argparse.Namespace, alone: bool) -> None:
    """Quantize; standard output is for the record alone where that is asked for."""
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        _quantize(options, alone)
    if options.json:
        print(read_text(options.out.with_suffix(".train.json"), MAX_JSON), end="")


def _quantize(options: argparse.Namespace, alone: bool) -> None:
    """Check everything that can be checked before, then quantize."""
    _check(options)
    chain = read_chain(options.model)
    found = data_for(options.data, _stored(options.model), options.split_key, columns_of(options.target_columns))
    dataset = found.dataset
    if not (dataset.split == 0).any():
        raise DataError(
            f"{options.data} is not the table that the float model was trained on; widths are chosen on that"
        )
    choose_backend()
    if alone:
        keep_tensorflow_out("nmp")
    from keras_models.quantize.judge import Judged

    quantized(options, chain, Judged.of(dataset, chain, _preprocessing(options, dataset)), dataset.name)


def _check(options: argparse.Namespace) -> None:
    check_seed(options.seed)
    if options.out.suffix not in (".h5", ".keras"):
        raise UsageError(f"--out {options.out}: the name must end in .h5 or .keras")
    if options.out.resolve() == options.model.resolve():
        raise UsageError(f"--out {options.out} would replace the float model; choose another name")
    for name in ("learning_rate", "batch_size"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be positive, got {value:g}")
    if options.epochs < 0 or not 0 <= options.beta < float("inf"):
        raise UsageError("--epochs and --beta must be 0 or more")
    check_writable(options.out)
    check_place(options.out, False, False)


def read_chain(path: Path) -> FloatChain:
    """The float model in a file. Raises `DataError` where it cannot be read or quantized."""
    try:
        reader, errors = (importlib.import_module(name) for name in (_READER, "flow.core.errors"))
    except ModuleNotFoundError:
        raise DataError("reading float models needs the package flow; install the whole project") from None
    try:
        return reader.float_chain(path)  # type: ignore[no-any-return]
    except errors.FlowError as error:
        raise DataError(str(error)) from None


def _preprocessing(options: argparse.Namespace, dataset: Dataset) -> Preprocessing:
    """What was asked for, else what the float model stores, else features as they are."""
    from keras_models.quantize.judge import unchanged

    if options.preprocessing == "standard":
        return Preprocessing.fit(dataset)
    stored = _stored(options.model) if options.preprocessing is None else None
    return unchanged(dataset) if stored is None else stored


def _stored(model: Path) -> Preprocessing | None:
    return None if model.suffix == ".onnx" else read(model)


def quantized(options: argparse.Namespace, chain: FloatChain, judged: Judged, data: str) -> dict[str, Any]:
    """Quantize, fine-tune, write; returns the content of ``nmp.train.json``."""
    import keras

    from keras_models.methods.catalog import METHODS
    from keras_models.quantize.build import nmp_model
    from keras_models.quantize.calibrate import Calibration, choose
    from keras_models.training.output import write

    interrupts.check_interrupt()
    start = time.perf_counter()
    keras.utils.set_random_seed(options.seed)
    quantized = choose(Calibration(chain, judged.parts["train"][0]), judged.good_enough(chain))
    model, result = nmp_model(quantized), None
    after = {part: judged.score(quantized.logits(judged.parts[part][0]), part) for part in ("val", "test")}
    if options.epochs:
        result = tuned(options, model, chain, judged)
    luts, statistics = METHODS["nmp"].describe(model)
    outputs = {part: model.predict(judged.parts[part][0], batch_size=8192, verbose=0) for part in ("val", "test")}
    report = {
        "metric": judged.metric, **{part: judged.score(found, part) for part, found in outputs.items()},
        "float": {part: judged.score(chain.logits(judged.parts[part][0]), part) for part in ("val", "test")},
        "post_training": {**after, "noise": quantized.noise}, **statistics, "estimated_luts": luts,
        "quantized_from": options.model.name, "left_out": chain.left_out or None, "notes": list(chain.notes),
        "data": data, "split_key": options.split_key, "target_columns": options.target_columns,
        "method": "nmp", "mode": None, "epochs": options.epochs,
        "beta": options.beta if options.epochs else None, "seed": options.seed,
        "seconds": round(time.perf_counter() - start, 3),
    }  # fmt: skip
    write(options.out, model, judged.preprocessing, report, result)
    if not options.quiet:
        print("\n".join(_lines(report, options)))
    return report


def tuned(options: argparse.Namespace, model: Any, chain: FloatChain, judged: Judged) -> Any:
    """Fine-tune ``model`` in place, as the options say; its `FitResult`."""
    from contextlib import ExitStack

    from keras_models.quantize.tune import tune
    from keras_models.training.fit import FitConfig

    rows = len(judged.parts["train"][0])
    config = FitConfig(
        epochs=options.epochs, batch_size=options.batch_size or (512 if rows > 20000 else 128),
        learning_rate=options.learning_rate, beta=options.beta, seed=options.seed,
    )  # fmt: skip
    with ExitStack() as stack:
        listen = None
        if not (options.quiet or options.json):
            from keras_models.training.progress import EpochProgress

            listen = stack.enter_context(EpochProgress(options.epochs))
        return tune(model, chain, judged, config, *([listen] if listen else []))


def _lines(report: dict[str, Any], options: argparse.Namespace) -> list[str]:
    metric, own, after = report["metric"], report["float"], report["post_training"]
    lines = [f"{metric} {own['test']:.4f} on the test part as floats, {after['test']:.4f} quantized after training"]
    if options.epochs:
        lines[0] += f", {report['test']:.4f} fine-tuned over {options.epochs} epochs"
    if report["left_out"]:
        lines.append(f"note: the {report['left_out']} at the end is left out: the model returns logits")
    lines += [f"note: {one_line(text)}" for text in report["notes"]]
    widths = f"{report['mean_weight_bits']:.2f} weight bits"
    if report["mean_activation_bits"] is not None:
        widths += f", {report['mean_activation_bits']:.2f} activation bits"
    lines.append(f"{widths}, about {report['estimated_luts']:.0f} LUT sites by the estimate, "
                 f"{report['seconds']:.0f} s: {one_line(str(options.out))}")  # fmt: skip
    return lines
