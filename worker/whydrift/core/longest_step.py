"""The longest step of a slow quantity, from one row to the next, with the rows around it.

Belongs here: finding it, and which of two to keep. Not here: which columns have one (`monitor`), what it means (`faults.leaps`).
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.columns import Floats

_ROWS = 40
"""Rows kept on either side."""
_BACK = 2.0
"""Times a long step that the way back from it is long at most; times those before it that it is long at least."""


@dataclass(frozen=True, slots=True, eq=False)
class LongestStep:
    """before, after: at most _ROWS values just before it, and just after, in stream order. usual: longest step before it."""

    before: Floats
    after: Floats
    usual: float

    @classmethod
    def of(cls, values: Floats) -> "LongestStep | None":
        """Of values in stream order; None where there is no step at all."""
        hops = np.abs(np.diff(values))
        if not hops.any():
            return None
        place = int(np.argmax(hops)) + 1
        before, after = values[max(place - _ROWS, 0) : place], values[place : place + _ROWS]
        return cls(before, after, float(hops[: place - 1].max(initial=0.0)))

    @property
    def length(self) -> float:
        return abs(float(self.after[0]) - float(self.before[-1]))

    def tells_more(self, known: "LongestStep | None") -> bool:
        """Whether it is a longer one, or the same with more rows after it; not where it is the way back from one."""
        if known is None:
            return True
        ways = [float(one.after[0]) - float(one.before[-1]) for one in (self, known)]
        if ways[0] * ways[1] < 0 and self.length < _BACK * known.length and known.length > _BACK * known.usual:
            return False
        is_same = self.length == known.length and len(self.before) >= len(known.before)
        return self.length > known.length or (is_same and len(self.after) > len(known.after))
