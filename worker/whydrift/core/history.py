"""How evidence and losses went over time: bounded series, dense at the end and ever sparser towards the beginning.

    older ◄── … │ 16 to 31 points of 4 chunks │ 16 to 31 of 2 │ 16 to 31 of 1 ──► newest        (LEVELS of them)

Taken for people to look at; nothing is judged by them.

Belongs here: keeping and thinning. Not here: which series belong to an incident (`graphs`), what evidence is (`evidence`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats

LEVELS = 7
"""The oldest points stand for 64 chunks each; all of them together for some 2,000 chunks, which is 40,000 events."""
_FULL, _MOVED = 32, 16
"""A level with so many points gives its oldest on, pairwise."""
MOST_POINTS = LEVELS * _FULL
_SCALE = 100.0
"""Logarithms are kept in hundredths, as 16-bit numbers."""
_LEAST, _MOST = 1e-30, 1e300
_NOTHING = -3_000
"""That of _LEAST: no evidence known at this point."""

Series = list[tuple[int, float]]
"""(time in epoch milliseconds, value), in the order in which they were seen."""
_Block = tuple[NDArray[np.int64], NDArray[np.int16]]
"""Times (points,) and levels (points, signals)."""


class Trail:
    """Evidence of many signals over time, as decimal logarithms; of two points that become one, the greater value stays."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = tuple(names)
        self._blocks: list[_Block] = [self._empty()] * LEVELS
        """Newest first."""
        self._waiting: list[tuple[int, Floats]] = []
        """Chunks to be taken up together: a step over a matrix costs hardly more than one over a row."""

    def _empty(self) -> _Block:
        return np.empty(0, np.int64), np.empty((0, len(self._names)), np.int16)

    def add(self, at_ms: int, values: Floats) -> None:
        """Take the e-value of every signal after a chunk. The array is kept: it must not change afterwards."""
        self._waiting.append((at_ms, values))
        if len(self._waiting) >= _MOVED:
            self._take_up()

    def _take_up(self) -> None:
        if not self._waiting:
            return
        times_ms = np.array([at_ms for at_ms, _ in self._waiting], np.int64)
        moved: _Block = times_ms, _hundredths(np.stack([values for _, values in self._waiting]))
        self._waiting = []
        for level, (times, levels) in enumerate(self._blocks):
            times, levels = np.concatenate([times, moved[0]]), np.concatenate([levels, moved[1]])
            if len(times) < _FULL:
                self._blocks[level] = times, levels
                return
            self._blocks[level] = times[_MOVED:], levels[_MOVED:]
            moved = times[1:_MOVED:2], np.maximum(levels[0:_MOVED:2], levels[1:_MOVED:2])

    def arrange(self, names: Sequence[str]) -> None:
        """The signals are these from now on; known ones keep their past."""
        if tuple(names) == self._names:
            return
        self._take_up()
        place = {name: number for number, name in enumerate(self._names)}
        self._names = tuple(names)
        for level, (times, before) in enumerate(self._blocks):
            levels = np.full((len(times), len(names)), _NOTHING, np.int16)
            for number, name in enumerate(names):
                if name in place:
                    levels[:, number] = before[:, place[name]]
            self._blocks[level] = times, levels

    def series(self, name: str) -> Series:
        """One signal's evidence over time; empty where it is not known."""
        if name not in self._names:
            return []
        column = self._names.index(name)
        found = [
            point
            for times, levels in reversed(self._blocks)
            for point in zip(times.tolist(), levels[:, column].tolist(), strict=True)
        ]
        found += [(at_ms, int(_hundredths(values[column : column + 1])[0])) for at_ms, values in self._waiting]
        return [(at_ms, level / _SCALE) for at_ms, level in found if level != _NOTHING]

    def snapshot(self) -> dict[str, Any]:
        return {
            "names": list(self._names),
            "blocks": [list(block) for block in self._blocks],
            "waiting": [list(one) for one in self._waiting],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Trail":
        trail = cls(state["names"])
        trail._blocks = [(times, levels) for times, levels in state["blocks"]]
        trail._waiting = [(at_ms, values) for at_ms, values in state["waiting"]]
        return trail


def _hundredths(values: Floats) -> NDArray[np.int16]:
    """e-values as hundredths of decimal logarithms; 0 is no evidence yet."""
    levels = np.log10(np.minimum(np.maximum(values, _LEAST), _MOST))
    levels *= _SCALE
    return np.rint(levels, out=levels).astype(np.int16)


class Means:
    """The mean of a series of numbers over time; of two points that become one, the common mean stays."""

    def __init__(self) -> None:
        self._levels: list[list[tuple[int, float, int]]] = [[] for _ in range(LEVELS)]
        """(time of the last, sum, count), newest level first."""

    def add(self, at_ms: int, total: float, count: int) -> None:
        """Take `count` numbers that sum up to `total`, seen at `at_ms`."""
        moved = [(at_ms, total, count)]
        for level in self._levels:
            level += moved
            if len(level) < _FULL:
                return
            old = level[:_MOVED]
            del level[:_MOVED]
            moved = [(b[0], a[1] + b[1], a[2] + b[2]) for a, b in zip(old[::2], old[1::2], strict=True)]

    def series(self) -> Series:
        return [(at_ms, total / count) for level in reversed(self._levels) for at_ms, total, count in level]

    def snapshot(self) -> list[list[list[Any]]]:
        return [[list(point) for point in level] for level in self._levels]

    @classmethod
    def restore(cls, state: Sequence[Sequence[Sequence[Any]]]) -> "Means":
        means = cls()
        means._levels = [[(at_ms, total, count) for at_ms, total, count in level] for level in state]
        return means
