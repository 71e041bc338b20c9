"""Readers of a build that have no command of their own, called as the build calls them."""

from __future__ import annotations

from pathlib import Path


def hls_config(file: str, design: str) -> None:
    from flow.emit.hls_schedule import resolved
    from flow.hls_choices import from_options
    from flow.ir import from_json
    from flow.parts import resolve
    from flow.pipeline import Options

    options = Options(Path(design), resolve("xc7z020"), Path("out"), hls_config=Path(file))
    resolved(from_json(Path(design).read_text()), from_options(options))


def netlist(file: str) -> None:
    from flow.netlist import read_netlist

    read_netlist(Path(file), "top")


def bench(file: str) -> None:
    from flow.bench import from_json
    from flow.errors import DesignError
    from flow.untrusted import read_text, refused

    with refused(DesignError, file, "build again"):
        from_json(read_text(file, 1 << 20), file)


def results(file: str) -> None:
    from flow.tools.cocotb import judge

    judge(Path(file).parent, Path(file).with_name("log"))


def nextpnr(file: str) -> None:
    from flow.route import read_report

    read_report(Path(file))


def placed(file: str) -> None:
    from flow.route import placed_sites

    placed_sites(Path(file))


def ports(file: str) -> None:
    from flow.reports.rtl_ports import rtl_ports

    rtl_ports(Path(file).read_bytes().decode(errors="replace"))


def outcome(file: str) -> None:
    from flow.simulate import outcome_json

    outcome_json(Path(file), Path(file).with_name("log"))


def design(file: str) -> None:
    from flow.errors import DesignError
    from flow.ir import from_json
    from flow.pipeline import finish
    from flow.untrusted import read_text, refused

    with refused(DesignError, file, "build again"):
        finish(from_json(read_text(file, 1 << 20), file))
