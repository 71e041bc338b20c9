"""A module's text in sections under headings, each stage by stage: registers first, then the logic behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

RULE = "-" * 8  # before and behind a heading


@dataclass
class StageText:
    """A stage within a section: registers with what they take, then logic; ``title`` is a comment above, if any."""

    title: str
    registers: list[str] = field(default_factory=list)
    updates: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A part of a module under a heading, its stages by number."""

    heading: list[str]
    stages: dict[int, StageText] = field(default_factory=dict)

    def stage(self, number: int, title: str = "") -> StageText:
        """The stage of a number, begun under ``title`` where it is new."""
        return self.stages.setdefault(number, StageText(title))

    @property
    def in_order(self) -> list[StageText]:
        """The stages as they follow each other."""
        return [self.stages[number] for number in sorted(self.stages)]
