"""compose.yaml: what of it can be had here is run, a fault switched on and off by one command; the rest fits the files it mounts.

Run: kafka, serving, whydrift. Not run where their images cannot be pulled: prometheus, alertmanager, grafana; their configuration
meets the real programs in tests/observability and tests/push.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from whydrift.config import PREFIX, load
from whydrift.demo.service import SWITCHES
from whydrift.shell.local_kafka import KAFKA_VERSION, free_ports

from ..broker.conftest import until
from ..conftest import skip_or_fail

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "compose.yaml"
CONTENT = yaml.safe_load(FILE.read_text("utf-8"))
SERVICES = CONTENT["services"]
QUICK = """
services:
  whydrift:
    environment: {WHYDRIFT_CORE__BASELINE_EVENTS: 300, WHYDRIFT_CORE__FIRST_STAGE_EVENTS: 100}
"""
"""Two minutes of learning are too long for a test."""


def test_every_image_has_a_version_and_every_port_is_this_machine_s_own() -> None:
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert tag not in ("", "latest", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_what_is_mounted_is_there() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert len(mounts) >= 4
    for host, inside, mode in mounts:
        assert (DEPLOY / host).is_dir(), host
        assert mode == "ro"
        assert inside.startswith("/etc/")
    assert (DEPLOY / "prometheus/prometheus.yml").exists()
    assert (DEPLOY / "alertmanager/alertmanager.yml").exists()


def test_the_worker_s_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["whydrift"]["environment"].items():
        assert name.startswith(PREFIX)
        monkeypatch.setenv(name, value)
    config = load()
    assert config.alertmanager.urls == ("http://alertmanager:9093",)
    assert config.kafka.bootstrap_servers == "kafka:9092"


def test_containers_of_ours_may_write_nowhere_and_do_nothing_special() -> None:
    for name in ("serving", "whydrift"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_faults_of_its_comment_are_the_switches() -> None:
    (line,) = [line for line in FILE.read_text("utf-8").splitlines() if line.startswith("# Faults: ")]
    assert line.removeprefix("# Faults: ").rstrip(".").split(", ") == list(SWITCHES)


# --- run


def compose_command() -> list[str]:
    """The plugin of docker, or the program that came before it."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        skip_or_fail("neither `docker compose` nor docker-compose is installed (Debian package docker-compose)")
    return ["docker-compose"]


class Project:
    """The services that run here, under a name and on a port of this test's own."""

    def __init__(self, name: str, folder: Path) -> None:
        quick = folder / "quick.yaml"
        quick.write_text(QUICK)
        (port,) = free_ports(1)
        self._command = [*compose_command(), "-p", name, "-f", str(FILE), "-f", str(quick)]
        self._environment = os.environ | {"WHYDRIFT_PORT": str(port), "DOCKER_BUILDKIT": "0"}
        self._url = f"http://127.0.0.1:{port}/metrics"

    def __call__(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2_000:]} {done.stderr[-2_000:]}"
        return done.stdout

    def can(self, *arguments: str) -> bool:
        return self._run(*arguments).returncode == 0

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*self._command, *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def metric(self, name: str, **labels: str) -> float:
        """0 while it is not there."""
        try:
            text = httpx.get(self._url, timeout=5).text
        except httpx.TransportError:
            return 0.0
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


@pytest.fixture
def project(docker_client: Any, tmp_path: Path, unique: str) -> Iterator[Project]:
    made = Project(unique, tmp_path)
    try:
        yield made
    finally:
        made("down", "--volumes", "--timeout", "2")


def test_a_fault_that_is_switched_on_is_named_and_one_that_is_mended_resolves(project: Project) -> None:
    project("build", "whydrift")
    project("up", "-d", "--no-build", "kafka", "serving", "whydrift")
    until_long(lambda: project.metric("whydrift_model_baseline_ratio") == 1, "the reference is learnt")
    assert project.metric("whydrift_model_incidents") == 0
    examined = project("exec", "-T", "whydrift", "sh", "-c", "whydrift doctor || true")
    assert "ok    kafka " in examined
    assert [line for line in examined.splitlines() if line.startswith("FAIL")] == [
        "FAIL  alertmanager     http://alertmanager:9093: the name alertmanager is not known here "
        "(Name or service not known)"
    ], "it is not run here"
    project("exec", "-T", "serving", "touch", "/tmp/faults/unit_change")
    opened = {"fault": "unit_change", "model_id": "ldl-estimate"}
    until_long(lambda: project.metric("whydrift_incidents_open", **opened) == 1, "the incident")
    project("exec", "-T", "serving", "rm", "/tmp/faults/unit_change")
    until_long(lambda: project.metric("whydrift_model_incidents") == 0, "its end")
    project("restart", "--timeout", "1", "serving")  # as when Kafka was not there yet
    until_long(
        lambda: project.can("exec", "-T", "serving", "touch", "/tmp/faults/unit_change"), "a switch after a restart"
    )


def until_long(condition: Callable[[], bool], what: str) -> None:
    """Events come in real time here: three times as long as elsewhere."""
    for _ in range(2):
        try:
            until(condition, what)
            return
        except AssertionError:
            continue
    until(condition, what)
