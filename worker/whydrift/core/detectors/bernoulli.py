"""Bets on the rate of a yes-or-no signal (missing, unseen, repeated, error, duplicate …): up, or down.

Two bins: 0 = no, 1 = yes.
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Tolerance, rate_bets

_ODDS = (1.5, 2.0, 4.0, 11.0, 0.5, 0.2)


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    log_f = rate_bets(np.array([[0.0, 1.0]]), masses, tolerance, _ODDS, len(_ODDS))
    return Bets(log_f, np.full(len(_ODDS), 1 / len(_ODDS)))


FAMILY = Family("bernoulli", _make)
