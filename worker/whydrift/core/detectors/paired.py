"""Bets that one part of the traffic gets other values than the rest of the same time: two samples that are taken in turn.

Each value of the part is compared with values of the rest that came along with it. h = φ(mine) − φ(theirs) has the mean 0 where
both come from one distribution, whatever that is and wherever it wanders: no reference is needed, and no tolerance for one. Both
sides are divided into as many groups as the smaller one has values, so that each h is the difference of two means, and all are
independent of each other.

f = 1 + c (s h − d) / (w + d): w the width of the shape, |h| ≤ w, so that f ≥ 1 − c, and E f ≤ 1 while |E h| ≤ d.

Blind to differences that leave all shapes' means as they are, and to what both sides have in common.
Source: betting on two samples (Shekhar and Ramdas, arXiv 2112.09162).
Belongs here: the bets. Not here: whose values, and what is kept of them (`replicas`).
"""

import numpy as np

from whydrift.core.columns import Floats

STAKES = (0.15, 0.4, 0.8)
"""How much of its capital a bet stakes on a comparison. Differences are mostly far smaller than the width."""
BETS_A_SHAPE = 2 * len(STAKES)


def legendre(ranks: Floats) -> Floats:
    """Shapes of ranks in [0, 1], (values, …) → (…, 3): centre, spread, form, as in `numeric.shapes`."""
    x = 2 * ranks - 1
    return np.stack([x, (3 * x**2 - 1) / 2, (35 * x**4 - 30 * x**2 + 3) / 8], axis=-1)


WIDTHS: Floats = np.array([2.0, 1.5, 10 / 7])
"""Greatest distance of two values of each shape."""
SDS: Floats = 1 / np.sqrt([3.0, 5.0, 9.0])
"""Standard deviation of each shape where all ranks are as frequent."""


def differences(mine: Floats, theirs: Floats) -> Floats:
    """Means of groups of the one less those of the other, in order: (values, shapes) each → (groups, shapes)."""
    groups = min(len(mine), len(theirs))
    return _group_means(mine, groups) - _group_means(theirs, groups)


def _group_means(values: Floats, groups: int) -> Floats:
    starts = np.arange(groups) * len(values) // groups
    sizes = np.diff(np.append(starts, len(values)))
    found: Floats = np.add.reduceat(values, starts, axis=0) / sizes[:, None]
    return found


def paired_log_e(found: Floats, tolerance: Floats, widths: Floats) -> Floats:
    """Evidence of differences (groups, shapes): log e of each bet, (shapes × BETS_A_SHAPE,). tolerance, widths: (shapes,)."""
    signs = np.array([1.0, -1.0])
    gain = (found[:, :, None] * signs - tolerance[:, None]) / (widths + tolerance)[:, None]
    result: Floats = np.log1p(gain[:, :, :, None] * np.array(STAKES)).sum(axis=0).ravel()
    return result
