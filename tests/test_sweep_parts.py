"""The parts of a sweep without training: what is drawn, remembered, chosen and shown."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from flow.core.errors import ConfigError, DataError, UsageError
from flow.sweep import cluster, run, settings, space, tables
from flow.sweep.command import _DEFAULTS
from flow.sweep.study import Study
from flow.sweep.trial import Job, run_trial

DEFAULTS = {**_DEFAULTS, "beta_default": "1e-6:1e-3"}
NOTHING = dict.fromkeys([*_DEFAULTS, "data"])


def settle(kept=None, **given):
    return settings.settle(DEFAULTS, {**NOTHING, "data": "breast_cancer", **given}, kept, "s")


def result(val, lut, fits=True):
    return {"figures": {"val": val, "lut": lut, "fits": fits, "test": val, "metric": "accuracy", "ff": 1, "dsp": 0,
                        "bram18": 0, "latency_cycles": 3, "initiation_interval": 1, "latency": 30.0, "energy": lut + 1,
                        "weight_bits": 2.0, "architecture": "parallel", "fmax_mhz": 100.0, "engines": {"integer": 9}},
            "seconds": {"train": 1.0, "build": 2.0}, "cached": [], "report": "", "worker": "here:1",
            "attempts": 1}  # fmt: skip


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_front_holds_what_nothing_beats():
    points = {0: (0.9, 500.0), 1: (0.8, 100.0), 2: (0.85, 500.0), 3: (0.8, 200.0), 4: (0.95, 900.0), 5: (0.9, 500.0)}
    assert space.pareto(points, True) == [1, 0, 4]
    assert space.pareto({k: (-s, c) for k, (s, c) in points.items()}, False) == [1, 0, 4]
    assert space.pareto({}, True) == []


def test_arguments_say_what_was_drawn():
    chosen = settle(bit_sets="0-1.58/0-2", architecture="folded", initiation_interval="16", hidden="8-4", beta="0.001")
    drawn = {
        "hidden": "8-4",
        "bit_set": "0-1.58/0-2",
        "beta": 0.001,
        "architecture": "folded",
        "initiation_interval": 16,
    }
    train, build = space.train_arguments(chosen, drawn), space.build_arguments(chosen, drawn)
    assert train[train.index("--weight-bits") + 1] == "0-1.58" and train[train.index("--activation-bits") + 1] == "0-2"
    assert train[train.index("--beta") + 1] == "0.001" and "--lut-budget" not in train
    assert (
        build[build.index("--initiation-interval") + 1] == "16" and build[build.index("--architecture") + 1] == "folded"
    )
    networks = settle(hidden="conv:4x3,pool:2; conv:8x3,dense:8", beta="0.001")
    train = space.train_arguments(networks, drawn | {"hidden": networks.hidden[1]})
    assert train[train.index("--layers") + 1] == "conv:8x3,dense:8" and "--hidden" not in train


def test_energy_counts_switching_elements_of_a_result():
    report = {"synthesis": {"lut": 120, "lut_cells": 100, "ff": 50, "dsp": 2, "bram18": 1, "fmax_mhz": 1,
                            "fits": True},
              "verification": {}, "latency_cycles": 7, "initiation_interval": 4, "clock_period_ns": 5.0,
              "architecture": "folded", "score": {"value": 0.5, "metric": "accuracy"}}  # fmt: skip
    found = space.figures({"val": 0.6, "mean_weight_bits": 2.0}, report)
    assert found["energy"] == (100 + 50 + 2 * 48 + 36) * 4 and found["latency"] == 35.0


@pytest.mark.parametrize(
    "given",
    [
        {"hidden": "8-x"}, {"hidden": "conv:8;dense:4"}, {"hidden": "0"}, {"hidden": ","}, {"bit_sets": "4-2"},
        {"bit_sets": "0-17"},
        {"bit_sets": "0-1.3"}, {"bit_sets": "0-4/x"}, {"bit_sets": "nan"}, {"beta": "1:0"}, {"beta": "x"},
        {"beta": "0:1"}, {"beta": "1:2:3"}, {"beta": "1:inf"}, {"lut_budget": "-1"}, {"beta": "1", "lut_budget": "2"},
        {"objective": "area"}, {"architecture": "serial"}, {"initiation_interval": "4"},
        {"architecture": "folded", "initiation_interval": "0"}, {"target_columns": "x"}, {"data": None},
    ],
)  # fmt: skip
def test_wishes_that_cannot_work_are_refused(given):
    with pytest.raises(UsageError) as caught:
        settle(**given)
    assert "\n" not in str(caught.value)


def test_unknown_data_engines_and_schedulers_are_refused():
    with pytest.raises(DataError):
        settle(data="no_such_set")
    for pair in (("integer,hlz", "none"), ("none", "none"), ("integer", "integer,x"), ("", "none")):
        with pytest.raises(UsageError):
            settings.check_engines(*pair)
    for address in ("pbs", "tcp://host", "http://host:1", "tcp://:1", "host:8786"):
        with pytest.raises(UsageError):
            cluster.check_scheduler(address)
    for address in (None, "tcp://host:8786", "tls://10.0.0.1:1", "slurm", "lsf", "htcondor"):
        cluster.check_scheduler(address)


def test_a_sweep_keeps_its_settings():
    first = settle(hidden="4,8", lut_budget="100:900", architecture="auto,folded", initiation_interval="8", epochs=3)
    kept = json.loads(first.to_json())
    assert settle(kept) == first
    assert settle(kept, data=None) == first
    with pytest.raises(UsageError, match="--epochs differs"):
        settle(kept, epochs=4)
    with pytest.raises(UsageError, match="--data"):
        settle(kept, data="digits")
    with pytest.raises(UsageError, match="damaged"):
        settle({k: v for k, v in kept.items() if k != "hidden"})


def test_study_loses_and_repeats_nothing(tmp_path: Path):
    chosen = settle(hidden="4,8", beta="0.001")
    study = Study(tmp_path, chosen)
    first, second = study.ask(), study.ask()
    assert {first[1]["hidden"], second[1]["hidden"]} == {"4", "8"}
    assert study.ask() is None  # two trials are all there is
    study.finish(first[0], result(0.9, 300))
    again = Study(tmp_path, chosen)  # as after a kill
    assert again.unfinished() == [second]
    again.fail(second[0], "no luck")
    rows = {row.number: row for row in again.rows()}
    assert rows[first[0]].state == "done" and rows[second[0]].error == "no luck"
    assert all(row.same_as in (first[0], second[0]) for row in rows.values() if row.state == "repeat")
    assert [row.number for row in again.front(list(rows.values()))] == [first[0]]
    assert again.ask() is None


def test_workers_share_a_journal(tmp_path: Path):
    chosen = settle(hidden="4,8,16", beta="0.001")
    one, two = (Study(tmp_path, chosen, shared=True) for _ in range(2))
    first, second, third = one.ask(), two.ask(), one.ask()
    assert {drawn[1]["hidden"] for drawn in (first, second, third)} == {"4", "8", "16"} and two.ask() is None
    assert two.unfinished() == [] == one.unfinished()  # all of them live
    driver = Study(tmp_path, chosen)
    assert driver.unfinished() == []  # workers' trials are no orphans of an earlier driver
    one.release([first[0]])
    assert two.unfinished() == [first] and one.unfinished() == []  # taken once
    two.release([second[0]])
    assert driver.unfinished() == [second]
    for number, _ in (first, second, third):
        two.finish(number, result(0.9, 100 + number))
    assert [two.verifier(), one.verifier()] == [True, False]  # the first that finds no trial running


def test_a_sweep_of_an_earlier_version_goes_on_and_one_of_a_later_does_not(tmp_path: Path):
    chosen = settle(hidden="4,8", beta="0.001")
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    old = optuna.create_study(study_name=tmp_path.name, storage=storage, directions=["maximize", "minimize"])
    trial = old.ask()
    trial.set_user_attr("parameters", {"hidden": "4", "bit_set": "default", "beta": 0.001, "architecture": "auto"})
    trial.set_user_attr("result", result(0.9, 300))
    old.tell(trial, (0.9, 300.0))
    assert [row.state for row in Study(tmp_path, chosen).rows()] == ["done"]
    assert (tmp_path / "study.journal").is_file() and Study(tmp_path, chosen).ask()[1]["hidden"] == "8"
    kept = json.loads(chosen.to_json())
    before = {k: v for k, v in kept.items() if k not in ("schema", "max_latency_ns", "max_lut_share")}
    assert settle(before) == chosen
    with pytest.raises(ConfigError, match="a later version"):
        settle({**kept, "schema": 99})


def test_several_costs_and_limits(tmp_path: Path):
    chosen = settle(hidden="4,8,16,32", beta="1e-4:1e-3", objective="lut,latency", max_latency_ns=40.0,
                    max_lut_share=0.1)  # fmt: skip
    study = Study(tmp_path, chosen)
    numbers, made = [], ((0.8, 300, 40.0), (0.8, 400, 20.0), (0.9, 500, 50.0), (0.95, 5400, 20.0), (0.7, 500, 40.0))
    for val, lut, latency in made:
        number, _ = study.ask()
        numbers.append(number)
        found = result(val, lut)
        found["figures"]["latency"] = latency
        study.finish(number, found)
    assert [row.number for row in study.front(study.rows())] == numbers[:2]  # too slow, too large, beaten
    for wrong in ({"objective": "lut,area"}, {"max_lut_share": 2.0}):
        with pytest.raises(UsageError):
            settle(**wrong)


def test_tables_and_page_show_the_front(tmp_path: Path):
    (tmp_path / "s").mkdir()
    study = Study(tmp_path / "s", settle(hidden="4,8,16,32", seed=3))
    numbers = []
    for val, lut, fits in ((0.9, 300, True), (0.8, 5000, True), (0.95, 4000, True), (0.99, 9000, False)):
        number, _ = study.ask()
        numbers.append(number)
        study.finish(number, result(val, lut, fits))
    failed, _ = study.ask()
    study.fail(failed, "<b>training</b> failed")
    study.note_verified(numbers[0], {"engines_asked": "integer", "error": "", "engines": {"keras": 5, "icarus": 9}})
    tables.write_tables(tmp_path / "s", study)
    table = read(tmp_path / "s" / "trials.csv")
    assert [row["state"] for row in table] == ["done"] * 4 + ["failed"]
    front = read(tmp_path / "s" / "front.csv")
    assert [int(row["trial"]) for row in front] == [numbers[0], numbers[2]]
    assert front[0]["verified"] == "yes" and front[0]["engines"] == "keras icarus" and front[1]["verified"] == ""
    assert [e["trial"] for e in json.loads((tmp_path / "s" / "front.json").read_text())["front"]] == [0, 2]
    page = (tmp_path / "s" / "front.html").read_text()
    assert page.count("<circle") == 4 and page.count('class="front" cx') == 2
    assert "<b>training" not in page and "default-src 'none'" in page and "http" not in page.split("</style>")[1]


def test_a_worker_that_does_not_see_the_folder_stops_the_sweep(tmp_path: Path):
    job = Job(0, tmp_path, "token", tmp_path / "cache", (), (), "integer", "")
    (tmp_path / "token.json").write_text('"another"')
    for place in (tmp_path, tmp_path / "nowhere"):
        outcome = run_trial(replace(job, folder=place))
        assert outcome.fatal and "all hosts share" in outcome.error
    assert not (tmp_path / "trials").exists() and not (tmp_path / "nowhere").exists()


def test_a_sweep_without_workers_says_once_what_it_waits_for(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(run, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(run, "_COUNT_S", 0.0)
    chosen = settle(hidden="8", beta="1e-4:1e-3")
    said = []
    with cluster.connected(None, 0) as client:
        sweep = run.Sweep(tmp_path, tmp_path, "", chosen, None, client, SimpleNamespace(say=said.append), 1, "integer",
                          None, lambda: None, lambda: False)  # fmt: skip
        for _ in range(5):
            sweep._count_workers()
    assert len(said) == 1 and "no worker" in said[0]
