"""The limit that stops a worker on bad input."""

import pytest

from whydrift.core.records import Record, Reject
from whydrift.shell.kafka_settings import RejectLimits
from whydrift.shell.reject_limit import RejectLimit, TooManyRejects
from whydrift_schemas import RejectReason

REASON = next(iter(RejectReason))


def feed(limit: RejectLimit, pattern: str, first_offset: int = 0) -> None:
    """`x` is a rejected record, `.` a good one."""
    records = [Record("events", 0, first_offset + place, b"") for place in range(len(pattern))]
    rejects = [Reject(record, REASON, "why") for record, kind in zip(records, pattern, strict=True) if kind == "x"]
    limit.check(records, rejects)


def test_rejects_in_a_row_stop_it_across_batches_and_one_good_record_starts_the_count_anew() -> None:
    limit = RejectLimit(RejectLimits(in_a_row=4, fraction=1.0, of_last=100))
    feed(limit, "xxx.xx")
    feed(limit, "x", 6)
    with pytest.raises(TooManyRejects, match=r"4 records in a row .* events-0 offset 7: .*: why"):
        feed(limit, "xx", 7)


def test_the_fraction_is_judged_once_enough_records_were_seen() -> None:
    limit = RejectLimit(RejectLimits(in_a_row=1_000, fraction=0.5, of_last=10))
    feed(limit, "x.x.x.xx")
    with pytest.raises(TooManyRejects, match="6 of the last 10 records"):
        feed(limit, ".x", 8)


def test_exactly_the_fraction_is_still_allowed_and_old_rejects_are_forgotten() -> None:
    limit = RejectLimit(RejectLimits(in_a_row=1_000, fraction=0.5, of_last=10))
    feed(limit, "x." * 50)
    feed(limit, "." * 10, 100)
    feed(limit, "xxxxx", 110)
    with pytest.raises(TooManyRejects):
        feed(limit, "x", 115)
