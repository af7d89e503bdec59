"""How log lines look and where they go: stderr, JSON for machines or columns for people; other libraries' logs as well.

Belongs here: the set-up, called once per process. Not here: what is logged.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from whydrift.shell.telemetry_settings import LogSettings

QUIET = ("kafka", "uvicorn", "asyncio")
"""Libraries whose everyday lines say nothing about the worker: from `warning` on, unless the level is `debug`."""


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Also sets the level. May be called again: the last call counts."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(settings, stream, shared))
    level = getattr(logging, settings.level.upper())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))


def _formatter(settings: LogSettings, stream: TextIO, shared: list[Processor]) -> logging.Formatter:
    is_terminal = stream.isatty()
    if settings.format == "json" or (settings.format == "auto" and not is_terminal):
        rendering: list[Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        # Not the default rich one: it prints local variables, and those may hold a password.
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
