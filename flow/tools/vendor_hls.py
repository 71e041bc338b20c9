"""AMD's HLS tools on an emitted project: C simulation, synthesis, co-simulation, IP export, out-of-context Vivado.

Three generations are known: ``vivado_hls -f`` (to 2020.1), ``vitis_hls -f`` (2020.2 to 2024.1) and the unified ``v++``
with ``vitis-run`` (from 2023.2). Each program is found on PATH or by a variable: NMP_VIVADO_HLS, NMP_VITIS_HLS,
NMP_VPP, NMP_VITIS_RUN, NMP_VIVADO. A run starts from a clean slate, so a report that is there afterwards is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flow.errors import DesignError, ToolFailed, ToolNotFound
from flow.plan import remove, write_file
from flow.tools import process

STEPS = ("csim", "synth", "cosim", "export", "vsynth")
TIMEOUT_S = 24 * 3600.0
_REMEDY = "install AMD's tools and source their settings64.sh"
_WORK = "{top}_prj"
# What each step leaves behind; without one of these files it did not happen, whatever the exit status says.
_EVIDENCE = {
    "csim": ("tb_data/csim_results.log", "{top}_prj/**/csim/report/*_csim.log", "{top}_prj/**/csim_results.log"),
    "synth": ("{top}_prj/**/*csynth.rpt", "{top}_prj/**/*csynth.xml"),
    "cosim": ("{top}_prj/**/*cosim.rpt",),
    "export": ("{top}_prj/**/impl/ip/*.zip", "{top}_prj/**/export.zip", "{top}_prj/**/*.zip"),
    "vsynth": ("vivado_synth.rpt",),
}


@dataclass(frozen=True)
class Toolset:
    """The HLS programs to use: ``kind`` is vivado_hls, vitis_hls or unified; ``programs`` their paths."""

    kind: str
    programs: tuple[str, ...]


@dataclass(frozen=True)
class VendorRun:
    """A finished vendor run: tool, steps done, report files below the project, seconds, and what was skipped why."""

    tool: str
    steps: tuple[str, ...]
    reports: tuple[Path, ...]
    seconds: float
    skipped: dict[str, str]


def find_toolset(backend: str) -> Toolset:
    """The newest usable tools for an hls4ml backend; raises ToolNotFound naming all that were looked for."""
    if backend == "Vivado":
        return Toolset("vivado_hls", (process.find("vivado_hls", "NMP_VIVADO_HLS", _REMEDY),))
    try:
        return Toolset("vitis_hls", (process.find("vitis_hls", "NMP_VITIS_HLS", _REMEDY),))
    except ToolNotFound as missing:
        try:
            programs = (
                process.find("v++", "NMP_VPP", _REMEDY),
                process.find("vitis-run", "NMP_VITIS_RUN", _REMEDY),
            )
        except ToolNotFound as other:
            raise ToolNotFound(f"{missing}; {other}") from None
        return Toolset("unified", programs)


def run_vendor(
    project_dir: Path,
    top: str,
    backend: str = "Vitis",
    steps: Sequence[str] = ("csim", "synth"),
    timeout_s: float = TIMEOUT_S,
) -> VendorRun:
    """Run the steps in order on the project in ``project_dir``; logs go to ``vendor_<step>.log`` there.

    Raises ToolNotFound without HLS tools, ToolFailed when a step fails or leaves no report. Without Vivado the step
    ``vsynth`` is skipped with its reason.
    """
    unknown = [s for s in steps if s not in STEPS]
    if unknown:
        raise DesignError(f"unknown vendor step {unknown[0]!r}; known: {', '.join(STEPS)}")
    tools = find_toolset(backend)
    _clean(project_dir, top)
    seconds, done, skipped = 0.0, [], {}
    for step in (s for s in STEPS if s in steps):
        try:
            arguments = _vsynth() if step == "vsynth" else _arguments(tools, project_dir, top, step)
        except ToolNotFound as exc:
            skipped[step] = str(exc)
            continue
        seconds += process.run(arguments, project_dir, project_dir / f"vendor_{step}.log", timeout_s).seconds
        if not _evidence(project_dir, top, step):
            raise ToolFailed(f"{Path(arguments[0]).name} ended step {step} without a report; see vendor_{step}.log")
        done.append(step)
    return VendorRun(tools.kind, tuple(done), reports(project_dir, top), seconds, skipped)


def try_vendor(
    project_dir: Path, top: str, backend: str = "Vitis", steps: Sequence[str] = ("csim", "synth")
) -> VendorRun | str:
    """``run_vendor``, or the reason why there is nothing to run; failures of tools that are there still raise."""
    try:
        find_toolset(backend)
    except ToolNotFound as exc:
        return str(exc)
    return run_vendor(project_dir, top, backend, steps)


def reports(project_dir: Path, top: str) -> tuple[Path, ...]:
    """Report files of the last run, sorted."""
    patterns = ("{top}_prj/**/*.rpt", "{top}_prj/**/*csynth.xml", "vivado_synth.rpt")
    return tuple(sorted({p for pattern in patterns for p in project_dir.glob(pattern.format(top=top))}))


def _clean(project_dir: Path, top: str) -> None:
    for name in (
        _WORK.format(top=top),
        "vivado_synth.rpt",
        "tb_data/csim_results.log",
        "tb_data/rtl_cosim_results.log",
    ):
        remove(project_dir / name)
    for log in project_dir.glob("vendor_*.log"):
        remove(log)


def _evidence(project_dir: Path, top: str, step: str) -> bool:
    return any(True for pattern in _EVIDENCE[step] for _ in project_dir.glob(pattern.format(top=top)))


def _arguments(tools: Toolset, project_dir: Path, top: str, step: str) -> list[str]:
    if tools.kind == "unified":
        write_file(project_dir / "hls_config.cfg", _unified_config(project_dir, top))
        place = ["--mode", "hls", "--config", "hls_config.cfg", "--work_dir", _WORK.format(top=top)]
        if step == "synth":
            return [tools.programs[0], "-c", *place]
        return [tools.programs[1], *place, {"csim": "--csim", "cosim": "--cosim", "export": "--package"}[step]]
    flags = {name: int(name == step) for name in STEPS} | {"reset": 0, "validation": 0, "fifo_opt": 0}
    if tools.kind == "vivado_hls":
        return [tools.programs[0], "-f", "build_prj.tcl", " ".join(f"{k}={v}" for k, v in flags.items())]
    options = "".join(f"    {name} {value}\n" for name, value in flags.items())
    write_file(project_dir / "build_opt.tcl", f"array set opt {{\n{options}}}\n")
    return [tools.programs[0], "-f", "build_prj.tcl"]


def _vsynth() -> list[str]:
    return [process.find("vivado", "NMP_VIVADO", _REMEDY), "-mode", "batch", "-source", "vivado_synth.tcl"]


def _unified_config(project_dir: Path, top: str) -> str:
    settings = {}
    for line in (project_dir / "project.tcl").read_text().splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0] == "set":
            settings[words[1]] = words[2].strip('"')
    lines = [
        f"part={settings['part']}",
        "[hls]",
        "flow_target=vivado",
        "package.output.format=ip_catalog",
        f"clock={settings['clock_period']}ns",
        f"clock_uncertainty={settings['clock_uncertainty']}",
        f"syn.top={top}",
        f"syn.file=firmware/{top}.cpp",
        "syn.cflags=-std=c++14",
        f"tb.file={top}_test.cpp",
        "tb.file=tb_data",
        "tb.cflags=-std=c++14",
    ]
    return "\n".join(lines) + "\n"
