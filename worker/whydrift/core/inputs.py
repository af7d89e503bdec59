"""The inputs of one model: which features there are, their rows, and what is odd about the events that carry them.

Columns appear as the features do: in the order a model event declares, else as they come. While the baseline is being learnt a
new key is a new column; afterwards it is a change of schema, until somebody accepts it.

Belongs here: from prediction events to rows and flags. Not here: answers (`version`), labels (`model`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import ANSWERS, SchemaPicture
from whydrift.core.columns import ABSENT, Column, Kind, Presence, Rows, abridged, encode_rows, infer_kind
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.decode import PredictionEvent
from whydrift.core.dimensions import SEGMENT
from whydrift.core.free_flags import Yes
from whydrift.core.incidents import SCOPE
from whydrift.core.monitor import RETAINED_ROWS, Monitor
from whydrift.core.profile import Profile
from whydrift.core.reference import Binning
from whydrift.core.settings import Settings
from whydrift_schemas import FeatureDescription

FLAGS = ("duplicates", "schema", "backwards")
"""Yes or no of each event: its id or payload repeats, not as one more of a group of like cases; it has a key that the reference
does not know; its time runs backwards."""
OUTPUTS = (*ANSWERS, "latency", "errors", "contradiction")
LABELS = ("actual", "label_delay", "loss")
RESERVED = frozenset((*FLAGS, *OUTPUTS, *LABELS, COMBINATIONS, "parameters", "arrivals", "label_arrivals"))
"""Names of columns and signals of our own; a feature of this name is called `features.<name>`."""
_PAYLOADS = 4_096
"""Payloads remembered to recognise repeated ones."""
_NEAR_PAYLOADS = 64
"""Where payloads may be alike by chance, only so many are looked back at: the share of repeats must not grow with memory."""
_ALWAYS, _LEAST_THERE = 0.95, 0.75
"""Share of health's rows from which a column has a value nearly always; part of such columns in which a row must have one for its
payload to count as repeated."""
_GROUP_ROWS = 8
"""Rows between two members of a group of like cases."""
_IN_ORDER = 8
"""Rows after the one that was repeated last, within which a repeat from long ago is one of a feed that is sent again. The same
case scored again some day repeats a payload, too, in no order."""
_TELLING = 0.99
"""Share of distinct values from which a column tells all rows apart."""
_KEPT_KEYS = 32
_KEPT_VALUES = 200
_KEPT_ENTRIES = 16
"""Of a longer vector that is kept to show what odd values look like; a renamed one of more entries is not recognised."""


@dataclass(frozen=True, slots=True, eq=False)
class BinnedRows:
    """Rows of inputs and their bins (rows, columns known to `binning`), by which a surrogate can go on.

    places: which of the chunk's events they are of. is_odd (rows,): whether health hardly has their like; None = nobody looked.
    """

    rows: Rows
    bins: NDArray[np.intp]
    binning: Binning
    places: NDArray[np.intp]
    is_odd: NDArray[np.bool_] | None = None

    def take(self, which: Any) -> "BinnedRows":
        """The rows that an index selects."""
        is_odd = None if self.is_odd is None else self.is_odd[which]
        return BinnedRows(self.rows.take(which), self.bins[which], self.binning, self.places[which], is_odd)


class InputWatch:
    """Rows of a model's inputs, and the monitor that watches them."""

    def __init__(self, settings: Settings, profile: Profile | None = None) -> None:
        self._settings = settings
        self.monitor = Monitor(settings, [], FLAGS, keeps_bins=True)
        self._names: list[str] = []
        """Key of each column, as events have it."""
        self._latest_ms = -1
        self._payloads: dict[int, tuple[int, bool]] = {}
        """Payloads by their hash, latest last: the running number of the row that had it, and whether that was a repeat."""
        self._repeated_row = -1
        """Running number of the row that was repeated last."""
        self._odd: dict[str, list[tuple[int, Any]]] = {}
        """Unknown keys, and where they and their values were seen last: (offset, value)."""
        self._foreign: dict[str, list[tuple[int, Any]]] = {}
        self._has_baseline = profile is not None
        if profile is not None:
            self._names = list(profile.keys)
            self.monitor.install(profile.inputs)

    # -- columns ------------------------------------------------------------------------------------------------

    def declare(self, features: Sequence[FeatureDescription]) -> None:
        """A model event says what its inputs are. Known columns stay as they are."""
        for feature in features:
            if feature.name not in self._names:
                self._add(Column(feature.name, Kind(feature.type.value)))

    def _add(self, column: Column) -> None:
        """A new column, under the key it has in events; its name may differ."""
        self._names.append(column.name)
        taken = RESERVED.union(one.name for one in self.monitor.columns)
        column.name = column.name.replace(SCOPE, " ")
        while column.name in taken or column.name.startswith(SEGMENT):
            column.name = f"features.{column.name}"
        self.monitor.add_column(column)

    def accept_schema(self, since_offset: int) -> None:
        """Keys seen since then are columns from now on; the rate of unknown keys is learnt anew."""
        for name, seen in sorted(self._odd.items()):
            kind = infer_kind(value for _, value in seen)
            if seen[-1][0] >= since_offset and kind is not None and len(self._names) < self._settings.max_features:
                self._add(Column(name, kind))
        self._odd = {}
        self.monitor.forget_flags(("schema",))

    @property
    def keys(self) -> list[str]:
        """Key of each column, as events have it."""
        return self._names

    def positions(self) -> dict[str, int]:
        """Place of each column among the model's inputs."""
        return {column.name: place for place, column in enumerate(self.monitor.columns)}

    # -- rows ---------------------------------------------------------------------------------------------------

    def update(
        self, events: Sequence[PredictionEvent], offsets: Sequence[int], repeated: Sequence[bool]
    ) -> "BinnedRows":
        """Take a chunk; returns its rows, but for those of events that came before. repeated: whether each event's id did.

        An event that is sent again tells nothing new of the world: counted twice, or eight times, chance would look like change.
        """
        unknown = self._unknown(events, offsets)
        rows = self._rows(events, offsets)
        payload, is_first = self._repeats(rows)
        again = np.array(repeated, bool)
        duplicates = (is_first & self._are_whole(rows)) | again
        flags = np.stack([duplicates, unknown, self._backwards(rows)], axis=1)
        is_new = ~(payload & again)
        is_new[0] |= not is_new.any()
        if duplicates.any():
            rows = rows.take(is_new)
        binning = self.monitor.binning
        bins = self.monitor.update(rows, flags)
        return BinnedRows(rows, bins, binning, np.flatnonzero(is_new))

    def _rows(self, events: Sequence[PredictionEvent], offsets: Sequence[int]) -> Rows:
        columns, features = self.monitor.columns, [event.features for event in events]
        values, presence = encode_rows(columns, self._names, features)
        if presence.max(initial=0) == Presence.FOREIGN:
            for place in np.flatnonzero((presence == Presence.FOREIGN).any(axis=0)).tolist():
                raw = [row.get(self._names[place], ABSENT) for row in features]
                self._keep_foreign(columns[place].name, raw, presence[:, place], offsets)
        times_ms = np.array([event.timestamp_ms for event in events], np.int64)
        return Rows(values, presence, times_ms, np.array(offsets, np.int64))

    def _unknown(self, events: Sequence[PredictionEvent], offsets: Sequence[int]) -> Yes:
        """Whether events have a key which is no column; a column is made of it while the baseline is being learnt.

        A key that is null has not shown yet what it is: that is no news, neither now nor when it has its first value.
        """
        known = set(self._names)
        odd = [place for place, event in enumerate(events) if not event.features.keys() <= known]
        if odd and self._is_adopting():
            self._adopt([events[place].features for place in odd])
            known = set(self._names)
        odd = [place for place in odd if _has_unknown_value(events[place].features, known)]
        for place in odd:
            self._keep_odd(events[place].features, known, offsets[place])
        found = np.zeros(len(events), bool)
        found[odd] = True
        return found

    def _is_adopting(self) -> bool:
        """Whether the first baseline is not there yet."""
        self._has_baseline = self._has_baseline or self.monitor.baseline_seen >= self._settings.baseline_events
        return not self._has_baseline

    def _adopt(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """New keys, in the order they come, whose values tell a kind."""
        known = set(self._names)
        for name in dict.fromkeys(name for row in rows for name in row if name not in known):
            kind = infer_kind(row[name] for row in rows if name in row)
            if kind is not None and len(self._names) < self._settings.max_features:
                self._add(Column(name, kind))

    def _keep_odd(self, features: Mapping[str, Any], known: set[str], offset: int) -> None:
        for name in [name for name in features if name not in known]:
            if name in self._odd or len(self._odd) < _KEPT_KEYS:
                seen = self._odd.setdefault(name, [])
                seen.append((offset, _brief(features[name])))
                del seen[:-RETAINED_ROWS]

    def _keep_foreign(self, name: str, raw: Sequence[Any], presence: Any, offsets: Sequence[int]) -> None:
        seen = self._foreign.setdefault(name, [])
        seen += [
            (offsets[place], _brief(raw[place])) for place in np.flatnonzero(presence == Presence.FOREIGN).tolist()
        ]
        del seen[:-_KEPT_VALUES]

    def _repeats(self, rows: Rows) -> tuple[Yes, Yes]:
        """Whether each row's values and presences are those of one of the last rows, and whether that is news: (rows,) each.

        Cases of a group are alike, be it three or three hundred, and are no feed that comes twice: they repeat one payload.
        """
        found, is_first = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        if not rows.values.shape[1]:
            return found, is_first
        payloads = self._payloads
        values, presence = rows.values.tobytes(), rows.presence.tobytes()
        wide, narrow = len(values) // len(rows), len(presence) // len(rows)
        reach, first = self._reach(), self.monitor.rows_seen
        for place in range(len(rows)):
            digest = crc32(values[place * wide : (place + 1) * wide])
            digest = crc32(presence[place * narrow : (place + 1) * narrow], digest)
            seen, was_repeat = payloads.pop(digest, (first + place - reach - 1, False))
            if first + place - seen <= reach:
                is_next = 0 < seen - self._repeated_row <= _IN_ORDER
                found[place] = is_next or first + place - seen <= _NEAR_PAYLOADS
                is_first[place] = found[place] and not (was_repeat and first + place - seen <= _GROUP_ROWS)
                self._repeated_row = seen
            payloads[digest] = first + place, bool(found[place])
        for digest in list(payloads)[: max(len(payloads) - _PAYLOADS, 0)] if len(payloads) > 2 * _PAYLOADS else ():
            del payloads[digest]
        return found, is_first

    def _are_whole(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether rows have most of the values that nearly all rows of health have, (rows,): those of which little is there are
        alike, and yet nobody sent them twice.
        """
        there = rows.presence == Presence.PRESENT
        references = self.monitor.references
        usual = [one is not None and one.n >= _ALWAYS * one.rows > 0 for one in references]
        found: NDArray[np.bool_] = there.any(axis=1)
        if any(usual):
            found &= there[:, usual].mean(axis=1) >= _LEAST_THERE
        return found

    def _reach(self) -> int:
        """How many rows back equal payloads count as repeats."""
        known = [
            reference for reference in self.monitor.references if reference is not None and not reference.kind.is_coded
        ]
        is_telling = any(reference.n and reference.distinct >= _TELLING * reference.n for reference in known)
        return _PAYLOADS if is_telling else _NEAR_PAYLOADS

    def _backwards(self, rows: Rows) -> Yes:
        before = np.maximum.accumulate(np.append(self._latest_ms, rows.times_ms))
        self._latest_ms = int(before[-1])
        is_back: Yes = rows.times_ms < before[:-1]
        return is_back

    # -- pictures and state ---------------------------------------------------------------------------------------

    def schema(self, current: Rows) -> SchemaPicture:
        """Unknown keys and foreign values in the current rows."""
        if not len(current):
            return SchemaPicture()
        first, n = int(current.offsets[0]), len(current)
        recent = {name: [v for at, v in seen if at >= first] for name, seen in sorted(self._odd.items())}
        foreign = {name: tuple(v for at, v in seen if at >= first) for name, seen in sorted(self._foreign.items())}
        return SchemaPicture(
            {name: (min(len(v) / n, 1.0), tuple(v[-_KEPT_VALUES:])) for name, v in recent.items() if v},
            {name: values for name, values in foreign.items() if values},
        )

    def snapshot(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor.snapshot(),
            "names": self._names,
            "latest_ms": self._latest_ms,
            "seen_payloads": np.array([[digest, *seen] for digest, seen in self._payloads.items()], np.int64).reshape(
                -1, 3
            ),
            "repeated_row": self._repeated_row,
            "odd": {name: [list(pair) for pair in seen] for name, seen in self._odd.items()},
            "foreign": {name: [list(pair) for pair in seen] for name, seen in self._foreign.items()},
            "has_baseline": self._has_baseline,
        }

    @classmethod
    def restore(cls, settings: Settings, state: Mapping[str, Any], references: Mapping[str, Any]) -> "InputWatch":
        inputs = cls(settings)
        inputs.monitor = Monitor.restore(settings, FLAGS, state["monitor"], references, keeps_bins=True)
        inputs._names, inputs._latest_ms = list(state["names"]), state["latest_ms"]
        if "payloads" in state:  # states from before repeats of repeats were told apart: (2, payloads)
            known = np.vstack([state["payloads"], np.zeros_like(state["payloads"][:1])]).T
        else:
            known = state["seen_payloads"]
        inputs._payloads = {digest: (row, bool(was_repeat)) for digest, row, was_repeat in known.tolist()}
        inputs._repeated_row = state.get("repeated_row", -1)  # states from before it was kept
        inputs._odd = {name: [(at, value) for at, value in seen] for name, seen in state["odd"].items()}
        inputs._foreign = {name: [(at, value) for at, value in seen] for name, seen in state["foreign"].items()}
        inputs._has_baseline = state["has_baseline"]
        return inputs


def _has_unknown_value(features: Mapping[str, Any], known: set[str]) -> bool:
    return any(value is not None for name, value in features.items() if name not in known)


def _brief(value: Any) -> Any:
    """An odd value as it is kept: a record may hold a megabyte of it."""
    if isinstance(value, list):
        return value[:_KEPT_ENTRIES]
    return abridged(value) if isinstance(value, str) else value
