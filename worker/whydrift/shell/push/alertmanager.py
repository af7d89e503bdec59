"""Open incidents as alerts of Alertmanager (`POST /api/v2/alerts`), sent again until they are resolved.

What is open is sent, not what happened: each turn sends the state of all open incidents, so that an Alertmanager that was away,
lost its memory or joined late knows it with the next repetition, and the memory needed is that of the open incidents. A resolved
one is sent with its end until every Alertmanager has it, or has let it end by itself.

Labels tell one alert from another, so none may change in an update: the incident's id, its model, the fault it was opened as, and
the greatest severity so far. A rise in severity is the one exception, on purpose: the alert ends and one of the higher severity
begins, because it has to reach whoever is paged for that. A severity never falls.

Alerts of a partition that goes to another worker are neither repeated nor resolved here: the other sends them, labels and all.
Belongs here: which alerts are sent when. Not here: texts (`text`), HTTP (`delivery`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whydrift.core.status import OpenIncident
from whydrift.shell.labels import label_value
from whydrift.shell.push.delivery import Delivery, Outcome, PushSink, Target, log
from whydrift.shell.push.settings import AlertmanagerSettings, Links
from whydrift.shell.push.text import annotations, incident_url
from whydrift_schemas import Diagnosis, Severity, write_time

ALERT_NAME = "WhydriftIncident"
PATH = "/api/v2/alerts"
BATCH = 100
"""Alerts in one request."""

AlertKey = tuple[str, Severity]
"""Incident and greatest severity: what tells one of our alerts from another."""


@dataclass(slots=True)
class _Ended:
    """An alert that is over. `until_s`: by then every Alertmanager ends it itself; `missing`: who has not been told."""

    incident: OpenIncident
    ended_s: float
    until_s: float
    missing: set[str]


class AlertmanagerSink(PushSink):
    """An `IncidentListener`. `clock_s` is the time since 1970, in seconds."""

    name = "alertmanager"

    def __init__(self, settings: AlertmanagerSettings, links: Links, clock_s: Callable[[], float]) -> None:
        super().__init__(settings.urls, settings.access, settings.timeout_s, clock_s)
        self._settings = settings
        self._links = links
        self._open: dict[int, dict[AlertKey, OpenIncident]] = {}
        self._ended: dict[AlertKey, _Ended] = {}
        self._news: set[str] = set()
        """Targets that have not got the latest state."""
        self._left_out = 0

    # --- from the worker's loop

    def heard(self, partition: int, incidents: Sequence[OpenIncident], said: Sequence[Diagnosis]) -> None:
        now_s = self._clock_s()
        last = {one.incident_id: one for one in said}
        with self._condition:
            before = self._open.get(partition, {})
            self._open[partition] = {(one.diagnosis.incident_id, one.worst): one for one in incidents}
            for key in before.keys() - self._open[partition].keys():
                incident = before[key]
                final = OpenIncident(last.get(key[0], incident.diagnosis), incident.opened_as, incident.worst)
                urls = {target.url for target in self.targets}
                self._ended[key] = _Ended(final, now_s, now_s + self._settings.ends_after_s, urls)
            self._news = {target.url for target in self.targets}
            self._condition.notify_all()

    def revoked(self, partition: int) -> None:
        with self._condition:
            self._open.pop(partition, None)

    # --- the sink's own thread

    def has_news(self) -> bool:
        now_s = self._clock_s()
        return any(target.url in self._news and self._may_try(target, now_s) for target in self.targets)

    def step(self) -> float:
        now_s = self._clock_s()
        with self._condition:
            self._forget_ended(now_s)
        for target in self.targets:
            if target.due_s <= now_s or (target.url in self._news and self._may_try(target, now_s)):
                self._send(target, now_s)
        return min((target.due_s for target in self.targets), default=now_s + self._settings.repeat_interval_s)

    def deliveries(self) -> list[Delivery]:
        now_s = self._clock_s()
        with self._condition:
            count = sum(map(len, self._open.values()))
            waiting = {
                target.url: (count if target.url in self._news else 0)
                + sum(target.url in one.missing for one in self._ended.values())
                for target in self.targets
            }
        return [
            Delivery(
                sink=self.name,
                target=target.name,
                sent=target.sent,
                failed=dict(target.failed),
                waiting=waiting[target.url],
                success_age_s=None if target.last_success_s is None else now_s - target.last_success_s,
                left_out=self._left_out,
            )
            for target in self.targets
        ]

    def _may_try(self, target: Target, now_s: float) -> bool:
        """News goes out at once, unless the last attempt failed: then when its pause is over."""
        return not target.failures_in_a_row or target.due_s <= now_s

    def _forget_ended(self, now_s: float) -> None:
        for key, one in list(self._ended.items()):
            if one.missing and one.until_s < now_s:
                self._left_out += len(one.missing)
                log.warning(
                    "the end of an alert was not delivered; it ends by itself", incident=key[0], left=len(one.missing)
                )
            if not one.missing or one.until_s < now_s:
                del self._ended[key]

    def _send(self, target: Target, now_s: float) -> None:
        with self._condition:
            self._news.discard(target.url)
            keys = [key for key, one in self._ended.items() if target.url in one.missing]
            ended = [_alert(self._ended[key].incident, self._ended[key].ended_s, self._links) for key in keys]
            ends_s = now_s + self._settings.ends_after_s
            incidents = [one for mine in self._open.values() for one in mine.values()]
        target.due_s = now_s + self._settings.repeat_interval_s
        alerts = ended + [_alert(one, ends_s, self._links) for one in incidents]
        outcomes = set()
        for first in range(0, len(alerts), BATCH):
            outcome = self.post(target, PATH, json.dumps(alerts[first : first + BATCH]).encode(), {})
            # Of a batch with an alert it refuses, Alertmanager takes the others; which, and why, is in its answer, and logged.
            if outcome not in (Outcome.DELIVERED, Outcome.REFUSED):
                with self._condition:
                    self._news.add(target.url)
                return
            outcomes.add(outcome)
        if outcomes == {Outcome.DELIVERED, Outcome.REFUSED}:
            # It is well and took most; without this the batch it refuses would make it get all of them every second.
            target.failures_in_a_row, target.due_s = 0, now_s + self._settings.repeat_interval_s
        with self._condition:
            for key in keys:
                if key in self._ended:
                    self._ended[key].missing.discard(target.url)


def _alert(incident: OpenIncident, ends_s: float, links: Links) -> dict[str, Any]:
    diagnosis = incident.diagnosis
    ends_ms = int(ends_s * 1000)
    labels = {
        "alertname": ALERT_NAME,
        "incident_id": label_value(diagnosis.incident_id),
        "model_id": label_value(diagnosis.model_id) or "(empty)",
        "opened_as": incident.opened_as.value,
        "severity": incident.worst.value,
    }
    alert: dict[str, Any] = {
        "labels": labels,
        "annotations": annotations(diagnosis, links),
        # Event time, which a wrong clock may put ahead of ours: an alert cannot end before it began.
        "startsAt": write_time(min(diagnosis.onset_at, ends_ms)),
        "endsAt": write_time(ends_ms),
    }
    url = incident_url(diagnosis, links)
    return alert if url is None else alert | {"generatorURL": url}
