"""Bets on the distribution of a quantity, binned by the reference's quantiles: centre, spread, tails, and any one bin.

Finds shifts from about the tolerance up (at n = 2,000 and margin 0: a quarter of a standard deviation) and changes of
shape; blind to what keeps every bin's share (a joint change, an exact permutation of time).
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Tolerance, rate_bets, shape_bets

TAIL = 0.0105
"""Mass up to which outer bins count as a tail: the outermost quantiles are .002 and .01."""
_TAIL_ODDS = (3.0, 20.0)
_LOCAL_ODDS = (4.0,)
_LOCAL_WEIGHT = 0.25
"""Share of the mixture that goes to bets on single bins: they find a new atom amid a continuous distribution."""


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    bins = len(masses)
    u = np.cumsum(masses) - masses / 2
    low, high = _tails(masses)
    bets = bins + 12
    shaped = np.concatenate(
        [
            shape_bets(2 * u - 1, masses, tolerance, bets),
            shape_bets(6 * u**2 - 6 * u + 1, masses, tolerance, bets),
            rate_bets(np.stack([low, high, np.maximum(low, high)]), masses, tolerance, _TAIL_ODDS, bets),
        ],
        axis=1,
    )
    local = rate_bets(np.eye(bins), masses, tolerance, _LOCAL_ODDS, bets)
    shares = [(1 - _LOCAL_WEIGHT, shaped.shape[1]), (_LOCAL_WEIGHT, local.shape[1])]
    weights = np.concatenate([np.full(count, share / count) for share, count in shares])
    return Bets(np.concatenate([shaped, local], axis=1), weights)


def _tails(masses: Floats) -> tuple[Floats, Floats]:
    """Indicators of the outer bins on each side. One bin at least, however heavy: its bets then say so by their rate."""
    low = (np.cumsum(masses) <= TAIL).astype(float)
    high = (np.cumsum(masses[::-1])[::-1] <= TAIL).astype(float)
    low[0] = high[-1] = 1.0
    return low, high


FAMILY = Family("numeric", _make)
