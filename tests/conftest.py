"""Shared set-up: hypothesis without deadlines (machines differ), reproducible unless asked to explore."""

import os

from hypothesis import settings

settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("NMP_HYPOTHESIS", "reproducible"))
