"""How lines are written."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from whydrift.shell.logs import configure_logs
from whydrift.shell.telemetry_settings import LogFormat, LogLevel, LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(format_: LogFormat, level: LogLevel = "info", stream: io.StringIO | None = None) -> list[str]:
    stream = stream or io.StringIO()
    configure_logs(LogSettings(format=format_, level=level), stream)
    ours = structlog.get_logger("whydrift.shell.worker")
    ours.debug("a detail")
    ours.info("worker started", topic="events")
    logging.getLogger("kafka.conn").info("connecting")
    logging.getLogger("kafka.conn").warning("lost %s", "node 1")
    return stream.getvalue().splitlines()


def test_json_is_one_object_a_line_with_the_fields_beside_the_message() -> None:
    first, second = [json.loads(line) for line in written("json")]
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "message": "worker started",
        "topic": "events",
        "level": "info",
        "logger": "whydrift.shell.worker",
    }
    assert (second["message"], second["logger"], second["level"]) == ("lost node 1", "kafka.conn", "warning")


def test_auto_is_json_for_machines_and_colours_for_terminals() -> None:
    assert written("auto")[0].startswith("{")
    on_terminal = written("auto", stream=Terminal())
    assert "worker started" in on_terminal[0]
    assert "\x1b[" in on_terminal[0]


def test_console_without_a_terminal_has_no_colours() -> None:
    lines = written("console")
    assert "worker started" in lines[0]
    assert "topic=events" in lines[0]
    assert not any("\x1b" in line for line in lines)


def test_the_level_holds_for_all_and_debug_opens_the_libraries_too() -> None:
    assert written("json", "error") == []
    assert [json.loads(line)["message"] for line in written("json", "debug")] == [
        "a detail",
        "worker started",
        "connecting",
        "lost node 1",
    ]


def test_a_traceback_does_not_print_local_variables() -> None:
    for format_, stream in (("json", io.StringIO()), ("console", Terminal())):
        configure_logs(LogSettings(format="json" if format_ == "json" else "console"), stream)
        password = "hunter" + str(len("ab"))
        try:
            int(password[6:] + "x")
        except ValueError:
            structlog.get_logger("a").exception("it broke")
        assert "ValueError" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()


def test_configuring_again_replaces_the_first() -> None:
    first = io.StringIO()
    configure_logs(LogSettings(format="json"), first)
    assert len(written("json")) == 2
    assert first.getvalue() == ""
