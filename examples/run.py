"""Run the stories: ``python examples/run.py [NAME ...]`` in a folder for their files; ``--record`` keeps their output.

A story is a Python file of cells (``# %%``), as Jupyter and editors open them. The documentation shows it with the
recorded output of each cell. Stories whose data or packages are not here are skipped with the reason.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STORIES = (
    "kpi_regression",
    "intrusion_detection",
    "qoe",
    "digits_to_bitstream",
    "own_qkeras_model",
    "from_pytorch",
    "convolution",
)
DATA = {"kpi_regression": "kth_mesh", "intrusion_detection": "unsw_nb15", "qoe": "qoe_poqemon"}


def cells(text: str) -> list[tuple[str, str]]:
    """The cells of a story in order: ``markdown`` or ``code``, and their content."""
    found = []
    for part in text.split("# %%")[1:]:
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
            found.append(("markdown", "\n".join(lines)))
        else:
            found.append(("code", body.strip()))
    return found


def digest(text: str) -> str:
    """Of a story's code alone: its words may change without another run."""
    code = "\n".join(body for kind, body in cells(text) if kind == "code")
    return hashlib.sha256(ast.dump(ast.parse(code)).encode()).hexdigest()[:16]


def missing(name: str) -> str | None:
    """Why a story cannot run here; None where it can."""
    from keras_models.data import loaders

    if name not in DATA:
        return None
    try:
        loaders.load_dataset(DATA[name])
    except (loaders.DataError, OSError, ValueError) as exc:
        return " ".join(str(exc).split())
    return None


def run(name: str) -> dict[str, Any]:
    """Run a story in the working folder; what each code cell prints, its seconds and the digest of its code."""
    text, names, printed = (HERE / f"{name}.py").read_text(), {"__name__": "story"}, []
    start = time.monotonic()
    for kind, body in cells(text):
        if kind == "code":
            stream = io.StringIO()
            with contextlib.redirect_stdout(_Both(stream)):
                exec(compile(body, f"{name}.py", "exec"), names)
            printed.append(stream.getvalue().rstrip())
    return {"code": digest(text), "seconds": round(time.monotonic() - start, 1), "printed": printed}


class _Both(io.TextIOBase):
    """Standard output, and a copy of it."""

    def __init__(self, copy: io.StringIO) -> None:
        self._copy, self._out = copy, sys.stdout

    def write(self, text: str) -> int:
        self._out.write(text)
        return self._copy.write(text)


def main() -> int:
    """Run the stories that are asked for; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(STORIES)}; default all")
    parser.add_argument("--record", action="store_true", help="keep what the cells print in examples/recorded/")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in STORIES]
    if unknown:
        parser.error(f"there is no story {unknown[0]}; choose from {', '.join(STORIES)}")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    sys.path.insert(0, str(HERE.parent))
    for name in options.names or STORIES:
        print(f"== {name}", flush=True)
        reason = missing(name)
        if reason is not None:
            print(f"skipped: {reason}")
            continue
        found = run(name)
        print(f"== {name}: {found['seconds']} s", flush=True)
        if options.record:
            (HERE / "recorded" / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
