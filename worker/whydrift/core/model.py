"""One model in one partition: its chunks, its labels, its rates, and what is known about how it is built.

Belongs here: where each event of a model goes, and when chunks close. Not here: what inputs (`inputs`) and answers (`version`)
look like, incidents (`incidents`), the picture that diagnosis looks at (`picture`), people's commands (`commands`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2, log10, nan
from typing import Any

import numpy as np

from whydrift.core.autocorrelation import following_time
from whydrift.core.bias import BiasWatch
from whydrift.core.case import ModelChange, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind, Presences, Rows, abridged, encode_column
from whydrift.core.decode import LabelEvent, ModelEvent, PredictionEvent
from whydrift.core.dependence import DependenceWatch
from whydrift.core.detectors.rate import RateGuard
from whydrift.core.diagnose import Finding, diagnose
from whydrift.core.dimensions import DimensionWatch
from whydrift.core.graphs import IncidentGraphs, graphs, with_curves
from whydrift.core.incidents import Incident, Incidents, Moment, plain, scoped
from whydrift.core.inputs import BinnedRows, InputWatch
from whydrift.core.interval_news import IntervalNews
from whydrift.core.label_delays import are_late, usually_there_ms
from whydrift.core.label_feed import LabelFeed
from whydrift.core.labelled import OUTCOMES, LabelledWatch, Outcome, outcomes_of, pack
from whydrift.core.labels import SEEN, Answer, Joined, LabelJoin
from whydrift.core.learning import MonitorProfile
from whydrift.core.monitor import Monitor
from whydrift.core.picture import Onset, picture
from whydrift.core.profile import Profile
from whydrift.core.replicas import ReplicaWatch
from whydrift.core.settings import DAY_MS, Settings
from whydrift.core.version import ASPECTS, FAMILIES, VersionWatch, answer_of, middle_ms
from whydrift_schemas import Diagnosis, ModelDescription, class_name, encode

MAX_VERSIONS = 4
"""Versions followed at the same time; the one unseen for longest goes first."""
MAX_CHANGES = 8
_WEEK_MS = 7 * DAY_MS
_LEAST_LOG10_THRESHOLD = 4.0
_GUARD_SIGNALS = 5
"""Signals without bets of their own: arrivals, label arrivals, parameters, two guards."""
_LEAST_SIGNALS = 64
_DELAYS_SEEN = 2
"""Delays are known when the stream is this many times as old as the longest label took."""
_RETUNE_CHUNKS = 4_096
_TELLING_ROWS = 200
"""Labelled rows of health from which they tell what an outcome owes to the score; before, the latest ones do."""


@dataclass(frozen=True, slots=True)
class _JoinedRow:
    joined: Joined
    loss: float | None
    offset: int

    @property
    def delay_ms(self) -> int:
        """From the prediction to its label; labels that claim to be older took no time."""
        return max(self.joined.label_ms - self.joined.prediction_ms, 0)


class ModelWatch:
    """All state of one model in one partition."""

    def __init__(self, settings: Settings, partition: int, model_id: str, profile: Profile | None = None) -> None:
        self.settings = settings
        self.partition = partition
        self.model_id = model_id
        self.inputs = InputWatch(settings, profile)
        self.dependence = DependenceWatch(settings, self.inputs.monitor)
        self.dimensions = DimensionWatch(settings)
        self.labelled = LabelledWatch()
        self.labels: Monitor | None = None
        """Column `actual`, from the first joined label on."""
        self.delays = Monitor(settings, [Column("label_delay", Kind.NUMERIC)], aspects=ASPECTS)
        self.longest_delay_ms = 0
        self.versions: dict[str, VersionWatch] = {}
        self.join = LabelJoin(settings.join_capacity, settings.label_ttl_ms)
        self.arrivals = RateGuard(downward_only=False)
        self.label_arrivals = LabelFeed()
        self.interval_news = IntervalNews()
        self.incidents = Incidents(settings, model_id)
        self.incidents.redraw = self.redraw
        self.descriptions: dict[str, ModelDescription] = {}
        """The latest of each version."""
        self.accepted: dict[str, ModelDescription] = {}
        """What each version is meant to be: as it was announced, or as somebody accepted it."""
        self.changes: list[ModelChange] = []
        self.parameters_onset: tuple[int, int] | None = None
        """Time and offset of the model event that changed a model under its version."""
        self.is_profiled = profile is not None
        self.main_version = ""
        """The version most predictions of the last chunk came from."""
        self.due_ms = 0
        """Stream time at which `advance` has something to do."""
        self.first_ms: int | None = None
        self.chunks = self.label_chunks = 0
        self._events: list[PredictionEvent] = []
        self._offsets: list[int] = []
        self._repeated: list[bool] = []
        self._joined: list[_JoinedRow] = []
        self._unattached: dict[str, int] = {}
        """Of the open chunk's events whose label is there: their places among the joined rows."""
        self._chunk_ms = 0
        self._joined_ms = 0
        """Stream time at which the open chunk of predictions, of joined labels began."""
        self._retune_at = 1
        if profile is not None:
            self._install(profile)

    def _install(self, profile: Profile) -> None:
        self.dependence.install(profile.dependence)
        self._take(VersionWatch.from_profile(self.settings, profile, self.inputs.monitor))
        self.main_version = profile.version
        if profile.labels.columns:
            self._outcomes_monitor([]).install(profile.labels)
        self.delays.install(profile.delays)
        self.dimensions = DimensionWatch(self.settings, profile.segments, profile.who)
        if len(profile.labelled.sample):
            self.labelled = LabelledWatch(profile.labelled.sample, replace(profile.labelled.columns[0]))

    # -- events -----------------------------------------------------------------------------------------------------

    def add(self, event: PredictionEvent | LabelEvent | ModelEvent, offset: int, stream_ms: int) -> list[Diagnosis]:
        """Take an event of this model; returns what is to be published."""
        if self.first_ms is None:
            self._begin(stream_ms)
        self.interval_news.advance(stream_ms)
        if type(event) is PredictionEvent:
            self.interval_news.add_prediction(event.latency_ms, is_error=event.error is not None)
            return self._add_prediction(event, offset, stream_ms)
        if type(event) is LabelEvent:
            self.interval_news.add_label()
            return self._add_label(event, offset, stream_ms)
        return self._add_description(event, offset, stream_ms)  # type: ignore[arg-type]  # the only kind left

    def _add_prediction(self, event: PredictionEvent, offset: int, stream_ms: int) -> list[Diagnosis]:
        """Take a prediction; returns what its chunk, if it closes, brought about."""
        self.arrivals.count()
        found = self.join.add_prediction(event.event_id, event.timestamp_ms, answer_of(event))
        if found is not SEEN and event.error is None and self.join.follows(event.event_id):
            self.label_arrivals.predicted(event.timestamp_ms, stream_ms)
        if type(found) is Joined:
            self._add_joined(event.event_id, found, offset, stream_ms)
        if not self._events:
            self._chunk_ms = stream_ms
            self.due_ms = min(self.due_ms, stream_ms + self.settings.chunk_span_ms)
        self._events.append(event)
        self._offsets.append(offset)
        self._repeated.append(found is SEEN)
        if len(self._events) < self.settings.chunk_events:
            return []
        self._close_chunk(stream_ms)
        return self.review(stream_ms, offset)

    def _add_label(self, event: LabelEvent, offset: int, stream_ms: int) -> list[Diagnosis]:
        """Take a label, which may complete a chunk of joined ones."""
        self.label_arrivals.count()
        actual = abridged(event.actual) if isinstance(event.actual, str) else event.actual
        found = self.join.add_label(event.event_id, event.timestamp_ms, actual, event.source)
        if found is None:
            return []
        self._add_joined(event.event_id, found, offset, stream_ms)
        # What the inputs of a prediction were is known when its chunk closes.
        if self._unattached or len(self._joined) < self.settings.chunk_events:
            return []
        self._close_joined(stream_ms)
        return self.review(stream_ms, offset)

    def _add_description(self, event: ModelEvent, offset: int, stream_ms: int) -> list[Diagnosis]:
        """Take a model event: a new version is announced, or a known one is not what it was."""
        description = event.description
        version = description.model_version
        if description.features:
            self.inputs.declare(description.features)
        before = self.descriptions.get(version)
        if before is None:
            self._announce(description, event.timestamp_ms)
        elif _identity(before) != _identity(description):
            self._add_change(ModelChange(before, description, event.timestamp_ms, is_announced=False))
            is_restored = _identity(self.accepted[version]) == _identity(description)
            self.parameters_onset = None if is_restored else self.parameters_onset or (event.timestamp_ms, offset)
        self.descriptions[version] = description
        while len(self.descriptions) > 2 * MAX_VERSIONS:
            oldest = next(iter(self.descriptions))
            del self.descriptions[oldest], self.accepted[oldest]
        return self.review(stream_ms, offset)

    def _announce(self, description: ModelDescription, at_ms: int) -> None:
        before = self._forerunner(description.model_version, at_ms)
        self._add_change(ModelChange(before, description, at_ms, is_announced=True))
        self.accepted[description.model_version] = description
        # What was changed under the old version is over with it.
        self.parameters_onset = None

    def _add_change(self, change: ModelChange) -> None:
        self.changes = [*self.changes, change][-MAX_CHANGES:]

    def _begin(self, stream_ms: int) -> None:
        self.first_ms = stream_ms
        self._advance_rates(stream_ms)
        self._set_due()

    # -- time -------------------------------------------------------------------------------------------------------

    def _set_due(self) -> None:
        times = [self.arrivals.boundary_ms, self.label_arrivals.boundary_ms]
        if self._events:
            times.append(self._chunk_ms + self.settings.chunk_span_ms)
        if self._joined:
            times.append(self._joined_ms + self.settings.chunk_span_ms)
        due_ms = self.incidents.due_ms()
        self.due_ms = min(times if due_ms is None else [*times, due_ms])

    def advance(self, stream_ms: int, offset: int) -> list[Diagnosis]:
        """Stream time has moved to this; `offset` is the record that moved it."""
        if self._events and stream_ms >= self._chunk_ms + self.settings.chunk_span_ms:
            self._close_chunk(stream_ms)
        if self._joined and stream_ms >= self._joined_ms + self.settings.chunk_span_ms:
            self._close_joined(stream_ms)
        self._advance_rates(stream_ms)
        self.join.expire(stream_ms)
        return self.review(stream_ms, offset)

    def _advance_rates(self, stream_ms: int) -> None:
        threshold, delays = self._log10_threshold(), self.delays.references[0]
        self.arrivals.advance(stream_ms, threshold)
        delay_ms = None if delays is None else usually_there_ms(delays)
        self.label_arrivals.advance(stream_ms, threshold, delay_ms, self.join.sample_share)

    def finish(self, stream_ms: int, offset: int) -> list[Diagnosis]:
        """The input has ended: close what is open."""
        if self._events:
            self._close_chunk(stream_ms)
        if self._joined:
            self._close_joined(stream_ms)
        return self.review(stream_ms, offset)

    # -- chunks -----------------------------------------------------------------------------------------------------

    def _close_chunk(self, stream_ms: int) -> None:
        events, offsets, repeated = self._events, self._offsets, self._repeated
        self._events, self._offsets, self._repeated = [], [], []
        is_healthy = self.inputs.monitor.is_collecting and not self.inputs.monitor.alarms
        rows = self.inputs.update(events, offsets, repeated)
        if len(rows.rows) < len(events):
            events = [events[place] for place in rows.places.tolist()]
        rows = replace(rows, is_odd=self.dependence.update(rows))
        self._attach(events, rows, is_healthy=is_healthy)
        versions = [event.model_version for event in events]
        if versions.count(versions[0]) == len(versions):
            self.version(versions[0], events[0].timestamp_ms).update(events, rows)
            self.main_version = versions[0]
        else:
            self._split(events, versions, rows)
        self.chunks += 1
        if self.chunks >= self._retune_at:
            self._retune(stream_ms)
        if len(self._joined) >= self.settings.chunk_events:
            self._close_joined(stream_ms)

    def _attach(self, events: Sequence[PredictionEvent], rows: BinnedRows, *, is_healthy: bool) -> None:
        """Let predictions carry their rows to their labels."""
        codes = self.dimensions.update(events, rows.rows, is_healthy=is_healthy)
        packed, ids = pack(codes, rows.rows.values), [event.event_id for event in events]
        self.join.attach(ids, packed)
        if self._unattached:
            for event_id, row in zip(ids, packed, strict=True):
                place = self._unattached.get(event_id)
                if place is not None:
                    one = self._joined[place]
                    self._joined[place] = replace(one, joined=one.joined._replace(row=row))
            self._unattached = {}

    def _split(self, events: Sequence[PredictionEvent], versions: Sequence[str], rows: BinnedRows) -> None:
        """Several versions answer side by side."""
        for version in dict.fromkeys(versions):
            places = [place for place, name in enumerate(versions) if name == version]
            own = [events[place] for place in places]
            self.version(version, own[0].timestamp_ms).update(own, rows.take(places))
        self.main_version = Counter(versions).most_common(1)[0][0]

    def version(self, name: str, at_ms: int) -> VersionWatch:
        """The watch of a version, made when it is first seen: that is an announcement too."""
        found = self.versions.get(name)
        if found is None:
            found = self._take(self._new_version(name))
            if name not in self.descriptions:
                self._add_change(self._undescribed(name, at_ms))
            while len(self.versions) > MAX_VERSIONS:
                oldest = min((v for v in self.versions if v != name), key=lambda v: (self.versions[v].last_ms, v))
                del self.versions[oldest]
        return found

    def _undescribed(self, name: str, at_ms: int) -> ModelChange:
        """A version that shows up in predictions only."""
        return ModelChange(self._forerunner(name, at_ms), self._bare(name, at_ms), at_ms, is_announced=True)

    def _forerunner(self, name: str, at_ms: int) -> ModelDescription | None:
        """The version that answered until now, else the one described last; None for a model's first."""
        main = self.main_version
        if main and main != name:
            return self.descriptions.get(main) or self._bare(main, at_ms)
        return next(reversed(self.descriptions.values()), None)

    def _bare(self, name: str, at_ms: int) -> ModelDescription:
        return ModelDescription(model_id=self.model_id, model_version=name, timestamp=at_ms)

    def accept_parameters(self) -> None:
        """The models are meant to be what they are now."""
        self.accepted = dict(self.descriptions)
        self.parameters_onset = None

    def _take(self, version: VersionWatch) -> VersionWatch:
        """Have a version from now on."""
        version.losses.least_time = lambda name: self._least_time((version,), name)
        self.versions[version.version] = version
        return version

    def _watch_labels(self, labels: Monitor) -> Monitor:
        """Judge what comes true by this from now on."""
        labels.least_time = lambda name: self._least_time(self.versions.values(), name, labels.columns[0].kind)
        self.labels = labels
        return labels

    def _least_time(self, versions: Iterable[VersionWatch], name: str, kind: Kind = Kind.NUMERIC) -> float:
        """Of outcomes and losses: they are as slow as what scores tell of them, be it seen in their own few rows or not."""
        sample = self.labelled.sample()
        rows = outcomes_of(sample if len(sample) >= _TELLING_ROWS else self.labelled.recent())
        told, followers = rows["prediction"], rows[name]
        times = [following_time(told, followers, one.answer_times, is_coded=kind.is_coded) for one in versions]
        return max(times, default=1.0)

    def _new_version(self, name: str) -> VersionWatch:
        task: Any = None
        description = self.descriptions.get(name)
        if description is not None and description.task is not None:
            task = description.task.value
        before = self.versions.get(self.main_version)
        if before is None:
            return VersionWatch(self.settings, name, self.inputs.monitor, task)
        # A loss learnt anew, or scores read the other way round, would make a worse version look like health.
        losses = None if before.losses.references[0] is None else before.losses.profile(keep_sample=True)
        conventions = before.performance.conventions()
        return VersionWatch(self.settings, name, self.inputs.monitor, task, losses, conventions)

    def _add_joined(self, event_id: str, joined: Joined, offset: int, stream_ms: int) -> None:
        self.label_arrivals.labelled(joined.prediction_ms)
        version = self.versions.get(joined.answer.model_version)
        if version is None and self._is_in_open_chunk(joined.answer.model_version):
            version = self.version(joined.answer.model_version, joined.prediction_ms)
        loss = None if version is None else version.performance.update(joined)
        if not self._joined:
            self._joined_ms = stream_ms
            self.due_ms = min(self.due_ms, stream_ms + self.settings.chunk_span_ms)
        if joined.row is None:
            self._unattached[event_id] = len(self._joined)
        self._joined.append(_JoinedRow(joined, loss, offset))

    def _outcomes_monitor(self, columns: Sequence[Column]) -> Monitor:
        """Outcomes follow from the inputs: where these wander, those do, though each by itself is a toss."""
        follows = self.inputs.monitor
        return self._watch_labels(Monitor(self.settings, columns, aspects=ASPECTS, follows=follows, families=FAMILIES))

    def _is_in_open_chunk(self, version: str) -> bool:
        return any(event.model_version == version for event in self._events)

    def _close_joined(self, stream_ms: int) -> None:
        rows, self._joined, self._unattached = self._joined, [], {}
        self.label_chunks += 1
        labels = self.labels
        if labels is None:
            labels = self._outcomes_monitor([Column("actual", self._actual_kind())])
        actuals = self._actual_rows(rows, labels)
        is_healthy = labels.is_collecting and not labels.alarms
        outcomes = self.labelled.update(self._outcomes(rows, actuals), is_healthy=is_healthy)
        labels.update(actuals, at_ms=middle_ms(actuals))
        delays = _delay_rows(rows)
        self.longest_delay_ms = max(self.longest_delay_ms, *(row.delay_ms for row in rows))
        # A young stream has seen the quick labels only: neither learn from their delays nor judge by them.
        if stream_ms - (self.first_ms or 0) >= _DELAYS_SEEN * self.longest_delay_ms:
            self.delays.update(delays, at_ms=middle_ms(delays))
        names = [row.joined.answer.model_version for row in rows]
        for name in dict.fromkeys(names):
            version = self.versions.get(name)
            lost = [row for row in rows if row.joined.answer.model_version == name and row.loss is not None]
            if version is not None and lost:
                version.update_losses(_loss_rows(lost))
            if version is not None:
                mine = outcomes[[place for place, one in enumerate(names) if one == name]]
                self._update_bias(version, mine, middle_ms(actuals), rows[0].offset)
                self._update_estimator(version, mine, labels)

    def _update_bias(self, version: VersionWatch, rows: Floats, at_ms: int, offset: int) -> None:
        inputs = len(OUTCOMES) + len(self.inputs.monitor.columns)
        version.bias.update(rows[:, :inputs], at_ms, offset)

    def _update_estimator(self, version: VersionWatch, rows: Floats, labels: Monitor) -> None:
        """Labels grade what was estimated without them; in health they are learnt from."""
        watching = (self.inputs.monitor, labels, version.outputs, version.losses)
        is_healthy = not any(monitor.alarms for monitor in watching)
        inputs = len(OUTCOMES) + len(self.inputs.monitor.columns)
        version.estimator.update(rows[:, :inputs], labels.columns[0], version.performance.task, is_healthy=is_healthy)

    def _outcomes(self, rows: Sequence[_JoinedRow], actuals: Rows) -> list[Outcome]:
        found = []
        for row, actual in zip(rows, actuals.values[:, 0].tolist(), strict=True):
            answer, version = row.joined.answer, self.versions.get(row.joined.answer.model_version)
            found.append(
                Outcome(
                    *((nan, nan) if version is None else version.numbers(answer)),
                    actual,
                    nan if row.loss is None else row.loss,
                    row.joined.source,
                    row.joined.prediction_ms,
                    row.offset,
                    row.joined.row,
                )
            )
        return found

    def _actual_kind(self) -> Kind:
        return (
            Kind.NUMERIC
            if any(v.performance.task == "regression" for v in self.versions.values())
            else Kind.CATEGORICAL
        )

    def _actual_rows(self, rows: Sequence[_JoinedRow], monitor: Monitor) -> Rows:
        actual = monitor.columns[0]
        values, presence = encode_column(actual, [_actual_of(row.joined.actual, actual.kind) for row in rows])
        return _joined_rows(rows, values, presence)

    # -- the budget ---------------------------------------------------------------------------------------------------

    def label_monitors(self) -> list[Monitor]:
        """Those of what came true, as far as there are labels."""
        return [self.delays] if self.labels is None else [self.labels, self.delays]

    def monitors(self) -> list[Monitor]:
        """Every monitor of this model."""
        found = [self.inputs.monitor, self.dimensions.segments, self.dependence.monitor, *self.label_monitors()]
        return found + [m for version in self.versions.values() for m in (version.outputs, version.losses)]

    def _log10_threshold(self) -> float:
        return self.inputs.monitor.log10_threshold

    def _retune(self, stream_ms: int) -> None:
        """Thresholds for at most `false_incidents_per_week`: H = signals · chunks a week / incidents a week (detection.md).

        Of the signals and chunks there are: nothing is rounded up, which the bound does not ask for. Looked at ever more rarely.
        Bets are told of a number of signals that is a power of two: of one that moved with every column learnt they would be made
        anew all the time.
        """
        self._retune_at = self.chunks + min(self.chunks, _RETUNE_CHUNKS)
        monitors = self.monitors()
        replicas = [watch for version in self.versions.values() for watch in version.compared]
        signals = sum(monitor.signal_count for monitor in monitors) + _GUARD_SIGNALS
        signals += sum(one.signal_count for one in replicas)
        signals += sum(version.bias.signal_count for version in self.versions.values())
        elapsed_ms = max(stream_ms - (self.first_ms or 0), 1)
        chunks_a_week = self.chunks * max(_WEEK_MS / elapsed_ms, 1.0)
        wanted = log10(signals * chunks_a_week / self.settings.false_incidents_per_week)
        threshold = max(wanted, _LEAST_LOG10_THRESHOLD)
        shared_by = max(_LEAST_SIGNALS, 2 ** ceil(log2(signals)))
        for monitor in monitors:
            monitor.retune(shared_by, threshold)
        for watch in replicas:
            watch.log10_threshold = threshold
        for version in self.versions.values():
            version.bias.retune(shared_by, threshold)

    # -- alarms and incidents -------------------------------------------------------------------------------------------

    def alarms(self) -> dict[str, Onset]:
        """Every alarm that lasts, by its name (a version's signals under `scoped` names), with its onset."""
        ordered = self.inputs.monitor.alarms | self.dimensions.segments.alarms | self.dependence.monitor.alarms
        found = {name: Onset(a.onset_ms, a.onset_offset) for name, a in ordered.items()}
        labels = [] if self.labels is None else [self.labels]
        found |= {name: Onset(a.onset_ms, None) for monitor in labels for name, a in monitor.alarms.items()}
        if self._are_labels_late():
            found |= {name: Onset(a.onset_ms, None) for name, a in self.delays.alarms.items()}
        for version in self.versions.values():
            found |= version_alarms(version)
        for name, guard in (("arrivals", self.arrivals), ("label_arrivals", self.label_arrivals)):
            if guard.is_alarmed:
                found[name] = Onset(guard.onset_ms, None)
        if self.parameters_onset is not None:
            found["parameters"] = Onset(*self.parameters_onset)
        return found

    def _are_labels_late(self) -> bool:
        """Whether delays have grown by what matters. (Those of young predictions come first when traffic surges.)

        See `label_delays.are_late`, which knows in what order labels come.
        """
        reference = self.delays.references[0]
        return reference is not None and bool(self.delays.alarms) and are_late(self.delays.recent(), reference)

    def review(self, stream_ms: int, offset: int) -> list[Diagnosis]:
        """See what the alarms mean for incidents."""
        alarms = self.alarms()
        if not alarms and not self.incidents.is_busy:
            return self.said([])
        scene = _Scene(self, alarms, stream_ms)
        onsets_ms = {name: onset.ms for name, onset in alarms.items()}
        return self.said(self.incidents.review(onsets_ms, self.moment(stream_ms, offset), scene))

    def said(self, diagnoses: list[Diagnosis]) -> list[Diagnosis]:
        """What was said changes when there is something to do next."""
        self._set_due()
        return diagnoses

    def moment(self, stream_ms: int, offset: int) -> Moment:
        versions = (self.main_version,) if self.main_version else ()
        rows = self.inputs.monitor.rows_seen
        chunks = self.chunks, self.label_chunks
        return Moment(stream_ms, self.partition, offset, *chunks, rows, versions, self.longest_delay_ms)

    def redraw(self, incident: Incident) -> IncidentGraphs:
        """What is drawn of an incident, with its curves as they are now."""
        return with_curves(incident.graphs, self, incident.onset_ms)

    def levels(self) -> dict[str, float]:
        """log10 evidence of every signal that has bets, by its name as in `alarms`."""
        found = self.inputs.monitor.levels() | self.dimensions.segments.levels() | self.dependence.monitor.levels()
        for monitor in self.label_monitors():
            found |= monitor.levels()
        for version in self.versions.values():
            own = version.outputs.levels() | version.losses.levels()
            own |= version.replicas.levels() | version.paces.levels() | version.bias.levels()
            found |= {scoped(version.version, name): level for name, level in own.items()}
        found["arrivals"], found["label_arrivals"] = self.arrivals.log10_e, self.label_arrivals.log10_e
        return found

    def parameters_evidence(self) -> SignalEvidence:
        """The deterministic signal of a model that changed under its version: no e-value, so just enough or nothing."""
        onset, threshold = self.parameters_onset, self._log10_threshold()
        level = 0.0 if onset is None else threshold
        onset_ms = self.first_ms or 0 if onset is None else onset[0]
        return SignalEvidence("parameters", "parameters", "", level, threshold, onset_ms, onset is not None)

    # -- making a profile ---------------------------------------------------------------------------------------------

    def thin_learning(self) -> None:
        """See `Monitor.thin_learning`; for a profile of many events."""
        self.inputs.monitor.thin_learning()
        self.dimensions.segments.thin_learning()
        for monitor in self.label_monitors():
            monitor.thin_learning()
        for version in self.versions.values():
            version.thin_learning()

    def profile(self, *, keep_sample: bool) -> Profile:
        """Learn now, from all that was collected, and say what was learnt: of the version with most predictions."""
        for monitor in self.monitors():
            monitor.learn_now()
        version = max(self.versions.values(), key=lambda v: (v.events, v.version))
        outputs, losses, surrogate = version.profile(keep_sample=keep_sample)
        if self.labels is not None:
            version.estimator.learn(self.labels.columns[0], version.performance.task)
        segments, who = self.dimensions.profile(keep_sample=keep_sample)
        nothing = MonitorProfile((), {}, Rows.concat([], 0))
        return Profile(
            model_id=self.model_id,
            version=version.version,
            task=version.performance.task,
            conventions=version.performance.conventions(),
            events=self.join.counts.predictions,
            keys=tuple(self.inputs.keys),
            inputs=self.inputs.monitor.profile(keep_sample=keep_sample),
            dependence=self.dependence.profile(keep_sample=keep_sample),
            outputs=outputs,
            losses=losses,
            delays=self.delays.profile(keep_sample=keep_sample),
            labels=nothing if self.labels is None else self.labels.profile(keep_sample=keep_sample),
            segments=segments,
            who=who,
            labelled=self.labelled.profile() if keep_sample else nothing,
            surrogate=surrogate,
            replicas=version.replicas.usual,
            paces=version.paces.usual,
            bias=version.bias.groups,
            estimate=version.estimator.snapshot_references(),
        )

    # -- state --------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What changes with every chunk, as plain values."""
        return {
            "inputs": self.inputs.snapshot(),
            "dependence": self.dependence.snapshot(),
            "dimensions": self.dimensions.snapshot(),
            "labelled": self.labelled.snapshot(),
            "labels": None if self.labels is None else self.labels.snapshot(),
            "delays": self.delays.snapshot(),
            "longest_delay_ms": self.longest_delay_ms,
            "versions": [version.snapshot() for version in self.versions.values()],
            "join": self.join.snapshot(),
            "arrivals": self.arrivals.snapshot(),
            "label_arrivals": self.label_arrivals.snapshot(),
            "interval_news": self.interval_news.snapshot(),
            "incidents": self.incidents.snapshot(),
            "descriptions": [encode(description) for description in self.descriptions.values()],
            "accepted": [encode(description) for description in self.accepted.values()],
            "changes": [_change_state(change) for change in self.changes],
            "parameters_onset": None if self.parameters_onset is None else list(self.parameters_onset),
            "is_profiled": self.is_profiled,
            "main_version": self.main_version,
            "first_ms": self.first_ms,
            "chunks": self.chunks,
            "label_chunks": self.label_chunks,
            "retune_at": self._retune_at,
            "chunk": [list(_event_state(event)) for event in self._events],
            "offsets": self._offsets,
            "repeated": self._repeated,
            "chunk_ms": self._chunk_ms,
            "joined": [_joined_state(row) for row in self._joined],
            "joined_ms": self._joined_ms,
            "unattached": self._unattached,
            "due_ms": self.due_ms,
        }

    def snapshot_references(self) -> dict[str, Any]:
        """What changes only when something is learnt."""
        return {
            "inputs": self.inputs.monitor.snapshot_references(),
            "dependence": self.dependence.monitor.snapshot_references(),
            "segments": self.dimensions.segments.snapshot_references(),
            "labels": None if self.labels is None else self.labels.snapshot_references(),
            "delays": self.delays.snapshot_references(),
            "versions": [version.snapshot_references() for version in self.versions.values()],
        }

    @classmethod
    def restore(
        cls, settings: Settings, partition: int, model_id: str, state: Mapping[str, Any], references: Mapping[str, Any]
    ) -> "ModelWatch":
        model = cls(settings, partition, model_id)
        model.inputs = InputWatch.restore(settings, state["inputs"], references["inputs"])
        watched, learnt = state["dependence"], references["dependence"]
        model.dependence = DependenceWatch.restore(settings, model.inputs.monitor, watched, learnt)
        model.dimensions = DimensionWatch.restore(settings, state["dimensions"], references["segments"])
        model.labelled = LabelledWatch.restore(state["labelled"])
        if state["labels"] is not None:
            model._watch_labels(
                Monitor.restore(
                    settings,
                    (),
                    state["labels"],
                    references["labels"],
                    aspects=ASPECTS,
                    follows=model.inputs.monitor,
                    families=FAMILIES,
                )
            )
        delays, references_of_delays = state["delays"], references["delays"]
        model.delays = Monitor.restore(settings, (), delays, references_of_delays, aspects=ASPECTS)
        for one, refs in zip(state["versions"], references["versions"], strict=True):
            model._take(VersionWatch.restore(settings, model.inputs.monitor, one, refs))
        model.join = LabelJoin.restore(settings.join_capacity, settings.label_ttl_ms, state["join"])
        model.arrivals = RateGuard.restore(state["arrivals"])
        model.label_arrivals = LabelFeed.restore(state["label_arrivals"])
        model.interval_news = IntervalNews.restore(state["interval_news"])
        model.incidents = Incidents.restore(settings, model_id, state["incidents"])
        model.incidents.redraw = model.redraw
        model.descriptions = _descriptions_of(state["descriptions"])
        model.accepted = _descriptions_of(state["accepted"])
        model.changes = [_change_of(change) for change in state["changes"]]
        onset = state["parameters_onset"]
        model.parameters_onset = None if onset is None else (onset[0], onset[1])
        model._restore_chunks(state)
        model.due_ms = state["due_ms"]
        return model

    def _restore_chunks(self, state: Mapping[str, Any]) -> None:
        for name in ("is_profiled", "main_version", "first_ms", "chunks", "longest_delay_ms"):
            setattr(self, name, state[name])
        self.label_chunks = state.get("label_chunks", 0)  # states from before they were counted begin anew
        self._retune_at = state["retune_at"]
        self._events = [PredictionEvent(*fields) for fields in state["chunk"]]
        self._offsets, self._repeated = list(state["offsets"]), list(state["repeated"])
        self._chunk_ms, self._joined_ms = state["chunk_ms"], state["joined_ms"]
        self._joined = [_joined_of(row) for row in state["joined"]]
        self._unattached = dict(state["unattached"])


