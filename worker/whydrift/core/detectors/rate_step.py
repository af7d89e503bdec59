"""A step of a rate: counts of the latest intervals against those just before, over every moment at which it may have stepped.

Season, ramps and growth change a rate too, but not within minutes; so a change that is small beside what a day brings still
shows by its edge. For each split of the latest intervals into *before* and *after*, arrivals after it are, given all of them,
binomial: a likelihood ratio against the edge of health, exact in the sampling error of *before*, is an e-value. The evidence is
the mean over the splits. Health reaches to EDGE, and by SLOPE further for each hour between the middles of both parts. Where
the hour of the day or of the week is known, what is usual then is health as well; and so is any level of the last hour or so.

Bursts: the evidence is divided by the dispersion, measured over single intervals and runs of them, and the most extreme interval
after the step counts as the next.

Limits: a step at the same hour every day is told once, before that hour is known. Blind to ramps, to steps below EDGE, and where
arrivals are so few that intervals are ten minutes and longer.
Belongs here: that evidence. Not here: intervals, hours, alarms (`rate`).
"""

from collections.abc import Sequence
from itertools import accumulate
from math import exp, inf, log

import numpy as np
from scipy.special import chdtri

from whydrift.core.columns import Floats

EDGE = 1.25
"""Steps by this factor are health: retries, a client more or less."""
SLOPE = 0.2
"""Growth of the logarithm an hour that is health beyond EDGE."""
MOST_HOURS = 1.2
"""Between the middles of both parts. So far EDGE and SLOPE leave room for a daily season with a tenth of the traffic at night,
whose logarithm grows by 0.37 an hour where it is steepest; so does traffic that grows threefold in three hours."""
_RATIOS = (1.3, 2.0, 4.0)
"""How far beyond health the alternatives are."""
_AFTER = range(3, 25)
LEAST_BEFORE, _MOST_BEFORE, _BEFORE_FOR_AFTER = 12, 60, 3
KEPT = _MOST_BEFORE + _AFTER[-1]
"""Intervals that are looked at."""
_RUNS = (1, 2, 4)
_LEAST_RUNS = 6
_CHANCE = 0.02
_MOST_LOG = 460.0


def step_evidence(
    counts: Sequence[float], usual: Sequence[Sequence[float]], interval_ms: int, *, up: bool
) -> tuple[float, int]:
    """The e-value for a step up (or down) within the latest intervals, and after how many of them from the end it began.

    counts: arrivals, oldest first, at most KEPT of them matter. usual: of each interval the least and the greatest count that its
    hour of the day and of the week had; −1 where not known.
    """
    kept = counts[-KEPT:]
    sums, values = [0.0, *accumulate(kept)], np.asarray(kept, float)
    found = [(_split(values, sums, usual, after, interval_ms, up=up), after) for after in _AFTER]
    return sum(exp(min(log_e, _MOST_LOG)) for log_e, _ in found) / len(_AFTER), max(found)[1]


def _split(
    counts: Floats, sums: Sequence[float], usual: Sequence[Sequence[float]], after: int, interval_ms: int, *, up: bool
) -> float:
    """log e of one split; −∞ where nothing speaks for a step, or too little was before. sums: of the first 0, 1, … counts."""
    step = len(counts) - after
    width = min(step, max(LEAST_BEFORE, min(_MOST_BEFORE, _BEFORE_FOR_AFTER * after)))
    hours = (width + after) / 2 * interval_ms / 3_600_000
    if width < LEAST_BEFORE or hours > MOST_HOURS:
        return -inf
    edge = EDGE * exp(SLOPE * hours)
    was, now = (sums[step] - sums[step - width]) / width, (sums[-1] - sums[step]) / after
    if not (now > edge * was > 0 if up else now * edge < was):
        return -inf
    before = counts[step - width : step]
    here, scatter = _without_extreme(counts[-after:], up=up), _dispersion(before)
    # What it was for as long within the last hour or so is health: a surge or a backlog that ends is no fall.
    levels = np.convolve(counts[:step], np.ones(width), "valid")
    usually = float(levels.max() if up else levels.min())
    log_e = _mixture(here, after, usually, width, edge if up else 1 / edge, scatter) if usually > 0 else -inf
    limits = [high if up else low for low, high in usual[-after:]]
    if min(limits) >= 0 and sum(limits) == 0 and not up:
        return -inf  # at this hour it may be that nothing comes
    if min(limits) >= 0 and sum(limits) > 0:
        # One day's or week's count of the same hours: as uncertain as this one.
        log_e = min(log_e, _mixture(here, after, sum(limits), after, EDGE**2 if up else 1 / EDGE**2, scatter))
    return log_e


def _mixture(here: float, exposure: float, there: float, other: float, edge: float, scatter: float) -> float:
    """log e that the rate here is beyond edge × the rate there: binomial likelihood ratios, given the sum of both."""

    def logs(ratio: float) -> float:
        part = exposure * ratio / (exposure * ratio + other)
        return here * log(part) + there * log(1 - part)

    steps = [(logs(edge * ratio if edge > 1 else edge / ratio) - logs(edge)) / scatter for ratio in _RATIOS]
    top = max(steps)
    return top + log(sum(exp(step - top) for step in steps) / len(steps))


def _without_extreme(counts: Floats, *, up: bool) -> float:
    """Their sum, with the greatest (or least) one counted as the next: no single interval makes a step."""
    ordered = np.sort(counts)
    return float(counts.sum() + (ordered[-2] - ordered[-1] if up else ordered[1] - ordered[0]))


def _dispersion(counts: Floats) -> float:
    """Variance over mean of counts, or of sums of two or four: the greatest of those that chance does not explain, else 1."""
    found = [1.0]
    for run in _RUNS:
        whole = len(counts) // run * run
        sums = counts[len(counts) - whole :].reshape(-1, run).sum(axis=1)
        if len(sums) >= _LEAST_RUNS:
            ratio, freedom = float(sums.var(ddof=1) / max(sums.mean(), 1e-9)), len(sums) - 1
            found.append(ratio if ratio > chdtri(freedom, _CHANCE) / freedom else 1.0)
    return max(found)
