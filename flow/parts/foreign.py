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
    r"(xc)?v([cemphnr]|[cer]k)\d{4}\w*|(xc)?2v[emp]\d{4}\w*|(vck|vmk|vek|vpk|vhk|vrk)\d{3,4}\w*|(alveo|xc)?v[78]0\w*": (
        _VERSAL
    ),
    r"(xc)?su\d{2,3}p\w*|(alinx)?scu35": _SPARTAN_PLUS,
    r"(xc|xq|xa)?[23456]s(lx|d|an?|e)?\d\w*|(xc|xq)?[23456]v(lx|sx|fx|hx|cx|p|tx)?\d\w*|atlys|nexys3|papilio\w*|"
    r"mimasv2|ml[3-6]\d\d|ml605|sp60[15]": _OLD,
    r"(10(ax|cx|as|m)|ep\d|5c[esg]|5sg|5ag|1s[gxtdm]|ag[fim])\w*|de\d{1,2}\w*|cyclone\w*|arria\w*|"
    r"stratix\w*|agilex\w*|max10\w*": _other("Altera (Intel)"),
    r"lfe\d\w*|lcm\w*|ice40\w*|ice5\w*|li[fn]cl\w*|lfcpnx\w*|up5k|ecp5\w*|ulx3s\w*|icebreaker\w*|orangecrab\w*|"
    r"colorlight\w*|icestick": _other("Lattice"),
    r"gw[125]\w*|tangnano\w*|tangprimer\w*": _other("Gowin"),
    r"mpf\w*|m2[sg]l?\d\w*|a3p\w*|polarfire\w*|icicle\w*": _other("Microchip"),
    r"(t|ti)\d{1,3}f\d{2,3}\w*|trion\w*|titanium\w*": _other("Efinix"),
}


def what_it_is(name: str) -> str | None:
    """What is true of a known device or board that is not supported, or None for any other name."""
    text = re.sub(r"[\s_-]+", "", name[:60].lower())
    return next((what for pattern, what in _KINDS.items() if re.fullmatch(pattern, text)), None)
