"""Brings predictions and their labels together, whichever comes first, in bounded memory and event time.

Belongs here: the join and what it counts. Not here: how good the answers were (`performance`), stream time and its rules.

Memory is bounded by following a sample of the event ids. An id is followed when the low `level` bits of its CRC-32 are
zero, so predictions and labels agree on who is followed without talking to each other, and whether an event is in the
sample has nothing to do with its content: what is measured on the joined events holds for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Final, Generic, NamedTuple, TypeVar
from zlib import crc32

Actual = str | float | int | bool

RECENT_IDS = 4_096
"""At least this many event ids before this one are remembered to recognise repeated predictions; at most twice as many."""
_MAX_LEVEL = 32  # bits of a CRC-32
_CALM_EVENTS_PER_PLACE = 4
"""The sample widens after this many events per place of capacity, all of them with less than a quarter of it in use."""
_SLACK = 1_024
_CLASSES_A_PLACE = 16
"""Probabilities that take as much memory as a waiting prediction: one of a thousand classes takes 63 places."""


class Answer(NamedTuple):
    """What is kept of a prediction until its label comes.

    score: see `performance`; probabilities: by class.
    """

    model_version: str
    label: str | None = None
    score: float | None = None
    value: float | None = None
    probabilities: dict[str, float] | None = None


class Joined(NamedTuple):
    """A prediction with its label. Times are those the two events bear, in epoch milliseconds.

    row: what `LabelJoin.attach` gave the prediction while it waited.
    """

    answer: Answer
    prediction_ms: int
    label_ms: int
    actual: Actual
    source: str | None
    row: bytes | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A prediction with this event id came before: a duplicate."""


SEEN: Final = Seen()


@dataclass(slots=True)
class JoinCounts:
    """What happened so far; each count only grows.

    predictions_duplicate: event ids that repeat. labels_duplicate: labels that repeat what is known already.
    labels_conflicting: labels that contradict the first one, which stays. predictions_expired: no label came in time.
    labels_expired: no prediction came in time, or the label came later than the time-to-live: labels of unknown events.
    labels_outside_sample: labels of events that are, or may have been, left out of the sample.
    """

    predictions: int = 0
    predictions_duplicate: int = 0
    predictions_expired: int = 0
    labels: int = 0
    labels_joined: int = 0
    labels_duplicate: int = 0
    labels_conflicting: int = 0
    labels_expired: int = 0
    labels_outside_sample: int = 0


class _WaitingLabel(NamedTuple):
    timestamp_ms: int
    actual: Actual
    source: str | None
    is_sampled: bool
    """Whether its prediction would have been followed at any time within the time-to-live."""


class _WaitingPrediction(NamedTuple):
    timestamp_ms: int
    answer: Answer


_Entry = TypeVar("_Entry", _WaitingLabel, _WaitingPrediction)


class _Waiting(Generic[_Entry]):
    """Entries by event id that can be dropped by age, though they do not come in the order of their times.

    `entries` may be read directly. The heap may lag behind: it is an index, never part of the state.
    """

    __slots__ = ("_heap", "entries", "rows", "wide")

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self.wide = 0
        """Places taken beyond one an entry, by answers with many probabilities."""
        self.rows: dict[str, bytes] = {}
        """What is attached to entries."""
        self._heap: list[tuple[int, str]] = []

    @property
    def places(self) -> int:
        """Memory taken, in places of the join's capacity."""
        return len(self.entries) + self.wide

    def pop(self, event_id: str) -> _Entry | None:
        entry = self.entries.pop(event_id, None)
        if entry is not None:
            self.wide -= _extra_places(entry)
        return entry

    def pop_latest(self) -> None:
        event_id, entry = self.entries.popitem()
        self.wide -= _extra_places(entry)
        self.rows.pop(event_id, None)

    def add(self, event_id: str, entry: _Entry) -> None:
        """Take an entry whose id is not among them."""
        self.entries[event_id] = entry
        self.wide += _extra_places(entry)
        heap = self._heap
        heappush(heap, (entry[0], event_id))
        if len(heap) > 2 * len(self.entries) + _SLACK:
            self._index()

    def pop_before(self, horizon_ms: int) -> Iterator[_Entry]:
        """Remove and yield what is older than the horizon, oldest first."""
        heap, entries = self._heap, self.entries
        while heap and heap[0][0] < horizon_ms:
            timestamp_ms, event_id = heappop(heap)
            entry = entries.get(event_id)
            # Joined meanwhile, or joined and come anew with another time: this place in the heap is an old one.
            if entry is not None and entry[0] == timestamp_ms:
                self.wide -= _extra_places(entry)
                self.rows.pop(event_id, None)
                yield entries.pop(event_id)

    def keep(self, mask: int) -> int:
        """Drop the ids that are outside the sample; returns how many."""
        before = len(self.entries)
        self.replace({i: e for i, e in self.entries.items() if not crc32(i.encode()) & mask})
        return before - len(self.entries)

    def replace(self, entries: dict[str, _Entry]) -> None:
        self.entries = entries
        self.rows = {event_id: row for event_id, row in self.rows.items() if event_id in entries}
        self.wide = sum(map(_extra_places, entries.values()))
        self._index()

    def _index(self) -> None:
        self._heap = [(entry[0], event_id) for event_id, entry in self.entries.items()]
        heapify(self._heap)


