"""When to stop because the input is bad, rather than drain it into the rejected topic.

A poison message is one record; a thousand in a row are a bad deployment, and stopping keeps them where they are.
Belongs here: the counting. Not here: why a record is bad.
"""

from collections import deque
from collections.abc import Sequence

from whydrift.core.records import Output, Record, Reject
from whydrift.shell.kafka_settings import RejectLimits


class TooManyRejects(Exception):  # noqa: N818  # reads as what it is
    """The producers of the events must act: the worker stops and leaves them in the topic."""


class RejectLimit:
    """Counts for one partition, from its assignment on."""

    def __init__(self, limits: RejectLimits) -> None:
        self._limits = limits
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=limits.of_last)
        self._rejected = 0

    def check(self, records: Sequence[Record], outputs: Sequence[Output]) -> None:
        """Count what became of `records`. Raises TooManyRejects with the last reason."""
        rejects = {output.record.offset: output for output in outputs if isinstance(output, Reject)}
        for record in records:
            reject = rejects.get(record.offset)
            self._count(reject is not None)
            if reject is not None:
                self._judge(reject)

    def _count(self, rejected: bool) -> None:
        if len(self._last) == self._last.maxlen:
            self._rejected -= self._last[0]
        self._last.append(rejected)
        self._rejected += rejected
        self._in_a_row = self._in_a_row + 1 if rejected else 0

    def _judge(self, reject: Reject) -> None:
        limits = self._limits
        if self._in_a_row >= limits.in_a_row:
            self._stop(f"{self._in_a_row} records in a row were rejected (reject_limits.in_a_row)", reject)
        if len(self._last) == limits.of_last and self._rejected > limits.fraction * limits.of_last:
            self._stop(
                f"{self._rejected} of the last {limits.of_last} records were rejected (reject_limits.fraction)", reject
            )

    def _stop(self, what: str, reject: Reject) -> None:
        at = f"{reject.record.topic}-{reject.record.partition} offset {reject.record.offset}"
        raise TooManyRejects(f"{what}, the last at {at}: {reject.reason.value}: {reject.message}")
