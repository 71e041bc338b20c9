"""Verilog text as tokens, each with its line."""

from __future__ import annotations

import re
from typing import NamedTuple

from flow.textproof.findings import Unread

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<number>\d[\d_]*(?:\s*'[sS]?[bodhBODH]\s*[0-9a-fA-F_]+)?)"
    r"|(?P<word>\$?[A-Za-z_][A-Za-z0-9_$]*)"
    r"|(?P<sign><<<|>>>|<<|>>|<=|>=|==|!=|&&|\|\||~&|~\||~\^|\^~|\+:|[-+*/%&|^~!<>?:=()\[\]{},;.#@])"
    r"|(?P<other>.)",
    re.DOTALL,
)


class Token(NamedTuple):
    """``kind`` is number, word or sign; the last token of a text has kind end."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text. Raises Unread for a character that begins none."""
    found, line = [], 1
    for match in _TOKEN.finditer(text):
        kind, piece = str(match.lastgroup), match.group()
        if kind == "space":
            line += piece.count("\n")
            continue
        if kind == "other":
            raise Unread(f"line {line}: the character {piece!r} is not known")
        found.append(Token(kind, piece, line))
    return [*found, Token("end", "the end of the file", line)]
