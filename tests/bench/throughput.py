"""How many events a second, in how much memory: `python tests/bench/throughput.py [--events N] [--no-kafka]`.

Aims: 25,000 events/s on one core in replay; at most 5 MB of state per model. They are named beside the figures and never
asserted: the figures are this machine's, at this moment.

Each measurement runs in a process of its own, so that its peak memory is its own. Replay: lines of a file through a `Pipeline`,
next to bare `decode` of the same lines. Kafka: a topic of one partition through a `Worker` until everything is committed, next to
bare `poll()` by the same client; the broker is a real one, on the same machine. Reading the file is not part of the time;
fetching from the broker is. Belongs here: measuring and the table. Not here: the events (`made_events`).
"""

import argparse
import os
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the console script does, before numpy comes in

from made_events import write_events

from whydrift.core.decode import decode
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift.shell.clients import Message
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import ClientName, KafkaSettings, Topics
from whydrift.shell.local_kafka import LocalKafka, LocalKafkaError
from whydrift.shell.logs import configure_logs
from whydrift.shell.pipelines import CorePipelines
from whydrift.shell.telemetry_settings import LogSettings
from whydrift.shell.worker import Worker

AIM_EVENTS_PER_S = 25_000
AIM_STATE_BYTES = 5_000_000
BATCH = 1_000
STALLED_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One kind of stream. The clock starts after `warm_up` records."""

    name: str
    models: int = 1
    labelled: bool = False
    settings: Settings = field(default_factory=Settings)
    warm_up: int = 0


LEARNT = replace(Settings(), first_stage_events=200, baseline_events=200)
"""Under these settings a model has learnt and tuned all it will after 400 events, so the clock sees none of it."""

VARIANTS = (
    Variant(name="1 model"),
    Variant(name="1 model, labels", labelled=True),
    Variant(name="100 models, learning", models=100),
    Variant(name="100 models, learnt", models=100, settings=LEARNT, warm_up=100 * 400),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One line of the table. CPU is that of this process alone, in all its threads."""

    records: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    state_bytes: float | None = None
    diagnoses: int = 0


class Stopwatch:
    """Wall and CPU seconds of what runs between `going` blocks."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    @contextmanager
    def going(self) -> Iterator[None]:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall_s
        self.cpu_s += time.process_time() - cpu_s

    def measured(self, records: int, state_bytes: float | None = None, diagnoses: int = 0) -> Measured:
        return Measured(
            records=records,
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
            peak_mb=_peak_mb(),
            state_bytes=state_bytes,
            diagnoses=diagnoses,
        )


def _peak_mb() -> float:
    """Resident memory. Linux's `ru_maxrss` remembers the parent process, so there the kernel's own mark is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(peak) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


# --- replay


def batches(path: Path) -> Iterator[list[Record]]:
    offset = 0
    with path.open("rb") as file:
        while lines := list(islice(file, BATCH)):
            yield [Record("bench", 0, number, line.rstrip()) for number, line in enumerate(lines, offset)]
            offset += len(lines)


def bare_decode(path: Path) -> Measured:
    settings, watch, count = Settings(), Stopwatch(), 0
    for batch in batches(path):
        with watch.going():
            for record in batch:
                decode(record.value, settings)
        count += len(batch)
    return watch.measured(count)


def replay(path: Path, variant: Variant) -> Measured:
    pipeline, watch = Pipeline(variant.settings, "bench", 0), Stopwatch()
    count = said = 0
    for batch in batches(path):
        is_warm = batch[0].offset >= variant.warm_up
        with watch.going() if is_warm else nullcontext():
            outputs = pipeline.process(batch)
        count += len(batch) if is_warm else 0
        said += sum(isinstance(output, Emit) for output in outputs)
    peak_without_snapshot = watch.measured(count)
    sections = pipeline.snapshot()
    return replace(peak_without_snapshot, state_bytes=_state_bytes(sections) / variant.models, diagnoses=said)


def _state_bytes(sections: Mapping[str, bytes]) -> int:
    return sum(len(content) for content in sections.values())


# --- Kafka


def kafka_settings(bootstrap: str, client: ClientName, topic: str, group: str) -> KafkaSettings:
    topics = Topics(events=topic, diagnoses=f"{group}-out", rejected=f"{group}-bad", state=f"{group}-state")
    return KafkaSettings(
        bootstrap_servers=bootstrap,
        client=client,
        group_id=group,
        topics=topics,
        create_topics=True,
        new_topic_partitions=1,
    )


def fill_topic(settings: KafkaSettings, path: Path) -> int:
    client = connect(settings)
    client.create_topic(settings.topics.events, 1, 1, {})
    producer = client.producer(f"{settings.group_id}-fill")
    count = 0
    for batch in batches(path):
        producer.begin()
        for record in batch:
            producer.send(Message(settings.topics.events, 0, b"bench", record.value))
        producer.flush()
        producer.commit()
        count += len(batch)
    producer.discard()
    client.close()
    return count


