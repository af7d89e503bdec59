"""Which columns are looked at given the hour or the value before, as their rows of health show.

Of the reference's rows every other day is compared with the medians of the days between, so that what is left is no smaller than
it will be, and what hours were not known well enough shows in its time. By the hour of the week where there are four weeks and
what is left then hangs together much less, else by the hour of the day.

A column has a conditional reference only where what is left hangs together much less than the values do: else it would be one
more signal that says the same.

Limits: what the hour does to the spread alone is not looked for. A profile of more rows than are kept (`profiler`) has gaps
between its runs, over which no step counts.
Belongs here: the choice and the fit. Not here: what is left of a value (`conditional`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whydrift.core.autocorrelation import NUMERIC_GROUPS, integrated_time
from whydrift.core.columns import Column, Floats, Presence, Presences
from whydrift.core.conditional import HOUR_MS, HOURS, Conditional, are_ends, by_hour, hour_of, run_lengths, steps
from whydrift.core.reference import ColumnReference, learn_column
from whydrift.core.signals import Aspect

_DAY_MS = 24 * HOUR_MS
_LEAST_TIME = 4.0
"""Of values that hang together less than this there is little to gain."""
_LEAST_GAIN = 2.0
"""By this factor what is left must hang together less."""
_LEAST_DAYS, _LEAST_ROWS = 2, 20
"""An hour is known that has so many rows, of so many days."""
_WEEKS_MS = 27 * _DAY_MS
"""Four weeks that may begin and end within a day."""
_LEAST_R2 = 0.03
"""Part of the variance that hours must explain of days they were not learnt from."""
_SHRUNK_ROWS = 30
"""An hour's spread is drawn towards that of all hours as if by so many rows."""
_REGULAR = 0.8
"""Part of the rows that must stand at a known hour."""
_NEIGHBOURS = 0.5
"""Part of the rows that must come one usual gap after the one before. Of events that come when they come a fourteenth does; of an
hourly table with hours left out, and several rows of one hour, seven in ten."""
_LEAST_RUNS = 20
"""By fewer runs of equal values the longest one says nothing."""
_LONG_RUN = 1.5
"""Runs that end by chance, n of them, have a longest one of ln n times their mean length. Where it is this many times as long,
spells of one value (no rain) may become much longer still."""
_QUARTILES = 1.349
"""Distance between the quartiles of a normal, in standard deviations."""


def conditioned(
    reference: ColumnReference,
    column: Column,
    values: Floats,
    presence: Presences,
    times_ms: NDArray[np.int64],
    aspects: frozenset[Aspect],
) -> ColumnReference:
    """The reference with its conditional ones, as far as the column has these aspects, from the same rows in stream order."""
    if reference.kind.is_coded or reference.distinct < 2 or reference.times.get("centre", 1.0) < _LEAST_TIME:
        return reference
    usable = np.where(presence == Presence.PRESENT, values, np.nan)
    level = reference.times["centre"] / _LEAST_GAIN
    kept = {}
    for aspect, learn in _WAYS.items():
        one = learn(column, usable, times_ms) if aspect in aspects else None
        if one is not None and _level(one) <= level:
            kept[str(aspect)] = one
    if not kept:
        return reference
    times = reference.times
    if Aspect.STEP in kept:
        kept[Aspect.STEP], time = _with_runs(kept[Aspect.STEP], usable, times_ms)
        times = times if time <= 1 else {**times, str(Aspect.RUNS): time}
    return replace(reference, given=kept, times=times)


def _with_runs(step: Conditional, values: Floats, times_ms: NDArray[np.int64]) -> tuple[Conditional, float]:
    """With the runs of equal values, where they are of a like length, and how they hang together."""
    lengths = run_lengths(values, times_ms, step.gap_ms)
    ended = lengths[np.flatnonzero(are_ends(values, times_ms, step.gap_ms))]
    longest = int(lengths.max())
    if len(ended) < _LEAST_RUNS or longest > _LONG_RUN * np.log(len(ended)) * ended.mean():
        return step, 1.0
    return replace(step, runs=len(ended), longest_run=longest), integrated_time(ended[None, :].astype(float))


