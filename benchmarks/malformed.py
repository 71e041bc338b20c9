"""Malformed files through the command lines: each ends in one clear line and exit 1, none in a traceback or a hang.

``python -m benchmarks.malformed`` mutates 300 model, design, data and report files, gives each to the command that
reads it, and writes the section "Malformed files" of ``RESULTS.md``. ``--seeds 17,203`` looks at some files only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.results_file import table, write_section


def report(results: list[dict[str, Any]]) -> str:
    """The Markdown of the section."""
    rows = []
    for kind in sorted({r["kind"] for r in results}):
        own = [r for r in results if r["kind"] == kind]
        count = Counter("wrong" if r["wrong"] else "read" if r["status"] == 0 else "refused" for r in own)
        rows.append([kind, str(len(own)), *(str(count[name]) for name in ("refused", "read", "wrong"))])
    head = ["kind", "files", "one line, exit 1, nothing left", "still good: built or read", "anything else"]
    return (
        "Bytes cut, overwritten, zeroed or doubled; JSON members missing or of odd types and sizes; arrays missing,"
        " of other shapes and types, not finite. A hang is more than 30 s.\n\n" + table(head, rows)
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, metavar="N", help="files (default 300)")
    parser.add_argument("--seeds", help="these files only, separated by commas; nothing is written")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import malformed

    seeds = [int(s) for s in options.seeds.split(",")] if options.seeds else list(range(options.count))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for result in track(malformed.judge(seeds, Path(folder)), "files", len(seeds)):
            results.append(result)
            if result["wrong"] or options.seeds:
                print(f"{result['seed']} {result['kind']} {result.get('done')}: {result['wrong'] or result['told']}")
    if not options.seeds:
        write_section("Malformed files", "python -m benchmarks.malformed", report(results))
    return 1 if any(r["wrong"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
