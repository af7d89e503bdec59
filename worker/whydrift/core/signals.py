"""Which signals a column has, and the bets on each.

Belongs here: names of aspects, and the step from a reference to bets. Not here: evidence (`evidence`), rows (`monitor`).
"""

from dataclasses import replace
from enum import StrEnum
from functools import lru_cache

import numpy as np

from whydrift.core.autocorrelation import NUMERIC_GROUPS
from whydrift.core.columns import Floats
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.conditional import Conditional
from whydrift.core.detectors import families
from whydrift.core.detectors.bets import Bets, Tolerance, tiered
from whydrift.core.detectors.numeric import least_shift
from whydrift.core.free_flags import FlagShare
from whydrift.core.reference import BINS, ColumnReference


class Aspect(StrEnum):
    """The part of a signal's name after its column."""

    DISTRIBUTION = "distribution"
    MISSING = "missing"
    """null, or the key absent"""
    TYPE = "type"
    """a value of another type than the column's"""
    OUT_OF_RANGE = "out_of_range"
    """a quantity beyond all of the reference"""
    UNSEEN = "unseen"
    """a category, or a value of a discrete quantity, that the reference does not have"""
    REPEATED = "repeated"
    """equal to one of the 32 values before it"""
    RUNS = "runs"
    """of the runs of equal values of an evenly sampled quantity: as long again as the longest one of health"""
    HOURLY = "hourly"
    """the distribution given the hour"""
    STEP = "step"
    """the distribution of the change from the row before"""


CONDITIONAL = (Aspect.HOURLY, Aspect.STEP)
"""Aspects of a column that is looked at given something (`conditional`)."""
DISTRIBUTIONS = frozenset((Aspect.DISTRIBUTION, *CONDITIONAL))


_FAMILIES = families()
_KEPT_RATES, _KEPT_QUANTITIES = 2_048, 256
"""Bets of yes-or-no signals and categories (1 kB each, or a few), and of quantities (40 kB), that are kept once made."""
_REPEATED_LIMIT = 0.5
"""Columns that repeat more often than this in health say nothing by repeating."""
_GROUPS = {Aspect.OUT_OF_RANGE: ("tails",), Aspect.UNSEEN: ("unseen", "categories", "local")}
"""Signals whose values in a reference are none, or too few to tell how they hang together: as others do of the same column."""
_DISTRIBUTION_GROUPS = (*NUMERIC_GROUPS, "categories")
"""Groups of bets on a column's distribution."""
_CALM_ROWS = 1_000
"""Values of a reference that would show that they hang together."""
_FITTED, _FITTED_PREFIX = (COMBINATIONS, "residual", "standardised_residual"), "dependence."
"""Columns that are left of a fit, and how names of others begin."""
_RISING = (Aspect.UNSEEN, Aspect.OUT_OF_RANGE, Aspect.RUNS)
_RANGE_ONES = 1.0
"""The share of values beyond both ends of n is distributed as Beta(2, n − 1), of which Clopper-Pearson's limit of 1 in n is the
quantile."""


def flag_aspects(reference: ColumnReference) -> list[Aspect]:
    """The yes-or-no signals of a column."""
    aspects = [Aspect.MISSING, Aspect.TYPE]
    if not reference.kind.is_coded:
        aspects.append(Aspect.OUT_OF_RANGE)
    if reference.kind.is_coded or reference.is_discrete:
        aspects.append(Aspect.UNSEEN)
    if reference.n and reference.repeated / reference.n <= _REPEATED_LIMIT:
        aspects.append(Aspect.REPEATED)
    elif Aspect.STEP in reference.given and reference.given[Aspect.STEP].longest_run:
        aspects.append(Aspect.RUNS)
    return aspects


def flag_share(reference: ColumnReference, aspect: Aspect) -> tuple[float, int]:
    """How many of how many values had a flag in health: (ones, n)."""
    if aspect is Aspect.MISSING:
        return reference.null + reference.absent, reference.rows
    if aspect is Aspect.TYPE:
        return reference.foreign, reference.rows
    if aspect is Aspect.OUT_OF_RANGE:
        return min(_RANGE_ONES, reference.n), reference.n
    if aspect is Aspect.UNSEEN:
        return reference.unseen_ones, reference.n
    if aspect is Aspect.RUNS:
        runs = reference.given[Aspect.STEP].runs
        return min(_RANGE_ONES, runs), runs
    return reference.repeated, reference.n


def flag_bets(ones: float, tolerance: Tolerance, aspect: Aspect | None = None) -> Bets:
    """Bets on a yes-or-no signal that was yes `ones` times in `tolerance.n`; None: on one of which nothing else is known.

    That values fall into the reference's range, or are known, more often than was reckoned with is no news.
    """
    share = ones / max(tolerance.n, 1)
    family = "rise" if aspect in _RISING else "bernoulli"
    group = _group(aspect, tolerance)
    only = {group: tolerance.times[group]} if group else {}
    return _rate_bets(family, (1 - share, share), replace(tolerance, times=only), group)


