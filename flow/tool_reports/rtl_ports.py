"""The ports of RTL that AMD's HLS made, as its ``*_csynth.xml`` lists them (``RtlPorts``)."""

from __future__ import annotations

from dataclasses import dataclass

from flow.core.errors import ReportError
from flow.core.untrusted import parse_xml, refused


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
    with refused(ReportError, "ports cannot be read", "run the synthesis step again"):
        root = parse_xml(content, "the report")
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
