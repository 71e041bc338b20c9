"""Device and board names."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_design

from flow.build.architecture import choose
from flow.core.errors import DesignError, PartError
from flow.parts.catalog import boards, devices, resolve
from flow.parts.family import FAMILIES, XC7, XCU, XCUP, Delays
from flow.parts.foreign import what_it_is


@pytest.mark.parametrize(
    "name",
    ["xc7z020", "XC7Z020", "xc7z020clg400-1", "xc7z020-clg400-1", "7z020clg400-1", "xc7z020-1", "PYNQ_Z2", "pynq z1"],
)
def test_every_spelling_gives_the_same_part(name: str) -> None:
    part = resolve(name)
    assert part.name == part.unhyphenated == "xc7z020clg400-1"
    assert part.hyphenated == "xc7z020-clg400-1"
    assert part.resources == {"lut": 53200, "ff": 106400, "dsp": 220, "bram18": 280, "uram": 0}
    assert (part.family.name, part.yosys_family, part.package, part.speed_grade) == ("xc7", "xc7", "clg400", "-1")


@pytest.mark.parametrize(
    ("name", "full", "family"),
    [
        ("xc7z007sclg225-1", "xc7z007sclg225-1", "xc7"),
        ("zedboard", "xc7z020clg484-1", "xc7"),
        ("arty-a7-35", "xc7a35ticsg324-1L", "xc7"),
        ("kv260", "xck26-sfvc784-2LV-c", "xcup"),
        ("xczu3eg-sbva484", "xczu3eg-sbva484-1-e", "xcup"),
        ("XCZU3EG-SBVA484-1-I", "xczu3eg-sbva484-1-i", "xcup"),
        ("xcu55c-fsvh2892-2l-e", "xcu55c-fsvh2892-2L-e", "xcup"),
        ("xcku5p-ffvb676-1LV-i", "xcku5p-ffvb676-1LV-i", "xcup"),
        ("u250", "xcu250-figd2104-2L-e", "xcup"),
        ("kcu105", "xcku040-ffva1156-2-e", "xcu"),
        ("7a200tffv1156-2", "xc7a200tffv1156-2", "xc7"),
        ("xcau25p", "xcau25p-ffvb676-2-e", "xcup"),
        ("xcau7p-sbvc484-1-i", "xcau7p-sbvc484-1-i", "xcup"),
        ("xcvu19p", "xcvu19p-fsva3824-2-e", "xcup"),
        ("AUP-ZU3", "xczu3eg-sfvc784-2-e", "xcup"),
        ("cora", "xc7z007sclg400-1", "xc7"),
        ("XC7Z020-1CLG484C", "xc7z020clg484-1", "xc7"),
        ("XCZU3EG-1SBVA484E", "xczu3eg-sbva484-1-e", "xcup"),
        ("xcku095", "xcku095-ffva1156-2-e", "xcu"),
    ],
)
def test_full_names(name: str, full: str, family: str) -> None:
    part = resolve(name)
    assert (part.name, part.family.name) == (full, family)


def test_every_board_and_device_resolves_and_is_stable() -> None:
    for board, full in boards().items():
        assert resolve(board).name == full
        assert resolve(board).board == board
        assert resolve(full).board is None
    for device in devices():
        part = resolve(device)
        assert part.device == device
        assert resolve(part.name) == resolve(part.hyphenated) == resolve(part.unhyphenated) == part
        assert min(part.lut, part.ff, part.dsp, part.bram18, part.default_clock_period_ns) > 0


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("xc7z021", "xc7z020"),
        ("pinq-z2", "pynq-z2"),
        ("zc7z020", "xc7z020"),
        ("xc7z020clg400-9", "xc7z020"),
        ("", "xc7z020"),
        ("artix-7", "such as xc7a35t"),
        ("xa7z020", "build for xc7z020"),
    ],
)
def test_unknown_names_offer_the_nearest_in_one_line(name: str, nearest: str) -> None:
    with pytest.raises(PartError, match=nearest) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["xc7vx331t", "xcku055", "xczu42dr", "zcu670", "alveo-u45n", "xc7a40t"])
def test_the_nearest_are_of_the_same_line(name: str) -> None:
    with pytest.raises(PartError, match="nearest: ") as caught:
        resolve(name)
    letters = re.match(r"xc7?[a-z]{1,2}|[a-z-]+", name)[0]
    assert all(near.startswith(letters) for near in str(caught.value).split("nearest: ")[1].split(", "))


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("xcvc1902-vsva2197-2MP-e-S", "Versal"),
        ("VCK190", "Versal"),
        ("xqvc1902", "Versal"),
        ("xcve2302", "Versal"),
        ("alveo-v80", "Versal"),
        ("xc2ve3858", "Versal"),
        ("xcsu35p", "Spartan UltraScale+"),
        ("xc6slx9", "older"),
        ("xc2vp30", "older"),
        ("10AX115S2F45I1SG", "Altera"),
        ("5CSEMA5F31C6", "Altera"),
        ("ice40up5k", "Lattice"),
    ],
)
def test_what_is_not_supported_is_called_what_it_is(name: str, truth: str) -> None:
    with pytest.raises(PartError) as caught:
        resolve(name)
    assert truth in str(caught.value) and "nearest" not in str(caught.value)


def test_nothing_supported_is_taken_for_something_else() -> None:
    assert not [name for name in [*devices(), *boards()] if what_it_is(name)]


def test_a_package_the_device_does_not_come_in_is_refused() -> None:
    with pytest.raises(PartError, match="clg400, clg484"):
        resolve("xc7z020ffg900-2")


@given(
    st.one_of(
        st.text(max_size=60), st.from_regex(r"xc7z020[a-z0-9-]{0,12}"), st.from_regex(r"xczu3eg[ -]?[a-z0-9-]{0,14}")
    )
)
def test_any_text_is_a_part_or_a_part_error(name: str) -> None:
    try:
        part = resolve(name)
    except PartError as error:
        assert "\n" not in str(error)
    else:
        assert resolve(part.name).name == part.name


def test_every_device_belongs_to_the_family_of_its_name() -> None:
    found = {device: resolve(device).family for device in devices()}
    assert set(found.values()) == set(FAMILIES)
    assert all((family is XC7) == device.startswith("xc7") for device, family in found.items())
    assert all(re.fullmatch(r"xc[kv]u\d{3}", d) for d, family in found.items() if family is XCU)
    assert not [d for d, family in found.items() if family is XCUP and re.fullmatch(r"xc[kv]u\d{3}", d)]


def test_newer_families_are_faster_in_every_delay() -> None:
    for delays in ("planned", "routed"):
        for field in fields(Delays):
            new, middle, old = (getattr(getattr(f, delays), field.name) for f in (XCUP, XCU, XC7))
            assert new <= middle <= old and (old == 0 or new < old), field.name


def test_each_family_is_planned_with_its_own_delays() -> None:
    """A clock that 7 series needs registers for, or cannot meet at all, takes fewer on faster parts."""
    design = random_design(3, max_size=9)
    stages = [choose(design, resolve(name), 6.0, "parallel").rtl for name in ("xc7z020", "xcku040", "xczu3eg")]
    latencies = [rtl.latency_cycles for rtl in stages]
    assert latencies == sorted(latencies, reverse=True) and latencies[0] > latencies[-1]
    paths = [choose(design, resolve(name), 40.0, "parallel").rtl.critical_path_ns for name in ("xc7z020", "xczu3eg")]
    assert paths[1] < paths[0]
    with pytest.raises(DesignError, match="ask for a longer --clock-period-ns"):
        choose(design, resolve("xc7z020"), 2.5, "parallel")
    assert choose(design, resolve("xczu3eg"), 2.5, "parallel").rtl.latency_cycles > 1
    folded = [choose(design, resolve(name), 10.0, "folded").rtl for name in ("xc7z020", "xczu3eg")]
    assert folded[1].critical_path_ns < folded[0].critical_path_ns


def test_a_clock_estimate_says_whose_delays_it_takes():
    sources = {name: resolve(name).family.source for name in ("xc7z020", "xcku040", "xczu3eg")}
    assert len(set(sources.values())) == 3
    assert sources["xc7z020"].startswith("7-series") and "fitted to routed designs" in sources["xc7z020"]
    assert all("not fitted to routed designs" in sources[name] for name in ("xcku040", "xczu3eg"))
