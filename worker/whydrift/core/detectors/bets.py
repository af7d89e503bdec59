"""What bet families share: the tolerance for a finite reference, bets on a shape, bets on a rate.

A bet is a column of factors f(bin) ≥ 0, one for each bin of a signal. Multiplied over the events of a chunk it is an
e-value: under every distribution that the reference cannot tell from itself (the *health* of the signal), E[f] ≤ 1.
Bets are kept as log f, so that a chunk's evidence is `counts @ log_f`.

Source: betting e-values (arXiv 2203.03532); tolerance for the finite reference (arXiv 2602.13848).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import betaincinv, ndtri

from whydrift.core.columns import Floats

CONFIDENCE = 0.2
"""Chance, over all signals of a model, that some tolerance is too small for the reference's sampling error: by little beside that
error, and evidence of so little takes longer to gather than a weekly budget lasts."""
_NEAR_CHANCES = (0.1, 0.01)
"""Chances that the reference of one signal is too far from health for each of the nearer tolerances (`tiered`)."""
_CALM_PART = 0.25
"""Of the margin, where health does not wander."""
_STRENGTHS = (0.1, 0.3, 0.6)
"""How much of its capital a bet on a shape stakes on an event."""
_SURE = 1e-9
"""Rates nearer to 0 or 1 than this are not bet on: their odds are beyond floats."""
_NO_BET = float(np.log(0.5))
"""Given away on every event where there is nothing to bet on. Kept at 1, the evidence (M + 1) · 1 would count the chunks, and
cross any threshold in the end."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far health may be from the reference: its sampling error plus a margin of practical significance.

    n: values the reference rests on. signals: signals of the model, which share CONFIDENCE. margin: see `Settings.margin`.
    times: where values hang together, how many in a row tell as much as one, by group of bets (`autocorrelation`); else 1.
    is_calm: health is within its sampling error or the margin, but not both at once. is_exact: sampling is the reference's only
    error. is_blurred: a value is off by the error of a fit, so that it may fall into one bin or the next.
    """

    n: int
    signals: float
    margin: float
    times: Mapping[str, float] = field(default_factory=dict, hash=False)
    is_calm: bool = False
    is_exact: bool = True
    is_blurred: bool = False

    def calm(self) -> "Tolerance":
        """Of health that does not wander: the reference's error or a part of the margin."""
        return replace(self, margin=_CALM_PART * self.margin, is_calm=True)

    def of(self, group: str) -> "Tolerance":
        """For this group of bets: the reference counts for as many values as are independent."""
        time = self.time(group)
        return self if time <= 1 else replace(self, n=max(int(self.n / time), 1))

    def time(self, group: str) -> float:
        """The power 1 / time of a bet keeps its expectation ≤ 1 where values hang together over so many rows."""
        return self.times.get(group, 1.0)

    def shape(self, phi: Floats, masses: Floats, sides: float) -> Floats:
        """Largest |E φ| that is still health, for shapes φ (shapes, bins) with |φ| ≤ 1, centred under the reference masses.

        `sides`: this side's share of the signal's CONFIDENCE is one in so many. A normal interval, with two terms without
        which it is too narrow where the reference is skewed: the rows it happens not to have (z² / 2n), and its skewness.
        """
        z = -float(ndtri(CONFIDENCE / (sides * self.signals)))
        n = max(self.n, 1)
        variance = (phi**2) @ masses
        wide = variance + z * z / (2 * n)
        skew = np.abs((phi**3) @ masses) / wide
        error: Floats = z * np.sqrt(wide / n) + skew * (2 * z * z + 1) / (6 * n)
        margin = self.margin * np.sqrt(variance)
        return np.minimum(np.maximum(error, margin) if self.is_calm else error + margin, 1.0)

    def upper(self, ones: Floats, sides: float) -> Floats:
        """Greatest rate that is still health where the reference has `ones` of n: Clopper-Pearson, then the margin."""
        if self.is_calm:
            return self.either_upper(ones, sides)
        return _odds_times(self._greatest(ones, self._error(sides)), 1 + self.margin)

    def lower(self, ones: Floats, sides: float) -> Floats:
        """Least rate that is still health."""
        if self.is_calm:
            return self.either_lower(ones, sides)
        return _odds_times(self._least(ones, self._error(sides)), 1 / (1 + self.margin))

    def either_upper(self, ones: Floats, sides: float) -> Floats:
        """The same of what is rare: chance in the reference, or the margin from one of ordinary luck, but not both at once.

        Of what never came in 4,000 rows chance allows .002; with the margin on top, outliers in 1 % of the rows showed nothing
        in 3,000.
        """
        chance = self._greatest(ones, self._error(sides))
        return np.maximum(chance, _odds_times(self._greatest(ones, CONFIDENCE), 1 + self.margin))

    def either_lower(self, ones: Floats, sides: float) -> Floats:
        """Least rate that is still health, likewise."""
        chance = self._least(ones, self._error(sides))
        return np.minimum(chance, _odds_times(self._least(ones, CONFIDENCE), 1 / (1 + self.margin)))

    def _error(self, sides: float) -> float:
        return CONFIDENCE / (sides * self.signals)

    def _greatest(self, ones: Floats, error: float) -> Floats:
        ones = np.clip(ones, 0.0, self.n)
        return np.where(ones >= self.n, 1.0, betaincinv(ones + 1.0, np.maximum(self.n - ones, 1e-9), 1 - error))

    def _least(self, ones: Floats, error: float) -> Floats:
        ones = np.clip(ones, 0.0, self.n)
        return np.where(ones <= 0, 0.0, betaincinv(np.maximum(ones, 1e-9), self.n - ones + 1.0, error))


