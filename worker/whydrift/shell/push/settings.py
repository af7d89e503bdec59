"""Where incidents are pushed to, and how to be let in there: plain values, checked where they are read from (`whydrift.config`).

Belongs here: frozen settings of the sinks that push over HTTP. Not here: what they send.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Credentials and certificates; None = none. Secrets are given as such or, better, as files, read before each connection.

    Basic authentication (`username` with a password) or a bearer token, not both. `ca_file`: PEM, None = the system's.
    `certificate_file` and `key_file` (PEM): who we are, where the server asks for it.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    bearer_token: str | None = field(default=None, repr=False)
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSettings:
    """`urls`: every member of a cluster of Alertmanagers, without the path of the API; none: no alerts are sent."""

    urls: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    timeout_s: float = 5.0
    """For one request."""
    repeat_interval_s: float = 60.0
    """Open incidents are sent again so often: an Alertmanager that was away, or forgot, knows them after that."""
    ends_after_s: float = 240.0
    """An alert that is not sent again ends after this long: the worker is gone and nobody took over. At least twice
    `repeat_interval_s`, so that one lost repetition ends nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """`urls` get every diagnosis as it is published; none: nothing is sent."""

    urls: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    secret: str | None = field(default=None, repr=False)
    """Signs each request (Standard Webhooks: `whsec_` and base64, or any text). None: unsigned."""
    secret_file: Path | None = None
    timeout_s: float = 5.0
    queue_limit: int = 1_000
    """Incidents with news that wait for delivery. Beyond, the one that waited longest is left out, counted and logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What alerts and pages point to."""

    public_url: str | None = None
    """Where people reach this worker's pages, such as https://whydrift.example/; None: alerts have no link to them."""
    dashboard_url: str | None = None
    """A model's dashboard; `{model_id}` in it is replaced."""
    runbook_url: str | None = None
    """Your copy of the runbook: `{fault}` in it is replaced by the fault's name; without it, `#` and that name are appended."""
