"""Reads modules. Every construct is known or refused: no statement is passed over."""

from __future__ import annotations

from flow.proof.text.expressions import Stream
from flow.proof.text.findings import Unread
from flow.proof.text.syntax import (
    Assign,
    Binary,
    Branch,
    Clocked,
    Conditional,
    Declaration,
    Expr,
    Genvar,
    Instance,
    Item,
    Loop,
    Module,
    Name,
    Parameter,
    Port,
    Statement,
    Update,
)


def parse(text: str) -> list[Module]:
    """The modules of a preprocessed text. Raises Unread naming the line of what is not known."""
    reader = _Reader(text)
    found = []
    while reader.tokens[reader.at].kind != "end":
        found.append(reader.module())
    return found


class _Reader(Stream):
    def module(self) -> Module:
        line = self.line
        self.expect("module")
        name, parameters, ports = self.word(), [], []
        if self.accept("#"):
            self.expect("(")
            while True:
                parameters.append(self._parameter("parameter"))
                if not self.accept(","):
                    break
            self.expect(")")
        self.expect("(")
        while True:
            ports.append(self._port())
            if not self.accept(","):
                break
        self.expect(")")
        self.expect(";")
        return Module(name, tuple(parameters), tuple(ports), self._items("endmodule"), line)

    def _items(self, end: str) -> tuple[Item, ...]:
        found: list[Item] = []
        while not self.accept(end):
            found.extend(self._item())
        return tuple(found)

    def _item(self) -> list[Item]:
        line, text = self.line, self.text
        if text in ("wire", "reg"):
            return list(self._declarations())
        if text == "localparam":
            found = self._parameter("localparam")
            self.expect(";")
            return [found]
        if self.accept("assign"):
            target = self.select()
            self.expect("=")
            value = self.expression()
            self.expect(";")
            return [Assign(target, value, line)]
        if text == "always":
            return [self._always()]
        if self.accept("genvar"):
            variable = Genvar(self.word())
            self.expect(";")
            return [variable]
        if self.accept("generate"):
            return list(self._items("endgenerate"))
        if text == "for":
            return [self._loop()]
        if text == "if":
            return [self._branch()]
        return [self._instance()]

    def _parameter(self, keyword: str) -> Parameter:
        line = self.line
        self.expect(keyword)
        limits, name = self.range(), self.word()
        self.expect("=")
        return Parameter(name, limits, self.expression(), keyword == "localparam", line)

    def _port(self) -> Port:
        line, direction = self.line, self.text
        if direction not in ("input", "output"):
            raise Unread(f"line {line}: a port was expected, not {direction}")
        self.at += 1
        kind = "reg" if direction == "output" and self.accept("reg") else "wire"
        if kind == "wire":
            self.expect("wire")
        signed, limits = self.accept("signed"), self.range()
        return Port(direction, Declaration(kind, self.word(), limits, signed, None, line))

    def _declarations(self) -> list[Declaration]:
        line, kind = self.line, self.text
        self.at += 1
        signed, limits, found = self.accept("signed"), self.range(), []
        while True:
            name = self.word()
            value = self.expression() if kind == "wire" and self.accept("=") else None
            found.append(Declaration(kind, name, limits, signed, value, line))
            if not self.accept(","):
                break
        self.expect(";")
        return found

    def _always(self) -> Clocked:
        line = self.line
        for text in ("always", "@", "(", "posedge"):
            self.expect(text)
        clock = self.word()
        self.expect(")")
        return Clocked(clock, self._statement(), line)

    def _statement(self) -> tuple[Statement, ...]:
        line = self.line
        if self.accept("begin"):
            found: list[Statement] = []
            while not self.accept("end"):
                found.extend(self._statement())
            return tuple(found)
        if self.accept("if"):
            self.expect("(")
            condition = self.expression()
            self.expect(")")
            yes = self._statement()
            return (Conditional(condition, yes, self._statement() if self.accept("else") else ()),)
        target = self.select()
        self.expect("<=")
        value = self.expression()
        self.expect(";")
        return (Update(target, value, line),)

    def _instance(self) -> Instance:
        line, module = self.line, self.word()
        parameters = self._connections() if self.accept("#") else {}
        name = self.word()
        ports = self._connections()
        self.expect(";")
        return Instance(module, name, parameters, ports, line)

    def _connections(self) -> dict[str, Expr]:
        found: dict[str, Expr] = {}
        self.expect("(")
        while True:
            self.expect(".")
            name = self.word()
            self.expect("(")
            if name in found:
                raise Unread(f"line {self.line}: {name} is connected twice")
            found[name] = self.expression()
            self.expect(")")
            if not self.accept(","):
                break
        self.expect(")")
        return found

    def _loop(self) -> Loop:
        self.expect("for")
        self.expect("(")
        variable = self.word()
        self.expect("=")
        first = self.expression()
        self.expect(";")
        condition = self.expression()
        self.expect(";")
        if self.word() != variable:
            raise Unread(f"line {self.line}: a loop steps another variable")
        self.expect("=")
        step = self.expression()
        if not (isinstance(step, Binary) and step.operator == "+" and step.left == Name(variable)):
            raise Unread(f"line {self.line}: a loop that does not count up")
        self.expect(")")
        self.expect("begin")
        self.expect(":")
        return Loop(variable, first, condition, step.right, self.word(), self._items("end"))

    def _branch(self) -> Branch:
        self.expect("if")
        self.expect("(")
        condition = self.expression()
        self.expect(")")
        yes = self._block()
        return Branch(condition, yes, self._block() if self.accept("else") else ())

    def _block(self) -> tuple[Item, ...]:
        if not self.accept("begin"):
            return tuple(self._item())
        self.expect(":")
        self.word()
        return self._items("end")
