"""Bets on the shares of categories: each of them up or down. Blind to changes that keep all shares.

The last bin is that of categories never seen: it is bet on only to rise, and its mass comes on top of the others'.
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Health, Tolerance, rate_bets, rate_health

_ODDS = (1.25, 1.6, 4.0, 0.8, 0.5)
"""The first so near to 1 because of frequent categories: beyond health, odds of even shares have little room to rise."""


def _health(masses: Floats, tolerance: Tolerance) -> Health:
    known = rate_health(np.eye(len(masses)), masses, tolerance, 2 * len(masses))
    known.low[-1] = 0.0
    return known


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    bets = len(masses) * len(_ODDS)
    return Bets(rate_bets(_health(masses, tolerance), _ODDS), np.full(bets, 1 / bets))


FAMILY = Family("categorical", _make, _health)
