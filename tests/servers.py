"""Real servers for tests: a child process on ports of its own, waited for by its own answer, ended by its id.

Belongs here: starting and ending. Not here: what is asked of them.
"""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from .conftest import skip_or_fail

READY_S = 60.0


def program(name: str, package: str) -> str:
    """Path of a program; the test is skipped (in CI: fails) where it is not installed."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(f"{name} is not installed (Debian package {package})")
        raise AssertionError("not reached")
    return found


class Server:
    """`command` runs from construction to `stop`. `ready_url` answers 200 when it can be used; tcp://HOST:PORT: is taken."""

    def __init__(self, command: Sequence[str], ready_url: str, log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent)
        self._wait(ready_url)

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + READY_S
        while not _answers(url):
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode}:\n{self._log.read_text()[-3_000:]}"
            )
            assert time.monotonic() < deadline, f"no answer within {READY_S} s:\n{self._log.read_text()[-3_000:]}"
            time.sleep(0.05)  # between two questions; the answer decides, not the time

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _answers(url: str) -> bool:
    if url.startswith("tcp://"):
        host, port = url.removeprefix("tcp://").split(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            return False
        return True
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
