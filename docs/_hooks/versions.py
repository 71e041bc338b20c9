"""The list of versions beside the sites of each: ``python docs/_hooks/versions.py SITE NEWEST``.

Each version's site lies in a folder of its name. ``versions.json`` is what the theme's selector reads, in the form of
the program mike; ``index.html`` leads to the newest version.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def listed(site: Path, newest: str) -> list[dict[str, object]]:
    """An entry per version, the newest first."""
    names = [path.parent.name for path in site.glob("*/index.html")]
    order = sorted(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)], reverse=True)
    return [{"version": n, "title": n, "aliases": ["latest"] if n == newest else []} for n in order]


def main(site: Path, newest: str) -> None:
    """Write both files."""
    (site / "versions.json").write_text(json.dumps(listed(site, newest), indent=1) + "\n")
    (site / "index.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><title>nmp-flow</title>'
        f'<meta http-equiv="refresh" content="0; url={newest}/index.html"><a href="{newest}/index.html">{newest}</a>\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