def bare_poll(settings: KafkaSettings, count: int) -> Measured:
    """Records fetched and counted, nothing else. The clock starts when the group has given the partition."""
    client = connect(settings)
    consumer = client.consumer()
    while not consumer.take_change().assigned:
        consumer.poll(0.1)
    watch, seen, deadline_s = Stopwatch(), 0, time.monotonic() + STALLED_S
    with watch.going():
        consumer.start_at(0, 0)
        while seen < count and time.monotonic() < deadline_s:
            seen += sum(len(records) for records in consumer.poll(0.2).values())
    consumer.close()
    client.close()
    return watch.measured(seen)


def worker(settings: KafkaSettings, variant: Variant, count: int) -> Measured:
    """As `whydrift run` does it, until all is committed. The clock starts when the worker is ready, and warm."""
    configure_logs(LogSettings(level="error"))
    pipelines = CorePipelines(variant.settings, settings.topics.events, {})
    running, watch = Worker(settings, pipelines, connect), Stopwatch()
    before: list[int] = []

    def stop_when_done() -> None:
        begun_s = time.monotonic()
        _wait_until(lambda: running.status().ready and running.status().records >= variant.warm_up, begun_s)
        before.append(running.status().records)
        with watch.going():
            _wait_until(lambda: running.status().records >= count, begun_s)
        running.stop()

    thread = threading.Thread(target=stop_when_done)
    thread.start()
    running.run()
    thread.join()
    status = running.status()
    return watch.measured(status.records - before[0], diagnoses=status.diagnoses)


def _wait_until(condition: Callable[[], bool], begun_s: float) -> None:
    while not condition() and time.monotonic() < begun_s + STALLED_S:
        time.sleep(0.01)


# --- the table


def alone(measure: Callable[[], Measured]) -> Measured:
    """In a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure).result()


def heading() -> None:
    columns = ("", "records", "wall s", "CPU s", "per s", "per CPU s", "x bare", "peak MB", "state/model", "said")
    print(f"{columns[0]:48}" + "".join(f"{name:>12}" for name in columns[1:]))


def row(name: str, measured: Measured, bare: Measured | None = None) -> None:
    """`x bare`: CPU time of a record, in that of the bare measurement above it."""
    per_s, per_cpu_s = measured.records / measured.wall_s, measured.records / measured.cpu_s
    times_bare = "" if bare is None else f"{bare.records / bare.cpu_s / per_cpu_s:.1f}"
    state = "" if measured.state_bytes is None else f"{measured.state_bytes / 1e6:.2f} MB"
    said = "" if bare is None else str(measured.diagnoses)
    cells: tuple[str, ...] = (
        f"{measured.records:,}",
        f"{measured.wall_s:.2f}",
        f"{measured.cpu_s:.2f}",
        f"{per_s:,.0f}",
    )
    cells += (f"{per_cpu_s:,.0f}", times_bare, f"{measured.peak_mb:.0f}", state, said)
    print(f"{name:48}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


def print_replay(variant: Variant, path: Path) -> None:
    bare = alone(partial(bare_decode, path))
    row(f"{variant.name}: bare decode", bare)
    row(f"{variant.name}: replay", alone(partial(replay, path, variant)), bare)


def print_kafka(variant: Variant, path: Path, bootstrap: str) -> None:
    name = variant.name.replace(" ", "-").replace(",", "")
    count = fill_topic(kafka_settings(bootstrap, "librdkafka", name, f"{name}-filling"), path)
    for client in ("kafka-python", "librdkafka"):
        settings = partial(kafka_settings, bootstrap, client, name)
        bare = alone(partial(bare_poll, settings(f"{name}-{client}-bare"), count))
        row(f"{variant.name}: bare poll, {client}", bare)
        done = alone(partial(worker, settings(f"{name}-{client}"), variant, count))
        row(f"{variant.name}: worker, {client}", done, bare)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--events", type=int, default=100_000, metavar="N", help="records of each stream (100,000)")
    options.add_argument("--no-kafka", action="store_true", help="replay only")
    wanted = options.parse_args()
    print(
        f"aims: {AIM_EVENTS_PER_S:,} events/s in replay on one core, {AIM_STATE_BYTES / 1e6:.0f} MB of state per model"
    )
    heading()
    with tempfile.TemporaryDirectory() as folder:
        streams = {variant: Path(folder) / f"{number}.jsonl" for number, variant in enumerate(VARIANTS)}
        for variant, path in streams.items():
            predictions = wanted.events // 2 if variant.labelled else wanted.events + variant.warm_up
            write_events(path, predictions, variant.models, labelled=variant.labelled)
        for variant, path in streams.items():
            print_replay(variant, path)
        if not wanted.no_kafka:
            with LocalKafka(Path(folder) / "kafka") as broker:
                for variant, path in streams.items():
                    print_kafka(variant, path, broker.bootstrap_servers)


if __name__ == "__main__":
    try:
        main()
    except LocalKafkaError as error:
        sys.exit(f"{error}; or leave Kafka out with --no-kafka")
