"""Train a model: ``python -m keras_models.train --data NAME|FILE --out m.h5``; see ``--help``.

Writes the model (``.h5`` or ``.keras``, with its preprocessing inside), ``m.train.json`` (scores and widths),
``m.history.csv`` (metrics per epoch) and, with ``--front``, ``m.front/`` (the Pareto set of the run); with
``--pictures`` ``m.pictures/``. With ``--resume`` a killed run leaves ``m.checkpoint.npz``, from which the same command
goes on.
"""

from __future__ import annotations

from keras_models.interrupts import at_once, check_interrupt, leave

if __name__ == "__main__":
    at_once()  # also while what follows is imported

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_models.command_line import parsed
from keras_models.data.loaders import Dataset
from keras_models.training import choice, source
from keras_models.training.choice import UsageError, sizes_of
from keras_models.training.ending import status_of
from keras_models.training.output import check_place, write, write_run_pictures
from keras_models.training.recipes import LEARNING, MODES, RATES
from keras_models.training.run import Trained, trained
from keras_models.training.schedule import WARM_UP
from keras_models.untrusted import MAX_JSON, one_line, read_text, visible

if TYPE_CHECKING:
    pass

METHOD_NAMES = ("nmp", "uniform", "float", "layerwise", "adq", "sigmaquant", "releq", "cmpq")
_MORE = 32  # characters that the names of the other files have more
CONTINUABLE = ("nmp", "layerwise", "uniform", "float", "cmpq")  # methods without a search of their own before training


def parser(prog: str = "python -m keras_models.train") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Train a model and write it with its preprocessing.")
    source.add_options(p)
    p.add_argument("--out", required=True, type=Path, metavar="m.h5", help="model to write, .h5 or .keras")
    choice.add_options(p)
    p.add_argument("--method", choices=METHOD_NAMES, default="nmp",
                   help="how the model learns: nmp, layerwise with learned widths, others to compare with")  # fmt: skip
    p.add_argument("--mode", choices=sorted(MODES), default="hardware", help="of --method nmp: for hardware, "
                   "or as the paper trains")  # fmt: skip
    p.add_argument("--rates", choices=RATES, default="grown", help="of --mode paper: those with which widths grow, or "
                   "the publication's, for many more steps")  # fmt: skip
    p.add_argument("--epochs", type=int, help="default 400, paper mode 100")
    p.add_argument("--batch-size", type=int, help="default 512, 128 for small sets")
    p.add_argument("--learning-rate", type=float, help="default 0.007, paper mode 0.01, published 0.001")
    p.add_argument("--optimizer", choices=["adam", "sgd"], help="default adam, published sgd")
    p.add_argument("--schedule", choices=["cosine", "constant"], help="of the learning rate; default cosine, "
                   "published constant")  # fmt: skip
    p.add_argument("--strength-rate", type=float, metavar="X", help="learning rate of the widths' strengths as a share "
                   "of --learning-rate; default 0.2, paper mode 0.05, published 1")  # fmt: skip
    p.add_argument("--patience", type=int, help="stop after so many epochs without a better model; published 20")
    p.add_argument("--beta", type=float, help="final weight of the cost, loss per LUT (or bit)")
    p.add_argument("--settle", type=float, metavar="SHARE", help="of the epochs after which widths and ranges stay, "
                   "with --mean-weight-bits or --mean-activation-bits once these are met")  # fmt: skip
    p.add_argument("--lut-budget", type=float, metavar="N", help="steer beta so that the LUT sites end just below N")
    p.add_argument("--front", action="store_true", help="keep the Pareto set of a run with rising beta in m.front/")
    p.add_argument("--resume", action="store_true", help="keep the run's state in m.checkpoint.npz while "
                   "it trains, and go on from there after a kill, to the same model")  # fmt: skip
    p.add_argument("--pictures", action="store_true", help="draw widths, front and neurons in m.pictures/")
    p.add_argument("--tensorboard", type=Path, metavar="DIR", help="write metrics, widths and pictures for TensorBoard")
    p.add_argument("--seed", type=int, default=0, help="of weights, order of rows and searches")
    p.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    p.add_argument("--json", action="store_true", help="print m.train.json and nothing else")
    return p


def main(arguments: Sequence[str] | None = None, prog: str = "python -m keras_models.train") -> int:
    """Run the command line; returns the exit status: 0, with one ``error:`` line 1 or for wrong usage 2, or 130 when
    interrupted. Without ``arguments`` those of the process are taken, which is then one of training alone.
    """
    return run(parsed(parser(prog), arguments), arguments is None)


