"""Where the demo plays: an imitation of Kafka in memory, a Kafka that runs already, or one started for it.

Belongs here: brokers, and topics of the demo's own. Not here: who sends (`feed`) and who reads (`diagnoses`).
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whydrift.shell.clients import Client
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import KafkaSettings, Topics
from whydrift.shell.local_kafka import KAFKA_VERSION, LocalKafka
from whydrift.shell.memory import MemoryBroker, MemoryClient
from whydrift.shell.topic_check import checked_partition_counts

_COMMIT_INTERVAL_MS = 200
"""Shorter than the worker's own default: people are watching."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`connect` makes clients by these settings; `place` says in words where the events go."""

    settings: KafkaSettings
    connect: Callable[[KafkaSettings], Client]
    place: str

    def create_topics(self) -> None:
        """Raises KafkaSetupError, KafkaClientError."""
        client = self.connect(self.settings)
        try:
            checked_partition_counts(client, self.settings)
        finally:
            client.close()


@contextmanager
def stage(bootstrap: str | None, kafka: bool) -> Iterator[Stage]:
    """Raises LocalKafkaError where `kafka` is asked for and cannot be had."""
    if bootstrap is not None:
        yield _on_kafka(bootstrap, f"Kafka at {bootstrap}")
    elif kafka:
        folder = tempfile.TemporaryDirectory(prefix="whydrift-demo-", ignore_cleanup_errors=True)
        with folder as path, LocalKafka(Path(path)) as broker:
            yield _on_kafka(broker.bootstrap_servers, f"Apache Kafka {KAFKA_VERSION}, started for this demo")
    else:
        yield _in_memory()


def _in_memory() -> Stage:
    broker = MemoryBroker()

    def connected(settings: KafkaSettings) -> Client:
        return MemoryClient(broker, settings.topics.events, settings.group_id, settings.max_poll_records)

    return Stage(_settings("demo", "memory"), connected, "an imitation of Kafka in memory")


def _on_kafka(bootstrap: str, place: str) -> Stage:
    settings = _settings(f"whydrift-demo-{uuid.uuid4().hex[:8]}", bootstrap)
    return Stage(settings, connect, f"{place} (topics {settings.topics.events}, …)")


def _settings(name: str, bootstrap: str) -> KafkaSettings:
    topics = Topics(
        events=f"{name}.events",
        diagnoses=f"{name}.diagnoses",
        rejected=f"{name}.rejected",
        state=f"{name}.state",
    )
    return KafkaSettings(
        bootstrap_servers=bootstrap,
        group_id=name,
        topics=topics,
        create_topics=True,
        new_topic_partitions=1,
        commit_interval_ms=_COMMIT_INTERVAL_MS,
    )
