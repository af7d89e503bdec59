"""Watches a set of columns that are observed row by row together: learns their references, gathers evidence, raises alarms.

Belongs here: learning in stages, evidence per signal, alarms and recovery, retained rows. Not here: what the columns mean
(`model.py`), which fault it is (`diagnose`).

Learning: the reference is made from the first LEARNING_STAGES rows, again from twice as many, until `baseline_events`. Each
stage is valid by itself, only less sensitive (the tolerance pays for a small reference). While a signal is alarmed nothing is
learnt, and rows since the alarm's onset are taken out, so that a fault does not become the reference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import ColumnView, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind, Presence, Rows
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.reference import BINS, REPEAT_WINDOW, Binning, ColumnReference, learn_column, repeats
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect, distribution_bets, flag_aspects, flag_bets, flag_share

FIRST_STAGE = 250
"""Rows of the first reference; the next stages have twice as many each."""
RETAINED_ROWS = 600
"""Latest rows kept for diagnosis."""
SAMPLE_ROWS = 500
"""Rows of health kept for diagnosis, spread evenly over those learnt from."""
_SAMPLE_VALUES = 60_000
"""Upper limit of values in that sample, whatever the number of columns."""
_BLOCK_ROWS = (100, 5_000)
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


@dataclass(slots=True)
class _Learning:
    """Rows collected for the columns that are being learnt; `target` rows make the next stage."""

    columns: set[str]
    parts: list[Rows]
    target: int

    def rows(self, width: int) -> Rows:
        return Rows.concat(self.parts, width)


class Monitor:
    """References, evidence and alarms of `columns`, and of free yes-or-no `flags` that have no column.

    Signals are named `<column>.<aspect>`; a free flag is a signal by its own name.
    """

    def __init__(self, settings: Settings, columns: Iterable[Column], flags: Sequence[str] = ()) -> None:
        self._settings = settings
        self.columns = list(columns)
        self.flags = tuple(flags)
        self.references: list[ColumnReference | None] = [None] * len(self.columns)
        self._flag_share: tuple[Floats, int] | None = None
        self._flag_seen = np.zeros((len(self.flags), 2))
        self._learning: _Learning | None = _Learning({c.name for c in self.columns}, [], FIRST_STAGE)
        self._sample = Rows.concat([], len(self.columns))
        self._recent: list[Rows] = []
        self._before = np.full((REPEAT_WINDOW, len(self.columns)), np.nan)
        self._recent_flags: list[Floats] = []
        self.rows_seen = 0
        self.model_signals = 100
        self.log10_threshold = 6.0
        self.alarms: dict[str, Alarm] = {}
        self._build({})

    # -- learning -----------------------------------------------------------------------------------------------

    @property
    def is_learning(self) -> bool:
        return self._learning is not None

    @property
    def baseline_seen(self) -> int:
        """Rows learnt from so far, of `Settings.baseline_events`; all of them when learning has ended."""
        if self._learning is None:
            return self._settings.baseline_events
        return sum(len(part) for part in self._learning.parts)

    def add_column(self, column: Column) -> None:
        """A further column: rows so far do not have it. Allowed at any time; it is learnt with the next stage."""
        self.columns.append(column)
        self.references.append(None)
        self._recent = [_widen(part) for part in self._recent]
        self._sample = _widen(self._sample)
        self._before = np.pad(self._before, ((0, 0), (0, 1)), constant_values=np.nan)
        if self._learning is None:
            self._learning = _Learning(set(), [], FIRST_STAGE)
        self._learning.parts = [_widen(part) for part in self._learning.parts]
        self._learning.columns.add(column.name)
        self._rebuild()

    def install(self, references: Mapping[str, ColumnReference], sample: Rows) -> None:
        """Take references from a profile; learning ends for the columns that have one."""
        self.references = [
            references.get(column.name, old) for column, old in zip(self.columns, self.references, strict=True)
        ]
        self._sample = sample
        left = {c.name for c, r in zip(self.columns, self.references, strict=True) if r is None}
        self._learning = _Learning(left, [], FIRST_STAGE) if left else None
        self._rebuild()

    def relearn(self, columns: Iterable[str], since_offset: int | None = None) -> None:
        """Learn these columns anew: from retained rows since an offset where given, else from the rows to come."""
        names = set(columns) & {column.name for column in self.columns}
        if not names:
            return
        parts = [self.recent_since(since_offset)] if since_offset is not None else []
        if self._learning is not None:
            names |= self._learning.columns
        self._learning = _Learning(names, parts, FIRST_STAGE)
        for place, column in enumerate(self.columns):
            if column.name in names:
                self.references[place] = None
        self._drop_alarms(lambda alarm: self._places[alarm.signal].column in self._indices(names))
        self._rebuild()
        self._advance_learning()

    def forget_flags(self, names: Iterable[str]) -> None:
        """Take the present rate of free flags as health: their share is learnt anew from the rows to come."""
        chosen = [place for place, name in enumerate(self.flags) if name in set(names)]
        for place in chosen:
            self._flag_seen[place] = 0.0
            self._flags.reset(self._places[self.flags[place]].row)
            self.alarms.pop(self.flags[place], None)
        if chosen:
            self._flag_share = None
            self._rebuild()

    def _indices(self, names: set[str]) -> set[int]:
        return {place for place, column in enumerate(self.columns) if column.name in names}

    def _drop_alarms(self, which: Any) -> None:
        for alarm in [alarm for alarm in self.alarms.values() if which(alarm)]:
            del self.alarms[alarm.signal]

    def _learn_from(self, rows: Rows) -> None:
        if self._learning is None or self.alarms:
            return
        self._learning.parts.append(rows)
        self._advance_learning()

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
        self._learn_columns(rows, learning.columns)
        if seen >= self._settings.baseline_events:
            self._learning = None
        else:
            learning.target = max(2 * learning.target, seen + 1)
            learning.parts = [rows]

    def _learn_columns(self, rows: Rows, names: set[str]) -> None:
        for place in sorted(self._indices(names)):
            values, presence = rows.values[:, place], rows.presence[:, place]
            known = presence != Presence.ABSENT
            # Rows from before the column existed say nothing about it.
            first = int(np.argmax(known)) if known.any() else len(rows)
            if len(rows) - first >= FIRST_STAGE // 2:
                self.references[place] = learn_column(self.columns[place], values[first:], presence[first:])
        self._sample = thin(rows, self._sample_rows())
        if self._flag_seen.any():
            self._flag_share = (self._flag_seen[:, 1].copy(), int(self._flag_seen[0].sum()))
        self._rebuild(fresh=names)

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
        numeric, coded, flags = [], [], []
        self._places: dict[str, _Place] = {}
        self.bets: dict[str, Any] = {}
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
        if self._flag_share is not None:
            ones, n = self._flag_share
            for index, name in enumerate(self.flags):
                self._places[name] = _Place("flag", len(flags), index, "")
                flags.append(flag_bets(float(ones[index]), Tolerance(n, self.model_signals, self._settings.margin)))
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
        """Take a chunk's rows, and how often each free flag was (no, yes): (flags, 2). Returns the bins (rows, known columns)."""
        first_ms = int(rows.times_ms[0]) if len(rows) else 0
        first_offset = int(rows.offsets[0]) if len(rows) else 0
        bins = self._binning.bins(rows.values[:, self._known])
        if len(rows):
            self._gather(rows, bins, flags, first_ms, first_offset)
            self._retain(rows)
        if flags is not None:
            self._recent_flags = [*self._recent_flags, flags][-(RETAINED_ROWS // max(self._settings.chunk_events, 1)) :]
            if self._learning is not None and not self.alarms:
                self._flag_seen += flags
        self.rows_seen += len(rows)
        self._review()
        self._learn_from(rows)
        return bins

    def _gather(
        self, rows: Rows, bins: NDArray[np.intp], flags: Floats | None, first_ms: int, first_offset: int
    ) -> None:
        width = len(self._known)
        if width:
            flat = (bins + np.arange(width) * (BINS + 1)).ravel()
            counts = (
                np.bincount(flat, minlength=width * (BINS + 1)).reshape(width, BINS + 1)[:, :BINS].astype(np.float64)
            )
            if len(self._numeric_rank):
                self._numeric.update(counts[self._numeric_rank], first_ms, first_offset)
            if len(self._coded_rank):
                self._coded.update(counts[self._coded_rank], first_ms, first_offset)
        if self._flag_rows:
            self._flags.update(self._flag_counts(rows, bins, flags), first_ms, first_offset)

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

    def _retain(self, rows: Rows) -> None:
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
        took = len(self.recent_since(onset_offset))
        block = int(np.clip(1.5 * took, *_BLOCK_ROWS))
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

    def evidence(self) -> list[SignalEvidence]:
        """Every signal now, in order of columns and aspects."""
        levels = {"numeric": self._numeric.log10(), "coded": self._coded.log10(), "flag": self._flags.log10()}
        return [
            self._evidence(name, place, float(levels[place.process][place.row])) for name, place in self._places.items()
        ]

    def _evidence(self, name: str, place: _Place, log10_e: float) -> SignalEvidence:
        alarm = self.alarms.get(name)
        return SignalEvidence(
            signal=name,
            column=self.columns[place.column].name if place.aspect else name,
            aspect=place.aspect,
            log10_e=log10_e,
            log10_threshold=self.log10_threshold,
            onset_ms=alarm.onset_ms if alarm else self._process(place).onset(place.row)[0],
            is_alarmed=alarm is not None,
            reference_share=self._reference_share(place),
        )

    def _reference_share(self, place: _Place) -> float | None:
        if place.aspect == Aspect.DISTRIBUTION:
            return None
        if place.aspect == "":
            ones, n = self._flag_share or (np.zeros(len(self.flags)), 1)
            return float(ones[place.column]) / max(n, 1)
        reference = self.references[place.column]
        if reference is None:
            return None
        yes, n = flag_share(reference, Aspect(place.aspect))
        return yes / max(n, 1)

    def flag_share_now(self, name: str) -> float:
        """Share of yes of a free flag in the retained chunks."""
        seen = sum(self._recent_flags, np.zeros((len(self.flags), 2)))[self.flags.index(name)]
        return float(seen[1] / seen.sum()) if seen.sum() else 0.0

    def view(
        self, index: int, current: Rows, signals: Mapping[str, SignalEvidence], position: int = -1
    ) -> ColumnView | None:
        """One column for diagnosis, with the rows that count as current; None where it has no reference yet."""
        reference = self.references[index]
        if reference is None:
            return None
        column = self.columns[index]
        return ColumnView(
            column=column,
            reference=reference,
            position=position,
            reference_values=self._sample.values[:, index],
            reference_presence=self._sample.presence[:, index],
            current_values=current.values[:, index],
            current_presence=current.presence[:, index],
            bets=self.bets[column.name],
            signals=signals,
        )

    @property
    def sample(self) -> Rows:
        """Rows of health kept for diagnosis."""
        return self._sample

    # -- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What changes with every chunk."""
        learning = self._learning
        return {
            "columns": [[c.name, str(c.kind), list(c.codes), c.dimension] for c in self.columns],
            "flag_share": None if self._flag_share is None else [self._flag_share[0], self._flag_share[1]],
            "flag_seen": self._flag_seen,
            "recent_flags": list(self._recent_flags),
            "learning": None
            if learning is None
            else {
                "columns": sorted(learning.columns),
                "rows": learning.rows(len(self.columns)).snapshot(),
                "target": learning.target,
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
        cls, settings: Settings, flags: Sequence[str], state: Mapping[str, Any], references: Mapping[str, Any]
    ) -> "Monitor":
        columns = [
            Column(name, Kind(kind), {code: float(i) for i, code in enumerate(codes)}, dimension)
            for name, kind, codes, dimension in state["columns"]
        ]
        monitor = cls(settings, columns, flags)
        monitor.references = [None if r is None else ColumnReference.restore(r) for r in references["references"]]
        monitor._sample = Rows.restore(references["sample"])
        share = state["flag_share"]
        monitor._flag_share = None if share is None else (share[0], share[1])
        monitor._flag_seen = state["flag_seen"]
        monitor._recent_flags = list(state["recent_flags"])
        learning = state["learning"]
        monitor._learning = (
            None
            if learning is None
            else _Learning(set(learning["columns"]), [Rows.restore(learning["rows"])], learning["target"])
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


def _widen(rows: Rows) -> Rows:
    """The same rows with one more column, which they do not have."""
    return Rows(
        np.pad(rows.values, ((0, 0), (0, 1)), constant_values=np.nan),
        np.pad(rows.presence, ((0, 0), (0, 1)), constant_values=int(Presence.ABSENT)),
        rows.times_ms,
        rows.offsets,
    )
