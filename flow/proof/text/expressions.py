"""Reads expressions: a token stream and Verilog's precedence."""

from __future__ import annotations

from flow.proof.text.findings import Unread
from flow.proof.text.lexer import Token, tokens
from flow.proof.text.syntax import (
    Binary,
    Cast,
    Choice,
    Concat,
    Expr,
    Indexed,
    Name,
    Number,
    Range,
    Repeat,
    Select,
    Unary,
)

KEYWORDS = frozenset(
    "module endmodule input output inout wire reg signed parameter localparam assign always posedge negedge begin end"
    " if else for generate endgenerate genvar initial integer function endfunction case casez casex endcase"
    " default".split()
)
_LEVELS = ("||", "&&", "|", "^ ~^ ^~", "&", "== !=", "< <= > >=", "<< >> <<< >>>", "+ -", "* / %")
_PRECEDENCE = {operator: level for level, row in enumerate(_LEVELS, start=1) for operator in row.split()}
_UNARY = frozenset("~ ! - + & | ^ ~& ~| ~^ ^~".split())
_RADIX = {"b": 2, "o": 8, "d": 10, "h": 16}


class Stream:
    """Tokens with a place in them, and the expressions they form."""

    def __init__(self, text: str) -> None:
        self.tokens: list[Token] = tokens(text)
        self.at = 0

    @property
    def text(self) -> str:
        """The next token."""
        return self.tokens[self.at].text

    @property
    def line(self) -> int:
        """Its line."""
        return self.tokens[self.at].line

    def accept(self, text: str) -> bool:
        """Whether the next token is ``text``, which is then taken."""
        if self.tokens[self.at].text != text:
            return False
        self.at += 1
        return True

    def expect(self, text: str) -> None:
        """Take ``text``; raises Unread where something else comes."""
        if not self.accept(text):
            raise Unread(f"line {self.line}: {text} was expected, not {self.text}")

    def word(self) -> str:
        """Take an identifier."""
        token = self.tokens[self.at]
        if token.kind != "word" or token.text in KEYWORDS or token.text[0] == "$":
            raise Unread(f"line {token.line}: a name was expected, not {token.text}")
        self.at += 1
        return token.text

    def range(self) -> Range | None:
        """Take ``[high:low]`` if it comes next."""
        if not self.accept("["):
            return None
        high = self.expression()
        self.expect(":")
        low = self.expression()
        self.expect("]")
        return high, low

    def expression(self) -> Expr:
        """Take an expression."""
        condition = self._binary(1)
        if not self.accept("?"):
            return condition
        yes = self.expression()
        self.expect(":")
        return Choice(condition, yes, self.expression())

    def _binary(self, least: int) -> Expr:
        left = self._unary()
        while (level := _PRECEDENCE.get(self.text, 0)) >= least:
            operator = self.text
            self.at += 1
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Expr:
        if self.text in _UNARY:
            operator = self.text
            self.at += 1
            return Unary(operator, self._unary())
        return self._primary()

    def _primary(self) -> Expr:
        token = self.tokens[self.at]
        if token.kind == "number":
            self.at += 1
            return _number(token)
        if self.accept("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if self.accept("{"):
            return self._braces()
        if token.text in ("$signed", "$unsigned"):
            self.at += 1
            self.expect("(")
            operand = self.expression()
            self.expect(")")
            return Cast(token.text == "$signed", operand)
        return self.select()

    def select(self) -> Name | Select | Indexed:
        """Take a name with or without a selection."""
        name = self.word()
        if not self.accept("["):
            return Name(name)
        first = self.expression()
        found: Select | Indexed = Select(name, None, first)
        if self.accept(":"):
            found = Select(name, first, self.expression())
        elif self.accept("+:"):
            found = Indexed(name, first, self.expression())
        self.expect("]")
        return found

    def _braces(self) -> Expr:
        first = self.expression()
        if self.accept("{"):
            body = self._parts(self.expression())
            self.expect("}")
            return Repeat(first, body)
        return self._parts(first)

    def _parts(self, first: Expr) -> Concat:
        parts = [first]
        while self.accept(","):
            parts.append(self.expression())
        self.expect("}")
        return Concat(tuple(parts))


def _number(token: Token) -> Number:
    size, quote, rest = token.text.replace("_", "").partition("'")
    if not quote:
        return Number(int(size), None, True)
    signed = rest[0] in "sS"
    radix = _RADIX[rest[signed].lower()]
    try:
        value = int(rest[signed + 1 :], radix)
    except ValueError:
        raise Unread(f"line {token.line}: {token.text} is not a number") from None
    if value >> int(size) or not int(size):
        raise Unread(f"line {token.line}: {token.text} does not fit its width")
    return Number(value, int(size), signed)
