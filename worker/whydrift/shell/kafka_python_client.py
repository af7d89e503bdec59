"""kafka-python (3.0.x) behind `clients.Client`: the client whydrift ships with.

Belongs here: how kafka-python spells the contract, and the guards against what it does wrong. Not here: when to commit.
Some calls of kafka-python wait without limit, and it does not tell when it has connected anew; both are mended through
attributes it keeps to itself (`poll`, `_bounded`, `_connections`, `discard`); the dependency is pinned to one minor for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState
from kafka.structs import OffsetAndMetadata

from whydrift.core.records import Record
from whydrift.shell.clients import AssignmentChange, GroupMetadata, KafkaClientError, KafkaSetupError, Message
from whydrift.shell.kafka_settings import KafkaSettings, Security

MAX_PARTITION_FETCH_BYTES = 4 * 1024 * 1024
REBALANCE_WAIT_MS = 3_000

SETUP_ERRORS = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.SecurityDisabledError,
    errors.KafkaConfigurationError,
    errors.FencedInstanceIdError,
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
)
"""Those that another try would only repeat."""


class KafkaPythonClient:
    """See `clients.Client`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        with translated(f"connecting to {settings.bootstrap_servers}"):
            try:
                self._admin = KafkaAdminClient(**common_settings(settings))
            except (errors.KafkaTimeoutError, errors.KafkaConnectionError) as error:
                raise KafkaSetupError(
                    f"no broker answered at {settings.bootstrap_servers} within {patience_ms(settings)} ms: "
                    "check kafka.bootstrap_servers, kafka.security and the network"
                ) from error

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        with translated("describing topics"):
            described = self._admin.describe_topics(list(topics))
        return {topic["name"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}

    def create_topic(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        wanted = {topic: {"num_partitions": partitions, "replication_factor": replicas, "configs": dict(config)}}
        with translated(f"creating topic {topic}"):
            try:
                self._admin.create_topics(wanted, wait_for_metadata=True)
            except errors.TopicAlreadyExistsError:
                self._admin.wait_for_topics([topic], timeout_ms=patience_ms(self._settings))

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        at = TopicPartition(topic, partition)
        with translated(f"asking for the offsets of {topic}-{partition}"):
            begin = self._listed(at, -2, "read_committed")
            return begin, self._listed(at, -1, "read_committed")

    def _listed(self, at: TopicPartition, spec: int, isolation: str) -> int:
        level = 1 if isolation == "read_committed" else 0
        found = self._admin.list_partition_offsets(
            {at: spec}, isolation_level=level, timeout_ms=patience_ms(self._settings)
        )
        return int(found[at].offset)

    def consumer(self) -> "KafkaPythonConsumer":
        with translated("joining the group"):
            return KafkaPythonConsumer(self._settings)

    def producer(self, transactional_id: str) -> "KafkaPythonProducer":
        with translated("starting a producer"):
            return KafkaPythonProducer(self._settings, transactional_id)

    def reader(self, topic: str, partition: int) -> "KafkaPythonReader":
        at = TopicPartition(topic, partition)
        with translated(f"opening {topic}-{partition}"):
            begin, end = self._listed(at, -2, "read_uncommitted"), self._listed(at, -1, "read_uncommitted")
            return KafkaPythonReader(self._settings, at, begin, end)

    def close(self) -> None:
        with translated("closing"):
            self._admin.close()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python publishes no types
    """Runs on kafka-python's IO thread inside `poll`: only notes what happened, and holds what is new."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self.revoked: set[int] = set()
        self.assigned: set[int] = set()
        self.held: set[int] = set()

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._gone(revoked)

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        self._gone(lost)

    def _gone(self, partitions: Sequence[TopicPartition]) -> None:
        numbers = {at.partition for at in partitions}
        self.revoked |= numbers
        self.assigned -= numbers

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        for at in assigned:
            self._consumer.pause(at)
            # Any position will do: it keeps the client from looking for one, and nothing is read before `start_at`.
            self._consumer.seek(at, 0)
            self.assigned.add(at.partition)
            self.held.add(at.partition)


class KafkaPythonConsumer:
    """See `clients.Consumer`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = settings.topics.events
        self._consumer = KafkaConsumer(
            **common_settings(settings),
            group_id=settings.group_id,
            group_instance_id=settings.instance_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            # Positions are always given by `start_at`. A position that retention has overtaken is an error, not a silent jump.
            auto_offset_reset="none",
            max_poll_records=settings.max_poll_records,
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            fetch_max_wait_ms=100,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(3_000, settings.session_timeout_ms // 6),
            # One instance per consumer: two that share one rebalance for ever.
            partition_assignment_strategy=(CooperativeStickyAssignor(),),
            allow_auto_create_topics=False,
            metadata_max_age_ms=60_000,
        )
        self._listener = _Listener(self._consumer)
        self._consumer.subscribe([self._topic], listener=self._listener)
        # Without metadata at hand it joins all the same, and leads the group into an assignment of nothing that lasts until
        # the metadata expire.
        self._consumer.partitions_for_topic(self._topic)

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        with translated("polling"):
            if self._consumer.group_metadata().state is not MemberState.STABLE:
                # kafka-python 3.0.12 forgets a JoinGroup that is answered between two polls and starts the next one, which
                # with short polls goes on for ever. It gives no records meanwhile anyhow, so wait for the answer here.
                self._consumer._coordinator.poll(timeout_ms=REBALANCE_WAIT_MS)
            found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
        return {
            at.partition: [_record(one) for one in records]
            for at, records in found.items()
            if at.partition not in self._listener.held
        }

    def take_change(self) -> AssignmentChange:
        listener = self._listener
        # A member that is given nothing is not called back; that it has a generation tells that the group answered.
        joined = self._consumer.group_metadata().generation_id > 0
        change = AssignmentChange(frozenset(listener.revoked), frozenset(listener.assigned), joined)
        listener.revoked, listener.assigned = set(), set()
        return change

    def hold(self, partition: int) -> None:
        self._consumer.pause(TopicPartition(self._topic, partition))
        self._listener.held.add(partition)

    def start_at(self, partition: int, offset: int) -> None:
        at = TopicPartition(self._topic, partition)
        with translated(f"seeking {self._topic}-{partition}"):
            self._consumer.seek(at, offset)
            self._consumer.resume(at)
        self._listener.held.discard(partition)

    def position(self, partition: int) -> int | None:
        with translated("asking for the position"):
            position: int | None = self._consumer.position(TopicPartition(self._topic, partition), timeout_ms=0)
        return position

    def end(self, partition: int) -> int | None:
        with translated("asking for the end"):
            end: int | None = self._consumer.highwater(TopicPartition(self._topic, partition))
        return end

    def committed(self, partition: int) -> int | None:
        with translated("asking for the committed offset"):
            at = TopicPartition(self._topic, partition)
            offset: int | None = self._consumer.committed(at, timeout_ms=self._settings.transaction_timeout_ms * 2)
        return offset

    def group_metadata(self) -> GroupMetadata:
        metadata: object = self._consumer.group_metadata()
        return metadata

    def close(self) -> None:
        with translated("leaving the group"):
            self._consumer.close(autocommit=False)


class KafkaPythonProducer:
    """See `clients.Producer`."""

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self._topic = settings.topics.events
        self._patience_ms = patience_ms(settings)
        self._sent: list[Any] = []
        self._connected: dict[Any, Any] | None = None
        self.doubtful = False
        self._producer = KafkaProducer(
            **common_settings(settings),
            transactional_id=transactional_id,
            transaction_timeout_ms=settings.transaction_timeout_ms,
            delivery_timeout_ms=settings.delivery_timeout_ms,
            max_block_ms=self._patience_ms,
            linger_ms=5,
            batch_size=131_072,
            compression_type="lz4",
            acks="all",
        )
        try:
            self._producer.init_transactions()
        except errors.KafkaError:
            self.discard()
            raise

    def begin(self) -> None:
        with translated("beginning a transaction"):
            self._producer.begin_transaction()
        self._sent = []

    def send(self, message: Message) -> None:
        with translated(f"sending to {message.topic}"):
            future = self._producer.send(
                message.topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                partition=message.partition,
            )
        self._sent.append(future)

    def flush(self) -> None:
        with translated("sending"):
            self._producer.flush(timeout=self._patience_ms / 1000)
            for future in self._sent:
                # A record that expired is known to its future alone; the transaction would commit without it.
                if not future.succeeded():
                    raise future.exception or errors.KafkaTimeoutError("a record was not acknowledged")
        self._sent = []

    def send_offsets(self, offsets: Mapping[int, int], group: GroupMetadata) -> None:
        by_partition = {
            TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()
        }
        with translated("sending offsets"):
            manager = self._producer._transaction_manager
            self._bounded(lambda: manager.send_offsets_to_transaction(by_partition, group))

    def commit(self) -> None:
        with translated("committing"):
            self._bounded(self._producer._transaction_manager.begin_commit)
        connected = self._connections()
        before = self._connected or connected
        self.doubtful = any(connected.get(node, connection) is not connection for node, connection in before.items())
        self._connected = connected

    def _bounded(self, start: Callable[[], Any]) -> None:
        """What `send_offsets_to_transaction` and `commit_transaction` do, with a limit to the wait."""
        result = start()
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=self._patience_ms):
            raise errors.KafkaTimeoutError(f"no answer within {self._patience_ms} ms")

    def _connections(self) -> dict[Any, Any]:
        return dict(self._producer._sender._client._manager._conns)

    def discard(self) -> None:
        try:
            self._producer.close(timeout=0)
        except errors.KafkaError:
            # It still has records to send and refuses to close. They belong to a transaction nobody will commit.
            self._producer._sender.force_close()
            self._producer._unregister_cleanup()
            self._producer._closed = True


class KafkaPythonReader:
    """See `clients.PartitionReader`."""

    def __init__(self, settings: KafkaSettings, at: TopicPartition, begin: int, end: int) -> None:
        self._at = at
        self._begin, self._end = begin, end
        self._position = begin
        self._consumer = KafkaConsumer(
            **common_settings(settings),
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            fetch_max_wait_ms=100,
            allow_auto_create_topics=False,
        )
        self._consumer.assign([at])
        self._consumer.seek(at, begin)

    def read(self, timeout_s: float) -> Sequence[Record]:
        if self.done:
            return []
        with translated(f"reading {self._at.topic}-{self._at.partition}"):
            found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
            # Moves past transaction markers and aborted records too, which no record would tell.
            position = self._consumer.position(self._at, timeout_ms=0)
        self._position = self._position if position is None else position
        return [_record(one) for records in found.values() for one in records if one.offset < self._end]

    @property
    def done(self) -> bool:
        return self._position >= self._end

    @property
    def fraction(self) -> float:
        length = self._end - self._begin
        return 1.0 if length <= 0 else min(1.0, (self._position - self._begin) / length)

    def close(self) -> None:
        with translated("closing"):
            self._consumer.close(autocommit=False)


_LOG_APPEND_TIME = 1
"""Kafka's number for "the broker set this time"."""


def _record(one: Any) -> Record:
    broker_ms = one.timestamp if one.timestamp_type == _LOG_APPEND_TIME else None
    return Record(one.topic, one.partition, one.offset, one.value, one.key, broker_ms, tuple(one.headers))


def patience_ms(settings: KafkaSettings) -> int:
    """How long anything may take before it is called failed."""
    return settings.request_timeout_ms * 3


def common_settings(settings: KafkaSettings) -> dict[str, Any]:
    """What every part of kafka-python is told."""
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "bootstrap_timeout_ms": patience_ms(settings),
        "request_timeout_ms": settings.request_timeout_ms,
        # 100, the default, costs 105 ms in every transaction (CONCURRENT_TRANSACTIONS); 10 costs 14.
        "retry_backoff_ms": 10,
        "reconnect_backoff_max_ms": 1_000,
        "client_id": f"whydrift-{settings.instance_id or settings.group_id}",
        **_security(settings.security),
    }


def _security(security: Security) -> dict[str, Any]:
    chosen: dict[str, Any] = {"security_protocol": security.protocol}
    if security.protocol.endswith("SSL") and security.ca_file is not None:
        chosen["ssl_cafile"] = str(security.ca_file)
    if security.protocol.startswith("SASL"):
        chosen["sasl_mechanism"] = security.sasl_mechanism
        chosen["sasl_plain_username"] = security.username
        chosen["sasl_plain_password"] = security.password
    return chosen


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """kafka-python's errors in the words of `clients`."""
    try:
        yield
    except SETUP_ERRORS as error:
        raise KafkaSetupError(f"{doing}: {error}") from error
    # ValueError and TypeError: what kafka-python says of a partition that went away, or of a producer state.
    except (errors.KafkaError, ValueError, TypeError, OSError) as error:
        raise KafkaClientError(f"{doing}: {error or type(error).__name__}") from error
