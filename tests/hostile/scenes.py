"""Scenes: a hostile or damaged file of one kind, and the command that reads it. Everything follows from the seed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report_samples import SAMPLES

from hostile.bases import QUICK, Bases
from hostile.mutate_h5 import h5_changed, h5_text
from hostile.mutate_json import damaged, json_changed
from hostile.mutate_text import text_changed, yaml_changed
from hostile.mutate_zip import npz_changed, zip_changed, zipped
from hostile.scene import Scene, after, build_scene, config_scene, stock_scene, sweep_scene, train_scene
from hostile.specials import FIGURES, special, special_file


def _file(place: Path, name: str, changed: tuple[str, bytes]) -> tuple[str, Path]:
    (place / name).write_bytes(changed[1])
    return changed[0], place / name


def design(rng: random.Random, place: Path, bases: Bases) -> Scene:
    done, file = _file(place, "m.json", json_changed(rng, json.loads(bases.design.read_text())))
    return after(done, rng.choice([build_scene, config_scene, stock_scene])(place, file))


def h5(rng: random.Random, place: Path, bases: Bases) -> Scene:
    done, file = _file(place, "m.h5", h5_changed(rng, rng.choice([bases.qkeras, bases.sequential])))
    if rng.randrange(3) == 0:
        return after(done, rng.choice([config_scene, stock_scene])(place, file))
    return after(
        done,
        build_scene(place, file, *(["--layer", "hidden"] if rng.randrange(3) == 0 else [])),
    )


def keras(rng: random.Random, place: Path, bases: Bases) -> Scene:
    content = bases.archive
    how = rng.randrange(3)
    if how == 0:
        changed = rng.choice([damaged, zip_changed])(rng, content)
    else:
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = "config.json" if how == 1 else rng.choice(sorted(members))
        change = json_changed(rng, json.loads(members[name])) if name.endswith(".json") else damaged(rng, members[name])
        changed = f"{name}: {change[0]}", zipped({**members, name: change[1]})
    done, file = _file(place, "m.keras", changed)
    return after(done, rng.choice([build_scene, config_scene])(place, file))


def npz(rng: random.Random, place: Path, bases: Bases) -> Scene:
    done, file = _file(place, "d.npz", npz_changed(rng, bases.arrays()))
    how = rng.randrange(6)
    if how < 3:
        return after(done, build_scene(place, bases.design, "--data", str(file)))
    if how == 3:
        return after(done, train_scene(place, file))
    if how == 4:  # it ends after the data are read
        return after(done, train_scene(place / "no folder", file))
    return after(done, sweep_scene(place, "--data", str(file), "--part", "nosuch"))


def preprocessing(rng: random.Random, place: Path, bases: Bases) -> Scene:
    """In the two kinds of model files; the data are good."""
    inputs = rng.choice([3, 6])
    done, text = json_changed(rng, json.loads(bases.preprocessing(inputs).to_json()))
    if inputs == 6:
        _, file = _file(place, "m.h5", (done, h5_text(bases.qkeras, "nmp_preprocessing", text)))
        return after(done, build_scene(place, file, "--data", str(bases.data(6))))
    from hostile.mutate_zip import with_entry

    _, file = _file(place, "m.keras", (done, with_entry(bases.archive, "nmp_preprocessing.json", text)))
    return after(done, build_scene(place, file, "--data", str(bases.data(3))))


def train_json(rng: random.Random, place: Path, bases: Bases) -> Scene:
    record = {
        "data": str(bases.data(6)),
        "split_key": "split",
        "target_columns": None,
        "metric": "accuracy",
        "test": 0.5,
        "val": 0.5,
        "mean_weight_bits": 3.0,
        "weight_bits_histogram": {"1": 4},
        "seed": 0,
        "epochs": 3,
    }
    if rng.randrange(2):
        record["target_columns"] = "0"
    (place / "m.h5").write_bytes(bases.qkeras)
    done, _ = _file(place, "m.train.json", json_changed(rng, record))
    return after(done, build_scene(place, place / "m.h5", "--data", str(bases.data(6))))


def checkpoint(rng: random.Random, place: Path, bases: Bases) -> Scene:
    import io

    import numpy as np

    with np.load(io.BytesIO(bases.checkpoint)) as file:
        arrays = {name: file[name] for name in file.files}
    if rng.randrange(2):
        text = json_changed(rng, json.loads(str(arrays["state"])))
        arrays["state"] = np.asarray(text[1].decode(errors="replace"))
        changed = f"state: {text[0]}", npz_changed_none(arrays)
    else:
        changed = npz_changed(rng, arrays)
    done, _ = _file(place, "m.checkpoint.npz", changed)
    return Scene(done, "keras_models.train", bases.training(place / "m.h5"), (place / "m.h5",))


def npz_changed_none(arrays: dict[str, Any]) -> bytes:
    from hostile.mutate_zip import members_of

    return zipped(members_of(arrays))


def yaml(rng: random.Random, place: Path, bases: Bases) -> Scene:
    done, file = _file(place, "hls.yml", yaml_changed(rng, bases.yaml))
    if rng.randrange(3) == 0:
        return after(done, build_scene(place, bases.design, "--hls-config", str(file)))
    return Scene(done, "hostile.readers:hls_config", [str(file), str(bases.design)])


def sweep(rng: random.Random, place: Path, bases: Bases) -> Scene:
    folder = bases.copy_of(bases.sweep, place / "sweeps" / "s")
    if rng.randrange(2):
        done, _ = _file(folder, "sweep.json", json_changed(rng, json.loads((folder / "sweep.json").read_text())))
    else:
        done, _ = _file(folder, "study.db", _database_changed(rng, folder / "study.db"))
    return after(done, sweep_scene(place))


def _database_changed(rng: random.Random, path: Path) -> tuple[str, bytes]:
    """The database damaged, or with odd values where trials note theirs."""
    import sqlite3

    if rng.randrange(2):
        return damaged(rng, path.read_bytes())
    table, column = rng.choice(
        [
            ("trial_user_attributes", "value_json"),
            ("trials", "state"),
            ("trial_values", "value"),
            ("study_user_attributes", "value_json"),
            ("trials", "number"),
            ("studies", "study_name"),
            ("version_info", "schema_version"),
            ("trial_params", "distribution_json"),
        ]
    )
    value = rng.choice(["null", "[", "[1]", '"x"', "-1", "{}", "1e999", "[" * 3000, None, "\x00", 2**62])
    with sqlite3.connect(path) as database:
        if rng.randrange(4):
            database.execute(f"UPDATE {table} SET {column} = ?", (value,))
        else:
            database.execute(f"DROP TABLE {table}")
    database.close()
    return f"{table}.{column} is {str(value)[:20]!r}", path.read_bytes()


def state(rng: random.Random, place: Path, bases: Bases) -> Scene:
    """A finished build's folder in which records, results or the lock are not what they were."""
    out = bases.copy_of(bases.build, place / "out")
    files = sorted(p for p in out.rglob("*") if p.is_file() and (".state" in p.parts or p.suffix == ".json"))
    file = rng.choice(files)
    name = file.relative_to(out).as_posix()
    if rng.randrange(4) == 0:
        file.unlink()
        done = special_file(rng, file, b"{}", in_place=True)
    elif file.suffix == ".json" and rng.randrange(3):
        done, content = json_changed(rng, json.loads(file.read_text()))
        file.write_bytes(content)
    else:
        done, content = damaged(rng, file.read_bytes() or b"1")
        file.write_bytes(content)
    return after(f"{name}: {done}", Scene("", "flow.build", ["--model", str(bases.design), "--out", str(out), *QUICK]))


