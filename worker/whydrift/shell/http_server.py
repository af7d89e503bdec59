"""/metrics, /healthz, /readyz and the status pages, in a thread beside the worker's loop.

Belongs here: those endpoints and the server's life. Not here: what a metric is (`metrics`), when a worker is ready
(`worker_status`), the pages (`pages`).
"""

import errno
import socket
import threading
from collections.abc import Callable

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whydrift.shell.pages import site
from whydrift.shell.telemetry_settings import HttpSettings
from whydrift.shell.worker_status import Phase, ReportsStatus, WorkerStatus

STOP_TIMEOUT_S = 5.0


class HttpServerError(Exception):
    """The operator must act: the address cannot be listened on. The message says why."""


class HttpServer:
    """`start` returns when the address is taken; from then on requests are answered."""

    def __init__(self, settings: HttpSettings, worker: ReportsStatus, registry: CollectorRegistry) -> None:
        self._settings = settings
        config = uvicorn.Config(
            app(worker, registry, settings.unhealthy_after_s),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Raises HttpServerError."""
        self._socket = _listening(self._settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="whydrift-http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The one that is listened on, also where the system chose it."""
        assert self._socket is not None, "not started"
        return int(self._socket.getsockname()[1])

    @property
    def address(self) -> str:
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def stop(self) -> None:
        """Answer what was asked, then let go of the port. Stopping again, or before `start`, does nothing."""
        if self._socket is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._socket.close()
        self._socket = self._thread = None


def app(worker: ReportsStatus, registry: CollectorRegistry, unhealthy_after_s: float) -> Starlette:
    # Plain functions run in Starlette's thread pool: a slow scrape does not keep a health check waiting.
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    def healthz(request: Request) -> Response:
        return _answer("healthy", why_unhealthy(worker.status(), unhealthy_after_s))

    def readyz(request: Request) -> Response:
        return _answer("ready", why_unready(worker.status()))

    endpoints: dict[str, Callable[[Request], Response]] = {
        "/metrics": metrics,
        "/healthz": healthz,
        "/readyz": readyz,
    }
    own = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    errors = {HTTPException: site.error_response, Exception: site.error_response}
    return Starlette(routes=[*own, *site.routes(worker)], exception_handlers=errors)


def why_unhealthy(status: WorkerStatus, unhealthy_after_s: float) -> str | None:
    """None while the loop is alive."""
    if not status.running:
        return status.last_error or "the worker is not running: it is starting, or has stopped"
    if status.turn_age_s is not None and status.turn_age_s > unhealthy_after_s:
        return f"the worker's loop did not come round for {status.turn_age_s:.0f} s (limit {unhealthy_after_s:g} s)"
    return None


def why_unready(status: WorkerStatus) -> str | None:
    """None when records of every assigned partition are being processed."""
    if status.ready:
        return None
    if not status.running:
        return status.last_error or "the worker is not running: it is starting, or has stopped"
    if not status.joined:
        return "the group has not answered yet"
    waiting = [p for p in status.partitions if p.phase is not Phase.RUNNING]
    return ", ".join(f"partition {p.partition} is {p.phase.value} ({p.restored_fraction:.0%})" for p in waiting)


def _answer(what: str, why_not: str | None) -> Response:
    return JSONResponse({what: why_not is None, "reason": why_not}, status_code=200 if why_not is None else 503)


def _listening(settings: HttpSettings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise HttpServerError(f"http.port {port} on {host} is taken: set another one, or 0 for any") from error
        raise HttpServerError(f"cannot listen on http.host {host}, http.port {port}: {error.strerror}") from error
