"""Where a file is asked for, something that is none: pipes, devices, sockets, folders, loops, huge sizes, odd names."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report_samples import SAMPLES, Figures

from hostile.bases import QUICK, Bases
from hostile.scene import Scene, after, build_scene, config_scene, stock_scene, sweep_scene, train_scene

FIGURES = Figures(latency=(12, 34), interval=(2, 3), lut=123, ff=234, dsp=12, tiles_x2=4, uram=6)
Reader = tuple[str, bytes, Callable[[Path], Scene]]  # the file's usual name, good content, the command that reads it


def special(rng: random.Random, place: Path, bases: Bases) -> Scene:
    """Something odd where one of the commands looks for a file."""
    named, fixed = _readers(place, bases), _fixed(place, bases)
    name = rng.choice([*named, *named, *fixed, "sweep.json", "study.db", "written", "written", "written"])
    if name == "written":
        return _written(rng, place, bases)
    if name in ("sweep.json", "study.db"):
        return _kept_sweep(rng, place, bases, name)
    file, good, make = (named | fixed)[name]
    done = special_file(rng, place / file, good, in_place=name in fixed)
    found = next((p for p in sorted(place.iterdir()) if p.name != "target"), place / file)
    if done.startswith("no such name"):
        found = Path(done.partition(": ")[2])
    return after(f"{name}: {done[:60]}", make(found))


def _readers(place: Path, bases: Bases) -> dict[str, Reader]:
    """Commands that are told the file's name."""
    h5, design, data = bases.qkeras, bases.design.read_bytes(), bases.data().read_bytes()
    timing, csynth = (SAMPLES[name](FIGURES).encode() for name in ("vivado_timing", "hls_csynth_xml"))
    page = place / "compare.html"
    return {
        "build --model h5": ("m.h5", h5, lambda f: build_scene(place, f)),
        "build --model keras": ("m.keras", h5, lambda f: build_scene(place, f)),
        "build --model json": ("m.json", design, lambda f: build_scene(place, f)),
        "build --layer": ("m.h5", h5, lambda f: build_scene(place, f, "--layer", "hidden")),
        "build --data": ("d.npz", data, lambda f: build_scene(place, bases.design, "--data", str(f))),
        "build --hls-config": (
            "h.yml",
            bases.yaml.encode(),
            lambda f: build_scene(place, bases.design, "--hls-config", str(f)),
        ),
        "hls_config": ("m.json", design, lambda f: config_scene(place, f)),
        "hls_config h5": ("m.h5", h5, lambda f: config_scene(place, f)),
        "hls_stock": ("m.json", design, lambda f: stock_scene(place, f)),
        "train --data": ("d.npz", data, lambda f: train_scene(place / "no folder", f)),
        "sweep --data": ("d.npz", data, lambda f: sweep_scene(place, "--data", str(f), "--part", "nosuch")),
        "report": ("r.rpt", timing, lambda f: Scene("", "flow.report", [str(f)])),
        "report --json": ("r.xml", csynth, lambda f: Scene("", "flow.report", ["--json", str(f)])),
        "report --compare": (
            "report.json",
            json.dumps(bases.report).encode(),
            lambda f: Scene("", "flow.report", ["--compare", str(f), str(f), "--out", str(page)], (page,)),
        ),
    }


def _fixed(place: Path, bases: Bases) -> dict[str, Reader]:
    """Files that are looked for by a name of their own, and those that are written."""
    timing, design = SAMPLES["vivado_timing"](FIGURES).encode(), str(bases.design)

    def with_model(_: Path) -> Scene:
        (place / "m.h5").write_bytes(bases.qkeras)
        return build_scene(place, place / "m.h5", "--data", str(bases.data(6)))

    return {
        "report folder": ("r.rpt", timing, lambda _: Scene("", "flow.report", [str(place)])),
        "train.json": ("m.train.json", b"{}", with_model),
        "checkpoint": (
            "m.checkpoint.npz",
            b"x",
            lambda _: Scene("", "keras_models.train", bases.training(place / "m.h5"), (place / "m.h5",)),
        ),
        "build --out": ("o", b"x", lambda f: Scene("", "flow.build", ["--model", design, "--out", str(f), *QUICK])),
        "hls_config --out": (
            "h.yml",
            b"",
            lambda f: Scene("", "flow.hls_config", ["--model", design, "--out", str(f)]),
        ),
    }


