"""What sinks that push over HTTP share: a client with credentials, outcomes with a reason, back-off, and a thread.

Belongs here: how a request is sent and what became of it. Not here: what is sent (`alertmanager`, `webhook`).
"""

import ssl
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import structlog

from whydrift.shell.files import unreadable
from whydrift.shell.push.settings import Access

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Pauses after failures double from one to the other."""
STOP_TIMEOUT_S = 3.0
LONGEST_REASON = 300

log = structlog.get_logger(__name__)


class PushError(Exception):
    """The operator must act: a secret or a certificate cannot be read. The message names the setting and the file."""


class Outcome(StrEnum):
    """What became of a request. REFUSED: the receiver does not want this body, now or later; all others may get better."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILING = "failing"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    CREDENTIALS = "credentials"


_MEANING = {
    400: Outcome.REFUSED,
    413: Outcome.REFUSED,
    422: Outcome.REFUSED,
    401: Outcome.CREDENTIALS,
    403: Outcome.CREDENTIALS,
}


@dataclass(slots=True)
class Target:
    """One receiver: when it is due, how it went so far. `name` is host and port, without credentials or path."""

    url: str
    due_s: float = 0.0
    failures_in_a_row: int = 0
    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_success_s: float | None = None

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How pushing to one receiver goes, for metrics. `waiting`: incidents with news it has not got."""

    sink: str
    target: str
    sent: int
    failed: Mapping[str, int]
    waiting: int
    success_age_s: float | None
    left_out: int


class PushSink(ABC):
    """A thread that calls `step` whenever something is due. `clock_s` is the time since 1970."""

    name = ""

    def __init__(self, urls: tuple[str, ...], access: Access, timeout_s: float, clock_s: Callable[[], float]) -> None:
        self.targets = [Target(url.rstrip("/")) for url in urls]
        self._access = access
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._condition = threading.Condition()
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._client: httpx.Client | None = None
        self._key: object = None

    # --- the thread

    def start(self) -> None:
        """Raises PushError where a secret or certificate is not there: better told at start than by night."""
        if self.targets:
            client_of(self._access, self._timeout_s).close()
            self._thread = threading.Thread(target=self._run, name=f"whydrift-{self.name}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Deliver what waits, once, and end. A receiver that does not answer is not waited for long."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
        self._thread = None

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            try:
                due_s = self.step()
            except Exception:  # the thread's outer edge: a bug must not silence every later incident
                log.exception("delivering failed", sink=self.name)
                due_s = self._clock_s() + LONGEST_PAUSE_S
            with self._condition:
                if self._is_stopping:
                    break
                self._condition.wait_for(self._is_awake, min(max(due_s - self._clock_s(), 0.0), 3_600.0))
        self.step()
        self.close()

    def _is_awake(self) -> bool:
        return self._is_stopping or self.has_news()

    # --- what a sink is

    @abstractmethod
    def has_news(self) -> bool:
        """Whether something waits that can be tried at once."""

    @abstractmethod
    def step(self) -> float:
        """Send what is due. Returns when to come back, as `clock_s`."""

    @abstractmethod
    def deliveries(self) -> list[Delivery]:
        """For metrics; from any thread."""

    # --- sending

    def post(self, target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """One request; counts, logs, and moves the target's due time on after a failure. Never raises."""
        return self.settle(target, *self._try(target.url + path, body, headers))

    def settle(self, target: Target, outcome: Outcome, reason: str) -> Outcome:
        now_s = self._clock_s()
        if outcome is Outcome.DELIVERED:
            if target.failures_in_a_row:
                log.info("delivery works again", sink=self.name, target=target.name)
            target.failures_in_a_row, target.last_success_s = 0, now_s
            target.sent += 1
            return outcome
        target.failures_in_a_row += 1
        target.failed[outcome.value] += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(target.failures_in_a_row - 1, 10))
        target.due_s = now_s + pause_s
        log.warning(
            "delivery failed", sink=self.name, target=target.name, outcome=outcome.value, reason=reason, pause_s=pause_s
        )
        return outcome

    def _try(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Outcome, str]:
        try:
            answer = self._connected().post(url, content=body, headers={"content-type": "application/json", **headers})
        except PushError as error:
            return Outcome.CREDENTIALS, str(error)
        except httpx.TimeoutException as error:
            return Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s ({type(error).__name__})"
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            return Outcome.UNREACHABLE, str(error)[:LONGEST_REASON] or type(error).__name__
        if answer.is_success:
            return Outcome.DELIVERED, ""
        reason = f"{answer.status_code} {answer.text[:LONGEST_REASON]}".strip()
        return _MEANING.get(answer.status_code, Outcome.FAILING), reason

    def _connected(self) -> httpx.Client:
        """A client with the secrets as their files have them now: they may be renewed while we run."""
        key = _stamps(self._access)
        if self._client is None or key != self._key:
            self.close()
            self._client, self._key = client_of(self._access, self._timeout_s), key
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def client_of(access: Access, timeout_s: float) -> httpx.Client:
    """Raises PushError."""
    headers = {}
    token = secret(access.bearer_token, access.bearer_token_file, "access.bearer_token_file")
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    auth = None
    if access.username is not None:
        password = secret(access.password, access.password_file, "access.password_file")
        auth = httpx.BasicAuth(access.username, password or "")
    return httpx.Client(
        auth=auth,
        headers=headers,
        timeout=timeout_s,
        verify=tls_context(access),
        trust_env=False,
        follow_redirects=False,
    )


def secret(given: str | None, file: Path | None, setting: str) -> str | None:
    """A secret as given, or the first line of its file. Raises PushError."""
    if file is None:
        return given
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PushError(f"{setting} is {file}, which cannot be read: {unreadable(file, error)}") from error
    except UnicodeDecodeError as error:
        raise PushError(f"{setting} is {file}, which is not UTF-8: it must be the secret, as text, alone") from error


def tls_context(access: Access) -> ssl.SSLContext:
    """How servers are checked, and who we are to them. Raises PushError."""
    _check_files(access)
    try:
        context = ssl.create_default_context(cafile=access.ca_file)
    except ssl.SSLError as error:
        raise PushError(f"access.ca_file is {access.ca_file}, which has no certificate in PEM form: {error}") from error
    if access.certificate_file is not None:
        try:
            context.load_cert_chain(access.certificate_file, access.key_file)
        except ssl.SSLError as error:
            pair = f"access.certificate_file is {access.certificate_file}, access.key_file {access.key_file}"
            raise PushError(f"{pair}: they must be a certificate and its own key, in PEM form ({error})") from error
    return context


def _check_files(access: Access) -> None:
    """The library does not say which of them it could not open."""
    for name in ("ca_file", "certificate_file", "key_file"):
        file: Path | None = getattr(access, name)
        if file is not None:
            try:
                file.open("rb").close()
            except OSError as error:
                raise PushError(f"access.{name} is {file}, which cannot be read: {unreadable(file, error)}") from error


def _stamps(access: Access) -> tuple[object, ...]:
    files = (access.password_file, access.bearer_token_file, access.ca_file, access.certificate_file, access.key_file)
    found: list[object] = []
    for file in files:
        try:
            found.append(None if file is None else file.stat().st_mtime_ns)
        except OSError:
            found.append("gone")
    return tuple(found)
