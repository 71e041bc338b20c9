"""LUT sites of a netlist once its cells lie in 7-series slices, where not every pair of cells can share a site.

A carry chain takes its S inputs from the LUTs beside it, so any other source passes through a LUT of its own. And a
slice has one output, AMUX, for a LUT's O5 and for the sum and carry beside it: a double LUT whose O5 is used takes two
sites, unless that sum goes into the register beside it (UG474, figure 2-3).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

_CHAIN = re.compile("CARRY[48]")


def placed_luts(cells: dict[str, Any], luts: int) -> int:
    """Expected LUT sites after placement; ``luts`` is the number of LUT cells and LUTs used as memory."""
    driver: dict[int, tuple[str, str]] = {}
    users: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits:
                if isinstance(bit, int) and cell["port_directions"][port] == "output":
                    driver[bit] = name, port
                elif isinstance(bit, int):
                    users[bit].append((cell["type"], port))
    return luts + sum(_more(cells, c["connections"], driver, users) for c in cells.values() if _CHAIN.match(c["type"]))


def _more(
    cells: dict[str, Any],
    wires: dict[str, Any],
    driver: dict[int, tuple[str, str]],
    users: dict[int, list[tuple[str, str]]],
) -> int:
    """Sites that a carry chain's bits take beyond the LUT cells that feed them."""
    sums, carries = ([users.get(bit, []) for bit in wires[port]] for port in ("O", "CO"))
    used = [i for i, found in enumerate(zip(sums, carries, strict=True)) if any(found)]
    more = 0
    for i in range(max(used, default=-1) + 1):
        name, port = driver.get(wires["S"][i], ("", ""))
        if not name or port not in ("O", "O6") or not cells[name]["type"].startswith("LUT"):
            more += 1  # the LUT beside the chain passes a constant or a signal on
            continue
        second = cells[name]["connections"].get("O5", [""])[0]
        registered = len(sums[i]) == 1 and sums[i][0][0].startswith("FD") and sums[i][0][1] == "D"
        outside = (bool(sums[i]) and not registered) or any(not _CHAIN.match(kind) for kind, _ in carries[i])
        more += bool(users.get(second)) and outside
    return more
