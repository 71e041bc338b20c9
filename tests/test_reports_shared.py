"""Real reports of other people's designs, where they are at hand: every field exact, no cut file with a wrong one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from test_reports_damage import assert_cuts_bend_nothing

from flow.parts.catalog import resolve
from flow.tool_reports import parse_report, read_report

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "reports"
EXPECTED: dict[str, Any] = (
    json.loads((FOLDER / "expected.json").read_text()) if (FOLDER / "expected.json").is_file() else {}
)
CUTS_PER_FILE = 25
FULL_DEVICE_DIFFERS = {("xc7a200t", "lut"), ("xc7a200t", "ff")}  # Vivado offers 99.4 % of the data sheet's

pytestmark = pytest.mark.skipif(not EXPECTED, reason=f"the real reports are not at {FOLDER}")


def resources(counts: dict[str, Any]) -> dict[str, Any]:
    tiles = counts.get("BRAM_tile")
    blocks = counts.get("BRAM_18K", counts.get("BRAM", None if tiles is None else 2 * tiles))
    return {
        "lut": counts.get("LUT"),
        "ff": counts.get("FF"),
        "dsp": counts.get("DSP"),
        "bram18": blocks,
        "uram": counts.get("URAM"),
    }


def expected_json(entry: dict[str, Any]) -> dict[str, Any]:
    clock, latency, interval = entry.get("clock", {}), entry.get("latency", {}), entry.get("interval", {})
    counts = entry.get("resources", {})
    return {
        **{name: entry[name] for name in ("kind", "tool", "version", "part", "top")},
        "clock_target_ns": clock.get("target_ns", clock.get("period_ns")),
        "clock_estimated_ns": clock.get("estimated_ns"),
        "latency_min_cycles": latency.get("min_cycles"),
        "latency_max_cycles": latency.get("max_cycles"),
        "interval_min": interval.get("min"),
        "interval_max": interval.get("max"),
        "resources": resources(counts.get("used", {})),
        "available": resources(counts.get("available", {})),
        "wns_ns": entry.get("timing", {}).get("WNS_ns"),
    }


DETAILS = ("pipeline_type", "slack_ns", "status", "rtl", "total_cycles", "stage", "design_state", "timing_met")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_field_is_exact(name: str) -> None:
    found = read_report(FOLDER / name).to_json()
    details = found.pop("details")
    assert found == expected_json(EXPECTED[name])
    for field in DETAILS:
        if EXPECTED[name].get(field) is not None:
            assert details[field] == EXPECTED[name][field]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_cut_file_never_gives_a_wrong_figure(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    offsets = random.Random(name).sample(range(len(content)), min(CUTS_PER_FILE, len(content)))
    assert_cuts_bend_nothing(content, offsets)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_content_decides_not_the_name(name: str) -> None:
    assert parse_report((FOLDER / name).read_bytes(), "x").kind == EXPECTED[name]["kind"]


@pytest.mark.parametrize("name", sorted(n for n, e in EXPECTED.items() if e["part"] and e.get("resources")))
def test_device_tables_agree_with_what_the_tools_print(name: str) -> None:
    part = resolve(EXPECTED[name]["part"])
    for key, value in resources(EXPECTED[name]["resources"].get("available", {})).items():
        if value is not None and (part.device, key) not in FULL_DEVICE_DIFFERS:
            assert part.resources[key] == value, key