def run(options: argparse.Namespace, alone: bool = True) -> int:
    """Train as the options say; the exit status, as of `main`."""
    return status_of(lambda: _reported(options, alone), lambda: _left(options))


def _reported(options: argparse.Namespace, alone: bool) -> None:
    """Train; standard output is for the record alone where that is asked for."""
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        _train(options, alone)
    if options.json:
        print(read_text(options.out.with_suffix(".train.json"), MAX_JSON), end="")


def _train(options: argparse.Namespace, alone: bool) -> None:
    """Check everything that can be checked before, then train."""
    check(options)
    found = source.read(options)
    check_writable(options.out)
    check_place(options.out, options.front, options.pictures)
    choose_backend()
    if alone:
        keep_tensorflow_out(options.method)
    for line in [] if options.quiet else found.summary:
        print(visible(line), flush=True)
    for line in found.remarks:
        print(f"note: {one_line(line)}", file=sys.stderr if options.quiet else sys.stdout, flush=True)
    train(options, found.dataset, found.remarks)


def _left(options: argparse.Namespace) -> str:
    """What an interrupted run leaves behind."""
    kept = options.out.with_suffix(".checkpoint.npz")
    if options.resume and kept.exists():
        return f"{kept} is kept: the same command goes on from there"
    return "its files are not complete: run the same command again"


def check(options: argparse.Namespace) -> None:
    """Raise `UsageError` for values that cannot work."""
    check_seed(options.seed)
    if options.out.suffix not in (".h5", ".keras"):
        raise UsageError(f"--out {options.out}: the name must end in .h5 or .keras")
    choice.check_model(options)
    positive = {"--epochs": options.epochs, "--batch-size": options.batch_size, "--patience": options.patience,
                "--learning-rate": options.learning_rate, "--strength-rate": options.strength_rate,
                "--lut-budget": options.lut_budget}  # fmt: skip
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise UsageError(f"{name} must be positive, got {value:g}")
    if options.beta is not None and not 0 <= options.beta < float("inf"):
        raise UsageError(f"--beta must be 0 or more, got {options.beta:g}")
    budgets = options.lut_budget or choice.bit_budgets(options)
    learned = options.front or budgets or options.weight_bits or options.activation_bits
    if learned and options.method not in LEARNING:
        raise UsageError(f"fronts, budgets and bit sets need learned widths (--method {' or '.join(LEARNING)}), "
                         f"not {options.method}")  # fmt: skip
    if options.rates == "published" and (options.method, options.mode) != ("nmp", "paper"):
        raise UsageError("--rates published are those of --mode paper")
    if options.resume and options.method not in CONTINUABLE:
        raise UsageError(f"--resume: the search of --method {options.method} cannot be continued; leave it out")
    if choice.in_bits(options) and (options.front or options.lut_budget or options.method not in LEARNING):
        raise UsageError("a cost in bits needs learned widths, and excludes --front and --lut-budget: both count LUTs")
    if options.settle is not None and not WARM_UP < options.settle < 1:
        raise UsageError(f"--settle {options.settle:g}: give a share between {WARM_UP:g} and 1")
    if options.settle is not None and options.method not in LEARNING:
        raise UsageError(f"--settle needs learned widths (--method {' or '.join(LEARNING)}), not {options.method}")
    if options.class_weight != "none" and options.method not in CONTINUABLE:
        raise UsageError(f"--class-weight: the search of --method {options.method} knows no weights; leave it out")
    if options.front and options.lut_budget:
        raise UsageError("--front and --lut-budget exclude each other")


def check_seed(seed: int) -> None:
    """Raise `UsageError` for what NumPy and Keras take no random numbers from."""
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"--seed {seed}: give 0 to {(1 << 32) - 1}")


def check_writable(out: Path) -> None:
    """Raise `UsageError` where a model and the files beside it cannot be written."""
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise OSError(f"--out {out}: folder {out.parent} does not exist or cannot be written")
    if len(os.fsencode(out.name)) + _MORE > os.pathconf(out.parent, "PC_NAME_MAX"):
        raise OSError(f"--out {out}: the name is too long; give a shorter one")


