"""From an event in a real Kafka to an alert in a real Alertmanager, through `whydrift run`, and to its end."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..broker.conftest import Cluster, name, until
from ..run_command import configuration, run_command
from ..shell.event_lines import healthy, in_thousands
from .conftest import Alertmanager

__all__ = ["name"]


@pytest.fixture
def cluster(kafka: str, name: str) -> Iterator[Cluster]:  # a fixture by its name
    made = Cluster(name, "kafka-python", kafka)
    yield made
    made.close()


def test_a_fault_is_one_alert_over_a_restart_of_the_worker_and_ends_when_it_is_mended(
    cluster: Cluster, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    cluster.create(1)
    topic = cluster.settings.topics.events
    sections = {"alertmanager": {"urls": [alertmanager.url]}, "links": {"public_url": "https://whydrift.example"}}
    config = configuration(cluster, tmp_path, sections)
    cluster.send(topic, [line.encode() for line in (*healthy(1_200), *in_thousands(300, first=1_200))])
    with run_command(config) as running:
        until(lambda: len(alertmanager.alerts()) == 1, "the alert")
        assert running.end(signal.SIGTERM) == 0
    (before,) = alertmanager.alerts()
    assert before["labels"]["opened_as"] == "unit_change"
    assert "income" in before["annotations"]["summary"]
    with run_command(config) as running:
        until(lambda: alertmanager.alerts()[0]["updatedAt"] > before["updatedAt"], "sent again after the restart")
        (after,) = alertmanager.alerts()
        assert after["labels"] == before["labels"]
        cluster.send(topic, [line.encode() for line in healthy(6_000, first=1_500)])
        until(lambda: alertmanager.alerts() == [], "the end of the alert")
        assert running.end(signal.SIGTERM) == 0
    assert not [line for line in running.lines if '"error"' in line]
