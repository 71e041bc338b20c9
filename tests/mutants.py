"""Mutants: one small change of a text each, made by operators from a seed, so that a campaign can be run again."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_AROUND = 60  # characters of a line shown before and after a change


@dataclass(frozen=True)
class Edit:
    """Characters ``start`` to ``end`` of a text are replaced by ``text``."""

    start: int
    end: int
    text: str


Site = tuple[Edit, ...]  # the edits of one mutant
# (text, the same text with blanks for what is not to be changed, randomness) -> every place an operator can change
Operator = Callable[[str, str, random.Random], list[Site]]


@dataclass(frozen=True)
class Mutant:
    """One changed file of a design."""

    file: str
    operator: str
    site: Site

    def apply(self, files: Mapping[str, str]) -> dict[str, str]:
        """All files, this one changed."""
        return {**files, self.file: edited(files[self.file], self.site)}

    def difference(self, files: Mapping[str, str]) -> str:
        """The first change, before and after, with what stands around it in its line."""
        text = files[self.file]
        first = min(self.site, key=lambda e: (e.end == e.start, e.start))  # a replacement says more than an insertion
        start = max(text.rfind("\n", 0, first.start) + 1, first.start - _AROUND)
        ends = [place for place in (text.find("\n", first.end), first.end + _AROUND) if place >= 0]
        inside = [e for e in self.site if start <= e.start and e.end <= min(ends)]
        shifted = tuple(Edit(e.start - start, e.end - start, e.text) for e in inside)
        before = text[start : min(ends)]
        line = text.count("\n", 0, first.start) + 1
        return f"{self.file}:{line}: `{squeezed(before)}` -> `{squeezed(edited(before, shifted))}`"


def edited(text: str, site: Site) -> str:
    """``text`` with the edits made, none of which overlap."""
    for edit in sorted(site, key=lambda e: e.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def squeezed(text: str, most: int = 200) -> str:
    """White space made single, the rest of a long text left out."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]} ..."


def blanked(text: str, *patterns: str) -> str:
    """``text`` with blanks in place of whatever a pattern matches; lengths and line ends stay."""
    for pattern in patterns:
        text = re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S | re.M)
    return text


def generate(
    files: Mapping[str, str], masks: Mapping[str, str], operators: Mapping[str, Operator], count: int, seed: int
) -> list[Mutant]:
    """``count`` different mutants: every operator equally often where it finds enough places, drawn from a seed."""
    rng = random.Random(seed)
    places = {}
    for name, operator in operators.items():
        found = [Mutant(f, name, site) for f in files for site in operator(files[f], masks[f], rng)]
        found = list(dict.fromkeys(m for m in found if m.apply(files)[m.file] != files[m.file]))
        rng.shuffle(found)
        places[name] = found
    chosen: list[Mutant] = []
    while len(chosen) < count and any(places.values()):
        for found in places.values():
            if found and len(chosen) < count:
                chosen.append(found.pop())
    return chosen


def spans(pattern: str, mask: str) -> list[re.Match[str]]:
    """Every match, line anchors meaning lines."""
    return list(re.finditer(pattern, mask, flags=re.M))


def swapped(table: Mapping[str, tuple[str, ...]]) -> Operator:
    """The operator that puts another token in a token's place; tokens are written as they stand, blanks included."""

    def operator(text: str, mask: str, rng: random.Random) -> list[Site]:
        return [
            (Edit(m.start(), m.end(), rng.choice(others)),)
            for token, others in table.items()
            for m in re.finditer(re.escape(token), mask)
        ]

    return operator


def replaced(pattern: str, new: Callable[[re.Match[str], random.Random], str]) -> Operator:
    """The operator that puts ``new`` in the place of whatever ``pattern`` matches."""

    def operator(text: str, mask: str, rng: random.Random) -> list[Site]:
        return [(Edit(m.start(), m.end(), new(m, rng)),) for m in spans(pattern, mask)]

    return operator


def nudged(match: re.Match[str], rng: random.Random) -> str:
    """The number that a pattern matched, one more or one less, never negative."""
    value = int(match[0])
    return str(value + 1 if value == 0 or rng.random() < 0.5 else value - 1)


def negated(text: str, mask: str, rng: random.Random) -> list[Site]:
    """The condition of an ``if`` or of a choice, negated."""
    found: list[Site] = []
    for m in spans(r"\bif \(", mask):
        found.append((Edit(m.end(), m.end(), "!("), Edit(closing(mask, m.end()), closing(mask, m.end()), ")")))
    for m in spans(r"(?:= |\()([^;?:{}()]+?) \? ", mask):
        found.append((Edit(m.start(1), m.start(1), "!("), Edit(m.end(1), m.end(1), ")")))
    return found


def closing(mask: str, start: int) -> int:
    """Where the parenthesis that was opened just before ``start`` is closed."""
    depth = 1
    for place in range(start, len(mask)):
        depth += {"(": 1, ")": -1}.get(mask[place], 0)
        if not depth:
            return place
    raise AssertionError("a parenthesis is never closed")
