"""Device and board names to full part, resources and synthesis family.

``resolve("xc7z020")``, ``resolve("XC7Z020-CLG400-1")``, ``resolve("7z020clg400-1")``, the code on an order
``resolve("XC7Z020-1CLG400C")`` and ``resolve("pynq-z2")`` all give the same device.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from flow.core.errors import PartError
from flow.parts.devices import BOARDS, DEVICES, Device
from flow.parts.family import Family, family_of
from flow.parts.foreign import line_of, what_it_is

# a code on an order: speed before the package, the temperature behind it
_ORDERED = re.compile(
    r"(?P<device>.+?)-(?P<speed>[1-3](?:lv?)?)(?P<package>[a-z]{3,4}[0-9]{3,4})(?P<range>[ceiqm])?", re.ASCII
)
_SUFFIX = re.compile(
    r"(?P<industrial>i)?-?(?P<package>[a-z]{3,4}[0-9]{3,4})?-?(?P<grade>[1-3](?:lv|l)?(?:-?[ceimq])?)?", re.ASCII
)


@dataclass(frozen=True)
class Part:
    """One device in one package and speed grade; resources are those of the whole device.

    ``name`` is the name Vivado takes (``xc7z020clg400-1``, ``xczu3eg-sbva484-1-e``), ``device`` the die (``xc7z020``),
    ``family`` the generation. ``bram18`` counts 18 Kb block RAMs, ``uram`` 288 Kb UltraRAMs; the period is in ns.
    """

    name: str
    device: str
    family: Family
    lut: int
    ff: int
    bram18: int
    dsp: int
    uram: int
    package: str
    speed_grade: str
    board: str | None = None

    @property
    def default_clock_period_ns(self) -> float:
        """The clock period that a build takes where none is asked for."""
        return self.family.default_clock_period_ns

    @property
    def yosys_family(self) -> str:
        """What ``synth_xilinx -family`` takes."""
        return self.family.yosys

    @property
    def hyphenated(self) -> str:
        """The name with hyphens, as HLS tools print it: ``xc7z020-clg400-1``."""
        return f"{self.device}{self._industrial}-{self.package}{self.speed_grade}"

    @property
    def unhyphenated(self) -> str:
        """The name without a hyphen before the package: ``xc7z020clg400-1``."""
        return f"{self.device}{self._industrial}{self.package}{self.speed_grade}"

    @property
    def _industrial(self) -> str:
        return "i" if self.name.startswith(f"{self.device}i") else ""

    @property
    def resources(self) -> dict[str, int]:
        """Available resources by the names reports use."""
        return {"lut": self.lut, "ff": self.ff, "dsp": self.dsp, "bram18": self.bram18, "uram": self.uram}


def devices() -> list[str]:
    """Every known device, without package."""
    return list(DEVICES)


def boards() -> dict[str, str]:
    """Every known board and its part."""
    return dict(BOARDS)


def resolve(name: str) -> Part:
    """The part a device, part or board name means; case, hyphens, package and speed grade are free.

    A missing package or speed grade becomes the device's usual one. Raises PartError with the nearest names.
    """
    text = re.sub(r"[\s_]+", "-", name.strip().lower())
    board = next((b for b in BOARDS if b.replace("-", "") == text.replace("-", "")), None)
    if board:
        return _part(BOARDS[board].lower(), name, board)
    return _part(text, name, None)


def _part(text: str, asked: str, board: str | None) -> Part:
    text = _as_vivado_writes(text if text.startswith("xc") else f"xc{text}")
    known = [d for d in DEVICES if text.startswith(d)]
    device = max(known, key=len, default=None)
    match = _SUFFIX.fullmatch(text[len(device) :]) if device else None
    if not device or not match or (match["industrial"] and family_of(device).hyphens):
        raise PartError(_unknown(asked, text))
    spec = DEVICES[device]
    package = _package(match["package"], spec, device, asked)
    family = family_of(device)
    grade = _grade(match["grade"], family) or spec.grade
    if grade.count("-") < spec.grade.count("-"):
        grade += "-" + spec.grade.rsplit("-", 1)[1]  # UltraScale names end in a temperature range
    name = f"{device}-{package}{grade}" if family.hyphens else f"{device}{match['industrial'] or ''}{package}{grade}"
    return Part(name, device, family, spec.lut, spec.ff, 2 * spec.bram36, spec.dsp, spec.uram, package, grade, board)


def _as_vivado_writes(text: str) -> str:
    """A code on an order, ``xczu3eg-1sbva484e``, as Vivado's name, ``xczu3eg-sbva484-1-e``; any other name as it is."""
    code = _ORDERED.fullmatch(text)
    if not code:
        return text
    suffix = f"-{code['range']}" if code["range"] and not code["device"].startswith("xc7") else ""
    return f"{code['device']}-{code['package']}-{code['speed']}{suffix}"


def _package(asked_package: str | None, spec: Device, device: str, asked: str) -> str:
    if asked_package is None:
        return spec.packages[0]
    if not any(_lead_free(asked_package) == _lead_free(package) for package in spec.packages):
        raise PartError(f"part {_shown(asked)}: {device} comes in the packages {', '.join(spec.packages)}")
    return asked_package


def _lead_free(package: str) -> str:
    """One spelling for the RoHS letters: ffg1156 and ffv1156 are the same balls."""
    return re.sub(r"^(f[bfl]|sb)v", r"\1g", package)


def _grade(text: str | None, family: Family) -> str:
    """``2l-e`` as Vivado spells it: ``-2L-e``; a 7-series grade ends in an optional letter: ``-1i``, ``-1L``."""
    if not text:
        return ""
    speed, low_power, temperature = re.fullmatch(r"([1-3])(l?v?)-?([a-z]?)", text).groups()  # type: ignore[union-attr]
    grade = f"-{speed}{low_power.upper()}"
    if not temperature:
        return grade
    return f"{grade}-{temperature}" if family.hyphens else f"{grade}{temperature}"


def _unknown(asked: str, text: str) -> str:
    known_otherwise = what_it_is(asked)
    if known_otherwise is not None:
        return f"part {_shown(asked)} is {known_otherwise}"
    nearest = _nearest(asked, text)
    if nearest:
        return f"part {_shown(asked)} is not known; nearest: {', '.join(nearest)}"
    return (
        f"part {_shown(asked)} is not known; devices of AMD's 7 series, UltraScale and UltraScale+ are, such as "
        "xc7z020, and their boards, such as pynq-z2"
    )


def _nearest(asked: str, text: str) -> list[str]:
    """Names like the one asked for: of the same line of devices or boards, where the name says which line it is of."""
    line = line_of(asked)
    names = [name for name in [*DEVICES, *BOARDS] if line is None or name.startswith(line)]
    tries = [asked.lower(), text, text.split("-")[0]]
    found = [name for entry in tries for name in difflib.get_close_matches(entry[:40], names, n=4, cutoff=0.6)]
    return list(dict.fromkeys(found))[:5]


def _shown(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:37] + "...")