def free_flag_bets(known: FlagShare, signals: float, margin: float) -> Bets:
    """Bets that a flag of whole events is yes more often than it was; that it is so less often is no news."""
    group, masses = "yes", (1 - known.share, known.share)
    return _rate_bets("rise", masses, Tolerance(known.n, signals, margin, {group: known.time}), group)


def _group(aspect: Aspect | None, tolerance: Tolerance) -> str:
    """The group of bets that tells how a flag's values hang together; "" where nothing does."""
    if aspect is None:
        return ""
    return next((group for group in _GROUPS.get(aspect, (str(aspect),)) if group in tolerance.times), "")


@lru_cache(maxsize=_KEPT_RATES)
def _rate_bets(family: str, shares: tuple[float, ...], tolerance: Tolerance, group: str) -> Bets:
    """Bets of a family that knows no groups. How improbable a reference is, is known where its values do not hang together, and
    are not left of a fit. Kept: most flags are never yes, and a restart, or one column that is learnt, makes all bets anew.
    """
    make, time, masses = _FAMILIES[family].make, tolerance.time(group), np.array(shares)
    if time > 1:
        bets = make(masses, tolerance.of(group))
        return bets.with_log_f(bets.log_f / time)
    return tiered(make, masses, tolerance) if tolerance.is_exact else make(masses, tolerance)


@lru_cache(maxsize=_KEPT_QUANTITIES)
def _quantity_bets(family: str, shares: tuple[float, ...], tolerance: Tolerance) -> Bets:
    """The same of one that does."""
    make, masses = _FAMILIES[family].make, np.array(shares)
    is_exact = tolerance.is_exact and all(tolerance.time(group) <= 1 for group in NUMERIC_GROUPS)
    return tiered(make, masses, tolerance) if is_exact else make(masses, tolerance)


def distribution_bets(reference: ColumnReference, tolerance: Tolerance, family: str = "numeric") -> Bets:
    """Bets on a column's distribution, over all BINS; the bins no value can fall into carry no bet. family: of a quantity."""
    used = reference.used_bins
    tolerance = _resting_on(reference, tolerance)
    shares = tuple(reference.masses[used].tolist())
    if reference.kind.is_coded:
        bets = _rate_bets("categorical", shares, tolerance, "categories")
    else:
        bets = _quantity_bets(family, shares, tolerance)
    log_f: Floats = np.zeros((BINS, bets.log_f.shape[1]))
    log_f[used] = bets.log_f
    return bets.with_log_f(log_f)


def _resting_on(reference: ColumnReference, tolerance: Tolerance) -> Tolerance:
    """Of the column's distribution. Where no long stretch of health differs from the others by more than chance, one that is yet
    to come will differ less, too. What is left of a fit (_FITTED) differs from its reference by the error of the fit besides.
    """
    name, times = reference.name, reference.times
    found = replace(tolerance, n=reference.n, times=times, is_exact=not is_fitted(name), is_blurred=is_blurred(name))
    wanders = reference.given or any(group in reference.times for group in _DISTRIBUTION_GROUPS)
    return found.calm() if reference.n >= _CALM_ROWS and not wanders and found.is_exact else found


def is_fitted(column: str) -> bool:
    """Whether a column is what is left of a fit, whose error comes on top of its reference's."""
    return column in _FITTED or column.startswith(_FITTED_PREFIX)


def is_blurred(column: str) -> bool:
    """Whether a column's values are off by that error: cases that are all the same leave the same of a fit, and of another fit
    something else. Scores of combinations are what they are.
    """
    return is_fitted(column) and column != COMBINATIONS


def conditional_bets(conditional: Conditional, tolerance: Tolerance) -> Bets:
    """Bets on what is left of a column, over all BINS."""
    tolerance = replace(tolerance, n=conditional.n, times=conditional.times)
    bets = _quantity_bets("numeric", tuple(conditional.masses.tolist()), tolerance)
    log_f: Floats = np.zeros((BINS, bets.log_f.shape[1]))
    log_f[: len(conditional.masses)] = bets.log_f
    return bets.with_log_f(log_f)


def least_change(reference: ColumnReference, tolerance: Tolerance) -> float:
    """The least change that may show, however long it lasts: smaller ones are within the tolerance.

    Of a quantity: a shift of the centre in standard deviations, as a normal would have to move. Of categories: the rise of the
    most frequent one's share.
    """
    tolerance = _resting_on(reference, tolerance)
    masses = reference.masses[reference.used_bins]
    if not reference.kind.is_coded:
        least = [least_shift(masses, tolerance)]
        hourly = reference.given.get(Aspect.HOURLY)
        if hourly is not None:
            least.append(least_shift(hourly.masses, replace(tolerance, n=hourly.n, times=hourly.times)))
        return min(least)
    top = int(np.argmax(masses))
    return float(_FAMILIES["categorical"].health(masses, tolerance.of("categories")).high[top] - masses[top])
