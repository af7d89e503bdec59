"""One surface over the three clients, so that a test says what it means and runs on each."""

import itertools
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from whydrift.core.records import Record
from whydrift.shell.clients import Client, Consumer, GroupMetadata, KafkaClientError, Message, PartitionReader
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import ClientName, KafkaSettings, Topics
from whydrift.shell.memory import MemoryBroker, MemoryClient
from whydrift.shell.topic_check import topic_uses

T = TypeVar("T")

DEADLINE_S = 45.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again, by something that itself takes or waits time, until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"


class Cluster:
    """A Kafka (or its imitation) with topics of this test's own."""

    def __init__(self, name: str, client: ClientName | None, bootstrap_servers: str) -> None:
        self.settings = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            group_id=f"group-{name}",
            client=client or "kafka-python",
            topics=Topics(
                events=f"{name}-events", diagnoses=f"{name}-out", rejected=f"{name}-bad", state=f"{name}-state"
            ),
            session_timeout_ms=6_000,
            commit_interval_ms=100,
        )
        self._memory = MemoryBroker() if client is None else None
        self._open: list[Client] = []
        self._numbers = itertools.count()
        self.admin = self.client()

    def client(self, settings: KafkaSettings | None = None) -> Client:
        chosen = settings or self.settings
        client: Client = connect(chosen) if self._memory is None else self._in_memory(chosen)
        self._open.append(client)
        return client

    def _in_memory(self, settings: KafkaSettings) -> MemoryClient:
        assert self._memory is not None
        return MemoryClient(self._memory, settings.topics.events, settings.group_id, settings.max_poll_records)

    def create(self, partitions: int) -> None:
        """All four topics."""
        for use in topic_uses(self.settings.topics):
            self.admin.create_topic(use.topic, partitions, 1, use.config)

    def send(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        """In one committed transaction."""
        producer = self.admin.producer(f"{topic}-test-{next(self._numbers)}")
        producer.begin()
        for value in values:
            producer.send(Message(topic, partition, b"key", value))
        producer.flush()
        producer.commit()
        producer.discard()

    def read(self, topic: str, partition: int = 0) -> list[Record]:
        """All committed records."""
        readers: list[PartitionReader] = []

        def opened() -> bool:
            with suppress(KafkaClientError):  # a broker that has just come back
                readers.append(self.admin.reader(topic, partition))
            return bool(readers)

        until(opened, f"{topic} can be read")
        (reader,) = readers
        found: list[Record] = []

        def read_on() -> bool:
            found.extend(reader.read(0.1))
            return reader.done

        until(read_on, f"end of {topic}")
        reader.close()
        return found

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(params=["memory", "kafka-python", "librdkafka"])
def cluster(request: pytest.FixtureRequest, name: str) -> Iterator[Cluster]:
    """On each client; the real ones on the real Kafka."""
    if request.param == "memory":
        made = Cluster(name, None, "memory")
    else:
        made = Cluster(name, request.param, request.getfixturevalue("kafka"))
    yield made
    made.close()


@pytest.fixture(params=["kafka-python", "librdkafka"])
def real_cluster(request: pytest.FixtureRequest, name: str) -> Iterator[Cluster]:
    made = Cluster(name, request.param, request.getfixturevalue("kafka"))
    yield made
    made.close()


class Member:
    """A consumer that polls in a thread of its own, as a worker would, and what it has been given so far."""

    def __init__(self, client: Client, busy_s: float = 0.0) -> None:
        self._busy_s = busy_s
        self.owned: set[int] = set()
        self.revoked: set[int] = set()
        self.joined = False
        self.polls = 0
        self.records: list[Record] = []
        self._consumer: Consumer = client.consumer()
        self._orders: queue.Queue[Callable[[], None]] = queue.Queue()
        self._over = threading.Event()
        self._polled = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            while not self._orders.empty():
                self._orders.get()()
            self._poll()
            self._over.wait(self._busy_s)
        self._consumer.close()

    def _poll(self) -> None:
        found = self._consumer.poll(0.05)
        change = self._consumer.take_change()
        with self._polled:
            self.owned = (self.owned - change.revoked) | change.assigned
            self.revoked |= change.revoked
            self.joined = change.joined
            self.records.extend(record for records in found.values() for record in records)
            self.polls += 1
            self._polled.notify_all()

    def do(self, order: Callable[[Consumer], T]) -> T:
        """Run this between two polls, in the thread that polls."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(order(self._consumer))
            except Exception as error:  # noqa: BLE001  # handed to the test
                answer.set_exception(error)

        self._orders.put(run)
        return answer.result(DEADLINE_S)

    def start_at(self, partition: int, offset: int) -> None:
        self.do(lambda consumer: consumer.start_at(partition, offset))

    def committed(self, partition: int) -> int | None:
        return self.do(lambda consumer: consumer.committed(partition))

    def group_metadata(self) -> GroupMetadata:
        return self.do(lambda consumer: consumer.group_metadata())

    def until(self, condition: Callable[[], bool], what: str) -> "Member":
        with self._polled:
            assert self._polled.wait_for(condition, DEADLINE_S), f"not within {DEADLINE_S} s: {what}"
        return self

    def until_owning(self, partitions: set[int]) -> "Member":
        return self.until(lambda: self.owned == partitions, f"owning {partitions}")

    def until_records(self, count: int) -> list[Record]:
        self.until(lambda: len(self.records) >= count, f"{count} records")
        return self.records

    def after_some_polls(self) -> "Member":
        done = self.polls + 5
        return self.until(lambda: self.polls >= done, "five polls")

    def leave(self) -> None:
        self._over.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def join(cluster: Cluster) -> Iterator[Callable[..., Member]]:
    """Make members of the group, with these settings changed, busy for so long between polls; they leave at the end."""
    members: list[Member] = []

    def make(busy_s: float = 0.0, **changes: Any) -> Member:
        members.append(Member(cluster.client(replace(cluster.settings, **changes)), busy_s))
        return members[-1]

    yield make
    for member in members:
        member.leave()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
