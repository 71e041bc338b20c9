"""Random designs through both HLS forms, grouped layers and stock layers, against the integer model.

``python -m benchmarks.hls_forms`` judges 200 designs by C simulation, grouped with a random interface, strategy and
reuse factor per layer and per group, Vitis and Vivado in turn, and 10 of the stock form with hls4ml's Quartus and
Catapult back ends, then writes the section "HLS forms" of ``RESULTS.md``. Finished batches are kept in
``benchmarks/work/hls_forms.jsonl``: an interrupted campaign goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.results_file import table, write_section
from flow.core.evaluate import evaluate, to_float
from flow.emit.hls.schedule import HlsChoices
from flow.emit.hls.stock import emit_hls_stock, stock_graph
from flow.tools.hls_compile import simulate
from flow.verify.hls_batch import compile_batch, run_hls_batch

HERE = Path(__file__).parent
RECORD = HERE / "work" / "hls_forms.jsonl"
PART = "xc7z020clg400-1"
BATCH, VECTORS = 10, 200
OTHERS = ("Quartus", "Catapult")


def _designs(seeds: list[int]) -> list[tuple[Any, Any]]:
    sys.path.insert(0, str(HERE.parent / "tests"))
    from strategies import random_design, vectors

    designs = [random_design(seed, name=f"r{seed}") for seed in seeds]
    return [(design, vectors(design, VECTORS, seed)) for design, seed in zip(designs, seeds, strict=True)]


def grouped(seeds: list[int], backend: str, work: Path) -> list[bool]:
    """Whether each design's grouped project agrees on every vector."""
    batch = _designs(seeds)
    from strategies import random_choices

    chosen: list[HlsChoices] = [random_choices(d, seed) for (d, _), seed in zip(batch, seeds, strict=True)]
    found = run_hls_batch(batch, work, PART, backend, chosen)
    return [np.array_equal(f, evaluate(d, x)) for f, (d, x) in zip(found, batch, strict=True)]


def stock(seeds: list[int], backend: str, work: Path) -> list[bool]:
    """The same of the stock form; the bench finds the index of the largest logit where the head is argmax."""
    batch = _designs(seeds)
    binary = compile_batch([(d.name, emit_hls_stock(d, PART, backend)) for d, _ in batch], work)
    results = []
    for index, (design, x) in enumerate(batch):
        expected = evaluate(design, x)
        results.append(np.array_equal(simulate(binary, x, expected.shape[1], select=index), expected))
    return results


def other(seeds: list[int], backend: str, work: Path) -> list[bool]:
    """The stock form through a back end's own compile and predict; logits only."""
    results = []
    for design, x in _designs(seeds):
        logits = replace(design, head="logits")
        graph, model = stock_graph(logits, PART, backend, 5.0, str(work / design.name))
        graph.compile()
        found = np.empty((len(x), len(model.order)))
        values = graph.predict(np.ascontiguousarray(to_float(x, design.input_formats)))
        found[:, list(model.order)] = np.reshape(values, found.shape)
        results.append(np.array_equal(found, to_float(evaluate(logits, x), design.output_formats)))
    return results


FORMS = {"grouped": grouped, "stock": stock, "other": other}


def judge(form: str, backend: str, first: int, size: int) -> dict[str, Any]:
    """One batch; ``wrong`` has the seeds of designs that differ."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        equal = FORMS[form](list(range(first, first + size)), backend, Path(folder) / "batch")
    wrong = [first + i for i, same in enumerate(equal) if not same]
    return {"batch": [form, backend, first, size], "wrong": wrong, "seconds": round(time.monotonic() - start, 1)}


def campaign(count: int, others: int, workers: int) -> list[dict[str, Any]]:
    """All batches, those of the record included."""
    wanted = [
        (form, ("Vitis", "Vivado")[first // BATCH % 2], first, min(BATCH, count - first))
        for first in range(0, count, BATCH)
        for form in ("grouped", "stock")
    ]
    wanted += [("other", backend, 0, others) for backend in OTHERS if others]
    lines = RECORD.read_text().splitlines() if RECORD.is_file() else []
    done = {tuple(r["batch"]): r for r in map(json.loads, lines)}
    RECORD.parent.mkdir(exist_ok=True)
    todo = [w for w in wanted if w not in done]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(judge, *item) for item in todo]
        for future in track(as_completed(futures), "batches", total=len(todo)):
            result = future.result()
            done[tuple(result["batch"])] = result
            with RECORD.open("a") as file:
                file.write(json.dumps(result) + "\n")
    return [done[item] for item in wanted]


def report(results: list[dict[str, Any]]) -> str:
    """The Markdown of the section."""
    rows = []
    for form, backend in dict.fromkeys((r["batch"][0], r["batch"][1]) for r in results):
        own = [r for r in results if tuple(r["batch"][:2]) == (form, backend)]
        wrong = [seed for r in own for seed in r["wrong"]]
        designs = sum(r["batch"][3] for r in own)
        title = "stock" if form == "other" else form
        rows.append(
            [title, backend, str(designs), str(len(wrong)), f"{sum(r['seconds'] for r in own) / max(designs, 1):.1f}"]
        )
    head = ["form", "back end", "designs", "designs that differ", "s per design"]
    return (
        f"Random designs of 1 to 4 layers, widths 0 to 16, any saturation range, both heads; {VECTORS} vectors each,"
        " compared exactly. Grouped: io_parallel or io_stream, Latency or Resource and a reuse factor, drawn per"
        " layer and per group. C simulation by g++ with hls4ml's own headers; no vendor tool was run.\n\n"
        + table(head, rows)
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=200, metavar="N", help="designs per form (default 200)")
    parser.add_argument(
        "--others", type=int, default=10, metavar="N", help="designs for Quartus, Catapult (default 10)"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default 2)")
    options = parser.parse_args()
    results = campaign(options.designs, options.others, options.workers)
    write_section("HLS forms", "python -m benchmarks.hls_forms", report(results))
    for result in results:
        if result["wrong"]:
            print(f"{' '.join(map(str, result['batch'][:2]))}: seeds {result['wrong']} differ")
    return 3 if any(r["wrong"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
