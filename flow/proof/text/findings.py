"""What a proof of Verilog text finds, and the two ways in which reading it ends early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.errors import DesignError


class Unread(DesignError):
    """The text says something that the proof does not know or cannot decide: nothing is refuted, nothing proved."""


class Fault(DesignError):
    """The text is wrong by itself: a bit with two drivers or none, a loop, operands of different clock cycles."""


@dataclass(frozen=True)
class Finding:
    """A place where the proof did not succeed.

    ``refuted`` tells a proved difference from what could not be decided. ``operands`` are values of the signals that
    the place reads for which it differs; ``vector`` is a layer's input (mantissas) for which its outputs differ, where
    one was found.
    """

    layer: str
    neuron: int  # -1 where no single neuron is concerned
    signal: str
    what: str
    refuted: bool
    operands: tuple[tuple[str, int], ...] = ()
    vector: tuple[int, ...] | None = None

    def __str__(self) -> str:
        where = self.layer if " " in self.layer else f"layer {self.layer}"  # a layer's name has no space
        where += f", neuron {self.neuron}" if self.neuron >= 0 else ""
        text = f"{where}: Verilog {self.signal} {self.what}" if self.signal else f"{where}: Verilog {self.what}"
        if self.operands:
            text += f", where {_values(self.operands)}"
        if self.vector is not None:
            text += f"; its outputs differ for the inputs {_shortened([str(v) for v in self.vector])}"
        return text


def _values(operands: Sequence[tuple[str, int]]) -> str:
    return _shortened([f"{name} = {value}" for name, value in operands])


def _shortened(parts: list[str], most: int = 24) -> str:
    return ", ".join(parts if len(parts) <= most else [*parts[:most], f"... ({len(parts)} in all)"])
