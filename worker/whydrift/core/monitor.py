"""Watches a set of columns that are observed row by row together: learns their references, gathers evidence, raises alarms.

Rows become a `ChunkSummary` (`summarise`), and the summary becomes evidence (`detect`): nothing else of a row is judged.

Belongs here: learning in stages, evidence per signal, alarms and recovery, retained rows. Not here: what the columns mean
(`model`, `version`), which fault it is (`diagnose`).

Learning: the reference is made from the first `first_stage_events` rows, again from twice as many, until `baseline_events`. Each
stage is valid by itself, only less sensitive (the tolerance pays for a small reference). While a signal is alarmed nothing is
learnt, and rows since the alarm's onset are taken out, so that a fault does not become the reference.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.alarms import Alarm
from whydrift.core.autocorrelation import CHANCE, FOLLOWING_CHANCE, SLOW, at_least, common_time, level_time
from whydrift.core.blind_spots import Blindness, BlindSpot, blind_spots
from whydrift.core.case import ColumnView, Opening, SignalEvidence
from whydrift.core.columns import Column, Floats, Presence, Rows, column_of, column_state, tame, thin, widen
from whydrift.core.conditioning import conditioned
from whydrift.core.counting import Counter, Place
from whydrift.core.detectors.bets import Bets, Tolerance
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.free_flags import FreeFlags, Yes
from whydrift.core.history import Trail
from whydrift.core.learning import Learning, MonitorProfile, late, no_bins
from whydrift.core.longest_step import LongestStep
from whydrift.core.reference import NO_BIN, REPEAT_WINDOW, Binning, ColumnReference, learn_column
from whydrift.core.settings import Settings
from whydrift.core.signals import (
    Aspect,
    conditional_bets,
    distribution_bets,
    flag_aspects,
    flag_bets,
    flag_share,
    free_flag_bets,
    is_blurred,
    is_fitted,
)
from whydrift.core.summary import ChunkSummary

_LEAST_VALUES = 20
RETAINED_ROWS = 600
"""Latest rows kept for diagnosis."""
OPENING_ROWS = 100
"""First rows kept for diagnosis where a reference from training data judged them: they tell whether health was ever seen."""
SAMPLE_ROWS = 500
"""Rows of health kept for diagnosis, drawn from those learnt from (see `columns.thin`)."""
_SAMPLE_VALUES = 60_000
"""Upper limit of values in that sample, whatever the number of columns."""
BINNED_ROWS = 4_000
"""Rows of health whose bins are kept, where they are."""
_LEAST_LOCAL_ROWS = 100
_LEAST_LASTING_ROWS = 60
_LASTING_LOG10 = 1.0
_ALL_ASPECTS = frozenset(Aspect)


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
        aspects: Mapping[str, frozenset[Aspect]] = MappingProxyType({}),
        follows: "Monitor | None" = None,
        *,
        keeps_bins: bool = False,
        families: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`prepare` is called with the rows that are about to be learnt from, and may change their values.

        aspects: the signals beside the distribution of columns that have not all of them. follows: the monitor from whose columns
        these follow. keeps_bins: of BINNED_ROWS rows of health. families: of bets on quantities, where not "numeric".
        """
        self._settings = settings
        self._prepare = prepare
        self._aspects = aspects
        self._follows = follows
        self._families = families
        self.columns = list(columns)
        self.flags = FreeFlags(flags, settings)
        self.references: list[ColumnReference | None] = [None] * len(self.columns)
        names = {c.name for c in self.columns}
        self._learning: Learning | None = Learning(names, [], self._settings.first_stage_events)
        self._is_held = False
        """See `hold`."""
        self._sample = Rows.concat([], len(self.columns))
        self._learnt: Rows | None = None
        """See `take_learnt`; only where bins are kept: of inputs, which others learn from."""
        self._keeps_bins = keeps_bins
        self.health_bins = no_bins()
        """Bins of rows of health, more than the sample has, by the references (rows, columns)."""
        self._recent: list[Rows] = []
        self._retained = 0
        self.trained: set[str] = set()
        """Columns that have been judged by an installed reference since the first row."""
        self._opening = Rows.concat([], len(self.columns))
        self._before_jump = Rows.concat([], len(self.columns))
        """While a column jumps (`Aspect.STEP`): the rows before it did. Of a level that wanders they tell what to expect now."""
        self._local: list[ColumnReference | None] | None = None
        """References learnt from those rows, of columns that have steps; made when they are asked for."""
        self._before = np.full((REPEAT_WINDOW, len(self.columns)), np.nan)
        self._steps: dict[str, LongestStep] = {}
        """By column that is slow and alarmed."""
        self._runs = np.zeros(len(self.columns), np.int64)
        """Rows for which each column's value has been the same, of those whose runs are counted."""
        self.least_time: Callable[[str], float] = lambda name: 1.0
        """How many values in a row of a column tell as much as one, at least (`autocorrelation`)."""
        self.rows_seen = 0
        self.model_signals = 100
        self.log10_threshold = 6.0
        self.alarms: dict[str, Alarm] = {}
        self._places: dict[str, Place] = {}
        self.trail = Trail()
        """Evidence over time, for people to look at."""
        self._build()

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
        return len(self._learning)

    def add_column(self, column: Column) -> None:
        """A further column: rows so far do not have it. Allowed at any time; it is learnt with the next stage."""
        self.columns.append(column)
        self.references.append(None)
        self._recent = [widen(part, len(self.columns)) for part in self._recent]
        self._sample = widen(self._sample, len(self.columns))
        self._opening = widen(self._opening, len(self.columns))
        self._before_jump, self._local = widen(self._before_jump, len(self.columns)), None
        self._before = np.pad(self._before, ((0, 0), (0, 1)), constant_values=np.nan)
        self._runs = np.append(self._runs, 0)
        if self._learning is None:
            self._learning = Learning(set(), [], self._settings.first_stage_events)
        self._learning.widen(len(self.columns))
        self._learning.columns.add(column.name)
        self._rebuild()

    def install(self, profile: MonitorProfile) -> None:
        """Take columns, references and sample from a profile; what has no reference there is learnt here."""
        self.columns = [replace(column, codes=dict(column.codes)) for column in profile.columns]
        self.references = [profile.references.get(column.name) for column in self.columns]
        self._sample, self._learnt, self.health_bins = profile.sample, None, profile.bins
        self._recent, self._retained = [], 0
        self.trained = set() if self.rows_seen else {*profile.references}
        self._opening = Rows.concat([], len(self.columns))
        self._keep_before_jump(None)
        self._before = np.full((REPEAT_WINDOW, len(self.columns)), np.nan)
        self._runs = np.zeros(len(self.columns), np.int64)
        self._learning = self._learn_later()
        self.flags.install(profile.flags)
        # These are other references, and may be of fewer columns: no evidence is carried over.
        self._places = {}
        self._rebuild()

    def profile(self, *, keep_sample: bool) -> MonitorProfile:
        """What was learnt, for `install` elsewhere. Without the sample, categories are known only as far as references need."""
        references = {r.name: r for r in self.references if r is not None}
        if keep_sample:
            return MonitorProfile(tuple(self.columns), references, self._sample, self.health_bins, self.flags.known)
        needed = {name: dict.fromkeys(reference.shares) for name, reference in references.items()}
        columns = [
            replace(column, codes={one: float(code) for code, one in enumerate(needed.get(column.name, ()))})
            for column in self.columns
        ]
        return MonitorProfile(tuple(columns), references, Rows.concat([], len(self.columns)), flags=self.flags.known)

    def learn_now(self) -> None:
        """Learn from the rows collected so far, however few. `Settings.first_stage_events` must not have been reached."""
        self.flags.learn_now()
        learning = self._learning
        if learning is not None and learning.parts:
            self._learn_columns(self._prepare(learning.rows(len(self.columns))), learning.columns, least_rows=1)

    def take_learnt(self) -> Rows:
        """The rows of health learnt from last, in stream order, once and within their chunk; else the sample of them."""
        learnt, self._learnt = self._learnt, None
        return self._sample if learnt is None else learnt

    def thin_learning(self) -> None:
        """Forget every other chunk of the rows collected so far: what is kept still spans all of them."""
        self.flags.thin()
        if self._learning is not None:
            self._learning.thin()

    def relearn(self, columns: Iterable[str], since_offset: int | None = None) -> None:
        """Learn these columns anew: from retained rows since an offset where given, else from the rows to come."""
        names = set(columns) & {column.name for column in self.columns}
        if not names:
            return
        parts = [self.recent_since(since_offset)] if since_offset is not None else []
        if self._learning is not None:
            names |= self._learning.columns
        self.trained -= names
        self._learning = Learning(names, parts, self._settings.first_stage_events)
        for place, column in enumerate(self.columns):
            if column.name in names:
                self.references[place] = None
        self._local = None
        gone = self._indices(names)
        for name in [name for name in self.alarms if self._places[name].aspect and self._places[name].column in gone]:
            del self.alarms[name]
        self._rebuild()
        self._advance_learning()
        self._learnt = None  # a state written before the next chunk has the sample only

    def hold(self, since_offset: int | None) -> None:
        """Learn nothing from the rows since this offset, which may not be health, until told None."""
        if since_offset is not None and not self._is_held and self._learning is not None:
            self._learning.forget_since(since_offset)
        self._is_held = since_offset is not None

    def forget_flags(self, names: Iterable[str]) -> None:
        """Learn the share of free flags anew, from the rows to come."""
        chosen = self.flags.forget(names)
        for name in chosen:
            self.alarms.pop(name, None)
        if chosen:
            self._rebuild()

    def _indices(self, names: set[str]) -> set[int]:
        return {place for place, column in enumerate(self.columns) if column.name in names}

    def _learn_from(self, rows: Rows, flags: Yes | None) -> None:
        if self.alarms or self._is_held:
            return
        if flags is not None and self.flags.learn(flags):
            self._rebuild()
        learning = self._learning
        if learning is None:
            return
        if learning.is_late and (rows.presence[:, sorted(self._indices(learning.columns))] == Presence.ABSENT).all():
            return
        learning.parts.append(rows)
        self._advance_learning()

    def _advance_learning(self) -> None:
        """Make the next stage's references when enough rows are there."""
        learning = self._learning
        if learning is None:
            return
        seen = len(learning)
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

    def _learn_later(self) -> Learning | None:
        left = [c.name for c, r in zip(self.columns, self.references, strict=True) if r is None]
        return late(left, self._settings.first_stage_events)

    def _learn_columns(self, rows: Rows, names: set[str], least_rows: int | None = None) -> None:
        least_rows = self._settings.first_stage_events // 2 if least_rows is None else least_rows
        learnt = set()
        chance = CHANCE if self._follows is None else self._follows.following_chance
        for place in sorted(self._indices(names)):
            values, presence = rows.values[:, place], rows.presence[:, place]
            known = presence != Presence.ABSENT
            # Rows from before the column existed say nothing about it.
            first = int(np.argmax(known)) if known.any() else len(rows)
            is_there = int((presence[first:] == Presence.PRESENT).sum()) >= _LEAST_VALUES
            if is_there and len(rows) - first >= least_rows:
                column, values, presence = self.columns[place], values[first:], presence[first:]
                learnt_one = learn_column(column, values, presence, chance)
                least = self.least_time(column.name)
                times = at_least(learnt_one.times, least, is_coded=column.kind.is_coded)
                learnt_one = replace(learnt_one, times=times)
                aspects = self._aspects.get(column.name, _ALL_ASPECTS)
                times_ms = rows.times_ms[first:]
                self.references[place] = conditioned(learnt_one, column, values, presence, times_ms, aspects)
                learnt.add(self.columns[place].name)
        if learnt:
            self._slow_constants(learnt)
            self._sample = thin(rows, self._sample_rows())
            self._learnt = rows if self._keeps_bins else None
            self._rebuild(fresh=learnt)
            if self._keeps_bins:
                self.health_bins = self.bins(thin(rows, BINNED_ROWS)).astype(np.int8)

    @property
    def following_chance(self) -> float:
        """Of `integrated_time`, for what follows from these columns: if values of one hang together, that may well too."""
        known = [reference.times for reference in self.references if reference is not None]
        return FOLLOWING_CHANCE if any(level_time(times) > 1 for times in known) else CHANCE

    def _slow_constants(self, names: Collection[str]) -> None:
        """Give inputs of one value the time of their fellows. Series of our own making are no calendar: they have aspects."""
        inputs = [(p, r) for p, r in enumerate(self.references) if r is not None and r.name not in self._aspects]
        time = common_time(reference.times for _, reference in inputs if reference.distinct > 1)
        for place, reference in inputs:
            if reference.name in names and reference.distinct == 1:
                times = at_least(reference.times, time, is_coded=reference.kind.is_coded)
                self.references[place] = replace(reference, times=times)

    def _sample_rows(self) -> int:
        return max(20, min(SAMPLE_ROWS, _SAMPLE_VALUES // max(len(self.columns), 1)))

    # -- bets and evidence --------------------------------------------------------------------------------------

    def _rebuild(self, fresh: Collection[str] = ()) -> None:
        """Make bets anew after references changed; evidence on columns that are not `fresh` is carried over."""
        kept = {
            name: place.number
            for name, place in self._places.items()
            if not (place.aspect and self.columns[place.column].name in fresh)
        }
        before = self._evidence
        self._build()
        for name, number in kept.items():
            if name in self._places:
                self._evidence.carry(self._places[name].number, before, number)

    def _build(self) -> None:
        """Bets and evidence of every signal that has a reference: numeric distributions, coded ones, yes-or-no signals."""
        margin, signals = self._settings.margin, self.model_signals
        known = [(index, self.columns[index], r) for index, r in enumerate(self.references) if r is not None]
        known.sort(key=lambda one: one[2].kind.is_coded)
        self.bets = {c.name: self._bets_of(r) for _, c, r in known}
        given = [(index, aspect, one) for index, _, r in known for aspect, one in r.given.items()]
        self._given_bets = {
            (name := self.columns[index].name, aspect): conditional_bets(
                one, Tolerance(one.n, signals, margin, is_blurred=is_blurred(name))
            )
            for index, aspect, one in given
        }
        quantities = sum(not r.kind.is_coded for _, _, r in known)
        places = [(c.name, index, str(Aspect.DISTRIBUTION)) for index, c, _ in known]
        places[quantities:quantities] = [(self.columns[index].name, index, aspect) for index, aspect, _ in given]
        flags: list[Bets] = []
        for index, column, reference in known:
            allowed = self._aspects.get(column.name, _ALL_ASPECTS)
            for aspect in [aspect for aspect in flag_aspects(reference) if aspect in allowed]:
                ones, n = flag_share(reference, aspect)
                places.append((column.name, index, str(aspect)))
                tolerance = Tolerance(n, signals, margin, reference.times, is_exact=not is_fitted(column.name))
                flags.append(flag_bets(ones, tolerance, aspect))
        for index, name in enumerate(self.flags.names):
            if name in self.flags.known:
                places.append((name, index, ""))
                flags.append(free_flag_bets(self.flags.known[name], signals, margin))
        self._places = {
            f"{name}.{aspect}" if aspect else name: Place(number, index, aspect)
            for number, (name, index, aspect) in enumerate(places)
        }
        groups = [[self.bets[c.name] for _, c, r in known if r.kind.is_coded is coded] for coded in (False, True)]
        groups[0] += self._given_bets.values()
        self._evidence = EvidenceProcess(*groups, flags)
        self.trail.arrange(list(self._places))
        self._first_flag = len(places) - len(flags)
        left = [(index, one) for index, _, one in given]
        self._counter = Counter(self.columns, self.references, self._places.values(), len(self.flags.names), left)
        self._blind_spots: tuple[BlindSpot, ...] | None = None

    @property
    def blind_spots(self) -> tuple[BlindSpot, ...]:
        """What the references cannot show. While all columns are being learnt, that some have none yet goes without saying."""
        if self._blind_spots is None:
            self._blind_spots = blind_spots(self, self._settings.margin, self.model_signals)
        return tuple(
            one for one in self._blind_spots if not (self.is_collecting and one.blindness is Blindness.NO_VALUES)
        )

    @property
    def binning(self) -> Binning:
        """How this monitor bins the columns that have a reference (`known_columns`)."""
        return self._counter.binning

    def bins(self, rows: Rows, known: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
        """Bins of all columns, NO_BIN where one has no reference: (rows, columns). known: those that `update` returned."""
        if known is None:
            known = self._counter.bins(rows.values)
        if len(self.known_columns) == len(self.columns):
            return known
        found = np.full((len(rows), len(self.columns)), NO_BIN, np.intp)
        found[:, self.known_columns] = known
        return found

    @property
    def known_columns(self) -> NDArray[np.intp]:
        """Indices of the columns that have a reference."""
        return self._counter.known

    def update(self, rows: Rows, flags: Yes | None = None, at_ms: int | None = None) -> NDArray[np.intp]:
        """Take a chunk's rows (one at least), and whether each free flag was yes of its events: (events, flags).

        at_ms: the chunk's time, where that is not its first row's. Values are tamed in place (see `columns.tame`).

        Returns the rows' bins (rows, known columns), as they were before anything was learnt from these rows.
        """
        tame(rows.values)
        bins = self._counter.bins(rows.values)
        counts = None if flags is None else _counts(flags)
        chunk = self.summarise(rows, counts, bins)
        self.detect(chunk if at_ms is None else replace(chunk, first_ms=at_ms))
        self._retain(rows, counts)
        self._review(chunk.first_ms if at_ms is None else at_ms)
        self._learn_from(rows, flags)
        return bins

    def summarise(self, rows: Rows, flags: Floats | None, bins: NDArray[np.intp]) -> ChunkSummary:
        """Counts of a chunk; changes nothing. `bins`: of these rows by `binning`."""
        return self._counter.summarise(rows, self._before, flags, bins, self._before_ms(), self._runs)

    def _before_ms(self) -> int | None:
        return int(self._recent[-1].times_ms[-1]) if self._recent else None

    def detect(self, chunk: ChunkSummary) -> None:
        """Let a chunk's counts speak for or against each signal."""
        counts = (chunk.numeric, chunk.coded, chunk.flags)
        self._evidence.update(counts, chunk.first_ms, chunk.first_offset, self.rows_seen)
        self.rows_seen += chunk.rows

    def _retain(self, rows: Rows, flags: Floats | None) -> None:
        if flags is not None:
            self.flags.retain(int(rows.offsets[0]), flags, max(RETAINED_ROWS // max(self._settings.chunk_events, 1), 1))
        if self.trained and len(self._opening) < OPENING_ROWS:
            first = rows.take(slice(OPENING_ROWS - len(self._opening)))
            self._opening = Rows.concat([self._opening, first], len(self.columns))
        self._runs = self._counter.runs_after(rows, self._before, self._before_ms(), self._runs)
        self._before = np.concatenate([self._before, rows.values])[-REPEAT_WINDOW:]
        self._recent.append(rows)
        self._retained += len(rows)
        while self._retained - len(self._recent[0]) >= RETAINED_ROWS:
            self._retained -= len(self._recent.pop(0))

    def recent(self) -> Rows:
        """The latest rows, at most RETAINED_ROWS."""
        return Rows.concat(self._recent, len(self.columns)).take(slice(-RETAINED_ROWS, None))

    @property
    def sample(self) -> Rows:
        """Rows of health, at most SAMPLE_ROWS."""
        return self._sample

    def recent_since(self, offset: int) -> Rows:
        """Retained rows from an offset on."""
        rows = self.recent()
        return rows.take(rows.offsets >= offset)

    # -- alarms -------------------------------------------------------------------------------------------------

    def _review(self, at_ms: int) -> None:
        """Raise alarms where evidence crosses the threshold; let those recover whose change has ended."""
        values = self._evidence.values()
        if len(values):
            self.trail.add(at_ms, values)
        is_high = values >= 10.0**self.log10_threshold
        if not self.alarms and not is_high.any():
            self._steps.clear()
            return
        for name, place in self._places.items():
            alarm = self.alarms.get(name)
            if alarm is None:
                if is_high[place.number]:
                    self._raise(name, place)
            elif alarm.is_over(place.number, self._evidence, self.rows_seen, self.log10_threshold):
                del self.alarms[name]
        if len(self._before_jump) and not self._jumps():
            self._keep_before_jump(None)
        self._keep_steps()

    def _jumps(self) -> bool:
        return any(self._places[name].aspect == Aspect.STEP for name in self.alarms)

    def _keep_before_jump(self, onset_offset: int | None) -> None:
        """Keep the rows before an offset for as long as something jumps; None: none."""
        rows = self.recent()
        kept = rows.offsets < (-1 if onset_offset is None else onset_offset)
        self._before_jump, self._local = rows.take(kept).take(slice(-self._sample_rows(), None)), None

    def _raise(self, name: str, place: Place) -> None:
        alarm = Alarm.raised(name, place.number, self._evidence, self.rows_seen)
        if place.aspect == Aspect.STEP and not self._jumps():
            self._keep_before_jump(alarm.onset_offset)
        self.alarms[name] = alarm
        if self._learning is not None:
            self._learning.forget_since(alarm.onset_offset)

    def _keep_steps(self) -> None:
        """Keep the longest step of each slow column that is alarmed: later, the rows around it are gone."""
        alarmed = self._indices(self.columns_of(self.alarms))
        slow = [i for i, one in enumerate(self.references) if i in alarmed and one is not None and _wanders(one)]
        kept = {self.columns[index].name: index for index in slow}
        self._steps = {name: step for name, step in self._steps.items() if name in kept}
        rows = self.recent() if kept else None
        for name, index in kept.items():
            assert rows is not None  # there are columns to look at
            step = LongestStep.of(rows.values[rows.presence[:, index] == Presence.PRESENT, index])
            if step is not None and step.tells_more(self._steps.get(name)):
                self._steps[name] = step

    def lasts(self, signal: str) -> bool:
        """Whether as many of the latest rows as it took to raise this alarm still speak for the change."""
        alarm, place = self.alarms.get(signal), self._places.get(signal)
        if alarm is None or place is None:
            return False
        rows = self.recent().take(slice(-max(alarm.took_rows, _LEAST_LASTING_ROWS), None))
        chunk = self.summarise(rows, self._free_flags(rows), self._counter.bins(rows.values))
        if place.is_flag:
            counts = chunk.flags[place.number - self._first_flag]
        else:
            counts = np.concatenate([chunk.numeric, chunk.coded])[place.number]
        return self._evidence.batch_log10(place.number, counts) > _LASTING_LOG10

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

    def onset(self, signal: str) -> tuple[int, int] | None:
        """Since when (time, offset) the strongest bet on a signal has been gaining; None where it has no bets."""
        place = self._places.get(signal)
        return None if place is None else self._evidence.onset(place.number)

    def signals_of(self, columns: Iterable[str]) -> set[str]:
        """All signals of these columns."""
        chosen = self._indices(set(columns))
        return {name for name, place in self._places.items() if place.aspect and place.column in chosen}

    def columns_of(self, signals: Iterable[str]) -> set[str]:
        """Names of the columns that these signals belong to; free flags and unknown signals have none."""
        places = [self._places[name] for name in signals if name in self._places]
        return {self.columns[place.column].name for place in places if place.aspect}

    def levels(self) -> dict[str, float]:
        """log10 evidence of every signal now, in order of columns and aspects; −∞ before the first chunk."""
        return dict(zip(self._places, self._evidence.log10().tolist(), strict=True))

    def evidence(self, current: Rows) -> list[SignalEvidence]:
        """Every signal now, in the same order, with the shares that yes-or-no signals have in the rows that count as current."""
        shares = self._current_shares(current)
        return [self._evidence_of(name, level, shares) for name, level in self.levels().items()]

    def _current_shares(self, current: Rows) -> Floats:
        """Share of yes of every yes-or-no signal: (signals,)."""
        counts = self._counter.flags(current, self._before, self._free_flags(current))
        shares: Floats = counts[:, 1] / np.maximum(counts.sum(axis=1), 1)
        return shares

    def _free_flags(self, rows: Rows) -> Floats:
        """(no, yes) of each free flag over the retained chunks that begin in these rows or after them."""
        return self.flags.counts_since(int(rows.offsets[0]) if len(rows) else 0)

    def _evidence_of(self, name: str, log10_e: float, shares: Floats) -> SignalEvidence:
        place, alarm = self._places[name], self.alarms.get(name)
        return SignalEvidence(
            signal=name,
            column=self.columns[place.column].name if place.aspect else name,
            aspect=place.aspect,
            log10_e=log10_e,
            log10_threshold=self.log10_threshold,
            onset_ms=alarm.onset_ms if alarm else self._evidence.onset(place.number)[0],
            is_alarmed=alarm is not None,
            reference_share=self._reference_share(place),
            current_share=float(shares[place.number - self._first_flag]) if place.is_flag else None,
        )

    def _reference_share(self, place: Place) -> float | None:
        if not place.is_flag:
            return None
        if place.aspect == "":
            return self.flags.known[self.flags.names[place.column]].share
        reference = self.references[place.column]
        assert reference is not None  # a column has signals only with a reference
        yes, n = flag_share(reference, Aspect(place.aspect))
        return yes / max(n, 1)

    def views(
        self,
        current: Rows,
        evidence: Iterable[SignalEvidence],
        positions: Mapping[str, int] = MappingProxyType({}),
    ) -> dict[str, ColumnView]:
        """The columns that have a reference, for diagnosis, with the `evidence` of these rows.

        positions: place among the model's inputs, −1 where not named.
        """
        signals: dict[str, dict[str, SignalEvidence]] = {}
        for one in evidence:
            signals.setdefault(one.column, {})[one.aspect] = one
        local, sample = self._local_references(), self._sample
        if local:
            sample = self._before_jump
        local = self._references_at(current.times_ms) | local
        return {
            column.name: ColumnView(
                column=column,
                reference=local.get(index, reference),
                position=positions.get(column.name, -1),
                reference_values=sample.values[:, index],
                reference_presence=sample.presence[:, index],
                current_values=current.values[:, index],
                current_presence=current.presence[:, index],
                bets=self._bets_of(local[index]) if index in local else self.bets[column.name],
                given_bets={aspect: self._given_bets[column.name, aspect] for aspect in reference.given},
                current_times=current.times_ms,
                signals={aspect: s for aspect, s in signals[column.name].items() if aspect},
                opening=self._opening_of(index),
                step=self._steps.get(column.name),
            )
            for index, (column, reference) in enumerate(zip(self.columns, self.references, strict=True))
            if reference is not None
        }

    def _local_references(self) -> dict[int, ColumnReference]:
        """While something jumps: by column that has steps, what it was like in the rows before."""
        if self._local is None:
            rows = self._before_jump
            is_enough = len(rows) >= _LEAST_LOCAL_ROWS
            self._local = [
                replace(learn_column(column, rows.values[:, index], rows.presence[:, index]), given=reference.given)
                if is_enough and reference is not None and Aspect.STEP in reference.given
                else None
                for index, (column, reference) in enumerate(zip(self.columns, self.references, strict=True))
            ]
        return {index: reference for index, reference in enumerate(self._local) if reference is not None}

    def _references_at(self, times_ms: NDArray[np.int64]) -> dict[int, ColumnReference]:
        """By column that differs given the hour: what it is like in health at these times."""
        places = [self._places[name] for name in self.alarms if self._places[name].aspect == Aspect.HOURLY]
        found = {}
        for index in [place.column for place in places if len(times_ms)]:
            reference = self.references[index]
            assert reference is not None  # it has bets
            found[index] = reference.at_hours(reference.given[Aspect.HOURLY], times_ms)
        return found

    def _bets_of(self, reference: ColumnReference) -> Bets:
        tolerance = Tolerance(reference.rows, self.model_signals, self._settings.margin)
        return distribution_bets(reference, tolerance, self._families.get(reference.name, "numeric"))

    def _opening_of(self, index: int) -> Opening | None:
        if self.columns[index].name not in self.trained:
            return None
        rows = self._opening
        return Opening(rows.values[:, index], rows.presence[:, index], rows.times_ms)

    # -- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What changes with every chunk."""
        learning = self._learning
        return {
            "columns": [column_state(column) for column in self.columns],
            "flags": self.flags.snapshot(),
            "learning": None if learning is None else learning.snapshot(len(self.columns)),
            "recent": self.recent().snapshot(),
            "before": self._before,
            "runs": self._runs,
            "trained": sorted(self.trained),
            "opening": self._opening.snapshot(),
            "before_jump": self._before_jump.snapshot(),
            "steps": {name: [step.before, step.after, step.usual] for name, step in self._steps.items()},
            "rows_seen": self.rows_seen,
            "model_signals": self.model_signals,
            "log10_threshold": self.log10_threshold,
            "alarms": [alarm.snapshot() for alarm in self.alarms.values()],
            "evidence": self._evidence.snapshot(),
            "trail": self.trail.snapshot(),
        }

    def snapshot_references(self) -> dict[str, Any]:
        """What changes only when something is learnt."""
        return {
            "references": [None if r is None else r.snapshot() for r in self.references],
            "sample": self._sample.snapshot(),
            "bins": self.health_bins,
        }

    @classmethod
    def restore(
        cls,
        settings: Settings,
        flags: Sequence[str],
        state: Mapping[str, Any],
        references: Mapping[str, Any],
        prepare: Callable[[Rows], Rows] = lambda rows: rows,
        aspects: Mapping[str, frozenset[Aspect]] = MappingProxyType({}),
        follows: "Monitor | None" = None,
        *,
        keeps_bins: bool = False,
        families: Mapping[str, str] = MappingProxyType({}),
    ) -> "Monitor":
        columns = [column_of(column) for column in state["columns"]]
        monitor = cls(settings, columns, flags, prepare, aspects, follows, keeps_bins=keeps_bins, families=families)
        monitor.references = [None if r is None else ColumnReference.restore(r) for r in references["references"]]
        monitor._sample = Rows.restore(references["sample"])
        monitor.health_bins = references.get("bins", no_bins())  # states from before they were kept have none
        monitor.flags = FreeFlags.restore(flags, settings, state["flags"])
        learning = state["learning"]
        monitor._learning = None if learning is None else Learning.restore(learning)
        recent = Rows.restore(state["recent"])
        monitor._recent = [recent] if len(recent) else []
        monitor._retained = len(recent)
        monitor._before = state["before"]
        monitor._runs = state.get("runs", monitor._runs)  # states from before they were counted begin anew
        # States from before there were openings claim nothing.
        monitor.trained = set(state.get("trained", ()))
        if "opening" in state:
            monitor._opening = Rows.restore(state["opening"])
        if "before_jump" in state:
            monitor._before_jump = Rows.restore(state["before_jump"])
        # States from before they were kept have none.
        monitor._steps = {name: LongestStep(*step) for name, step in state.get("steps", {}).items()}
        for name in ("rows_seen", "model_signals", "log10_threshold"):
            setattr(monitor, name, state[name])
        monitor.alarms = {alarm[0]: Alarm.restore(alarm) for alarm in state["alarms"]}
        monitor._build()
        monitor._evidence.restore(state["evidence"])
        monitor.trail = Trail.restore(state["trail"])
        return monitor


def _counts(yes: Yes) -> Floats:
    """(no, yes) of each flag: (flags, 2)."""
    ones = yes.sum(axis=0).astype(float)
    return np.stack([len(yes) - ones, ones], axis=1)


def _wanders(reference: ColumnReference) -> bool:
    return not reference.kind.is_coded and level_time(reference.times) > SLOW
