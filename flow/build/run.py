"""A whole build: prepared, performed in its locked folder, and reported there."""

from __future__ import annotations

import time
from collections.abc import Callable

from flow.build import config_file, outcome, report_data, stages
from flow.build.options import Options
from flow.build.report import BuildReport
from flow.build.state import Build
from flow.core.errors import FlowError
from flow.files import plan
from flow.files.ownership import refuse_foreign
from flow.files.steps import build_lock
from flow.tools import process


def run(
    options: Options, observer: Callable[[str, str], None], teller: Callable[[str, str], None]
) -> tuple[Build, BuildReport]:
    """The finished build and its report, which is written in ``options.out`` with all that belongs to it.

    ``observer`` and ``teller`` hear of the steps as in `flow.build.stages.prepare`. Raises FlowError for what the user
    can mend, with a note where a report of an earlier build is left; mismatches do not raise: they are in the report.
    """
    start = time.monotonic()
    places = options.places()
    refuse_foreign(options.out, "build", *places)  # before any work, and before anything is changed
    process.start_over()
    build = stages.prepare(options, observer, teller)
    with build_lock(options.out, "build", *places):
        try:
            with outcome.recorded(options):
                plan.write_file(options.out / config_file.NAME, config_file.text(options))
                stages.perform(build)
                build.steps.seconds["total"] = round(time.monotonic() - start, 3)
                report = report_data.report(build)
                outcome.write(options.out, report.to_json())
        except (FlowError, KeyboardInterrupt) as exc:
            if outcome.earlier_report(options.out):
                exc.add_note(f"{options.out}/report.json is still that of the build before this one")
            raise
    return build, report
