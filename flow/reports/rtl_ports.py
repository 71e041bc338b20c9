"""The ports of RTL that AMD's HLS made, as its ``*_csynth.xml`` lists them (``RtlPorts``)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from flow.errors import ReportError


@dataclass(frozen=True)
class RtlPort:
    """One port: name, the C argument it belongs to, protocol (ap_vld, axis, ...), in or out, bits, data or control."""

    name: str
    argument: str
    protocol: str
    direction: str
    bits: int
    data: bool


def rtl_ports(content: str) -> tuple[RtlPort, ...]:
    """The ports in the report's order; none where it lists none. Raises ReportError for what is not such a report."""
    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise ReportError("a document type declaration has no place in a report")
    try:
        root = ElementTree.fromstring(content.lstrip("\ufeff \t\r\n"))
        return tuple(
            RtlPort(
                port.findtext("name", "").strip(),
                port.findtext("Object", "").strip(),
                port.findtext("IOProtocol", "").strip(),
                port.findtext("Dir", "").strip(),
                int(port.findtext("Bits", "")),
                port.findtext("Attribute", "").strip() == "data",
            )
            for port in root.findall("InterfaceSummary/RtlPorts")
        )
    except (ElementTree.ParseError, ValueError, RecursionError) as exc:
        raise ReportError(f"ports cannot be read ({exc})") from None
