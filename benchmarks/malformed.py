"""Hostile files through the command lines: each ends in one clear line and exit 1, or is still good.

``python -m benchmarks.malformed`` makes 750 hostile or damaged files of every kind that a command reads, gives each to
that command, and writes the section "Malformed files" of ``RESULTS.md``. ``--seeds 17,203`` looks at some only,
``--first`` begins at another seed, which gives other files. Takes about 25 minutes of processor time.
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

_TEXT = (
    "Files by a generator that knows the formats: JSON with members missing, renamed or of odd types and sizes, "
    "numbers of 401 digits, deep nesting, half surrogates; arrays with other headers, shapes and types; zip "
    "archives with other methods, flags, sizes and entries, bombs among them; HDF5 with other attributes, data "
    "sets and links; YAML scalars that do not convert, tags, aliases that double; XML entities; bits flipped, "
    "bytes cut or doubled; and pipes, devices, sockets, loops of links, sparse files of up to 1 TB and odd names "
    "where a file is read or written. A good end is a build, report or training that succeeds, or exit 1 with "
    "exactly one line on standard error and nothing left behind. Each has at most 90 s of processor time and 3 GB "
    "more memory than the libraries; one that waits without using any is told apart from a slow machine by the "
    "state of its processes."
)


def report(results: list[dict[str, Any]]) -> str:
    """The Markdown of the section."""
    rows = []
    for kind in [*sorted({r["kind"] for r in results}), "all"]:
        own = [r for r in results if kind in (r["kind"], "all")]
        count = Counter("wrong" if r["wrong"] else "read" if r["status"] == 0 else "refused" for r in own)
        rows.append([kind, str(len(own)), *(str(count[name]) for name in ("refused", "read", "wrong"))])
    head = ["kind", "files", "one line, exit 1, nothing left", "still good: built or read", "anything else"]
    return f"{_TEXT}\n\n{table(head, rows)}"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=750, metavar="N", help="files (default 750)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default 0)")
    parser.add_argument("--seeds", help="these files only, separated by commas; nothing is written")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from hostile.judge import judge

    chosen = range(options.first, options.first + options.count)
    seeds = [int(s) for s in options.seeds.split(",")] if options.seeds else list(chosen)
    results = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for result in track(judge(seeds, Path(folder)), "files", len(seeds)):
            results.append(result)
            if result["wrong"] or options.seeds:
                print(f"{result['seed']} {result['kind']} {result.get('done')}: {result['wrong'] or result['told']}")
                print(f"    {result.get('command')}")
    if not options.seeds:
        write_section("Malformed files", "python -m benchmarks.malformed", report(results))
    return 1 if any(r["wrong"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
