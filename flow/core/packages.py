"""A package that is not installed, told as every other thing that a user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flow.core.errors import ToolNotFound
from keras_models.optional import remedy


@contextmanager
def missing_packages_told() -> Iterator[None]:
    """Raise ToolNotFound with the pip command where a package is missing that not every installation has."""
    try:
        yield
    except ImportError as exc:
        told = remedy(exc)
        if told is None:
            raise
        raise ToolNotFound(told) from None
