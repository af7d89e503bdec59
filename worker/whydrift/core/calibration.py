"""What a number promises, and what comes of it: a monotone step function learnt from pairs of the two.

By equal-sized bins first, then made monotone by pooling neighbours that contradict each other (isotonic regression, pool
adjacent violators: Ayer et al. 1955; as calibration of probabilities: Zadrozny & Elkan 2002). It knows how many pairs each step
rests on, so that whoever averages over it can say how sure the average is.

Not for: promises that say the opposite of what comes (they come out as one step: the mean). Belongs here: the function and its
uncertainty. Not here: which promises, and of what (`estimate`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from whydrift.core.columns import Floats

MAX_STEPS = 64
"""Steps at most: bounds memory and work, whatever the number of pairs."""
_LEAST_OF_STEP = 10
"""Pairs of a bin at least, before neighbours are pooled."""
_ADAPTED = 1.5
"""Variance of a step's mean, against what it were had the steps not been chosen by these very pairs (measured: tests/bench)."""
_SHRUNK = 0.5
"""Pairs of the general mean that each step's own is mixed with: pooling drives the ends of the function too far out."""
_PRIOR = 2.0
"""Pairs of the general variance that each step's own is mixed with: a step of equal outcomes is not without doubt."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """`edges` (steps − 1,) between steps, a value on an edge belongs above it; each step's mean outcome, variance of one outcome
    about it, and number of pairs: (steps,)."""

    edges: Floats
    means: Floats
    variances: Floats
    counts: Floats

    def steps(self, promised: Floats) -> NDArray[np.intp]:
        """Step that each value belongs to. NaN must not come in."""
        found: NDArray[np.intp] = np.searchsorted(self.edges, promised, side="right")
        return found

    def doubt(self, steps: NDArray[np.intp], weights: Floats) -> float:
        """Variance of `Σ weight · mean of its step` that comes from the steps' means being learnt: weights (rows,)."""
        totals = np.bincount(steps, weights, len(self.means))
        return _ADAPTED * float((totals**2 * self.variances / self.counts).sum())

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Calibration":
        return cls(**state)


def fit_calibration(promised: Floats, outcomes: Floats) -> Calibration:
    """Learn from pairs, one at least: promised (rows,), outcomes (rows,); both finite.

    >>> fit_calibration(np.repeat([0.2, 0.4, 0.9], 50), np.tile([0.0, 1.0], 75)).means.tolist()
    [0.5]
    """
    bins = min(MAX_STEPS, max(len(promised) // _LEAST_OF_STEP, 1))
    edges = np.unique(np.quantile(promised, np.linspace(0, 1, bins + 1)[1:-1]))
    edges = edges[edges > promised.min()]  # below the smallest there is nothing
    place = np.searchsorted(edges, promised, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(float)
    means = np.bincount(place, outcomes, len(counts)) / np.maximum(counts, 1)
    is_used = counts > 0
    pooled = isotonic_regression(means[is_used], weights=counts[is_used])
    first = np.asarray(pooled.blocks[:-1])
    step = np.searchsorted(first, np.cumsum(is_used) - 1, side="right") - 1  # step of each bin
    return _steps(edges[np.flatnonzero(is_used)[first[1:]] - 1], step[place], outcomes)


def _steps(edges: Floats, step: NDArray[np.intp], outcomes: Floats) -> Calibration:
    size = len(edges) + 1
    counts = np.bincount(step, minlength=size).astype(float)
    sums = np.bincount(step, outcomes, size)
    squares = np.bincount(step, (outcomes - (sums / counts)[step]) ** 2, size)
    means = (sums + _SHRUNK * outcomes.mean()) / (counts + _SHRUNK)
    variances = (squares + _PRIOR * outcomes.var()) / (counts + _PRIOR)
    return Calibration(edges, means, variances, counts)
