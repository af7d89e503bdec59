"""The whole core for one partition: records in, diagnoses and rejects out.

Timers run on stream time, and the result depends on the records alone: not on how they were batched, nor on restarts between
them, nor on other partitions.

Belongs here: the way of a record, and the order in which timers run. Not here: what a model makes of its events (`model`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import Any

from whydrift.core.commands import NoSuchTarget, apply
from whydrift.core.decode import CommandEvent, Event, Refusal, decode
from whydrift.core.fleet import Fleet
from whydrift.core.graphs import IncidentGraphs
from whydrift.core.model import ModelWatch
from whydrift.core.profile import Profile
from whydrift.core.records import Emit, Output, Record, Reject
from whydrift.core.report import model_status
from whydrift.core.settings import Settings
from whydrift.core.state import StateError, pack, unpack
from whydrift.core.status import OpenIncident, PartitionStatus
from whydrift.core.stream_time import StreamTime
from whydrift.core.trailing import follow
from whydrift_schemas import Diagnosis, RejectReason


class Pipeline:
    """One partition's models. `profiles`: references by model id, for models that are first seen here."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partition: int,
        profiles: Mapping[str, Profile] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._partition = partition
        self._profiles = profiles
        self._time = StreamTime(settings.max_ahead_ms)
        self._models: dict[str, ModelWatch] = {}
        self._fleet = Fleet()
        self._due: list[tuple[int, str]] = []
        """When each model wants to be told the time: a heap. An entry that is not in `_due_of` any more is an old one."""
        self._due_of: dict[str, int] = {}
        self._records = 0
        self._next_offset: int | None = None
        self._rejects: Counter[str] = Counter()
        self._touched: set[str] = set()
        """Models that changed since their sections were last made."""
        self._sections: dict[str, bytes] = {}

    # -- records ----------------------------------------------------------------------------------------------------

    def process(self, records: Sequence[Record]) -> list[Output]:
        """Take records in order of offset; returns what is to be done, in order."""
        outputs: list[Output] = []
        for record in records:
            self._records += 1
            self._next_offset = record.offset + 1
            event = decode(record.value, self._settings)
            if type(event) is Refusal:
                outputs.append(self._reject(record, event.reason, event.message))
            else:
                self._take(event, record, outputs)  # type: ignore[arg-type]  # anything but a Refusal is an Event
        return outputs

    def finish(self) -> list[Output]:
        """The input has ended (a file's; a topic's never does): what is open is closed as if time had passed."""
        outputs: list[Output] = []
        now_ms, offset = self._time.now_ms, (self._next_offset or 1) - 1
        if now_ms is not None:
            for model_id, model in self._models.items():
                self._touched.add(model_id)
                outputs += _emits(offset, model.finish(now_ms, offset))
        return outputs

    def _take(self, event: Event, record: Record, outputs: list[Output]) -> None:
        offset, model_id = record.offset, event.model_id
        model = self._models.get(model_id)
        # A person's clock is no event time: commands do not move stream time.
        is_command = type(event) is CommandEvent
        if model is None:
            if is_command:
                outputs.append(self._reject(record, RejectReason.INVALID_VALUE, self._unknown(model_id)))
                return
            if len(self._models) >= self._settings.max_models:
                outputs.append(self._reject(record, RejectReason.TOO_MANY_MODELS, self._too_many(model_id)))
                return
            model = self._add_model(model_id)
        if not is_command and self._time.observe(event.timestamp_ms, record.timestamp_ms):
            self._run_timers(offset, outputs)
        self._touched.add(model_id)
        try:
            said = self._handle(model, event, offset)
        except NoSuchTarget as error:
            outputs.append(self._reject(record, RejectReason.INVALID_VALUE, str(error)))
            return
        if said:
            outputs += _emits(offset, said)
        if self._due_of.get(model_id) != model.due_ms:
            self._schedule(model_id, model)

    def _handle(self, model: ModelWatch, event: Event, offset: int) -> list[Diagnosis]:
        stream_ms = self._time.now_ms
        assert stream_ms is not None  # the model's first event has set it
        if type(event) is CommandEvent:
            return apply(model, event.command, model.moment(stream_ms, offset))
        return model.add(event, offset, stream_ms)  # type: ignore[arg-type]  # anything but a command

    def _add_model(self, model_id: str) -> ModelWatch:
        model = ModelWatch(self._settings, self._partition, model_id, self._profiles.get(model_id))
        self._adopt(model)
        return model

    def _adopt(self, model: ModelWatch) -> None:
        self._models[model.model_id] = model
        model.incidents.join_fleet(self._fleet)

    def _reject(self, record: Record, reason: RejectReason, message: str) -> Reject:
        self._rejects[reason.value] += 1
        return Reject(record, reason, message)

    def _unknown(self, model_id: str) -> str:
        return f"model_id: this partition has had no event of {model_id[:80]!r} yet; a command has the key of its model's events"

    def _too_many(self, model_id: str) -> str:
        return (
            f"model_id: {model_id[:80]!r} would be a further model; this partition follows {self._settings.max_models:,} "
            "(max_models) already: raise the setting, or spread models over more partitions"
        )

    # -- timers -----------------------------------------------------------------------------------------------------

    def _schedule(self, model_id: str, model: ModelWatch) -> None:
        self._due_of[model_id] = model.due_ms
        heappush(self._due, (model.due_ms, model_id))

    def _run_timers(self, offset: int, outputs: list[Output]) -> None:
        """Tell every model that waits for it the time, in the order of their due times."""
        now_ms, due = self._time.now_ms, self._due
        assert now_ms is not None  # it has just moved
        while due and due[0][0] <= now_ms:
            due_ms, model_id = heappop(due)
            if self._due_of.get(model_id) != due_ms:
                continue
            del self._due_of[model_id]
            model = self._models[model_id]
            self._touched.add(model_id)
            outputs += _emits(offset, model.advance(now_ms, offset))
            outputs += _emits(offset, follow(model, model.moment(now_ms, offset)))
            # Whatever a model says: one that is due again at once would hold up everybody for ever.
            model.due_ms = max(model.due_ms, now_ms + 1)
            self._schedule(model_id, model)

    # -- pictures and state -----------------------------------------------------------------------------------------

    def status(self) -> PartitionStatus:
        """A picture for metrics and health endpoints; changes nothing."""
        return PartitionStatus(
            topic=self._topic,
            partition=self._partition,
            next_offset=self._next_offset,
            stream_time_ms=self._time.now_ms,
            records=self._records,
            rejects=dict(self._rejects),
            models=tuple(model_status(model) for model in self._models.values()),
        )

    def open_incidents(self) -> tuple[OpenIncident, ...]:
        """Of all models; changes nothing, and costs nothing where all is well."""
        return tuple(one for model in self._models.values() for one in model.incidents.published())

    def drawn(self, model_ids: Iterable[str]) -> dict[str, IncidentGraphs]:
        """What is drawn of the incidents of these models, by incident id; changes nothing."""
        models = [self._models[model_id] for model_id in model_ids if model_id in self._models]
        return {key: graphs for model in models for key, graphs in model.incidents.drawn().items()}

    def snapshot(self) -> dict[str, bytes]:
        """The whole state in named sections; equal states give equal bytes."""
        self._sections["partition"] = pack("partition", self._own_state())
        for model_id in self._touched:
            model = self._models[model_id]
            self._sections[f"model/{model_id}"] = pack("model", model.snapshot())
            self._sections[f"references/{model_id}"] = pack("references", model.snapshot_references())
        self._touched = set()
        return dict(self._sections)

    def _own_state(self) -> dict[str, Any]:
        return {
            "time": self._time.snapshot(),
            "models": list(self._models),
            "records": self._records,
            "next_offset": self._next_offset,
            "rejects": dict(self._rejects),
            "due": [list(entry) for entry in sorted((due_ms, model_id) for model_id, due_ms in self._due_of.items())],
        }

    @classmethod
    def restore(
        cls,
        settings: Settings,
        topic: str,
        partition: int,
        profiles: Mapping[str, Profile],
        sections: Mapping[str, bytes],
    ) -> "Pipeline":
        """Go on from a snapshot, exactly. Raises StateError where sections are missing, damaged or newer than this build."""
        pipeline = cls(settings, topic, partition, profiles)
        try:
            pipeline._restore(sections)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise StateError(f"the state of partition {partition} is damaged: {error!r}") from error
        pipeline._sections = dict(sections)
        return pipeline

    def _restore(self, sections: Mapping[str, bytes]) -> None:
        state = unpack("partition", sections["partition"])
        self._time = StreamTime.restore(self._settings.max_ahead_ms, state["time"])
        self._records, self._next_offset = state["records"], state["next_offset"]
        self._rejects = Counter(state["rejects"])
        for model_id in state["models"]:
            mine = unpack("model", sections[f"model/{model_id}"])
            references = unpack("references", sections[f"references/{model_id}"])
            self._adopt(ModelWatch.restore(self._settings, self._partition, model_id, mine, references))
        self._due = [(due_ms, model_id) for due_ms, model_id in state["due"]]
        self._due_of = {model_id: due_ms for due_ms, model_id in self._due}


def _emits(offset: int, said: Sequence[Diagnosis]) -> list[Emit]:
    return [Emit(offset, diagnosis) for diagnosis in said]
