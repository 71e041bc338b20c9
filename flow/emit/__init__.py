"""(Design, Part) -> Plan: pure functions that lay out files."""
