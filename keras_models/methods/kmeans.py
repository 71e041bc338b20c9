"""One-dimensional k-means without randomness: the same values give the same clusters."""

from __future__ import annotations

import numpy as np

ITERATIONS = 50


def kmeans(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Rising cluster centres (at most ``clusters``, none empty) and each value's label; starts from quantiles."""
    values = np.asarray(values, np.float64)
    distinct = np.unique(values)
    if len(distinct) <= clusters:
        return distinct, np.searchsorted(distinct, values)
    centres = np.unique(np.quantile(distinct, (np.arange(clusters) + 0.5) / clusters))
    for _ in range(ITERATIONS):
        labels = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        used = np.unique(labels)
        moved = np.asarray([values[labels == label].mean() for label in used])
        if len(moved) == len(centres) and np.allclose(moved, centres, rtol=0, atol=1e-12):
            break
        centres = moved
    return centres, np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
