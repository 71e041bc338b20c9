"""Mutants of Verilog, netlists, HLS sources and the driver: each must be found out by the checks of a build.

``python -m benchmarks.mutants`` makes 480 mutants from a seed (``tests/mutants*.py`` has the operators), lets the
build of each design check them (``tests/mutant_checks.py``), sorts out by proof what is no fault at all and writes the
section "Mutants" of ``RESULTS.md``. Verdicts are kept in ``benchmarks/work/mutants.jsonl``: an interrupted campaign
goes on where it stopped; ``--fresh`` begins anew. ``--only hls`` looks at some designs alone and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.results_file import table, write_section

HERE = Path(__file__).parent
WORK = HERE / "work"
RECORD = WORK / "mutants.jsonl"
SHARE = {"verilog": 50, "shell": 40, "netlist": 30, "hls": 30, "driver": 80}  # mutants of each design, by kind
_COLUMNS = (
    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
)  # fmt: skip


def make(subject: Any, base: Path, count: int, seed: int) -> list[Any]:
    """The mutants of a design."""
    from mutants import generate

    files = subject.files(base)
    masks = {name: subject.mask(text) for name, text in files.items()}
    return generate(files, masks, subject.operators, count, seed)


def run(subject: Any, mutant: Any, base: Path) -> dict[str, Any]:
    """The record of one mutant."""
    from mutant_checks import judged

    files = subject.files(base)
    return {
        "design": subject.name, "operator": mutant.operator, "difference": mutant.difference(files),
        "digest": digest(subject, mutant, files), **judged(subject, mutant, base),
    }  # fmt: skip


def digest(subject: Any, mutant: Any, files: dict[str, str]) -> str:
    """What stands for a mutant of a design and the text it was made of."""
    return hashlib.sha256(repr((subject.name, mutant, files[mutant.file])).encode()).hexdigest()[:16]


def campaign(only: list[str], scale: float, seed: int, jobs: int) -> list[dict[str, Any]]:
    """Verdicts on all mutants; those in the record are not judged again."""
    import mutant_checks
    import mutant_designs

    known = {r["digest"]: r for r in map(json.loads, RECORD.read_text().splitlines())} if RECORD.is_file() else {}
    todo, results = [], []
    for number, (name, subject) in enumerate(mutant_designs.subjects().items()):
        if only and not any(name.startswith(o) for o in only):
            continue
        base = WORK / "mutants" / name.replace(", ", "_").replace(" ", "_")
        if subject.kind == "driver":
            importlib.import_module("test_shell_driver")  # what its tests import is there before they are run
        else:
            mutant_checks.prepare(subject, base)
        for mutant in make(subject, base, round(scale * SHARE[subject.kind]), seed + number):
            found = known.get(digest(subject, mutant, subject.files(base)))
            found = found if found and found["outcome"] not in ("survived", "broken") else None
            results.append(found) if found else todo.append((subject, mutant, base))
    with ThreadPoolExecutor(jobs) as pool, Progress(*_COLUMNS) as progress:
        bar = progress.add_task("mutants", total=len(todo))
        for future in as_completed([pool.submit(run, *item) for item in todo]):
            result = future.result()
            results.append(result)
            with RECORD.open("a") as file:
                file.write(json.dumps(result) + "\n")
            progress.advance(bar)
            if result["outcome"] in ("survived", "broken"):
                told = [result[key] for key in ("outcome", "design", "operator", "difference")]
                progress.print(": ".join(told), markup=False)
                if result["outcome"] == "broken":
                    progress.print(result["message"], markup=False)
    return results


def report(results: list[dict[str, Any]]) -> str:
    """The Markdown of the section."""
    rows, left = [], []
    for design in dict.fromkeys(r["design"] for r in results):
        own = [r for r in results if r["design"] == design]
        count = Counter(r["outcome"] for r in own)
        by = Counter(re.sub("^test_.*", "its tests", r["by"]) for r in own if r["outcome"] == "caught")
        found = ", ".join(f"{name} {n}" for name, n in by.most_common())
        rows.append([design, *(str(count[o]) for o in ("invalid", "equivalent", "caught", "survived")), found])
        rows[-1].insert(1, str(len(own)))
        left += [f"- {design}, {r['operator']}: {r['difference']}" for r in own if r["outcome"] == "survived"]
    total = Counter(r["outcome"] for r in results)
    head = ["what is mutated", "mutants", "do not compile", "no fault", "caught", "survived", "first caught by"]
    spent = sum(r["cpu_s"] for r in results)
    return (
        f"{len(results)} mutants, {total['caught']} caught, {total['survived']} not. {_HOW}"
        f" {spent / 60:.0f} CPU minutes.\n\n{table(head, rows)}\n\n"
        + (
            "Not caught, though named as undecided where a proof could not read it:\n\n" + "\n".join(left)
            if left
            else "None survived."
        )
    )


_HOW = (
    "One change each, drawn from a seed, every operator equally often: bits of constants and memories, operators,"
    " comparisons, slices, signs, registers too few and too many, conditions, resets, parameters, connections,"
    " operands, clock edges, a fault of a rare pattern of up to 12 bits, a fault that begins after up to 2,000 cycles"
    " or events. Checked by a short run of the first bench, then by the whole build. No fault is what ABC proves equal"
    " for all inputs from a reset on, what compiles to the same object code or gives the same results for every input,"
    " and for the driver what changes nothing but words."
)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="mutants at a time (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutants (default 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer mutants (default 1)")
    parser.add_argument("--only", default="", help="designs whose name begins so, separated by commas")
    parser.add_argument("--fresh", action="store_true", help="forget the verdicts of earlier runs")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE.parent / "tests"))
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # before NumPy: jobs share the cores
    if options.fresh:
        RECORD.unlink(missing_ok=True)
        shutil.rmtree(WORK / "mutants", ignore_errors=True)
    WORK.mkdir(exist_ok=True)
    start = time.monotonic()
    results = campaign([o for o in options.only.split(",") if o], options.scale, options.seed, options.jobs)
    text = report(results)
    print(f"{text}\n\n{time.monotonic() - start:.0f} s")
    if not options.only:
        write_section("Mutants", "python -m benchmarks.mutants", text)
    return 1 if any(r["outcome"] in ("survived", "broken") for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
