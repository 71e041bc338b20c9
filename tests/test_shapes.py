"""Every field of a design.json and a report.json is looked at when it is read, and named where it is not what it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import html_samples
import pytest
from strategies import random_design

from flow.build.report import BuildReport
from flow.build.state import finish
from flow.core.design import Design, from_json, to_json
from flow.core.design_shape import DESIGN, SOURCE
from flow.core.errors import DesignError, ReportError
from flow.core.shapes import ANY, Each, Fields, Kind, Maybe, Row, Table, require
from flow.report.html import pages
from flow.tool_reports import read_report
from flow.tool_reports.build_shape import BUILD

Path = tuple[Any, ...]
SOURCE_SAMPLE: dict[str, Any] = {
    "notes": ["a line"], "versions": {"keras": "3"}, "input_format": "s8.4", "left_out": None, "asked": [0, [1, 2]],
    "real": ["dense"], "probability": False, "runtime": "qonnx", "preprocessing": None, "renamed": {"a": "b"},
    "neurons": {"dense": ["n"]}, "ports": {"inputs": [["x", 3]], "outputs": [["y", 1]]}, "input_unit": 0.5,
    "output_unit": None, "names": {"inputs": ["a"], "outputs": ["b"]},
}  # fmt: skip


def places(kind: Kind, data: Any, path: Path = ()) -> Iterator[tuple[Path, Kind]]:
    """Every place of ``data`` that its kind says something of: of lists and tables their first entries."""
    if isinstance(kind, Maybe):
        yield from places(kind.kind, data, path) if data is not None else ()
        return
    if kind is not ANY:
        yield path, kind
    inner: dict[Any, Kind] = {}
    if isinstance(kind, Fields):
        inner = dict(kind.kinds)
    elif isinstance(kind, Each):
        inner = {0: kind.kind} if data else {}
    elif isinstance(kind, Table):
        inner = dict.fromkeys(list(data)[:1], kind.kind)
    elif isinstance(kind, Row):
        inner = dict(enumerate(kind.kinds))
    for key, own in inner.items():
        if not isinstance(data, dict) or key in data:
            yield from places(own, data[key], (*path, key))


def planted(data: Any, path: Path, value: Any) -> Any:
    """``data`` with a value of no kind at a place."""
    found = copy.deepcopy(data)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def wrong(kind: Kind) -> Any:
    return {"odd": 1} if isinstance(kind, type | Each | Row) else 0.5


def sample_design() -> dict[str, Any]:
    return {**json.loads(to_json(finish(random_design(7)))), "source": SOURCE_SAMPLE}


def test_a_design_with_a_wrong_field_is_refused_by_its_name() -> None:
    data = sample_design()
    assert from_json(json.dumps(data)).source == SOURCE_SAMPLE
    found = list(places(DESIGN, data))
    assert len(found) > 50
    for path, kind in found[1:]:
        with pytest.raises(DesignError) as refused:
            from_json(json.dumps(planted(data, path, wrong(kind))), "d.json")
        text = str(refused.value)
        assert text.startswith("d.json: ") and "expected" in text and "rebuild it from the model" in text, text
        assert str(next(p for p in reversed(path) if isinstance(p, str))) in text, (path, text)


def test_a_report_with_a_wrong_field_is_refused_by_its_name(tmp_path) -> None:
    data = {**html_samples.report(), "source": SOURCE_SAMPLE}
    file = tmp_path / "report.json"
    found = list(places(BUILD, data))
    assert len(found) > 80
    for path, kind in found[1:]:
        file.write_text(json.dumps(planted(data, path, wrong(kind))))
        for read in (pages.read, read_report):
            with pytest.raises(ReportError) as refused:
                read(file)
            name = str(next(p for p in reversed(path) if isinstance(p, str)))
            assert name in str(refused.value) or path == ("status",), (path, refused.value)


def test_all_fields_that_are_written_are_known() -> None:
    written = {f.metadata.get("name", f.name) for f in fields(BuildReport)}
    assert written <= set(BUILD.kinds) and {f.name for f in fields(Design)} == set(DESIGN.kinds)
    assert set(SOURCE_SAMPLE) == set(SOURCE.kinds)
    for of in (html_samples.report(), html_samples.folded_report()):
        require(of, BUILD, "")


@pytest.mark.parametrize("text", ["[]", "5", "null", '{"schema": 1}', '{"schema": 1, "layers": 5}'])
def test_other_json_is_no_design(text: str) -> None:
    with pytest.raises(DesignError):
        from_json(text)
