"""AMD's HLS tools on an emitted project: C simulation, synthesis, co-simulation, IP export, out-of-context Vivado.

Three generations are known: ``vivado_hls -f`` (to 2020.1), ``vitis_hls -f`` (2020.2 to 2024.1) and the unified ``v++``
with ``vitis-run`` (from 2023.2, UG1702). Each program is found on PATH or by a variable: NMP_VIVADO_HLS,
NMP_VITIS_HLS, NMP_VPP, NMP_VITIS_RUN, NMP_VIVADO. What a step leaves is removed before it starts, so a report that is
there afterwards is its own; a step that fails leaves none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flow.core.errors import DesignError, ToolFailed, ToolNotFound, UsageError
from flow.files.plan import claim_tree, remove, write_file
from flow.tools import process

STEPS = ("csim", "synth", "cosim", "export", "vsynth", "impl")
_NEEDS = {"cosim": ("synth",), "export": ("synth",), "vsynth": ("synth",), "impl": ("synth", "vsynth")}
TIMEOUT_S = 24 * 3600.0
_REMEDY = "install AMD's tools and source their settings64.sh"
_ERROR = re.compile(r"^(ERROR: |ERROR \[|@E |FATAL[ :])")  # the tools exit 0 after some of these


# What the tools are at, without their message numbers: stages of HLS and Vivado, modules, progress of a simulation.
_STAGE = re.compile(
    r"^\s*(?:INFO: \[[A-Z]+ [\d-]+\] )?(?:-+ |\*+ |// )?"
    r"((?:Start|Implement|Creat|Analyz|Compil|Perform|Generat|Validat|Running|Setting up|Using XSIM|Finish|Phase \d"
    r"|RTL Simulation|C(?:/RTL)? S|EXPORT|VIVADO)[^\n]*?)[\s*.-]*$"
)


@dataclass(frozen=True)
class Toolset:
    """The HLS programs to use: ``kind`` is vivado_hls, vitis_hls or unified; ``programs`` their paths."""

    kind: str
    programs: tuple[str, ...]

    def solution(self, top: str) -> str:
        """Folder, below the project, in which the tool keeps RTL and reports."""
        return f"{top}_prj/" + ("hls" if self.kind == "unified" else "solution1")


@dataclass(frozen=True)
class StepRun:
    """A finished step: its reports, newest knowledge first, as paths below the project, and its seconds."""

    step: str
    reports: tuple[str, ...]
    seconds: float


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


def find_vivado() -> str:
    """Vivado's path. Raises ToolNotFound."""
    return process.find("vivado", "NMP_VIVADO", _REMEDY)


