"""Builds run in the test's own process, as the command line runs them."""

from flow import engines, pipeline, stages
from flow.steps import build_lock


def built(options: pipeline.Options) -> pipeline.Build:
    """The finished build that ``options`` ask for."""
    build = stages.prepare(options, lambda step, state: None, lambda step, what: None)
    with build_lock(options.out, "build", *pipeline.places(options)):
        stages.perform(build, engines.run_engines)
    return build
