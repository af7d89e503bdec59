"""The worker's image: what is in it, and that it works as hardened as Kubernetes would run it, through SIGTERM and SIGKILL."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit
from whydrift.core.settings import Settings
from whydrift.shell.local_kafka import free_ports
from whydrift_schemas import encode

from ..broker.conftest import Cluster, until
from ..shell.event_lines import healthy, in_thousands
from .conftest import IMAGE, ContainerKafka

CORE = {"baseline_events": 400, "first_stage_events": 100}
LINES = [line.encode() for line in (*healthy(1_200), *in_thousands(300, first=1_200))]
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "user": "12345:12345"}
AIM_MB, OFFICIAL_BASE_MB = 420, 130
"""Of the whole image, unpacked; and of python:3.11-slim-bookworm. A stand-in's size must not count, so what is added does."""
PACKAGES = "cd /opt/whydrift/lib/python3*/site-packages && du -s --apparent-size -B1000 */"
MOST_SHOWN = 12


def test_its_size_and_what_it_is_spent_on_is_printed_and_within_the_aim(
    image: Any, docker_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    base = docker_client.images.get("python:3.11-slim-bookworm").attrs["Size"] / 1e6
    added = image.attrs["Size"] / 1e6 - base
    with capsys.disabled():
        print(
            f"\nimage: {added:.0f} MB on a base of {base:.0f} MB, {OFFICIAL_BASE_MB + added:.0f} MB on the official one"
        )
        print(f"  (aim ≤ {AIM_MB} MB unpacked); packages, MB: {spent(docker_client)}")
    assert added <= AIM_MB - OFFICIAL_BASE_MB


def spent(docker_client: Any) -> str:
    """The largest packages, each with the libraries it brought."""
    sizes: Counter[str] = Counter()
    lines = docker_client.containers.run(IMAGE, ["-c", PACKAGES], entrypoint="sh", network_mode="none", remove=True)
    for line in lines.decode().splitlines():
        kilobytes, folder = line.split("\t")
        sizes[folder.rstrip("/").removesuffix(".libs")] += int(kilobytes)
    largest = sizes.most_common(MOST_SHOWN)
    named = [f"{name} {size / 1e3:.0f}" for name, size in largest]
    return ", ".join(
        [*named, f"{len(sizes) - len(largest)} others {(sizes.total() - sum(dict(largest).values())) / 1e3:.0f}"]
    )


def test_it_says_what_it_is_and_runs_as_nobody_in_particular(image: Any) -> None:
    config = image.attrs["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.title"] == "whydrift"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Entrypoint"] == ["whydrift"]


def test_no_compiler_no_package_manager_of_python_and_no_cache_is_left(image: Any, docker_client: Any) -> None:
    packages = "ls /opt/whydrift/lib/python3*/site-packages | grep -E '^(pip|setuptools|pytest)'"
    script = f"command -v gcc cc pip make; {packages}; ls -A /root/.cache 2>/dev/null; true"
    found = docker_client.containers.run(IMAGE, ["-c", script], entrypoint="sh", user="root", remove=True)
    assert found == b""


def test_the_version_is_told_without_any_configuration(image: Any, docker_client: Any) -> None:
    found = docker_client.containers.run(IMAGE, ["--version"], remove=True, network_mode="none", **HARDENED)
    assert found.startswith(b"whydrift 0.")


def test_a_report_with_its_figures_as_files_needs_a_folder_to_write_to_and_nothing_else(
    image: Any, docker_client: Any
) -> None:
    command = ["docker", "run", "--rm", "-i", "--read-only", "--cap-drop=ALL", "--network=none", "--user=12345:12345"]
    command += ["--tmpfs=/out:mode=777", *(f"-e=WHYDRIFT_CORE__{name.upper()}={value}" for name, value in CORE.items())]
    script = "whydrift report - --output /out/week.html --images /out/figures --image-format png && ls /out/figures"
    command += ["--entrypoint=sh", IMAGE, "-c", f"{script} && head -c 4 /out/figures/*1-distribution.png"]
    done = subprocess.run(command, input=b"".join(LINES), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\x89PNG"), done.stdout
    assert done.stdout.count(b".png") >= 3


@pytest.mark.parametrize("command", ["report", "replay", "profile"])
def test_a_read_only_root_is_told_with_what_to_do_where_no_folder_is_mounted(image: Any, command: str) -> None:
    docker = ["docker", "run", "--rm", "-i", "--read-only", "--cap-drop=ALL", "--network=none", "--user=12345:12345"]
    done = subprocess.run(
        [*docker, IMAGE, command, "-", "--output", "/week"], input=b"", capture_output=True, check=False
    )
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line.startswith(
        "whydrift: the output /week cannot be written: / is read-only: name a folder that can be written"
    )


# --- at work


class Container:
    """A worker in a container, watched from outside."""

    def __init__(self, docker_client: Any, kafka: ContainerKafka, cluster: Cluster) -> None:
        (port,) = free_ports(1)
        topics = cluster.settings.topics
        variables = {
            "WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS": kafka.inside,
            "WHYDRIFT_KAFKA__GROUP_ID": cluster.settings.group_id,
            "WHYDRIFT_KAFKA__SESSION_TIMEOUT_MS": "6000",
            "WHYDRIFT_KAFKA__SNAPSHOT_INTERVAL_S": "1",
            **{f"WHYDRIFT_KAFKA__TOPICS__{name.upper()}": getattr(topics, name) for name in topics.__slots__},
            **{f"WHYDRIFT_CORE__{name.upper()}": str(value) for name, value in CORE.items()},
        }
        ports = {"9108/tcp": ("127.0.0.1", port)}
        self.container = docker_client.containers.run(
            IMAGE, detach=True, environment=variables, network=kafka.network, ports=ports, **HARDENED
        )
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(self._url + path, timeout=5)
        except httpx.TransportError:
            self.container.reload()
            assert self.container.status != "exited", self.container.logs().decode()
            return None

    def is_ready(self) -> bool:
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def figures(self) -> int:
        """Drawn on the incidents' pages; 0 while the pages have no incident yet."""
        models = self._found("/api/v1/fleet").json()["models"]
        pages = [self._found(f"/incidents/{one['incident_id']}").text for model in models for one in model["incidents"]]
        return sum(page.count('<svg class="figure"') for page in pages)

    def _found(self, path: str) -> httpx.Response:
        answer = self.get(path)
        assert answer is not None
        return answer.raise_for_status()

    def metric(self, name: str) -> float | None:
        answer = self.get("/metrics")
        families = [] if answer is None else list(text_string_to_metric_families(answer.text))
        return next((s.value for family in families for s in family.samples if s.name == name), None)


@contextmanager
def at_work(docker_client: Any, kafka: ContainerKafka, cluster: Cluster) -> Iterator[Container]:
    made = Container(docker_client, kafka, cluster)
    try:
        until(made.is_ready, "ready")
        yield made
    finally:
        made.container.remove(force=True)


@pytest.fixture
def cluster(container_kafka: ContainerKafka, unique: str) -> Iterator[Cluster]:
    made = Cluster(unique, "kafka-python", container_kafka.outside)
    made.create(1)
    yield made
    made.close()


def wanted(cluster: Cluster) -> list[bytes]:
    topic = cluster.settings.topics.events
    outputs = Pipeline(Settings(**CORE), topic, 0).process(cluster.read(topic))
    return [encode(output.diagnosis) for output in outputs if isinstance(output, Emit)]


def said(cluster: Cluster) -> list[bytes | None]:
    return [record.value for record in cluster.read(cluster.settings.topics.diagnoses)]


def test_hardened_beside_a_kafka_container_it_diagnoses_draws_is_scraped_drains_on_sigterm_and_is_healthy(
    image: Any, docker_client: Any, container_kafka: ContainerKafka, cluster: Cluster
) -> None:
    with at_work(docker_client, container_kafka, cluster) as worker:
        cluster.send(cluster.settings.topics.events, LINES)
        until(lambda: worker.metric("whydrift_records_total") == len(LINES), "all processed")
        until(lambda: worker.figures() >= 3, "figures, though there is nowhere to write to")
        exec_id = worker.container.exec_run(image.attrs["Config"]["Healthcheck"]["Test"][1:])
        assert exec_id.exit_code == 0, exec_id.output
        begun_s = time.monotonic()
        worker.container.kill("SIGTERM")
        ended = worker.container.wait(timeout=30)
        took_s = time.monotonic() - begun_s
        assert ended["StatusCode"] == 0, worker.container.logs().decode()
        assert took_s < 5
        log = [json.loads(line) for line in worker.container.logs().decode().splitlines()]
        assert {line["level"] for line in log} <= {"info", "warning"}
        assert "a figure could not be drawn" not in {line["message"] for line in log}
    assert said(cluster) == wanted(cluster) != []


def test_killed_and_started_again_it_repeats_nothing_and_loses_nothing(
    image: Any, docker_client: Any, container_kafka: ContainerKafka, cluster: Cluster
) -> None:
    topic = cluster.settings.topics.events
    cluster.send(topic, LINES[:1_350])
    with at_work(docker_client, container_kafka, cluster) as worker:
        until(lambda: (worker.metric("whydrift_records_total") or 0) > 0, "some are processed")
        worker.container.kill("SIGKILL")
        worker.container.wait(timeout=30)
        worker.container.start()
        cluster.send(topic, LINES[1_350:])
        until(worker.is_ready, "ready again")
        until(
            lambda: worker.metric("whydrift_partition_lag_records") == 0 and said(cluster) == wanted(cluster),
            "caught up",
        )
    assert said(cluster) == wanted(cluster) != []


def test_without_a_kafka_it_ends_with_1_and_says_what_to_do(image: Any, docker_client: Any) -> None:
    variables = {"WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "WHYDRIFT_KAFKA__REQUEST_TIMEOUT_MS": "200"}
    container = docker_client.containers.run(IMAGE, detach=True, environment=variables, network_mode="none", **HARDENED)
    try:
        assert container.wait(timeout=60)["StatusCode"] == 1
        last = container.logs().decode().splitlines()[-1]
    finally:
        container.remove(force=True)
    assert last.startswith("whydrift: ")
    assert "127.0.0.1:1" in last