@dataclass(frozen=True, slots=True)
class _Scene:
    """A model's alarms at one moment, as `incidents` asks about them."""

    model: ModelWatch
    alarms: Mapping[str, Onset]
    stream_ms: int

    def rows_since(self, names: Sequence[str]) -> int:
        rows = self.model.inputs.monitor.recent()
        first = min((self.alarms[name] for name in names), key=lambda onset: onset.ms)
        return int(first.is_reached(rows).sum())

    def lasts(self, names: Sequence[str]) -> bool:
        monitors = self.model.monitors()
        parts: list[Monitor | ReplicaWatch | BiasWatch] = [*monitors]
        for version in self.model.versions.values():
            parts += [*version.compared, version.bias]
        bets = {plain(name) for name in names if any(plain(name) in part.alarms for part in parts)}
        # Rates, guards and changed parameters speak for themselves: their alarm is the present.
        return len(bets) < len(names) or any(part.lasts(name) for part in parts for name in sorted(bets))

    def judge(self, names: Sequence[str], told: Collection[str] = ()) -> Sequence[Finding]:
        """Case and findings, about the version that the alarms are of: that of the first one that is of any."""
        levels, versions = self.model.levels(), self.model.versions
        strongest = max(names, key=lambda name: (levels.get(name, 0.0), name))
        owners = [v for v in versions.values() if any(name.startswith(scoped(v.version, "")) for name in names)]
        version = owners[0] if owners else versions.get(self.model.main_version)
        case = picture(self.model, version, self.alarms[strongest], self.stream_ms)
        found = [
            replace(finding, graphs=graphs(case, finding)) for finding in diagnose(case, frozenset(map(plain, told)))
        ]
        if version is None:
            return found
        prefix, own = version.version, set(version_signals(version))

        def named(signals: frozenset[str]) -> frozenset[str]:
            return frozenset(scoped(prefix, signal) if signal in own else signal for signal in signals)

        return [replace(f, signals=named(f.signals), own_signals=named(f.own_signals)) for f in found]


