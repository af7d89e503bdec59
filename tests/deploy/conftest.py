"""The image, built by a real Docker engine, and a Kafka in a container beside it."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from whydrift.shell.local_kafka import KAFKA_VERSION, SINGLE_NODE_PROPERTIES, free_ports

from ..conftest import skip_or_fail

os.environ.setdefault(
    "TESTCONTAINERS_RYUK_DISABLED", "true"
)  # every container is ended below; Ryuk would be an image to pull
ROOT = Path(__file__).parents[2]
IMAGE = "whydrift:tested"
BASES = ("python:3.11-slim-bookworm", f"apache/kafka:{KAFKA_VERSION}")


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Any]:
    """Of the docker package. Skipped (in CI: failed) without an engine or the base images."""
    import docker

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        skip_or_fail(f"no Docker engine answers ({error}): install and start one, or run .ci/components as root")
    for base in BASES:
        try:
            client.images.get(base)
        except docker.errors.ImageNotFound:
            try:
                client.images.pull(base)
            except docker.errors.APIError as error:
                skip_or_fail(f"the image {base} cannot be had ({error}): .ci/components makes a stand-in")
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(docker_client: Any) -> Any:
    """As README's command builds it. With the classic builder, which every engine has."""
    command = ["docker", "build", "-q", "-f", "deploy/Dockerfile", "-t", IMAGE, "."]
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return docker_client.images.get(IMAGE)


@dataclass(frozen=True)
class ContainerKafka:
    """`inside`: bootstrap servers for containers of `network`; `outside`: for this machine."""

    network: str
    inside: str
    outside: str


@pytest.fixture(scope="module")
def container_kafka(docker_client: Any) -> Iterator[ContainerKafka]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.network import Network
    from testcontainers.core.waiting_utils import wait_for_logs

    (port,) = free_ports(1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://:9092,INTERNAL://:9094,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},INTERNAL://kafka:9094",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **SINGLE_NODE_PROPERTIES,
    }
    with Network() as network:
        container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_network(network).with_network_aliases("kafka")
        container.ports = {"9092/tcp": ("127.0.0.1", port)}
        for name, value in settings.items():
            container = container.with_env("KAFKA_" + name.replace(".", "_").upper(), str(value))
        with container:
            wait_for_logs(container, "Kafka Server started", timeout=60)
            yield ContainerKafka(network.name, "kafka:9094", f"127.0.0.1:{port}")


@pytest.fixture
def unique() -> str:
    return f"t{uuid.uuid4().hex[:10]}"
