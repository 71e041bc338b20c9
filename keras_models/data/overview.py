"""What the user says about a table's columns, and what is found and shown before a training starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_models.data.columns import MOST_LEVELS, USED, WHY, Column, listed, summary_table
from keras_models.data.loaders import PARTS, Dataset
from keras_models.data.tables import Table

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Choices:
    """What the user says about a table's columns. ``task`` None is found; ``missing_flags`` gives every feature with
    missing values an input that says so; ``split_key`` names a column that splits, where there is one.
    """

    target: tuple[str, ...]
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    task: str | None = None
    missing_flags: bool = False
    split_key: str = "split"
    seed: int = 0


def summary(table: Table, columns: Sequence[Column], aside: set[str], choices: Choices, dataset: Dataset) -> list[str]:
    """What the table is taken for, before training starts."""
    schema, gone = dataset.schema, table.rows - len(dataset.y)
    assert schema is not None
    lines = [f"{table.name}: {table.rows:,} rows, {len(table.columns)} columns"]
    if dataset.task == "classification":
        count = Counter(schema.label(int(label)) for label in dataset.y)
        kind = "text" if schema.classes else "whole numbers; --task regression takes them as quantities"
        lines.append(f"target {choices.target[0]}: {len(count)} classes ({kind}): {listed(count)}")
    else:
        ranges = [f"{name} {low:g} to {high:g}" for name, low, high in
                  zip(choices.target, dataset.y.min(axis=0), dataset.y.max(axis=0), strict=True)]  # fmt: skip
        lines.append(f"target: numbers, {'; '.join(ranges)}")
    if gone:
        lines.append(f"{gone:,} rows without a target are left out")
    rows = [(c.name, c.kind, c.shown(), f"{c.missing:,}", _use(c, aside, choices)) for c in columns]
    lines += summary_table(rows, ("column", "kind", "values", "missing", "use"), right={3})
    parts = ", ".join(f"{part} {int((dataset.split == code).sum()):,}" for code, part in enumerate(PARTS))
    how = {"stratified": f"every class its share, seed {schema.seed}", "random": f"at random, seed {schema.seed}",
           "time": f"in the order of {schema.by}", "group": f"whole groups of {schema.by}, seed {schema.seed}",
           "column": f"by column {schema.by}"}  # fmt: skip
    return [*lines, f"parts: {parts} ({how[schema.split]})"]


def _use(column: Column, aside: set[str], choices: Choices) -> str:
    if column.name in choices.drop:
        return "left out: --drop"
    if column.name == choices.time:
        return "orders the rows"
    if column.name == choices.group:
        return "keeps groups together"
    if column.name in aside:
        return "names the part"
    if column.kind not in USED:
        kept = (
            "; --keep takes it"
            if column.kind == "identifier"
            else "; --time splits by it"
            if column.kind == "time"
            else ""
        )
        return WHY[column.kind] + kept
    flag = ", and a flag" if column.missing and choices.missing_flags else ""
    if column.kind == "numeric":
        return "1 input" + (f", the median where missing{flag}" if column.missing else "")
    levels = len(column.levels) or len(np.unique(column.values[~np.isnan(column.values)]))
    most = f" of the {MOST_LEVELS} most frequent" if levels > MOST_LEVELS else ""
    return f"an input per level{most}" + (f", all 0 where missing{flag}" if column.missing else "")
