"""Bets on the distribution of answers, or of outcomes, that are numbers: those of `numeric`, and on how many are low and high.

Of classes every share is watched, to a margin of its odds. Numbers have none, and a mix of cases that moves shows in their mean,
within the margin there at first: where a fifth more of them are high, it moves by .3 standard deviations, about the tolerance.
So the shares of the lowest quarter, of the upper half and of the highest quarter are watched besides, like those of classes.
"""

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets, Family, Health, Tolerance, rate_bets, rate_health
from whydrift.core.detectors.numeric import FAMILY as NUMERIC

_ODDS = (1.5, 1 / 1.5)
_PART = 0.3
"""Of the mixture."""
_SIDES = 6 * 4
"""Limits of three shares, two each, have a quarter of a signal's CONFIDENCE on top."""


def _shares(masses: Floats, tolerance: Tolerance) -> Health:
    middle = np.cumsum(masses) - masses / 2
    inside = np.stack([middle < 0.25, middle > 0.5, middle > 0.75]).astype(float)
    return rate_health(inside, masses, tolerance.of("centre"), _SIDES)


def _health(masses: Floats, tolerance: Tolerance) -> Health:
    return NUMERIC.health(masses, tolerance) + _shares(masses, tolerance)


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    plain = NUMERIC.make(masses, tolerance)
    log_f = rate_bets(_shares(masses, tolerance), _ODDS) / tolerance.time("centre")
    weights = np.full(log_f.shape[1], _PART / log_f.shape[1])
    return Bets(np.concatenate([plain.log_f, log_f], axis=1), np.concatenate([(1 - _PART) * plain.weights, weights]))


FAMILY = Family("quartered", _make, _health)
