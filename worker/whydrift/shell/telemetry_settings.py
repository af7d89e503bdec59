"""How a worker lets itself be looked at: plain values, checked where they are read from (`whydrift.config`).

Belongs here: frozen settings of HTTP, metrics and logs. Not here: Kafka (`kafka_settings`), what steers diagnoses
(`whydrift.core.settings`).
"""

from dataclasses import dataclass
from typing import Literal

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where /metrics, /healthz and /readyz are served."""

    host: str = "127.0.0.1"
    """Only this machine, until somebody decides otherwise: model names and features are nobody else's business. Containers
    set 0.0.0.0."""
    port: int = 9108
    """0: one that is free, chosen by the system."""
    unhealthy_after_s: float = 120.0
    """/healthz says no when the worker's loop did not come round for this long. Longer than the slowest transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`format` auto: for people where stderr is a terminal, else JSON."""

    format: LogFormat = "auto"
    level: LogLevel = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """How many series a worker may make."""

    signals_per_model: int = 20
    """Signals with series of their own, those with most evidence first; the rest is one series, "(others)"."""
    max_models: int = 500
    """Models with series of their own, those with open incidents first; the rest is counted."""