def _extra_places(entry: _WaitingLabel | _WaitingPrediction) -> int:
    probabilities = entry.answer.probabilities if type(entry) is _WaitingPrediction else None
    return len(probabilities) // _CLASSES_A_PLACE if probabilities else 0


class _Generations:
    """A bounded memory of the latest ids: two dicts, of which the older is forgotten when the younger is full.

    Remembers at least the last `size` ids and at most twice as many, at the cost of one look-up each. (Deleting the
    oldest key of one dict would be a scan: CPython leaves holes at its front.)
    """

    __slots__ = ("newest_ms", "old", "size", "young")

    def __init__(self, size: int) -> None:
        self.size = size
        self.young: dict[str, Any] = {}
        self.old: dict[str, Any] = {}
        self.newest_ms = [0, 0]
        """Latest time in young, old."""

    def add(self, event_id: str, value: Any, timestamp_ms: int) -> None:
        if len(self.young) >= self.size:
            self.old, self.young = self.young, {}
            self.newest_ms = [timestamp_ms, self.newest_ms[0]]
        elif not self.young or timestamp_ms > self.newest_ms[0]:
            self.newest_ms[0] = timestamp_ms
        self.young[event_id] = value

    def get(self, event_id: str) -> Any:
        """What was remembered, or None."""
        found = self.young.get(event_id)
        return self.old.get(event_id) if found is None else found

    def forget_before(self, horizon_ms: int) -> None:
        if self.old and self.newest_ms[1] < horizon_ms:
            self.old = {}
        if self.young and self.newest_ms[0] < horizon_ms:
            self.young = {}

    def keep(self, mask: int) -> None:
        self.young = {i: v for i, v in self.young.items() if not crc32(i.encode()) & mask}
        self.old = {i: v for i, v in self.old.items() if not crc32(i.encode()) & mask}

    def snapshot(self) -> list[Any]:
        halves = (self.young, self.old)
        return [[[list(half), list(half.values())] for half in halves], list(self.newest_ms)]

    def restore(self, state: list[Any]) -> None:
        (young, old), newest_ms = state
        self.young = dict(zip(*young, strict=True))
        self.old = dict(zip(*old, strict=True))
        self.newest_ms = list(newest_ms)


