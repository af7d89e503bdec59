"""confluent-kafka (librdkafka) behind `clients.Client`: chosen with `kafka.client: librdkafka`.

Belongs here: how librdkafka spells the contract. Not here: when to commit.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from whydrift.core.records import Record
from whydrift.shell.clients import AssignmentChange, GroupMetadata, KafkaClientError, KafkaSetupError, Message
from whydrift.shell.kafka_settings import KafkaSettings, Security

log = logging.getLogger("librdkafka")

BEGIN: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
END: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]

# One by one is four times slower; in thousands, one slow partition holds the others up.
CONSUME_AT_MOST = 500

LOOK_AGAIN_S = 0.05

SETUP_ERRORS = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._INVALID_ARG,
        KafkaError._SSL,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.SECURITY_DISABLED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)
"""Those that another try would only repeat."""

PASSING_ERRORS = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
)
"""What librdkafka tells on the way and mends by itself."""


class LibrdkafkaClient:
    """See `clients.Client`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._patience_s = _patience_s(settings)
        with _translated(f"connecting to {settings.bootstrap_servers}"):
            self._admin = AdminClient(_common(settings))
        try:
            self._admin.list_topics(timeout=self._patience_s)
        except KafkaException as error:
            raise KafkaSetupError(
                f"no broker answered at {settings.bootstrap_servers} within {self._patience_s * 1000:.0f} ms: "
                f"check kafka.bootstrap_servers, kafka.security and the network ({error.args[0].str()})"
            ) from error

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        with _translated("describing topics"):
            known = self._admin.list_topics(timeout=self._patience_s).topics
        return {
            topic: len(known[topic].partitions) for topic in topics if topic in known and known[topic].error is None
        }

    def create_topic(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        new = NewTopic(topic, num_partitions=partitions, replication_factor=replicas, config=dict(config))
        with _translated(f"creating topic {topic}"):
            try:
                self._admin.create_topics([new], operation_timeout=self._patience_s)[topic].result(self._patience_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
            self._await_leaders(topic)

    def _await_leaders(self, topic: str) -> None:
        """A topic is known a moment before its partitions are, and these before they have leaders."""
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            known = self._admin.list_topics(timeout=self._patience_s).topics.get(topic)
            if known and known.partitions and all(one.leader >= 0 for one in known.partitions.values()):
                return
            time.sleep(LOOK_AGAIN_S)
        raise KafkaClientError(f"topic {topic} was created, and has no leader after {self._patience_s:.0f} s")

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        with _translated(f"asking for the offsets of {topic}-{partition}"):
            begin = self._listed(topic, partition, BEGIN, IsolationLevel.READ_COMMITTED)
            return begin, self._listed(topic, partition, END, IsolationLevel.READ_COMMITTED)

    def _listed(self, topic: str, partition: int, spec: Any, isolation: IsolationLevel) -> int:
        asked = {TopicPartition(topic, partition): spec}
        (answer,) = self._admin.list_offsets(
            asked, isolation_level=isolation, request_timeout=self._patience_s
        ).values()
        try:
            return int(answer.result(self._patience_s).offset)
        except KafkaException:
            # An admin client asks with the leader epoch it once heard, and after a new election is refused for ever.
            self._admin = AdminClient(_common(self._settings))
            raise

    def consumer(self) -> "LibrdkafkaConsumer":
        with _translated("joining the group"):
            return LibrdkafkaConsumer(self._settings)

    def producer(self, transactional_id: str) -> "LibrdkafkaProducer":
        with _translated("starting a producer"):
            return LibrdkafkaProducer(self._settings, transactional_id)

    def reader(self, topic: str, partition: int) -> "LibrdkafkaReader":
        with _translated(f"opening {topic}-{partition}"):
            begin = self._listed(topic, partition, BEGIN, IsolationLevel.READ_UNCOMMITTED)
            end = self._listed(topic, partition, END, IsolationLevel.READ_UNCOMMITTED)
            return LibrdkafkaReader(self._settings, topic, partition, begin, end)

    def close(self) -> None:
        """librdkafka closes an admin client when nobody refers to it."""


class LibrdkafkaConsumer:
    """See `clients.Consumer`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topic = settings.topics.events
        self._committed_timeout_s = settings.transaction_timeout_ms * 2 / 1000
        self._at_most = min(CONSUME_AT_MOST, settings.max_poll_records)
        self._held: set[int] = set()
        self._revoked: set[int] = set()
        self._assigned: set[int] = set()
        self._joined = False
        configuration = {
            **_common(settings),
            "group.id": settings.group_id,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Positions are always given by `start_at`. A position that retention has overtaken is an error, not a silent jump.
            "auto.offset.reset": "error",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.session_timeout_ms,
            "heartbeat.interval.ms": min(3_000, settings.session_timeout_ms // 6),
            "fetch.wait.max.ms": 100,
        }
        if settings.instance_id is not None:
            configuration["group.instance.id"] = settings.instance_id
        self._consumer = Consumer(configuration)
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_gone, on_lost=self._on_gone
        )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._joined = True  # called with an empty list too
        for at in partitions:
            at.offset = OFFSET_BEGINNING
            self._held.add(at.partition)
            self._assigned.add(at.partition)
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)

    def _on_gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {at.partition for at in partitions}
        self._revoked |= numbers
        self._assigned -= numbers
        self._held -= numbers

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        with _translated("polling"):
            messages: list[Any] = self._consumer.consume(num_messages=self._at_most, timeout=timeout_s)
        found: dict[int, list[Record]] = {}
        for message in messages:
            # An error of the whole consumer has no topic, and calls itself partition 0.
            if message.topic() is not None and message.partition() in self._held:
                continue
            if message.error() is not None:
                _raise_unless_passing("polling", message.error())
                continue
            found.setdefault(message.partition(), []).append(_record(message))
        return found

    def take_change(self) -> AssignmentChange:
        change = AssignmentChange(frozenset(self._revoked), frozenset(self._assigned), self._joined)
        self._revoked, self._assigned = set(), set()
        return change

    def hold(self, partition: int) -> None:
        self._held.add(partition)
        with _translated("holding"):
            self._consumer.pause([TopicPartition(self._topic, partition)])

    def start_at(self, partition: int, offset: int) -> None:
        at = TopicPartition(self._topic, partition, offset)
        with _translated(f"seeking {self._topic}-{partition}"):
            # Not seek(): it is refused until librdkafka has got round to fetching the partition.
            self._consumer.incremental_unassign([at])
            self._consumer.incremental_assign([at])
            self._consumer.resume([at])
        self._held.discard(partition)

    def position(self, partition: int) -> int | None:
        with _translated("asking for the position"):
            (at,) = self._consumer.position([TopicPartition(self._topic, partition)])
        return at.offset if at.offset >= 0 else None

    def end(self, partition: int) -> int | None:
        with _translated("asking for the end"):
            known = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return known[1] if known is not None and known[1] >= 0 else None

    def committed(self, partition: int) -> int | None:
        with _translated("asking for the committed offset"):
            asked = [TopicPartition(self._topic, partition)]
            (at,) = self._consumer.committed(asked, timeout=self._committed_timeout_s)
            if at.error is not None:
                raise KafkaException(at.error)
        return at.offset if at.offset >= 0 else None

    def group_metadata(self) -> GroupMetadata:
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        with _translated("leaving the group"):
            self._consumer.close()


class LibrdkafkaProducer:
    """See `clients.Producer`."""

    doubtful = False  # librdkafka keeps its transactions in order by itself

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self._topic = settings.topics.events
        self._patience_s = _patience_s(settings)
        self._failed: list[KafkaError] = []
        self._producer = Producer(
            {
                **_common(settings),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                "message.timeout.ms": settings.delivery_timeout_ms,
                "linger.ms": 5,
                "batch.size": 131_072,
                "compression.type": "lz4",
            }
        )
        self._producer.init_transactions(self._patience_s)

    def begin(self) -> None:
        with _translated("beginning a transaction"):
            self._producer.begin_transaction()
        self._failed = []

    def send(self, message: Message) -> None:
        with _translated(f"sending to {message.topic}"):
            try:
                self._produce(message)
            except BufferError:
                # Its queue is full: let it send, then it takes more.
                self._producer.flush(self._patience_s)
                self._produce(message)

    def _produce(self, message: Message) -> None:
        self._producer.produce(
            message.topic,
            value=message.value,
            key=message.key,
            partition=message.partition,
            headers=list(message.headers),
            on_delivery=self._on_delivery,
        )

    def _on_delivery(self, error: KafkaError | None, message: object) -> None:
        if error is not None:
            self._failed.append(error)

    def flush(self) -> None:
        with _translated("sending"):
            left = self._producer.flush(self._patience_s)
            if self._failed:
                raise KafkaException(self._failed[0])
        if left:
            raise KafkaClientError(f"sending: {left} records were not acknowledged within {self._patience_s} s")

    def send_offsets(self, offsets: Mapping[int, int], group: GroupMetadata) -> None:
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        with _translated("sending offsets"):
            self._producer.send_offsets_to_transaction(positions, group, self._patience_s)

    def commit(self) -> None:
        with _translated("committing"):
            self._producer.commit_transaction(self._patience_s)

    def discard(self) -> None:
        # Without a purge, letting go would wait for what is still to be sent. One that was fenced tells so again: it is known.
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(0)
        del self._producer


class LibrdkafkaReader:
    """See `clients.PartitionReader`."""

    def __init__(self, settings: KafkaSettings, topic: str, partition: int, begin: int, end: int) -> None:
        self._name = f"{topic}-{partition}"
        self._begin, self._end = begin, end
        self._position = begin
        self._consumer = Consumer(
            {
                **_common(settings),
                "group.id": settings.group_id,  # asked for by the library; this consumer joins no group and commits nothing
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Tells the position behind transaction markers and aborted records.
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, begin)])

    def read(self, timeout_s: float) -> Sequence[Record]:
        if self.done:
            return []
        found = []
        with _translated(f"reading {self._name}"):
            messages: list[Any] = self._consumer.consume(num_messages=CONSUME_AT_MOST, timeout=timeout_s)
        for message in messages:
            error = message.error()
            if error is None and message.offset() < self._end:
                found.append(_record(message))
            if error is None:
                self._position = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._position = message.offset()
            else:
                _raise_unless_passing(f"reading {self._name}", error)
        return found

    @property
    def done(self) -> bool:
        return self._position >= self._end

    @property
    def fraction(self) -> float:
        length = self._end - self._begin
        return 1.0 if length <= 0 else min(1.0, (self._position - self._begin) / length)

    def close(self) -> None:
        with _translated("closing"):
            self._consumer.close()


def _record(message: Any) -> Record:
    kind, timestamp_ms = message.timestamp()
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.value(),
        message.key(),
        timestamp_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None,
        tuple(message.headers() or ()),
    )


def _patience_s(settings: KafkaSettings) -> float:
    """How long anything may take before it is called failed."""
    return settings.request_timeout_ms * 3 / 1000


def _common(settings: KafkaSettings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "socket.timeout.ms": max(settings.request_timeout_ms, 1_000),
        "client.id": f"whydrift-{settings.instance_id or settings.group_id}",
        "retry.backoff.ms": 10,
        "reconnect.backoff.max.ms": 1_000,
        # Without these it writes to standard error. What matters comes as errors of the calls.
        "logger": log,
        "error_cb": _ignore,
        **_security(settings.security),
    }


def _ignore(error: KafkaError) -> None:
    """Transient errors are mended by librdkafka, lasting ones come back from the next call."""


def _security(security: Security) -> dict[str, Any]:
    chosen: dict[str, Any] = {"security.protocol": security.protocol}
    if security.protocol.endswith("SSL") and security.ca_file is not None:
        chosen["ssl.ca.location"] = str(security.ca_file)
    if security.protocol.startswith("SASL"):
        chosen["sasl.mechanism"] = security.sasl_mechanism
        chosen["sasl.username"] = security.username or ""
        chosen["sasl.password"] = security.password or ""
    return chosen


def _is_setup(error: KafkaError) -> bool:
    # A consumer's fatal error has a code of its own; which one it was stands in its text only. Another worker with this one's
    # instance id is such a case: starting over would fence that one, and so on for ever.
    wrapped = error.code() == KafkaError._FATAL and KafkaError(KafkaError.FENCED_INSTANCE_ID).str() in error.str()
    return wrapped or error.code() in SETUP_ERRORS


def _raise_unless_passing(doing: str, error: KafkaError) -> None:
    if _is_setup(error):
        raise KafkaSetupError(f"{doing}: {error.str()}")
    if error.code() not in PASSING_ERRORS or error.fatal():
        raise KafkaClientError(f"{doing}: {error.str()}")


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """librdkafka's errors in the words of `clients`."""
    try:
        yield
    except KafkaException as error:
        (reason,) = error.args[:1]
        if _is_setup(reason):
            raise KafkaSetupError(f"{doing}: {reason.str()}") from error
        raise KafkaClientError(f"{doing}: {reason.str()}") from error
    # SystemError: the library raises a fatal error (a fenced producer) on top of a delivery callback.
    except (BufferError, RuntimeError, TimeoutError, SystemError) as error:
        raise KafkaClientError(f"{doing}: {error.__cause__ or error}") from error
