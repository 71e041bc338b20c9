"""Training, validation and test part of rows that came without: by class, by group or by time, the same each time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_models.data.loaders import PARTS, DataError

SHARES = (0.7, 0.15, 0.15)
_WORDS = (("train", "training", "0"), ("val", "valid", "validation", "dev", "1"), ("test", "testing", "2"))
NAMES = {word: code for code, words in enumerate(_WORDS) for word in words}


def random_split(rows: int, seed: int, shares: Sequence[float] = SHARES) -> np.ndarray:
    """(rows,) int8 part codes of rows in any order; ``shares`` are the parts'."""
    return stratified_split(np.zeros(rows, np.int64), seed, shares)


def stratified_split(labels: np.ndarray, seed: int, shares: Sequence[float] = SHARES) -> np.ndarray:
    """(rows,) int8: every label has its share in every part; of fewer than three rows all are for training."""
    random, split = np.random.default_rng(seed), np.zeros(len(labels), np.int8)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        split[rows] = _codes(len(rows), shares)
    return split


def time_split(times: np.ndarray) -> np.ndarray:
    """(rows,) int8: the earliest rows are for training, the last ones for the test; equal times stay together."""
    order = np.argsort(times, kind="stable")
    split = np.zeros(len(times), np.int8)
    split[order] = _codes(len(times))
    for code in (0, 1):  # rows of the instant at which a part ends belong to it
        last = times[split == code].max(initial=-np.inf)
        split[(times == last) & (split > code)] = code
    return split


def group_split(groups: np.ndarray, seed: int) -> np.ndarray:
    """(rows,) int8: no group is in two parts; groups are drawn at random, each into the part that lacks most rows."""
    names, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < len(PARTS):
        raise DataError(f"--group: there are {len(names)} groups, {len(PARTS)} or more are needed")
    filled, of_group = np.zeros(len(PARTS)), np.zeros(len(names), np.int8)
    for place, group in enumerate(np.random.default_rng(seed).permutation(len(names))):
        lack = np.array(SHARES) * len(groups) - filled
        part = int(np.argmax(lack)) if place >= len(PARTS) else place
        of_group[group] = part
        filled[part] += sizes[group]
    return of_group[members]


def named_split(texts: list[str]) -> np.ndarray | None:
    """(rows,) int8 of a column that names parts (train, val, test or 0, 1, 2); None for another column."""
    codes = [NAMES.get(text.lower()) for text in texts]
    return None if any(code is None for code in codes) else np.array(codes, np.int8)


def _codes(rows: int, shares: Sequence[float] = SHARES) -> np.ndarray:
    """Part codes of so many rows in order: the parts' shares, each part at least one row where there are three."""
    others = [max(round(share * rows), 1) if rows >= len(PARTS) else 0 for share in shares[1:]]
    return np.repeat(np.arange(len(shares), dtype=np.int8), [rows - sum(others), *others])