@dataclass(frozen=True, slots=True)
class Bets:
    """`log_f` (bins, bets) and `weights` (bets,), which mix the bets of one signal into one e-value.

    tiers: the bets are so many blocks of equal length, and the least of the blocks' mixtures counts. Weights sum to 1, or in each
    block to what `tiered` gives it.
    """

    log_f: Floats
    weights: Floats
    tiers: int = 1

    def with_log_f(self, log_f: Floats) -> "Bets":
        """The same mixture of other factors."""
        return Bets(log_f, self.weights, self.tiers)


def tiered(make: Callable[[Floats, Tolerance], Bets], masses: Floats, tolerance: Tolerance) -> Bets:
    """Bets against several tolerances: nearer ones, each too near for one reference in so many (_NEAR_CHANCES), and the whole.

    Health beyond a nearer one has such a reference with that chance at most, so what the rows say against the next tolerance may
    count for as many times more there; elsewhere what they say against the nearer one holds. Whichever it is, the least of all is
    an e-value of reference and rows together, if the cases share a chance of 1. It says more of a small change: of what never
    came in 4,000 rows and comes in 3 % now, an alarm takes 270 rows instead of 340.
    """
    chances = [chance for chance in _NEAR_CHANCES if CONFIDENCE / chance < tolerance.signals]
    tiers = [make(masses, replace(tolerance, signals=CONFIDENCE / chance)) for chance in chances]
    tiers.append(make(masses, tolerance))
    weights = [one.weights / (len(tiers) * chance) for one, chance in zip(tiers, [1.0, *chances], strict=True)]
    return Bets(np.concatenate([one.log_f for one in tiers], axis=1), np.concatenate(weights), tiers=len(tiers))


@dataclass(frozen=True, slots=True)
class Health:
    """The distributions p over bins that count as health: `low ≤ directions @ p ≤ high`; directions (limits, bins)."""

    directions: Floats
    low: Floats
    high: Floats

    def only(self, which: int) -> "Health":
        """One limit by itself."""
        chosen = slice(which, which + 1)
        return Health(self.directions[chosen], self.low[chosen], self.high[chosen])

    def __add__(self, other: "Health") -> "Health":
        return Health(
            np.concatenate([self.directions, other.directions]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.high, other.high]),
        )


@dataclass(frozen=True, slots=True)
class Family:
    """A way to bet on a signal with these reference masses per bin. `make` gives the bets, `health` what they must not beat."""

    name: str
    make: Callable[[Floats, Tolerance], Bets]
    health: Callable[[Floats, Tolerance], Health]


def shape_health(phi: Floats, masses: Floats, tolerance: Tolerance, sides: float) -> Health:
    """Health by the means of shapes φ (shapes, bins), which are centred and scaled to |φ| ≤ 1 here."""
    phi = phi - (phi @ masses)[:, None]
    phi = phi / np.maximum(np.abs(phi).max(axis=1, keepdims=True), 1e-12)
    d = tolerance.shape(phi, masses, sides)
    return Health(phi, -d, d)


def rate_health(inside: Floats, masses: Floats, tolerance: Tolerance, sides: float) -> Health:
    """Health by the shares of sets of bins: inside (sets, bins), 1.0 where a bin belongs to the set."""
    ones = inside @ masses * tolerance.n
    return Health(inside, tolerance.lower(ones, sides), tolerance.upper(ones, sides))


def flag_health(masses: Floats, tolerance: Tolerance, sides: float) -> Health:
    """Health of a yes-or-no signal, bins no and yes: mostly something rare."""
    ones = masses[1:] * tolerance.n
    return Health(np.array([[0.0, 1.0]]), tolerance.either_lower(ones, sides), tolerance.either_upper(ones, sides))


def shape_bets(health: Health) -> Floats:
    """Bets that the means of shapes moved, both ways and at several strengths: (bins, 6 × shapes), as log f.

    f = 1 + c (s φ − d) / (1 + d): E f ≤ 1 while |E φ| ≤ d, and f ≥ 1 − c.
    """
    phi, d = health.directions, health.high[:, None]
    steps = [1 + c * (s * phi - d) / (1 + d) for c in _STRENGTHS for s in (1, -1)]
    return np.log(np.concatenate(steps)).T


def rate_bets(health: Health, odds: Sequence[float]) -> Floats:
    """Bets that the shares of sets rose (odds > 1) or fell (odds < 1): (bins, sets × odds), as log f.

    Each compares an alternative with the edge of health: E f is monotone in the true rate and 1 at that edge.
    """
    inside = health.directions.T > 0
    columns = []
    for factor in odds:
        edge = health.high if factor > 1 else health.low
        # Where health reaches to the end of the scale on this side there is nothing to bet on.
        possible = (edge > _SURE) & (edge < 1 - _SURE)
        edge = np.where(possible, edge, 0.5)
        alternative = np.minimum(_odds_times(edge, factor), 1 - _SURE)
        bet = np.where(inside, np.log(alternative / edge), np.log((1 - alternative) / (1 - edge)))
        columns.append(np.where(possible, bet, _NO_BET))
    return np.concatenate(columns, axis=1)


def _odds_times(rate: Floats, factor: float) -> Floats:
    return rate * factor / (1 - rate + rate * factor)
