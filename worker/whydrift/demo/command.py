"""`whydrift demo`: puts the demo together, plays it, and ends the process's work with a code.

Belongs here: order, errors, exit codes. Not here: any of the parts.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from whydrift.shell.local_kafka import missing_packages
from whydrift.shell.logs import configure_logs
from whydrift.shell.telemetry_settings import LogSettings
from whydrift.shell.terminal import output_console

NAMED, NOT_NAMED, CANNOT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes: every fault was named; one was not, or something failed; this machine or this command line lacks something."""


def run_demo(bootstrap: str | None, kafka: bool, serve: Path | None = None) -> int:
    """Returns the exit code: 0 every fault was named, 1 not so, 2 something is missing, 130 interrupted."""
    if why_not := _why_not(bootstrap, kafka, serve):
        print(f"whydrift: {why_not}", file=sys.stderr)
        return CANNOT
    if serve is not None and bootstrap is not None:
        return _serve(bootstrap, serve)
    configure_logs(LogSettings(level="error"))
    from whydrift.demo.play import FAILURES, play

    try:
        with _ended_by_sigterm():
            return NAMED if play(output_console(), bootstrap, kafka) else NOT_NAMED
    except KeyboardInterrupt:
        print("whydrift: interrupted", file=sys.stderr)
        return INTERRUPTED
    except FAILURES as error:
        print(f"whydrift: {error}", file=sys.stderr)
        return NOT_NAMED


def _serve(bootstrap: str, folder: Path) -> int:
    configure_logs(LogSettings())
    from whydrift.demo.play import FAILURES
    from whydrift.demo.service import serve

    try:
        with _ended_by_sigterm():
            serve(bootstrap, folder)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FAILURES as error:
        print(f"whydrift: {error}", file=sys.stderr)
        return NOT_NAMED
    return NAMED


def _why_not(bootstrap: str | None, kafka: bool, serve: Path | None) -> str | None:
    if serve is not None and bootstrap is None:
        return "--serve sends events to a Kafka that runs: name it by --bootstrap"
    if bootstrap is not None and kafka:
        return "--bootstrap names a Kafka that runs already, --kafka starts one: give one of them, or none"
    if find_spec("sklearn") is None:
        return (
            "the demo trains a real model and needs scikit-learn: install the extra with `pip install 'whydrift[demo]'`"
        )
    missing = missing_packages() if kafka else []
    if missing:
        return f"--kafka needs {' and '.join(missing)}: install the extra with `pip install 'whydrift[kafka-local]'`"
    return None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """As by Ctrl-C: whatever was started is stopped on the way out."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
