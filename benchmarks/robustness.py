"""Random designs through every engine: integer = hls = icarus = verilator = netlist, or the design's seed is told.

``python -m benchmarks.robustness`` runs 1,000 parallel and 100 folded designs (1 to 6 layers, widths 0 to 16) and
writes the section "Random designs" of ``RESULTS.md``. Designs are judged a batch at a time; finished batches are kept
in ``benchmarks/work/robustness.jsonl``, so an interrupted campaign goes on where it stopped. ``--seed N`` judges one
design and keeps its files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.results_file import table, write_section
from flow.core.errors import FlowError

HERE = Path(__file__).parent
RECORD = HERE / "work" / "robustness.jsonl"
BATCH = {"parallel": 20, "folded": 5}
VECTORS = 64
ENGINES = ("integer", "hls", "icarus", "verilator", "netlist")
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


def run(architecture: str, seeds: list[int], folder: Path | None = None) -> dict[str, Any]:
    """Judge the designs of ``seeds``; ``problems`` says by engine what is wrong, and is empty where all agree."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import batch

    start = time.monotonic()
    cases, found = [], {}
    for seed in seeds:
        try:
            cases.append(batch.make_case(seed, architecture, VECTORS))
        except FlowError as exc:
            found[f"build of {seed}"] = str(exc)
    with tempfile.TemporaryDirectory() as scratch:
        found |= batch.judge(cases, folder or Path(scratch))
    assert set(ENGINES) <= set(found), found.keys()
    return {
        "architecture": architecture,
        "seeds": seeds,
        "problems": {engine: text for engine, text in found.items() if text},
        "layers": [len(c.design.layers) for c in cases],
        "seconds": round(time.monotonic() - start, 2),
    }


def _read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []


def campaign(counts: dict[str, int], workers: int) -> list[dict[str, Any]]:
    """All batches that the record does not hold yet, over ``workers`` processes; every finished one is recorded."""
    done = {(r["architecture"], r["seeds"][0], len(r["seeds"])) for r in _read()}
    wanted = [
        (name, list(range(first, min(first + BATCH[name], count))))
        for name, count in counts.items()
        for first in range(0, count, BATCH[name])
    ]
    todo = [(name, seeds) for name, seeds in wanted if (name, seeds[0], len(seeds)) not in done]
    RECORD.parent.mkdir(exist_ok=True)
    with ProcessPoolExecutor(workers) as pool, Progress(*_COLUMNS) as progress:
        bar = progress.add_task("designs", total=sum(counts.values()))
        progress.advance(bar, sum(counts.values()) - sum(len(seeds) for _, seeds in todo))
        for future in as_completed([pool.submit(run, *item) for item in todo]):
            result = future.result()
            with RECORD.open("a") as file:
                file.write(json.dumps(result) + "\n")
            progress.advance(bar, len(result["seeds"]))
            for engine, text in result["problems"].items():
                progress.print(f"{result['architecture']} {result['seeds']}: {engine}: {text}")
    keys = {(name, seeds[0], len(seeds)) for name, seeds in wanted}
    return [r for r in _read() if (r["architecture"], r["seeds"][0], len(r["seeds"])) in keys]


def report(results: list[dict[str, Any]]) -> str:
    """The Markdown of the section."""
    rows = []
    for name in BATCH:
        own = [r for r in results if r["architecture"] == name]
        if own:
            designs = sum(len(r["seeds"]) for r in own)
            failing = [f"{engine}: {text}" for r in own for engine, text in r["problems"].items()]
            seconds = sum(r["seconds"] for r in own)
            rows.append(
                [name, str(designs), str(len(failing)), f"{seconds / designs:.1f}", "; ".join(failing) or "none"]
            )
    head = ["architecture", "designs", "engines that disagreed", "s per design (one core)", "what"]
    return (
        "Random designs of 1 to 6 layers and 1 to 6 neurons and inputs, widths 0 to 16, negative fractions, all"
        " roundings, one-sided saturation, all-zero layers, a format per input, clock periods of 10, 7 and 5.5 ns;"
        " each through "
        + ", ".join(ENGINES)
        + f" on {VECTORS} vectors (24 in the netlist), corners first.\n\n"
        + table(head, rows)
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parallel", type=int, default=1000, metavar="N", help="parallel designs (default 1000)")
    parser.add_argument("--folded", type=int, default=100, metavar="N", help="folded designs (default 100)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default 2)")
    parser.add_argument("--seed", type=int, help="judge this one design only, and keep its files")
    parser.add_argument("--architecture", choices=list(BATCH), default="parallel", help="of the one design")
    options = parser.parse_args()
    if options.seed is not None:
        folder = HERE / "work" / f"robustness_{options.architecture}_{options.seed}"
        result = run(options.architecture, [options.seed], folder)
        print(result["problems"] or "every engine agrees", f"; files in {folder}")
        return 3 if result["problems"] else 0
    results = campaign({"parallel": options.parallel, "folded": options.folded}, options.workers)
    write_section("Random designs", "python -m benchmarks.robustness", report(results))
    return 3 if any(r["problems"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
