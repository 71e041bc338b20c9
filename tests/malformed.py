"""Malformed files of every kind the commands read: 300 by seed, each a mutation of a good one.

Run as a script it is the judge's worker: it gives each file to the real command line in this process, which has the
libraries loaded, and prints one JSON line of what came of it.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

KINDS = ("h5", "keras", "json", "npz", "report")
FIXTURES = Path(__file__).parent / "fixtures"
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 3, 10**9, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\x00", "../../etc/passwd",
    "s" * 5000, [], {}, [[]], [None], {"a": 1}, "os", "Lambda", "__import__('os').system('true')",
)  # fmt: skip


def make(seed: int) -> tuple[str, str, bytes]:
    """Kind, what was done, and the bytes of file number ``seed``; kinds take turns."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    done, content = _MAKERS[kind](rng)
    return kind, done, content


def damaged(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    """Bytes cut, overwritten, zeroed, doubled or foreign."""
    at = rng.randrange(1, len(content))
    how = rng.randrange(6)
    if how == 0:
        return f"cut at {at}", content[:at]
    if how == 1:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 3, 30])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return "bytes overwritten", bytes(changed)
    if how == 2:
        length = rng.choice([16, 512, 4096])
        return f"{length} zeros at {at}", content[:at] + bytes(length) + content[at + length :]
    if how == 3:
        return f"a part doubled at {at}", content[:at] + content[max(0, at - 1000) :]
    if how == 4:
        return "foreign", rng.choice(
            [b"", b"\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"<html>", bytes(999)]
        )
    return "random bytes", rng.randbytes(rng.choice([1, 100, 20_000]))


def bent(rng: random.Random, data: Any) -> tuple[str, Any]:
    """JSON data with one odd value somewhere, a member missing, or a list grown or shrunk."""
    data = json.loads(json.dumps(data))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(data)
    node, key = rng.choice(places)
    how = rng.randrange(4)
    if how == 0:
        del node[key]
        return f"{key!r} missing", data
    if how == 1 and isinstance(node, list):
        node.extend([node[key]] * rng.choice([1, 1000]))
        return f"list grown at {key}", data
    if how == 2 and isinstance(node[key], int | float):
        node[key] = rng.choice([-node[key] - 1, node[key] * 1000003, node[key] + 0.5])
        return f"{key!r} is {node[key]}", data
    node[key] = rng.choice(ODD)
    return f"{key!r} is {str(node[key])[:40]!r}", data


def _design_text() -> str:
    from strategies import random_design

    from flow.ir import to_json
    from flow.pipeline import finish

    return to_json(finish(random_design(4, max_layers=2)))


def _json(rng: random.Random) -> tuple[str, bytes]:
    text = _design_text()
    if rng.randrange(3) == 0:
        return damaged(rng, text.encode())
    done, data = bent(rng, json.loads(text))
    return done, json.dumps(data).encode()


def _h5(rng: random.Random) -> tuple[str, bytes]:
    content = (FIXTURES / rng.choice(["old_functional.h5", "old_sequential.h5"])).read_bytes()
    how = rng.randrange(3)
    if how == 0:
        return damaged(rng, content)
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        if how == 1:
            done, config = bent(rng, json.loads(file.attrs["model_config"]))
            del file.attrs["model_config"]
            file.attrs["model_config"] = json.dumps(config)
        else:
            done = _other_weights(rng, file["model_weights"])
    return done, stream.getvalue()


def _other_weights(rng: random.Random, root: Any) -> str:
    found: list[str] = []
    root.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    name = rng.choice(sorted(found))
    values = root[name][()]
    del root[name]
    change = rng.randrange(5)
    if change == 0:
        return f"{name} missing"
    others = {
        1: values.reshape(-1)[:-1],
        2: np.full_like(values, rng.choice([np.nan, np.inf, 1e30])),
        3: np.array([b"text"] * 3),
        4: np.zeros((0, 3), np.float32),
    }
    root[name] = others[change]
    return f"{name}: change {change}"


def _keras_base() -> bytes:
    """A ``.keras`` archive of the same model; made by Keras where the worker runs, kept for its life."""
    if not _CACHE:
        import tempfile

        import keras

        import keras_models

        model = keras.Sequential(
            [keras.Input((3,)), keras_models.NMPInputQuantizer(), keras_models.NMPDense(4, activation="relu"),
             keras_models.NMPDense(2)]
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "m.keras")
            _CACHE.append((Path(folder) / "m.keras").read_bytes())
    return _CACHE[0]


_CACHE: list[bytes] = []


def _keras(rng: random.Random) -> tuple[str, bytes]:
    content = _keras_base()
    how = rng.randrange(4)
    if how == 0:
        return damaged(rng, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if how == 1:
        name = rng.choice(sorted(files))
        done, files[name] = f"{name} missing", files[name]
        del files[name]
    elif how == 2:
        name = rng.choice(sorted(files))
        done, files[name] = damaged(rng, files[name])
        done = f"{name}: {done}"
    else:
        done, config = bent(rng, json.loads(files["config.json"]))
        files["config.json"] = json.dumps(config).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return done, stream.getvalue()


def _npz(rng: random.Random) -> tuple[str, bytes]:
    from strategies import random_design

    values = np.random.default_rng(rng.randrange(1000))
    inputs = len(random_design(4, max_layers=2).inputs)
    arrays: dict[str, Any] = {
        "X": values.normal(size=(40, inputs)).astype(np.float32),
        "y": values.integers(0, 2, 40),
        "split": np.repeat([0, 1, 2], [20, 10, 10]),
    }
    stream = io.BytesIO()
    if rng.randrange(3) == 0:
        np.savez(stream, **arrays)
        return damaged(rng, stream.getvalue())
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    choices: list[Callable[[], Any]] = [
        lambda: array[:-3], lambda: array[:0], lambda: np.array(["a"] * 40), lambda: np.array([object()] * 40),
        lambda: np.full(array.shape, np.nan), lambda: np.full(array.shape, 1e300), lambda: array[None],
        lambda: array.astype(complex), lambda: array.astype("M8[s]"), lambda: np.float32(3), lambda: array * 10**9,
        lambda: -array - 1, lambda: np.zeros((40, 700), np.float32),
    ]  # fmt: skip
    number = rng.randrange(len(choices) + 1)
    if number == len(choices):
        del arrays[name]
        done = f"{name} missing"
    else:
        arrays[name], done = choices[number](), f"{name}: change {number}"
    np.savez(stream, **arrays)
    return done, stream.getvalue()


def _report(rng: random.Random) -> tuple[str, bytes]:
    from report_samples import SAMPLES, Figures

    name = rng.choice(sorted(SAMPLES))
    figures = Figures(latency=(12, 34), interval=(2, 3), lut=123, ff=234, dsp=12, tiles_x2=4, uram=6)
    done, content = damaged(rng, SAMPLES[name](figures).encode())
    return f"{name}: {done}", content


_MAKERS: dict[str, Callable[[random.Random], tuple[str, bytes]]] = {
    "h5": _h5, "keras": _keras, "json": _json, "npz": _npz, "report": _report,
}  # fmt: skip


def _command(kind: str, file: Path, out: Path) -> tuple[str, list[str]]:
    """Module and arguments of the command that reads a file of this kind."""
    if kind == "report":
        return "flow.report", ["--json", str(file)]
    model = file.with_name("good.json") if kind == "npz" else file
    arguments = ["--model", str(model), "--out", str(out), "--engines", "integer", "--vectors", "20"]
    if kind == "npz":
        arguments += ["--data", str(file)]
    if kind == "h5":
        arguments += ["--input-format", "s8.4"]
    return "flow.build", arguments


def try_file(seed: int, folder: Path) -> dict[str, Any]:
    """Give file ``seed`` to its command. ``status``, the words on standard error, what lies in the output folder."""
    import contextlib
    import importlib
    import traceback

    import click

    kind, done, content = make(seed)
    file, out = (
        folder / f"{seed}.{ {'json': 'json', 'npz': 'npz', 'report': 'rpt'}.get(kind, kind) }",
        folder / f"out{seed}",
    )
    file.write_bytes(content)
    file.with_name("good.json").write_text(_design_text())
    module, arguments = _command(kind, file, out)
    app = importlib.import_module(module).app
    told, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(printed):
        try:
            status = app(arguments, standalone_mode=False) or 0
        except click.exceptions.Exit as exc:
            status = exc.exit_code
        except SystemExit as exc:
            status = int(exc.code or 0)
        except BaseException:
            status = "traceback"
            told.write(traceback.format_exc())
    left = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    return {"seed": seed, "kind": kind, "done": done, "status": status, "told": told.getvalue(), "left": left}


def verdict(result: dict[str, Any]) -> str:
    """What is wrong with an outcome; empty where it is one clear line and exit 1, or a finished build or report."""
    status, told, left = result["status"], result["told"].strip(), result["left"]
    if status == 0:
        return ""
    if status != 1:
        return f"ends with {status}: {told[-600:]}"
    if not told.startswith("error: ") or "\n" in told:
        return f"says {told[-600:]!r}"
    if len(told) > 600:
        return f"says {len(told)} characters: {told[:200]!r}"
    return f"leaves {left}" if left else ""


def judge(seeds: Sequence[int], folder: Path, limit_s: float = 30.0) -> Iterator[dict[str, Any]]:
    """Outcomes of the files, in order, with ``wrong`` (see ``verdict``), from a worker that is killed when it hangs."""
    left = list(seeds)
    while left:
        command = [sys.executable, __file__, str(folder), *map(str, left)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
            assert worker.stdout
            while left:
                watch = threading.Timer(limit_s, worker.kill)
                watch.start()
                line = worker.stdout.readline()
                late = not watch.is_alive()
                watch.cancel()
                seed = left.pop(0)
                if not line:  # the worker is dead
                    worker.wait()
                    wrong = f"runs for more than {limit_s} s" if late else f"dies with {worker.returncode}"
                    yield {"seed": seed, "kind": KINDS[seed % len(KINDS)], "status": None, "wrong": wrong}
                    break
                result = json.loads(line)
                yield {**result, "wrong": verdict(result)}


if __name__ == "__main__":
    work = Path(sys.argv[1])
    for number in map(int, sys.argv[2:]):
        print(json.dumps(try_file(number, work)), flush=True)
