"""``nmp_table`` as a function, and the proof that its own text computes it: of each table, in both forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from flow.proof.text.cells import PRIMITIVES, known_parameters
from flow.proof.text.evaluate import Timing
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.machine import Machine
from flow.proof.text.nets import Context, Value
from flow.proof.text.rows import in_both_forms, modules_of
from flow.proof.text.space import Space, Vector, constant

TABLE = "nmp_table"
_FEWEST, _MOST = 2, 8  # bits of the index


@dataclass(frozen=True)
class Table:
    """``nmp_table``: the entry of ``T`` that ``x`` names.

    ``prove(bits, entries)`` shows that its own text does so; it gives what is wrong, or nothing.
    """

    prove: Callable[[int, int], str]
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        return {"x": ("input", _size(parameters)[0]), "y": ("output", 1)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The entry."""
        bits, entries = _size(parameters)
        if wrong := self.prove(bits, sum(entry << i for i, entry in enumerate(entries))):
            raise Fault(f"is an {TABLE}, which {wrong}")
        return {"y": (context.space.lookup(entries, inputs["x"]),)}


def _size(parameters: dict[str, Value]) -> tuple[int, Vector]:
    """Bits of the index, and the entries. Raises Unread or Fault for impossible ones."""
    known_parameters(parameters, "N", "M", "T")
    bits, count, entries = parameters.get("N"), parameters.get("M"), parameters.get("T")
    if not isinstance(bits, int) or not isinstance(entries, tuple) or any(entry > 1 for entry in entries):
        raise Unread(f"N, M and T of an {TABLE} are not given as constants")
    if not _FEWEST <= bits <= _MOST or count != 1 << bits or len(entries) != 1 << bits:
        raise Fault(f"is an {TABLE} of {bits} bits with {len(entries)} entries, of which M is {count}")
    return bits, entries


@lru_cache(maxsize=1 << 16)
def prove_table(text: str, bits: int, entries: int) -> str:
    """Nothing where the module of a text is a table of these entries, else what is wrong."""
    wanted = constant(entries, 1 << bits)

    def wrong(macros: tuple[str, ...]) -> str:
        space = Space()
        index = space.atom("x", bits)
        parameters: dict[str, Value] = {"N": bits, "M": 1 << bits, "T": wanted}
        machine = Machine(space, modules_of(text, macros, TABLE)[TABLE], {"x": index}, PRIMITIVES, parameters)
        output = machine.elaboration.net("y", "output")
        for driver in machine.in_order(["y"]):
            machine.run(driver)
        found = machine.read(output, 0, 1, Timing())
        return "" if output.width == 1 and found == (space.lookup(wanted, index),) else "has a wrong entry"

    return in_both_forms(wrong, f"of {bits} bits, ")
