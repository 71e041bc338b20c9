"""Runs the proof of a folded design's modules in a build and notes which layers are proved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.build.state import Build
from flow.core.errors import DesignError, ToolFailed
from flow.files import plan
from flow.files.steps import digest_of
from flow.folded.proof.blocks import product_of, product_text, proof_script, refuted, within_reach
from flow.folded.proof.layer import Block
from flow.proof.netlist.never import never
from flow.tools import yosys

_TIMEOUT_S = 1800.0


def prove_blocks(build: Build, blocks: Mapping[str, tuple[Block, ...]], rtl_digest: str) -> None:
    """Prove every distinct module once; a layer's arithmetic is ``proved`` where all of its own are.

    What lies beyond the reach of SAT is named in ``facts.undecided``.

    Raises DesignError naming a module that does not compute what it should.
    """
    distinct = sorted({b for own in blocks.values() for b in own if within_reach(b) or product_of(b)})
    script = proof_script(distinct, "../rtl")
    products = sorted({p for b in distinct if (p := product_of(b))})
    folder = build.options.out / "proof"

    def work() -> dict[str, Any]:
        plan.fresh_folder(folder)
        run_proof(distinct, script, folder)
        found = [_is_product(p, folder, "../rtl") for p in products]
        return {"proved": len(distinct), "products": found}

    key = digest_of("proof 3", rtl_digest, script, yosys.version())
    result = build.steps.run("proof", key, work)
    decided = {p for p, yes in zip(products, result["products"], strict=True) if yes}
    for layer, own in blocks.items():
        beyond = [b for b in own if not within_reach(b) and product_of(b) not in decided]
        build.facts.proof[layer]["design-graph"] = "undecided" if beyond else "proved"
        build.facts.undecided += [f"layer {layer}: {_title(b)} is wider than SAT reaches" for b in beyond]


def _is_product(operands: tuple[int, int], folder: Path, rtl: str) -> bool:
    """Whether all products of such operands are right; False where that was not decided. Raises DesignError."""
    place = plan.folder(folder / "product_{}x{}".format(*operands))
    plan.claim_tree(place)
    plan.write_file(place / "top.v", product_text(operands))
    found = never([f"../{rtl}/folded_product.v", "top.v"], "top", "wrong", place)
    if found is False:
        x, w = operands
        raise DesignError(f"folded_product (WEIGHT_BITS {w}, X_BITS {x}) does not compute what it should; see {place}")
    return bool(found)


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
