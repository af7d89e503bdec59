"""What a chunk of rows says, in counts: all that detection sees of it.

Summaries add up: those of two chunks, or of two partitions of one model, make the summary of all their rows. This is the
seam at which a model too hot for one partition can be split over many workers.

Belongs here: the counts and their sum. Not here: how rows are counted, or judged (`monitor`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whydrift.core.columns import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ChunkSummary:
    """`rows` rows that began at `first_ms`, `first_offset`.

    numeric, coded: values per bin of each quantity and of each category, (columns, BINS). flags: (no, yes) of each yes-or-no
    signal, (signals, 2). The order of columns and signals is the monitor's that made it; only summaries made with the same
    references may be added.
    """

    rows: int
    first_ms: int
    first_offset: int
    numeric: Floats
    coded: Floats
    flags: Floats

    def __add__(self, other: "ChunkSummary") -> "ChunkSummary":
        first = min(self, other, key=lambda summary: (summary.first_ms, summary.first_offset))
        return ChunkSummary(
            self.rows + other.rows,
            first.first_ms,
            first.first_offset,
            self.numeric + other.numeric,
            self.coded + other.coded,
            self.flags + other.flags,
        )

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "ChunkSummary":
        return cls(**state)
