"""From a chunk's rows to counts: values per bin of every column, yes and no of every yes-or-no signal, all at once.

Belongs here: counting rows by references. Not here: what the counts say (`monitor`, `evidence`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Presence, Rows
from whydrift.core.conditional import Conditional, run_lengths
from whydrift.core.reference import BINS, NO_BIN, Binning, ColumnReference, repeats
from whydrift.core.signals import DISTRIBUTIONS, Aspect
from whydrift.core.summary import ChunkSummary

_ASPECTS = (Aspect.MISSING, Aspect.TYPE, Aspect.OUT_OF_RANGE, Aspect.UNSEEN, Aspect.REPEATED)
"""The yes-or-no signals of a column, in the order in which they are counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a signal is: its number in the evidence process, its column (or free flag), its aspect ("" for a free flag)."""

    number: int
    column: int
    aspect: str

    @property
    def is_flag(self) -> bool:
        """Whether it is a yes-or-no signal."""
        return self.aspect not in DISTRIBUTIONS


class Counter:
    """Counts rows of `columns`, of which those that have a reference are known, for the signals at these places.

    free: number of yes-or-no flags that have no column. given: of which column what is left is counted, after the quantities.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        references: Sequence[ColumnReference | None],
        places: Iterable[Place],
        free: int,
        given: Sequence[tuple[int, Conditional]] = (),
    ) -> None:
        self._given = given
        known = [place for place, reference in enumerate(references) if reference is not None]
        self.known = np.array(known, np.intp)
        """Indices of the columns that have a reference."""
        self.binning = Binning([columns[i] for i in known], [r for r in references if r is not None])
        self._all_known = len(known) == len(columns)
        self._free = free
        self._bin_starts = np.arange(0, len(known) * (BINS + 1), BINS + 1)
        self._numeric_rank = np.flatnonzero(~self.binning.is_coded)
        self._coded_rank = np.flatnonzero(self.binning.is_coded)
        flags = [place for place in places if place.is_flag]
        self._index(flags, {column: rank for rank, column in enumerate(known)})
        lasting = [_lasting(reference) for reference in references if reference is not None]
        self._lasting = np.array(lasting) if min(lasting, default=1.0) < 1 else None
        """What a further row of a spell of unseen values counts beside its first: (known columns,)."""
        self._unseen = [
            (n, self.known.tolist().index(p.column)) for n, p in enumerate(flags) if p.aspect == Aspect.UNSEEN
        ]
        steps = {column: one for column, one in given if one.longest_run}
        self._runs = [(n, p.column, steps[p.column]) for n, p in enumerate(flags) if p.aspect == Aspect.RUNS]
        """Number among the flags, column, and steps in health of those whose runs are counted."""

    def _index(self, flags: Sequence[Place], rank: dict[int, int]) -> None:
        """Where in a chunk's whole-array counts each yes-or-no signal finds its own."""
        width = len(self.known)
        # Yes-counts of a chunk stand one aspect after the other, each over all known columns, then the free flags.
        order = {str(aspect): number for number, aspect in enumerate(_ASPECTS)}
        order[str(Aspect.RUNS)] = 0  # counted by themselves: until then they stand as what comes first
        start = len(_ASPECTS) * width
        yes = [start + p.column if p.aspect == "" else order[p.aspect] * width + rank[p.column] for p in flags]
        # Trials likewise: rows for missing and type, usable values for the others.
        trials = [
            2 * width + p.column
            if p.aspect == ""
            else rank[p.column] + (0 if p.aspect in (Aspect.MISSING, Aspect.TYPE) else width)
            for p in flags
        ]
        self._yes, self._trials = np.array(yes, np.intp), np.array(trials, np.intp)
        self._repeat_rank = np.array([rank[p.column] for p in flags if p.aspect == Aspect.REPEATED], np.intp)
        self._repeat_columns = self.known[self._repeat_rank]
        self._has_unseen = any(p.aspect == Aspect.UNSEEN for p in flags)

    def known_of(self, matrix: Any) -> Any:
        """The columns that have a reference, of a matrix (rows, columns)."""
        return matrix if self._all_known else matrix[:, self.known]

    def bins(self, values: Floats) -> NDArray[np.intp]:
        """Bins of rows of all columns: (rows, known columns)."""
        return self.binning.bins(self.known_of(values))

    def summarise(
        self,
        rows: Rows,
        before: Floats,
        flags: Floats | None,
        bins: NDArray[np.intp],
        before_ms: int | None = None,
        runs: NDArray[np.int64] | None = None,
    ) -> ChunkSummary:
        """Counts of a chunk. before: the REPEAT_WINDOW rows before it, the last of them at before_ms.

        flags: (no, yes) of each free one. runs: how long each column's value has been the same before the chunk (columns,).
        """
        counts = self._bin_counts(bins)
        counted = self._flag_counts(rows, before, bins, counts, flags)
        self._count_spells(counted, rows, before, bins)
        self._count_runs(counted, rows, before, before_ms, runs)
        return ChunkSummary(
            rows=len(rows),
            first_ms=int(rows.times_ms[0]),
            first_offset=int(rows.offsets[0]),
            numeric=np.concatenate([counts[self._numeric_rank, :BINS], self._left_counts(rows, before, before_ms)]),
            coded=counts[self._coded_rank, :BINS],
            flags=counted,
        )

    def _count_spells(self, found: Floats, rows: Rows, before: Floats, bins: NDArray[np.intp]) -> None:
        """Where spells of unseen values tell as they begin, their further rows count as little as rows that hang together do."""
        if self._lasting is None:
            return
        last = self.known_of(before[-1:])
        is_before = self.binning.unseen(last, self.binning.bins(last))
        is_unseen = np.concatenate([is_before, self.binning.unseen(self.known_of(rows.values), bins)])
        goes_on = (is_unseen[1:] & is_unseen[:-1]).sum(axis=0)
        yes = is_unseen[1:].sum(axis=0) - (1 - self._lasting) * goes_on
        for number, rank in self._unseen:
            found[number, 1] = yes[rank]

    def _count_runs(
        self, found: Floats, rows: Rows, before: Floats, before_ms: int | None, runs: NDArray[np.int64] | None
    ) -> None:
        """In place of what was counted of their rows."""
        for number, column, steps in self._runs:
            values = np.append(before[-1, column], rows.values[:, column])
            length = 1 if runs is None else max(int(runs[column]), 1)
            found[number] = steps.run_counts(values, _times_with(before_ms, rows), length)

    def runs_after(
        self, rows: Rows, before: Floats, before_ms: int | None, runs: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How long each column's value has been the same after these rows, as far as it is counted: (columns,)."""
        found = runs.copy()
        for _, column, steps in self._runs:
            values = np.append(before[-1, column], rows.values[:, column])
            first = max(int(runs[column]), 1) - 1
            found[column] = run_lengths(values, _times_with(before_ms, rows), steps.gap_ms, first)[-1]
        return found

    def flags(self, rows: Rows, before: Floats, flags: Floats | None) -> Floats:
        """(no, yes) of every yes-or-no signal in these rows, of which there may be none: (signals, 2)."""
        bins = self.bins(rows.values)
        found = self._flag_counts(rows, before, bins, self._bin_counts(bins), flags)
        if len(rows):
            self._count_runs(found, rows, before, None, None)
        return found

    def _bin_counts(self, bins: NDArray[np.intp]) -> Floats:
        """Values per bin of each known column; the last place counts rows without a usable value: (columns, BINS + 1)."""
        width = len(self.known)
        flat = (bins + self._bin_starts).ravel()
        return np.bincount(flat, minlength=width * (BINS + 1)).reshape(width, BINS + 1).astype(np.float64)

    def _left_counts(self, rows: Rows, before: Floats, before_ms: int | None) -> Floats:
        """What is left of columns given something, per bin: (conditionals, BINS)."""
        found = np.zeros((len(self._given), BINS))
        if not self._given:
            return found
        times_ms = _times_with(before_ms, rows)
        for place, (column, one) in enumerate(self._given):
            left = one.left(np.append(before[-1, column], rows.values[:, column]), times_ms)[1:]
            found[place, : len(one.masses)] = one.counts(left)
        return found

    def _flag_counts(
        self, rows: Rows, before: Floats, bins: NDArray[np.intp], counts: Floats, flags: Floats | None
    ) -> Floats:
        width, values = len(self.known), self.known_of(rows.values)
        free = np.zeros((self._free, 2)) if flags is None else flags
        ones, trials = np.zeros(len(_ASPECTS) * width + len(free)), np.empty(2 * width + len(free))
        yes = ones[: len(_ASPECTS) * width].reshape(len(_ASPECTS), width)
        usable = len(rows) - counts[:, NO_BIN]
        if counts[:, NO_BIN].any():
            foreign = (self.known_of(rows.presence) == Presence.FOREIGN).sum(axis=0)
            yes[0], yes[1] = counts[:, NO_BIN] - foreign, foreign
        yes[2] = self.binning.out_of_range(values).sum(axis=0)
        yes[3] = self.binning.unseen_counts(values, bins, counts) if self._has_unseen else 0.0
        if len(self._repeat_rank):
            columns = self._repeat_columns
            yes[4, self._repeat_rank] = repeats(before[:, columns], rows.values[:, columns]).sum(axis=0)
        trials[:width], trials[width : 2 * width] = len(rows), usable
        if len(free):
            ones[-len(free) :], trials[-len(free) :] = free[:, 1], free.sum(axis=1)
        found = np.empty((len(self._yes), 2))
        found[:, 1] = ones[self._yes]
        found[:, 0] = trials[self._trials] - found[:, 1]
        return found


def _times_with(before_ms: int | None, rows: Rows) -> NDArray[np.int64]:
    """Times of the row before these, and of these; without one, it is no neighbour."""
    return np.append(np.int64(-1 if before_ms is None else before_ms), rows.times_ms)


def _lasting(reference: ColumnReference) -> float:
    times = reference.times
    return min(times["unseen"] / times["categories"], 1.0) if "unseen" in times else 1.0
