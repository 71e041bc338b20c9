"""Mutation operators for the board's driver: they read its syntax tree."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable

from mutants import Edit, Operator, Site

_BINARY = {
    ast.Add: " - ", ast.Sub: " + ", ast.Mult: " + ", ast.FloorDiv: " * ", ast.LShift: " >> ", ast.RShift: " << ",
    ast.BitAnd: " | ", ast.BitOr: " & ", ast.Mod: " // ", ast.Div: " * ", ast.MatMult: " * ",
}  # fmt: skip
_COMPARED = {
    ast.Eq: " != ", ast.NotEq: " == ", ast.Lt: " <= ", ast.LtE: " < ", ast.Gt: " >= ", ast.GtE: " > ",
    ast.In: " not in ", ast.NotIn: " in ", ast.Is: " is not ", ast.IsNot: " is ",
}  # fmt: skip


class _Source:
    """A module's syntax tree, and where its nodes stand in the text (which is ASCII, so columns are characters)."""

    def __init__(self, text: str) -> None:
        self.text, self.tree = text, ast.parse(text)
        assert text.isascii()
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts
        annotations = [getattr(n, "annotation", None) or getattr(n, "returns", None) for n in ast.walk(self.tree)]
        self.aside = {id(n) for a in annotations if a for n in ast.walk(a)}

    def span(self, node: ast.AST) -> tuple[int, int]:
        return self.place(node.lineno, node.col_offset), self.place(node.end_lineno, node.end_col_offset)

    def place(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def nodes(self, *kinds: type) -> list:
        return [n for n in ast.walk(self.tree) if isinstance(n, kinds) and id(n) not in self.aside]


def _tree(kinds: tuple[type, ...], work: Callable) -> Operator:
    """The operator that asks ``work(source, node, rng)`` for the (start, end, text) that changes a node, if any."""

    def operator(text: str, mask: str, rng: random.Random) -> list[Site]:
        source = _Source(text)
        found = (work(source, node, rng) for node in source.nodes(*kinds))
        return [(Edit(*edit),) for edit in found if edit]

    return operator


def _arithmetic(source, node, rng):
    token = _BINARY.get(type(node.op))
    return token and (*_gap(source, node.left, node.right), token)


def _gap(source, left, right):
    """From the end of an operand to the start of the next one, parentheses around them left alone."""
    start, end = source.span(left)[1], source.span(right)[0]
    middle = source.text[start:end]
    first, last = re.match(r"[)\s]*", middle).end(), re.search(r"[(\s]*$", middle).start()
    return start + len(middle[:first].rstrip()), start + last + len(middle[last:]) - len(middle[last:].lstrip())


def _compared(source, node, rng):
    token = _COMPARED.get(type(node.ops[0]))
    return token and len(node.ops) == 1 and (*_gap(source, node.left, node.comparators[0]), token)


def _numbers(source, node, rng):
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return None
    return (*source.span(node), repr(node.value + rng.choice([1, -1]) if node.value else node.value + 1))


def _flags(source, node, rng):
    return (*source.span(node), str(not node.value)) if isinstance(node.value, bool) else None


def _keys(source, node, rng):
    texts = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    return texts and (*source.span(node.slice), '"other"')


def _removed_check(source, node, rng):
    if not isinstance(node.body[0], ast.Raise):
        return None
    return (*source.span(node.test), "False")


def _negated_test(source, node, rng):
    return (*source.span(node.test), f"not ({source.of(node.test)})")


def _removed_call(source, node, rng):
    return (*source.span(node), "pass") if isinstance(node.value, ast.Call) else None


def _removed_assignment(source, node, rng):
    return (*source.span(node), "pass")


def _joined(source, node, rng):
    start, end = _gap(source, node.values[0], node.values[1])
    return start, end, " and " if isinstance(node.op, ast.Or) else " or "


def _unary(source, node, rng):
    return (*source.span(node), source.of(node.operand))


def _arguments(source, node, rng):
    if len(node.args) < 2:
        return None
    a, b = source.span(node.args[0]), source.span(node.args[1])
    return a[0], b[1], source.text[slice(*b)] + source.text[a[1] : b[0]] + source.text[slice(*a)]


def _returned(source, node, rng):
    return node.value and (*source.span(node), "return None")


def _cast(source, node, rng):
    """``value.astype(kind)`` and the like: the method is not called."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in ("astype", "copy", "reshape", "view"):
        return None
    return (*source.span(node), source.of(node.func.value))


# What is no fault, by operator: a pattern of the change, and why.
HARMLESS = (
    ("arithmetic", r"[+|-] DMA_CONTROL\b", "adds an offset of 0"),
    ("number", r"outputs\"\]\) > 6[13]:", "integers of either kind hold the values between"),
    ("number", r"-\(2\.0\*\*6[13]\)|2\.0\*\*63\)", "beyond every range, within int64"),
    ("comparison", r"outputs\"\]\) >= 62:", "integers of either kind hold the values between"),
    ("comparison", r"time\.monotonic\(\)", "a limit of time met exactly"),
    ("arguments", r"\b(max|min)\(", "the order of arguments makes no difference"),
    ("arguments", r"np\.clip\(.*` -> `.*np\.clip\(", "the order of arguments makes no difference"),
    (
        "conversion",
        r"np\.packbits|np\.unpackbits|np\.array\(levels\)|\.view\(|\.astype\(object\)",
        "NumPy converts by itself",
    ),
    (
        "conversion",
        r"np\.float32\)\.astype\(np\.float64\)",
        "multiplied by numbers of 64 bits, NumPy converts by itself",
    ),
)


def harmless(operator: str, difference: str) -> str:
    """Why a mutant of the driver that its tests let pass is no fault; empty where it is one."""
    return next((why for name, change, why in HARMLESS if name == operator and re.search(change, difference)), "")


OPERATORS: dict[str, Operator] = {
    "arithmetic": _tree((ast.BinOp,), _arithmetic),
    "comparison": _tree((ast.Compare,), _compared),
    "number": _tree((ast.Constant,), _numbers),
    "truth": _tree((ast.Constant,), _flags),
    "key": _tree((ast.Subscript,), _keys),
    "check removed": _tree((ast.If,), _removed_check),
    "condition": _tree((ast.If, ast.IfExp, ast.While), _negated_test),
    "call removed": _tree((ast.Expr,), _removed_call),
    "assignment removed": _tree((ast.Assign, ast.AugAssign), _removed_assignment),
    "and, or": _tree((ast.BoolOp,), _joined),
    "sign, not": _tree((ast.UnaryOp,), _unary),
    "arguments": _tree((ast.Call,), _arguments),
    "result": _tree((ast.Return,), _returned),
    "conversion": _tree((ast.Call,), _cast),
}
