"""nextpnr-himbaechel-xilinx: open place and route for 7-series parts, where its chip databases cover the device."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from flow.core.errors import ToolFailed
from flow.files.plan import write_file
from flow.parts.catalog import Part
from flow.tools.process import Completed, find, run

PROGRAM = "nextpnr-himbaechel-xilinx"
NETLIST, BEFORE_ROUTING = "packed.json", "before_routing.py"
CAVEATS = "one corner, hold times not checked"  # of its timing
_MOST_SQUARED = 46_000  # cells whose number squared is within 32 bits, as nextpnr calculates it
_REMEDY = "run scripts/install_nextpnr.sh, which sets it up in a private folder"


@dataclass(frozen=True)
class Pins:
    """Three pads of a package: clock input, data input, data output."""

    clock: str
    data_in: str
    data_out: str

    def by_port(self) -> dict[str, str]:
        """The pin of each port of the wrapper."""
        return {"clk_pad": self.clock, "serial_in": self.data_in, "serial_out": self.data_out}


# Pads that boards with these parts use for a clock, a switch and an LED, so they exist and are usable as such.
_PINS = {
    "xc7z010clg400": Pins("K17", "K18", "M14"),  # Zybo Z7-10
    "xc7z020clg400": Pins("H16", "D19", "R14"),  # PYNQ-Z1
    "xc7z020clg484": Pins("Y9", "F22", "T22"),  # ZedBoard
    "xc7a35tcpg236": Pins("W5", "V17", "U16"),  # Basys 3
    "xc7a35tcsg324": Pins("E3", "A8", "H5"),  # Arty A7-35
    "xc7a50tcsg324": Pins("E3", "J15", "H17"),  # Nexys A7-50
    "xc7a100tcsg324": Pins("E3", "J15", "H17"),  # Nexys A7-100
    "xc7a200tsbg484": Pins("R4", "E22", "T14"),  # Nexys Video
}


def locate() -> str:
    """Path of the program: NMP_NEXTPNR, the folder the set-up script fills, or PATH. Raises ToolNotFound."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return find(PROGRAM, "NMP_NEXTPNR", _REMEDY, [home / "nmp-flow" / "nextpnr" / "bin"])


def unsupported(part: Part) -> str | None:
    """Why this part cannot be placed and routed; None where it can."""
    if pads(part) is None:
        return f"{PROGRAM} has no chip database or no known pads for {part.name}; it covers {', '.join(_PINS)}"
    return None


def version(folder: Path) -> str:
    """Version of the program, such as ``0.11.1``; the run's log is left in ``folder``."""
    done = run([locate(), "--version"], folder, folder / "nextpnr.version.log", 60)
    match = re.search(r"Version ([\w.+-]+)", done.text)
    return match[1] if match else "unknown"


def runs_scripts(folder: Path) -> bool:
    """Whether the program was built with Python; the run's log is left in ``folder``."""
    return "--pre-route" in run([locate(), "--help"], folder, folder / "nextpnr.help.log", 60).text


def device_name(part: Part) -> str:
    """The name nextpnr takes, which leaves out the temperature range: ``xc7a35tcsg324-1L`` for xc7a35ticsg324-1L."""
    grade = re.match(r"-\dL?", part.speed_grade)
    return f"{part.device}{part.package}{grade[0] if grade else '-1'}"


def placed(seed: int) -> str:
    """The file that says where every cell lies."""
    return f"placed.{seed}.json"


def fasm(seed: int) -> str:
    """The file of the routed design's features."""
    return f"routed.{seed}.fasm"


def place_and_route(
    folder: Path, part: Part, clock_period_ns: float, seed: int, timeout_s: float, constraints: str,
    place_only: bool = False,
) -> Completed:  # fmt: skip
    """Place and route ``packed.json`` in ``folder`` under ``constraints``, which are XDC.

    Between the two nextpnr runs ``before_routing.py``, where that is there.

    Leaves ``placed.SEED.json``, ``routed.SEED.fasm``, ``nextpnr.SEED.json`` (the report) and ``nextpnr.SEED.log``.
    Missing the clock period is no failure, the report tells it; ``place_only`` stops before routing. Raises
    ToolNotFound, ToolFailed.
    """
    write_file(folder / "route.xdc", constraints)
    report, log = folder / f"nextpnr.{seed}.json", folder / f"nextpnr.{seed}.log"
    report.unlink(missing_ok=True)
    arguments = [
        locate(), "--device", device_name(part), "-o", "xdc=route.xdc", "--json", NETLIST,
        "--report", report.name, "--write", placed(seed),
        *(["--no-route"] if place_only else ["-o", f"fasm={fasm(seed)}"]),
        *(["--pre-route", BEFORE_ROUTING] if not place_only and (folder / BEFORE_ROUTING).is_file() else []),
        "--freq", f"{1000 / clock_period_ns:.3f}", "--seed", str(seed), "--timing-allow-fail",
        "--placer-heap-cell-placement-timeout", _patience(folder / NETLIST),
    ]  # fmt: skip
    done = run(arguments, folder, log, timeout_s)
    if not report.is_file():
        raise ToolFailed(f"{PROGRAM} ended without writing {report}; see {log}")
    return done


def _patience(netlist: Path) -> str:
    """How long the placer looks for the place of a cell: cells squared attempts, without end where that overflows.

    Some chains of adders have no place that nextpnr takes; without an end it would look for one for hours.
    """
    cells = netlist.read_text().count('"port_directions"')
    return "1" if cells < _MOST_SQUARED else "0"


def pads(part: Part) -> Pins | None:
    """The pads of the wrapper on a part; None where none are known."""
    return _PINS.get(f"{part.device}{part.package}")
