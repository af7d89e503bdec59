"""A real Alertmanager for the tests of what is pushed to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from whydrift.shell.local_kafka import free_ports

from ..servers import Server, program

CONFIG = """
route: {receiver: nobody, group_wait: 1s, group_interval: 1s}
receivers: [{name: nobody}]
"""


@dataclass
class Alertmanager:
    """A server on a port of its own; `web` is the content of its --web.config.file."""

    folder: Path
    web: str = ""
    scheme: str = "http"
    client: httpx.Client = field(default_factory=httpx.Client)

    def __post_init__(self) -> None:
        (self.port, self._cluster_port) = free_ports(2)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "alertmanager.yml").write_text(CONFIG)
        (self.folder / "web.yml").write_text(self.web)
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self._server: Server | None = None

    def start(self) -> "Alertmanager":
        command = [
            program("prometheus-alertmanager", "prometheus-alertmanager"),
            f"--config.file={self.folder}/alertmanager.yml",
            f"--storage.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            f"--web.config.file={self.folder}/web.yml",
        ]
        ready = f"tcp://127.0.0.1:{self.port}" if self.web else f"{self.url}/-/ready"
        self._server = Server(command, ready, self.folder / "log.txt")
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds active, with labels, annotations and times."""
        answer = self.client.get(f"{self.url}/api/v2/alerts")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    made = Alertmanager(tmp_path / "alertmanager")
    yield made.start()
    made.stop()
