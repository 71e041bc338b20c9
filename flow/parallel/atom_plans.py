"""Plans for a heap of bits: which of them go into which chain of atoms, for fewest LUT sites.

A plan is made by taking the chain that is worth most, again and again, while there are chains worth the price, then at
a lower one, and where none is, a full adder; what is left is added by one last chain as soon as one can. The first
choices are the dear ones, so from every heap on the way the chains that are worth most at any price from any column are
tried, each judged by the plan that follows it, and the best few heaps are kept (a beam search with the greedy plans as
its look-ahead). On heaps of up to 70 bits a wide beam gives what integer linear programming proves to be the fewest
sites, and the usual one at most two more (``tests/test_atom_plans.py``). Only numbers of bits count, so plans are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from flow.parallel.atom_chains import CountedHeap, Counts, Plan

_PRICES = ((1.7, 1.5, 1.3, 1.15, 1.0), (1.5, 0.8), (1.2,), (1.7, 1.4, 0.7))
_SEARCHED = 96  # bits; of more than so many the first chains are taken without a search


class Effort(NamedTuple):
    """How hard to search: heaps kept of every number of chains (0: no search), prices tried, ways of looking ahead."""

    kept: int = 0
    tried: tuple[float, ...] = ()
    ahead: int = 0


AT_ONCE = Effort()
SEARCHED = Effort(1, (0.8, 1.15, 1.5), 1)  # of four heaps at seven prices come 1 % fewer sites, at five times the cost


@lru_cache(maxsize=1 << 16)
def plan(counts: Counts, free: Counts, registered: bool, effort: Effort = AT_ONCE, unread: int = 0) -> Plan:
    """The cheapest plan found for a heap of so many bits per column, of which ``free`` need no inversion.

    If ``registered``, the sum goes into registers alone; its ``unread`` lowest bits go nowhere.
    """
    heap = CountedHeap(counts, free, registered, unread)
    best = min((_followed_through(heap, prices, {}) for prices in _PRICES), key=_cost)
    ahead: list[tuple[Sequence[float], _Known]] = [(prices, {}) for prices in _PRICES[: effort.ahead]]
    begun = (_shrunk(heap, prices) for prices in _PRICES) if effort.kept else ()
    beam = list({after.key: after for after in begun if after}.values())
    while beam:
        found: dict[tuple[Counts, Counts], tuple[Plan, CountedHeap]] = {}
        for after in (h.less(chain) for h in beam if not h.plan() for chain in h.chains_at(effort.tried)):
            known = found.get(after.key)
            if after.least < best.sites and (known is None or after.sites < known[1].sites):
                plans = (_followed_through(after, *way) for way in ahead)
                found[after.key] = min(plans, key=_cost), after
        best = min((best, *(p for p, _ in found.values())), key=_cost)
        beam = [h for _, h in sorted(found.values(), key=lambda f: (f[0].sites, f[1].sites))[: effort.kept]]
    return best


_Known = dict[tuple[Counts, Counts], Plan]  # plans of what is left of heaps


def _cost(found: Plan) -> tuple[int, int]:
    return found.sites, len(found.chains)


def _followed_through(heap: CountedHeap, prices: Sequence[float], known: _Known) -> Plan:
    """The plan that takes what is worth most at these prices; ``known`` keeps those of all heaps on the way."""
    path = []
    at = heap
    while (rest := known.get(at.key)) is None:
        if whole := at.plan():
            rest = known[at.key] = Plan((), whole.last, whole.sites - at.sites, whole.carried)
            break
        path.append(at)
        at = at.less(at.best(prices))
    for before in reversed(path):
        chains, sites = (at.chains[-1], *rest.chains), rest.sites + at.sites - before.sites
        rest = known[before.key] = rest._replace(chains=chains, sites=sites)
        at = before
    return rest._replace(chains=(*heap.chains, *rest.chains), sites=heap.sites + rest.sites)


def _shrunk(heap: CountedHeap, prices: Sequence[float]) -> CountedHeap | None:
    """The heap once it has few enough bits to search; None where a plan is whole before."""
    while heap.bits > _SEARCHED:
        if heap.plan():
            return None
        heap = heap.less(heap.best(prices))
    return heap
