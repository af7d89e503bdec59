"""Makes references from healthy events: the pipeline's own learning, with detection switched off.

Memory is bounded: beyond LEARNT_ROWS rows of a model every other chunk is forgotten, again and again, so that what is kept spans
all of the input, night and day, and still consists of runs of consecutive events.

Belongs here: collecting, and what is said of events that are no good. Not here: the file (`profile`), how references are made
(`monitor`).
"""

from collections.abc import Sequence
from dataclasses import replace

from whydrift.core.decode import CommandEvent, PredictionEvent, Refusal, decode
from whydrift.core.model import ModelWatch
from whydrift.core.profile import Profile, ProfileError, write_profile
from whydrift.core.records import Record, Reject
from whydrift.core.settings import Settings
from whydrift.core.stream_time import StreamTime
from whydrift_schemas import RejectReason

LEARNT_ROWS = 20_000
"""Rows of one model that its reference is made from, at most twice as many while they are collected."""
LEAST_EVENTS = 100
"""Fewer predictions of a model make no reference."""
_NEVER = 2**60


class Profiler:
    """Feed it records, then ask for the file. `keep_sample`: whether the file may hold a bounded sample of rows."""

    def __init__(self, settings: Settings, *, keep_sample: bool = True) -> None:
        self._settings = settings
        self._collecting = replace(settings, first_stage_events=_NEVER, baseline_events=_NEVER)
        self._keep_sample = keep_sample
        self._models: dict[str, ModelWatch] = {}
        self._kept: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self._time = StreamTime(settings.max_ahead_ms)

    @property
    def models(self) -> dict[str, int]:
        """Predictions seen, by model."""
        return dict(self._events)

    def add(self, records: Sequence[Record]) -> list[Reject]:
        """Take records; returns those that are no events."""
        rejects = []
        for record in records:
            event = decode(record.value, self._settings)
            if isinstance(event, Refusal):
                rejects.append(Reject(record, event.reason, event.message))
            elif event.model_id not in self._models and len(self._models) >= self._settings.max_models:
                message = f"model_id: more than {self._settings.max_models:,} models (max_models) in one reference"
                rejects.append(Reject(record, RejectReason.TOO_MANY_MODELS, message))
            elif not isinstance(event, CommandEvent):
                self._time.observe(event.timestamp_ms, record.timestamp_ms)
                model = self._model(event.model_id)
                model.add(event, record.offset, self._time.now_ms or event.timestamp_ms)
                if isinstance(event, PredictionEvent):
                    self._count(event.model_id, model)
        return rejects

    def _model(self, model_id: str) -> ModelWatch:
        model = self._models.get(model_id)
        if model is None:
            model = self._models[model_id] = ModelWatch(self._collecting, 0, model_id)
        return model

    def _count(self, model_id: str, model: ModelWatch) -> None:
        self._events[model_id] = self._events.get(model_id, 0) + 1
        self._kept[model_id] = self._kept.get(model_id, 0) + 1
        if self._kept[model_id] >= 2 * LEARNT_ROWS:
            self._kept[model_id] //= 2
            model.thin_learning()

    def finish(self) -> bytes:
        """The reference file's content. Raises ProfileError where there is nothing to learn from."""
        ready = {m: model for m, model in self._models.items() if self._events.get(m, 0) >= LEAST_EVENTS}
        if not ready:
            most = max(self._events.values(), default=0)
            raise ProfileError(
                f"no model has {LEAST_EVENTS} predictions (the most is {most}): a reference needs some hundreds at least, "
                "better thousands, over all hours of a day"
            )
        stream_ms = self._time.now_ms or 0
        return write_profile({m: self._learn(model, stream_ms) for m, model in ready.items()})

    def too_few(self) -> dict[str, int]:
        """Models that get no reference, and how many predictions they had."""
        return {m: n for m in self._models if (n := self._events.get(m, 0)) < LEAST_EVENTS}

    def _learn(self, model: ModelWatch, stream_ms: int) -> Profile:
        model.finish(stream_ms, 0)
        return model.profile(keep_sample=self._keep_sample)
