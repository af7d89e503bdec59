"""The worker as `whydrift run` runs it, in a thread beside the demo, with its metrics served.

Belongs here: its life. Not here: what is shown of it (`screen`).
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from whydrift import __version__
from whydrift.core.profile import Profile
from whydrift.core.settings import Settings
from whydrift.demo.stage import Stage
from whydrift.shell.http_server import HttpServer
from whydrift.shell.metrics_collector import registry
from whydrift.shell.pipelines import CorePipelines
from whydrift.shell.telemetry_settings import HttpSettings, MetricsSettings
from whydrift.shell.worker import Worker

_STOP_S = 10.0


class WorkerEndedError(Exception):
    """The worker's thread ended by itself."""


class Watch:
    """`metrics_url`: where the worker's numbers are served while it runs."""

    def __init__(self, worker: Worker, metrics_url: str) -> None:
        self.worker = worker
        self.metrics_url = metrics_url
        self._error: BaseException | None = None
        # A daemon: a worker that hangs must not keep the demo from ending.
        self._thread = threading.Thread(target=self._run, name="whydrift-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises WorkerEndedError."""
        if self._thread.is_alive():
            return
        raise WorkerEndedError(f"the worker ended: {self._error or 'without a word'}") from self._error

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001  # handed to the main thread by `check`
            self._error = error


@contextmanager
def watching(stage: Stage, settings: Settings, profiles: Mapping[str, Profile]) -> Iterator[Watch]:
    """A running worker. Raises HttpServerError."""
    pipelines = CorePipelines(settings, stage.settings.topics.events, profiles)
    worker = Worker(stage.settings, pipelines, stage.connect)
    server = HttpServer(HttpSettings(port=0), worker, registry(worker, MetricsSettings(), __version__))
    server.start()
    watch = Watch(worker, f"{server.address}/metrics")
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        server.stop()
