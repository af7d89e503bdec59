"""Diagnoses and rejected records as messages of two Kafka topics, within the producer's open transaction.

A diagnosis has the model's id as its key and lands where a default producer would put that key (murmur2), so all diagnoses of a
model are in one partition, in order, and the topic may be compacted. A rejected record keeps its key, value and headers; where it
came from and why it was refused are further headers, named `whydrift.…`. It goes to the partition it came from, modulo the count.
Belongs here: that form. Not here: transactions (`transactions`), what is rejected (`whydrift.core`).
"""

from collections.abc import Callable, Mapping, Sequence

from kafka.partitioner.default import murmur2

from whydrift.core.records import Emit, Output, Reject
from whydrift.shell.clients import Message
from whydrift.shell.kafka_settings import Topics
from whydrift_schemas import encode

MAX_REJECTED_BYTES = 900_000
"""A record may be rejected for its size; what is sent on must fit into a record of Kafka's default limit."""

Headers = tuple[tuple[str, bytes], ...]


class KafkaTopicSink:
    """`send` and `flush` are the producer's; `partition_counts` those of the two topics; `version` is whydrift's."""

    def __init__(
        self,
        send: Callable[[Message], None],
        flush: Callable[[], None],
        topics: Topics,
        partition_counts: Mapping[str, int],
        version: str,
    ) -> None:
        self._send = send
        self._flush = flush
        self._topics = topics
        self._counts = partition_counts
        self._version = version

    def write(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self._send(self._diagnosis(output) if isinstance(output, Emit) else self._rejected(output))

    def flush(self) -> None:
        self._flush()

    def close(self) -> None:
        """The producer is not this sink's to close."""
        self._flush()

    def _diagnosis(self, emit: Emit) -> Message:
        topic, key = self._topics.diagnoses, emit.diagnosis.model_id.encode()
        return Message(topic, partition_of_key(key, self._counts[topic]), key, encode(emit.diagnosis))

    def _rejected(self, reject: Reject) -> Message:
        record, topic = reject.record, self._topics.rejected
        key, value, headers = _within_limit(record.key, record.value, record.headers)
        partition = record.partition % self._counts[topic]
        return Message(topic, partition, key, value, headers + self._why(reject))

    def _why(self, reject: Reject) -> Headers:
        record = reject.record
        told: dict[str, object] = {
            "reason": reject.reason.value,
            "message": reject.message,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "bytes": None if record.value is None else len(record.value),
            "version": self._version,
        }
        return tuple((f"whydrift.{name}", str(value).encode()) for name, value in told.items() if value is not None)


def partition_of_key(key: bytes, count: int) -> int:
    """As the default partitioners of Kafka's clients choose it."""
    return int(murmur2(key) & 0x7FFFFFFF) % count


def _within_limit(
    key: bytes | None, value: bytes | None, headers: Headers
) -> tuple[bytes | None, bytes | None, Headers]:
    """Cut to what fits: of a large value only the beginning. The origin still tells where all of it is."""
    left = MAX_REJECTED_BYTES
    key = None if key is None else key[:left]
    left -= len(key or b"")
    if sum(len(name) * 4 + len(content) for name, content in headers) > left // 2:
        headers = ()
    left -= sum(len(name) * 4 + len(content) for name, content in headers)
    return key, None if value is None else value[:left], headers
