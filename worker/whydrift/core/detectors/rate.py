"""Arrivals of something (predictions, labels) against their own recent past, on stream time.

Counts per interval are bet against a trailing mean with a wide tolerance, so that daily season and planned ramps stay health
(they move by less than TOLERANCE within the trailing mean's memory) while a surge, a collapse and a stop do not. The interval
is as long as it must be: it doubles until it holds enough arrivals and they are no burstier than their mean.
Bets are Poisson likelihood ratios at the edge of the tolerance, divided by the measured dispersion; one interval moves the
evidence by at most _STEP, so that a single burst is never an alarm.

Blind to changes below TOLERANCE, and to the silence of a feed whose stream time stands still (the shell's wall clock sees that).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, log10
from typing import Any

TOLERANCE = 2.5
"""Health reaches from the trailing mean divided by this to the trailing mean times this."""
_UP = (5.0, 12.0)
_DOWN = (1 / 5.0, 1 / 50.0)
_FIRST_INTERVAL_MS = 60_000
_LEARNING_INTERVALS = 20
_MIN_EXPECTED = 20.0
_MEMORY = 0.05
"""Weight of a new interval in the trailing mean: a half-life of 14 intervals."""
_STEP = 5.0
_QUIET_INTERVALS = 3
_MAX_CATCH_UP = 1_000
"""Empty intervals walked through one by one after a gap; evidence saturates long before."""
_CAP = 1e100


@dataclass(slots=True)
class RateGuard:
    """Alarm on the rate of one kind of arrival. `count()` each arrival, `advance()` with stream time first.

    downward_only: more than usual is health (a backlog of labels catching up).
    """

    downward_only: bool
    interval_ms: int = _FIRST_INTERVAL_MS
    boundary_ms: int = -1
    """End of the current interval; −1 before the first arrival."""
    here: int = 0
    learnt: int = 0
    """Intervals learnt from since the interval was last changed."""
    mean: float = 0.0
    square: float = 0.0
    dispersion: float = 1.0
    up: float = 0.0
    down: float = 0.0
    is_alarmed: bool = False
    onset_ms: int = -1
    quiet: int = 0
    observed: float = 0.0
    """Arrivals in the last full interval."""

    def count(self) -> None:
        """One arrival in the current interval."""
        self.here += 1

    def advance(self, stream_time_ms: int, log10_threshold: float) -> None:
        """Close every interval that ended by now."""
        if self.boundary_ms < 0:
            self.boundary_ms = (stream_time_ms // self.interval_ms + 1) * self.interval_ms
            return
        walked = 0
        while stream_time_ms >= self.boundary_ms:
            self._close(log10_threshold)
            self.boundary_ms += self.interval_ms
            walked += 1
            if walked == _MAX_CATCH_UP:
                self.boundary_ms = (stream_time_ms // self.interval_ms + 1) * self.interval_ms

    def _close(self, log10_threshold: float) -> None:
        arrivals, self.here = self.here, 0
        self.observed = float(arrivals)
        if self.learnt < _LEARNING_INTERVALS:
            self._learn(arrivals)
            return
        self._bet(arrivals)
        self._judge(arrivals, log10_threshold)
        if not self.is_alarmed and max(self.up, self.down) < 10.0:
            held = min(max(arrivals, self.mean / TOLERANCE), self.mean * TOLERANCE)
            self.mean += _MEMORY * (held - self.mean)

    def _learn(self, arrivals: int) -> None:
        self.learnt += 1
        self.mean += (arrivals - self.mean) / self.learnt
        self.square += (arrivals * arrivals - self.square) / self.learnt
        if self.learnt < _LEARNING_INTERVALS:
            return
        variance = max(self.square - self.mean * self.mean, 0.0)
        self.dispersion = max(variance / self.mean, 1.0) if self.mean > 0 else 1.0
        if self.mean < _MIN_EXPECTED or variance > self.mean * self.mean:
            self.interval_ms *= 2
            self.learnt, self.mean, self.square = 0, 0.0, 0.0
            # Intervals stay aligned to the epoch: `advance` adds the new length to this boundary.
            self.boundary_ms = self.boundary_ms // self.interval_ms * self.interval_ms

    def _bet(self, arrivals: int) -> None:
        if max(self.up, self.down) < 1.0 and not self.is_alarmed:
            self.onset_ms = self.boundary_ms - self.interval_ms
        if not self.downward_only:
            self.up = min((self.up + 1) * self._factor(arrivals, _UP, TOLERANCE), _CAP)
        self.down = min((self.down + 1) * self._factor(arrivals, _DOWN, 1 / TOLERANCE), _CAP)

    def _factor(self, arrivals: int, ratios: tuple[float, ...], edge: float) -> float:
        return sum(self._likelihood(arrivals, ratio, edge) for ratio in ratios) / len(ratios)

    def _likelihood(self, arrivals: int, ratio: float, edge: float) -> float:
        step = (arrivals * log(ratio / edge) - (ratio - edge) * self.mean) / self.dispersion
        return exp(min(max(step, -_STEP), _STEP))

    def _judge(self, arrivals: int, log10_threshold: float) -> None:
        if not self.is_alarmed:
            self.is_alarmed = self.log10_e >= log10_threshold
            self.quiet = 0
            return
        is_healthy = self.mean / TOLERANCE <= arrivals and (self.downward_only or arrivals <= self.mean * TOLERANCE)
        self.quiet = self.quiet + 1 if is_healthy else 0
        if self.quiet >= _QUIET_INTERVALS:
            self.is_alarmed, self.up, self.down = False, 0.0, 0.0

    @property
    def log10_e(self) -> float:
        """Evidence for a change either way."""
        return log10(max((self.up + self.down) / (1 if self.downward_only else 2), 1e-300))

    @property
    def is_ready(self) -> bool:
        """Whether an expectation has been learnt."""
        return self.learnt >= _LEARNING_INTERVALS

    def expected_per_hour(self) -> float | None:
        """The trailing mean, None while it is not known."""
        return self.mean * 3_600_000 / self.interval_ms if self.is_ready else None

    def observed_per_hour(self) -> float | None:
        """The last full interval, None while there is nothing to compare it with."""
        return self.observed * 3_600_000 / self.interval_ms if self.is_ready else None

    def accept(self) -> None:
        """Take the present rate for health: learn it anew."""
        self.learnt, self.mean, self.square, self.up, self.down = 0, 0.0, 0.0, 0.0, 0.0
        self.is_alarmed = False

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "RateGuard":
        return cls(**state)
