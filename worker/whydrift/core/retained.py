"""Rows kept for diagnosis that are not monitored themselves: the latest ones, and a sample of those of health.

Belongs here: keeping them in bounded memory. Not here: what their columns mean (`dimensions`, `labelled`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats, Presence, Rows, thin, widen
from whydrift.core.monitor import RETAINED_ROWS, SAMPLE_ROWS


class Retained:
    """The latest RETAINED_ROWS rows, and SAMPLE_ROWS of health. Rows may become wider, never narrower."""

    def __init__(self, sample: Rows | None = None) -> None:
        self._recent: list[Rows] = []
        self._count = 0
        self._sample = Rows.concat([], 0) if sample is None else sample
        self._was_healthy = False

    def add(self, values: Floats, times_ms: NDArray[np.int64], offsets: NDArray[np.int64], *, is_healthy: bool) -> None:
        """Take rows (rows, columns), NaN where there is no value.

        is_healthy: they are being learnt from. When that begins again, the sample begins again.
        """
        presence = np.where(np.isnan(values), Presence.ABSENT, Presence.PRESENT).astype(np.int8)
        rows = Rows(values, presence, times_ms, offsets)
        self._recent.append(rows)
        self._count += len(rows)
        while self._count - len(self._recent[0]) >= RETAINED_ROWS:
            self._count -= len(self._recent.pop(0))
        if is_healthy:
            width = values.shape[1]
            before = [widen(self._sample, width)] if self._was_healthy else []
            self._sample = thin(Rows.concat([*before, rows], width), SAMPLE_ROWS)
        self._was_healthy = is_healthy

    def recent(self, width: int) -> Rows:
        """The latest rows with this many columns."""
        return Rows.concat([widen(part, width) for part in self._recent], width).take(slice(-RETAINED_ROWS, None))

    def sample(self, width: int) -> Rows:
        """Rows of health with this many columns."""
        return widen(self._sample, width)

    def snapshot(self, width: int) -> dict[str, Any]:
        return {
            "recent": self.recent(width).snapshot(),
            "sample": self._sample.snapshot(),
            "was_healthy": self._was_healthy,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Retained":
        kept = cls(Rows.restore(state["sample"]))
        recent = Rows.restore(state["recent"])
        kept._recent, kept._count = ([recent] if len(recent) else []), len(recent)
        kept._was_healthy = state["was_healthy"]
        return kept
