"""Builds run in the test's own process, as the command line runs them."""

from flow.build import stages
from flow.build.options import Options
from flow.build.state import Build
from flow.files.steps import build_lock


def built(options: Options) -> Build:
    """The finished build that ``options`` ask for."""
    build = stages.prepare(options, lambda step, state: None, lambda step, what: None)
    with build_lock(options.out, "build", *options.places()):
        stages.perform(build)
    return build
