"""A column's values on another column's scale, or on another one of its own, as preprocessing gone wrong puts them there.

Ranks are exact at the edges of a reference's bins, which hold all rows of health, and interpolated between them.
Belongs here: those maps. Not here: which of them is tried (`mix_ups`).
"""

from typing import Literal

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.reference import ColumnReference

Scale = Literal["low rank", "middle rank", "spread", "mirrored", "raw", "twice"]
"""How a value gets from its own column's scale to that of the place it is put in: the same rank (of ties the first or the middle
one), as many standard deviations from the mean; of one column itself: turned round, not scaled, scaled twice."""
SCALES: tuple[Scale, ...] = ("low rank", "middle rank", "spread")
"""Those between two columns."""


def put(values: Floats, its: ColumnReference, mine: ColumnReference, scale: Scale) -> Floats:
    """Values of one column on the scale of another: (rows,), NaN where there is none."""
    if scale == "spread":
        return (values - mean(its)) / max(deviation(its), 1e-12) * deviation(mine) + mean(mine)
    known = np.nan_to_num(values)
    share = rank_of(its, known)
    if scale == "middle rank":
        share = (share + rank_of(its, known, with_ties=True)) / 2
    found: Floats = np.where(np.isnan(values), np.nan, value_at(mine, share))
    return found


def altered(reference: ColumnReference, values: Floats, scale: Scale) -> Floats:
    """A column's values on another scale of its own."""
    if scale == "mirrored":
        found: Floats = np.where(
            np.isnan(values), np.nan, value_at(reference, 1 - rank_of(reference, np.nan_to_num(values)))
        )
        return found
    if scale == "raw":
        return values * deviation(reference) + mean(reference)
    if scale == "twice":
        return (values - mean(reference)) / max(deviation(reference), 1e-12)
    return values


def _steps_of(reference: ColumnReference) -> tuple[Floats, Floats]:
    """Values, and the share of health below each: exact at the edges of bins, which hold all rows of health."""
    below = np.concatenate([[0.0], np.cumsum(reference.masses[: len(reference.edges)])])
    if reference.is_discrete:
        return reference.edges, np.append(below[1:], 1.0)
    return np.concatenate([[reference.low], reference.edges, [reference.high]]), np.append(below, 1.0)


def rank_of(reference: ColumnReference, values: Floats, *, with_ties: bool = False) -> Floats:
    """Share of health below each value; with_ties: below or equal."""
    at, below = _steps_of(reference)
    if reference.is_discrete:
        return below[np.searchsorted(at, values, "right" if with_ties else "left")]
    found: Floats = np.interp(np.nextafter(values, np.inf) if with_ties else values, at, below)
    return found


def value_at(reference: ColumnReference, share: Floats) -> Floats:
    """The value of health that stands at this share."""
    at, below = _steps_of(reference)
    if reference.is_discrete:
        found: Floats = at[np.clip(np.searchsorted(below[1:], share + 1e-9, "left"), 0, len(at) - 1)]
        return found
    steps, first = np.unique(below, return_index=True)
    between: Floats = np.interp(share, steps, at[first])
    return between


def mean(reference: ColumnReference) -> float:
    return float(np.mean(reference.quantiles))


def deviation(reference: ColumnReference) -> float:
    return float(np.std(reference.quantiles))
