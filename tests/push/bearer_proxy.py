"""A reverse proxy that lets in who has the bearer token, as stands before Alertmanagers: their own web.config knows none.

Belongs here: the door. Not here: what is behind it (`conftest.Alertmanager`).
"""

import hmac
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import httpx

SCHEME = "Bearer "


class BearerProxy:
    """On a port of its own, from `with` to its end: forwards to `behind` with `token`, answers 401 without."""

    def __init__(self, behind: str, token: str) -> None:
        self.token = token
        self.refused = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._forward(
                    lambda: httpx.post(behind + self.path, content=body, headers={"content-type": self._type})
                )

            def do_GET(self) -> None:
                self._forward(lambda: httpx.get(behind + self.path))

            @property
            def _type(self) -> str:
                return str(self.headers["content-type"])

            def _forward(self, ask: Callable[[], httpx.Response]) -> None:
                given = self.headers.get("authorization", "")
                if hmac.compare_digest(given.encode(), f"{SCHEME}{outer.token}".encode()):
                    answer = ask()
                    self._answer(answer.status_code, answer.content, ("date", answer.headers["date"]))
                else:
                    outer.refused += 1
                    self._answer(401, b"no token, no entry", ("www-authenticate", "Bearer"))

            def _answer(self, status: int, body: bytes, header: tuple[str, str]) -> None:
                self.send_response_only(status)
                self.send_header("content-length", str(len(body)))
                self.send_header(*header)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Not on the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "BearerProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
