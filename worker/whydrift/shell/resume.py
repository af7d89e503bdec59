"""Where a partition goes on: what is read again without publishing, and from where on is published.

Belongs here: that decision, as a pure function. Not here: how the offsets were found, or acting on it.

    snapshot            committed
       |-- read again, ----|-- read, publish ------>
       |   publish nothing |
"""

from dataclasses import dataclass

from whydrift.core.state import StateError
from whydrift.shell.kafka_settings import StartFrom


@dataclass(frozen=True, slots=True)
class Offsets:
    """What is known of one input partition. `snapshot` and `committed` are None where there is none; `begin` is the first offset
    still there, `end` the one after the last."""

    snapshot: int | None
    committed: int | None
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Process from `read_from`, publish what records from `publish_from` on bring about. `remark` is for the log."""

    read_from: int
    publish_from: int
    remark: str | None = None


def resume(offsets: Offsets, start_from: StartFrom) -> Resume:
    """Raises StateError where going on would publish something wrong; an operator decides then."""
    if offsets.snapshot is None:
        return _without_snapshot(offsets, start_from)
    return _from_snapshot(offsets, offsets.snapshot)


def _without_snapshot(offsets: Offsets, start_from: StartFrom) -> Resume:
    if offsets.committed is None:
        start = offsets.begin if start_from == "earliest" else offsets.end
        return Resume(start, start, f"first start of this group: from the {start_from} offset")
    remark = (
        f"no state was found: rebuilding it from the earliest event still there, publishing from {offsets.committed} on"
    )
    return Resume(offsets.begin, max(offsets.begin, offsets.committed), remark)


def _from_snapshot(offsets: Offsets, snapshot: int) -> Resume:
    committed = offsets.committed
    if committed is None:
        raise StateError(
            f"the state goes up to offset {snapshot}, but the group has no committed offset (expired, or deleted): set it with "
            f"`kafka-consumer-groups --reset-offsets --to-offset {snapshot}`, or choose a new topics.state to start anew"
        )
    if snapshot > committed:
        raise StateError(
            f"the state goes up to offset {snapshot}, ahead of the committed offset {committed}: "
            f"somebody set the group's offset back. "
            f"Set it to {snapshot} again, or choose a new group_id and a new topics.state to go through the events anew"
        )
    if offsets.begin > snapshot and snapshot < committed:
        raise StateError(
            f"the events from offset {snapshot} on are needed to rebuild the state, but the topic starts at "
            f"{offsets.begin}: its retention is shorter than the worker's downtime. Raise retention.ms, and choose a new "
            "topics.state to rebuild the state from what is left"
        )
    if offsets.begin > committed:
        lost = f"events {committed} to {offsets.begin} were deleted before they were read: the topic's retention is too short"
        return Resume(offsets.begin, offsets.begin, lost)
    return Resume(snapshot, committed)