def _step(column: Column, values: Floats, times_ms: NDArray[np.int64]) -> Conditional | None:
    gap_ms = int(np.median(np.diff(times_ms))) if len(times_ms) > 1 else 0
    if gap_ms <= 0:
        return None
    left = steps(values, times_ms, gap_ms)
    if np.isfinite(left).sum() < _NEIGHBOURS * np.isfinite(values).sum():
        return None
    return _learn(column, left, np.empty(0), np.empty(0), gap_ms)


def _hourly(column: Column, values: Floats, times_ms: NDArray[np.int64]) -> Conditional | None:
    """By the hour of the day or of the week, whichever tells enough more."""
    usable = np.isfinite(values)
    values, times_ms = values[usable], times_ms[usable]
    chosen = None
    for hours in HOURS:
        is_long = hours == HOURS[0] or (len(times_ms) > 0 and int(np.ptp(times_ms)) >= _WEEKS_MS)
        left = _crosswise(values, times_ms, hours) if is_long else None
        found = None if left is None else _learn(column, left, *_fit(values, times_ms, hours), 0)
        if found is not None and (chosen is None or _LEAST_GAIN * _level(found) <= _level(chosen)):
            chosen = found
    return chosen


def _level(one: Conditional) -> float:
    return one.times.get("centre", 1.0)


def _crosswise(values: Floats, times_ms: NDArray[np.int64], hours: int) -> Floats | None:
    """What is left of each day by the days of the other parity; None where too few hours are known, or tell too little.

    (Weeks have seven days: an hour of the week changes its parity from week to week.)
    """
    parity = times_ms // _DAY_MS % 2
    left, scatter = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for own in (0, 1):
        mine, others = parity == own, parity != own
        centres, spreads = _fit(values[others], times_ms[others], hours)
        left[mine] = by_hour(values[mine], times_ms[mine], centres, spreads)
        scatter[mine] = by_hour(values[mine], times_ms[mine], centres, np.ones(hours))
    known = np.isfinite(left)
    if not len(values) or known.mean() < _REGULAR:
        return None
    # Absolute distances: a few extremes must not decide.
    before = float(np.abs(values[known] - np.median(values[known])).mean())
    after = float(np.abs(scatter[known]).mean())
    return left if before > 0 and 1 - (after / before) ** 2 >= _LEAST_R2 else None


def _fit(values: Floats, times_ms: NDArray[np.int64], hours: int) -> tuple[Floats, Floats]:
    """Median and spread by hour, (hours,) each; NaN where an hour is not known well enough."""
    own, days = hour_of(times_ms, hours), times_ms // _DAY_MS
    centres, spreads, rows = np.full(hours, np.nan), np.full(hours, np.nan), np.zeros(hours)
    for hour in np.unique(own).tolist():
        mine = values[own == hour]
        if len(mine) >= _LEAST_ROWS and len(np.unique(days[own == hour])) >= _LEAST_DAYS:
            low, centres[hour], high = np.quantile(mine, (0.25, 0.5, 0.75))
            spreads[hour], rows[hour] = (high - low) / _QUARTILES, len(mine)
    known = rows > 0
    if not known.any():
        return centres, spreads
    common = float((rows[known] @ spreads[known] ** 2) / rows.sum())
    if common <= 0:
        return np.full(hours, np.nan), spreads
    spreads[known] = np.sqrt((rows[known] * spreads[known] ** 2 + _SHRUNK_ROWS * common) / (rows[known] + _SHRUNK_ROWS))
    return centres, spreads


def _learn(column: Column, left: Floats, centres: Floats, spreads: Floats, gap_ms: int) -> Conditional | None:
    """Of what is left in health, in stream order, NaN where there is nothing."""
    left = left[np.isfinite(left)]
    found = learn_column(column, left, np.zeros(len(left), np.int8))
    if not found.n or found.distinct < 2:
        return None
    times = {group: time for group, time in found.times.items() if group in NUMERIC_GROUPS}
    masses = found.masses[found.used_bins]
    return Conditional(centres, spreads, gap_ms, found.n, found.edges, masses, found.quantiles, times)


_WAYS = {Aspect.HOURLY: _hourly, Aspect.STEP: _step}
