"""What a worker shows of itself to other threads: that it hangs, and pictures of its pipelines that cost it little."""

import itertools
import threading
from collections.abc import Mapping, Sequence

from whydrift.core.records import Output, Record
from whydrift.core.status import OpenIncident, PartitionStatus
from whydrift.shell.clients import Client, Message, Producer
from whydrift.shell.http_server import why_unhealthy
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.memory import MemoryBroker, MemoryClient
from whydrift.shell.worker import PICTURE_FRACTION, Worker

SETTINGS = KafkaSettings(
    bootstrap_servers="memory:1", restore_timeout_s=1e9, create_topics=True, new_topic_partitions=1
)
TIMEOUT_S = 60.0


class Clock:
    """Goes on by `step_s` whenever somebody looks; nobody waits for it."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


class OnePipeline:
    """Both maker and pipeline; `process` and `status` do what a test overrides."""

    def create(self, partition: int) -> "OnePipeline":
        return self

    def restore(self, partition: int, sections: Mapping[str, bytes]) -> "OnePipeline":
        return self

    def process(self, records: Sequence[Record]) -> list[Output]:
        return []

    def snapshot(self) -> dict[str, bytes]:
        return {}

    def open_incidents(self) -> tuple[OpenIncident, ...]:
        return ()

    def status(self) -> PartitionStatus:
        return PartitionStatus("events", 0, None, None, 0)


def worker(broker: MemoryBroker, pipelines: OnePipeline, clock: Clock) -> Worker:
    def connect(settings: KafkaSettings) -> Client:
        return MemoryClient(broker, settings.topics.events, settings.group_id, settings.max_poll_records)

    return Worker(SETTINGS, pipelines, connect, clock)


def send_one(broker: MemoryBroker) -> None:
    client = MemoryClient(broker, SETTINGS.topics.events, "other", 10)
    client.create_topic(SETTINGS.topics.events, 1, 1, {})
    producer = client.producer("test")
    producer.begin()
    producer.send(Message(SETTINGS.topics.events, 0, None, b"x"))
    producer.flush()
    producer.commit()


def test_a_loop_that_hangs_is_seen_from_outside() -> None:
    hanging, go_on = threading.Event(), threading.Event()

    class Hangs(OnePipeline):
        def process(self, records: Sequence[Record]) -> list[Output]:
            hanging.set()
            assert go_on.wait(TIMEOUT_S)
            return []

    broker, clock = MemoryBroker(), Clock(step_s=0.001)
    made = worker(broker, Hangs(), clock)
    assert made.status().turn_age_s is None
    send_one(broker)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert hanging.wait(TIMEOUT_S)
        assert why_unhealthy(made.status(), 120.0) is None
        clock.now_s += 500.0
        assert "did not come round for 500 s" in (why_unhealthy(made.status(), 120.0) or "")
    finally:
        made.stop()
        go_on.set()
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_a_worker_whose_partitions_are_not_restored_yet_is_never_ready() -> None:
    """Making the producer takes seconds on a busy broker: what is shown meanwhile is asked then."""
    seen: list[tuple[bool, bool]] = []
    broker = MemoryBroker()

    class Slow(MemoryClient):
        def producer(self, transactional_id: str) -> Producer:
            status = made.status()
            seen.append((status.joined, status.ready))
            return super().producer(transactional_id)

    def connect(settings: KafkaSettings) -> Client:
        return Slow(broker, settings.topics.events, settings.group_id, settings.max_poll_records)

    class Stops(OnePipeline):
        def process(self, records: Sequence[Record]) -> list[Output]:
            made.stop()
            return []

    made = Worker(SETTINGS, Stops(), connect, Clock(step_s=0.001))
    send_one(broker)
    made.run()
    assert seen == [(True, False)]


def test_the_delay_of_what_is_published_begins_when_its_first_record_is_read() -> None:
    broker, clock = MemoryBroker(), Clock(step_s=0.001)

    class Slow(OnePipeline):
        def process(self, records: Sequence[Record]) -> list[Output]:
            clock.now_s += 40.0
            made.stop()
            return []

    made = worker(broker, Slow(), clock)
    send_one(broker)
    made.run()
    status = made.status()
    assert sum(status.publication_delays.counts) == 1
    assert 40.0 < status.publication_delays.total_s < 41.0
    assert status.commit_durations.total_s < 1.0, "which began after it"


def test_pictures_of_many_models_are_taken_so_seldom_that_they_take_a_fiftieth_of_the_time() -> None:
    picture_s, end_s = 20.0, 3_500.0
    taken: list[float] = []
    clock = Clock(step_s=50.0)

    class Slow(OnePipeline):
        def status(self) -> PartitionStatus:
            taken.append(clock.now_s)
            clock.now_s += picture_s
            if clock.now_s > end_s:
                made.stop()
            return super().status()

    made = worker(MemoryBroker(), Slow(), clock)
    made.run()
    pauses = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert pauses, "more than one picture was taken"
    assert min(pauses) >= picture_s / PICTURE_FRACTION
