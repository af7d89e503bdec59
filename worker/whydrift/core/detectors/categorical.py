"""Bets on the shares of categories: each of them up or down. Blind to changes that keep all shares."""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Tolerance, rate_bets

_ODDS = (1.5, 4.0, 11.0, 0.5, 0.2)


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    bets = len(masses) * len(_ODDS)
    return Bets(rate_bets(np.eye(len(masses)), masses, tolerance, _ODDS, bets), np.full(bets, 1 / bets))


FAMILY = Family("categorical", _make)
