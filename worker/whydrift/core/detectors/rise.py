"""Bets that something rare became more frequent: values never seen, or beyond the reference's ends. Blind to its decline.

Two bins: 0 = no, 1 = yes. For rates that were reckoned rather than counted: their lower limit is not known well enough to bet
against, and fewer unseen values than expected are no fault.
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Health, Tolerance, flag_health, rate_bets

_ODDS = (1.2, 1.7, 3.0, 8.0, 30.0, 100.0)
_SIDES = 1


def _health(masses: Floats, tolerance: Tolerance) -> Health:
    both = flag_health(masses, tolerance, _SIDES)
    return Health(both.directions, np.zeros(1), both.high)


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    return Bets(rate_bets(_health(masses, tolerance), _ODDS), np.full(len(_ODDS), 1 / len(_ODDS)))


FAMILY = Family("rise", _make, _health)
