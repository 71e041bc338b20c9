"""Devices and boards that are well known and not supported, and what is true of each: never the nearest other name."""

from __future__ import annotations

import re

_SUPPORTED = "the 7 series, UltraScale and UltraScale+"
_VERSAL = (
    f"a Versal device: its logic blocks are not those of {_SUPPORTED}, for which cells, resources and delays are known"
    " here; build for one of these, such as xcvu9p, and take the hls/ project, which is plain C++, to the Versal tools"
)
_SPARTAN_PLUS = (
    "a Spartan UltraScale+ device, whose resources are not known here; build for an Artix UltraScale+ of its size, such"
    " as xcau7p, whose logic blocks are the same"
)
_OLD = f"an AMD device older than {_SUPPORTED}: those are supported, such as xc7s25 or xc7a35t"


def _other(maker: str) -> str:
    return f"of {maker}: only AMD devices are supported, those of {_SUPPORTED}"


# what a name may be (whole, in lower case, without hyphens) -> what it is
_KINDS = {
    r"(xc|xq|xa)?v([cemphnr]|[cer]k)\d{4}\w*|(xc|xq|xa)?2v[emp]\d{4}\w*|(vck|vmk|vek|vpk|vhk|vrk)\d{3,4}\w*|"
    r"(alveo|xc)?v[78]0\w*|versal\w*|te0950": _VERSAL,
    r"(xc)?su\d{2,3}p\w*|(alinx)?scu35|spartanultrascale(\+|plus)?": _SPARTAN_PLUS,
    r"(xc|xq|xa)?[23456]s(lx|d|an?|e)?\d\w*|(xc|xq)?[23456]v(lx|sx|fx|hx|cx|p|tx)?\d\w*|atlys|nexys[23]|basys2|anvyl|"
    r"spartan[236]\w*|virtex[e2456]\w*|papilio\w*|"
    r"mimasv2|ml[3-6]\d\d|ml605|sp60[15]": _OLD,
    r"(10(ax|cx|as|m)|ep\d|5c[esg]|5sg|5ag|1s[gxtdm]|ag[fim])\w*|de\d{1,2}\w*|cyclone\w*|arria\w*|"
    r"stratix\w*|agilex\w*|max10\w*": _other("Altera (Intel)"),
    r"lfe\d\w*|lcm\w*|ice40\w*|ice5\w*|li[fn]cl\w*|lfcpnx\w*|up5k|ecp5\w*|ulx3s\w*|icebreaker\w*|orangecrab\w*|"
    r"colorlight\w*|icestick": _other("Lattice"),
    r"gw[125]\w*|tangnano\w*|tangprimer\w*": _other("Gowin"),
    r"mpf\w*|m2[sg]l?\d\w*|a3p\w*|polarfire\w*|icicle\w*": _other("Microchip"),
    r"(t|ti)\d{1,3}f\d{2,3}\w*|trion\w*|titanium\w*": _other("Efinix"),
}

_LINE = re.compile(r"xc(7[azskv]|ku|vu|zu|au|k2|u)(?=\d)|(zcu|kcu|vcu|alveo-u)(?=\d)")
_GRADES = {"xa": "automotive", "xq": "defence"}
# names of families, whole and without spaces -> a device of it
_FAMILIES = {
    r"(amd|xilinx)?zynq-?(7000|7)?": "xc7z020",
    r"artix-?7?": "xc7a35t",
    r"spartan-?7": "xc7s50",
    r"kintex-?7?": "xc7k325t",
    r"virtex-?7?": "xc7vx690t",
    r"zynqmp|mpsoc|zynq-?ultrascale(\+|-?plus)?": "xczu3eg",
    r"rfsoc": "xczu28dr",
    r"kintex-?ultrascale": "xcku040",
    r"ultrascale|virtex-?ultrascale": "xcvu095",
    r"artix-?ultrascale(\+|-?plus)": "xcau15p",
    r"kintex-?ultrascale(\+|-?plus)": "xcku5p",
    r"(virtex-?)?ultrascale(\+|-?plus)": "xcvu9p",
    r"kria": "xck26",
    r"alveo": "xcu250",
}


def line_of(name: str) -> str | None:
    """How the names of a device's or board's line begin, such as ``xc7a`` or ``zcu``; None where a name tells none."""
    text = re.sub(r"[\s_]+", "-", name[:60].strip().lower())
    found = _LINE.match(text) or _LINE.match(f"xc{text}")
    return found[0] if found else None


def what_it_is(name: str) -> str | None:
    """What is true of a known device or board that is not supported, or None for any other name."""
    text = re.sub(r"[\s_-]+", "", name[:60].lower())
    kind = next((what for pattern, what in _KINDS.items() if re.fullmatch(pattern, text)), None)
    if kind:
        return kind
    example = next((device for pattern, device in _FAMILIES.items() if re.fullmatch(pattern, text)), None)
    if example:
        return f"a family of devices: name one of them, such as {example}, or a board"
    if text[:2] in _GRADES and _LINE.match(f"xc{text[2:]}"):
        usual = f"xc{text[2:]}"
        return (
            f"the {_GRADES[text[:2]]} grade of a device that is named with xc here: build for {usual}, whose logic is"
            " the same, and give the vendor's tools your own part's name"
        )
    return None
