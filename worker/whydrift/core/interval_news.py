"""What a model's rates and latencies are in each interval, and which of these values are unlike any before.

Every INTERVAL_MS of stream time closes an interval with up to four values: predictions and labels that came, the mean latency,
the share of errors. Each series has its `Novelty`; a value at NEWS or above is counted, for people and their own alert rules.

Nothing is an incident because of it: novelty has no budget. Of pure noise it tells a few values a week (tests/bench/README.md),
which for a pager is too much; what is said of arrivals, latencies and errors rests on evidence (`rate`, `monitor`).

Limits: an interval closes with the model's next event, so what is silent now is told when it ends. Of a gap, GAP_INTERVALS empty
intervals are looked at. Intervals without a prediction have no latency and no share of errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whydrift.core.detectors.novelty import LIMIT, Novelty

INTERVAL_MS = 5 * 60_000
NEWS = 0.02
"""Share of the range ever seen that a value must be away from all values before. A round number, not the benchmark's best."""
FIRST_DAY = 24 * 3_600_000 // INTERVAL_MS
"""Values before any is told: a day shows each hour, and most news of a range that is still small is noise."""
GAP_INTERVALS = 12
SERIES = ("arrivals", "labels", "latency", "errors")


def is_news(guard: Novelty, value: float) -> bool:
    """Whether the next value of a series is told; the guard then knows it."""
    novelty = guard.update(value)
    return novelty is not None and novelty >= NEWS and guard.seen > FIRST_DAY


@dataclass(slots=True)
class IntervalNews:
    """One model's intervals. `advance()` with stream time first, then count."""

    boundary_ms: int = -1
    """End of the open interval; −1 before the first event."""
    predictions: int = 0
    labels: int = 0
    has_labels: bool = False
    """Whether one ever came: a model without labels has no rate of them."""
    errors: int = 0
    latencies: int = 0
    latency_sum_ms: float = 0.0
    guards: dict[str, Novelty] = field(default_factory=lambda: {name: Novelty() for name in SERIES})
    news: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERIES, 0))
    """Values told so far, by series."""

    def add_prediction(self, latency_ms: float | None, *, is_error: bool) -> None:
        self.predictions += 1
        self.errors += is_error
        if latency_ms is not None:
            self.latencies += 1
            self.latency_sum_ms += latency_ms

    def add_label(self) -> None:
        self.labels += 1
        self.has_labels = True

    def advance(self, stream_ms: int) -> None:
        """Close every interval that ended by now."""
        if self.boundary_ms < 0:
            # The first interval is seen in part only.
            self.boundary_ms = (stream_ms // INTERVAL_MS + 1) * INTERVAL_MS
        closed = 0
        while stream_ms >= self.boundary_ms:
            self._close()
            self.boundary_ms += INTERVAL_MS
            closed += 1
            if closed > GAP_INTERVALS:
                self.boundary_ms = max(self.boundary_ms, (stream_ms // INTERVAL_MS + 1) * INTERVAL_MS)

    def _close(self) -> None:
        values: dict[str, float] = {"arrivals": float(self.predictions)}
        if self.has_labels:
            values["labels"] = float(self.labels)
        if self.predictions:
            values["errors"] = self.errors / self.predictions
        if self.latencies:
            values["latency"] = min(self.latency_sum_ms / self.latencies, LIMIT)
        for name, value in values.items():
            self.news[name] += is_news(self.guards[name], value)
        self.predictions = self.labels = self.errors = self.latencies = 0
        self.latency_sum_ms = 0.0

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__slots__}
        return state | {
            "guards": {name: guard.snapshot() for name, guard in self.guards.items()},
            "news": {**self.news},
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "IntervalNews":
        fields = dict(state)
        fields["guards"] = {name: Novelty.restore(guard) for name, guard in state["guards"].items()}
        return cls(**fields | {"news": dict(state["news"])})
