"""Bets on the rate of a yes-or-no signal (missing, unseen, repeated, error, duplicate …): up, or down.

Two bins: 0 = no, 1 = yes.
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Health, Tolerance, flag_health, rate_bets

_ODDS = (1.2, 1.7, 3.0, 8.0, 30.0, 100.0, 0.8, 0.4)
_SIDES = 2


def _health(masses: Floats, tolerance: Tolerance) -> Health:
    return flag_health(masses, tolerance, _SIDES)


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    return Bets(rate_bets(_health(masses, tolerance), _ODDS), np.full(len(_ODDS), 1 / len(_ODDS)))


FAMILY = Family("bernoulli", _make, _health)
