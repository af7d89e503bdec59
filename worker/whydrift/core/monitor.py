"""Watches a set of columns that are observed row by row together: learns their references, gathers evidence, raises alarms.

Rows become a `ChunkSummary` (`summarise`), and the summary becomes evidence (`detect`): nothing else of a row is judged.

Belongs here: learning in stages, evidence per signal, alarms and recovery, retained rows. Not here: what the columns mean
(`model`, `version`), which fault it is (`diagnose`).

Learning: the reference is made from the first `first_stage_events` rows, again from twice as many, until `baseline_events`. Each
stage is valid by itself, only less sensitive (the tolerance pays for a small reference). While a signal is alarmed nothing is
learnt, and rows since the alarm's onset are taken out, so that a fault does not become the reference.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import ColumnView, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind, Presence, Rows
from whydrift.core.detectors.bets import Bets, Tolerance
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.reference import BINS, REPEAT_WINDOW, Binning, ColumnReference, learn_column, repeats
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect, distribution_bets, flag_aspects, flag_bets, flag_share
from whydrift.core.summary import ChunkSummary

_LEAST_VALUES = 20
RETAINED_ROWS = 600
"""Latest rows kept for diagnosis."""
SAMPLE_ROWS = 500
"""Rows of health kept for diagnosis, spread evenly over those learnt from."""
_SAMPLE_VALUES = 60_000
"""Upper limit of values in that sample, whatever the number of columns."""
_BLOCK_ROWS = (200, 5_000)
"""Bounds of the block after which an alarmed signal is asked whether its change still lasts."""
_QUIET_BLOCKS = 2
"""Blocks in a row without renewed evidence after which a signal has recovered."""


@dataclass(slots=True)
class Alarm:
    """A signal that crossed its threshold. A block of `block_rows` must renew the evidence, or counts as quiet."""

    signal: str
    onset_ms: int
    onset_offset: int
    block_rows: int
    block_start: int
    quiet_blocks: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a signal's evidence is: process "numeric", "coded" or "flag", row there, column, aspect ("" for a free flag)."""

    process: str
    row: int
    column: int
    aspect: str


