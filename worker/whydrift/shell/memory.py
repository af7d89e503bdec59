"""A small log in memory that behaves as Kafka does where the worker looks: for the demo and for fast tests.

Topics, partitions, transactions that appear whole or not at all, a group whose members are given partitions and fenced when they
lose them. Transaction markers take an offset each, as in Kafka, so nobody learns to count on offsets without gaps.
Belongs here: that imitation. Not here: networks, time-outs, retention: what needs those is tested on a real broker.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whydrift.core.records import Record
from whydrift.shell.clients import AssignmentChange, GroupMetadata, KafkaClientError, KafkaSetupError, Message


@dataclass(slots=True)
class _Member:
    """`wanted`: what the group gives it; `owned`: what it has been told; they meet when it polls."""

    wanted: frozenset[int] = frozenset()
    owned: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Group:
    members: dict[int, _Member] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    next_member: int = 0


class MemoryBroker:
    """The log itself, shared by all clients of one process. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._topics: dict[str, list[list[Record | None]]] = {}
        self._groups: dict[tuple[str, str], _Group] = {}
        self._producers: dict[str, int] = {}

    def create_topic(self, topic: str, partitions: int) -> None:
        with self._changed:
            self._topics.setdefault(topic, [[] for _ in range(partitions)])

    def append(self, message: Message, timestamp_ms: int | None = None) -> int:
        """Put one record outside of any transaction. Returns its offset. Raises KafkaClientError for an unknown partition."""
        with self._changed:
            offset = self._append(message, timestamp_ms)
            self._changed.notify_all()
            return offset

    def records(self, topic: str, partition: int) -> list[Record]:
        """All records of a partition, markers left out."""
        with self._changed:
            return [record for record in self._log(topic, partition) if record is not None]

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]:
        with self._changed:
            return {topic: len(self._topics[topic]) for topic in topics if topic in self._topics}

    def end(self, topic: str, partition: int) -> int:
        with self._changed:
            return len(self._log(topic, partition))

    def _log(self, topic: str, partition: int) -> list[Record | None]:
        logs = self._topics.get(topic, [])
        if not 0 <= partition < len(logs):
            raise KafkaClientError(f"no partition {topic}-{partition}")
        return logs[partition]

    def _append(self, message: Message, timestamp_ms: int | None = None) -> int:
        log = self._log(message.topic, message.partition)
        offset = len(log)
        log.append(
            Record(message.topic, message.partition, offset, message.value, message.key, timestamp_ms, message.headers)
        )
        return offset

    # --- groups

    def join(self, group_id: str, topic: str) -> int:
        with self._changed:
            group = self._groups.setdefault((group_id, topic), _Group())
            member = group.next_member
            group.next_member += 1
            group.members[member] = _Member()
            self._rebalance(group, topic)
            return member

    def leave(self, group_id: str, topic: str, member: int) -> None:
        with self._changed:
            group = self._groups[group_id, topic]
            group.members.pop(member, None)
            self._rebalance(group, topic)
            self._changed.notify_all()

    def _rebalance(self, group: _Group, topic: str) -> None:
        members = sorted(group.members)
        for place, member in enumerate(members):
            share = range(place, len(self._topics.get(topic, [])), len(members))
            group.members[member].wanted = frozenset(share)

    def settle(self, group_id: str, topic: str, member: int) -> tuple[frozenset[int], frozenset[int]]:
        """A member polls: it lets go of what is no longer its own, and is given what nobody owns. Returns (revoked, assigned)."""
        with self._changed:
            group = self._groups[group_id, topic]
            mine = group.members[member]
            others = frozenset().union(*(other.owned for number, other in group.members.items() if number != member))
            revoked = mine.owned - mine.wanted
            assigned = mine.wanted - mine.owned - others
            mine.owned = (mine.owned - revoked) | assigned
            return revoked, assigned

    def committed(self, group_id: str, topic: str, partition: int) -> int | None:
        with self._changed:
            return self._groups[group_id, topic].committed.get(partition)

    # --- transactions

    def start_producer(self, transactional_id: str) -> int:
        """The new producer's epoch: those before it are fenced."""
        with self._changed:
            epoch = self._producers.get(transactional_id, -1) + 1
            self._producers[transactional_id] = epoch
            return epoch

    def commit(
        self, transactional_id: str, epoch: int, messages: Sequence[Message], offsets: "_Offsets | None"
    ) -> None:
        """All of it or nothing. Raises KafkaClientError: fenced producer, member that lost a partition, unknown partition."""
        with self._changed:
            if self._producers.get(transactional_id) != epoch:
                raise KafkaClientError(f"producer {transactional_id} was fenced by a newer one")
            if offsets is not None:
                self._check_owned(offsets)
            touched = {(message.topic, message.partition) for message in messages}
            for topic, partition in touched:
                self._log(topic, partition)
            for message in messages:
                self._append(message)
            for topic, partition in touched:
                self._log(topic, partition).append(None)
            if offsets is not None:
                self._groups[offsets.group_id, offsets.topic].committed.update(offsets.by_partition)
            self._changed.notify_all()

    def _check_owned(self, offsets: "_Offsets") -> None:
        member = self._groups[offsets.group_id, offsets.topic].members.get(offsets.member)
        if member is None or not offsets.by_partition.keys() <= member.owned:
            raise KafkaClientError(
                f"member {offsets.member} of group {offsets.group_id} does not own these partitions any more"
            )

    def read(self, topic: str, positions: dict[int, int], at_most: int, timeout_s: float) -> dict[int, list[Record]]:
        """Records from `positions` on, which are moved; waits up to `timeout_s` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_more(topic, positions), timeout_s)
            found: dict[int, list[Record]] = {}
            for partition, position in positions.items():
                slots = self._log(topic, partition)[position : position + at_most]
                positions[partition] = position + len(slots)
                records = [slot for slot in slots if slot is not None]
                at_most -= len(slots)
                if records:
                    found[partition] = records
            return found

    def _has_more(self, topic: str, positions: Mapping[int, int]) -> bool:
        return any(position < len(self._log(topic, partition)) for partition, position in positions.items())


@dataclass(frozen=True, slots=True)
class _Offsets:
    group_id: str
    topic: str
    member: int
    by_partition: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _MemoryGroupMetadata:
    group_id: str
    member: int


class MemoryClient:
    """See `clients.Client`."""

    def __init__(
        self, broker: MemoryBroker, events: str, group_id: str = "whydrift", max_poll_records: int = 1_000
    ) -> None:
        self._broker = broker
        self._events = events
        self._group_id = group_id
        self._max_poll_records = max_poll_records

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        return self._broker.partition_counts(topics)

    def create_topic(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        """`replicas` and `config` mean nothing here: there is one copy, and nothing is ever compacted or deleted."""
        self._broker.create_topic(topic, partitions)

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, self._broker.end(topic, partition)

    def consumer(self) -> "MemoryConsumer":
        return MemoryConsumer(self._broker, self._events, self._group_id, self._max_poll_records)

    def producer(self, transactional_id: str) -> "MemoryProducer":
        return MemoryProducer(self._broker, self._events, transactional_id)

    def reader(self, topic: str, partition: int) -> "MemoryReader":
        return MemoryReader(self._broker, topic, partition)

    def close(self) -> None:
        """Nothing is held."""


class MemoryConsumer:
    """See `clients.Consumer`."""

    def __init__(self, broker: MemoryBroker, topic: str, group_id: str, at_most: int) -> None:
        self._broker = broker
        self._topic = topic
        self._group_id = group_id
        self._at_most = at_most
        self._member = broker.join(group_id, topic)
        self._running: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._revoked: frozenset[int] = frozenset()
        self._assigned: frozenset[int] = frozenset()
        self._joined = False

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        revoked, assigned = self._broker.settle(self._group_id, self._topic, self._member)
        self._joined = True
        self._revoked |= revoked
        self._assigned = (self._assigned - revoked) | assigned
        for partition in revoked:
            self._running.pop(partition, None)
            self._held.pop(partition, None)
        self._held.update(dict.fromkeys(assigned, 0))
        found = self._broker.read(self._topic, self._running, self._at_most, 0.0 if revoked or assigned else timeout_s)
        for partition in found:
            # Behind the others, so that a full partition does not starve them.
            self._running[partition] = self._running.pop(partition)
        return found

    def take_change(self) -> AssignmentChange:
        change = AssignmentChange(self._revoked, self._assigned, self._joined)
        self._revoked = self._assigned = frozenset()
        return change

    def hold(self, partition: int) -> None:
        if partition in self._running:
            self._held[partition] = self._running.pop(partition)

    def start_at(self, partition: int, offset: int) -> None:
        if partition not in self._held and partition not in self._running:
            raise KafkaClientError(f"partition {partition} is not assigned")
        self._held.pop(partition, None)
        self._running[partition] = offset

    def position(self, partition: int) -> int | None:
        return self._running.get(partition, self._held.get(partition))

    def end(self, partition: int) -> int | None:
        return self._broker.end(self._topic, partition)

    def committed(self, partition: int) -> int | None:
        return self._broker.committed(self._group_id, self._topic, partition)

    def group_metadata(self) -> GroupMetadata:
        return _MemoryGroupMetadata(self._group_id, self._member)

    def close(self) -> None:
        self._broker.leave(self._group_id, self._topic, self._member)


class MemoryProducer:
    """See `clients.Producer`."""

    doubtful = False

    def __init__(self, broker: MemoryBroker, topic: str, transactional_id: str) -> None:
        self._broker = broker
        self._topic = topic
        self._transactional_id = transactional_id
        self._epoch = broker.start_producer(transactional_id)
        self._messages: list[Message] = []
        self._offsets: _Offsets | None = None

    def begin(self) -> None:
        self._messages, self._offsets = [], None

    def send(self, message: Message) -> None:
        counts = self._broker.partition_counts([message.topic])
        if message.partition >= counts.get(message.topic, 0):
            raise KafkaClientError(f"no partition {message.topic}-{message.partition}")
        self._messages.append(message)

    def flush(self) -> None:
        """What was sent is here already."""

    def send_offsets(self, offsets: Mapping[int, int], group: GroupMetadata) -> None:
        if not isinstance(group, _MemoryGroupMetadata):
            raise KafkaSetupError(f"group metadata of another client: {group!r}")
        self._offsets = _Offsets(group.group_id, self._topic, group.member, dict(offsets))

    def commit(self) -> None:
        self._broker.commit(self._transactional_id, self._epoch, self._messages, self._offsets)

    def discard(self) -> None:
        self._messages, self._offsets = [], None


class MemoryReader:
    """See `clients.PartitionReader`."""

    def __init__(self, broker: MemoryBroker, topic: str, partition: int) -> None:
        self._broker = broker
        self._topic = topic
        self._partition = partition
        self._end = broker.end(topic, partition)
        self._position = 0

    def read(self, timeout_s: float) -> Sequence[Record]:
        positions = {self._partition: self._position}
        left = self._end - self._position
        found = self._broker.read(self._topic, positions, left, timeout_s) if left else {}
        self._position = positions[self._partition]
        return found.get(self._partition, [])

    @property
    def done(self) -> bool:
        return self._position >= self._end

    @property
    def fraction(self) -> float:
        return 1.0 if self._end == 0 else self._position / self._end

    def close(self) -> None:
        """Nothing is held."""
