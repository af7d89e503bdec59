"""A stand-in for the watched model: what prediction do these inputs make expect?

An additive model over the bins of the inputs, `f(x) = mean + Σ table[column, bin]`, fitted by ridge regression. It needs no
scaling, takes missing values and categories as they are, and costs one look-up a value. The residual `s − f(x)` tells "the
model broke" (residual moves) from "the world changed" (inputs move, residual stays), before a label arrives.

Limits: no interactions; what the inputs' bins do not tell stays in the residual and only makes it less sensitive.
Fitted on half of the rows; the other half gives the residual's reference, or it would be too narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from whydrift.core.columns import Floats
from whydrift.core.reference import BINS

_RIDGE = 5.0
"""Penalty, as a number of rows: a bin seen less often than this is mostly disregarded."""
_MAX_ROWS = 1_500
"""Rows fitted on: the cost of fitting grows with their cube, whatever the number of inputs."""
_MAX_COLUMNS = 128
"""Inputs fitted on, those that tell most: a thousand took seven seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """`table` (columns, BINS + 1): a bin's contribution; the last place is for rows without a usable value."""

    mean: float
    table: Floats

    def expect(self, bins: NDArray[np.intp]) -> Floats:
        """Expected prediction of rows given the inputs' bins (rows, columns) → (rows,)."""
        if not self.table.shape[0]:
            return np.full(len(bins), self.mean)
        expected: Floats = self.mean + self.table[np.arange(self.table.shape[0]), bins].sum(axis=1)
        return expected

    def snapshot(self) -> dict[str, Any]:
        return {"mean": self.mean, "table": self.table}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Surrogate":
        return cls(state["mean"], state["table"])


def fit_surrogate(bins: NDArray[np.intp], target: Floats) -> Surrogate:
    """Fit on rows: bins (rows, columns), target (rows,), NaN rows are left out. Without any row it expects 0."""
    usable = np.flatnonzero(~np.isnan(target))[-_MAX_ROWS:]
    bins, target = bins[usable], target[usable]
    columns = bins.shape[1]
    mean = float(target.mean()) if len(target) else 0.0
    if not len(target) or not columns:
        return Surrogate(mean, np.zeros((columns, BINS + 1)))
    # The dual form: rows² a column instead of (columns × bins)² in all.
    kernel = np.zeros((len(bins), len(bins)))
    chosen = _most_telling(bins, target - mean)
    for column in chosen:
        kernel += bins[:, column][:, None] == bins[:, column][None, :]
    kernel[np.diag_indices_from(kernel)] += _RIDGE
    weights = cho_solve(cho_factor(kernel, lower=True), target - mean)
    table = np.zeros((columns, BINS + 1))
    for column in chosen:
        np.add.at(table[column], bins[:, column], weights)
    return Surrogate(mean, table)


def _most_telling(bins: NDArray[np.intp], target: Floats) -> list[int]:
    """The columns whose bins tell most of a centred target by themselves, at most _MAX_COLUMNS, in their order."""
    columns = bins.shape[1]
    if columns <= _MAX_COLUMNS:
        return list(range(columns))
    told = []
    for column in range(columns):
        rows = np.bincount(bins[:, column], minlength=BINS + 1)
        sums = np.bincount(bins[:, column], target, minlength=BINS + 1)
        # What the bins' means take off the squared error, less what chance takes off: one variance a bin.
        told.append(float((sums**2 / np.maximum(rows, 1)).sum()) - float(target.var()) * int((rows > 0).sum()))
    return sorted(sorted(range(columns), key=lambda column: (-told[column], column))[:_MAX_COLUMNS])
