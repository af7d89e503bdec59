"""The clock of a partition: the greatest event timestamp that can be believed.

An event too far ahead of its neighbours *and* of the broker's time of its record does not move it: one producer with a wrong
clock would else expire every label and close every chunk of everybody. Neighbours are the last events: how far apart they
lie tells how far ahead is too far (a stream of ten events an hour has longer steps than one of a thousand a second), and where
AGREEING events in a row are all ahead, they are right and time has gone on without us (a night without traffic).

Of rows that are kept, when one came is told by those that came beside it.

Belongs here: those decisions. Not here: what happens when time moves (`pipeline`), whose clock is wrong (`faults/clock_skew`).
"""

from collections.abc import Mapping
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from whydrift.core.columns import Floats
from whydrift.core.settings import DAY_MS

AGREEING = 12
"""Events ahead in a row that are believed. With a third of the producers wrong, that happens by chance once in half a million."""
_STEPS = 8.0
"""... or less than this many usual steps ahead."""
_LONGEST_STEP_MS = DAY_MS
_MEMORY = 0.05
_NEIGHBOURS = 15
"""Rows on each side that tell what time it is."""


class StreamTime:
    """`now_ms` is None until the first event. `ahead` counts events that did not move it, being too far ahead."""

    def __init__(self, max_ahead_ms: int) -> None:
        self._max_ahead_ms = max_ahead_ms
        self._usual_step_ms = 0.0
        self._ahead: list[int] = []
        self.now_ms: int | None = None
        self.ahead = 0

    def observe(self, timestamp_ms: int, broker_ms: int | None) -> bool:
        """Take an event's time and its record's; returns whether `now_ms` moved."""
        now_ms = self.now_ms
        if now_ms is None:
            is_ahead = broker_ms is not None and timestamp_ms > broker_ms + self._max_ahead_ms
            self.now_ms = broker_ms if is_ahead else timestamp_ms
            return True
        step_ms = timestamp_ms - now_ms
        if step_ms > self._max_ahead_ms and self._is_too_far(step_ms, timestamp_ms, broker_ms):
            self.ahead += 1
            return self._wait(timestamp_ms)
        if self._ahead:
            self._ahead = []
        if step_ms <= 0:
            return False
        self._usual_step_ms += _MEMORY * (step_ms - self._usual_step_ms)
        self.now_ms = timestamp_ms
        return True

    def _is_too_far(self, step_ms: int, timestamp_ms: int, broker_ms: int | None) -> bool:
        if broker_ms is not None and timestamp_ms <= broker_ms + self._max_ahead_ms:
            return False
        return step_ms > _STEPS * self._usual_step_ms

    def _wait(self, timestamp_ms: int) -> bool:
        self._ahead.append(timestamp_ms)
        if len(self._ahead) < AGREEING:
            return False
        times, self._ahead = sorted(self._ahead), []
        steps = [later - earlier for earlier, later in pairwise(times)]
        # A stream of two events a day: else each of them would have to wait for eleven others.
        usual = min(sorted(steps)[len(steps) // 2], _LONGEST_STEP_MS)
        self._usual_step_ms = max(self._usual_step_ms, float(usual))
        longest_ms = max(float(self._max_ahead_ms), _STEPS * self._usual_step_ms)
        # From the earliest of them on, as far as usual steps reach: one may still be wrong.
        self.now_ms = times[0] + sum(takewhile(lambda step_ms: step_ms <= longest_ms, steps))
        return True

    def snapshot(self) -> dict[str, Any]:
        return {
            "now_ms": self.now_ms,
            "usual_step_ms": self._usual_step_ms,
            "waiting": self._ahead,
            "ahead": self.ahead,
        }

    @classmethod
    def restore(cls, max_ahead_ms: int, state: Mapping[str, Any]) -> "StreamTime":
        time = cls(max_ahead_ms)
        time.now_ms, time._usual_step_ms = state["now_ms"], state["usual_step_ms"]
        time._ahead, time.ahead = list(state["waiting"]), state["ahead"]
        return time


def middle_of_neighbours(times: Floats) -> Floats:
    """The median of the times of as many rows before each one as after it, in order of arrival: (rows,), of any unit.

    Single clocks that are wrong do not move it, be they ahead or behind, as long as most are right; towards the ends fewer rows
    tell, and the first and the last row only their own time.
    """
    if bool((np.diff(times) >= 0).all()):
        return times  # each is its own median
    places, offsets = np.arange(len(times))[:, None], np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)[None, :]
    is_there = np.abs(offsets) <= np.minimum(places, len(times) - 1 - places)
    around = times[np.clip(places + offsets, 0, len(times) - 1)]
    found: Floats = np.nanmedian(np.where(is_there, around, np.nan), axis=1)
    return found
