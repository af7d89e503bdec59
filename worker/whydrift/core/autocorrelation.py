"""How many values in a row tell as much as one: the integrated autocorrelation time of a column's values, from its reference.

Bets multiply up row by row, as if rows were independent. Where they hang together (a sensor, one customer's batch, a season),
twenty rows repeat one piece of news twenty times. So a column has, for each kind of bet, a *time*: the bets are raised to the
power 1 / time, and the reference counts as n / time rows. Of rows that are independent once they lie `time` apart, a product of
bets raised to 1 / time has expectation ≤ 1 (Hölder: it is the geometric mean of `time` products of independent ones). Where
dependence fades slowly that is no proof: the time below then makes the variance of sums right, which counts over many rows.

Estimated by means of blocks of 2, 4, 8 … rows: their variance, over what it would be if rows were independent, grows to the time
and stays there. Where it goes follows from two lengths: as the correlation of an autoregression fades beneath noise (ARMA(1, 1):
a sensor's level, a batch in common). Blocks that vary no more than chance allows say 1, so that a column without dependence loses
nothing. Few blocks are long ones: so the time is at least that of an autoregression with the series' correlation of neighbours,
one standard error up, its bias mended (Marriott and Pope 1954: r + (1 + 4 r) / n).

A column of one value does not show how it hangs together: it may be the month, and next month be another. It is taken to be as
slow as half of its fellows are at least (`common_time`); alone, or among independent ones, it loses nothing.

Limits: what is slower than a sixteenth of the reference is seen in part, and cannot be told from a level that moves for good.
References made before there were times have none: 1.
Belongs here: the estimate. Not here: what is done with it (`detectors.bets`, `signals`).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from whydrift.core.columns import Floats, ranks_among
from whydrift.core.detectors.numeric import shapes, tails

_LEAST_BLOCKS = 16
SLOW = 50.0
"""Rows that tell as much as one, from which a column may have wandered far from its reference without any fault."""
CHANCE = 1e-5
"""That blocks of independent rows vary so much: a model has hundreds of series, each with some ten lengths of blocks."""
FOLLOWING_CHANCE = 0.2
"""The same of a series that follows from others, of which some hang together: that this one does not would be the news. Of 500
decisions by an input with a batch's level, whose time is 13, the bar above lets three quarters pass as independent; of 2,000
outcomes and losses of such inputs, whose time is 15, a bar of .05 does a half."""
_FADES = np.geomspace(100.0, 0.2, 100)
"""Blocks' lengths over the rows in which correlation falls to 1 / e: what takes more than five blocks is not told apart."""

_LEAST_POWER = 0.5
"""Of an autoregression of .9, whose time is 19, 2,000 values show times of 2 (single bins) to 5 (tails); 250 show none."""


NUMERIC_GROUPS = ("centre", "spread", "form", "tails", "local")
"""Groups of bets of `detectors.numeric`."""
_LEAST_FOLLOWING = 100
"""Rows it takes to see what one series tells of another."""
_LEVELS = ("centre", "categories")
"""Groups that move with a column's level; a column has one of them."""


def integrated_time(series: Floats, chance: float = CHANCE) -> float:
    """Rows that tell as much as one independent row; ≥ 1. series (parts, rows): parts are weighted by their variances.

    chance: of seeing any dependence where there is none, at each length of blocks.
    """
    rows = series.shape[1]
    centred = series - series.mean(axis=1, keepdims=True) if rows else series
    variance = float((centred**2).sum()) / max(rows - 1, 1)
    longest, before, sums, block = 1.0, 1.0, centred, 1
    is_dependent = False
    while variance > 0 and sums.shape[1] // 2 >= _LEAST_BLOCKS:
        whole = sums.shape[1] // 2 * 2
        sums, block = sums[:, 0:whole:2] + sums[:, 1:whole:2], 2 * block
        freedom = sums.shape[1] - 1
        spread = float(((sums - sums.mean(axis=1, keepdims=True)) ** 2).sum()) / freedom
        ratio = spread / block / variance
        if ratio > float(chdtri(freedom, chance)) / freedom:
            is_dependent, longest = True, max(longest, _limit(before, ratio, block))
        before = ratio
    return max(longest, _autoregressive_time(centred)) if is_dependent else 1.0


def _limit(half: float, whole: float, block: int) -> float:
    """Where ratios of blocks of half this length and of this length go, if correlation is a share of φ^lag.

    Ratios are 1 + a h(block), with h(b) = 1 − (1 − φ^b) / (b (1 − φ)), and go to 1 + a. How they grow tells φ.
    """
    if half <= 1 or block == 2:
        return whole
    lost = _FADES / block
    lost = lost[lost < 1]
    of_half, of_whole = (1 - (1 - (1 - lost) ** b) / (b * lost) for b in (block / 2, block))
    return 1 + (whole - 1) / float(np.interp((whole - 1) / (half - 1), of_whole / of_half, of_whole))


