"""A worker's own HTTP server over a made-up picture, and a door before it that asks for the plain text format.

Belongs here: serving. Not here: what is in the picture.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from whydrift.core.status import ModelStatus
from whydrift.shell.http_server import HttpServer
from whydrift.shell.metrics import Metric
from whydrift.shell.metrics_collector import registry
from whydrift.shell.telemetry_settings import HttpSettings, MetricsSettings

from ..shell.status_fakes import FakeWorker


class _Part(Collector):
    """What a worker's own registry says of the metrics of these names."""

    def __init__(self, whole: CollectorRegistry, names: Collection[str]) -> None:
        self._whole = whole
        self._names = names

    def collect(self) -> Iterator[Family]:
        yield from (family for family in self._whole.collect() if family.name in self._names)


@contextmanager
def served(
    models: Sequence[ModelStatus], settings: MetricsSettings, only: Collection[Metric] = tuple(Metric)
) -> Iterator[str]:
    """HOST:PORT of a worker's pages that show these models; `only` these metrics of them."""
    worker = FakeWorker(models=[models])
    made = CollectorRegistry()
    made.register(
        _Part(registry(worker, settings, "1.2.3"), {metric.value.name.removesuffix("_total") for metric in only})
    )
    server = HttpServer(HttpSettings(port=0), worker, made)
    server.start()
    try:
        yield server.address.removeprefix("http://")
    finally:
        server.stop()


@contextmanager
def as_text(address: str) -> Iterator[str]:
    """HOST:PORT of the same metrics for whom OpenMetrics is unknown: this Prometheus would always ask for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = httpx.get(
                f"http://{address}{self.path}", headers={"accept": "text/plain;version=0.0.4"}, timeout=30
            )
            self.send_response_only(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Not on the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
