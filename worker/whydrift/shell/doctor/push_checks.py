"""The doctor's look at whom incidents are pushed to.

Alertmanagers are asked how they are. A webhook is only connected to: whatever is posted to it is news.
Belongs here: reaching them with the worker's own credentials. Not here: sending (`push`).
"""

import json
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from whydrift.shell.doctor.finding import Finding, fail, ok, warn
from whydrift.shell.doctor.network import address_of, unreachable
from whydrift.shell.push.delivery import PushError, client_of, secret, tls_context
from whydrift.shell.push.settings import AlertmanagerSettings, WebhookSettings

STATUS_PATH = "/api/v2/status"
_SKEW_S = 10.0
"""Beyond it, an alert's end as we give it is visibly another time there. (The header it is seen by has whole seconds.)"""
_MEND_ACCESS = "check alertmanager.access: username and password, or bearer_token"


def check_alertmanagers(settings: AlertmanagerSettings, clock_s: Callable[[], float]) -> Iterator[Finding]:
    """`clock_s`: this machine's time since 1970."""
    if not settings.urls:
        yield ok("alertmanager", "no alertmanager.urls: no alerts are sent from here")
    for url in settings.urls:
        yield from _check_alertmanager(url.rstrip("/"), settings, clock_s)


def _check_alertmanager(url: str, settings: AlertmanagerSettings, clock_s: Callable[[], float]) -> Iterator[Finding]:
    try:
        with client_of(settings.access, settings.timeout_s) as client:
            answer = client.get(url + STATUS_PATH)
    except PushError as error:
        yield fail("alertmanager", str(error), "mend the file, or alertmanager.access")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = unreachable(*address_of(url), settings.timeout_s) or str(error) or type(error).__name__
        yield fail("alertmanager", f"{url}: {reason}", "check alertmanager.urls, alertmanager.access and the network")
    else:
        yield from _judge(url, answer, clock_s())


def _judge(url: str, answer: httpx.Response, now_s: float) -> Iterator[Finding]:
    if answer.status_code in (401, 403):
        yield fail("alertmanager", f"{url} answers {answer.status_code}: not let in", _MEND_ACCESS)
        return
    status = _status(answer)
    if status is None:
        told = f"{url}{STATUS_PATH} answers {answer.status_code}, and not as an Alertmanager does"
        yield fail(
            "alertmanager",
            told,
            "give the URL with its --web.route-prefix and without /api; Alertmanager 0.16 or newer",
        )
        return
    version, cluster = status["versionInfo"]["version"], status["cluster"]["status"]
    yield ok("alertmanager", f"{url}: version {version}, cluster {cluster}")
    yield from _check_clock(url, answer.headers.get("date"), now_s)


def _status(answer: httpx.Response) -> Any:
    """What it says of itself; None where it is no Alertmanager."""
    try:
        status = answer.json()
        return (
            status if answer.is_success and status["versionInfo"]["version"] and status["cluster"]["status"] else None
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None


def _check_clock(url: str, date: str | None, now_s: float) -> Iterator[Finding]:
    try:
        there_s = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return
    skew_s = there_s - now_s
    if abs(skew_s) > _SKEW_S:
        told = f"the clock of {url} is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
        yield warn("clocks", told, "alerts end too early or too late there: set both clocks by NTP")


def check_webhooks(settings: WebhookSettings) -> Iterator[Finding]:
    """Secrets, certificates and a connection; nothing is posted."""
    if not settings.urls:
        yield ok("webhook", "no webhook.urls: nothing is posted from here")
        return
    try:
        key = secret(settings.secret, settings.secret_file, "webhook.secret_file")
        client_of(settings.access, settings.timeout_s).close()
        tls = tls_context(settings.access)
    except PushError as error:
        yield fail("webhook", str(error), "mend the file, or webhook.access and webhook.secret")
        return
    for url in settings.urls:
        is_tls = urlsplit(url).scheme == "https"
        why = unreachable(*address_of(url), settings.timeout_s, tls if is_tls else None)
        if why is not None:
            yield fail("webhook", f"{url}: {why}", "check webhook.urls, webhook.access and the network")
        else:
            yield ok("webhook", f"{url} is reached (nothing was posted), {'signed' if key else 'unsigned'}")
