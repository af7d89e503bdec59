"""A column's values given what is known before they come: the hour, or the value before. What is left is binned by itself.

A season, or a level that wanders, makes values hang together: bets on them are raised to a small power (`autocorrelation`), and
the column is nearly blind. What is left given the hour, or the value before, hangs together much less, and shows small and short
changes at once. The column's own distribution goes on being watched beside it: a step says nothing of a level that stays moved.

*hourly*: the hour's own median taken off (of the day, or of the week), between hours by interpolation, over the hour's spread.
*step*: the value of the row before taken off, where that is one usual gap of time away: sampled series have such a gap, events
that come when they come have none, and rows that come otherwise than in the reference say nothing.

*runs*: of such a series, too, how long the value stays the same. That a value repeats is no news where values often stay the same
for a while; that it stays so for longer than ever is.

Belongs here: from values to what is left of them, and its bins. Not here: whether a column has one (`conditioning`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats

HOUR_MS = 3_600_000
HOURS = (24, 168)
"""Of a day, of a week."""
_GAP_RATIO = 1.1
"""Two rows whose distance in time is this many usual gaps, or one gap over this, are still neighbours."""


_TIMES = 40
"""Times at most of which health is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """What is left of a column in health. Either `centres` and `spreads` by hour, (24,) or (168,), NaN for hours it does not
    know; or `gap_ms`, the usual distance of two rows.

    n: values left; edges, masses (bins,), quantiles, times: as those of a `ColumnReference`, of what is left.
    """

    centres: Floats
    spreads: Floats
    gap_ms: int
    n: int
    edges: Floats
    masses: Floats
    quantiles: Floats
    times: Mapping[str, float]
    runs: int = 0
    longest_run: int = 0
    """Of steps: how many runs of equal values there are, and how long the longest one is, in rows; 0 where they do not tell."""

    def left(self, values: Floats, times_ms: NDArray[np.int64]) -> Floats:
        """What is left of values in stream order, (rows,) each; NaN where nothing is known to compare with."""
        return (
            steps(values, times_ms, self.gap_ms)
            if self.gap_ms
            else by_hour(values, times_ms, self.centres, self.spreads)
        )

    def run_counts(self, values: Floats, times_ms: NDArray[np.int64], before: int) -> tuple[int, int]:
        """(no, yes): runs that ended in time, and times that one became as long again as the longest one of health.

        The first row is the one before those that are counted, the `before`-th of its run.
        """
        lengths = run_lengths(values, times_ms, self.gap_ms, before - 1)
        ends = lengths[are_ends(values, times_ms, self.gap_ms)]
        too_long = (lengths[1:] > self.longest_run) & ((lengths[1:] - 1) % self.longest_run == 0)
        return int((ends <= self.longest_run).sum()), int(too_long.sum())

    def counts(self, left: Floats) -> Floats:
        """How many of what is left fall into each bin: (bins,)."""
        found = np.searchsorted(self.edges, left[~np.isnan(left)], side="right")
        return np.bincount(found, minlength=len(self.masses)).astype(np.float64)

    def healthy_at(self, times_ms: NDArray[np.int64]) -> Floats:
        """Values as health has them at these hours: all quantiles of what is left, at some of the times."""
        chosen = times_ms[:: max(len(times_ms) // _TIMES, 1)]
        # What is left of 0 and of 1 tells where the middle is, and how wide.
        nothing, one = (by_hour(np.full(len(chosen), v), chosen, self.centres, self.spreads) for v in (0.0, 1.0))
        found: Floats = (self.quantiles[None, :] - nothing[:, None]) / (one - nothing)[:, None]
        return found[np.isfinite(found).all(axis=1)].ravel()

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"times": dict(self.times)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Conditional":
        return cls(**state)


def steps(values: Floats, times_ms: NDArray[np.int64], gap_ms: int) -> Floats:
    """From the row before to each row, where they are neighbours; the first row has none."""
    found = np.full(len(values), np.nan)
    gaps = np.diff(times_ms)
    is_near = (gaps * _GAP_RATIO >= gap_ms) & (gaps <= gap_ms * _GAP_RATIO)
    found[1:] = np.where(is_near, np.diff(values), np.nan)
    return found


def run_lengths(values: Floats, times_ms: NDArray[np.int64], gap_ms: int, before: int = 0) -> NDArray[np.int64]:
    """How long the run of equal values is that each row stands in, up to it: (rows,). before: the first row's, less one."""
    starts = steps(values, times_ms, gap_ms) != 0
    places = np.arange(len(values))
    first = np.maximum.accumulate(np.where(starts, places, 0))
    found: NDArray[np.int64] = places - first + 1
    found[: int(np.argmax(starts[1:])) + 1 if starts[1:].any() else len(found)] += before
    return found


def are_ends(values: Floats, times_ms: NDArray[np.int64], gap_ms: int) -> NDArray[np.bool_]:
    """After which rows a run of equal values ends by another value, its neighbour: (rows,), never after the last."""
    found = np.zeros(len(values), bool)
    found[:-1] = np.nan_to_num(steps(values, times_ms, gap_ms)[1:]) != 0
    return found


def hour_of(times_ms: NDArray[np.int64], hours: int) -> NDArray[np.int64]:
    """Number of each time's hour in the day (24) or in the week (168), by UTC."""
    found: NDArray[np.int64] = times_ms // HOUR_MS % hours
    return found


def by_hour(values: Floats, times_ms: NDArray[np.int64], centres: Floats, spreads: Floats) -> Floats:
    """Distance from the hour's centre in its spreads; between the middles of two known hours, from what lies between."""
    hours = len(centres)
    own = hour_of(times_ms, hours)
    beyond = times_ms % HOUR_MS / HOUR_MS - 0.5
    other = np.where(beyond < 0, own - 1, own + 1) % hours
    other = np.where(np.isnan(centres[other]), own, other)
    weight = np.abs(beyond)
    centre = (1 - weight) * centres[own] + weight * centres[other]
    found: Floats = (values - centre) / ((1 - weight) * spreads[own] + weight * spreads[other])
    return found
