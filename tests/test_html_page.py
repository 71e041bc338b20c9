"""The report page: complete, self-contained, escaped, the same bytes for the same report."""

import json
from html.parser import HTMLParser

import pytest
from html_samples import HOSTILE, folded_report, report
from typer.testing import CliRunner

from flow.build.report_data import failed_report
from flow.core.errors import ReportError
from flow.parts.catalog import resolve
from flow.report.command import app
from flow.report.html import pages
from flow.report.html.build_page import tiles, verification, view
from flow.report.wording import number, percent, seconds, span, step
from flow.tool_reports.open_json import UNFINISHED

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Reads a page; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_page_is_complete_and_self_contained():
    text = pages.page(report())
    page = Page(text)
    shown = " ".join(page.texts)
    for part in (
        "Precision",
        "Groups",
        "Resources",
        "Where the LUT sites go",
        "Latency",
        "Verification",
        "Score",
        "reproduce",
    ):
        assert part in shown
    assert len(page.all("script")) == 1
    assert not any(key in attributes for _, attributes in page.elements for key in ("src", "srcset", "onclick"))
    assert all((a.get("href") or "").startswith(("#", "data:,")) for tag in ("a", "link") for a in page.all(tag))
    assert "url(" not in text.replace("url(#hatch)", "") and "@import" not in text
    assert "http://" not in text and "https://" not in text


def test_same_report_same_bytes():
    shuffled = json.loads(json.dumps(report(), sort_keys=True))
    assert pages.page(report()) == pages.page(shuffled)


def test_every_neuron_has_a_cell_that_says_every_number_it_can_show():
    cells = [a for a in Page(pages.page(report())).all("td") if "data-t" in a]
    assert len(cells) == 42
    for cell in cells:
        for shown in cell["data-t"].split("|"):
            assert shown in cell["aria-label"], cell
        assert len(cell["data-c"]) == 5
    assert "1.58-bit weights, ternary" in cells[2]["aria-label"]
    assert "0-bit weights, pruned" in cells[1]["aria-label"]
    assert sum(a.get("tabindex") == "0" for a in cells) == 2  # one stop of the Tab key per layer


def test_tables_have_captions_and_scopes():
    page = Page(pages.page(report()))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    grids = [a for a in page.all("table") if a.get("role") == "grid"]
    assert all(a["aria-label"] for a in grids)
    assert len(page.all("caption")) == len(page.all("table")) - len(grids)


def test_names_from_a_model_stay_text():
    changes = {"differences": [f"engine hls: {HOSTILE}"], "status": "mismatch", "skipped": {HOSTILE: HOSTILE}}
    hostile = report(HOSTILE, HOSTILE, command=["python", HOSTILE], versions={HOSTILE: HOSTILE}, **changes)
    page = Page(pages.page(hostile))
    assert len(page.all("script")) == 1
    assert not any("onfocus" in attributes for _, attributes in page.elements)
    assert HOSTILE in "".join(page.texts)


def test_mismatch_and_short_clock_are_told():
    engines = {"hls": {"vectors": 10, "mismatches": 2, "seconds": 1.0, "first_mismatch": "vector 3, neuron 1"}}
    text = pages.page(report(status="mismatch", verification=engines, differences=["engine hls: vector 3"]))
    assert "vector 3, neuron 1" in text and "differs" in text and "does not compute what the model computes" in text
    assert "2.50 ns longer than the clock period" in text
    assert ("clock, estimated", "80 MHz", "100 MHz asked", "bad") in tiles(report())


def test_engines_keep_the_order_of_the_flow():
    found = verification(report(verification={e: {"vectors": 1, "mismatches": 0} for e in ("new", "hls", "keras")}))
    assert [row["name"] for row in found] == ["keras", "hls", "new"]


def test_scores_are_compared_only_where_they_mean_the_same():
    assert "scores what the trained model scored" in view(report())["score"]["verdict"]
    other = {"data": "digits", "metric": "mse", "test": 0.1}
    assert "not compared" in view(report(training=other))["score"]["verdict"]
    assert "differs" in view(report(training={"data": "digits", "metric": "accuracy", "test": 0.8}))["score"]["verdict"]
    assert view(report(score={}, training={}))["score"] is None


def test_a_warning_and_another_score_of_keras_stand_above_everything_else():
    own = {"data": "digits", "metric": "accuracy", "rows": 360, "value": 0.95}
    data = report(keras_score=own, warnings=[f"scores differ {HOSTILE}"], preprocessing="none", classes=[1, 4])
    text = pages.page(data)
    page = Page(text)
    assert f"scores differ {HOSTILE}" in "".join(page.texts)
    assert text.index("Warning:") < text.index('<dl class="tiles">')
    tile = tiles(data)[0]
    assert "Keras model 0.9500" in tile[2] and tile[3] == "bad" and tiles(report())[0][3] == ""
    shown = view(data)["score"]
    assert [row[2] for row in shown["rows"]][:2] == ["0.900000", "0.950000"]
    assert "without preprocessing" in shown["prepared"] and "0 is 1, 1 is 4" in shown["labels"]
    assert view(report())["score"]["labels"] == ""


