"""`whydrift run` as people start it: a process, a configuration file, a real Kafka; watched over HTTP, ended by SIGTERM."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift.shell.changelog import Origin, StoredState
from whydrift_schemas import RejectReason, encode

from ..run_command import CORE, configuration, run_command
from ..shell.event_lines import healthy, in_thousands
from .conftest import Cluster, until

EVENTS = [*healthy(1_200), "oops", *in_thousands(300, first=1_200)]


@pytest.fixture
def cluster(kafka: str, name: str) -> Iterator[Cluster]:
    made = Cluster(name, "kafka-python", kafka)
    yield made
    made.close()


def wanted(cluster: Cluster) -> list[bytes]:
    """What the pipeline says of these records when nothing disturbs it."""
    topic = cluster.settings.topics.events
    pipeline = Pipeline(Settings(**CORE), topic, 0)
    outputs = pipeline.process(cluster.read(topic))
    return [encode(output.diagnosis) for output in outputs if isinstance(output, Emit)]


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_the_run_command_diagnoses_answers_over_http_and_ends_with_0_on_sigterm(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics = cluster.settings.topics
    config = configuration(cluster, tmp_path, create_topics=True, new_topic_partitions=1)
    with run_command(config) as running:
        until(lambda: running.get("/readyz")[0] == 200, "ready")
        assert running.get("/healthz")[0] == 200
        assert running.metric("whydrift_records_total") == 0, "counters are there before anything is counted"
        cluster.send(topics.events, [line.encode() for line in EVENTS])
        until(lambda: running.metric("whydrift_records_total") == len(EVENTS), "all processed")
        opened = {"model_id": "credit-risk", "fault": "unit_change"}
        until(
            lambda: running.metric("whydrift_incidents_opened_total", **opened) == 1, "the incident is in the metrics"
        )
        assert running.metric("whydrift_rejects_total", reason=RejectReason.INVALID_JSON.value) == 1
        assert running.metric("whydrift_model_events_total", model_id="credit-risk") == 1_500
        assert running.metric("whydrift_diagnoses_total") == len(wanted(cluster))
        assert running.end(signal.SIGTERM) == 0
    assert values(cluster.read(topics.diagnoses)) == wanted(cluster) != []
    assert values(cluster.read(topics.rejected)) == [b"oops"]
    state = StoredState(Origin(topics.events, cluster.settings.group_id, 0))
    for record in cluster.read(topics.state):
        state.add(record)
    manifest = state.manifest()
    assert manifest is not None
    logged = [json.loads(line) for line in running.lines]
    # Of its own lines: the client's may complain of a machine that is busy.
    own = [one for one in logged if one["logger"].startswith("whydrift")]
    assert own
    assert [one for one in own if one["level"] not in ("info", "warning")] == []


def test_a_second_run_goes_on_from_the_state_of_the_first_as_if_it_had_never_stopped(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    config = configuration(cluster, tmp_path)
    for part, done in ((EVENTS[:1_300], signal.SIGTERM), (EVENTS[1_300:], signal.SIGINT)):
        cluster.send(topics.events, [line.encode() for line in part])
        with run_command(config) as running:
            until(lambda: running.metric("whydrift_records_total") == len(part), "all processed")  # noqa: B023
            assert running.end(done) == 0
    assert values(cluster.read(topics.diagnoses)) == wanted(cluster) != []


def test_every_scrape_during_a_restore_is_whole_and_says_how_far_it_is(cluster: Cluster, tmp_path: Path) -> None:
    cluster.create(1)
    config = configuration(cluster, tmp_path)
    cluster.send(cluster.settings.topics.events, [line.encode() for line in EVENTS])
    with run_command(config) as running:
        until(lambda: running.metric("whydrift_records_total") == len(EVENTS), "all processed")
        assert running.end(signal.SIGTERM) == 0
    with run_command(config) as running:
        ready, restored = [], []
        while not ready or ready[-1] == 0.0:
            code, text = running.get("/metrics")
            assert code == 200
            found = {
                sample.name: sample.value for one in text_string_to_metric_families(text) for sample in one.samples
            }
            ready.append(found["whydrift_ready"])
            restored.append(found.get("whydrift_partition_restored_ratio"))
            assert running.process.poll() is None
        assert ready[0] == 0.0, "scraped before it was restored"
        assert restored[-1] == 1.0
        until(
            lambda: running.metric("whydrift_model_events_total", model_id="credit-risk") == 1_500, "its state is back"
        )
        opened = {"model_id": "credit-risk", "fault": "unit_change"}
        assert running.metric("whydrift_incidents_opened_total", **opened) == 1, "counted on, not from zero"


def test_a_missing_topic_ends_the_run_with_1_and_the_command_that_creates_it(cluster: Cluster, tmp_path: Path) -> None:
    with run_command(configuration(cluster, tmp_path)) as running:
        assert running.ended() == 1
    topics = cluster.settings.topics
    assert running.lines[-1].startswith(f"whydrift: {topics.events} and {topics.diagnoses} and ")
    assert f" --create --topic {topics.events} --partitions 4 --replication-factor 1`" in running.lines[-1]
    assert "Traceback" not in "".join(running.lines)


def test_a_wrong_partition_count_ends_the_run_with_1_and_says_which(cluster: Cluster, tmp_path: Path) -> None:
    topics = cluster.settings.topics
    for topic, partitions in ((topics.events, 2), (topics.diagnoses, 1), (topics.rejected, 1), (topics.state, 1)):
        cluster.admin.create_topic(topic, partitions, 1, {})
    with run_command(configuration(cluster, tmp_path)) as running:
        assert running.ended() == 1
    assert running.lines[-1].startswith(f"whydrift: {topics.state} has 1 partitions and {topics.events} has 2: ")


def test_nothing_but_rejects_ends_the_run_with_1_and_leaves_them_in_the_topic(cluster: Cluster, tmp_path: Path) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [b"x"] * 30)
    with run_command(configuration(cluster, tmp_path, reject_limits={"in_a_row": 20})) as running:
        assert running.ended() == 1
    assert running.lines[-1].startswith("whydrift: 20 records in a row were rejected (reject_limits.in_a_row)")
    assert "invalid_json" in running.lines[-1]
