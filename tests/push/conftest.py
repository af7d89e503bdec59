"""A real Alertmanager for the tests of what is pushed to it."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

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


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Alertmanager, Path]]:
    """One that wants TLS, ana's password, and a client certificate; and the folder with what that needs."""
    authority = trustme.CA()
    folder = tmp_path / "certificates"
    folder.mkdir()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("whydrift@example.org")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, issued in (("server", server), ("client", client)):
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    (folder / "password").write_text("correct horse\n")
    # bcrypt of `correct horse`
    web = f"""
tls_server_config:
  cert_file: {folder}/server.pem
  key_file: {folder}/server.key
  client_ca_file: {folder}/ca.pem
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users: {{ana: $2b$04$66I0Kc1SVir8SUonPxvgeOMwjp4rkqxZO/bzyNY06QdK/xxT2QZKq}}
"""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    reader = httpx.Client(verify=context, auth=("ana", "correct horse"))
    made = Alertmanager(tmp_path / "guarded", web=web, scheme="https", client=reader)
    yield made.start(), folder
    made.stop()
