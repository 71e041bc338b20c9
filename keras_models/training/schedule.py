"""Learning rate and hardware-cost weight over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 0.1  # share of the epochs before the cost starts to rise
SETTLED = 0.7  # share of the epochs after which cost weight or budget no longer move
FINAL_RATE = 0.05  # of the learning rate


def cosine_rate(rate: float, progress: float) -> float:
    """The learning rate at ``progress`` in [0, 1): from ``rate`` down to 5 % of it."""
    return rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


def rising_beta(low: float, high: float, progress: float, settled: float = SETTLED) -> float:
    """``low`` through the warm-up, then a geometric rise to ``high`` at ``settled``."""
    if high <= 0:
        return 0.0
    share = min(1.0, max(0.0, (progress - WARM_UP) / (settled - WARM_UP)))
    return float(low * (high / low) ** share)


@dataclass
class BudgetController:
    """Steers beta so that the estimated LUTs follow a geometric path down to just below a budget.

    Call `next` once per epoch. The path leads from the cost at the end of the warm-up to ``aim`` times the budget at
    ``settled`` of the run and stays there; beta follows the logarithmic error in proportion and in its growth.
    """

    budget: float
    beta: float = 2e-6
    aim: float = 0.975
    gain: float = 0.5
    damping: float = 2.0
    low: float = 1e-8
    high: float = 1.0
    settled: float = SETTLED
    _start: float = 0.0
    _previous: float = 0.0

    def next(self, luts: float, progress: float) -> float:
        """Beta for the coming epoch, from the estimate after the last one."""
        if progress < WARM_UP or not math.isfinite(self._start):  # before the first epoch nothing is known
            self._start = self._previous = luts
            return self.beta
        target = self.aim * self.budget
        share = min(1.0, (progress - WARM_UP) / (self.settled - WARM_UP))
        start = max(self._start, target)
        wanted = start * (target / start) ** share
        least = 1e-3 * self.budget
        error = math.log(max(luts, least) / wanted)
        trend = math.log(max(luts, least) / max(self._previous, least))
        self._previous = luts
        change = min(0.5, max(-0.5, self.gain * error + self.damping * trend))
        self.beta = min(self.high, max(self.low, self.beta * math.exp(change)))
        return self.beta

    def rescale(self, ratio: float) -> None:
        """LUTs are from now on counted as ``ratio`` times what they were: no growth of the cost."""
        self._start *= ratio
        self._previous *= ratio
