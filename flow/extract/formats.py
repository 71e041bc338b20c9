"""Formats as users write them: ours, and those of hls4ml."""

from __future__ import annotations

import re

from flow.core.errors import UsageError
from flow.core.fixed import Fixed

AUTO = "auto"  # in place of a format: chosen from data
MAX_INPUT_BITS = 32
_OWN = re.compile(r"([su])(\d{1,2})\.(-?\d{1,3})\Z")
_HLS = re.compile(r"ap_(u?)fixed<\s*(\d{1,2})\s*,\s*(-?\d{1,3})\s*>\Z")


def parse_format(text: str) -> Fixed:
    """A format from text such as ``s8.4``, ``u8.0`` or ``ap_fixed<16,6>``. Raises UsageError."""
    own, hls = _OWN.match(text), _HLS.match(text.strip())
    if own:
        signed, bits, frac = own[1] == "s", int(own[2]), int(own[3])
    elif hls:
        signed, bits = not hls[1], int(hls[2])
        frac = bits - int(hls[3])
    if not (own or hls) or not 0 < bits <= MAX_INPUT_BITS or abs(frac) > 64:
        raise UsageError(
            f"--input-format {text!r:.40} is not of the form s16.10 or u8.0 (sign, bits 1..{MAX_INPUT_BITS}, fraction "
            'bits), "ap_fixed<16,6>", which is s16.10, or auto'
        )
    return Fixed(signed, bits, frac)