def version_signals(version: VersionWatch) -> list[str]:
    """Names of everything a version can raise an alarm on."""
    parts: list[Monitor | ReplicaWatch | BiasWatch] = [version.outputs, version.losses, *version.compared, version.bias]
    bets = [name for part in parts for name in part.levels()]
    return [*bets, *(f"{name}.mean" for name in version.guards)]


def version_alarms(version: VersionWatch) -> dict[str, Onset]:
    """A version's alarms under their scoped names. Rows of losses are in order of labels, so they have no offset to go by."""
    found = {name: Onset(alarm.onset_ms, alarm.onset_offset) for name, alarm in version.outputs.alarms.items()}
    for watch in version.compared:
        found |= {name: Onset(alarm.onset_ms, alarm.onset_offset) for name, alarm in watch.alarms.items()}
    labelled = version.losses.alarms | version.bias.alarms
    found |= {name: Onset(alarm.onset_ms, None) for name, alarm in labelled.items()}
    found |= {
        f"{name}.mean": Onset(at_ms, offset if name == "residual" else None)
        for name, (at_ms, offset) in version.guard_onsets.items()
    }
    return {scoped(version.version, name): onset for name, onset in found.items()}


def _identity(description: ModelDescription) -> tuple[Any, ...]:
    """What must not change under one version."""
    structure, parameters = description.structure, description.parameters or []
    return (
        None if structure is None else structure.digest,
        tuple((p.name, p.count, p.digest, p.l2_norm, p.non_finite) for p in parameters),
        description.decision_threshold,
        tuple(feature.name for feature in description.features or ()),
    )


