"""What divides a model's traffic: its segments, and the replica and version that answered.

The mix of segments is monitored, as a column `segment.<key>` each; replicas and versions come and go with every release, so they
are only kept beside the rows, for a fault that follows one of them.

Belongs here: from prediction events to those columns. Not here: looking for the slice that carries a fault (`faults`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whydrift.core.columns import Column, Floats, Kind, Rows, column_of, column_state, encode_column, encode_rows
from whydrift.core.decode import PredictionEvent
from whydrift.core.learning import MonitorProfile
from whydrift.core.monitor import Monitor
from whydrift.core.retained import Retained
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect

SEGMENT = "segment."
"""Begins the names of segment columns; no feature's column begins so."""
MAX_SEGMENT_KEYS = 8
"""Keys of segments followed, those seen first."""
WIDTH: int = 2 + MAX_SEGMENT_KEYS
"""Dimensions of a row at most: replica, version, segments."""
_ASPECTS = frozenset((Aspect.UNSEEN,))


class DimensionWatch:
    """Segments, replica and version of each row."""

    def __init__(
        self, settings: Settings, segments: MonitorProfile | None = None, who: MonitorProfile | None = None
    ) -> None:
        self._keys: list[str] = []
        self._aspects: dict[str, frozenset[Aspect]] = {}
        self.segments = Monitor(settings, [], aspects=self._aspects)
        self._who = [Column(name, Kind.CATEGORICAL) for name in ("replica", "version")]
        self._kept = Retained(None if who is None or not len(who.sample) else who.sample)
        if who is not None and who.columns:
            self._who = [Column(column.name, column.kind, dict(column.codes)) for column in who.columns]
        if segments is not None and segments.columns:
            self._keys = [column.name.removeprefix(SEGMENT) for column in segments.columns]
            self._aspects.update((column.name, _ASPECTS) for column in segments.columns)
            self.segments.install(segments)

    @property
    def columns(self) -> list[Column]:
        """Replica, version, then the segments."""
        return [*self._who, *self.segments.columns]

    def update(self, events: Sequence[PredictionEvent], rows: Rows, *, is_healthy: bool) -> Floats:
        """Take a chunk; returns its codes, (rows, WIDTH), in the order of `columns`, NaN where there is none.

        rows: the inputs of these events. is_healthy: they are being learnt from.
        """
        who = np.empty((len(events), 2))
        named: list[list[str | None]] = [[e.replica for e in events], [e.model_version for e in events]]
        for place, (column, names) in enumerate(zip(self._who, named, strict=True)):
            # Mostly all rows have the same, or none has any.
            same = names.count(names[0]) == len(names)
            who[:, place] = encode_column(column, names[:1] if same else names)[0]
        self._kept.add(who, rows.times_ms, rows.offsets, is_healthy=is_healthy)
        codes = np.full((len(events), WIDTH), np.nan)
        codes[:, :2] = who
        self._adopt(events)
        if self._keys:
            segments = [event.segment or {} for event in events]
            values, presence = encode_rows(self.segments.columns, self._keys, segments)
            self.segments.update(Rows(values, presence, rows.times_ms, rows.offsets))
            codes[:, 2 : 2 + len(self._keys)] = values
        return codes

    def _adopt(self, events: Sequence[PredictionEvent]) -> None:
        """New keys, in the order they come."""
        known = set(self._keys)
        for event in events:
            for key in () if event.segment is None or event.segment.keys() <= known else event.segment:
                if key not in known and len(self._keys) < MAX_SEGMENT_KEYS:
                    known.add(key)
                    self._keys.append(key)
                    self._aspects[SEGMENT + key] = _ASPECTS
                    self.segments.add_column(Column(SEGMENT + key, Kind.CATEGORICAL))

    def recent(self) -> Rows:
        """Replica and version of the latest rows."""
        return self._kept.recent(2)

    def sample(self) -> Rows:
        """Replica and version of rows of health."""
        return self._kept.sample(2)

    # -- profile and state ------------------------------------------------------------------------------------------

    def profile(self, *, keep_sample: bool) -> tuple[MonitorProfile, MonitorProfile]:
        """Segments; replica and version, of which there are no references."""
        if not keep_sample:
            return self.segments.profile(keep_sample=False), MonitorProfile((), {}, Rows.concat([], 0))
        return self.segments.profile(keep_sample=True), MonitorProfile(tuple(self._who), {}, self._kept.sample(2))

    def snapshot(self) -> dict[str, Any]:
        return {
            "segments": self.segments.snapshot(),
            "who": [column_state(column) for column in self._who],
            "kept": self._kept.snapshot(2),
        }

    @classmethod
    def restore(cls, settings: Settings, state: Mapping[str, Any], references: Mapping[str, Any]) -> "DimensionWatch":
        watch = cls(settings)
        names = [column[0] for column in state["segments"]["columns"]]
        watch._keys = [name.removeprefix(SEGMENT) for name in names]
        watch._aspects.update((name, _ASPECTS) for name in names)
        watch.segments = Monitor.restore(settings, (), state["segments"], references, aspects=watch._aspects)
        watch._who = [column_of(column) for column in state["who"]]
        watch._kept = Retained.restore(state["kept"])
        return watch
