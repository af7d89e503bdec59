"""Bets on the distribution of a quantity, binned by the reference's quantiles: centre, spread, form, tails, and any one bin.

Finds shifts from about the tolerance up (at n = 2,000 and margin 0: a fifth of a standard deviation) and changes of
shape; blind to what keeps every bin's share (a joint change, an exact permutation of time).
"""

from functools import reduce
from operator import add

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import (
    Bets,
    Family,
    Health,
    Tolerance,
    rate_bets,
    rate_health,
    shape_bets,
    shape_health,
)

TAIL = 0.0105
"""Mass up to which outer bins count as a tail: the outermost quantiles are .002 and .01."""
_ODDS = {"tails": (3.0, 20.0), "local": (1.5, 4.0)}
_WEIGHTS = {"centre": 0.3, "spread": 0.2, "form": 0.15, "tails": 0.2, "local": 0.15}
"""Shares of the mixture. "local", the bets on single bins, finds a new atom amid a continuous distribution."""
_SHAPES_CONFIDENCE = 0.6
"""Share of a signal's CONFIDENCE that shapes get; the rates of sets of bins share the rest."""


def shapes(masses: Floats) -> dict[str, Floats]:
    """Legendre polynomials of the rank: 1 moves with the centre, 2 with the spread, 4 with the form (two modes, heavy tails)."""
    x = 2 * (np.cumsum(masses) - masses / 2) - 1
    return {"centre": x, "spread": (3 * x**2 - 1) / 2, "form": (35 * x**4 - 30 * x**2 + 3) / 8}


def _shapes(masses: Floats, tolerance: Tolerance) -> dict[str, Health]:
    own = shapes(masses)
    sides = 2 * len(own) / _SHAPES_CONFIDENCE
    return {group: shape_health(phi[None, :], masses, tolerance.of(group), sides) for group, phi in own.items()}


def _rates(masses: Floats, tolerance: Tolerance) -> dict[str, Health]:
    """Tails, and single bins. Only what rises is bet on, so that one side is all there is to pay for."""
    low, high = tails(masses)
    sets = {"tails": np.stack([low, high, np.maximum(low, high)])}
    if not tolerance.is_blurred:
        # Cases that are all the same leave the same of a fit, and another fit would leave something else.
        sets["local"] = np.eye(len(masses))
    sides = sum(map(len, sets.values())) / (1 - _SHAPES_CONFIDENCE)
    found = {group: rate_health(inside, masses, tolerance.of(group), sides) for group, inside in sets.items()}
    return {group: Health(one.directions, np.zeros(len(one.high)), one.high) for group, one in found.items()}


def _health(masses: Floats, tolerance: Tolerance) -> Health:
    return reduce(add, (_shapes(masses, tolerance) | _rates(masses, tolerance)).values())


def _make(masses: Floats, tolerance: Tolerance) -> Bets:
    groups = {name: shape_bets(one) for name, one in _shapes(masses, tolerance).items()}
    groups |= {name: rate_bets(one, _ODDS[name]) for name, one in _rates(masses, tolerance).items()}
    log_f = [group / tolerance.time(name) for name, group in groups.items()]
    total = sum(_WEIGHTS[name] for name in groups)
    weights = [np.full(group.shape[1], _WEIGHTS[name] / total / group.shape[1]) for name, group in groups.items()]
    return Bets(np.concatenate(log_f, axis=1), np.concatenate(weights))


def least_shift(masses: Floats, tolerance: Tolerance) -> float:
    """The shift of the centre, in standard deviations of a normal, that is as large as the tolerance.

    A shift of δ moves the mean of 2u − 1 by δ / √π (u: the rank under the reference).
    """
    return float(_shapes(masses, tolerance)["centre"].high[0] * np.sqrt(np.pi))


def tails(masses: Floats) -> tuple[Floats, Floats]:
    """Indicators of the outer bins on each side. One bin at least, however heavy: its bets then say so by their rate."""
    low = (np.cumsum(masses) <= TAIL).astype(float)
    high = (np.cumsum(masses[::-1])[::-1] <= TAIL).astype(float)
    low[0] = high[-1] = 1.0
    return low, high


FAMILY = Family("numeric", _make, _health)
