"""Readers of a build that have no command of their own, called as the build calls them."""

from __future__ import annotations

from pathlib import Path


def hls_config(file: str, design: str) -> None:
    from flow.build.options import Options
    from flow.core.design import from_json
    from flow.emit.hls.schedule import resolved

    options = Options.of(design, out="out", hls_config=file)
    resolved(from_json(Path(design).read_text()), options.hls_choices)


def netlist(file: str) -> None:
    from flow.netlist.read import read_netlist

    read_netlist(Path(file), "top")


def bench(file: str) -> None:
    from flow.bench.description import from_json
    from flow.core.errors import DesignError
    from flow.core.untrusted import read_text, refused

    with refused(DesignError, file, "build again"):
        from_json(read_text(file, 1 << 20), file)


def results(file: str) -> None:
    from flow.tools.cocotb import judge

    judge(Path(file).parent, Path(file).with_name("log"))


def nextpnr(file: str) -> None:
    from flow.netlist.place_and_route import read_report

    read_report(Path(file))


def placed(file: str) -> None:
    from flow.netlist.place_and_route import placed_sites

    placed_sites(Path(file))


def ports(file: str) -> None:
    from flow.tool_reports.rtl_ports import rtl_ports

    rtl_ports(Path(file).read_bytes().decode(errors="replace"))


def outcome(file: str) -> None:
    from flow.verify.simulate import outcome_json

    outcome_json(Path(file), Path(file).with_name("log"))


def design(file: str) -> None:
    from flow.build.state import finish
    from flow.core.design import from_json
    from flow.core.errors import DesignError
    from flow.core.untrusted import read_text, refused

    with refused(DesignError, file, "build again"):
        finish(from_json(read_text(file, 1 << 20), file))
