"""Shared set-up: hypothesis without deadlines (machines differ), reproducible unless asked to explore."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("NMP_HYPOTHESIS", "reproducible"))

SHARED_DATA = Path(os.environ.get("NMP_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture
def shared_data() -> Path:
    """Folder of the real data sets; skips where they are not at hand."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data sets are not at {SHARED_DATA}; set NMP_DATA to their folder")
    return SHARED_DATA
