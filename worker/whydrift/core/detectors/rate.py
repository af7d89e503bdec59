"""Arrivals of something (predictions, labels) against their own past, on stream time.

Counts per interval are bet against what is usual: a trailing mean, the same hour of the day, the same hour of the week. Health
reaches from the least of these divided by TOLERANCE to the greatest times TOLERANCE, so that what changes slowly (ramps), or
changed yesterday or last week too (season), stays quiet, while a surge, a collapse and a stop do not. Where hours differ abruptly
(offices that open, nightly batches), those beside count by themselves: it may begin and end a little sooner or later.
The interval is as long as it must be: it doubles until it holds enough arrivals and they are no burstier than their mean.
A change within minutes shows besides by its edge, however small beside what a day brings (`rate_step`).
Bets are Poisson likelihood ratios at the edge of health, divided by the measured dispersion; one interval moves the evidence
by at most _STEP, so that a single burst is never an alarm.

Limits: a night or a weekend that falls at once may alarm the first time it is seen. Blind to slow changes below TOLERANCE, to a
day that stays at the level of the night (stops apart), to what is missing of an hour beside one in which nothing comes (so to a
batch of less than two hours that does not come at all), and to the silence of a feed whose stream time stands still (the shell's
wall clock sees that).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log, log10
from typing import Any

from whydrift.core.detectors.rate_step import EDGE, KEPT, LEAST_BEFORE, step_evidence

TOLERANCE = 2.5
"""Health reaches from what is usual divided by this to what is usual times this."""
_UP = (5.0, 12.0)
_DOWN = (1 / 5.0, 1 / 50.0)
_FIRST_INTERVAL_MS = 60_000
_LEARNING_INTERVALS = 20
_MIN_EXPECTED = 8.0
"""Arrivals in an interval from which its emptiness says something: e^2.5 against a tenth of them, at one interval."""
_MEMORY = (0.05, 0.3)
"""Bounds of the weight of a new interval in the trailing mean; between them the mean is _MEMORY_MS old."""
_MEMORY_MS = 3_600_000
_DISPERSION_MEMORY = 0.02
_STEP = 5.0
_NO_BET = 0.4
"""Given away where nothing comes and nothing has to: kept at 1, evidence would count the intervals of a night."""
_SUSPICIOUS = 2.0
"""Evidence from which nothing is learnt: it may be the beginning of an alarm. In health it is far below."""
_QUIET_INTERVALS = 3
_STEP_INTERVALS = 6
"""Intervals that show whether a step is over, by their sum."""
_NEW_LEVEL_MS = 86_400_000
"""A step that has lasted so long is how it is now; what is larger than TOLERANCE stays an alarm until somebody accepts it."""
_MAX_CATCH_UP = 3_000
"""Empty intervals walked through one by one after a gap, two days of minutes; evidence saturates before, if something has to come
then. Of the rest, hours are learnt."""
_CAP = 1e100
_HOUR_MS = 3_600_000
_DAY, _WEEK = 24, 168
_MAX_HOURS = 12
"""Intervals that touch more hours than this have no hour of the day."""
_UNKNOWN = -1.0
_LIKE = 1.4
"""Expectations that differ by less than this are taken for one, known the better for it."""
_ABRUPT, _CLOSED, _CHANCE_Z = 3.0, 5.0, 2.0
"""Neighbouring hours that differ by more than the first: it comes a little sooner or later today. By more than the second:
something opens or closes in between, and until then nothing may come. Either beyond so many standard deviations."""
_HOUR_MEMORY = {_DAY: 0.3, _WEEK: 0.5}


_Usual = tuple[float, float]
"""The least and the greatest number of arrivals that one expectation allows; mostly the same."""


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
    is_ready: bool = False
    """Whether an expectation has been learnt."""
    learning: list[int] = field(default_factory=list)
    """Arrivals of the intervals learnt from, while not ready."""
    mean: float = 0.0
    dispersion: float = 1.0
    day: list[float] = field(default_factory=lambda: [_UNKNOWN] * _DAY)
    """Usual arrivals in each hour of the day (UTC), _UNKNOWN where not seen."""
    week: list[float] = field(default_factory=lambda: [_UNKNOWN] * _WEEK)
    hour: int = -1
    """The hour since 1970 being counted, its arrivals, and its milliseconds so far."""
    hour_arrivals: int = 0
    hour_ms: int = 0
    pending: list[list[float]] = field(default_factory=list)
    """Hours (number, arrivals) under suspicion: learnt when it has gone, or after an alarm where nothing better is known."""
    up: list[float] = field(default_factory=lambda: [0.0] * len(_UP))
    """Evidence of each alternative; each keeps its own, as a mean of factors would cost log 2 at every interval."""
    down: list[float] = field(default_factory=lambda: [0.0] * len(_DOWN))
    counts: list[float] = field(default_factory=list)
    """Arrivals of the latest intervals, those under an alarm left out."""
    usuals: list[list[float]] = field(default_factory=list)
    """Of the same intervals, the least and the greatest by the hour of the day and of the week; −1 where not known."""
    step_e: float = 0.0
    """Evidence for a step, an e-value."""
    step_from: float = -1.0
    """Arrivals in an interval before the step that is alarmed; −1 when none is."""
    lately: list[float] = field(default_factory=list)
    """The latest intervals under an alarm."""
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
            if walked == _MAX_CATCH_UP and stream_time_ms >= self.boundary_ms:
                self._skip_to(stream_time_ms // self.interval_ms * self.interval_ms)

    def _skip_to(self, now_ms: int) -> None:
        """Nothing came until then: learn that by hours only."""
        first = self.hour if self.hour >= 0 else self.boundary_ms // _HOUR_MS
        for hour in range(first, now_ms // _HOUR_MS)[-_WEEK:]:
            self._learn_hour(hour, float(self.hour_arrivals) if hour == self.hour else 0.0)
        self.hour, self.hour_arrivals, self.hour_ms = now_ms // _HOUR_MS, 0, now_ms % _HOUR_MS
        self.boundary_ms = now_ms + self.interval_ms

    def _close(self, log10_threshold: float) -> None:
        arrivals, self.here = self.here, 0
        self.observed = float(arrivals)
        if not self.is_ready:
            self._remember(arrivals)
            self._learn(arrivals)
            return
        usual = self._usual()
        self._bet(arrivals, usual)
        step_after = self._look_for_step(arrivals)
        self._judge(arrivals, usual, log10_threshold, step_after)
        if not self._is_suspicious():
            self._follow(arrivals, usual)
        self._remember(arrivals)

    # -- learning -----------------------------------------------------------------------------------------------------

    def _learn(self, arrivals: int) -> None:
        self.learning.append(arrivals)
        if len(self.learning) < _LEARNING_INTERVALS:
            return
        mean = sum(self.learning) / len(self.learning)
        variance = sum((count - mean) ** 2 for count in self.learning) / len(self.learning)
        if mean < _MIN_EXPECTED or variance > mean * mean:
            self._double()
            return
        self.mean, self.dispersion = mean, max(variance / mean, 1.0)
        self.counts, self.usuals = [float(count) for count in self.learning], [[-1.0, -1.0]] * len(self.learning)
        self.is_ready, self.learning = True, []

    def _double(self) -> None:
        """Make intervals twice as long. They stay aligned to the epoch, and what was counted stays counted."""
        self.interval_ms *= 2
        if self.boundary_ms % self.interval_ms:
            self.here = self.learning.pop()
        counts = self.learning[len(self.learning) % 2 :]
        self.learning = [first + second for first, second in zip(counts[::2], counts[1::2], strict=True)]
        # `advance` adds the new length to this boundary.
        self.boundary_ms = self.boundary_ms // self.interval_ms * self.interval_ms

    def _follow(self, arrivals: int, usual: list[_Usual]) -> None:
        """Let the trailing mean and the dispersion follow, but not beyond health.

        Where nothing may come at this hour, that nothing comes says nothing of the hours in which something does.
        """
        is_silence = not arrivals and any(low == 0 for low, _ in usual[1:])
        if not is_silence and (not self.downward_only or arrivals <= self.mean * TOLERANCE):
            held = min(max(arrivals, self.mean / TOLERANCE), self.mean * TOLERANCE)
            weight = min(max(self.interval_ms / _MEMORY_MS, _MEMORY[0]), _MEMORY[1])
            self.mean += weight * (held - self.mean)
        low, high = usual[1] if len(usual) > 1 else usual[0]
        expected = min(max(arrivals, low), high)
        missed = 0.0 if self.downward_only and arrivals > high else arrivals - expected
        error = missed**2 / max(expected, 1.0)
        self.dispersion += _DISPERSION_MEMORY * (min(error, 10 * self.dispersion) - self.dispersion)
        self.dispersion = max(self.dispersion, 1.0)

    def _remember(self, arrivals: int) -> None:
        """Add the interval that ends at the boundary to the hours it covers."""
        first, last = self._hours()
        if last - first >= _MAX_HOURS:
            return
        if self.interval_ms >= _HOUR_MS:
            for hour in range(first, last + 1):
                self._learn_hour(hour, arrivals * _HOUR_MS / self.interval_ms)
            return
        if first != self.hour:
            if self.hour_ms >= _HOUR_MS // 2:
                self._learn_hour(self.hour, self.hour_arrivals * _HOUR_MS / self.hour_ms)
            self.hour, self.hour_arrivals, self.hour_ms = first, 0, 0
        self.hour_arrivals += arrivals
        self.hour_ms += self.interval_ms

    def _learn_hour(self, hour: int, arrivals: float) -> None:
        self.pending = [*self.pending, [hour, arrivals]][-_WEEK:]
        if not self._is_suspicious():
            self._learn_pending(only_unknown=False)

    def _learn_pending(self, *, only_unknown: bool) -> None:
        for hour, arrivals in self.pending:
            for season in (self.day, self.week):
                place = int(hour) % len(season)
                known = season[place]
                if known < 0:
                    season[place] = arrivals
                elif not only_unknown:
                    season[place] = known + _HOUR_MEMORY[len(season)] * (arrivals - known)
        self.pending = []

    def _hours(self) -> tuple[int, int]:
        """The first and the last hour since 1970 that the interval which ends at the boundary is in."""
        return (self.boundary_ms - self.interval_ms) // _HOUR_MS, (self.boundary_ms - 1) // _HOUR_MS

    # -- evidence -----------------------------------------------------------------------------------------------------

    def _usual(self) -> list[_Usual]:
        """What this interval may hold in health: by the trailing mean, and if known by the hour of the day and of the week."""
        first, last = self._hours()
        usual = [(self.mean, self.mean)]
        if last - first >= _MAX_HOURS:
            return usual
        usual += [_ends(known, self.interval_ms / _HOUR_MS) for known in self._known_hours()]
        return usual

    def _known_hours(self) -> list[list[float]]:
        """By the hour of the day and of the week, where known: what comes in an hour, in this interval's and in those around.

        These make it less noisy, and let season come a little sooner or later.
        """
        first, last = self._hours()
        found = []
        for season in (self.day, self.week):
            own = [season[hour % len(season)] for hour in range(first, last + 1)]
            if min(own) >= 0:
                around = [season[hour % len(season)] for hour in (first - 1, last + 1)]
                found.append(own + [arrivals for arrivals in around if arrivals >= 0])
        return found

    def _by_hours(self) -> list[float]:
        """Least and greatest arrivals of this interval by its hour of day and week, and by those beside; −1 where not known.

        A step may come a little sooner or later than yesterday.
        """
        found = [one for known in self._known_hours() for one in known]
        return [edge(found) * self.interval_ms / _HOUR_MS if found else _UNKNOWN for edge in (min, max)]

    def _bet(self, arrivals: int, usual: list[_Usual]) -> None:
        if self._greater() < 1.0 and not self.is_alarmed:
            self.onset_ms = self.boundary_ms - self.interval_ms
        middle = sum(map(sum, usual)) / (2 * len(usual))
        low, high = min(low for low, _ in usual), max(high for _, high in usual)
        low, high = (middle if low * _LIKE >= middle else low), (middle if high <= middle * _LIKE else high)
        if not self.downward_only:
            self.up = self._raised(self.up, arrivals, high, _UP, TOLERANCE)
        self.down = self._raised(self.down, arrivals, low, _DOWN, 1 / TOLERANCE)

    def _look_for_step(self, arrivals: int) -> int:
        """Evidence over the latest intervals; returns how many there are since the likeliest step.

        While an alarm lasts, intervals are kept as they were before it.
        """
        if self.is_alarmed:
            return 0
        self.counts = [*self.counts, float(arrivals)][-KEPT:]
        self.usuals = [*self.usuals, self._by_hours()][-KEPT:]
        sides = (False,) if self.downward_only else (True, False)
        self.step_e, after = max(step_evidence(self.counts, self.usuals, self.interval_ms, up=up) for up in sides)
        return after

    def _begin(self, step_after: int) -> None:
        """An alarm begins: since when, and, of a step, from what."""
        is_step = self.step_e > self._greater()
        if is_step:
            self.onset_ms = self.boundary_ms - step_after * self.interval_ms
        since = max((self.boundary_ms - self.onset_ms) // self.interval_ms, 1)
        self.counts, self.usuals = self.counts[:-since], self.usuals[:-since]
        if is_step:
            before = self.counts[-max(step_after, LEAST_BEFORE) :]
            self.step_from = sum(before) / len(before)

    def _raised(
        self, evidence: list[float], arrivals: int, expected: float, ratios: tuple[float, ...], edge: float
    ) -> list[float]:
        factors = [self._likelihood(arrivals, expected, ratio, edge) for ratio in ratios]
        return [min((m + 1) * factor, _CAP) for m, factor in zip(evidence, factors, strict=True)]

    def _likelihood(self, arrivals: int, expected: float, ratio: float, edge: float) -> float:
        if not arrivals and not expected:
            return _NO_BET
        step = (arrivals * log(ratio / edge) - (ratio - edge) * expected) / self.dispersion
        return exp(min(max(step, -_STEP), _STEP))

    def _is_suspicious(self) -> bool:
        return self.is_alarmed or self._greater() >= _SUSPICIOUS

    def _greater(self) -> float:
        return max(sum(self.up) / len(self.up), sum(self.down) / len(self.down))

    def _judge(self, arrivals: int, usual: list[_Usual], log10_threshold: float, step_after: int) -> None:
        if not self.is_alarmed:
            self.is_alarmed = self.log10_e >= log10_threshold
            self.quiet = 0
            if self.is_alarmed:
                self._begin(step_after)
            return
        self.lately = [*self.lately, float(arrivals)][-_STEP_INTERVALS:]
        within = [ends for ends in usual if self._is_within(arrivals, *ends)]
        if within and not arrivals and not any(low for low, _ in within):
            return  # that nothing comes where nothing has to does not say that it is over
        self.quiet = self.quiet + 1 if within else 0
        if self.quiet < _QUIET_INTERVALS:
            return
        if self.step_from >= 0 and self.boundary_ms - self.onset_ms >= _NEW_LEVEL_MS and any(self.lately):
            self.mean = sum(self.lately) / len(self.lately)
            self._recover()
        elif self.step_from < 0 or self._is_step_over():
            self._recover()

    def _is_step_over(self) -> bool:
        """Whether the latest intervals are as those before the step, or as usual at this hour."""
        here, intervals = sum(self.lately), len(self.lately)
        low, high = self._by_hours()
        return self._is_near(here, self.step_from * intervals, self.step_from * intervals) or (
            low >= 0 and self._is_near(here, low * intervals, high * intervals)
        )

    def _is_near(self, arrivals: float, low: float, high: float) -> bool:
        """Within EDGE, and a standard deviation of chance."""
        is_enough = arrivals >= low / EDGE - low**0.5
        return is_enough and (self.downward_only or arrivals <= high * EDGE + high**0.5)

    def _is_within(self, arrivals: int, low: float, high: float) -> bool:
        return low / TOLERANCE <= arrivals and (self.downward_only or arrivals <= high * TOLERANCE)

    def _recover(self) -> None:
        self._learn_pending(only_unknown=True)
        self.is_alarmed, self.up, self.down = False, [0.0] * len(_UP), [0.0] * len(_DOWN)
        self.step_e, self.step_from, self.lately = 0.0, -1.0, []
        # What was before the alarm is not next to what comes now: between them there would be a step.
        self.counts, self.usuals = [], []

    @property
    def log10_e(self) -> float:
        """Evidence for a change either way: half of it from levels, half from steps."""
        sides = [self.down] if self.downward_only else [self.up, self.down]
        levels = sum(map(sum, sides)) / sum(map(len, sides))
        return log10(max((levels + self.step_e) / 2, 1e-300))

    def expected_per_hour(self) -> float | None:
        """The trailing mean (of a step, what was before it); None while it is not known."""
        if self.step_from >= 0:
            return self.step_from * _HOUR_MS / self.interval_ms
        return self.mean * _HOUR_MS / self.interval_ms if self.is_ready else None

    def observed_per_hour(self) -> float | None:
        """The last full interval (of a step, the last ones); None while there is nothing to compare it with."""
        if self.step_from >= 0 and self.lately:
            return sum(self.lately) / len(self.lately) * _HOUR_MS / self.interval_ms
        return self.observed * _HOUR_MS / self.interval_ms if self.is_ready else None

    def accept(self) -> None:
        """Take the present rate for health: learn it anew."""
        fresh = RateGuard(self.downward_only, self.interval_ms, self.boundary_ms, self.here)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if isinstance(value, list) else value for name, value in state.items()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "RateGuard":
        fields: dict[str, Any] = {k: list(value) if isinstance(value, list) else value for k, value in state.items()}
        return cls(**fields)


def _ends(hourly: list[float], hours: float) -> _Usual:
    """The least and the greatest number of so many hours, by what comes in an hour and those beside it."""
    low, high = min(hourly), max(hourly)
    # By two standard deviations of chance nearer to each other.
    ratio = max(high - _CHANCE_Z * high**0.5, 0.0) / (low + _CHANCE_Z * max(low, 1.0) ** 0.5)
    if ratio <= _ABRUPT:
        low = high = sum(hourly) / len(hourly)
    elif ratio > _CLOSED:
        low = 0.0
    return low * hours, high * hours
