"""Shared set-up: hypothesis without deadlines (machines differ), reproducible unless asked to explore; markers.

Which tests are ``fast``, ``slow`` or need a ``tool`` is said here, by module, so that a choice of tests is read in one
place; a decorator may add to it.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.house import imports

settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("NMP_HYPOTHESIS", "reproducible"))

# The arithmetic, the passes, the proofs and what is emitted, without Keras and without programs: under two minutes of
# processor time in all.
FAST = frozenset(
    """
    test_door test_emitted_text test_engines test_exact_integers test_fixed test_graphs_proof
    test_graphs_tables test_layers_of_the_house test_markers test_netlist_timing test_options test_own_data
    test_parts test_passes test_reports_kinds test_shapes test_staircase test_textproof test_untrusted
    test_usage test_vectors
    """.split()
)
# Builds, sweeps and campaigns: a minute of processor time or more in a module.
SLOW = frozenset(
    """
    test_api test_boards test_build test_docs test_long_pauses test_packaging test_robustness test_route test_shell_long
    test_sweep test_sweep_clusters
    """.split()
)
_STARTERS = ("subprocess", "builds", "flow.verify", "flow.tools.yosys", "flow.tools.hls_compile", "flow.tools.nextpnr")


def starts_programs(path: Path) -> bool:
    """Whether a test module imports what runs simulators, compilers, synthesis or whole builds."""
    found = imports(path)
    return any(name == s or name.startswith(f"{s}.") for name in found for s in _STARTERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test as its module is; of a fast one a test may still say that it needs a tool."""
    tools = {path: starts_programs(path) for path in {item.path for item in items}}
    for item in items:
        if item.path.stem in FAST and not item.get_closest_marker("tool"):
            item.add_marker(pytest.mark.fast)
        elif tools[item.path]:
            item.add_marker(pytest.mark.tool)
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
