"""How evidence and losses went over time: bounded series, dense at the end and ever sparser towards the beginning.

Taken for people to look at; nothing is judged by them. When a series is full, the older two thirds of it are thinned to half
as many points, so that KEPT points span the whole life of a model and its latest chunks one by one.

Belongs here: keeping and thinning. Not here: which series belong to an incident (`graphs`), what evidence is (`evidence`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats

KEPT = 96
"""Points at most; thinning leaves two thirds of them."""
_THINNED = 64
"""So many of the oldest points become half as many."""
_AT_ONCE = 8
"""Chunks that wait to be taken up together: one step over a matrix costs hardly more than one over a row."""
_SCALE = 100.0
"""Logarithms are kept in hundredths, as 16-bit numbers."""
_NOTHING = np.iinfo(np.int16).min
"""No evidence known at this point."""
_LEAST, _MOST = 1e-30, 1e300

Series = list[tuple[int, float]]
"""(time in epoch milliseconds, value), in the order in which they were seen."""


class Trail:
    """Evidence of many signals over time, as decimal logarithms; of two points that become one, the greater value stays."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = tuple(names)
        self._times_ms = np.empty(0, np.int64)
        self._levels: NDArray[np.int16] = np.empty((0, len(self._names)), np.int16)
        self._waiting: list[tuple[int, Floats]] = []

    def add(self, at_ms: int, values: Floats) -> None:
        """Take the e-value of every signal after a chunk. The array is kept: it must not change afterwards."""
        self._waiting.append((at_ms, values))
        if len(self._waiting) >= _AT_ONCE:
            self._take_up()

    def _take_up(self) -> None:
        if not self._waiting:
            return
        levels = _levels(np.stack([values for _, values in self._waiting]))
        self._times_ms = np.concatenate([self._times_ms, [at_ms for at_ms, _ in self._waiting]])
        self._levels = np.concatenate([self._levels, levels])
        self._waiting = []
        if len(self._times_ms) >= KEPT:
            old, new = self._levels[:_THINNED], self._levels[_THINNED:]
            self._levels = np.concatenate([np.maximum(old[::2], old[1::2]), new])
            self._times_ms = np.concatenate([self._times_ms[1:_THINNED:2], self._times_ms[_THINNED:]])

    def arrange(self, names: Sequence[str]) -> None:
        """The signals are these from now on; known ones keep their past."""
        if tuple(names) == self._names:
            return
        self._take_up()
        place = {name: number for number, name in enumerate(self._names)}
        levels = np.full((len(self._levels), len(names)), _NOTHING, np.int16)
        for number, name in enumerate(names):
            if name in place:
                levels[:, number] = self._levels[:, place[name]]
        self._names, self._levels = tuple(names), levels

    def series(self, name: str) -> Series:
        """One signal's evidence over time; empty where it is not known."""
        if name not in self._names:
            return []
        column = self._names.index(name)
        waiting = [_levels(values[column : column + 1])[0] for _, values in self._waiting]
        levels = [*self._levels[:, column].tolist(), *waiting]
        times_ms = [*self._times_ms.tolist(), *(at_ms for at_ms, _ in self._waiting)]
        return [(at, int(x) / _SCALE) for at, x in zip(times_ms, levels, strict=True) if x != _NOTHING]

    def snapshot(self) -> dict[str, Any]:
        return {
            "names": list(self._names),
            "times_ms": self._times_ms,
            "levels": self._levels,
            "waiting": [list(one) for one in self._waiting],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Trail":
        trail = cls(state["names"])
        trail._times_ms, trail._levels = state["times_ms"], state["levels"]
        trail._waiting = [(at_ms, values) for at_ms, values in state["waiting"]]
        return trail


def _levels(values: Floats) -> NDArray[np.int16]:
    """e-values as hundredths of decimal logarithms; 0 is no evidence yet."""
    levels = np.round(_SCALE * np.log10(np.clip(values, _LEAST, _MOST)))
    return np.where(values > 0, levels, _NOTHING).astype(np.int16)


class Means:
    """The mean of a series of numbers over time; of two points that become one, the common mean stays."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float, int]] = []
        """(time of the first, sum, count)."""

    def add(self, at_ms: int, total: float, count: int) -> None:
        """Take `count` numbers that sum up to `total`, the first of them seen at `at_ms`."""
        self._points.append((at_ms, total, count))
        if len(self._points) >= KEPT:
            old, new = self._points[:_THINNED], self._points[_THINNED:]
            both = [(a[0], a[1] + b[1], a[2] + b[2]) for a, b in zip(old[::2], old[1::2], strict=True)]
            self._points = both + new

    def series(self) -> Series:
        return [(at_ms, total / count) for at_ms, total, count in self._points]

    def snapshot(self) -> list[list[Any]]:
        return [list(point) for point in self._points]

    @classmethod
    def restore(cls, state: Sequence[Sequence[Any]]) -> "Means":
        means = cls()
        means._points = [(at_ms, total, count) for at_ms, total, count in state]
        return means
