"""Each diagnosis as it is published, posted to URLs of yours: signed, in order, again until it is taken.

The body is the record of the diagnosis topic. `webhook-id` is incident and sequence: the same one comes again after a restart or
a lost answer, and is to be taken once. What waits is kept by incident, the latest record only: that is its state, so a receiver
that was away gets how things are, not how they came about. Signed as Standard Webhooks (standardwebhooks.com) has it.
Belongs here: what is sent when, and the signature. Not here: HTTP (`delivery`).
"""

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence

from whydrift.core.status import OpenIncident
from whydrift.shell.push.delivery import Delivery, Outcome, PushError, PushSink, Target, log, secret
from whydrift.shell.push.settings import WebhookSettings
from whydrift_schemas import Diagnosis, encode

_PREFIX = "whsec_"


class WebhookSink(PushSink):
    """An `IncidentListener`. `clock_s` is the time since 1970, in seconds."""

    name = "webhook"

    def __init__(self, settings: WebhookSettings, clock_s: Callable[[], float]) -> None:
        super().__init__(settings.urls, settings.access, settings.timeout_s, clock_s)
        self._settings = settings
        self._waiting: dict[str, OrderedDict[str, Diagnosis]] = {target.url: OrderedDict() for target in self.targets}
        self._left_out = dict.fromkeys(self._waiting, 0)
        self._known: dict[int, set[str]] = {}
        """Open incidents of each partition that this process has queued, since it was given the partition."""

    def start(self) -> None:
        if self.targets:
            secret(self._settings.secret, self._settings.secret_file, "webhook.secret_file")
        super().start()

    # --- from the worker's loop

    def heard(self, partition: int, incidents: Sequence[OpenIncident], said: Sequence[Diagnosis]) -> None:
        """What a restored partition's worker had not delivered when it ended is sent now, with or without news."""
        with self._condition:
            known = self._known.get(partition, set())
            self._known[partition] = {one.diagnosis.incident_id for one in incidents}
            told = {one.incident_id for one in said} | known
            news = [one.diagnosis for one in incidents if one.diagnosis.incident_id not in told]
            news += said
            for url, waiting in self._waiting.items():
                for diagnosis in news:
                    waiting[diagnosis.incident_id] = diagnosis
                while len(waiting) > self._settings.queue_limit:
                    incident_id, _ = waiting.popitem(last=False)
                    self._left_out[url] += 1
                    log.warning("a diagnosis was not delivered: too many wait", sink=self.name, incident=incident_id)
            self._condition.notify_all()

    def revoked(self, partition: int) -> None:
        """What was published is still to be delivered."""
        with self._condition:
            self._known.pop(partition, None)

    # --- the sink's own thread

    def has_news(self) -> bool:
        now_s = self._clock_s()
        return any(self._waiting[target.url] and target.due_s <= now_s for target in self.targets)

    def step(self) -> float:
        now_s = self._clock_s()
        for target in self.targets:
            while target.due_s <= now_s and self._deliver_next(target):
                pass
        due = [target.due_s for target in self.targets if self._waiting[target.url]]
        return min(due, default=now_s + 3_600)

    def deliveries(self) -> list[Delivery]:
        now_s = self._clock_s()
        return [
            Delivery(
                sink=self.name,
                target=target.name,
                sent=target.sent,
                failed=dict(target.failed),
                waiting=len(self._waiting[target.url]),
                success_age_s=None if target.last_success_s is None else now_s - target.last_success_s,
                left_out=self._left_out[target.url],
            )
            for target in self.targets
        ]

    def _deliver_next(self, target: Target) -> bool:
        """The one that waited longest. False when none is left."""
        with self._condition:
            waiting = self._waiting[target.url]
            diagnosis = next(iter(waiting.values()), None)
        if diagnosis is None:
            return False
        outcome = self._send(target, diagnosis)
        if outcome in (Outcome.DELIVERED, Outcome.REFUSED):
            with self._condition:
                if outcome is Outcome.REFUSED:
                    self._left_out[target.url] += 1
                if waiting.get(diagnosis.incident_id) is diagnosis:  # unless there is news of it already
                    del waiting[diagnosis.incident_id]
        return True

    def _send(self, target: Target, diagnosis: Diagnosis) -> Outcome:
        body = encode(diagnosis)
        message_id = f"{diagnosis.incident_id}-{diagnosis.sequence}"
        headers = {"webhook-id": message_id, "webhook-timestamp": str(int(self._clock_s()))}
        try:
            key = secret(self._settings.secret, self._settings.secret_file, "webhook.secret_file")
        except PushError as error:
            return self.settle(target, Outcome.CREDENTIALS, str(error))
        if key is not None:
            headers["webhook-signature"] = signature(key, message_id, headers["webhook-timestamp"], body)
        return self.post(target, "", body, headers)


def signature(key: str, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over id, timestamp and body, joined by dots."""
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.new(_key(key), signed, hashlib.sha256).digest()).decode()


def _key(text: str) -> bytes:
    """The bytes of a `whsec_` secret; any other text as it is."""
    if text.startswith(_PREFIX):
        try:
            return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return text.encode()
