"""Compares two flat modules cone by cone: which are proved equal, which differ and for what values, which are open."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal
from flow.proof.netlist.arrays import Cone
from flow.proof.netlist.cones import Text, related, starts
from flow.proof.netlist.decide import Decider
from flow.proof.netlist.registers import Gate, Samples
from flow.proof.netlist.side import Bit
from flow.proof.netlist.wires import with_wires
from flow.proof.netlist.words import any_of

_MOST_UNDEFINED = 4  # bits that the text leaves undefined in one cone
_MOST_VALUES = 16  # words of a counterexample that are reported


@dataclass(frozen=True)
class Found:
    """A cone that is not proved: the text's names for it and why; ``refuted`` where values or contents show it."""

    names: tuple[str, ...]
    why: str
    refuted: bool


class Comparison:
    """The netlist's side ``gates``, built once, against the text's side ``text``. ABC runs in ``folder``."""

    def __init__(self, text: Mapping[str, Any], gates: Mapping[str, Any], folder: Path, cpu_s: float) -> None:
        self.graph = Aig()
        self.text = text
        self.inputs = {
            (name, i): self.graph.variable()
            for name, port in text["ports"].items()
            if port["direction"] == "input"
            for i in range(len(port["bits"]))
        }
        self.samples = Samples(self.graph)
        self.decider = Decider(self.graph, folder, cpu_s)
        self.gate = Gate(self.graph, gates, self.inputs, self.samples, self.decider, starts(text))

    def run(self, refused: Collection[Bit]) -> tuple[list[Cone], dict[int, Found]]:
        """All cones, and by index those not proved. Registers in ``refused`` are related by name or not at all."""
        side = related(self.graph, self.text, self.gate, self.inputs, refused)
        cones, unknown = with_wires(side)
        wrong = {i: Found(c.names, c.fault, refuted=True) for i, c in enumerate(cones) if c.fault}
        miters = {i: self.graph.differ(c.text, c.netlist) for i, c in enumerate(cones) if i not in wrong}
        miters = self._defined({i: m for i, m in miters.items() if m != FALSE})
        loose = self._loose(side, miters, unknown)
        asked = [i for i, m in miters.items() if not self.samples.of(m)]
        verdicts = dict(zip(asked, self.decider.false([miters[i] for i in asked]), strict=True))
        failed = [i for i in miters if not verdicts.get(i)]
        within = self._within(side, {i: miters[i] for i in failed if i not in loose})
        loose |= {i: "a word beyond a memory's last" for i, m in within.items() if m == FALSE}
        miters |= within
        for i in failed:
            if i in loose:
                wrong[i] = Found(cones[i].names, f"depends on {loose[i]}", refuted=False)
        known = [i for i in failed if i not in loose]
        for i, assignment in zip(known, self._assignments([miters[i] for i in known]), strict=True):
            if assignment is None:
                wrong[i] = Found(cones[i].names, "was not decided in its time", refuted=False)
            else:
                wrong[i] = Found(cones[i].names, self._told(side, cones[i], assignment), refuted=True)
        return cones, dict(sorted(wrong.items()))

    def _defined(self, miters: Mapping[int, Literal]) -> dict[int, Literal]:
        """The miters, true where no value of what the text leaves undefined, in this cone alone, makes both equal."""
        reached = self.graph.reached(self.graph.free)
        supports = {
            i: [n for n in self.graph.cone([m]) if n in self.graph.free] for i, m in miters.items() if reached[m >> 1]
        }
        users = Counter(n for nodes in supports.values() for n in nodes)
        found = dict(miters)
        for i, nodes in supports.items():
            own = [n for n in nodes if users[n] == 1]
            for node in own if len(own) <= _MOST_UNDEFINED else ():
                found[i] = self.graph.both(
                    *(self.graph.replaced([found[i]], {node: value})[0] for value in (FALSE, TRUE))
                )
        return found

    def _loose(self, side: Text, miters: Mapping[int, Literal], unknown: Mapping[int, str]) -> dict[int, str]:
        """Why a cone cannot be judged by values: it depends on something that is not understood or left undefined."""
        why = {**unknown, **side.side.loose, **self.gate.side.loose}
        why |= dict.fromkeys(self.graph.free, "a value that the Verilog leaves undefined")
        reached = self.graph.reached(why)
        return {i: next(why[n] for n in self.graph.cone([m]) if n in why) for i, m in miters.items() if reached[m >> 1]}

    def _within(self, side: Text, miters: Mapping[int, Literal]) -> dict[int, Literal]:
        """Of miters that read memories whose addresses reach beyond their words, true within them alone.

        FALSE where that is proved to be never: the Verilog leaves open what lies beyond.
        """
        found = {}
        for i, miter in miters.items():
            beyond = any_of(self.graph, [side.beyond[n] for n in self.graph.cone([miter]) if n in side.beyond])
            if beyond != FALSE:
                found[i] = self.graph.both(miter, beyond ^ 1)
        asked = [i for i, m in found.items() if not self.samples.of(m)]
        equal = self.decider.false([found[i] for i in asked])
        return found | {i: FALSE for i, yes in zip(asked, equal, strict=True) if yes}

    def _assignments(self, miters: Sequence[Literal]) -> list[dict[int, int] | None]:
        """Values for which a miter is true: from the samples, otherwise by search."""
        sampled = [self.samples.of(m) for m in miters]
        searched = iter(self.decider.assignments([m for m, s in zip(miters, sampled, strict=True) if not s]))
        return [
            self.samples.assignment(m, (s & -s).bit_length() - 1) if s else next(searched)
            for m, s in zip(miters, sampled, strict=True)
        ]

    def _told(self, side: Text, cone: Cone, assignment: Mapping[int, int]) -> str:
        """The values of a counterexample, word by word; bits that the cone does not depend on count as 0."""
        expected, found = self.graph.values([cone.text, cone.netlist], assignment, 1)
        words: dict[str, int] = defaultdict(int)
        for node, value in assignment.items():
            name, index = self._name(node)
            words[name] |= value << index
        shown = [f"{name} = {value}" for name, value in words.items()][:_MOST_VALUES]
        more = f" and {len(words) - len(shown)} more" if len(words) > len(shown) else ""
        return f"is {found} where the Verilog says {expected}, for {', '.join(shown)}{more}"

    def _name(self, node: int) -> tuple[str, int]:
        """What the text calls a variable."""
        for (name, index), literal in self.inputs.items():
            if literal >> 1 == node:
                return name, index
        for bit, register in self.gate.registers.items():
            if register.state >> 1 == node:
                names = sorted(self.gate.names[bit], key=lambda n: (n[0].startswith("$"), not n[0].startswith("u_")))
                return names[0] if names else (register.cell, 0)
        array = next((a.name for a in self.gate.arrays if 2 * node in a.reads.values()), "a memory")
        return f"a word of {array}", 0