def _autoregressive_time(centred: Floats) -> float:
    """(1 + r) / (1 − r), r the correlation of neighbours, as high as it may well be."""
    rows = centred.shape[1]
    r = float((centred[:, 1:] * centred[:, :-1]).sum() / (centred**2).sum())
    r += (1 + 4 * r) / rows + (max(1 - r * r, 0.0) / rows) ** 0.5
    r = float(min(r, 1 - 1 / rows))
    return float((1 + r) / (1 - r))


def numeric_times(masses: Floats, bins: NDArray[np.intp], chance: float = CHANCE) -> dict[str, float]:
    """By group of bets of `detectors.numeric`: masses (bins,) of the reference, the bin of each of its values in stream order."""
    low, high = tails(masses)
    series = {name: phi[None, :] for name, phi in shapes(masses).items()}
    series |= {"tails": np.stack([low, high]), "local": np.eye(len(masses))}
    times = {name: integrated_time(phi[:, bins], chance) for name, phi in series.items()}
    # Tails and bins have few values of a short reference each: where the level hangs together, so do they.
    least = times["centre"] ** _LEAST_POWER
    return _longer({name: max(time, least) for name, time in times.items()})


def category_times(bins: NDArray[np.intp], chance: float = CHANCE) -> dict[str, float]:
    """For bets on the shares of categories, and on those never seen: the bin of each value in stream order.

    A spell of one category tells of it as it begins: of spells' beginnings many more rows tell something than of their shares.
    """
    _, places = np.unique(bins, return_inverse=True)
    shares = np.eye(int(places.max(initial=0)) + 1)[:, places]
    found = _longer({"categories": integrated_time(shares, chance)})
    if found:
        begins = shares * np.append(True, places[1:] != places[:-1])
        found["unseen"] = integrated_time(begins, chance)
    return found


def flag_times(flags: Mapping[str, NDArray[np.bool_]], chance: float = CHANCE) -> dict[str, float]:
    """For bets on yes-or-no signals: whether each row is one, by signal."""
    return _longer({name: integrated_time(flag.astype(float)[None, :], chance) for name, flag in flags.items()})


def following_time(leader: Floats, follower: Floats, times: Mapping[str, float], *, is_coded: bool = False) -> float:
    """Rows that tell as much as one of what follows from another series, which has these times: (rows,) each, NaN for none.

    What the leader's level and spread tell of the follower's variance (their squared correlations with its ranks; of categories,
    the part of theirs that lies between these) fades as they do, and the rest at once.
    """
    there = ~(np.isnan(leader) | np.isnan(follower))
    if there.sum() < _LEAST_FOLLOWING:
        return 1.0
    u, values = ranks_among(leader[there], leader[there]), follower[there]
    told = {"centre": 2 * u - 1, "spread": 6 * u * u - 6 * u + 1}
    parts = [_told(phi, values, is_coded=is_coded) * (times.get(group, 1.0) - 1) for group, phi in told.items()]
    return 1 + sum(parts)


def _told(phi: Floats, values: Floats, *, is_coded: bool) -> float:
    """The part of a variance, without what chance makes of it."""
    total = float(((phi - phi.mean()) ** 2).sum())
    if total <= 0:
        return 0.0
    if is_coded:
        _, code = np.unique(values, return_inverse=True)
        counts, sums = np.bincount(code), np.bincount(code, weights=phi - phi.mean())
        found, free = float((sums**2 / counts).sum()) / total, len(counts) - 1
    else:
        ranks = ranks_among(values, values) - 0.5
        found = float(phi @ ranks) ** 2 / max(total * float(ranks @ ranks), 1e-12)
        free = 1
    return max(found - free / len(phi), 0.0)


def at_least(times: Mapping[str, float], time: float, *, is_coded: bool) -> dict[str, float]:
    """The same, where all bets on the values of a column have this time at least."""
    groups = ("categories",) if is_coded else NUMERIC_GROUPS
    return dict(times) | _longer({group: max(time, times.get(group, 1.0)) for group in groups})


def level_time(times: Mapping[str, float]) -> float:
    """Of the bets that move with a column's level."""
    return max(times.get(group, 1.0) for group in _LEVELS)


def common_time(columns: Iterable[Mapping[str, float]]) -> float:
    """The median over columns, of which each has the time of its level; 1 without columns."""
    levels = [level_time(times) for times in columns]
    return float(np.median(levels)) if levels else 1.0


def _longer(times: Mapping[str, float]) -> dict[str, float]:
    return {name: time for name, time in times.items() if time > 1}