def test_a_report_of_the_build_before_is_called_so(tmp_path):
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(report()))
    (tmp_path / "second" / UNFINISHED).write_text("{}")
    shown = " ".join(Page(pages.compare(tmp_path / "first", tmp_path / "second")).texts)
    assert "second, before a build that did not finish" in shown and "first, before" not in shown


def test_square_inputs_look_like_the_picture_they_are():
    inputs = {"format": ["u4.0"] * 64, "range": [[0, 15]] * 64, "rounding": ["RND"] * 64}
    rows = view(report(inputs=inputs))["heat"]["grids"][0]["rows"]
    assert [len(row) for row in rows] == [8] * 8


def test_luts_add_up():
    luts = view(report())["luts"]
    assert [row["luts"] for row in luts["rows"]] == ["36", "3"]
    assert luts["other"]["luts"] == "2"
    assert [(row["layer"], row["neuron"]) for row in luts["top"]] == [("dense", "0"), ("dense", "3"), ("output", "0")]


def test_page_of_a_folded_build_tells_every_choice_and_its_reason():
    data = folded_report()
    page = Page(pages.page(data))
    said = " ".join(page.texts)
    groups = [g for layer in data["folding"]["layers"] for g in layer["groups"]]
    assert len(groups) == 4
    assert all(line in said for g in groups for line in g["why"])
    assert len(page.all("caption")) == len(page.all("table")) - len(
        [a for a in page.all("table") if a.get("role") == "grid"]
    )
    shown = view(data)
    assert [len(layer["groups"]) for layer in shown["folding"]["layers"]] == [2, 2]
    assert sum(int(row["luts"]) for row in shown["luts"]["parts"]) + 5 == data["synthesis"]["lut"]
    fall = shown["waterfall"]
    assert fall["folded"] and all(int(row["work"]) < int(row["cycles"]) for row in fall["rows"])
    assert view(report())["folding"] is None


def test_page_of_a_failed_build():
    page = Page(pages.page(failed_report(resolve("xc7z020"), f"layer {HOSTILE}")))
    assert f"layer {HOSTILE}" in page.texts


@pytest.mark.parametrize("missing", ["inputs", "synthesis", "layer_latency_cycles", "verification", "score", "training",
                                     "seconds", "versions", "command", "source", "skipped", "differences"])  # fmt: skip
def test_page_of_a_report_without_a_part(missing):
    data = report()
    del data[missing]
    Page(pages.page(data))


def test_page_of_a_report_without_neurons():
    data = report()
    for layer in data["layers"]:
        del layer["per_neuron"], layer["luts"]
    Page(pages.page(data))


def test_comparison_names_what_changed(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, lut in ((first, 41), (second, 60)):
        folder.mkdir()
        data = report()
        data["synthesis"]["lut"] = lut
        (folder / "report.json").write_text(json.dumps(data))
    out = tmp_path / "compare.html"
    result = CliRunner().invoke(app, ["--compare", str(first), str(second / "report.json"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = Page(out.read_text())
    shown = " ".join(page.texts)
    assert "first" in shown and "second" in shown and "+19" in shown and "+46.3 %" in shown and "worse" in shown
    assert str(tmp_path) not in out.read_text()


def test_comparison_of_different_scores_gives_no_verdict(tmp_path):
    paths = []
    for name, metric in (("a", "accuracy"), ("b", "mse")):
        paths.append(tmp_path / f"{name}.json")
        score = {"data": "digits", "metric": metric, "rows": 1, "value": 0.5 if name == "a" else 0.1}
        paths[-1].write_text(json.dumps(report(score=score, layers=report()["layers"][: 1 if name == "a" else 2])))
    text = pages.compare(*paths)
    row = text[text.index("score (accuracy / mean squared error)") :].split("</tr>")[0]
    assert "better" not in row and "worse" not in row
    assert "no such layer" in text


DAMAGED = [
    "", "[]", "{}", '{"status": "ok", "layers": 3}', '{"status": "ok", "layers": [{}]}', "[" * 100_000,
    '{"status": "ok", "synthesis": {"lut": "x"}, "layers": [1]}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_reports_end_in_one_line(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ReportError) as caught:
        pages.compare(tmp_path, tmp_path)
    assert "\n" not in str(caught.value)


def test_numbers():
    assert [number(v) for v in (None, 1234567, 0.00012345, -2.5, float("nan"))] == [
        "\u2013", "1,234,567", "0.0001234", "\u22122.5", "\u2013"]  # fmt: skip
    assert [percent(v) for v in (0.0, 0.0001, 0.5, None)] == ["0.0 %", "< 0.1 %", "50.0 %", "\u2013"]
    assert [seconds(v) for v in (0.123, 12.34, 125)] == ["0.12 s", "12.3 s", "2 min 05 s"]
    assert span(1, 1) == "1" and span(-1, 2) == "\u22121 to 2"
    assert [step(v, 8) for v in (0, 0.1, 4, 8, 9, None)] == [0, 1, 4, 9, 9, 0]
