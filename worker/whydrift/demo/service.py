"""The laboratory's service as it would run for good: it answers patients in real time, and breaks when it is told to.

A fault is switched on by a file of its name in a folder, and off by taking the file away: one command of any shell does it.
Belongs here: the loop, and the switches. Not here: patients and answers (`traffic`), what a fault does (`scenario`).
"""

import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import structlog

from whydrift.demo.laboratory import Laboratory
from whydrift.demo.scenario import DAY, Breakage
from whydrift.demo.traffic import MODEL_ID, TimedEvent, Traffic, label_event
from whydrift.shell.clients import Client, Message
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.sinks.kafka_topic import partition_of_key
from whydrift.shell.topic_check import checked_partition_counts
from whydrift_schemas import encode

SWITCHES = {breakage.fault.value: breakage for breakage in DAY}
"""By the name of the file that switches it on."""
PER_SECOND = 20.0
TURN_MS = 500
LABEL_SPEEDUP = 30.0
"""Labels come within two minutes instead of an hour: people are watching."""
SEED = 1

log = structlog.get_logger(__name__)


class Service:
    """`clock_ms` is the time since 1970; `folder` has the switches. `turn` sends what has come up since the last one."""

    def __init__(self, client: Client, topic: str, partitions: int, folder: Path, clock_ms: Callable[[], int]) -> None:
        self._topic = topic
        self._partition = partition_of_key(MODEL_ID.encode(), partitions)
        self._producer = client.producer("whydrift-demo-service")
        self._folder = folder
        self._clock_ms = clock_ms
        self._traffic = Traffic(Laboratory(SEED), SEED)
        self._random = np.random.default_rng(SEED)
        self._from_ms = clock_ms()
        self._waiting: list[tuple[int, str, float]] = []
        self._on: tuple[str, ...] = ()
        self._send([self._traffic.description(self._from_ms)])

    def turn(self) -> None:
        """Raises KafkaClientError: then the process is to be started again."""
        now_ms = self._clock_ms()
        on = self._switched_on()
        events: list[TimedEvent] = []
        blocks = self._traffic.block(self._from_ms, max(now_ms - self._from_ms, 1), PER_SECOND, on, self._random)
        for prediction, delay_ms, ldl in blocks:
            events.append(TimedEvent(prediction.timestamp, True, encode(prediction)))
            due_ms = prediction.timestamp + int(delay_ms / LABEL_SPEEDUP)
            heappush(self._waiting, (due_ms, prediction.event_id, ldl))
        while self._waiting and self._waiting[0][0] <= now_ms:
            events.append(label_event(*heappop(self._waiting)))
        self._from_ms = now_ms
        self._send([event.value for event in sorted(events, key=lambda event: event.time_ms)])

    def _switched_on(self) -> Sequence[Breakage]:
        on = tuple(name for name in SWITCHES if (self._folder / name).exists())
        if on != self._on:
            log.info("faults", on=list(on))
            self._on = on
        return [SWITCHES[name] for name in on]

    def _send(self, values: Sequence[bytes]) -> None:
        if not values:
            return
        self._producer.begin()
        for value in values:
            self._producer.send(Message(self._topic, self._partition, MODEL_ID.encode(), value))
        self._producer.flush()
        self._producer.commit()

    def close(self) -> None:
        self._producer.discard()


def serve(bootstrap: str, folder: Path) -> None:
    """Until the process is ended. Topics have their usual names, and are created where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = KafkaSettings(bootstrap_servers=bootstrap, create_topics=True)
    client = connect(settings)
    try:
        topic = settings.topics.events
        counts = checked_partition_counts(client, settings)
        service = Service(client, topic, counts[topic], folder, lambda: time.time_ns() // 1_000_000)
        log.info("serving", topic=topic, faults=f"files in {folder}: {', '.join(SWITCHES)}")
        try:
            while True:
                service.turn()
                time.sleep(TURN_MS / 1000)
        finally:
            service.close()
    finally:
        client.close()