def _actual_of(actual: Any, kind: Kind) -> Any:
    """As the column has it: a class is written as a string."""
    return actual if kind is Kind.NUMERIC else class_name(actual)


def _loss_rows(rows: Sequence[_JoinedRow]) -> Rows:
    return _joined_rows(rows, np.array([row.loss for row in rows], float), np.zeros(len(rows), np.int8))


def _delay_rows(rows: Sequence[_JoinedRow]) -> Rows:
    """Decimal logarithm of seconds."""
    delays_ms = np.array([row.delay_ms for row in rows], float)
    return _joined_rows(rows, np.log10(np.maximum(delays_ms, 1.0) / 1_000), np.zeros(len(rows), np.int8))


def _joined_rows(rows: Sequence[_JoinedRow], values: Floats, presence: Presences) -> Rows:
    """One column; their time is that of the prediction, their offset that of the record that completed the join."""
    return Rows(
        values[:, None],
        presence[:, None],
        np.array([row.joined.prediction_ms for row in rows], np.int64),
        np.array([row.offset for row in rows], np.int64),
    )


def _event_state(event: PredictionEvent) -> tuple[Any, ...]:
    return tuple(getattr(event, name) for name in PredictionEvent.__struct_fields__)


def _joined_state(row: _JoinedRow) -> list[Any]:
    return [list(row.joined.answer), *row.joined[1:], row.loss, row.offset]


def _joined_of(state: Sequence[Any]) -> _JoinedRow:
    answer, *times, loss, offset = state
    return _JoinedRow(Joined(Answer(*answer), *times), loss, offset)


def _descriptions_of(state: Sequence[bytes]) -> dict[str, ModelDescription]:
    known = [ModelDescription.model_validate_json(description) for description in state]
    return {description.model_version: description for description in known}


def _change_state(change: ModelChange) -> list[Any]:
    before = None if change.before is None else encode(change.before)
    return [before, encode(change.after), change.at_ms, change.is_announced]


def _change_of(state: Sequence[Any]) -> ModelChange:
    before, after, at_ms, is_announced = state
    known = None if before is None else ModelDescription.model_validate_json(before)
    return ModelChange(known, ModelDescription.model_validate_json(after), at_ms, is_announced)