def chosen(text: str) -> tuple[str, ...]:
    """The steps that a list such as ``csim,synth`` names, with those they need; raises UsageError for others."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["none"]:
        return ()
    try:
        return ordered(names)
    except DesignError as exc:
        raise UsageError(f"--vendor-steps {text}: {exc}, or none") from None


def ordered(steps: Sequence[str]) -> tuple[str, ...]:
    """The steps in the order they run, with those they need. Raises DesignError for an unknown name."""
    unknown = [s for s in steps if s not in STEPS]
    if unknown:
        raise DesignError(f"unknown vendor step {unknown[0]!r}; known: {', '.join(STEPS)}")
    wanted = {*steps, *(need for s in steps for need in _NEEDS.get(s, ()))}
    return tuple(s for s in STEPS if s in wanted)


def products(tools: Toolset, top: str, step: str) -> tuple[str, ...]:
    """What a step leaves for others: files and folders below the project, removed before it runs."""
    at = tools.solution(top)
    return {
        "csim": ("tb_data/csim_results.log", f"{at}/csim/report"),
        "synth": (f"{at}/syn",),
        "cosim": ("tb_data/rtl_cosim_results.log", f"{at}/sim/report"),
        "export": (f"{at}/impl/ip", f"{at}/impl/export.zip", f"{top}_prj/{top}.zip"),
        "vsynth": ("vivado_synth.rpt", "vivado_synth_timing.rpt", "vivado_synth.dcp"),
        "impl": ("vivado_impl.rpt", "vivado_impl_timing.rpt", "vivado_impl.dcp"),
    }[step]


def stage(line: str) -> str | None:
    """What a line of a log says the tool is doing; None for every other line."""
    found = _STAGE.match(line)
    return found[1] if found else None


def run_step(
    tools: Toolset,
    project_dir: Path,
    top: str,
    step: str,
    tell: Callable[[str], None] = lambda what: None,
    timeout_s: float = TIMEOUT_S,
) -> StepRun:
    """Run one step on the project; its log is ``vendor_<step>.log`` there, written while it runs. ``tell`` hears what
    the tool is doing.

    Raises ToolNotFound without Vivado where the step is Vivado's; ToolFailed when the tool fails, prints an error in
    spite of exit status 0, or leaves no report.
    """
    log = project_dir / f"vendor_{step}.log"
    made = products(tools, top, step)
    claim_tree(project_dir / f"{top}_prj")
    for name in (*made, log.name):
        remove(project_dir / name)
    arguments = _arguments(tools, project_dir, top, step)
    try:
        done = process.run(arguments, project_dir, log, timeout_s, tell=lambda line: _pass_on(line, tell))
        program = Path(arguments[0]).name
        errors = [line.strip() for line in done.text.splitlines() if _ERROR.match(line)]
        if errors:
            raise ToolFailed(f"{program} reports an error in step {step}: {errors[0][:300]}; see {log}")
        found = _evidence(tools, project_dir, top, step)
        if not found:
            raise ToolFailed(f"{program} ended step {step} without a report; see {log}")
    except BaseException:
        for name in made:
            remove(project_dir / name)
        raise
    return StepRun(step, tuple(p.relative_to(project_dir).as_posix() for p in found), done.seconds)


def _pass_on(line: str, tell: Callable[[str], None]) -> None:
    if (what := stage(line)) is not None:
        tell(what)


def _evidence(tools: Toolset, project_dir: Path, top: str, step: str) -> list[Path]:
    """The files without which a step did not happen, whatever the exit status says; for synthesis RTL as well."""
    at = tools.solution(top)
    report = f"{at}/syn/report"
    patterns = {
        "csim": ("tb_data/csim_results.log", f"{at}/csim/report/*_csim.log"),
        "synth": (f"{report}/{top}_csynth.xml", f"{report}/csynth.xml", f"{report}/{top}_csynth.rpt"),
        "cosim": (f"{at}/sim/report/{top}_cosim.rpt",),
        "export": (
            f"{at}/impl/ip/*.zip",
            f"{at}/impl/ip/component.xml",
            f"{at}/impl/export.zip",
            f"{top}_prj/{top}.zip",
        ),
        "vsynth": ("vivado_synth.rpt", "vivado_synth_timing.rpt"),
        "impl": ("vivado_impl.rpt", "vivado_impl_timing.rpt"),
    }[step]
    found = [sorted(project_dir.glob(pattern)) for pattern in patterns]
    if step in ("vsynth", "impl") and not all(found):
        return []
    if step == "synth" and not any((project_dir / at / "syn" / "verilog").glob("*.v")):
        return []
    return [path for paths in found for path in paths if path.stat().st_size]


def _arguments(tools: Toolset, project_dir: Path, top: str, step: str) -> list[str]:
    if step in ("vsynth", "impl"):
        vivado = find_vivado()
        write_file(project_dir / f"vivado_{step}.tcl", _vivado_script(tools, project_dir, top, step))
        return [vivado, "-mode", "batch", "-nojournal", "-notrace", "-source", f"vivado_{step}.tcl"]
    if tools.kind == "unified":
        write_file(project_dir / "hls_config.cfg", _unified_config(project_dir, top, step))
        place = ["--mode", "hls", "--config", "hls_config.cfg", "--work_dir", f"{top}_prj"]
        if step == "synth":
            return [tools.programs[0], "-c", *place]
        return [tools.programs[1], *place, {"csim": "--csim", "cosim": "--cosim", "export": "--package"}[step]]
    flags = {name: int(name == step) for name in ("csim", "synth", "cosim", "export", "vsynth")}
    flags |= {"reset": 0, "validation": 0, "fifo_opt": 0}
    if tools.kind == "vivado_hls":
        return [tools.programs[0], "-f", "build_prj.tcl", " ".join(f"{k}={v}" for k, v in flags.items())]
    options = "".join(f"    {name} {value}\n" for name, value in flags.items())
    write_file(project_dir / "build_opt.tcl", f"array set opt {{\n{options}}}\n")
    return [tools.programs[0], "-f", "build_prj.tcl"]


def _vivado_script(tools: Toolset, project_dir: Path, top: str, step: str) -> str:
    """Out of context: the core alone, without the pins its wide ports would need, against the project's clock."""
    settings, rtl = _settings(project_dir), f"{tools.solution(top)}/syn/verilog"
    if step == "vsynth":
        write_file(
            project_dir / "vivado_ooc.xdc",
            f"create_clock -name ap_clk -period {settings['clock_period']} [get_ports ap_clk]\n",
        )
        lines = [
            f"read_verilog -sv [glob {rtl}/*.v]",
            f"foreach memory [glob -nocomplain {rtl}/*.dat] {{ add_files -norecurse $memory }}",
            "read_xdc vivado_ooc.xdc",
            f"synth_design -top {top} -part {settings['part']} -mode out_of_context",
        ]
    else:
        lines = ["open_checkpoint vivado_synth.dcp", "opt_design", "place_design", "phys_opt_design", "route_design"]
    name = "vivado_synth" if step == "vsynth" else "vivado_impl"
    lines += [
        f"write_checkpoint -force {name}.dcp",
        f"report_utilization -file {name}.rpt",
        f"report_timing_summary -file {name}_timing.rpt",
    ]
    return "\n".join(lines) + "\n"


def _settings(project_dir: Path) -> dict[str, str]:
    settings = {}
    for line in (project_dir / "project.tcl").read_text().splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0] == "set":
            settings[words[1]] = words[2].strip('"')
    return settings


def _unified_config(project_dir: Path, top: str, step: str) -> str:
    """What hls4ml's script says to the older tools; the bench must know that it runs against the RTL."""
    settings, bench = _settings(project_dir), "-std=c++14" + " -DRTL_SIM" * (step == "cosim")
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
        "syn.compile.name_max_length=80",
        "syn.schedule.enable_dsp_full_reg=0",
        f"tb.file={top}_test.cpp",
        "tb.file=firmware/weights",
        "tb.file=tb_data",
        f"tb.cflags={bench}",
    ]
    return "\n".join(lines) + "\n"
