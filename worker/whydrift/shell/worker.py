"""The worker: records of the assigned partitions through their pipelines, and out again in transactions.

One loop in one thread. A turn is: poll · note what the group gave and took · process · restore a step · commit if it is time.
A commit is one transaction with diagnoses, rejected records, state and offsets; the steps are numbered in `_commit`.

What keeps it exact:
- Any error of the client: the producer is thrown away, never aborted and used again (kafka-python carries offsets of an aborted
  transaction into the next one); everything since the last commit is dropped; every partition is restored as after a crash.
- Processing is deterministic, so after a crash the state is that of the last snapshot plus the records up to the committed
  offset, processed again with their outputs, already published, thrown away.
- What a revoked partition had not committed is dropped: its next owner does it again. There is no commit on revocation, because
  when kafka-python tells of one the partition is already gone; the next owner re-reads at most `snapshot_interval_s` of input.

Belongs here: that order. Not here: client libraries, encoding of state, metrics.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from whydrift import __version__
from whydrift.core.records import Emit, Record, Reject
from whydrift.core.state import StateError
from whydrift.core.status import PartitionStatus
from whydrift.shell.changelog import Manifest
from whydrift.shell.clients import (
    Client,
    Consumer,
    GroupMetadata,
    KafkaClientError,
    KafkaSetupError,
    Message,
    Producer,
)
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.partition_task import PartitionTask
from whydrift.shell.pipelines import Pipelines
from whydrift.shell.push.listener import IncidentListener
from whydrift.shell.reject_limit import TooManyRejects
from whydrift.shell.restore import Restore
from whydrift.shell.sinks.kafka_topic import KafkaTopicSink
from whydrift.shell.topic_check import checked_partition_counts
from whydrift.shell.worker_status import Phase, WorkerStatus

OPERATOR_ERRORS = (KafkaSetupError, StateError, TooManyRejects)
"""What `run` ends with when somebody has to act; each says what to do. Anything else is a bug."""

POLL_S = 0.2
PROGRESS_S = 0.2
STATUS_S = 1.0
"""A picture of the partitions' progress and of the pipelines, for other threads, is taken at most this often."""
PICTURE_FRACTION = 0.02
"""... and the pipelines' so seldom that it takes at most this much of the loop's time: a model costs half a millisecond."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
"""Pauses between attempts after errors double from one to the other."""

log = structlog.get_logger(__name__)


class Worker:
    """`connect` makes the client when the worker starts; `clock_s` only decides when to commit and how old things are.

    `listeners` hear of incidents whose diagnoses are committed, and of partitions that come and go.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        pipelines: Pipelines,
        connect: Callable[[KafkaSettings], Client],
        clock_s: Callable[[], float] = time.monotonic,
        listeners: Sequence[IncidentListener] = (),
    ) -> None:
        self._settings = settings
        self._pipelines = pipelines
        self._connect = connect
        self._clock_s = clock_s
        self._listeners = listeners
        # Two processes must never share it; one that comes back under its static name ends the transaction it left open.
        self._transactional_id = f"{settings.group_id}-{settings.instance_id or uuid.uuid4().hex}"
        self._stopping = False
        self._tasks: dict[int, PartitionTask] = {}
        self._told: set[int] = set()
        """Partitions whose open incidents the listeners have heard of since they were restored."""
        self._restores: dict[int, Restore] = {}
        self._producer: Producer | None = None
        self._failures_in_a_row = 0
        self._paused_until_s = 0.0
        self._commit_due_s: float | None = None
        self._read_s: float | None = None
        """When the first record since the last commit was read."""
        self._status = WorkerStatus(settings.topics.events, running=False)
        self._rejects: Counter[str] = Counter()
        self._pictured: tuple[PartitionStatus, ...] = ()
        self._picture_due_s = float("-inf")
        self._progress_s = float("-inf")
        self._last_commit_s: float | None = None
        self._last_record_s = 0.0
        self._last_turn_s: float | None = None

    # --- for other threads

    def stop(self) -> None:
        """Finish the turn, commit with a snapshot, leave the group. May be called from any thread or signal handler, any time."""
        self._stopping = True

    def status(self) -> WorkerStatus:
        now_s = self._clock_s()
        age_s = None if self._last_commit_s is None else now_s - self._last_commit_s
        record_age_s = now_s - self._last_record_s if self._status.running else None
        turn_age_s = None if self._last_turn_s is None else now_s - self._last_turn_s
        return replace(self._status, commit_age_s=age_s, record_age_s=record_age_s, turn_age_s=turn_age_s)

    def pipelines_status(self) -> tuple[PartitionStatus, ...]:
        """As of about a second ago, longer with hundreds of models: the loop takes the picture between two turns."""
        return self._pictured

    # --- the loop

    def run(self) -> None:
        """Until `stop`. Raises one of OPERATOR_ERRORS when somebody has to act."""
        self._last_record_s = self._clock_s()
        self._client = self._connect(self._settings)
        try:
            self._counts = checked_partition_counts(self._client, self._settings)
            self._consumer: Consumer = self._client.consumer()
            self._status = replace(self._status, running=True)
            log.info("worker started", topic=self._settings.topics.events, group=self._settings.group_id)
            self._loop()
        except OPERATOR_ERRORS as error:
            self._status = replace(self._status, last_error=str(error))
            raise
        finally:
            self._status = replace(self._status, running=False)
            self._close()

    def _loop(self) -> None:
        while not self._stopping:
            self._last_turn_s = self._clock_s()
            try:
                self._turn()
            except KafkaClientError as error:
                self._start_over(error)
        try:
            self._commit_all()
        except KafkaClientError as error:
            # Nothing is lost: whoever comes next does it again.
            log.warning("the last commit failed", error=str(error))
        log.info("worker stopped")

    def _turn(self) -> None:
        records = self._poll(self._poll_timeout_s())
        begun_s = self._clock_s()
        # Taken right after the poll that gave these records: it says which generation they belong to.
        group = self._consumer.group_metadata()
        self._take_change()
        if self._clock_s() < self._paused_until_s:
            return
        if self._producer is None:
            # Before anything is restored: it ends the transaction its predecessor left open.
            self._producer = self._client.producer(self._transactional_id)
        self._process(records)
        self._restore_step()
        if self._is_commit_due():
            self._commit(group, forced_snapshot=False)
        self._picture()
        if records:
            took = self._status.turn_durations.with_one(self._clock_s() - begun_s)
            self._status = replace(self._status, turn_durations=took)

    def _poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        try:
            return self._consumer.poll(timeout_s)
        except KafkaClientError:
            self._replace_consumer()
            raise

    def _poll_timeout_s(self) -> float:
        if self._restores and self._clock_s() >= self._paused_until_s:
            return 0.0  # restoring waits for records itself
        if self._commit_due_s is None:
            return POLL_S
        return min(POLL_S, max(0.0, self._commit_due_s - self._clock_s()))

    def _take_change(self) -> None:
        change = self._consumer.take_change()
        if change.revoked or change.assigned:
            log.info("partitions changed", revoked=sorted(change.revoked), assigned=sorted(change.assigned))
            self._status = replace(self._status, rebalances=self._status.rebalances + 1)
        for partition in change.revoked:
            self._drop(partition)
        for partition in sorted(change.assigned):
            self._drop(partition)
            self._restores[partition] = self._new_restore(partition)
        if change.revoked or change.assigned:
            # Before `joined`: a worker that knew of no partitions yet would call itself ready for the rest of this turn.
            self._show_progress(self._clock_s())
        if change.joined and not self._status.joined:
            self._status = replace(self._status, joined=True)

    def _new_restore(self, partition: int) -> Restore:
        return Restore(self._client, self._pipelines, self._settings, partition, self._clock_s())

    def _drop(self, partition: int) -> None:
        if self._tasks.pop(partition, None) is not None:
            for listener in self._listeners:
                listener.revoked(partition)
        self._told.discard(partition)
        restore = self._restores.pop(partition, None)
        if restore is not None:
            restore.close()

    def _process(self, records: Mapping[int, Sequence[Record]]) -> None:
        begun_s = self._clock_s()
        for partition, batch in records.items():
            task = self._tasks.get(partition)
            if task is None:
                continue  # revoked since it was fetched
            task.process(batch)
            self._last_record_s = self._clock_s()
            if self._read_s is None:
                self._read_s = begun_s
            if self._commit_due_s is None:
                self._commit_due_s = self._last_record_s + self._settings.commit_interval_ms / 1000
        for partition, task in self._tasks.items():
            if task.phase is Phase.CATCHING_UP:
                task.caught_up_at(self._consumer.position(partition))
            if partition not in self._told and task.phase is Phase.RUNNING and not task.records:
                self._tell(partition, task)

    def _restore_step(self) -> None:
        """One partition at a time: each is ready sooner than if all shared the way."""
        partition = next(iter(self._restores), None)
        if partition is None:
            return
        restored = self._restores[partition].step(self._consumer, self._clock_s())
        if restored is None:
            return
        del self._restores[partition]
        self._tasks[partition] = restored.task
        where = restored.resume
        log.info(
            "partition restored",
            partition=partition,
            from_state=restored.from_state,
            read_from=where.read_from,
            publish_from=where.publish_from,
        )
        if where.remark is not None:
            log.warning("partition did not go on where it was", partition=partition, remark=where.remark)
        self._consumer.start_at(partition, where.read_from)

    # --- committing

    def _is_commit_due(self) -> bool:
        now_s = self._clock_s()
        if self._commit_due_s is not None and now_s >= self._commit_due_s:
            return True
        if sum(task.records for task in self._tasks.values()) >= self._settings.commit_records:
            return True
        return any(self._is_snapshot_due(task, now_s) for task in self._tasks.values())

    def _is_snapshot_due(self, task: PartitionTask, now_s: float) -> bool:
        # The first one comes at once: where a group started is then known, whatever happens next.
        last_s = task.last_snapshot_s
        return task.unsaved and (last_s is None or now_s - last_s >= self._settings.snapshot_interval_s)

    def _commit_all(self) -> None:
        self._take_change()
        if self._producer is not None and self._clock_s() >= self._paused_until_s:
            self._commit(self._consumer.group_metadata(), forced_snapshot=True)

    def _commit(self, group: GroupMetadata, *, forced_snapshot: bool) -> None:
        """One transaction. Raises KafkaClientError, after which everything starts over from the last commit."""
        begun_s = self._clock_s()
        self._commit_due_s = None
        read_s, self._read_s = self._read_s, None
        running = {number: task for number, task in self._tasks.items() if task.phase is Phase.RUNNING}
        saving = [
            number
            for number, task in running.items()
            if self._is_snapshot_due(task, begun_s) or (forced_snapshot and task.unsaved)
        ]
        changed = {number: task for number, task in running.items() if task.records or number in saving}
        if not changed or self._producer is None:
            return
        producer = self._producer
        # 1. Never with a poll in between.
        producer.begin()
        # 2. Diagnoses and rejected records, then state.
        sink = KafkaTopicSink(producer.send, producer.flush, self._settings.topics, self._counts, __version__)
        for task in changed.values():
            sink.write(task.outputs)
        manifests = {number: self._send_snapshot(producer, number) for number in saving}
        # 3. The broker has each of them, or we do not go on.
        sink.flush()
        # 4. The offsets, as the member that polled them: one that lost its partitions meanwhile is refused.
        producer.send_offsets({number: task.next_offset for number, task in changed.items()}, group)
        # 5. All or nothing.
        producer.commit()
        self._committed(changed, manifests, begun_s)
        if read_s is not None:
            delays = self._status.publication_delays.with_one(self._clock_s() - read_s)
            self._status = replace(self._status, publication_delays=delays)

    def _send_snapshot(self, producer: Producer, partition: int) -> Manifest:
        manifest, records = self._tasks[partition].snapshot()
        for key, value in records:
            producer.send(Message(self._settings.topics.state, partition, key, value))
        return manifest

    def _committed(self, tasks: Mapping[int, PartitionTask], manifests: Mapping[int, Manifest], begun_s: float) -> None:
        now_s = self._clock_s()
        self._count(tasks, len(manifests), now_s - begun_s)
        for number, task in tasks.items():
            if any(isinstance(output, Emit) for output in task.outputs) or number not in self._told:
                self._tell(number, task)
            task.committed()
            if number in manifests:
                task.saved(manifests[number], now_s)
        self._last_commit_s = now_s
        self._failures_in_a_row = 0
        slow = now_s - begun_s > self._settings.request_timeout_ms / 2000
        if self._producer is not None and (self._producer.doubtful or slow):
            # A delayed message of this transaction could act on the next one; a new producer fences it off.
            log.warning("producer replaced after a doubtful commit", duration_s=round(now_s - begun_s, 3))
            self._producer.discard()
            self._producer = None

    def _tell(self, partition: int, task: PartitionTask) -> None:
        """The pipeline has taken what is committed and no more: its incidents are those that the diagnoses tell of."""
        self._told.add(partition)
        said = tuple(output.diagnosis for output in task.outputs if isinstance(output, Emit))
        for listener in self._listeners:
            listener.heard(partition, task.pipeline.open_incidents(), said)

    def _count(self, tasks: Mapping[int, PartitionTask], snapshots: int, duration_s: float) -> None:
        outputs = [output for task in tasks.values() for output in task.outputs]
        rejects = [output for output in outputs if isinstance(output, Reject)]
        self._rejects.update(reject.reason.value for reject in rejects)
        before = self._status
        self._status = replace(
            before,
            records=before.records + sum(task.records for task in tasks.values()),
            diagnoses=before.diagnoses + sum(isinstance(output, Emit) for output in outputs),
            rejected=before.rejected + len(rejects),
            rejects_by_reason=dict(self._rejects),
            commits=before.commits + 1,
            snapshots=before.snapshots + snapshots,
            commit_durations=before.commit_durations.with_one(duration_s),
        )

    # --- after errors

    def _start_over(self, error: KafkaClientError) -> None:
        """As after a crash, without the crash: forget everything since the last commit, restore every partition."""
        self._failures_in_a_row += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures_in_a_row, 10))
        log.warning("starting over from the last commit", error=str(error), pause_s=pause_s)
        self._status = replace(
            self._status, failed_transactions=self._status.failed_transactions + 1, last_error=str(error)
        )
        self._paused_until_s = self._clock_s() + pause_s
        self._commit_due_s = None
        self._read_s = None
        if self._producer is not None:
            self._producer.discard()
            self._producer = None
        for partition in [*self._tasks, *self._restores]:
            self._drop(partition)
            self._consumer.hold(partition)
            self._restores[partition] = self._new_restore(partition)

    def _replace_consumer(self) -> None:
        """A consumer that failed in poll may fail for ever. A new one joins the group and is given partitions anew."""
        for partition in [*self._tasks, *self._restores]:
            self._drop(partition)
        self._close_consumer()
        self._consumer = self._client.consumer()

    # --- the end

    def _close(self) -> None:
        for partition in [*self._tasks, *self._restores]:
            self._drop(partition)
        if self._producer is not None:
            self._producer.discard()
            self._producer = None
        if hasattr(self, "_consumer"):
            self._close_consumer()
        self._client.close()

    def _close_consumer(self) -> None:
        try:
            self._consumer.close()
        except KafkaClientError as error:
            log.warning("leaving the group failed", error=str(error))

    def _picture(self) -> None:
        """What other threads may see, in values that never change again."""
        now_s = self._clock_s()
        if now_s - self._progress_s < PROGRESS_S:
            return
        self._show_progress(now_s)
        if now_s >= self._picture_due_s:
            self._pictured = tuple(task.pipeline.status() for _, task in sorted(self._tasks.items()))
            took_s = self._clock_s() - now_s
            self._picture_due_s = now_s + max(STATUS_S, took_s / PICTURE_FRACTION)

    def _show_progress(self, now_s: float) -> None:
        self._progress_s = now_s
        partitions = [
            task.progress(self._consumer.end(number), self._consumer.position(number))
            for number, task in self._tasks.items()
        ]
        partitions += [restore.progress() for restore in self._restores.values()]
        if not any(task.records for task in self._tasks.values()) and self._last_commit_s is not None:
            self._last_commit_s = now_s
        self._status = replace(self._status, partitions=tuple(sorted(partitions, key=lambda one: one.partition)))
