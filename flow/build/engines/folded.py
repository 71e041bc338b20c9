"""Runs the proof of a folded design's modules in a build and notes which layers are proved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.build.state import Build
from flow.core.errors import DesignError, ToolFailed
from flow.files import plan
from flow.files.steps import digest_of
from flow.folded.proof.blocks import proof_script, refuted, within_reach
from flow.folded.proof.layer import Block
from flow.tools import yosys

_TIMEOUT_S = 1800.0


def prove_blocks(build: Build, blocks: Mapping[str, tuple[Block, ...]], rtl_digest: str) -> None:
    """Prove every distinct module once; a layer's arithmetic is ``proved`` where all of its own are.

    What lies beyond the reach of SAT is named in ``facts.undecided``.

    Raises DesignError naming a module that does not compute what it should.
    """
    distinct = sorted({b for own in blocks.values() for b in own if within_reach(b)})
    script = proof_script(distinct, "../rtl")
    folder = build.options.out / "proof"

    def work() -> dict[str, Any]:
        plan.fresh_folder(folder)
        run_proof(distinct, script, folder)
        return {"proved": len(distinct)}

    build.steps.run("proof", digest_of("proof 1", rtl_digest, script, yosys.version()), work)
    for layer, own in blocks.items():
        beyond = [b for b in own if not within_reach(b)]
        build.facts.proof[layer]["design-graph"] = "undecided" if beyond else "proved"
        build.facts.undecided += [f"layer {layer}: {_title(b)} is wider than SAT reaches" for b in beyond]


def run_proof(blocks: list[Block], script: str, folder: Path) -> None:
    """Run a proof script in ``folder``. Raises DesignError for a refuted block, ToolFailed where Yosys fails."""
    try:
        yosys.run_script(folder, script, "proof", _TIMEOUT_S)
    except ToolFailed:
        log = folder / "proof.log"
        wrong = refuted(blocks, log.read_text(errors="replace") if log.is_file() else "")
        if wrong is None:
            raise
        raise DesignError(f"{_title(wrong)} does not compute what it should; see {log}") from None


def _title(block: Block) -> str:
    return f"{block.module} ({', '.join(f'{name} {value}' for name, value in block.parameters)})"
