"""Builds run in the test's own process, as the command line runs them."""

from flow.build import stages, state
from flow.files.steps import build_lock


def built(options: state.Options) -> state.Build:
    """The finished build that ``options`` ask for."""
    build = stages.prepare(options, lambda step, state: None, lambda step, what: None)
    with build_lock(options.out, "build", *state.places(options)):
        stages.perform(build)
    return build
