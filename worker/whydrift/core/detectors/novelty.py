"""How new a value of a series of aggregates is: a rate, a quantile of latencies, one value an interval.

Novelty is the distance to the nearest value ever seen, as a share of the range ever seen: 0 for what was there before, up to 1.
What is between two modes (a half of the replicas gone) is new as well as what is beyond all. There is no distribution to be
wrong about, no window and no season to be chosen; a season is known once it has been seen.

A change is told once: for a while after a novelty only a greater one is news (`_HELD` of the values so far).
Values nearer to a remembered one than a RESOLUTION-th of the range are not remembered, so that memory is bounded.

Limits: what lies within everything seen is never new, so a level that belongs to another hour is not found (`rate.py` knows
hours); a heavy tail brings ever new records, more rarely the longer it runs. Scores are no e-values: they carry no budget,
so no incident comes of them. `core.interval_news` counts what it tells of rates and latencies.

Source: detection.md (nearest neighbour distance of single values, 66.2 on NAB's 58 files); figures: tests/bench/README.md.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RESOLUTION = 512
"""Values remembered lie at least this part of the range apart; at most 2 · RESOLUTION + 2 of them."""
LIMIT = 1e300
"""Beyond it a range would overflow."""
_LEAST = 50
"""Values from which a range is known."""
_HELD = 0.03
"""Share of the values so far during which a told novelty is not told again (detection.md: of a file)."""


@dataclass(slots=True)
class Novelty:
    """One series. `update()` with each value in order; it is judged by the values before it, and then remembered."""

    values: list[float] = field(default_factory=list)
    """Remembered, ascending: the least and the greatest ever among them."""
    seen: int = 0
    held: float = 0.0
    """The novelty told last, and the number of the value it was of: until it is old, only a greater one is news."""
    held_at: int = -1

    def update(self, value: float) -> float | None:
        """News of a value, in [0, 1]: its novelty where that was not told already, else 0. None: too few values seen to tell.

        ValueError for what is not within ±LIMIT: one infinity would make the range so, and everything known for good.
        """
        if not abs(value) <= LIMIT:
            raise ValueError(f"value: {value!r} must be finite and within ±{LIMIT:g}; leave the interval out")
        novelty = self.of(value)
        self._remember(value)
        self.seen += 1
        if self.seen <= _LEAST:
            return None
        if self.seen - self.held_at > _HELD * self.seen:
            self.held = 0.0
        if novelty <= self.held:
            return 0.0
        self.held, self.held_at = novelty, self.seen
        return novelty

    def of(self, value: float) -> float:
        """Distance to the nearest remembered value over the range, this value's included; 0 where there is no range."""
        if not self.values:
            return 0.0
        reach = max(self.values[-1], value) - min(self.values[0], value)
        place = bisect_left(self.values, value)
        around = self.values[max(place - 1, 0) : place + 1]
        return min(abs(value - one) for one in around) / reach if reach > 0 else 0.0

    def _remember(self, value: float) -> None:
        is_within = bool(self.values) and self.values[0] <= value <= self.values[-1]
        if is_within and self.of(value) <= 1 / RESOLUTION:
            return
        insort(self.values, value)
        if len(self.values) > 2 * RESOLUTION:
            self._thin()

    def _thin(self) -> None:
        """The range has grown: forget what now lies too near to a neighbour. The ends stay."""
        apart = (self.values[-1] - self.values[0]) / RESOLUTION
        kept = self.values[:1]
        for value in self.values[1:-1]:
            if value - kept[-1] >= apart:
                kept.append(value)
        self.values = [*kept, self.values[-1]]

    def snapshot(self) -> dict[str, Any]:
        return {"values": list(self.values), "seen": self.seen, "held": self.held, "held_at": self.held_at}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Novelty":
        return cls(list(state["values"]), state["seen"], state["held"], state["held_at"])
