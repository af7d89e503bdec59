"""What the worker needs of a Kafka client: small protocols, the values they speak in, and their errors.

kafka-python, confluent-kafka and the in-memory log each stand behind them (`kafka_python_client`, `librdkafka_client`, `memory`);
one contract suite runs on all three. Belongs here: the contract. Not here: any client library, any decision about when to commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from whydrift.core.records import Record


class KafkaClientError(Exception):
    """Something went wrong that may go right the next time: rebuild the producer, restore, go on."""


class KafkaSetupError(Exception):
    """Trying again will not help; an operator has to change something. The message says what."""


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send. The partition is always chosen by the sender."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """What the group took away and gave since it was last asked, taken away first. `joined`: the group has answered at all."""

    revoked: frozenset[int]
    assigned: frozenset[int]
    joined: bool


GroupMetadata = object
"""The client's own token for "this member in this generation"; only handed from consumer to producer."""


class Consumer(Protocol):
    """A member of the worker's group on the events topic. Reads committed records only, commits nothing by itself.

    A newly assigned partition is *held*: it gives no records until `start_at`. Every method but `poll` is called by the
    thread that polls. All raise KafkaClientError, or KafkaSetupError where trying again is pointless.
    """

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        """Records by partition, in order of offset; empty after `timeout_s`. None of a held partition."""
        ...

    def take_change(self) -> AssignmentChange:
        """What happened to the assignment since the last call. Records of a revoked partition are void."""
        ...

    def hold(self, partition: int) -> None:
        """Give no more records of this partition until `start_at`."""
        ...

    def start_at(self, partition: int, offset: int) -> None:
        """Go on with the record at `offset` or, if that one does not exist, the next."""
        ...

    def position(self, partition: int) -> int | None:
        """Offset of the next record to come; where the client can tell, past transaction markers."""
        ...

    def end(self, partition: int) -> int | None:
        """The partition's end as last heard from the broker, without asking; None before the first answer."""
        ...

    def committed(self, partition: int) -> int | None:
        """The group's committed offset; waits for open transactions that are about to change it."""
        ...

    def group_metadata(self) -> GroupMetadata: ...

    def close(self) -> None:
        """Leave the group (a static member stays until its session ends)."""
        ...


class Producer(Protocol):
    """One transactional producer. After any error it is to be discarded, never used again."""

    def begin(self) -> None: ...

    def send(self, message: Message) -> None: ...

    def flush(self) -> None:
        """Return when the broker has every message sent; raise if a single one failed."""
        ...

    def send_offsets(self, offsets: Mapping[int, int], group: GroupMetadata) -> None:
        """Make offsets of the events topic part of the transaction. Fails if the group went on without this member."""
        ...

    def commit(self) -> None:
        """Return when the transaction is committed. An error leaves its outcome unknown."""
        ...

    @property
    def doubtful(self) -> bool:
        """The last commit went well, but something on the way makes it unwise to commit with this producer again."""
        ...

    def discard(self) -> None:
        """Let go, whatever state it is in. An open transaction is ended by the next producer with the same id."""
        ...


class PartitionReader(Protocol):
    """Reads one partition from its beginning to where it ended (open transactions included) when the reader was made.

    Only committed records come out, so a read waits for transactions that were open at that time.
    """

    def read(self, timeout_s: float) -> Sequence[Record]: ...

    @property
    def done(self) -> bool: ...

    @property
    def fraction(self) -> float:
        """How much of it has been read, 0 to 1."""
        ...

    def close(self) -> None: ...


class Client(Protocol):
    """Makes the above, and asks for facts. All of it is bounded in time."""

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Partitions by topic; a topic that does not exist is left out."""
        ...

    def create_topic(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        """Return when it can be used; no error if it exists by now."""
        ...

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset still there, and the end of what readers of committed records see (a moment behind a commit)."""
        ...

    def consumer(self) -> Consumer: ...

    def producer(self, transactional_id: str) -> Producer:
        """Made ready: open transactions of its predecessor are ended, the predecessor is fenced."""
        ...

    def reader(self, topic: str, partition: int) -> PartitionReader: ...

    def close(self) -> None: ...
