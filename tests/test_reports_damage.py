"""Cut, mutated, hostile and foreign files: a report or one line of error, and never a number the file does not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import report_samples as samples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_samples import SAMPLES, Figures

from flow.core.errors import ReportError
from flow.tool_reports import Report, parse_report, read_report

FIGURES = Figures(latency=(1234, 5678), interval=(234, 567), lut=12345, ff=23456, dsp=123, tiles_x2=45, uram=67)
WHOLE = {name: sample(FIGURES) for name, sample in SAMPLES.items()}
WHOLE["vhdl"] = samples.cosim_rpt(FIGURES, "VHDL")
WHOLE["implemented"] = samples.export_rpt(FIGURES, implemented=True)
WHOLE["two clocks"] = samples.timing_rpt(FIGURES, clocks=2)
WHOLE["windows"] = WHOLE["hls_csynth_rpt"].replace("\n", "\r\n")


def flat(report: Report) -> dict[str, object]:
    data = report.to_json()
    details = data.pop("details")
    resources = {f"{name}.{key}": value for name in ("resources", "available") for key, value in data.pop(name).items()}
    return {**data, **resources, **{name: value for name, value in details.items() if not isinstance(value, dict)}}


def try_parse(content: bytes) -> Report | None:
    try:
        return parse_report(content, "sample")
    except ReportError as error:
        assert "\n" not in str(error)
        return None


def assert_cuts_bend_nothing(content: bytes, offsets: list[int]) -> None:
    whole = flat(parse_report(content, "whole"))
    for offset in offsets:
        cut = try_parse(content[:offset])
        if cut is not None:
            wrong = {key: value for key, value in flat(cut).items() if value is not None and value != whole[key]}
            assert not wrong, f"cut at {offset}"


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_cut_file_never_gives_a_wrong_figure(name: str) -> None:
    content = WHOLE[name].encode()
    assert_cuts_bend_nothing(content, list(range(len(content))))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_overwritten_bytes_give_a_report_or_one_line(name: str, edits: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE[name].encode())
    for place, value in edits:
        content[place % len(content)] = value
    try_parse(bytes(content))


@settings(max_examples=300)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 9999), st.integers(0, 40), st.binary(max_size=40))
def test_replaced_stretches_give_a_report_or_one_line(name: str, place: int, length: int, new: bytes) -> None:
    content = WHOLE[name].encode()
    place %= len(content)
    try_parse(content[:place] + new + content[place + length :])


@given(st.binary(max_size=200))
@example(b"")
@example(b"<profile>")
@example(b"{" * 5000)
@example(b'{"status": "ok", "part": 3, "synthesis": 4}')
@example(b'{"fmax": {}, "utilization": {}}')
@example(b"\xff\xfe<\0p\0r\0o\0f\0i\0l\0e\0>\0")
def test_foreign_bytes_give_one_line(content: bytes) -> None:
    try_parse(content)


@pytest.mark.parametrize("kind", ["hls_csynth_rpt", "hls_summary_rpt", "vivado_utilization"])
@pytest.mark.parametrize(
    ("old", "new"), [("12345", "1234x"), ("12345", "1 345"), ("12345", "-2345"), ("12345", "12٣45")]
)
def test_an_unreadable_figure_is_an_error(kind: str, old: str, new: str) -> None:
    with pytest.raises(ReportError, match="not a count"):
        parse_report(WHOLE[kind].replace(old, new, 1).encode(), "sample")


@pytest.mark.parametrize("kind", ["hls_csynth_rpt", "hls_summary_rpt", "hls_cosim_rpt", "vivado_utilization"])
def test_a_lost_digit_shifts_the_row_and_is_noticed(kind: str) -> None:
    digits = "5678" if kind == "hls_cosim_rpt" else "12345"
    with pytest.raises(ReportError, match="does not fit its columns"):
        parse_report(WHOLE[kind].replace(digits, digits[:-1], 1).encode(), "sample")


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_two_different_reports_in_one_file_are_refused(kind: str) -> None:
    other = SAMPLES[kind](Figures(latency=(1, 2), lut=9, ff=8)).replace("demo", "other")
    report = try_parse(WHOLE[kind].encode() + other.encode())
    assert report is None or flat(report) == flat(parse_report(WHOLE[kind].encode(), "whole"))


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><!DOCTYPE profile [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><profile>&b;</profile>',
        '<?xml version="1.0"?><!DOCTYPE profile SYSTEM "file:///etc/passwd"><profile/>',
        '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><profile><ReportVersion>&x;'
        "</ReportVersion></profile>",
        "<profile>" + "<a>" * 100_000,
        "<profile><ReportVersion><Version>&undefined;</Version></ReportVersion></profile>",
        "<profile/>",
    ],
)
def test_hostile_xml_is_refused(text: str) -> None:
    with pytest.raises(ReportError):
        parse_report(text.encode(), "sample")


def test_files_beyond_the_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.tool_reports.read.MAX_BYTES", 1 << 20)
    big = tmp_path / "big.rpt"
    big.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ReportError, match="1048577 bytes, more than the 1048576"):
        read_report(big)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.rpt")
    with pytest.raises(ReportError, match="not a regular file"):
        read_report(tmp_path / "pipe.rpt")


@pytest.mark.parametrize(
    "line", ["+ " * 50_000, "|" * 100_000, "+-" * 50_000 + "+", "+" + "-" * 100_000, " " * 100_000]
)
@pytest.mark.parametrize("kind", ["hls_csynth_rpt", "hls_cosim_rpt", "vivado_timing", "vivado_utilization"])
def test_long_lines_take_no_time(kind: str, line: str) -> None:
    try_parse((WHOLE[kind] + (line + "\n") * 5).encode())
    try_parse(((line + "\n") * 5 + WHOLE[kind]).encode())
