"""Verilog text as tokens, each with its line."""

from __future__ import annotations

import re
from typing import NamedTuple

from flow.proof.text.findings import Unread

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<number>\d[\d_]*(?:\s*'[sS]?[bodhBODH]\s*[0-9a-fA-F_]+)?)"
    r"|(?P<word>\$?[A-Za-z_][A-Za-z0-9_$]*)"
    r"|(?P<sign><<<|>>>|<<|>>|<=|>=|==|!=|&&|\|\||~&|~\||~\^|\^~|\+:|[-+*/%&|^~!<>?:=()\[\]{},;.#@])"
    r"|(?P<other>.)",
    re.DOTALL,
)


# comments by which tools are told to read other text than what stands there; notes for linters change nothing
_PRAGMA = re.compile(r"/[/*]\s*(?:synthesis|synopsys|pragma|xilinx|altera|verilator(?!\s+lint_o(?:n|ff)\b))\b", re.I)


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
            if _PRAGMA.match(piece):
                raise Unread(f"line {line}: the comment {piece!r} may change what tools read")
            line += piece.count("\n")
            continue
        if kind == "other":
            raise Unread(f"line {line}: the character {piece!r} is not known")
        found.append(Token(kind, piece, line))
    return [*found, Token("end", "the end of the file", line)]
