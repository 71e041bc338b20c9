"""What a build has to say beside its figures: warnings, which change what a figure means, and notes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """One line for the user; console, ``report.json`` and the page show the same ones."""

    text: str
    is_warning: bool = False


def warning(text: str) -> Remark:
    """A line that cannot be left out: without it a figure would be misread."""
    return Remark(text, is_warning=True)


def note(text: str) -> Remark:
    """A line worth knowing."""
    return Remark(text)
