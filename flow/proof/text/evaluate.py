"""Expressions by Verilog's rules of width and sign (IEEE 1364-2005, 5.4 and 5.5), as vectors of exact functions."""

from __future__ import annotations

from flow.proof.text.findings import Fault, Unread
from flow.proof.text.nets import Net, Scope, Value
from flow.proof.text.space import Space, Vector, constant, extended
from flow.proof.text.sums import Form, Sums
from flow.proof.text.syntax import Binary, Cast, Choice, Concat, Expr, Indexed, Name, Number, Repeat, Select, Unary

_INTEGER_BITS = 32
_COMPARISONS = frozenset("< <= > >= == != && ||".split())
_SHIFTS = frozenset("<< >> <<< >>>".split())
_REDUCTIONS = frozenset("! & | ^ ~& ~| ~^ ^~".split())


class Timing:
    """How many clock cycles after the inputs what is read holds; all of it must agree.

    Constants hold at any time, after ``settle`` cycles where they come out of registers.
    """

    def __init__(self) -> None:
        self.stage: int | None = None
        self.settle = 0
        self.name = ""

    def add(self, stage: int | None, settle: int, name: str) -> None:
        """Note a value that is read; raises Fault where it belongs to another cycle."""
        self.settle = max(self.settle, settle)
        if stage is None:
            return
        if self.stage is not None and self.stage != stage:
            raise Fault(f"reads {self.name} of {_cycle(self.stage)} together with {name} of {_cycle(stage)}")
        self.stage, self.name = stage, name


def _cycle(stage: int) -> str:
    return f"cycle {stage}"