@dataclass(frozen=True, slots=True, eq=False)
class MonitorProfile:
    """What a monitor learnt: `references` by column name, `sample` rows of health (none where they were left out)."""

    columns: tuple[Column, ...]
    references: Mapping[str, ColumnReference]
    sample: Rows

    def snapshot(self) -> dict[str, Any]:
        return {
            "columns": [column_state(column) for column in self.columns],
            "references": [reference.snapshot() for reference in self.references.values()],
            "sample": self.sample.snapshot(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "MonitorProfile":
        references = [ColumnReference.restore(reference) for reference in state["references"]]
        columns = tuple(column_of(column) for column in state["columns"])
        return cls(columns, {r.name: r for r in references}, Rows.restore(state["sample"]))


def column_state(column: Column) -> list[Any]:
    """A column as a plain value."""
    return [column.name, str(column.kind), list(column.codes), column.dimension]


def column_of(state: Sequence[Any]) -> Column:
    name, kind, codes, dimension = state
    return Column(name, Kind(kind), {code: float(place) for place, code in enumerate(codes)}, dimension)


@dataclass(slots=True)
class _Learning:
    """Rows collected for the columns that are being learnt; `target` rows make the next stage."""

    columns: set[str]
    parts: list[Rows]
    target: int
    is_late: bool = False
    """The baseline is there: rows that have none of these columns say nothing."""

    def rows(self, width: int) -> Rows:
        return Rows.concat(self.parts, width)


class Monitor:
    """References, evidence and alarms of `columns`, and of free yes-or-no `flags` that have no column.

    Signals are named `<column>.<aspect>`; a free flag is a signal by its own name.
    """

    def __init__(
        self,
        settings: Settings,
        columns: Iterable[Column],
        flags: Sequence[str] = (),
        prepare: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        """`prepare` is called with the rows that are about to be learnt from, and may change their values."""
        self._settings = settings
        self._prepare = prepare
        self.columns = list(columns)
        self.flags = tuple(flags)
        self.references: list[ColumnReference | None] = [None] * len(self.columns)
        self._flag_seen = np.zeros((len(self.flags), 2))
        self._flag_reference = np.zeros((len(self.flags), 2))
        self._flag_target = np.full(len(self.flags), settings.first_stage_events)
        self._learning: _Learning | None = _Learning(
            {c.name for c in self.columns}, [], self._settings.first_stage_events
        )
        self._sample = Rows.concat([], len(self.columns))
        self._recent: list[Rows] = []
        self._before = np.full((REPEAT_WINDOW, len(self.columns)), np.nan)
        self._recent_flags: list[tuple[int, Floats]] = []
        """Free flags of the latest chunks: offset of the first row, (no, yes) of each."""
        self.rows_seen = 0
        self.model_signals = 100
        self.log10_threshold = 6.0
        self.alarms: dict[str, Alarm] = {}
        self._build({})

    # -- learning -----------------------------------------------------------------------------------------------

    @property
    def is_collecting(self) -> bool:
        """Whether rows of all columns are being collected, not only of some that had no values until now."""
        return self._learning is not None and not self._learning.is_late

    @property
    def baseline_seen(self) -> int:
        """Rows learnt from so far, of `Settings.baseline_events`; all of them when learning has ended."""
        if self._learning is None or self._learning.is_late:
            return self._settings.baseline_events
        return sum(len(part) for part in self._learning.parts)

    def add_column(self, column: Column) -> None:
        """A further column: rows so far do not have it. Allowed at any time; it is learnt with the next stage."""
        self.columns.append(column)
        self.references.append(None)
        self._recent = [widen(part, len(self.columns)) for part in self._recent]
        self._sample = widen(self._sample, len(self.columns))
        self._before = np.pad(self._before, ((0, 0), (0, 1)), constant_values=np.nan)
        if self._learning is None:
            self._learning = _Learning(set(), [], self._settings.first_stage_events)
        self._learning.parts = [widen(part, len(self.columns)) for part in self._learning.parts]
        self._learning.columns.add(column.name)
        self._rebuild()

    def install(self, profile: MonitorProfile) -> None:
        """Take columns, references and sample from a profile; what has no reference there is learnt here."""
        self.columns = [replace(column, codes=dict(column.codes)) for column in profile.columns]
        self.references = [profile.references.get(column.name) for column in self.columns]
        self._sample = profile.sample
        self._recent = []
        self._before = np.full((REPEAT_WINDOW, len(self.columns)), np.nan)
        self._learning = self._learn_later()
        self._rebuild()

    def profile(self, *, keep_sample: bool) -> MonitorProfile:
        """What was learnt, for `install` elsewhere."""
        references = {r.name: r for r in self.references if r is not None}
        sample = self._sample if keep_sample else Rows.concat([], len(self.columns))
        return MonitorProfile(tuple(self.columns), references, sample)

    def learn_now(self) -> None:
        """Learn from the rows collected so far, however few. `Settings.first_stage_events` must not have been reached."""
        learning = self._learning
        if learning is not None and learning.parts:
            self._learn_columns(self._prepare(learning.rows(len(self.columns))), learning.columns, least_rows=1)

    def thin_learning(self) -> None:
        """Forget every other chunk of the rows collected so far: what is kept still spans all of them."""
        if self._learning is not None:
            del self._learning.parts[1::2]

    def relearn(self, columns: Iterable[str], since_offset: int | None = None) -> None:
        """Learn these columns anew: from retained rows since an offset where given, else from the rows to come."""
        names = set(columns) & {column.name for column in self.columns}
        if not names:
            return
        parts = [self.recent_since(since_offset)] if since_offset is not None else []
        if self._learning is not None:
            names |= self._learning.columns
        self._learning = _Learning(names, parts, self._settings.first_stage_events)
        for place, column in enumerate(self.columns):
            if column.name in names:
                self.references[place] = None
        gone = self._indices(names)
        for name in [name for name in self.alarms if self._places[name].aspect and self._places[name].column in gone]:
            del self.alarms[name]
        self._rebuild()
        self._advance_learning()

    def forget_flags(self, names: Iterable[str]) -> None:
        """Learn the share of free flags anew, from the rows to come."""
        for name in set(names) & set(self.flags):
            place = self.flags.index(name)
            self._flag_seen[place] = self._flag_reference[place] = 0.0
            self._flag_target[place] = self._settings.first_stage_events
            self.alarms.pop(name, None)
        self._rebuild()

    def _indices(self, names: set[str]) -> set[int]:
        return {place for place, column in enumerate(self.columns) if column.name in names}

    def _learn_from(self, rows: Rows, flags: Floats | None) -> None:
        if self.alarms:
            return
        if flags is not None:
            self._learn_flags(flags)
        learning = self._learning
        if learning is None:
            return
        if learning.is_late and (rows.presence[:, sorted(self._indices(learning.columns))] == Presence.ABSENT).all():
            return
        learning.parts.append(rows)
        self._advance_learning()

    def _learn_flags(self, flags: Floats) -> None:
        is_learning = self._flag_target > 0
        if not is_learning.any():
            return
        self._flag_seen[is_learning] += flags[is_learning]
        seen = self._flag_seen.sum(axis=1)
        is_due = is_learning & (seen >= np.minimum(self._flag_target, self._settings.baseline_events))
        if is_due.any():
            self._flag_reference[is_due] = self._flag_seen[is_due]
            is_over = seen >= self._settings.baseline_events
            self._flag_target[is_due] = np.where(is_over, 0, 2 * self._flag_target)[is_due]
            self._rebuild()

    def _advance_learning(self) -> None:
        """Make the next stage's references when enough rows are there."""
        learning = self._learning
        if learning is None:
            return
        seen = sum(len(part) for part in learning.parts)
        target = min(learning.target, self._settings.baseline_events)
        if seen < target:
            return
        rows = learning.rows(len(self.columns))
        self._learn_columns(self._prepare(rows), learning.columns)
        if seen >= self._settings.baseline_events:
            self._learning = self._learn_later()
        else:
            learning.target = max(2 * learning.target, seen + 1)
            learning.parts = [rows]

    def _learn_later(self) -> _Learning | None:
        """Columns that had too few values until now are learnt when they have some."""
        left = {c.name for c, r in zip(self.columns, self.references, strict=True) if r is None}
        return _Learning(left, [], self._settings.first_stage_events, is_late=True) if left else None

    def _learn_columns(self, rows: Rows, names: set[str], least_rows: int | None = None) -> None:
        least_rows = self._settings.first_stage_events // 2 if least_rows is None else least_rows
        learnt = set()
        for place in sorted(self._indices(names)):
            values, presence = rows.values[:, place], rows.presence[:, place]
            known = presence != Presence.ABSENT
            # Rows from before the column existed say nothing about it.
            first = int(np.argmax(known)) if known.any() else len(rows)
            is_there = int((presence[first:] == Presence.PRESENT).sum()) >= _LEAST_VALUES
            if is_there and len(rows) - first >= least_rows:
                self.references[place] = learn_column(self.columns[place], values[first:], presence[first:])
                learnt.add(self.columns[place].name)
        if learnt:
            self._sample = thin(rows, self._sample_rows())
            self._rebuild(fresh=learnt)

    def _sample_rows(self) -> int:
        return max(20, min(SAMPLE_ROWS, _SAMPLE_VALUES // max(len(self.columns), 1)))

    # -- bets and evidence --------------------------------------------------------------------------------------

    def _rebuild(self, fresh: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Make bets anew after references changed; evidence on columns that are not `fresh` is carried over."""
        old = {
            name: (self._process(place), place.row)
            for name, place in self._places.items()
            if not (place.aspect and self.columns[place.column].name in fresh)
        }
        self._build(old)

    def _build(self, old: Mapping[str, tuple[EvidenceProcess, int]]) -> None:
        numeric: list[Bets] = []
        coded: list[Bets] = []
        flags: list[Bets] = []
        self._places: dict[str, _Place] = {}
        self.bets: dict[str, Bets] = {}
        for index, (column, reference) in enumerate(zip(self.columns, self.references, strict=True)):
            if reference is None:
                continue
            tolerance = Tolerance(reference.rows, self.model_signals, self._settings.margin)
            process, group = ("coded", coded) if reference.kind.is_coded else ("numeric", numeric)
            name = f"{column.name}.{Aspect.DISTRIBUTION}"
            self.bets[column.name] = distribution_bets(reference, tolerance)
            self._places[name] = _Place(process, len(group), index, Aspect.DISTRIBUTION)
            group.append(self.bets[column.name])
            for aspect in flag_aspects(reference):
                ones, n = flag_share(reference, aspect)
                self._places[f"{column.name}.{aspect}"] = _Place("flag", len(flags), index, aspect)
                flags.append(flag_bets(ones, Tolerance(n, self.model_signals, self._settings.margin)))
        for index, name in enumerate(self.flags):
            seen, yes = int(self._flag_reference[index].sum()), float(self._flag_reference[index, 1])
            if seen:
                self._places[name] = _Place("flag", len(flags), index, "")
                flags.append(flag_bets(yes, Tolerance(seen, self.model_signals, self._settings.margin)))
        self._numeric, self._coded, self._flags = (EvidenceProcess(group) for group in (numeric, coded, flags))
        for name, (process_, row) in old.items():
            if name in self._places:
                self._process(self._places[name]).carry(self._places[name].row, process_, row)
        self._index()

    def _index(self) -> None:
        """Column numbers of each process's rows, so that a chunk is taken apart by whole-array steps."""
        known = [place for place, reference in enumerate(self.references) if reference is not None]
        self._known = np.array(known, np.intp)
        self._binning = Binning([self.columns[i] for i in known], [r for r in self.references if r is not None])
        rank = {column: order for order, column in enumerate(known)}
        of = self._places.values()
        self._numeric_rank = np.array([rank[p.column] for p in of if p.process == "numeric"], np.intp)
        self._coded_rank = np.array([rank[p.column] for p in of if p.process == "coded"], np.intp)
        flags = [p for p in of if p.process == "flag"]
        self._flag_source = {
            aspect: (
                np.array([p.row for p in flags if p.aspect == aspect], np.intp),
                np.array([p.column if aspect == "" else rank[p.column] for p in flags if p.aspect == aspect], np.intp),
            )
            for aspect in ("", *(a for a in Aspect if a is not Aspect.DISTRIBUTION))
        }
        self._flag_rows = len(flags)
        self._repeat_columns = self._known[self._flag_source[Aspect.REPEATED][1]]

    def _process(self, place: _Place) -> EvidenceProcess:
        return {"numeric": self._numeric, "coded": self._coded, "flag": self._flags}[place.process]

    @property
    def binning(self) -> Binning:
        """How this monitor bins the columns that have a reference (`known_columns`)."""
        return self._binning

    @property
    def known_columns(self) -> NDArray[np.intp]:
        """Indices of the columns that have a reference."""
        return self._known

    def update(self, rows: Rows, flags: Floats | None = None) -> NDArray[np.intp]:
        """Take a chunk's rows (one at least), and how often each free flag was (no, yes): (flags, 2).

        Returns the rows' bins (rows, known columns), as they were before anything was learnt from these rows.
        """
        bins = self._binning.bins(rows.values[:, self._known])
        self.detect(self.summarise(rows, flags, bins))
        self._retain(rows, flags)
        self._review()
        self._learn_from(rows, flags)
        return bins

    def summarise(self, rows: Rows, flags: Floats | None, bins: NDArray[np.intp]) -> ChunkSummary:
        """Counts of a chunk; changes nothing. `bins`: of these rows by `binning`."""
        width = len(self._known)
        flat = (bins + np.arange(width) * (BINS + 1)).ravel()
        counts = np.bincount(flat, minlength=width * (BINS + 1)).reshape(width, BINS + 1)[:, :BINS].astype(np.float64)
        return ChunkSummary(
            rows=len(rows),
            first_ms=int(rows.times_ms[0]),
            first_offset=int(rows.offsets[0]),
            numeric=counts[self._numeric_rank],
            coded=counts[self._coded_rank],
            flags=self._flag_counts(rows, bins, flags),
        )

    def detect(self, chunk: ChunkSummary) -> None:
        """Let a chunk's counts speak for or against each signal."""
        where = (chunk.first_ms, chunk.first_offset, self.rows_seen)
        if len(chunk.numeric):
            self._numeric.update(chunk.numeric, *where)
        if len(chunk.coded):
            self._coded.update(chunk.coded, *where)
        if len(chunk.flags):
            self._flags.update(chunk.flags, *where)
        self.rows_seen += chunk.rows

    def _flag_counts(self, rows: Rows, bins: NDArray[np.intp], flags: Floats | None) -> Floats:
        """(no, yes) of every flag signal in this chunk: (signals, 2)."""
        counts = np.zeros((self._flag_rows, 2))
        values, presence = rows.values[:, self._known], rows.presence[:, self._known]
        present = (presence == Presence.PRESENT).sum(axis=0)
        ones = {
            Aspect.MISSING: ((presence == Presence.NULL) | (presence == Presence.ABSENT)).sum(axis=0),
            Aspect.TYPE: (presence == Presence.FOREIGN).sum(axis=0),
            Aspect.OUT_OF_RANGE: self._binning.out_of_range(values).sum(axis=0),
            Aspect.UNSEEN: self._binning.unseen(values, bins).sum(axis=0),
        }
        trials = {Aspect.MISSING: len(rows), Aspect.TYPE: len(rows)}
        for aspect, yes in ones.items():
            row, rank = self._flag_source[aspect]
            counts[row, 1] = yes[rank]
            total = trials.get(aspect)
            counts[row, 0] = (present[rank] if total is None else total) - yes[rank]
        row, rank = self._flag_source[Aspect.REPEATED]
        if len(row):
            chosen = self._repeat_columns
            yes = repeats(self._before[:, chosen], rows.values[:, chosen]).sum(axis=0)
            counts[row, 1] = yes
            counts[row, 0] = present[rank] - yes
        row, rank = self._flag_source[""]
        if flags is not None and len(row):
            counts[row] = flags[rank]
        return counts

    def _retain(self, rows: Rows, flags: Floats | None) -> None:
        if flags is not None:
            self._recent_flags.append((int(rows.offsets[0]), flags))
            del self._recent_flags[: -(RETAINED_ROWS // max(self._settings.chunk_events, 1)) or None]
        self._before = np.concatenate([self._before, rows.values])[-REPEAT_WINDOW:]
        self._recent.append(rows)
        while sum(map(len, self._recent)) - len(self._recent[0]) >= RETAINED_ROWS:
            self._recent.pop(0)

    def recent(self) -> Rows:
        """The latest rows, at most RETAINED_ROWS."""
        return Rows.concat(self._recent, len(self.columns)).take(slice(-RETAINED_ROWS, None))

    def recent_since(self, offset: int) -> Rows:
        """Retained rows from an offset on."""
        rows = self.recent()
        return rows.take(rows.offsets >= offset)

    # -- alarms -------------------------------------------------------------------------------------------------

    def _review(self) -> None:
        """Raise alarms where evidence crosses the threshold; let those recover whose change has ended."""
        levels = {"numeric": self._numeric.log10(), "coded": self._coded.log10(), "flag": self._flags.log10()}
        if not self.alarms and all((level < self.log10_threshold).all() for level in levels.values()):
            return
        for name, place in self._places.items():
            alarm = self.alarms.get(name)
            if alarm is not None:
                self._ask_again(alarm, place)
            elif levels[place.process][place.row] >= self.log10_threshold:
                self._raise(name, place)

    def _raise(self, name: str, place: _Place) -> None:
        process = self._process(place)
        onset_ms, onset_offset = process.onset(place.row)
        took = self.rows_seen - process.onset_row(place.row)
        # The evidence of a lasting change comes in bursts: what took so long may next time take three times as long.
        block = int(np.clip(3 * took, *_BLOCK_ROWS))
        self.alarms[name] = Alarm(name, onset_ms, onset_offset, block, self.rows_seen)
        process.forget_recent(place.row)
        if self._learning is not None:
            self._learning.parts = [part.take(part.offsets < onset_offset) for part in self._learning.parts]

    def _ask_again(self, alarm: Alarm, place: _Place) -> None:
        if self.rows_seen - alarm.block_start < alarm.block_rows:
            return
        process = self._process(place)
        is_quiet = process.recent_log10(place.row) < self.log10_threshold / 2
        alarm.quiet_blocks = alarm.quiet_blocks + 1 if is_quiet else 0
        alarm.block_start = self.rows_seen
        process.forget_recent(place.row)
        if alarm.quiet_blocks >= _QUIET_BLOCKS:
            process.reset(place.row)
            del self.alarms[alarm.signal]

    # -- pictures -----------------------------------------------------------------------------------------------

    @property
    def signal_count(self) -> int:
        return len(self._places)

    def retune(self, model_signals: int, log10_threshold: float) -> None:
        """Share the budget over this many signals of the model, at this threshold."""
        self.log10_threshold = log10_threshold
        if model_signals != self.model_signals:
            self.model_signals = model_signals
            self._rebuild()

    def columns_of(self, signals: Iterable[str]) -> set[str]:
        """Names of the columns that these signals belong to; free flags and unknown signals have none."""
        places = [self._places[name] for name in signals if name in self._places]
        return {self.columns[place.column].name for place in places if place.aspect}

    def levels(self) -> dict[str, float]:
        """log10 evidence of every signal now, in order of columns and aspects; −∞ before the first chunk."""
        levels = {"numeric": self._numeric.log10(), "coded": self._coded.log10(), "flag": self._flags.log10()}
        return {name: float(levels[place.process][place.row]) for name, place in self._places.items()}

    def evidence(self, current: Rows) -> list[SignalEvidence]:
        """Every signal now, in the same order, with the shares that yes-or-no signals have in the rows that count as current."""
        shares = self._current_shares(current)
        return [self._evidence(name, level, shares) for name, level in self.levels().items()]

    def _current_shares(self, current: Rows) -> Floats:
        """Share of yes of every yes-or-no signal: (signals,)."""
        bins = self._binning.bins(current.values[:, self._known])
        first = int(current.offsets[0]) if len(current) else 0
        flags = [flags for offset, flags in self._recent_flags if offset >= first]
        counts = self._flag_counts(current, bins, sum(flags, np.zeros((len(self.flags), 2))))
        shares: Floats = counts[:, 1] / np.maximum(counts.sum(axis=1), 1)
        return shares

    def _evidence(self, name: str, log10_e: float, shares: Floats) -> SignalEvidence:
        place, alarm = self._places[name], self.alarms.get(name)
        return SignalEvidence(
            signal=name,
            column=self.columns[place.column].name if place.aspect else name,
            aspect=place.aspect,
            log10_e=log10_e,
            log10_threshold=self.log10_threshold,
            onset_ms=alarm.onset_ms if alarm else self._process(place).onset(place.row)[0],
            is_alarmed=alarm is not None,
            reference_share=self._reference_share(place),
            current_share=float(shares[place.row]) if place.process == "flag" else None,
        )

    def _reference_share(self, place: _Place) -> float | None:
        if place.process != "flag":
            return None
        if place.aspect == "":
            return float(self._flag_reference[place.column, 1] / self._flag_reference[place.column].sum())
        reference = self.references[place.column]
        assert reference is not None  # a column has signals only with a reference
        yes, n = flag_share(reference, Aspect(place.aspect))
        return yes / max(n, 1)

    def views(self, current: Rows, positions: Mapping[str, int]) -> dict[str, ColumnView]:
        """The columns that have a reference, for diagnosis. positions: place among the model's inputs, −1 where not named."""
        signals: dict[str, dict[str, SignalEvidence]] = {}
        for one in self.evidence(current):
            signals.setdefault(one.column, {})[one.aspect] = one
        return {
            column.name: ColumnView(
                column=column,
                reference=reference,
                position=positions.get(column.name, -1),
                reference_values=self._sample.values[:, index],
                reference_presence=self._sample.presence[:, index],
                current_values=current.values[:, index],
                current_presence=current.presence[:, index],
                bets=self.bets[column.name],
                signals={aspect: s for aspect, s in signals[column.name].items() if aspect},
            )
            for index, (column, reference) in enumerate(zip(self.columns, self.references, strict=True))
            if reference is not None
        }

    @property
    def sample(self) -> Rows:
        """Rows of health kept for diagnosis."""
        return self._sample

    # -- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What changes with every chunk."""
        learning = self._learning
        return {
            "columns": [column_state(column) for column in self.columns],
            "flags": [self._flag_seen, self._flag_reference, self._flag_target],
            "recent_flags": [list(one) for one in self._recent_flags],
            "learning": None
            if learning is None
            else {
                "columns": sorted(learning.columns),
                "rows": learning.rows(len(self.columns)).snapshot(),
                "target": learning.target,
                "is_late": learning.is_late,
            },
            "recent": self.recent().snapshot(),
            "before": self._before,
            "rows_seen": self.rows_seen,
            "model_signals": self.model_signals,
            "log10_threshold": self.log10_threshold,
            "alarms": [[getattr(alarm, name) for name in _ALARM] for alarm in self.alarms.values()],
            "evidence": [process.snapshot() for process in (self._numeric, self._coded, self._flags)],
        }

    def snapshot_references(self) -> dict[str, Any]:
        """What changes only when something is learnt."""
        return {
            "references": [None if r is None else r.snapshot() for r in self.references],
            "sample": self._sample.snapshot(),
        }

    @classmethod
    def restore(
        cls,
        settings: Settings,
        flags: Sequence[str],
        state: Mapping[str, Any],
        references: Mapping[str, Any],
        prepare: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> "Monitor":
        monitor = cls(settings, [column_of(column) for column in state["columns"]], flags, prepare)
        monitor.references = [None if r is None else ColumnReference.restore(r) for r in references["references"]]
        monitor._sample = Rows.restore(references["sample"])
        monitor._flag_seen, monitor._flag_reference, monitor._flag_target = state["flags"]
        monitor._recent_flags = [(offset, flags) for offset, flags in state["recent_flags"]]
        learning = state["learning"]
        monitor._learning = (
            None
            if learning is None
            else _Learning(
                set(learning["columns"]), [Rows.restore(learning["rows"])], learning["target"], learning["is_late"]
            )
        )
        recent = Rows.restore(state["recent"])
        monitor._recent = [recent] if len(recent) else []
        monitor._before = state["before"]
        for name in ("rows_seen", "model_signals", "log10_threshold"):
            setattr(monitor, name, state[name])
        monitor.alarms = {values[0]: Alarm(*values) for values in state["alarms"]}
        monitor._build({})
        for process, evidence in zip(
            (monitor._numeric, monitor._coded, monitor._flags), state["evidence"], strict=True
        ):
            process.restore(evidence)
        return monitor


_ALARM = ("signal", "onset_ms", "onset_offset", "block_rows", "block_start", "quiet_blocks")


def thin(rows: Rows, count: int) -> Rows:
    """At most `count` rows, evenly spread."""
    if len(rows) <= count:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, count).astype(np.intp))


def widen(rows: Rows, width: int) -> Rows:
    """The same rows with further columns, which they do not have, up to this width."""
    more = ((0, 0), (0, width - rows.values.shape[1]))
    return Rows(
        np.pad(rows.values, more, constant_values=np.nan),
        np.pad(rows.presence, more, constant_values=int(Presence.ABSENT)),
        rows.times_ms,
        rows.offsets,
    )
