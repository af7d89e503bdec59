"""What a monitor learns its references from, and what it has learnt.

Belongs here: rows collected in stages, and the profile of what came of them. Not here: making references (`reference`), when
nothing may be learnt (`monitor`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Rows, column_of, column_state, widen
from whydrift.core.free_flags import FlagShare, restored_shares, shares_state
from whydrift.core.reference import ColumnReference

Bins = NDArray[np.int8]


def no_bins() -> Bins:
    return np.empty((0, 0), np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class MonitorProfile:
    """What a monitor learnt: `references` by column name, `sample` rows of health (none where they were left out).

    bins: of more rows than the sample has, where they are kept (rows, columns). flags: shares of what whole events may be.
    """

    columns: tuple[Column, ...]
    references: Mapping[str, ColumnReference]
    sample: Rows
    bins: Bins = field(default_factory=no_bins)
    flags: Mapping[str, FlagShare] = field(default_factory=dict)

    def snapshot(self) -> dict[str, Any]:
        return {
            "columns": [column_state(column) for column in self.columns],
            "references": [reference.snapshot() for reference in self.references.values()],
            "sample": self.sample.snapshot(),
            "bins": self.bins,
            "flags": shares_state(self.flags),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "MonitorProfile":
        references = [ColumnReference.restore(reference) for reference in state["references"]]
        columns = tuple(column_of(column) for column in state["columns"])
        # Files from before they were kept have none of these.
        bins, flags = state.get("bins", no_bins()), restored_shares(state.get("flags", {}))
        return cls(columns, {r.name: r for r in references}, Rows.restore(state["sample"]), bins, flags)


@dataclass(slots=True)
class Learning:
    """Rows collected for the columns that are being learnt; `target` rows make the next stage."""

    columns: set[str]
    parts: list[Rows]
    target: int
    is_late: bool = False
    """The baseline is there: rows that have none of these columns say nothing."""

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def rows(self, width: int) -> Rows:
        return Rows.concat(self.parts, width)

    def widen(self, width: int) -> None:
        """There are further columns, which the rows so far do not have."""
        self.parts = [widen(part, width) for part in self.parts]

    def forget_since(self, offset: int) -> None:
        """Take out the rows from an offset on: they may not be health."""
        self.parts = [part.take(part.offsets < offset) for part in self.parts]

    def thin(self) -> None:
        """Forget every other chunk: what is kept still spans all of them."""
        del self.parts[1::2]

    def snapshot(self, width: int) -> dict[str, Any]:
        return {
            "columns": sorted(self.columns),
            "rows": self.rows(width).snapshot(),
            "target": self.target,
            "is_late": self.is_late,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Learning":
        return cls(set(state["columns"]), [Rows.restore(state["rows"])], state["target"], state["is_late"])


def late(left: Sequence[str], target: int) -> Learning | None:
    """Columns that had too few values until now are learnt when they have some."""
    return Learning(set(left), [], target, is_late=True) if left else None