class LabelJoin:
    """Joins the predictions and labels of one model.

    capacity: predictions kept waiting, and labels kept waiting, each; at least 4. An answer with many probabilities counts as
    several (`_CLASSES_A_PLACE`). When more wait, the sample is halved (`level` rises); it is doubled again after 4 × capacity
    events with less than a quarter of the capacity in use.
    ttl_ms: how far apart in event time a prediction and its label may be.

    A label is joined once. Later ones are duplicates or conflicts for as long as the event is remembered: `capacity`
    joined events at least, and no longer than ttl_ms.

    >>> join = LabelJoin(capacity=100, ttl_ms=1_000)
    >>> join.add_prediction("a", 5, Answer("v1", label="approve"))
    >>> join.add_label("a", 9, "approve", None).actual
    'approve'
    """

    def __init__(self, capacity: int, ttl_ms: int) -> None:
        self.counts = JoinCounts()
        self._capacity = capacity
        self._ttl_ms = ttl_ms
        self._level = 0
        self._mask = 0
        self._calm_events = 0
        self._stream_ms: int | None = None
        self._past_levels: list[tuple[int, int]] = []
        """Levels left by widening the sample, and when (stream time): (level, milliseconds), while it matters."""
        self._past_mask = 0
        self._predictions: _Waiting[_WaitingPrediction] = _Waiting()
        self._labels: _Waiting[_WaitingLabel] = _Waiting()
        self._joined = _Generations(capacity)
        self._recent = _Generations(RECENT_IDS)

    @property
    def waiting_for_label(self) -> int:
        """Predictions of the sample that have no label yet."""
        return len(self._predictions.entries)

    @property
    def waiting_for_prediction(self) -> int:
        """Labels of the sample that have no prediction yet."""
        return len(self._labels.entries)

    @property
    def sample_share(self) -> float:
        """Share of the event ids that is followed: 1, 1/2, 1/4 …."""
        return 1 / (1 << self._level)

    def follows(self, event_id: str) -> bool:
        """Whether this event is in the sample, so that its label is recognised."""
        return not (self._mask and crc32(event_id.encode()) & self._mask)

    def add_prediction(self, event_id: str, timestamp_ms: int, answer: Answer) -> Joined | Seen | None:
        """Take a prediction: Joined where its label was waiting, SEEN where the id repeats, None where it waits."""
        counts = self.counts
        counts.predictions += 1
        recent = self._recent
        if (
            event_id in recent.young
            or event_id in recent.old
            or event_id in self._predictions.entries
            or self._joined.get(event_id) is not None
        ):
            counts.predictions_duplicate += 1
            return SEEN
        recent.add(event_id, True, timestamp_ms)
        if self._level:
            self._widen()
            if not self.follows(event_id):
                return None
        label = self._labels.pop(event_id)
        if label is not None:
            if abs(label.timestamp_ms - timestamp_ms) <= self._ttl_ms:
                return self._join(event_id, timestamp_ms, answer, label.timestamp_ms, label.actual, label.source)
            counts.labels_expired += 1
        waiting = _WaitingPrediction(timestamp_ms, answer)
        if _extra_places(waiting) > self._capacity // 4:
            # So few would be left that none would ever be joined.
            waiting = _WaitingPrediction(timestamp_ms, answer._replace(probabilities=None))
        self._predictions.add(event_id, waiting)
        if self._predictions.places > self._capacity:
            self._narrow()
        return None

    def add_label(self, event_id: str, timestamp_ms: int, actual: Actual, source: str | None = None) -> Joined | None:
        """Take a label: Joined where its prediction was waiting for it, None where it waits or is only counted."""
        counts = self.counts
        counts.labels += 1
        if not self.follows(event_id):
            counts.labels_outside_sample += 1
            return None
        prediction = self._predictions.entries.get(event_id)
        if prediction is None:
            self._keep_label(event_id, timestamp_ms, actual, source)
            return None
        if abs(timestamp_ms - prediction.timestamp_ms) > self._ttl_ms:
            # The prediction goes on waiting: it is the label's time that may be wrong.
            counts.labels_expired += 1
            return None
        self._predictions.pop(event_id)
        row = self._predictions.rows.pop(event_id, None)
        joined = self._join(event_id, prediction.timestamp_ms, prediction.answer, timestamp_ms, actual, source)
        return joined._replace(row=row)

    def attach(self, event_ids: Sequence[str], rows: Sequence[bytes]) -> None:
        """Give predictions, as far as they wait, a row that comes back with their label."""
        waiting = self._predictions.entries
        if waiting.keys() >= set(event_ids):
            self._predictions.rows.update(zip(event_ids, rows, strict=True))
        else:
            self._predictions.rows.update((i, row) for i, row in zip(event_ids, rows, strict=True) if i in waiting)

    def expire(self, stream_time_ms: int) -> int:
        """Drop what is more than ttl_ms older than stream time; returns how many predictions and labels that were."""
        self._stream_ms = stream_time_ms
        horizon_ms = stream_time_ms - self._ttl_ms
        predictions = sum(1 for _ in self._predictions.pop_before(horizon_ms))
        sampled = [label.is_sampled for label in self._labels.pop_before(horizon_ms)]
        self.counts.predictions_expired += predictions
        self.counts.labels_expired += sum(sampled)
        self.counts.labels_outside_sample += len(sampled) - sum(sampled)
        self._joined.forget_before(horizon_ms)
        if self._past_levels and self._past_levels[0][1] < horizon_ms:
            self._past_levels = [past for past in self._past_levels if past[1] >= horizon_ms]
            self._set_past_mask()
        return predictions + len(sampled)

    def _join(
        self, event_id: str, prediction_ms: int, answer: Answer, label_ms: int, actual: Actual, source: str | None
    ) -> Joined:
        self.counts.labels_joined += 1
        self._joined.add(event_id, actual, max(prediction_ms, label_ms))
        return Joined(answer, prediction_ms, label_ms, actual, source)

    def _keep_label(self, event_id: str, timestamp_ms: int, actual: Actual, source: str | None) -> None:
        """Keep a label whose prediction is not waiting, unless the event has a label already."""
        known = self._joined.get(event_id)
        if known is None and (waiting := self._labels.entries.get(event_id)) is not None:
            known = waiting.actual
        if known is not None:
            if known == actual:
                self.counts.labels_duplicate += 1
            else:
                self.counts.labels_conflicting += 1
            return
        is_sampled = not (self._past_mask and crc32(event_id.encode()) & self._past_mask)
        self._labels.add(event_id, _WaitingLabel(timestamp_ms, actual, source, is_sampled))
        if len(self._labels.entries) > self._capacity:
            self._narrow()

    def _narrow(self) -> None:
        """Halve the sample until what waits fits. All is dropped alike, by its id alone."""
        while self._is_over() and self._level < _MAX_LEVEL:
            self._set_level(self._level + 1)
            self._predictions.keep(self._mask)
            self.counts.labels_outside_sample += self._labels.keep(self._mask)
            self._joined.keep(self._mask)
        # Ids made to collide in all 32 bits: the bound still holds, the latest goes.
        if self._predictions.places > self._capacity:
            self._predictions.pop_latest()
        if len(self._labels.entries) > self._capacity:
            self._labels.pop_latest()
            self.counts.labels_outside_sample += 1

    def _is_over(self) -> bool:
        return max(self._predictions.places, self._labels.places) > self._capacity

    def _widen(self) -> None:
        """Double the sample after enough calm events. Called once per prediction while there is a sample."""
        quarter = self._capacity // 4
        if self._predictions.places >= quarter or self._labels.places >= quarter:
            self._calm_events = 0
            return
        self._calm_events += 1
        if self._calm_events < _CALM_EVENTS_PER_PLACE * self._capacity:
            return
        if self._stream_ms is not None:
            # Labels of predictions that were left out until now still come, for as long as the time-to-live.
            self._past_levels.append((self._level, self._stream_ms))
            self._set_past_mask()
        self._set_level(self._level - 1)

    def _set_level(self, level: int) -> None:
        self._level = level
        self._mask = (1 << level) - 1
        self._calm_events = 0

    def _set_past_mask(self) -> None:
        self._past_mask = (1 << max((level for level, _ in self._past_levels), default=0)) - 1

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain values; equal states give equal snapshots."""
        return {
            "counts": asdict(self.counts),
            "level": self._level,
            "calm_events": self._calm_events,
            "stream_ms": self._stream_ms,
            "past_levels": [list(past) for past in self._past_levels],
            "predictions": [[i, e.timestamp_ms, list(e.answer)] for i, e in self._predictions.entries.items()],
            "rows": [self._predictions.rows.get(i) for i in self._predictions.entries],
            "labels": [[i, *e] for i, e in self._labels.entries.items()],
            "joined": self._joined.snapshot(),
            "recent": self._recent.snapshot(),
        }

    @classmethod
    def restore(cls, capacity: int, ttl_ms: int, state: Mapping[str, Any]) -> "LabelJoin":
        """Go on from a snapshot. A smaller capacity than it was made with takes hold at once."""
        join = cls(capacity, ttl_ms)
        join.counts = JoinCounts(**state["counts"])
        join._set_level(state["level"])
        join._calm_events = state["calm_events"]
        join._stream_ms = state["stream_ms"]
        join._past_levels = [(level, at_ms) for level, at_ms in state["past_levels"]]
        join._set_past_mask()
        join._predictions.replace({i: _WaitingPrediction(t, Answer(*a)) for i, t, a in state["predictions"]})
        waiting = zip(join._predictions.entries, state["rows"], strict=True)
        join._predictions.rows = {i: row for i, row in waiting if row is not None}
        join._labels.replace({i: _WaitingLabel(*entry) for i, *entry in state["labels"]})
        join._joined.restore(state["joined"])
        join._recent.restore(state["recent"])
        join._narrow()
        return join
