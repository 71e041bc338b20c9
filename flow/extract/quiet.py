"""Keeps the chatter of TensorFlow, JAX and Keras off the user's console."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

_SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "3", "ABSL_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries print on stderr, also from C++, and their warnings; errors still propagate."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
