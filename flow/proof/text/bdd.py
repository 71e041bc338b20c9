"""Reduced ordered binary decision diagrams: Boolean functions in a form that is the same for equal functions.

R. E. Bryant, "Graph-based algorithms for Boolean function manipulation", IEEE Trans. Computers C-35 (8), 1986.
"""

from __future__ import annotations

from flow.proof.text.findings import Unread

FALSE, TRUE = 0, 1
_LAST = 1 << 62  # the level of the constants, below every variable


class Bdd:
    """A store of functions; a function is an integer, equal functions are the same integer.

    Variables are levels, any integers below ``2**62``; the smallest is tested first. Raises Unread beyond ``most``
    nodes.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self.level, self.low, self.high = [_LAST, _LAST], [0, 1], [0, 1]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._known: dict[tuple[int, int, int], int] = {}
        self._most = most

    def variable(self, level: int) -> int:
        """The function that is a variable."""
        return self._node(level, FALSE, TRUE)

    def _node(self, level: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (level, low, high)
        found = self._unique.get(key)
        if found is None:
            found = len(self.level)
            if found > self._most:
                raise Unread("a function is too large to be decided")
            self._unique[key] = found
            self.level.append(level)
            self.low.append(low)
            self.high.append(high)
        return found

    def choose(self, test: int, yes: int, no: int) -> int:
        """``test ? yes : no``."""
        if test == TRUE or yes == no:
            return yes
        if test == FALSE:
            return no
        if yes == TRUE and no == FALSE:
            return test
        key = (test, yes, no)
        found = self._known.get(key)
        if found is not None:
            return found
        levels, lows, highs = self.level, self.low, self.high
        top = min(levels[test], levels[yes], levels[no])
        test_low, test_high = (lows[test], highs[test]) if levels[test] == top else (test, test)
        yes_low, yes_high = (lows[yes], highs[yes]) if levels[yes] == top else (yes, yes)
        no_low, no_high = (lows[no], highs[no]) if levels[no] == top else (no, no)
        low, high = self.choose(test_low, yes_low, no_low), self.choose(test_high, yes_high, no_high)
        found = self._known[key] = self._node(top, low, high)
        return found

    def invert(self, f: int) -> int:
        """``~f``."""
        return f ^ 1 if f < 2 else self.choose(f, FALSE, TRUE)

    def both(self, f: int, g: int) -> int:
        """``f & g``."""
        return self.choose(f, g, FALSE)

    def either(self, f: int, g: int) -> int:
        """``f | g``."""
        return self.choose(f, TRUE, g)

    def differ(self, f: int, g: int) -> int:
        """``f ^ g``."""
        return self.choose(f, self.invert(g), g)

    def example(self, f: int) -> dict[int, bool]:
        """Values of some variables, by level, for which ``f`` holds whatever the others are; ``f`` is not FALSE."""
        found = {}
        while f != TRUE:
            taken = self.low[f] == FALSE
            found[self.level[f]] = taken
            f = self.high[f] if taken else self.low[f]
        return found

    def support(self, f: int) -> set[int]:
        """The levels that ``f`` depends on."""
        found, seen, open_ones = set(), {FALSE, TRUE}, [f]
        while open_ones:
            g = open_ones.pop()
            if g not in seen:
                seen.add(g)
                found.add(self.level[g])
                open_ones += [self.low[g], self.high[g]]
        return found
