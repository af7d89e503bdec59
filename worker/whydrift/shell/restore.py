"""Getting a newly assigned partition ready: read its state, find where to go on, make its pipeline. A step at a time.

The steps are short so that the worker's loop keeps polling meanwhile; a time-out bounds them all. Order matters: first the
state is read to the end that includes open transactions, which waits for a previous owner's last commit; only then is the
committed offset asked for.
Belongs here: those steps. Not here: the decision itself (`resume`), the encoding (`changelog`).
"""

from dataclasses import dataclass

from whydrift.shell.changelog import Origin, StoredState
from whydrift.shell.clients import Client, Consumer, KafkaSetupError, PartitionReader
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.partition_task import PartitionTask
from whydrift.shell.pipelines import Pipelines
from whydrift.shell.resume import Offsets, Resume, resume
from whydrift.shell.worker_status import PartitionProgress, Phase

READ_S = 0.05
"""A step reads for this long at most."""


@dataclass(frozen=True, slots=True)
class Restored:
    task: PartitionTask
    resume: Resume
    from_state: bool


class Restore:
    """Of one partition; made when it is assigned, at `now_s`."""

    def __init__(
        self, client: Client, pipelines: Pipelines, settings: KafkaSettings, partition: int, now_s: float
    ) -> None:
        self._client = client
        self._pipelines = pipelines
        self._settings = settings
        self._partition = partition
        self._deadline_s = now_s + settings.restore_timeout_s
        self._origin = Origin(settings.topics.events, settings.group_id, partition)
        self._state = StoredState(self._origin)
        self._reader: PartitionReader | None = None

    def step(self, consumer: Consumer, now_s: float) -> Restored | None:
        """None: not there yet. Raises KafkaClientError, StateError, or KafkaSetupError when the time is up."""
        if self._reader is None:
            self._reader = self._client.reader(self._settings.topics.state, self._partition)
        for record in self._reader.read(READ_S):
            self._state.add(record)
        if self._reader.done:
            self.close()
            return self._finish(consumer)
        if now_s > self._deadline_s:
            raise KafkaSetupError(
                f"the state of partition {self._partition} was not read within {self._settings.restore_timeout_s} s "
                f"({self._reader.fraction:.0%} of {self._settings.topics.state}): raise restore_timeout_s, or see whether a "
                "transaction on that topic hangs"
            )
        return None

    def _finish(self, consumer: Consumer) -> Restored:
        manifest = self._state.manifest()
        committed = consumer.committed(self._partition)
        begin, end = self._client.offsets(self._settings.topics.events, self._partition)
        offsets = Offsets(None if manifest is None else manifest.next_offset, committed, begin, end)
        where = resume(offsets, self._settings.start_from)
        if manifest is None:
            pipeline = self._pipelines.create(self._partition)
        else:
            pipeline = self._pipelines.restore(self._partition, self._state.sections(manifest))
        task = PartitionTask(self._origin, pipeline, where, manifest, self._settings.reject_limits)
        return Restored(task, where, manifest is not None)

    def progress(self) -> PartitionProgress:
        fraction = 0.0 if self._reader is None else self._reader.fraction
        return PartitionProgress(self._partition, Phase.RESTORING, None, None, fraction / 2)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
