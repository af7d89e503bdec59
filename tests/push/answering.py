"""A receiver that answers as a test wants, and keeps what it was sent.

Belongs here: that server. Not here: a real Alertmanager (`conftest`).
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Answering:
    """On a port of its own, from `with` to its end. silent: it takes requests and never answers."""

    def __init__(self, status: int = 200, *, silent: bool = False) -> None:
        self.status = status
        self.first: list[int] = []
        """Answers to the next requests, before it is `status` again."""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                if silent:
                    outer._over.wait(60)
                    return
                self.send_response(outer.first.pop(0) if outer.first else outer.status)
                self.send_header("content-length", "4")
                self.end_headers()
                self.wfile.write(b"said")

            def log_message(self, format: str, *args: object) -> None:
                """Not on the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
