"""And-inverter graph: Boolean functions as literals over shared two-input ANDs, for proofs of equality.

A literal is ``2 * node + inverted``; node 0 is the constant, so 0 is false and 1 is true. Equal structure gets one
node: two functions that are built alike are one literal, and nothing is left to prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

FALSE, TRUE = 0, 1
Literal = int
Word = list[Literal]  # lowest bit first


class Aig:
    """A growing graph. ``left`` and ``right`` hold each node's fan-ins, -1 for a variable and for the constant."""

    def __init__(self) -> None:
        self.left: list[int] = [-1]
        self.right: list[int] = [-1]
        self.free: set[int] = set()  # variables that stand for what the Verilog text leaves undefined
        self._known: dict[tuple[int, int], int] = {}
        self._tables: dict[tuple[int, tuple[Literal, ...]], Literal] = {}

    def variable(self) -> Literal:
        """A new free variable."""
        self.left.append(-1)
        self.right.append(-1)
        return 2 * len(self.left) - 2

    def undefined(self) -> Literal:
        """A new variable for a value that is left undefined: a proof holds for both of its values."""
        found = self.variable()
        self.free.add(found >> 1)
        return found

    def both(self, a: Literal, b: Literal) -> Literal:
        """``a & b``."""
        if a > b:
            a, b = b, a
        if a == FALSE or a ^ 1 == b:
            return FALSE
        if a in (TRUE, b):
            return b
        found = self._known.get((a, b))
        if found is None:
            found = 2 * len(self.left)
            self.left.append(a)
            self.right.append(b)
            self._known[a, b] = found
        return found

    def either(self, a: Literal, b: Literal) -> Literal:
        """``a | b``."""
        return self.both(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: Literal, b: Literal) -> Literal:
        """``a ^ b``."""
        inverted = (a ^ b) & 1
        a, b = a & ~1, b & ~1
        if a == FALSE or b == FALSE:
            return a ^ b ^ inverted
        if a == b:
            return inverted
        return self.either(self.both(a, b ^ 1), self.both(a ^ 1, b)) ^ inverted

    def choose(self, select: Literal, one: Literal, zero: Literal) -> Literal:
        """``select ? one : zero``."""
        if select & 1:
            select, one, zero = select ^ 1, zero, one
        if select == FALSE or one == zero:
            return zero
        if one == zero ^ 1:
            return self.differ(select, zero)
        return self.either(self.both(select, one), self.both(select ^ 1, zero))

    def majority(self, a: Literal, b: Literal, c: Literal) -> Literal:
        """Whether two or three of the three are true."""
        return self.choose(c, self.either(a, b), self.both(a, b))

    def table(self, truth: int, inputs: Sequence[Literal]) -> Literal:
        """The function whose value for ``inputs`` = i, the first input being its lowest bit, is bit i of ``truth``."""
        full = (1 << (1 << len(inputs))) - 1
        truth &= full
        if truth == 0 or truth == full:
            return TRUE if truth else FALSE
        top, rest, half = inputs[-1], inputs[:-1], 1 << len(inputs) - 1
        low, high = truth & (1 << half) - 1, truth >> half
        if top in (FALSE, TRUE) or low == high:
            return self.table(high if top == TRUE else low, rest)
        zero = self.table(low, rest)
        if low ^ high == (1 << half) - 1:
            return self.differ(top, zero)
        return self.choose(top, self.table(high, rest), zero)

    def lookup(self, truth: int, inputs: Sequence[Literal]) -> Literal:
        """``table`` for a memory's contents: what was asked before is known."""
        key = (truth, tuple(inputs))
        if key not in self._tables:
            self._tables[key] = self.table(truth, inputs)
        return self._tables[key]

    def cone(self, roots: Iterable[Literal]) -> list[int]:
        """The nodes that ``roots`` depend on, variables included, in ascending and so in topological order."""
        seen, stack = {0}, [r >> 1 for r in roots]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                if self.left[node] >= 0:
                    stack += (self.left[node] >> 1, self.right[node] >> 1)
        seen.discard(0)
        return sorted(seen)

    def reached(self, variables: Iterable[int]) -> bytearray:
        """Per node whether it depends on one of ``variables``."""
        found = bytearray(len(self.left))
        for node in variables:
            found[node] = 1
        for node, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            if left >= 0 and (found[left >> 1] or found[right >> 1]):
                found[node] = 1
        return found

    def values(self, roots: Sequence[Literal], inputs: Mapping[int, int], mask: int) -> list[int]:
        """``roots`` for many assignments at once: bit k of every number belongs to assignment k of ``mask``'s many.

        ``inputs`` holds the variables' nodes; one that is missing is 0.
        """
        found = {0: 0}
        for node in self.cone(roots):
            left, right = self.left[node], self.right[node]
            if left < 0:
                found[node] = inputs.get(node, 0)
            else:
                found[node] = (found[left >> 1] ^ -(left & 1)) & (found[right >> 1] ^ -(right & 1)) & mask
        return [(found[r >> 1] ^ -(r & 1)) & mask for r in roots]

    def replaced(self, roots: Sequence[Literal], by: Mapping[int, Literal]) -> list[Literal]:
        """``roots`` with literals in place of the variables whose nodes ``by`` names."""
        found: dict[int, Literal] = {0: FALSE}
        for node in self.cone(roots):
            left, right = self.left[node], self.right[node]
            if left < 0:
                found[node] = by.get(node, 2 * node)
            else:
                a, b = found[left >> 1] ^ (left & 1), found[right >> 1] ^ (right & 1)
                found[node] = 2 * node if a == left and b == right else self.both(a, b)
        return [found[r >> 1] ^ (r & 1) for r in roots]

    def aiger(self, roots: Sequence[Literal]) -> tuple[bytes, list[int]]:
        """The functions ``roots`` as a binary AIGER file, and the node of each of its inputs in order."""
        cone = self.cone(roots)
        inputs = [n for n in cone if self.left[n] < 0]
        gates = [n for n in cone if self.left[n] >= 0]
        number = {0: 0, **{n: i for i, n in enumerate([*inputs, *gates], 1)}}
        head = f"aig {len(number) - 1} {len(inputs)} 0 {len(roots)} {len(gates)}\n"
        outputs = "".join(f"{2 * number[r >> 1] + (r & 1)}\n" for r in roots)
        body = bytearray()
        for node in gates:
            pair = [2 * number[f >> 1] + (f & 1) for f in (self.left[node], self.right[node])]
            high, low = max(pair), min(pair)
            for delta in (2 * number[node] - high, high - low):
                while delta > 127:
                    body.append(delta & 127 | 128)
                    delta >>= 7
                body.append(delta)
        return (head + outputs).encode() + bytes(body), inputs
