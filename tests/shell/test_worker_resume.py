"""Where a partition goes on, by what is there."""

import pytest

from whydrift.core.state import StateError
from whydrift.shell.resume import Offsets, resume


def test_a_first_start_begins_where_it_is_told() -> None:
    nothing = Offsets(snapshot=None, committed=None, begin=5, end=90)
    earliest, latest = resume(nothing, "earliest"), resume(nothing, "latest")
    assert (earliest.read_from, earliest.publish_from) == (5, 5)
    assert (latest.read_from, latest.publish_from) == (90, 90)


def test_with_a_snapshot_the_records_up_to_the_committed_offset_are_read_again_in_silence() -> None:
    found = resume(Offsets(snapshot=40, committed=60, begin=0, end=90), "latest")
    assert (found.read_from, found.publish_from, found.remark) == (40, 60, None)


def test_a_snapshot_at_the_committed_offset_needs_nothing_read_again() -> None:
    found = resume(Offsets(snapshot=60, committed=60, begin=60, end=60), "earliest")
    assert (found.read_from, found.publish_from, found.remark) == (60, 60, None)


def test_without_a_snapshot_the_state_is_rebuilt_from_what_is_there() -> None:
    found = resume(Offsets(snapshot=None, committed=60, begin=20, end=90), "latest")
    assert (found.read_from, found.publish_from) == (20, 60)
    assert "no state was found" in (found.remark or "")


def test_without_a_snapshot_and_with_the_committed_offset_deleted_it_goes_on_with_what_is_there() -> None:
    found = resume(Offsets(snapshot=None, committed=10, begin=20, end=90), "latest")
    assert (found.read_from, found.publish_from) == (20, 20)


def test_a_snapshot_ahead_of_the_committed_offset_is_fatal() -> None:
    with pytest.raises(StateError, match="up to offset 61, ahead of the committed offset 60"):
        resume(Offsets(snapshot=61, committed=60, begin=0, end=90), "earliest")


def test_a_snapshot_without_a_committed_offset_is_fatal_and_says_how_to_set_it() -> None:
    with pytest.raises(StateError, match="--reset-offsets --to-offset 61"):
        resume(Offsets(snapshot=61, committed=None, begin=0, end=90), "earliest")


def test_events_that_retention_took_between_snapshot_and_committed_offset_are_fatal() -> None:
    with pytest.raises(StateError, match=r"events from offset 40 on are needed .* starts at 50"):
        resume(Offsets(snapshot=40, committed=60, begin=50, end=90), "earliest")


def test_events_that_retention_took_before_they_were_read_are_told_but_the_state_is_still_right() -> None:
    found = resume(Offsets(snapshot=60, committed=60, begin=70, end=90), "earliest")
    assert (found.read_from, found.publish_from) == (70, 70)
    assert "events 60 to 70 were deleted before they were read" in (found.remark or "")
