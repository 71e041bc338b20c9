"""What the flow knows of each device family, in one place: names, carry chains, delays; and what all of them share.

Delays are for the slowest speed grade and in ns. Where they are from:

- 7 series: LUT, CARRY4 and flip-flop figures as in DS187 and DS181 and in prjxray's timing database; memories and DSP
  blocks from prjxray's slowest corner (RAMB CLK to DO 2.454, 0.882 through its register, ADDR 0.566; RAM64 1.163, SRL
  1.481; DSP48E1). Net delays are fitted to routed designs (``benchmarks.route``).
- UltraScale+: logic as Vivado reports it for an xczu3eg, grade -1, slow corner, speed file 1.29 (C to Q 0.093, LUT6
  0.04 to 0.179 by pin, CARRY8 S to CO[7] 0.245, CI to CO[7] 0.030 and 0.007 to the next, CI to O[7] 0.146; RAMB18E2
  CLK to DOUT 1.014, setup 0.332), flip-flop setup and memories in LUTs from RapidWright's timing model. Nets are those
  of 7 series by the ratio of such reports' nets; DSP blocks by that of the data sheets' clocks. Not fitted to routing.
- UltraScale: no figures are published; each delay is taken as the mean of the two others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import log2

LUT_INPUTS = 6  # of a look-up table of every family here
LUT_BITS = 1 << LUT_INPUTS
BLOCK_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))  # words, bits of an 18 Kb block RAM


@dataclass(frozen=True)
class Delays:
    """Delays in ns of one logic level and of the register-to-register overhead."""

    lut: float
    net: float  # to two users
    net_per_doubling: float  # of the users
    net_beside: float  # from a column of a row of bits to the column above, in the same or the next slice
    detour: float  # by which the long nets of a path exceed the others, once per path
    carry_entry: float  # through the LUT beside the chain into the chain
    carry_per_4_bits: float  # carry in to carry out, and on to the next slice
    carry_exit: float  # carry in to sum
    register: float  # clock to output plus setup; a register lies in the slice of the logic before it
    wide_mux: float  # MUXF7, MUXF8
    # What memories and multipliers take more than a register does.
    block_output: float
    block_output_register: float
    block_setup: float
    lut_memory_output: float
    lut_memory_setup: float
    shift_output: float
    dsp_product: float
    dsp_sum: float

    def fanout(self, users: int) -> float:
        """Delay of a net with this many users, in ns."""
        return self.net + self.net_per_doubling * (log2(max(users, 1)) - 1)

    def adder(self, bits: int) -> float:
        """Delay of a carry-chain adder of ``bits`` bits, in ns."""
        return self.net + self.carry_entry + self.carry_per_4_bits * ((bits - 1) // 4) + self.carry_exit


@dataclass(frozen=True)
class Family:
    """One generation of devices.

    ``yosys`` is what ``synth_xilinx -family`` takes, ``carry_bits`` the length of a carry primitive (``CARRY4``,
    ``CARRY8``; 0: none is known, additions are plain sums), ``title`` what comments call its parts. A device belongs to
    the first family that has a prefix of its name in ``devices``. ``hyphens`` says that names are written with hyphens
    and end in a temperature range (``xczu3eg-sbva484-1-e``). ``planned`` delays place pipeline registers and take every
    net for a rather long one; ``routed`` ones estimate the clock of a finished netlist, where most nets are short and
    one or two of the slowest path make a detour, and ``source`` says in a report where those are from. ``core_v`` is
    the nominal core voltage.
    """

    name: str
    title: str
    yosys: str
    devices: tuple[str, ...]
    carry_bits: int
    planned: Delays
    routed: Delays
    source: str
    default_clock_period_ns: float
    core_v: float
    hyphens: bool = True


def _both(planned: dict[str, float], routed: dict[str, float]) -> tuple[Delays, Delays]:
    """Delays for planning, and those for estimates: the same but for nets."""
    return Delays(**planned), Delays(**{**planned, **routed})


def _mean(a: Delays, b: Delays) -> Delays:
    return Delays(**{f.name: round((getattr(a, f.name) + getattr(b, f.name)) / 2, 3) for f in fields(Delays)})


_XC7 = _both(
    {
        "lut": 0.125, "net": 0.62, "net_per_doubling": 0.1, "net_beside": 0.5, "detour": 0.0,
        "carry_entry": 0.532, "carry_per_4_bits": 0.16, "carry_exit": 0.25, "register": 0.45, "wide_mux": 0.25,
        "block_output": 2.1, "block_output_register": 0.53, "block_setup": 0.47,
        "lut_memory_output": 0.81, "lut_memory_setup": 0.55, "shift_output": 1.13, "dsp_product": 1.64, "dsp_sum": 2.02,
    },
    {"net": 0.4, "net_beside": 0.325, "detour": 1.2},
)  # fmt: skip
_XCUP = _both(
    {
        "lut": 0.115, "net": 0.4, "net_per_doubling": 0.065, "net_beside": 0.32, "detour": 0.0,
        "carry_entry": 0.345, "carry_per_4_bits": 0.02, "carry_exit": 0.146, "register": 0.155, "wide_mux": 0.1,
        "block_output": 0.92, "block_output_register": 0.25, "block_setup": 0.31,
        "lut_memory_output": 0.22, "lut_memory_setup": 0.16, "shift_output": 0.3, "dsp_product": 1.18, "dsp_sum": 1.45,
    },
    {"net": 0.26, "net_beside": 0.21, "detour": 0.78},
)  # fmt: skip

XC7 = Family(
    "xc7", "7-series parts", "xc7", ("xc7",), 4, *_XC7,
    "7-series -1 delays, net delays fitted to routed designs", 10.0, 1.0, hyphens=False,
)  # fmt: skip
XCU = Family(
    "xcu", "UltraScale parts", "xcu",
    ("xcku0", "xcku115", "xcvu0", "xcvu125", "xcvu160", "xcvu190", "xcvu440"), 8,
    _mean(_XC7[0], _XCUP[0]), _mean(_XC7[1], _XCUP[1]),
    "means of 7-series and UltraScale+ -1 delays, none are published; not fitted to routed designs", 5.0, 0.95,
)  # fmt: skip
XCUP = Family(
    "xcup", "UltraScale+ parts", "xcup", ("xc",), 8, *_XCUP,
    "UltraScale+ -1 delays, net delays by the ratio of tool reports, not fitted to routed designs", 5.0, 0.85,
)  # fmt: skip
FAMILIES = (XC7, XCU, XCUP)


def family_of(device: str) -> Family:
    """The family of a device of the catalog, whose names all begin with ``xc``."""
    return next(f for f in FAMILIES if device.startswith(f.devices))