def choose_backend() -> None:
    """Use JAX unless KERAS_BACKEND says otherwise (measured: several times faster per epoch than TensorFlow here)."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def keep_tensorflow_out(method: str) -> None:
    """Let Keras on JAX find no TensorFlow: its type checks would import it, for seconds and lines on stderr.

    For a process of our own only: nothing in it could use TensorFlow afterwards.
    """
    if os.environ["KERAS_BACKEND"] == "jax" and method != "uniform":
        sys.modules["tensorflow"] = None  # type: ignore[assignment]


def train(options: argparse.Namespace, dataset: Dataset, remarks: Sequence[str] = ()) -> dict[str, Any]:
    """Preprocess, build, fit, write; returns the content of ``m.train.json``, ``remarks`` among it."""
    from keras_models.training.checkpoint import Checkpoint

    check_interrupt()
    checkpoint = Checkpoint(options.out.with_suffix(".checkpoint.npz")) if options.resume else None
    made = trained(options, dataset, checkpoint=checkpoint)
    report = summary(options, dataset, made) | {"notes": list(remarks)}
    write(options.out, made.model, made.preprocessing, report, made.result)
    write_run_pictures(options.out.with_suffix(".pictures") if options.pictures else None, options.tensorboard,
                       made.model, made.result, dataset.task == "classification")  # fmt: skip
    if checkpoint is not None:
        checkpoint.remove()
    if not options.quiet:
        print(_result(report, options.out))
    return report


def _result(report: dict[str, Any], out: Path) -> str:
    """The line about a finished training."""
    return (f"{report['metric']} {report['test']:.4f} on the test part, {report['mean_weight_bits']:.2f} weight bits"
            + (f", {report['counted_luts']:.0f} LUT sites" if report["counted_luts"] else
               f", about {report['estimated_luts']:.0f} LUT sites by the estimate" if report["estimated_luts"] else "")
            + f", {report['seconds']:.0f} s: {one_line(str(out))}")  # fmt: skip


def summary(options: argparse.Namespace, dataset: Dataset, made: Trained) -> dict[str, Any]:
    """The content of ``m.train.json`` for the model as it is (the best one of the run)."""
    import keras

    from keras_models.training.fit import score_of

    model, parts, result, preprocessing = made.model, made.parts, made.result, made.preprocessing
    best = result.best
    assert best is not None
    outputs = {name: model.predict(parts[name][0], batch_size=8192, verbose=0) for name in ("val", "test")}
    report = {
        "metric": "accuracy" if dataset.task == "classification" else "mse",
        **{name: score_of(dataset.task, outputs[name], parts[name][1]) for name in ("test", "val")},
        **source.balanced_scores(outputs, parts, options.class_weight),
        **best.statistics,
        **result.found,
        **choice.deployment(options, made.method),
        "estimated_luts": made.method.describe(model)[0] or result.found.get("estimated_luts"),
        "counted_luts": best.luts if choice.count_of(options) != "estimate" else None,
        "epoch": best.epoch,
        "epochs": len(result.history),
        "seconds": round(result.seconds, 3),
        "seed": options.seed,
        "data": dataset.name,
        "split_key": options.split_key,
        "classes": list(dataset.classes) or None,
        "class_names": list(preprocessing.output_names) if dataset.classes else None,
        "target": options.target,
        "class_weight": options.class_weight,
        "method": options.method,
        "mode": options.mode if options.method == "nmp" else None,
        "rates": options.rates if (options.method, options.mode) == ("nmp", "paper") else None,
        "model": options.model,
        "hidden": list(sizes_of(options)),
        "layers": choice.layers_of(options) if options.model == "cnn" else None,
        "window": options.window,
        "weights_only": options.weights_only,
        "bits": choice.bits_of(options) if options.method in choice.DEFAULT_BITS else None,
        "weight_bits": options.weight_bits,
        "activation_bits": options.activation_bits,
        "beta": result.history[best.epoch - 1]["beta"],
        "lut_budget": options.lut_budget,
        "bit_budgets": choice.bit_budgets(options) or None,
        "backend": keras.backend.backend(),
    }
    if dataset.task == "regression":
        predicted = preprocessing.restore_targets(outputs["test"])
        report["test_raw"] = float(((predicted - dataset.part("test")[1]) ** 2).mean())
    return report


if __name__ == "__main__":
    if Path(sys.path[0]) == Path.cwd() != Path(__file__).resolve().parents[1]:
        del sys.path[0]  # where `python -m` looks first: what is called flow there is not the package that counts LUTs
    leave(main())
