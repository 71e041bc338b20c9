"""Hardware text in lines that a reader sees whole: nothing is cut off, statements go on in the next line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 120  # characters of a line of any emitted source


def statement(text: str, indent: int = 4) -> list[str]:
    """A statement, to stand ``indent`` columns in, as lines; where it goes on it stands further in."""
    return _broken(text, WIDTH - indent, "    ")


def comment(text: str, indent: int = 4) -> list[str]:
    """A comment as lines, without the ``//`` that each begins with."""
    return _broken(text, WIDTH - indent - len("// "), "    ")


def instance(module: str, name: str, parameters: Sequence[str], ports: Sequence[str], indent: int = 4) -> list[str]:
    """An instance, its connections written as ``.port(value)``: in one line, or each list in lines of its own."""
    head = f"{module} #({', '.join(parameters)}) {name} (" if parameters else f"{module} {name} ("
    whole = f"{head}{', '.join(ports)});"
    if len(whole) <= WIDTH - indent:
        return [whole]
    inner = _listed(ports, indent + 4)
    if len(head) <= WIDTH - indent:
        return [head, *inner, ");"]
    return [f"{module} #(", *_listed(parameters, indent + 4), f") {name} (", *inner, ");"]


def wrapped(text: str) -> str:
    """Verilog with every line that is too long broken at spaces, a comment behind it put before it.

    A line with a string in it stays as it is, and so does a name that is longer than a line.
    """
    lines = []
    for line in text.split("\n"):
        lines += [line] if len(line) <= WIDTH else _wrapped_line(line)
    return "\n".join(lines)


def _listed(items: Sequence[str], indent: int) -> list[str]:
    """Items of a list, as many in a line as it holds; one that fills more than a line goes on further in."""
    lines: list[str] = []
    for item in [f"{item}," for item in items[:-1]] + [items[-1]]:
        if lines and len(lines[-1]) + 1 + len(item) <= WIDTH - indent:
            lines[-1] += f" {item}"
        else:
            lines += statement(item, indent)
    return [f"    {line}" for line in lines]


def _wrapped_line(line: str) -> list[str]:
    indent = len(line) - len(line.lstrip())
    code, mark, note = line.strip().partition("//")
    if '"' in code:
        return [line]
    found = [f"// {part}" for part in comment(note.strip(), indent)] if mark else []
    return [" " * indent + part for part in [*found, *statement(code.strip(), indent)]]


def _broken(text: str, width: int, further: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)
