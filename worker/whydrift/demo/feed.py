"""The producer: sends the day's events when they are due, at the pace of the demo.

Belongs here: pacing and sending. Not here: what is sent (`traffic`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from whydrift.demo.stage import Stage
from whydrift.demo.traffic import MODEL_ID, TimedEvent
from whydrift.shell.clients import Message

_MOST_AT_ONCE = 2_000
"""Events of one transaction: after a pause (a laptop that slept) the backlog comes in portions."""


class Feed:
    """`speed`: seconds of event time in one second. `now_ms`: event time up to which all has been sent."""

    def __init__(self, stage: Stage, events: Iterator[TimedEvent], from_ms: int, speed: float) -> None:
        self._topic = stage.settings.topics.events
        self._client = stage.connect(stage.settings)
        self._producer = self._client.producer(f"{stage.settings.group_id}-feed")
        self._events = events
        self._next = next(events, None)
        self._from_ms = from_ms
        self._speed = speed
        self._predicted_ms: list[int] = []
        self.now_ms = from_ms
        self.sent = 0

    @property
    def done(self) -> bool:
        return self._next is None

    def send_due(self, elapsed_s: float) -> None:
        """Send what is due so long after the start. Raises KafkaClientError: then it is not known what arrived."""
        until_ms = self._from_ms + int(elapsed_s * 1000 * self._speed)
        due = self._take_due(until_ms)
        if not due:
            return
        self._producer.begin()
        for event in due:
            self._producer.send(Message(self._topic, 0, MODEL_ID.encode(), event.value))
        self._producer.flush()
        self._producer.commit()
        self.sent += len(due)
        self.now_ms = due[-1].time_ms

    def _take_due(self, until_ms: int) -> list[TimedEvent]:
        due: list[TimedEvent] = []
        while self._next is not None and self._next.time_ms <= until_ms and len(due) < _MOST_AT_ONCE:
            due.append(self._next)
            if self._next.is_prediction:
                self._predicted_ms.append(self._next.time_ms)
            self._next = next(self._events, None)
        return due

    def predictions_between(self, from_ms: int, to_ms: int) -> int:
        """Predictions sent with a time from the first to the second, both included."""
        return bisect_right(self._predicted_ms, to_ms) - bisect_left(self._predicted_ms, from_ms)

    def close(self) -> None:
        self._producer.discard()
        self._client.close()