def report(rng: random.Random, place: Path, bases: Bases) -> Scene:
    how = rng.randrange(4)
    if how == 0:
        done, file = _file(place, "report.json", json_changed(rng, bases.report))
        if rng.randrange(2):
            other = bases.report_file
            page = place / "compare.html"
            return Scene(done, "flow.report", ["--compare", str(other), str(file), "--out", str(page)], (page,))
        return Scene(done, "flow.report", rng.choice([["--json", str(file)], [str(file)], [str(place)]]))
    name = rng.choice(sorted(SAMPLES))
    suffix = ".xml" if name.endswith("xml") else ".rpt"
    done, file = _file(place, f"r{suffix}", text_changed(rng, SAMPLES[name](FIGURES)))
    return Scene(f"{name}: {done}", "flow.report", rng.choice([["--json", str(file)], [str(file)], [str(place)]]))


def tool(rng: random.Random, place: Path, bases: Bases) -> Scene:
    """What tools of a build write, in readers that have no command of their own."""
    kind = rng.choice(["netlist", "bench", "results", "nextpnr", "placed", "ports", "outcome", "design"])
    if kind == "netlist":
        data = json.loads((bases.build / "synth" / "netlist.json").read_text())
        done, file = _file(place, "netlist.json", json_changed(rng, _small(data)))
    elif kind == "results":
        cases = '<testcase name="b"/>\n<testcase name="c">\n<failure/></testcase>'
        text = f'<testsuites>\n<testsuite name="a">\n{cases}\n</testsuite>\n</testsuites>\n'
        done, file = _file(place, "results.xml", text_changed(rng, text))
    elif kind == "ports":
        done, file = _file(place, "r.xml", text_changed(rng, SAMPLES["hls_csynth_xml"](FIGURES)))
    else:
        done, file = _file(place, "f.json", json_changed(rng, _TOOL[kind]))
    return Scene(f"{kind}: {done}", f"hostile.readers:{kind}", [str(file)])


