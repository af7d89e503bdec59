"""The worker on each client: what it publishes, and that nothing is lost or repeated when something goes wrong."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
from kafka import KafkaProducer

from whydrift.core.state import StateError
from whydrift.shell.clients import Client, GroupMetadata, KafkaClientError, KafkaSetupError, Message, Producer
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import KafkaSettings, RejectLimits
from whydrift.shell.pipelines import Pipelines
from whydrift.shell.reject_limit import TooManyRejects
from whydrift.shell.worker import Worker
from whydrift.shell.worker_status import Phase

from .conftest import DEADLINE_S, Cluster, until
from .counting import CountingPipelines, expected

Connect = Callable[[KafkaSettings], Client]


class Running:
    """A worker in a thread, as its process would run it."""

    def __init__(
        self, cluster: Cluster, settings: KafkaSettings, pipelines: Pipelines, connect: Connect | None = None
    ) -> None:
        self.worker = Worker(settings, pipelines, connect or cluster.client)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            self.error = error

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def so() -> bool:
            if self.error is not None:
                raise self.error
            self._thread.join(0.02)
            return condition()

        until(so, what)

    def until_ready(self) -> None:
        self.until(lambda: self.worker.status().ready and bool(self.worker.status().partitions), "ready")

    def until_records(self, count: int) -> None:
        self.until(lambda: self.worker.status().records >= count, f"{count} records committed")

    def ended(self) -> BaseException | None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.error

    def stop(self) -> None:
        self.worker.stop()
        error = self.ended()
        if error is not None:
            raise error


@contextmanager
def running(
    cluster: Cluster,
    settings: KafkaSettings | None = None,
    pipelines: Pipelines | None = None,
    connect: Connect | None = None,
) -> Iterator[Running]:
    made = Running(cluster, settings or cluster.settings, pipelines or CountingPipelines(), connect)
    try:
        yield made
    finally:
        made.worker.stop()
        made.ended()


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]


def diagnoses(cluster: Cluster, partitions: int = 1) -> list[bytes | None]:
    topic = cluster.settings.topics.diagnoses
    return [record.value for partition in range(partitions) for record in cluster.read(topic, partition)]


def events(cluster: Cluster, partition: int = 0) -> list[tuple[int, bytes]]:
    records = cluster.read(cluster.settings.topics.events, partition)
    return [(record.offset, record.value or b"") for record in records]


def wanted(cluster: Cluster, partition: int = 0) -> list[bytes]:
    return expected(events(cluster, partition), partition)


def test_diagnoses_rejects_and_state_are_published_and_offsets_committed(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    cluster.send(topics.events, [*numbers(0, 10), b"bad", *numbers(10, 20)])
    with running(cluster) as one:
        one.until_records(21)
        status = one.worker.status()
        one.stop()
    assert diagnoses(cluster) == wanted(cluster)
    assert (status.diagnoses, status.rejected, sum(status.rejects_by_reason.values())) == (6, 1, 1)
    assert cluster.read(topics.state), "state was written"
    assert one.worker.status().running is False


def test_a_rejected_record_keeps_key_value_and_headers_and_says_where_it_came_from_and_why(cluster: Cluster) -> None:
    cluster.create(2)
    topics = cluster.settings.topics
    producer = cluster.admin.producer("bad-one")
    producer.begin()
    producer.send(Message(topics.events, 1, b"the key", b"\xff bad", (("trace", b"1"),)))
    producer.flush()
    producer.commit()
    producer.discard()
    with running(cluster) as one:
        one.until_records(1)
    (record,) = cluster.read(topics.rejected, 1)
    headers = dict(record.headers)
    assert (record.key, record.value, headers["trace"]) == (b"the key", b"\xff bad", b"1")
    assert headers["whydrift.topic"] == topics.events.encode()
    assert (headers["whydrift.partition"], headers["whydrift.offset"]) == (b"1", b"0")
    assert {"whydrift.reason", "whydrift.message", "whydrift.version"} <= headers.keys()


def test_a_stopped_worker_goes_on_exactly_where_it_was(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    cluster.send(topics.events, numbers(0, 50))
    with running(cluster) as first:
        first.until_records(50)
    cluster.send(topics.events, numbers(50, 100))
    with running(cluster) as second:
        second.until_records(50)
        assert second.worker.status().records == 50, "nothing was processed twice as new"
    assert diagnoses(cluster) == wanted(cluster)


class Crash(BaseException):
    """Ends a worker on the spot: nothing is committed, no snapshot is taken."""


class Faulty:
    """A client whose producers fail at the n-th call of a method: `fault` is raised instead of the call, or after it."""

    def __init__(self, inner: Client, method: str, nth: int, fault: BaseException, *, after: bool = False) -> None:
        self._inner = inner
        self._method, self._left, self._fault, self._after = method, nth, fault, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def producer(self, transactional_id: str) -> Producer:
        return FaultyProducer(self, self._inner.producer(transactional_id))

    def call(self, name: str, call: Callable[[], None]) -> None:
        fails = False
        if name == self._method:
            self._left -= 1
            fails = self._left == 0
        if not fails or self._after:
            call()
        if fails:
            raise self._fault


class FaultyProducer:
    def __init__(self, owner: Faulty, inner: Producer) -> None:
        self._owner, self._inner = owner, inner

    @property
    def doubtful(self) -> bool:
        return self._inner.doubtful

    def begin(self) -> None:
        self._owner.call("begin", self._inner.begin)

    def send(self, message: Message) -> None:
        self._owner.call("send", lambda: self._inner.send(message))

    def flush(self) -> None:
        self._owner.call("flush", self._inner.flush)

    def send_offsets(self, offsets: Mapping[int, int], group: GroupMetadata) -> None:
        self._owner.call("send_offsets", lambda: self._inner.send_offsets(offsets, group))

    def commit(self) -> None:
        self._owner.call("commit", self._inner.commit)

    def discard(self) -> None:
        self._inner.discard()


def faulty(cluster: Cluster, method: str, nth: int, fault: BaseException, *, after: bool = False) -> Connect:
    return lambda settings: Faulty(cluster.client(settings), method, nth, fault, after=after)  # type: ignore[return-value]


# An error after `commit` is the worst: it is committed, and the worker does not know.
@pytest.mark.parametrize(
    ("method", "after"),
    [("send", False), ("flush", False), ("send_offsets", True), ("commit", False), ("commit", True)],
)
def test_a_failed_transaction_repeats_nothing_and_loses_nothing(cluster: Cluster, method: str, after: bool) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    settings = replace(cluster.settings, max_poll_records=20, commit_records=20)
    cluster.send(topics.events, numbers(0, 100))
    fault = KafkaClientError("broken on purpose")
    with running(cluster, settings, connect=faulty(cluster, method, 3, fault, after=after)) as one:
        one.until(lambda: one.worker.status().failed_transactions == 1, "the failure")
        cluster.send(topics.events, numbers(100, 130))
        one.until(lambda: committed_up_to_the_end(cluster, one), "all processed")
    assert one.worker.status().last_error == "broken on purpose"
    assert diagnoses(cluster) == wanted(cluster)


def committed_up_to_the_end(cluster: Cluster, one: Running) -> bool:
    status = one.worker.status()
    last = events(cluster)[-1][0]
    return status.ready and bool(status.partitions) and (status.partitions[0].next_offset or 0) > last


@pytest.mark.parametrize(("method", "after"), [("send", False), ("commit", False), ("commit", True)])
def test_a_worker_that_died_in_a_transaction_is_followed_as_if_nothing_had_happened(
    cluster: Cluster, method: str, after: bool
) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    # A static name, so that the next run ends the open transaction at once.
    settings = replace(
        cluster.settings, instance_id="one", max_poll_records=20, commit_records=20, snapshot_interval_s=1_000.0
    )
    cluster.send(topics.events, numbers(0, 100))
    with running(cluster, settings, connect=faulty(cluster, method, 4, Crash(), after=after)) as first:
        assert isinstance(first.ended(), Crash)
    with running(cluster, settings) as second:
        second.until(lambda: committed_up_to_the_end(cluster, second), "all processed")
        second.stop()
    assert diagnoses(cluster) == wanted(cluster)


def test_of_two_workers_with_one_identity_the_earlier_ends_and_says_so_and_nothing_is_lost(
    real_cluster: Cluster,
) -> None:
    real_cluster.create(1)
    settings = replace(real_cluster.settings, instance_id="one")
    real_cluster.send(real_cluster.settings.topics.events, numbers(0, 40))
    with running(real_cluster, settings) as first:
        first.until_records(40)
        with running(real_cluster, settings) as second:
            second.until(lambda: second.worker.status().ready and bool(owned(second)), "the later one at work")
            real_cluster.send(real_cluster.settings.topics.events, numbers(40, 100))
            assert isinstance(first.ended(), KafkaSetupError)
            second.until(lambda: committed_up_to_the_end(real_cluster, second), "all processed")
            second.stop()
    assert diagnoses(real_cluster) == wanted(real_cluster)


def test_state_larger_than_a_record_is_split_and_restored(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    # Incompressible and without a period: three parts of the section.
    ballast = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(70_000))
    pipelines = CountingPipelines(ballast=ballast)
    cluster.send(topics.events, numbers(0, 30))
    with running(cluster, pipelines=pipelines) as first:
        first.until_records(30)
    parts = [record for record in cluster.read(topics.state) if b"ballast" in (record.key or b"")]
    assert len(parts) == 3
    assert max(len(record.value or b"") for record in parts) < 900_000
    cluster.send(topics.events, numbers(30, 60))
    with running(cluster, pipelines=pipelines) as second:
        second.until_records(30)
    assert diagnoses(cluster) == wanted(cluster)
    parts = [record for record in cluster.read(topics.state) if b"ballast" in (record.key or b"")]
    assert len(parts) == 3, "what did not change was not written again"


def test_two_workers_share_the_partitions_and_a_third_of_them_changes_hands_without_a_trace(cluster: Cluster) -> None:
    cluster.create(3)
    topics = cluster.settings.topics
    for partition in range(3):
        cluster.send(topics.events, numbers(0, 40), partition)
    with running(cluster) as first:
        first.until_records(120)
        with running(cluster) as second:
            both = (first, second)
            second.until(lambda: all(one.worker.status().ready for one in both) and bool(owned(second)), "both ready")
            second.until(lambda: len(owned(first)) + len(owned(second)) == 3, "shared out")
            for partition in range(3):
                cluster.send(topics.events, numbers(40, 80), partition)
            second.until(lambda: sum(one.worker.status().records for one in both) == 240, "all processed")
        first.until(lambda: len(owned(first)) == 3 and first.worker.status().ready, "all given back")
        for partition in range(3):
            cluster.send(topics.events, numbers(80, 100), partition)
        first.until(lambda: sum(one.worker.status().records for one in both) == 300, "all processed")
    found = sorted(value or b"" for value in diagnoses(cluster, 3))
    assert found == sorted(value for partition in range(3) for value in wanted(cluster, partition))


def owned(one: Running) -> set[int]:
    return {progress.partition for progress in one.worker.status().partitions}


def test_a_group_that_starts_at_the_latest_offset_loses_nothing_that_comes_afterwards(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    settings = replace(cluster.settings, start_from="latest")
    cluster.send(topics.events, numbers(0, 10))
    with running(cluster, settings) as first:
        first.until_ready()
        first.until(lambda: first.worker.status().commits == 1, "the start is committed")
    cluster.send(topics.events, numbers(10, 20))
    with running(cluster, settings) as second:
        second.until_records(10)
    assert diagnoses(cluster) == expected(events(cluster)[10:])


def test_without_its_state_a_worker_rebuilds_it_from_the_events_and_publishes_nothing_twice(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    cluster.send(topics.events, numbers(0, 50))
    with running(cluster) as first:
        first.until_records(50)
    new_state = replace(topics, state=f"{topics.state}-new")
    cluster.admin.create_topic(new_state.state, 1, 1, {})
    cluster.send(topics.events, numbers(50, 100))
    with running(cluster, replace(cluster.settings, topics=new_state)) as second:
        second.until_records(50)
    assert diagnoses(cluster) == wanted(cluster)


def test_too_many_rejects_stop_the_worker_and_the_topic_is_not_drained(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    settings = replace(cluster.settings, reject_limits=RejectLimits(in_a_row=20))
    cluster.send(topics.events, [*numbers(0, 5), *[b"bad"] * 500])
    with running(cluster, settings) as one:
        error = one.ended()
    assert isinstance(error, TooManyRejects)
    assert "20 records in a row were rejected" in str(error)
    assert one.worker.status().last_error == str(error)
    assert len(cluster.read(topics.rejected)) < 20


def test_state_of_another_group_is_refused(cluster: Cluster) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, numbers(0, 10))
    with running(cluster) as first:
        first.until_records(10)
    with running(cluster, replace(cluster.settings, group_id="another")) as second:
        error = second.ended()
    assert isinstance(error, StateError)
    assert "the state of another worker" in str(error)


def test_a_missing_topic_is_named_with_the_command_that_makes_it(cluster: Cluster) -> None:
    cluster.create(2)
    topics = replace(cluster.settings.topics, state="not-there")
    with running(cluster, replace(cluster.settings, topics=topics)) as one:
        error = one.ended()
    assert isinstance(error, KafkaSetupError)
    assert "not-there does not exist" in str(error)
    assert "run `whydrift topics`" in str(error)
    size = "--partitions 2 --replication-factor 1 --config cleanup.policy=compact`"
    assert f"{cluster.settings.bootstrap_servers} --create --topic not-there {size}" in str(error)


def test_missing_topics_are_created_when_asked_for(cluster: Cluster) -> None:
    settings = replace(cluster.settings, create_topics=True, new_topic_partitions=3)
    with running(cluster, settings) as one:
        one.until_ready()
    topics = cluster.settings.topics
    names = (topics.events, topics.diagnoses, topics.rejected, topics.state)
    assert cluster.admin.partition_counts(names) == dict.fromkeys(names, 3)


def test_a_state_topic_with_another_partition_count_is_refused(cluster: Cluster) -> None:
    cluster.create(3)
    topics = replace(cluster.settings.topics, state=f"{cluster.settings.topics.state}-small")
    cluster.admin.create_topic(topics.state, 2, 1, {})
    with running(cluster, replace(cluster.settings, topics=topics)) as one:
        error = one.ended()
    assert isinstance(error, KafkaSetupError)
    assert f"{topics.state} has 2 partitions and {topics.events} has 3" in str(error)
    assert f"kafka-topics --alter --topic {topics.state} --partitions 3" in str(error)


def test_a_worker_with_nothing_to_do_is_ready_and_stops_cleanly(cluster: Cluster) -> None:
    cluster.create(1)
    with running(cluster) as first:
        first.until_ready()
        with running(cluster) as spare:
            spare.until(lambda: len(owned(first)) + len(owned(spare)) == 1, "one has it")
            spare.until(lambda: first.worker.status().ready and spare.worker.status().ready, "both ready")
            spare.stop()
        first.stop()


def test_lag_is_known_and_falls_to_nothing_once_all_is_processed(cluster: Cluster) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, numbers(0, 30))
    assert not Worker(cluster.settings, CountingPipelines(), cluster.client).status().ready, "it was not started"
    with running(cluster) as one:
        one.until_records(30)
        one.until(lambda: one.worker.status().partitions[0].next_offset == 30, "the picture is of the end")
        status, (pipeline,) = one.worker.status(), one.worker.pipelines_status()
    (partition,) = status.partitions
    # librdkafka counts the transaction marker behind the last record.
    assert partition.lag in (0, 1)
    assert (partition.phase, partition.restored_fraction, status.ready) == (Phase.RUNNING, 1.0, True)
    assert pipeline.partition == 0
    assert sum(status.commit_durations.counts) == status.commits
    assert status.record_age_s is not None
    assert one.worker.status().record_age_s is None, "a worker that does not run waits for nothing"


def test_a_newer_state_version_stops_the_worker_and_is_left_as_it_is(cluster: Cluster) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    manifest = b'{"version":2,"topic":"?"}'
    producer = cluster.admin.producer("the-newer-one")
    producer.begin()
    producer.send(Message(topics.state, 0, b'{"manifest":true,"partition":0}', manifest))
    producer.flush()
    producer.commit()
    producer.discard()
    with running(cluster) as one:
        error = one.ended()
    assert isinstance(error, StateError)
    assert "has version 2; this whydrift reads [1]: run the version that wrote it, or a newer one" in str(error)
    assert [record.value for record in cluster.read(topics.state)] == [manifest]


def test_state_that_cannot_be_read_in_time_stops_the_worker(real_cluster: Cluster) -> None:
    real_cluster.create(1)
    topics = real_cluster.settings.topics
    hanging = real_cluster.admin.producer("hanging")
    hanging.begin()
    hanging.send(Message(topics.state, 0, b'{"manifest":true,"partition":0}', None))
    hanging.flush()
    with running(real_cluster, replace(real_cluster.settings, restore_timeout_s=0.5)) as one:
        error = one.ended()
    hanging.discard()
    assert isinstance(error, KafkaSetupError)
    assert "the state of partition 0 was not read within 0.5 s" in str(error)


def test_a_worker_waits_for_a_transaction_that_is_about_to_change_its_offsets(real_cluster: Cluster) -> None:
    """The previous owner died between its offsets and its commit: the broker ends that transaction, and only then we go on."""
    real_cluster.create(1)
    topics = real_cluster.settings.topics
    settings = replace(
        real_cluster.settings,
        transaction_timeout_ms=5_000,
        request_timeout_ms=2_000,
        max_poll_records=20,
        commit_records=20,
    )
    real_cluster.send(topics.events, numbers(0, 100))
    with running(real_cluster, settings, connect=faulty(real_cluster, "send_offsets", 3, Crash(), after=True)) as first:
        assert isinstance(first.ended(), Crash)
    with running(real_cluster, settings) as second:
        second.until(lambda: committed_up_to_the_end(real_cluster, second), "all processed")
        second.stop()
    assert diagnoses(real_cluster) == wanted(real_cluster)


def test_an_unreachable_broker_ends_the_worker_with_a_clear_error(name: str, closed_port: int) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{closed_port}", group_id=name, request_timeout_ms=600)
    with pytest.raises(KafkaSetupError, match="no broker answered"):
        Worker(settings, CountingPipelines(), connect).run()


def test_a_record_far_beyond_the_usual_limit_is_rejected_with_its_beginning_and_its_origin(
    real_cluster: Cluster,
) -> None:
    topics = real_cluster.settings.topics
    real_cluster.admin.create_topic(topics.events, 1, 1, {"max.message.bytes": "8000000"})
    real_cluster.create(1)
    producer = KafkaProducer(bootstrap_servers=real_cluster.settings.bootstrap_servers, max_request_size=8_000_000)
    for value in (b"1", b"x" * 6_000_000, b"2", b"3"):
        producer.send(topics.events, value, partition=0).get(DEADLINE_S)
    producer.close()
    with running(real_cluster) as one:
        one.until_records(4)
    (record,) = real_cluster.read(topics.rejected)
    assert record.value == b"x" * len(record.value or b"")
    assert 800_000 < len(record.value) < 1_000_000
    headers = dict(record.headers)
    assert (headers["whydrift.offset"], headers["whydrift.bytes"]) == (b"1", b"6000000")
    assert diagnoses(real_cluster) == wanted(real_cluster)
