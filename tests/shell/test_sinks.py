"""Sinks: the laws of all, found by their place, and what each does on its own."""

import importlib
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from whydrift.core.records import Emit, Output, Record, Reject
from whydrift.shell import sinks
from whydrift.shell.clients import Message
from whydrift.shell.kafka_settings import Topics
from whydrift.shell.sinks.jsonl import JsonlSink
from whydrift.shell.sinks.kafka_topic import MAX_REJECTED_BYTES, KafkaTopicSink, partition_of_key
from whydrift.shell.sinks.sink import Sink
from whydrift_schemas import Diagnosis, RejectReason, encode

REASON = next(iter(RejectReason))
TOPICS = Topics()


def emit(offset: int, model_id: str = "credit-risk") -> Emit:
    described = {
        "kind": "diagnosis",
        "incident_id": "incident",
        "sequence": 1,
        "status": "opened",
        "model_id": model_id,
        "model_versions": ["1"],
        "severity": "warning",
        "onset_at": "2026-11-23T16:45:00Z",
        "detected_at": "2026-11-23T16:46:00Z",
        "resolved_at": None,
        "detected": {"partition": 0, "offset": offset},
        "summary": "income arrives in thousands – Größe ×1000",
        "causes": [],
        "ruled_out": [],
        "evidence": [],
        "impact": None,
    }
    return Emit(offset, Diagnosis.model_validate(described))


def reject(
    value: bytes | None = b"\xff", key: bytes | None = b"k", headers: tuple[tuple[str, bytes], ...] = ()
) -> Reject:
    return Reject(Record("events", 7, 42, value, key, 1_700_000_000_000, headers), REASON, "why – so")


class Sent:
    """Stands where the producer does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def kafka_sink(sent: Sent) -> KafkaTopicSink:
    return KafkaTopicSink(sent.messages.append, sent.flush, TOPICS, {TOPICS.diagnoses: 12, TOPICS.rejected: 4}, "1.2.3")


Opened = tuple[Sink, Callable[[], list[bytes | None]]]


def opened_jsonl(folder: Path) -> Opened:
    path = folder / "out.jsonl"
    return JsonlSink(path), lambda: list(path.read_bytes().splitlines())


def opened_kafka_topic(folder: Path) -> Opened:
    sent = Sent()
    return kafka_sink(sent), lambda: [message.value for message in sent.messages if message.topic == TOPICS.diagnoses]


OPENED = {"jsonl": opened_jsonl, "kafka_topic": opened_kafka_topic}
FOUND = sorted(module.name for module in pkgutil.iter_modules(sinks.__path__) if module.name != "sink")


@pytest.fixture(params=FOUND)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    assert request.param in OPENED, (
        f"tell this test how to open the sink {request.param}, and how to read back what it took"
    )
    return OPENED[request.param](tmp_path)


def test_each_sink_says_at_its_top_what_belongs_in_it() -> None:
    for name in FOUND:
        assert "Belongs here" in (importlib.import_module(f"whydrift.shell.sinks.{name}").__doc__ or "")


def test_diagnoses_come_out_encoded_and_in_order(opened: Opened) -> None:
    sink, read = opened
    sink.write([emit(1), reject(), emit(2)])
    sink.write([])
    sink.write([emit(3)])
    sink.flush()
    assert read() == [encode(emit(offset).diagnosis) for offset in (1, 2, 3)]


def test_closing_flushes_and_closing_again_does_nothing(opened: Opened) -> None:
    sink, read = opened
    sink.write([emit(1)])
    sink.close()
    sink.close()
    assert read() == [encode(emit(1).diagnosis)]


# --- jsonl


def test_an_existing_file_is_emptied_or_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for offset, append in ((1, False), (2, True)):
        sink = JsonlSink(path, append=append)
        sink.write([emit(offset)])
        sink.close()
    assert path.read_bytes().count(b"\n") == 2
    JsonlSink(path).close()
    assert path.read_bytes() == b""


def test_a_follower_sees_whole_lines_before_any_flush(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(path)
    sink.write([emit(1), emit(2)])
    assert path.read_bytes().endswith(b"\n")
    assert path.read_bytes().count(b"\n") == 2
    sink.close()


def test_a_pipe_that_takes_little_at_a_time_gets_everything(tmp_path: Path) -> None:
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)
    outputs: list[Output] = [emit(offset) for offset in range(2_000)]
    reader = subprocess.Popen(
        [sys.executable, "-c", f"import sys; print(len(open({str(path)!r}, 'rb').readlines()))"], stdout=-1
    )

    def write() -> None:
        sink = JsonlSink(path)
        sink.write(outputs)
        sink.close()

    writer = threading.Thread(target=write)
    writer.start()
    told, _ = reader.communicate(timeout=60)
    writer.join(60)
    assert told.strip() == b"2000"


def test_a_path_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JsonlSink(tmp_path / "no" / "folder")


# --- kafka_topic


def test_a_diagnosis_is_keyed_by_its_model_and_all_of_a_model_go_to_one_partition() -> None:
    sent = Sent()
    kafka_sink(sent).write([emit(1, "a"), emit(2, "b"), emit(3, "a")])
    assert [message.key for message in sent.messages] == [b"a", b"b", b"a"]
    assert sent.messages[0].partition == sent.messages[2].partition == partition_of_key(b"a", 12)


# From Apache Kafka's UtilsTest.testMurmur2: murmur2 of these strings, as signed 32-bit numbers.
@pytest.mark.parametrize(
    ("key", "murmur2"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_a_key_goes_where_javas_default_partitioner_puts_it(key: bytes, murmur2: int) -> None:
    assert partition_of_key(key, 1_000) == (murmur2 & 0x7FFFFFFF) % 1_000


def test_a_rejected_record_is_sent_on_as_it_was_with_its_origin_and_reason_beside_it() -> None:
    sent = Sent()
    kafka_sink(sent).write([reject(headers=(("trace", b"\x00"),))])
    (message,) = sent.messages
    assert (message.topic, message.partition, message.key, message.value) == (TOPICS.rejected, 7 % 4, b"k", b"\xff")
    assert message.headers == (
        ("trace", b"\x00"),
        ("whydrift.reason", REASON.value.encode()),
        ("whydrift.message", "why – so".encode()),
        ("whydrift.topic", b"events"),
        ("whydrift.partition", b"7"),
        ("whydrift.offset", b"42"),
        ("whydrift.timestamp_ms", b"1700000000000"),
        ("whydrift.bytes", b"1"),
        ("whydrift.version", b"1.2.3"),
    )


def test_a_rejected_tombstone_without_key_is_sent_on() -> None:
    sent = Sent()
    kafka_sink(sent).write([reject(None, None)])
    assert (sent.messages[0].key, sent.messages[0].value) == (None, None)


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (b"v" * 2_000_000, b"k", ()),
        (b"v", b"k" * 2_000_000, ()),
        (b"v", b"k", (("h", b"x" * 2_000_000),)),
        (b"v" * 2_000_000, b"k" * 500_000, (("h", b"x" * 300_000),)),
    ],
)
def test_a_record_rejected_for_its_size_still_fits_into_a_record(
    value: bytes, key: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    sent = Sent()
    kafka_sink(sent).write([reject(value, key, headers)])
    (message,) = sent.messages
    size = (
        len(message.key or b"")
        + len(message.value or b"")
        + sum(len(name) + len(content) for name, content in message.headers)
    )
    assert size < MAX_REJECTED_BYTES + 1_000
    assert key.startswith(message.key or b"?")
    assert value.startswith(message.value or b"")
    assert dict(message.headers)["whydrift.bytes"] == str(len(value)).encode()
