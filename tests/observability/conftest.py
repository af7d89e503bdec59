"""A worker on a stream with a fault, seen by a real Prometheus that has our rules, beside a real Alertmanager."""

import json
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from whydrift.shell.local_kafka import free_ports

from ..broker.conftest import Cluster, until
from ..push.conftest import Alertmanager
from ..run_command import RunCommand, configuration, run_command
from ..servers import Server, program
from ..shell.event_lines import healthy, in_thousands

DEPLOY = Path(__file__).parents[2] / "deploy"
RUNBOOK = "https://wiki.example/RUNBOOK.md"
ESTIMATE = 'whydrift_model_performance{metric=~"estimated_log_loss.*"} > 0'


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def own(self, name: str) -> float:
        """A metric of the server itself, over all its labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def query(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return found

    def query_minutes(self, expr: str, minutes: int = 30) -> list[dict[str, Any]]:
        """The series that a panel over the last minutes draws, by the server's clock."""
        now_s = float(self.get("query", query="time()")["result"][1])
        window = {"start": str(now_s - 60 * minutes), "end": str(now_s), "step": "0.5"}
        found: list[dict[str, Any]] = self.get("query_range", query=expr, **window)["result"]
        return found


@contextmanager
def prometheus(
    folder: Path, target: str, rules: list[Path], alertmanager: str, *, every: str = "200ms"
) -> Iterator[Prometheus]:
    """Scrapes `target` five times a second, so that tests need not wait, and tells the Alertmanager at HOST:PORT."""
    (port,) = free_ports(1)
    jobs = [{"job_name": "whydrift", "static_configs": [{"targets": [target]}]}]
    quick: dict[str, Any] = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    told = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    # As deploy/prometheus/prometheus.yml has it.
    told |= {"alert_relabel_configs": [{"action": "labeldrop", "regex": "whydrift_runbook"}]}
    quick["external_labels"] = {"whydrift_runbook": RUNBOOK}
    files = [str(rule) for rule in rules]
    config = {"global": quick, "rule_files": files, "scrape_configs": jobs, "alerting": told}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program("prometheus", "prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    url = f"http://127.0.0.1:{port}"
    server = Server(command, f"{url}/-/ready", folder / "prometheus.log")
    try:
        yield Prometheus(url)
    finally:
        server.stop()


@dataclass(frozen=True)
class Scene:
    """Everything that runs."""

    worker: RunCommand
    prometheus: Prometheus
    alertmanager: Alertmanager
    send: Callable[[list[str]], None]


@pytest.fixture(scope="module")
def scene(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An incident is open, everything about it is scraped, and an alert of it was sent. Ended with the file that asked: what runs
    on costs the other tests their time.
    """
    folder = tmp_path_factory.mktemp("observed")
    name = f"t{uuid.uuid4().hex[:10]}"
    alertmanager = Alertmanager(folder / "alertmanager").start()
    cluster = Cluster(name, "kafka-python", kafka)
    cluster.create(1)
    topic = cluster.settings.topics.events
    sections = {"alertmanager": {"urls": [alertmanager.url]}}
    well, ill = [*with_labels(healthy(1_200)), "oops"], [*with_labels(in_thousands(300, first=1_200))]
    rules = [DEPLOY / "prometheus/rules/worker.yaml", DEPLOY / "prometheus/rules/incidents.yaml"]
    with run_command(configuration(cluster, folder, sections)) as worker:
        until(lambda: worker.get("/readyz")[0] == 200, "ready")
        with prometheus(folder, worker.address, rules, alertmanager.url.removeprefix("http://")) as seen:
            until(lambda: bool(seen.query("whydrift_ready == 1")), "a scrape before the events")
            cluster.send(topic, [line.encode() for line in well])
            until(lambda: bool(seen.query(ESTIMATE)), "an estimate without labels is scraped")
            cluster.send(topic, [line.encode() for line in ill])
            until(lambda: bool(seen.query("whydrift_incidents_open == 1")), "the incident is scraped")
            until(lambda: bool(alertmanager.alerts()), "the alert")
            until(lambda: bool(seen.query("whydrift_sink_sent_total >= 1")), "its delivery is scraped")
            yield Scene(worker, seen, alertmanager, lambda more: cluster.send(topic, [one.encode() for one in more]))
        assert worker.end(signal.SIGTERM) == 0
    cluster.close()
    alertmanager.stop()


def with_labels(lines: Iterator[str]) -> Iterator[str]:
    """Each prediction, and at once its label: every third answer is wrong."""
    for number, line in enumerate(lines):
        event = json.loads(line)
        answer = event["prediction"]["label"]
        actual = {"approve": "refuse", "refuse": "approve"}[answer] if number % 3 == 0 else answer
        label = {key: event[key] for key in ("event_id", "model_id", "timestamp")} | {"kind": "label", "actual": actual}
        yield line
        yield json.dumps(label)
