"""Compiler directives: which lines of a file a tool with given macros sees."""

from __future__ import annotations

from collections.abc import Iterable

from flow.proof.text.findings import Unread


def preprocess(text: str, macros: Iterable[str] = ()) -> str:
    """The text that a tool sees which has ``macros`` defined, line for line; what it leaves out becomes empty lines.

    Raises Unread for a directive that is not known.
    """
    defined, lines = set(macros), []
    taken: list[bool] = []  # by open `ifdef: whether its present branch is read
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split("//")[0].split()
        if not words or not words[0].startswith("`"):
            lines.append(line if all(taken) else "")
            continue
        lines.append("")
        _directive(words, defined, taken, number)
    if taken:
        raise Unread("a conditional directive is not closed")
    return "\n".join(lines)


def _directive(words: list[str], defined: set[str], taken: list[bool], number: int) -> None:
    match words:
        case ["`ifdef", name]:
            taken.append(name in defined)
        case ["`ifndef", name]:
            taken.append(name not in defined)
        case ["`else"] if taken:
            taken[-1] = not taken[-1]
        case ["`endif"] if taken:
            taken.pop()
        case ["`define", name]:
            if all(taken):
                defined.add(name)
        case ["`undef", name]:
            if all(taken):
                defined.discard(name)
        case ["`default_nettype", "none" | "wire"]:
            pass  # undeclared names are refused in any case
        case _:
            raise Unread(f"line {number}: directive {' '.join(words)} is not known")
