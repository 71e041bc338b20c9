"""Tables of one's own: what their columns are taken for, how rows are split, and what a model keeps of it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hls_templates import pynq_driver as driver
from keras_models.data.columns import column_of
from keras_models.data.loaders import DataError, load_dataset
from keras_models.data.overview import Choices
from keras_models.data.own import data_for, known_data, own_data
from keras_models.data.preprocess import Preprocessing
from keras_models.data.schema import Schema
from keras_models.data.splits import group_split, stratified_split, time_split
from keras_models.data.tables import read_table
from keras_models.training.choice import UsageError
from keras_models.training.source import balanced_weights

ROWS = 200


def table(**changes: list[str]) -> dict[str, list[str]]:
    random = np.random.default_rng(0)
    columns = {
        "id": [str(i + 7) for i in range(ROWS)],
        "when": [f"2026-01-{1 + i // 20:02d} 10:{i % 20:02d}:00" for i in range(ROWS)],
        "proto": random.choice(["tcp", "udp", "icmp", ""], ROWS, p=[0.5, 0.3, 0.1, 0.1]).tolist(),
        "rtt [ms]": [f"{v:.3f}" if v < 12 else "NA" for v in random.gamma(2, 3, ROWS)],
        "port": random.choice(["80", "443"], ROWS).tolist(),
        "version": ["v1"] * ROWS,
        "site": [f"s{i % 9}" for i in range(ROWS)],
        "label": random.choice(["good", "bad", "none"], ROWS, p=[0.6, 0.3, 0.1]).tolist(),
    }
    return {name: cells for name, cells in {**columns, **changes}.items() if cells}


def written(path: Path, columns: dict[str, list[str]], separator: str = ",") -> str:
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    return str(path)


def choices(**changes: object) -> Choices:
    return Choices(**{"target": ("label",), "categorical": ("port",), "drop": ("site",), **changes})  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path / "net.csv", table())


def test_columns_are_found_coded_and_shown(file: str) -> None:
    found = own_data(file, choices())
    schema = found.dataset.schema
    assert schema is not None
    assert schema.features == ("proto", "rtt [ms]", "port")
    assert schema.levels == ((0, ("icmp", "tcp", "udp")),) and schema.classes == ("bad", "good", "none")
    assert np.isnan(found.dataset.X[:, 1]).sum() == table()["rtt [ms]"].count("NA") > 0
    text = "\n".join(found.summary)
    for words in ("names rows; --keep", "time stamps; --time", "always v1", "left out: --drop",
                  "the median where missing",
                  "3 classes (text)", "every class its share, seed 0"):  # fmt: skip
        assert words in text, words
    fitted = Preprocessing.fit(found.dataset)
    assert fitted.input_names == ("rtt [ms]", "proto=icmp", "proto=tcp", "proto=udp", "port=80", "port=443")
    assert fitted.output_names == schema.classes
    train = found.dataset.part("train")[0][:, 1]
    assert fitted.fill[0] in train and fitted.fill[0] == np.nanquantile(train, 0.5, method="lower")
    empty = np.flatnonzero(np.isnan(found.dataset.X[:, 0]))
    assert len(empty) and not fitted.apply(found.dataset.X)[empty, 1:4].any()
    again = Preprocessing.from_json(fitted.to_json())
    assert again == fitted


def test_a_missing_value_is_the_median_and_on_request_a_flag(file: str) -> None:
    dataset = own_data(file, choices(missing_flags=True)).dataset
    fitted = Preprocessing.fit(dataset)
    assert fitted.input_names[-2:] == ("proto is missing", "rtt [ms] is missing")
    row = {"proto": "tcp", "rtt [ms]": fitted.fill[0], "port": 80}
    known, missing = fitted.apply([row, {**row, "rtt [ms]": None}])
    assert np.array_equal(known[:-1], missing[:-1]) and (known[-1], missing[-1]) == (0, 1)


def rows_of(columns: dict[str, list[str]]) -> list[dict[str, str]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("flags", [False, True])
def test_every_form_of_rows_gives_the_same_inputs_on_host_and_board(file: str, flags: bool) -> None:
    dataset = own_data(file, choices(missing_flags=flags)).dataset
    fitted = Preprocessing.fit(dataset)
    assert fitted.schema is not None
    rows = rows_of(table())
    cells = np.array([[row[name] for name in fitted.schema.features] for row in rows], object)
    frame = type("Frame", (), {"columns": list(rows[0]), "__getitem__": lambda self, name: np.array(table()[name])})()
    expected = fitted.apply(dataset.X)
    board = driver.Accelerator.__new__(driver.Accelerator)
    board.model = {"preprocessing": json.loads(fitted.to_json()), "inputs": [], "classes": [0, 1, 2],
                   "class_names": list(fitted.output_names)}  # fmt: skip
    for source in (dataset.X, rows, table(), cells, frame):
        assert np.array_equal(fitted.apply(source), expected)
        assert np.array_equal(board.preprocess(source), expected)
    assert board._labels(np.array([2, 0])).tolist() == ["none", "bad"]
    odd = [
        {"proto": "sctp", "rtt [ms]": 3, "port": 22.0, "else": 1},
        {"proto": None, "rtt [ms]": np.nan, "port": "443"},
    ]
    assert np.array_equal(fitted.apply(odd), board.preprocess(odd))
    for wrong in (
        [{"proto": "tcp"}],
        [{**rows[0], "rtt [ms]": "fast"}],
        [{**rows[0], "rtt [ms]": "1_0"}],
        np.zeros((2, 5)),
    ):
        messages = []
        for apply in (fitted.apply, board.preprocess):
            with pytest.raises(ValueError, match=r"column|features") as caught:
                apply(wrong)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_a_model_reads_its_table_again_and_scores_all_rows_of_another(file: str, tmp_path: Path) -> None:
    first = own_data(file, choices()).dataset
    fitted = Preprocessing.fit(first)
    again = data_for(file, Preprocessing.from_json(fitted.to_json()))
    for name in ("X", "y", "split"):
        assert np.array_equal(getattr(again.dataset, name), getattr(first, name), equal_nan=name == "X")
    assert not again.remarks
    columns = table(proto=[*["sctp"] * 5, *table()["proto"][5:]], label=["strange", "", *table()["label"][2:]])
    other = data_for(written(tmp_path / "new.csv", columns), fitted)
    assert (other.dataset.split == 2).all() and len(other.dataset.y) == ROWS - 1
    assert other.dataset.y[0] == 3  # beyond the model's classes
    assert "not the table" in other.remarks[0] and "5 rows have values of proto" in other.remarks[1]
    with pytest.raises(DataError, match="no column 'label', the target"):
        data_for(written(tmp_path / "without.csv", table(label=[])), fitted)
    with pytest.raises(DataError, match=r"does not say what its columns mean"):
        data_for(file, None)
    with pytest.raises(DataError, match="a training learns from it with --target"):
        load_dataset(file)


def test_forms_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffa; b ;"c;d"\n1,5;x;2\n\n"2,25";y;?\n')
    found = read_table(path).columns
    assert list(found) == ["a", "b", "c;d"] and found["a"].tolist() == [1.5, 2.25] and found["b"] == ["x", "y"]
    assert found["c;d"][0] == 2 and np.isnan(found["c;d"][1])
    path.write_text("a\tb\n1_0\t2\n")
    assert read_table(path).columns["a"] == ["1_0"]  # Python reads it as ten


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no row below"),
        ("a,b\n", "no row below"),
        ("1,2\n3,4\n", "first line holds numbers"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the line of names 2"),
        ("a,b\n" + "x" * 200_000 + ",1\n", "field larger"),
        ("a,b\n\udcff,1\n", "not text"),
    ],
)
def test_damaged_csv_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=words) as caught:
        read_table(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "columns", "words"),
    [
        ({"target": ("lable",)}, {}, "no such column"),
        ({"drop": ("nothing",)}, {}, "--drop nothing"),
        ({"time": "when", "group": "site"}, {}, "give one"),
        ({"drop": ("label",)}, {}, "is the target"),
        ({"drop": ("proto", "rtt [ms]", "port", "site")}, {}, "no column is left"),
        ({"time": "proto"}, {}, "neither a number nor a time"),
        ({"group": "version"}, {}, "1 groups"),
        ({"task": "regression"}, {}, "regression takes numbers"),
        ({}, {"label": [""] * 195 + ["a"] * 5}, "5 rows with a label"),
        ({}, {"rtt [ms]": ["3.5"] * 199 + ["fast"]}, "'fast' in row 200"),
        ({}, {"rtt [ms]": ["3.5"] * 199 + ["inf"]}, "infinity"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, changes: dict, columns: dict, words: str) -> None:
    with pytest.raises((DataError, UsageError), match=words) as caught:
        own_data(written(tmp_path / "t.csv", table(**columns)), choices(**changes))
    assert "\n" not in str(caught.value)


def test_targets_are_classes_or_quantities(tmp_path: Path) -> None:
    few = [str(i % 5) for i in range(ROWS)]
    file = written(tmp_path / "t.csv", table(label=few))
    assert own_data(file, choices()).dataset.classes == (0, 1, 2, 3, 4)
    asked = own_data(file, choices(task="regression")).dataset
    assert asked.task == "regression" and asked.schema is not None and not asked.schema.labelled
    again = known_data(file, asked.schema).dataset
    assert np.array_equal(again.y, asked.y) and np.array_equal(again.split, asked.split)
    two = own_data(file, choices(target=("label", "rtt [ms]"))).dataset
    assert two.outputs == 2 and len(two.y) == ROWS - table()["rtt [ms]"].count("NA")
    assert Preprocessing.fit(two).output_names == ("label", "rtt [ms]")


def test_splits_by_time_by_group_and_by_a_column(file: str, tmp_path: Path) -> None:
    by_time = own_data(file, choices(time="when")).dataset
    assert (np.diff(by_time.split) >= 0).all() and by_time.windows("test", 3).shape[1:] == (3, 3)
    grouped = own_data(file, choices(group="site", drop=())).dataset
    assert "site" not in grouped.schema.features  # type: ignore[union-attr]
    sites = np.array(table()["site"])
    assert all(len({*grouped.split[sites == site]}) == 1 for site in sites)
    parts = ["train", "val", "test", "train"] * (ROWS // 4)
    named = own_data(written(tmp_path / "s.csv", table(split=parts)), choices()).dataset
    assert [int((named.split == code).sum()) for code in range(3)] == [100, 50, 50]
    with pytest.raises(DataError, match="order of time"):
        named.windows("test", 3)


@given(st.lists(st.integers(0, 4), min_size=3, max_size=200), st.integers(0, 3))
def test_every_label_has_its_share_of_every_part(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    split = stratified_split(y, seed)
    assert np.array_equal(split, stratified_split(y, seed))
    for label in np.unique(y):
        counts = [int((split[y == label] == code).sum()) for code in range(3)]
        total = sum(counts)
        assert counts[0] == total if total < 3 else min(counts) >= 1 and abs(counts[2] - 0.15 * total) <= 1


@given(st.lists(st.integers(0, 30), min_size=12, max_size=200))
def test_no_group_and_no_instant_is_torn(keys: list[int]) -> None:
    values = np.array(keys)
    times = time_split(values.astype(float))
    assert all(len({*times[values == v]}) == 1 for v in values)
    assert all(
        a <= b for a, b in zip(times[np.argsort(values, kind="stable")], times[np.argsort(values)][1:], strict=False)
    )
    if len(np.unique(values)) >= 3:
        groups = group_split(values, 0)
        assert {*groups} == {0, 1, 2} and all(len({*groups[values == v]}) == 1 for v in values)


def test_kinds_of_columns() -> None:
    def kind(cells: object, **options: bool) -> str:
        return column_of("x_id" if options.pop("named", False) else "x", cells, **options).kind

    random = np.random.default_rng(0)
    many = [str(v) for v in random.permutation(10_000)[:100]]
    assert kind(many) == "numeric" and kind(many, named=True) == "identifier"
    assert (
        kind([str(v) for v in range(100)]) == "identifier"
        and kind([str(v) for v in range(100)], keep=True) == "numeric"
    )
    assert kind([f"user{v}" for v in range(100)]) == "identifier"
    assert kind(np.array([True, False] * 10)) == "categorical" and kind(["True", "False"] * 10) == "categorical"
    assert kind([3.0] * 9 + [np.nan]) == "numeric" and kind([3.0] * 10) == "constant" and kind([""] * 10) == "constant"
    assert kind(np.array(["2026-01-01", "2026-01-02"] * 30, "datetime64[s]")) == "time"


def test_names_of_an_npz_are_kept_where_they_fit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3))
    X[::7, 1] = np.nan
    arrays = {"X": X, "y": np.arange(60) % 3, "split": np.arange(60) // 20}
    np.savez(tmp_path / "d.npz", **arrays, feature_names=["a", "b", "c"], class_names=["x", "y"])
    dataset = load_dataset(str(tmp_path / "d.npz"))
    assert dataset.schema is not None and dataset.schema.features == ("a", "b", "c") and dataset.schema.classes == ()
    assert dataset.notes == ("class_names is not used: it should be 3 different texts",)
    fitted = Preprocessing.fit(dataset)
    assert fitted.fill[1] in X[:20, 1] and np.isfinite(fitted.apply(X)).all()
    assert np.array_equal(fitted.apply({"c": X[:, 2], "b": X[:, 1], "a": X[:, 0]}), fitted.apply(X))


@pytest.mark.parametrize(
    "change",
    [
        {"features": "proto"}, {"features": ["a", 3]}, {"levels": [[0, ["x"]], [0, ["y"]]]}, {"levels": [[9, ["x"]]]},
        {"levels": [["0", ["x"]]]}, {"levels": {}}, {"seed": -1}, {"seed": 1.5}, {"split": 3}, {"more": 1},
        {"labelled": 0},
    ],
)  # fmt: skip
def test_damaged_schemas_are_refused(file: str, change: dict) -> None:
    stored = json.loads(Preprocessing.fit(own_data(file, choices()).dataset).to_json())
    stored["schema"].update(change)
    with pytest.raises(ValueError, match="not a preprocessing description"):
        Preprocessing.from_json(json.dumps(stored))
    with pytest.raises(ValueError, match="schema"):
        Schema.from_data(["no mapping"])


def test_rows_in_both_parts_are_told(tmp_path: Path) -> None:
    twice = {name: cells[:100] * 2 for name, cells in table().items()}
    found = own_data(written(tmp_path / "t.csv", twice), choices(drop=("site", "id", "when")))
    assert "test rows are also in the training part" in found.remarks[0]


def test_balanced_weights_make_classes_weigh_the_same() -> None:
    labels = np.array([0] * 8 + [1] * 2 + [-1])
    weights = balanced_weights(labels, 3)
    assert weights[0] * 8 == pytest.approx(weights[1] * 2) and weights[2] == 0


def test_parquet_and_data_frames_are_read_as_csv_is(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pip install 'nmp-flow[tables]'")
    feather, parquet = (importlib.import_module(f"pyarrow.{kind}") for kind in ("feather", "parquet"))
    columns = {**table(), "rtt [ms]": [None if v == "NA" else float(v) for v in table()["rtt [ms]"]]}
    made = pyarrow.table(columns)
    parquet.write_table(made, tmp_path / "t.parquet")
    feather.write_feather(made, str(tmp_path / "t.feather"))
    expected = own_data(written(tmp_path / "t.csv", table()), choices()).dataset
    for name in ("t.parquet", "t.feather"):
        found = own_data(tmp_path / name, choices()).dataset
        assert np.array_equal(found.X, expected.X, equal_nan=True) and np.array_equal(found.y, expected.y)
    (tmp_path / "bad.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:300])
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(tmp_path / "bad.parquet")