def _small(netlist: dict[str, Any]) -> dict[str, Any]:
    """Without the cell library's modules."""
    name = next(n for n, m in netlist["modules"].items() if m.get("attributes", {}).get("top"))
    return {"modules": {"top": netlist["modules"][name]}}


_ELEMENT = {"bits": 4, "signed": True, "name": "x"}
_TOOL: dict[str, Any] = {
    "bench": {
        "schema": 1,
        "top": "t",
        "sources": ["rtl/t.v"],
        "inputs": [_ELEMENT],
        "outputs": [_ELEMENT],
        "latency_cycles": 3,
        "initiation_interval": 1,
        "ready": False,
        "timed": True,
    },
    "nextpnr": {
        "fmax": {"clk": {"achieved": 100.0, "constraint": 50.0}},
        "critical_paths": [],
        "utilization": {"SLICE_LUTX": {"used": 3, "available": 9}},
    },
    "placed": {"modules": {"top": {"cells": {"dut.a": {"attributes": {"NEXTPNR_BEL": "SLICE_X1Y1/A6LUT"}}}}}},
    "outcome": {
        "mismatches": 0,
        "vectors": 3,
        "phases": ["a"],
        "first_mismatch": None,
        "problems": [],
        "latency_seen": 3,
        "interval_seen": 1,
    },
    "design": {"schema": 1, "name": "a", "head": "logits", "inputs": [], "layers": [], "source": {}},
}


MAKERS: dict[str, Callable[[random.Random, Path, Bases], Scene]] = {
    "design.json": design,
    "model.h5": h5,
    "model.keras": keras,
    "data.npz": npz,
    "preprocessing": preprocessing,
    "train.json": train_json,
    "checkpoint.npz": checkpoint,
    "hls.yml": yaml,
    "sweep": sweep,
    "build state": state,
    "report": report,
    "tool output": tool,
    "special file": special,
}
# One turn; kinds that many commands read come more often.
TURN = (
    "design.json",
    "special file",
    "data.npz",
    "model.h5",
    "report",
    "special file",
    "hls.yml",
    "sweep",
    "model.keras",
    "data.npz",
    "special file",
    "design.json",
    "preprocessing",
    "tool output",
    "report",
    "special file",
    "build state",
    "train.json",
    "model.h5",
    "special file",
    "checkpoint.npz",
    "hls.yml",
    "report",
    "data.npz",
    "special file",
)


def kind_of(seed: int) -> str:
    return TURN[seed % len(TURN)]


def make(seed: int, folder: Path, bases: Bases) -> Scene:
    """Make the files of scene ``seed`` below ``folder``."""
    place = folder / str(seed)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return MAKERS[kind_of(seed)](random.Random(f"hostile {seed}"), place, bases)
