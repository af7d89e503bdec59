"""What crosses the border of the core: raw records in, wishes out.

Belongs here: the values the shell and the core hand each other. Not here: how they are read, sent or computed.
"""

from dataclasses import dataclass

from whydrift_schemas import Diagnosis, RejectReason


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the input topic as the shell read it, undecoded.

    `offset` is the position within the partition; for files it is the line number, from 0, over all inputs.
    `timestamp_ms` is the broker's time of the record in epoch milliseconds; None where there is no broker, or where the topic
    keeps the producers' times (`message.timestamp.type=CreateTime`, Kafka's default): no producer's clock vouches for itself.
    `value` is None for a Kafka tombstone.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp_ms: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish this diagnosis. `offset` is the record that completed the evidence."""

    offset: int
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Reject:
    """Put this record on the rejected topic: it could not be understood, for `reason`; `message` says it in words."""

    record: Record
    reason: RejectReason
    message: str


Output = Emit | Reject
