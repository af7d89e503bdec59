"""What bet families share: the tolerance for a finite reference, bets on a shape, bets on a rate.

A bet is a column of factors f(bin) ≥ 0, one for each bin of a signal. Multiplied over the events of a chunk it is an
e-value: under every distribution that the reference cannot tell from itself (the *tolerance ball*), E[f] ≤ 1.
Bets are kept as log f, so that a chunk's evidence is `counts @ log_f`.

Source: betting e-values (arXiv 2203.03532); tolerance for the finite reference (arXiv 2602.13848).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtri

from whydrift.core.columns import Floats

CONFIDENCE = 0.05
"""Chance, over all bets of all signals of a model, that a tolerance is too small for the reference's sampling error."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far health may be from the reference: its sampling error plus a margin of practical significance.

    n: values the reference rests on. signals: signals of the model, which share CONFIDENCE. margin: see `Settings.margin`.
    """

    n: int
    signals: int
    margin: float

    def shape(self, sd: float, shapes: int) -> float:
        """Largest |E φ| that is still health, for a shape φ centred under the reference, with this standard deviation."""
        z = float(-ndtri(CONFIDENCE / (2 * shapes * self.signals)))
        return (z / np.sqrt(max(self.n, 1)) + self.margin) * sd

    def upper(self, ones: Floats, bets: int) -> Floats:
        """Greatest rate that is still health where the reference has `ones` of n: Clopper-Pearson, then the margin."""
        a = CONFIDENCE / (2 * bets * self.signals)
        ones = np.minimum(ones, self.n)
        limit = np.where(ones >= self.n, 1.0, betaincinv(ones + 1.0, np.maximum(self.n - ones, 1e-9), 1 - a))
        return _odds_times(np.minimum(limit, 1.0), 1 + self.margin)

    def lower(self, ones: Floats, bets: int) -> Floats:
        """Least rate that is still health."""
        a = CONFIDENCE / (2 * bets * self.signals)
        ones = np.maximum(ones, 0.0)
        limit = np.where(ones <= 0, 0.0, betaincinv(np.maximum(ones, 1e-9), np.maximum(self.n - ones, 0) + 1.0, a))
        return _odds_times(np.maximum(limit, 0.0), 1 / (1 + self.margin))


@dataclass(frozen=True, slots=True)
class Bets:
    """`log_f` (bins, bets) and `weights` (bets,), which sum to 1 and mix the bets of one signal into one e-value."""

    log_f: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Family:
    """A way to bet. `make(masses, tolerance)` gives bets for a signal with these reference masses per bin."""

    name: str
    make: Callable[[Floats, Tolerance], Bets]


def shape_bets(phi: Floats, masses: Floats, tolerance: Tolerance, shapes: int) -> Floats:
    """Bets that the mean of a shape moved, both ways and at three strengths: (bins, 6), as log f.

    f = 1 + c (s φ − d) / (1 + d) with |φ| ≤ 1 and E φ = 0 under the reference: E f ≤ 1 while |E φ| ≤ d, and f ≥ 1 − c.
    """
    phi = phi - masses @ phi
    phi = phi / max(float(np.abs(phi).max()), 1e-12)
    d = tolerance.shape(float(np.sqrt(masses @ phi**2)), shapes)
    steps = [1 + c * (s * phi - d) / (1 + d) for c in (0.1, 0.3, 0.6) for s in (1, -1)]
    return np.log(np.stack(steps, axis=1))


def rate_bets(inside: Floats, masses: Floats, tolerance: Tolerance, odds: Sequence[float], bets: int) -> Floats:
    """Bets that the share of events in a set of bins rose (odds > 1) or fell (odds < 1), as log f.

    inside: (sets, bins), 1.0 where a bin belongs to the set; masses: (bins,). Result: (bins, sets × len(odds)).
    Each bet compares its alternative with the edge of the tolerance: E f is monotone in the true rate and 1 at that edge,
    so ≤ 1 in all of health. `bets` is the number of bets of the signal, which share CONFIDENCE.
    """
    ones = inside @ masses * tolerance.n
    upper, lower = tolerance.upper(ones, bets), tolerance.lower(ones, bets)
    columns = []
    for factor in odds:
        edge = upper if factor > 1 else lower
        # Where health reaches to the end of the scale on this side there is nothing to bet on.
        possible = (edge > 0) & (edge < 1)
        edge = np.where(possible, edge, 0.5)
        alternative = _odds_times(edge, factor)
        hit = np.where(possible, np.log(alternative / edge), 0.0)
        miss = np.where(possible, np.log((1 - alternative) / (1 - edge)), 0.0)
        columns.append(np.where(inside.T > 0, hit, miss))
    return np.concatenate(columns, axis=1)


def _odds_times(rate: Floats, factor: float) -> Floats:
    return rate * factor / (1 - rate + rate * factor)