def _written(rng: random.Random, place: Path, bases: Bases) -> Scene:
    """Names of what a command is to write."""
    (place / "file").write_bytes(b"")
    names = {
        "300 characters": "n" * 300,
        "through a file": "file/x",
        "markup": "o[/red]",
        "an escape": "\x1b[31mred",
        "no UTF-8": os.fsdecode(b"a\xff\xfe"),
        "a line end": "a\nb",
        "a link to itself": "loop",
    }
    (place / "loop").symlink_to("loop")
    how = rng.choice(sorted(names))
    out = place / names[how]
    arguments = {
        "flow.build": ["--model", str(bases.design), "--out", str(out), *QUICK],
        "flow.hls_config": ["--model", str(bases.design), "--out", f"{out}.yml"],
        "flow.hls_stock": ["--model", str(bases.design), "--out", str(out), "--backend", "Vitis"],
        "keras_models.train": train_scene(place, bases.data(), "--out", f"{out}.h5").arguments[:-2],
        "flow.sweep": sweep_scene(place, "--data", str(bases.data()), "--out", str(out)).arguments,
        "flow.report": ["--compare", str(bases.report_file), str(bases.report_file), "--out", f"{out}.html"],
    }
    command = rng.choice(sorted(arguments))
    return Scene(f"written: {command}: {how}", command, arguments[command])


def _kept_sweep(rng: random.Random, place: Path, bases: Bases, name: str) -> Scene:
    folder = bases.copy_of(bases.sweep, place / "sweeps" / "s")
    good = (folder / name).read_bytes()
    (folder / name).unlink()
    return after(f"{name}: {special_file(rng, folder / name, good, in_place=True)}", sweep_scene(place))


def special_file(rng: random.Random, path: Path, good: bytes, in_place: bool = False) -> str:
    """Put something odd at ``path``, or without ``in_place`` also good content under an odd name beside it."""
    kinds: dict[str, Callable[[], Any]] = {
        "a pipe": lambda: os.mkfifo(path),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "a link to /dev/full": lambda: path.symlink_to("/dev/full"),
        "a folder": path.mkdir,
        "a socket": lambda: _socket(path),
        "a broken link": lambda: path.symlink_to("nowhere"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a loop of links": lambda: (path.symlink_to("target"), path.with_name("target").symlink_to(path.name)),
        "1.5 GB of nothing": lambda: _sparse(path, 3 << 29),
        "1 TB of nothing": lambda: _sparse(path, 1 << 40),
        "60 MB of nothing": lambda: _sparse(path, 60 << 20),
        "300 MB behind a good head": lambda: _sparse(path, 300 << 20, good),
        "1.5 GB behind a good head": lambda: _sparse(path, 3 << 29, good),
        "no bytes": lambda: path.write_bytes(b""),
        "a file of the kernel": lambda: path.symlink_to("/proc/self/mem"),
        "an endless file": lambda: path.symlink_to("/proc/kmsg"),
        "not for reading": lambda: (path.write_bytes(good), path.chmod(0)),
    }
    suffix = path.suffix
    names = {
        "250 characters": "n" * (250 - len(suffix)) + suffix,
        "a line end": f"a\nb{suffix}",
        "an escape": f"\x1b[31mred{suffix}",
        "no UTF-8": os.fsdecode(b"a\xff\xfe" + suffix.encode()),
        "a blank": f" a b {suffix}",
        "quotes": f"'\"$(true)`;{suffix}",
        "markup": f"[red]<b>&amp;{suffix}",
        "right to left": f"\u202eabc{suffix}",
    }
    absent = {
        "300 characters": "n" * 300 + suffix,
        "through a file": f"target/x{suffix}",
        "2000 folders": "d/" * 2000 + path.name,
    }
    how = rng.choice([*kinds] if in_place else [*kinds, *kinds, *names, *absent])
    if how in absent:
        path.with_name("target").write_bytes(b"")
        return f"no such name, {how}: {path.parent}/{absent[how]}"
    if how in names:
        path.with_name(names[how]).write_bytes(good)
        return f"good, by a name of {how}"
    kinds[how]()
    return how


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path, size: int, head: bytes = b"") -> None:
    path.write_bytes(head)
    os.truncate(path, size)
