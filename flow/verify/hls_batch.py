"""C simulation of many designs from one compilation: most of a small design's compile time is the headers'."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from flow.core.design import Design
from flow.core.fixed import Ints
from flow.core.passes.names import hls_top
from flow.emit.hls.project import emit_hls
from flow.emit.hls.schedule import DEFAULT, HlsChoices
from flow.files.plan import Plan, folder, write
from flow.tools import process
from flow.tools.hls_compile import COMPILE_TIMEOUT_S, FLAGS, simulate

_SHARED = ("firmware/nnet_utils/", "firmware/ap_types/")
_GUARD = re.compile(rb"^#ifndef (\w+_H_)$", re.MULTILINE)
_HEAD = """\
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <tuple>
#include <vector>
#include "ap_fixed.h"
#include "ap_int.h"
#include "nnet_utils/nnet_code_gen.h"
#include "nnet_utils/nnet_helpers.h"
#include "nnet_utils/nnet_batchnorm.h"
#include "nnet_utils/nnet_batchnorm_stream.h"
#include "nnet_utils/nnet_dense.h"
#include "nnet_utils/nnet_dense_compressed.h"
#include "nnet_utils/nnet_dense_stream.h"
#include "nnet_utils/nnet_merge.h"
#include "nnet_utils/nnet_merge_stream.h"
#include "nnet_utils/nnet_types.h"
#if __has_include("nnet_utils/nmp_grouped_dense.h")
#include "nnet_utils/nmp_grouped_dense.h"
#endif
#define NMP_BATCH
"""


def run_hls_batch(
    batch: Sequence[tuple[Design, Ints]],
    work: Path,
    part: str = "xc7z020clg400-1",
    backend: str = "Vitis",
    chosen: Sequence[HlsChoices] = (),
) -> list[Ints]:
    """Output mantissas of every (design, vectors) pair; ``work`` is a folder of its own, ``chosen`` one per design.

    Raises ToolFailed when the compiler or a simulation fails.
    """
    designs = [design for design, _ in batch]
    plans = [
        emit_hls(d, part, backend, chosen=c) for d, c in zip(designs, chosen or [DEFAULT] * len(batch), strict=True)
    ]
    binary = compile_batch([(hls_top(d), plan) for d, plan in zip(designs, plans, strict=True)], work)
    found = []
    for index, (design, vectors) in enumerate(batch):
        outputs = 1 if design.head == "argmax" else len(design.layers[-1].neurons)
        found.append(simulate(binary, vectors, outputs, select=index))
    return found


def compile_batch(projects: Sequence[tuple[str, Plan]], work: Path) -> Path:
    """Compile (top function, project) pairs into one bench; its first argument selects the project by number.

    Project number i lies in ``work/i``; there the bench finds its vectors when it judges itself.
    """
    plan: dict[str, str | bytes] = {"driver.cpp": _driver(projects)}
    for index, (_, project) in enumerate(projects):
        plan |= _files(project, str(index))
    write(plan, folder(work))
    compiler = process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")
    flags = [f for f in FLAGS if not f.startswith("-I")] + ["-Ishared/firmware/ap_types", "-Ishared/firmware"]
    arguments = [compiler, *flags, "driver.cpp", "-o", "bench"]
    process.run(arguments, work, work / "compile.log", COMPILE_TIMEOUT_S)
    return work / "bench"


def _files(project: Plan, name: str) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for path, content in project.items():
        if path.startswith(_SHARED):
            files[f"shared/{path}"] = content
        elif path.endswith((".h", ".cpp", ".dat")) and "bridge" not in path:
            files[f"{name}/{path}"] = content
    return files


def _driver(projects: Sequence[tuple[str, Plan]]) -> str:
    lines = [_HEAD]
    for index, (top, project) in enumerate(projects):
        lines += [f"#undef {guard}" for guard in _guards(project)]
        includes = [f'#include "{index}/{path}"' for path in (f"firmware/{top}.cpp", f"{top}_test.cpp")]
        lines += [f"namespace d{index} {{", *includes, "}"]
    lines += ["int main(int argc, char **argv) {", "    switch (argc > 1 ? atoi(argv[1]) : -1) {"]
    lines += [f"    case {i}: return d{i}::main(argc - 1, argv + 1);" for i in range(len(projects))]
    return "\n".join([*lines, "    }", "    return 1;", "}", ""])


def _guards(project: Plan) -> list[str]:
    """Include guards of a project's own headers, which all projects have in common."""
    own = (c for name, c in project.items() if name.endswith(".h") and not name.startswith(_SHARED))
    texts = (c.encode() if isinstance(c, str) else c for c in own)
    return sorted({guard.decode() for text in texts for guard in _GUARD.findall(text)})
