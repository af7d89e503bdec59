"""`whydrift run` as people start it: a process with a configuration file, watched over HTTP and by its log.

Belongs here: the process, and its configuration. Not here: what is expected of it.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from prometheus_client.parser import text_string_to_metric_families

from .broker.conftest import DEADLINE_S, Cluster

CORE = {"baseline_events": 400, "first_stage_events": 100}


class RunCommand:
    """The process, and what it logged so far."""

    def __init__(self, config: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WHYDRIFT_")}
        command = [sys.executable, "-m", "whydrift", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        self._address = ""
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if '"listening"' in line:
                self._address = urlsplit(json.loads(line)["address"]).netloc
                self._listening.set()
        self._listening.set()

    @property
    def address(self) -> str:
        """HOST:PORT of its pages."""
        assert self._listening.wait(DEADLINE_S)
        assert self._address, "".join(self.lines)
        return self._address

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float | None:
        _, text = self.get("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def ended(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def end(self, with_signal: signal.Signals) -> int:
        self.process.send_signal(with_signal)
        return self.ended()


@contextmanager
def run_command(config: Path) -> Iterator[RunCommand]:
    made = RunCommand(config)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.end(signal.SIGKILL)


def configuration(cluster: Cluster, folder: Path, others: Mapping[str, Any] | None = None, **kafka: Any) -> Path:
    """All settings of the cluster, as somebody would write them; `others`: further sections."""
    settings: Mapping[str, Any] = asdict(cluster.settings)
    changed = {key: settings[key] for key in ("bootstrap_servers", "group_id", "topics", "session_timeout_ms")} | kafka
    path = folder / "whydrift.yaml"
    content = {"kafka": changed, "core": CORE, "http": {"port": 0}, "log": {"format": "json"}} | dict(others or {})
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
