"""RESULTS.md as sections: a benchmark replaces its own section and leaves the others alone."""

from __future__ import annotations

import os
import platform
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = """# Measured results

Each section names the command that reproduces it. LUT counts are Yosys figures unless a section says otherwise.
"""


def write_section(title: str, command: str, body: str) -> None:
    """Put ``body`` under ``## title`` in RESULTS.md, with the command and the machine it was measured on."""
    text = RESULTS.read_text() if RESULTS.is_file() else _HEAD
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    section = f"## {title}\n\n`{command}` ({machine})\n\n{body.strip()}\n"
    parts = text.split("\n## ")
    head, sections = parts[0].rstrip() + "\n", [f"## {p}".rstrip() + "\n" for p in parts[1:]]
    kept = [s for s in sections if not s.startswith(f"## {title}\n")]
    place = next((i for i, s in enumerate(sections) if s.startswith(f"## {title}\n")), len(kept))
    kept.insert(place, section)
    RESULTS.write_text("\n".join([head, *kept]))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; every cell is text."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