class Evaluator:
    """Evaluates expressions; what a net holds is a subclass's matter."""

    def __init__(self, space: Space) -> None:
        self.space, self.sums = space, Sums(space)

    def read(self, net: Net, low: int, width: int, timing: Timing) -> Vector:
        """Bits of a net."""
        raise Unread(f"{net.name} is no constant")

    def assigned(self, expr: Expr, width: int, scope: Scope, timing: Timing) -> Vector:
        """An expression's value as a target of ``width`` bits gets it."""
        own, signed = self.size(expr, scope)
        return self.value(expr, max(own, width), signed, scope, timing)[:width]

    def whole(self, expr: Expr, scope: Scope, timing: Timing) -> Vector:
        """An expression's value at its own width."""
        width, signed = self.size(expr, scope)
        return self.value(expr, width, signed, scope, timing)

    def integer(self, expr: Expr, scope: Scope) -> int:
        """An integer that is known; raises Unread for anything else."""
        match expr:
            case Number(value=value):
                return value
            case Name(name=name):
                found = scope.find(name)
                if isinstance(found, int):
                    return found
                if isinstance(found, Net):
                    raise Unread(f"{name} is no constant")
                return _number(found)
            case Indexed():
                return _number(self.whole(expr, scope, Timing()))
            case Choice(condition=condition, yes=yes, no=no):
                return self.integer(yes if self.integer(condition, scope) else no, scope)
            case Unary(operator="-", operand=operand):
                return -self.integer(operand, scope)
            case Binary(operator=operator, left=left, right=right):
                return _arithmetic(operator, self.integer(left, scope), self.integer(right, scope))
        raise Unread("an integer was expected")

    def size(self, expr: Expr, scope: Scope) -> tuple[int, bool]:
        """An expression's own width, and whether it is signed."""
        match expr:
            case Number(width=width, signed=signed):
                return width or _INTEGER_BITS, signed
            case Name(name=name):
                return _size(scope.find(name))
            case Select(high=None):
                return 1, False
            case Select(high=high, low=low):
                assert high is not None
                return self.integer(high, scope) - self.integer(low, scope) + 1, False
            case Indexed(bits=count):
                return self.integer(count, scope), False
            case Concat(parts=parts):
                return sum(self.size(part, scope)[0] for part in parts), False
            case Repeat(times=times, body=body):
                return self.integer(times, scope) * self.size(body, scope)[0], False
            case Cast(signed=signed, operand=operand):
                return self.size(operand, scope)[0], signed
            case Unary(operator=operator, operand=operand):
                return (1, False) if operator in _REDUCTIONS else self.size(operand, scope)
            case Choice(yes=yes, no=no):
                return self._joined(yes, no, scope)
            case Binary(operator=operator, left=left, right=right):
                if operator in _COMPARISONS:
                    return 1, False
                return self.size(left, scope) if operator in _SHIFTS else self._joined(left, right, scope)

    def _joined(self, left: Expr, right: Expr, scope: Scope) -> tuple[int, bool]:
        (a, a_signed), (b, b_signed) = self.size(left, scope), self.size(right, scope)
        return max(a, b), a_signed and b_signed

    def value(self, expr: Expr, width: int, signed: bool, scope: Scope, timing: Timing) -> Vector:
        """An expression's value where its context makes it ``width`` wide and ``signed``."""
        match expr:
            case Number(value=value, width=own):
                return extended(constant(value, own or _INTEGER_BITS), width, signed)
            case Name() | Select() | Indexed():
                return extended(self._selected(expr, scope, timing), width, signed)
            case Concat(parts=parts):
                found: Vector = ()
                for part in reversed(parts):
                    if isinstance(part, Number) and part.width is None:
                        raise Unread("a number without a width stands in a concatenation")
                    found += self.whole(part, scope, timing)
                return extended(found, width, signed)
            case Repeat(times=times, body=body):
                return extended(self.whole(body, scope, timing) * self.integer(times, scope), width, signed)
            case Cast(operand=operand):
                return extended(self.whole(operand, scope, timing), width, signed)
            case Choice(condition=condition, yes=yes, no=no):
                test = self.space.any(self.whole(condition, scope, timing))
                a, b = (self.value(e, width, signed, scope, timing) for e in (yes, no))
                return self.space.select(test, a, b)
            case Unary(operator=operator) if operator in _REDUCTIONS:
                return extended((self._reduced(expr, scope, timing),), width, signed)
            case Binary(operator=operator) if operator in _COMPARISONS:
                return extended((self._compared(expr, scope, timing),), width, signed)
            case Unary(operator="~", operand=operand):
                inner = self.value(operand, width, signed, scope, timing)
                return tuple(self.space.bdd.invert(bit) for bit in inner)
            case Unary(operator="+", operand=operand):
                return self.value(operand, width, signed, scope, timing)
        return self._calculated(expr, width, signed, scope, timing)

    def _calculated(self, expr: Expr, width: int, signed: bool, scope: Scope, timing: Timing) -> Vector:
        """Sums, bitwise operators and shifts by constants."""
        if isinstance(expr, Unary) or (isinstance(expr, Binary) and expr.operator in "+-"):
            return self.sums.vector(self._form(expr, width, signed, scope, timing), width)
        assert isinstance(expr, Binary)
        left = self.value(expr.left, width, signed, scope, timing)
        if expr.operator in _SHIFTS:
            count = self.integer(expr.right, scope)
            if expr.operator in ("<<", "<<<"):
                return (constant(0, min(count, width)) + left)[:width]
            return extended(left[count:] or left[-1:], width, True) if expr.operator == ">>>" and signed else extended(
                left[count:], width, False
            )  # fmt: skip
        right, bdd = self.value(expr.right, width, signed, scope, timing), self.space.bdd
        match expr.operator:
            case "&":
                return tuple(bdd.both(a, b) for a, b in zip(left, right, strict=True))
            case "|":
                return tuple(bdd.either(a, b) for a, b in zip(left, right, strict=True))
            case "^":
                return tuple(bdd.differ(a, b) for a, b in zip(left, right, strict=True))
            case "~^" | "^~":
                return tuple(bdd.invert(bdd.differ(a, b)) for a, b in zip(left, right, strict=True))
        raise Unread(f"operator {expr.operator} is not known")

    def _form(self, expr: Expr, width: int, signed: bool, scope: Scope, timing: Timing) -> Form:
        """A sum and its operands' sums as one form, right modulo ``2**width``."""
        if isinstance(expr, Binary) and expr.operator in ("+", "-"):
            left = self._form(expr.left, width, signed, scope, timing)
            return left.plus(self._form(expr.right, width, signed, scope, timing), 1 if expr.operator == "+" else -1)
        if isinstance(expr, Unary) and expr.operator == "-":
            return Form({}, 0).plus(self._form(expr.operand, width, signed, scope, timing), -1)
        return self.sums.of(self.value(expr, width, signed, scope, timing))

    def _reduced(self, expr: Unary, scope: Scope, timing: Timing) -> int:
        bits, space = self.whole(expr.operand, scope, timing), self.space
        operator = expr.operator
        found = space.all(bits) if "&" in operator else space.parity(bits) if "^" in operator else space.any(bits)
        return space.bdd.invert(found) if operator in ("!", "~&", "~|", "~^", "^~") else found

    def _compared(self, expr: Binary, scope: Scope, timing: Timing) -> int:
        space, operator = self.space, expr.operator
        if operator in ("&&", "||"):
            a, b = (space.any(self.whole(e, scope, timing)) for e in (expr.left, expr.right))
            return space.bdd.both(a, b) if operator == "&&" else space.bdd.either(a, b)
        width, signed = self._joined(expr.left, expr.right, scope)
        left, right = (self.value(e, width, signed, scope, timing) for e in (expr.left, expr.right))
        if operator in ("==", "!="):
            found = space.equal(left, right)
            return found if operator == "==" else space.bdd.invert(found)
        if operator in (">", "<="):
            left, right = right, left
        found = space.less(left, right, signed)
        return found if operator in ("<", ">") else space.bdd.invert(found)

    def _selected(self, expr: Name | Select | Indexed, scope: Scope, timing: Timing) -> Vector:
        found = scope.find(expr.name)
        width = _size(found)[0]
        if isinstance(expr, Name):
            return self._bits(found, 0, width, timing)
        low, count = self.place(expr, scope, timing)
        if not isinstance(low, int):  # an index that varies
            if 1 << len(low) > width or (isinstance(found, Net) and found.lowest):
                raise Fault(f"reads {expr.name}, which has {width} bits, at an index of {len(low)} bits")
            return (self.space.lookup(self._bits(found, 0, 1 << len(low), timing), low),)
        low -= found.lowest if isinstance(found, Net) else 0
        if low < 0 or count < 1 or low + count > width:
            raise Fault(f"reads bits outside of {expr.name}, which has {width}")
        return self._bits(found, low, count, timing)

    def place(self, expr: Select | Indexed, scope: Scope, timing: Timing) -> tuple[int | Vector, int]:
        """Lowest bit and number of bits of a selection; the functions of its index where that varies."""
        if isinstance(expr, Indexed):
            return self.integer(expr.base, scope), self.integer(expr.bits, scope)
        if expr.high is not None:
            low = self.integer(expr.low, scope)
            return low, self.integer(expr.high, scope) - low + 1
        if isinstance(expr.low, Number):
            return expr.low.value, 1
        try:
            return self.integer(expr.low, scope), 1
        except Unread:
            return self.whole(expr.low, scope, timing), 1

    def _bits(self, found: Net | Value, low: int, width: int, timing: Timing) -> Vector:
        if isinstance(found, Net):
            return self.read(found, low, width, timing)
        bits = constant(found, _INTEGER_BITS) if isinstance(found, int) else found
        return bits[low : low + width]


def _number(bits: Vector) -> int:
    """A vector of constants as an integer."""
    if any(bit > 1 for bit in bits):
        raise Unread("an integer was expected")
    return sum(bit << i for i, bit in enumerate(bits))


def _size(found: Net | Value) -> tuple[int, bool]:
    if isinstance(found, Net):
        return found.width, found.signed
    return (_INTEGER_BITS, True) if isinstance(found, int) else (len(found), False)


def _arithmetic(operator: str, left: int, right: int) -> int:
    """Integers of 32 bits, as parameters and loops use them; raises Unread where they would not hold the result."""
    match operator:
        case "+" | "-" | "*":
            found = left + right if operator == "+" else left - right if operator == "-" else left * right
        case "/" if left >= 0 and right > 0:
            found = left // right
        case "<" | ">" | "==":
            found = int(left < right if operator == "<" else left > right if operator == ">" else left == right)
        case "&&":
            found = int(bool(left and right))
        case _:
            raise Unread(f"operator {operator} of constants is not known")
    if abs(found) >> (_INTEGER_BITS - 1):
        raise Unread(f"{found} is no integer of {_INTEGER_BITS} bits")
    return found
