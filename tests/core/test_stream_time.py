"""The clock of a partition: moved by events that can be believed, by no others."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.stream_time import AGREEING, StreamTime, middle_of_neighbours

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MAX_AHEAD_MS = 15 * MINUTE_MS
START_MS = 1_795_437_000_000


def clock(times_ms: Iterable[int], broker_ms: int | None = None) -> StreamTime:
    """After events of these times."""
    time = StreamTime(MAX_AHEAD_MS)
    for time_ms in times_ms:
        time.observe(time_ms, broker_ms)
    return time


def steady(n: int, step_ms: int = 1_000) -> list[int]:
    return [START_MS + i * step_ms for i in range(n)]


def test_there_is_no_time_before_the_first_event_and_the_first_sets_it() -> None:
    time = StreamTime(MAX_AHEAD_MS)
    assert time.now_ms is None
    assert time.observe(START_MS, None) is True
    assert time.now_ms == START_MS


def test_time_is_the_greatest_of_the_events_and_never_moves_back() -> None:
    time = clock(steady(10))
    assert time.observe(START_MS + 3_000, None) is False
    assert time.observe(START_MS + 9_000, None) is False, "an equal time moves nothing"
    assert time.now_ms == START_MS + 9_000
    assert time.observe(START_MS + 9_001, None) is True
    assert time.now_ms == START_MS + 9_001


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4 * HOUR_MS), st.none() | st.integers(0, 4 * HOUR_MS)), max_size=60))
def test_time_never_moves_back_whatever_the_events_and_tells_when_it_moves(
    events: list[tuple[int, int | None]],
) -> None:
    time, before = StreamTime(MAX_AHEAD_MS), -1
    for time_ms, broker_ms in events:
        moved = time.observe(time_ms, broker_ms)
        assert time.now_ms is not None
        assert (time.now_ms > before) is moved
        before = time.now_ms
    assert before <= max((max(e, b or 0) for e, b in events), default=0)


def test_a_jump_of_at_most_fifteen_minutes_is_believed_at_once() -> None:
    time = clock(steady(10))
    assert time.observe(START_MS + 9_000 + MAX_AHEAD_MS, None) is True


def test_one_wrong_clock_does_not_move_time_however_often_it_speaks_between_others() -> None:
    time = clock(steady(100))
    for i in range(100, 400):
        assert time.observe(START_MS + i * 1_000 + 24 * HOUR_MS, None) is False
        assert time.observe(START_MS + i * 1_000, None) is True
    assert time.now_ms == START_MS + 399_000
    assert time.ahead == 300


def test_a_third_of_the_producers_with_a_wrong_clock_does_not_move_time() -> None:
    time = clock(steady(10))
    for i in range(10, 2_000):
        wrong = 24 * HOUR_MS if (i * i + i // 7) % 3 == 0 else 0
        time.observe(START_MS + i * 1_000 + wrong, None)
    assert time.now_ms is not None
    assert time.now_ms <= START_MS + 2_000_000
    assert time.ahead > 400


def test_after_a_night_without_traffic_twelve_events_in_a_row_are_believed() -> None:
    time = clock(steady(100))
    morning = [START_MS + 8 * HOUR_MS + (i * 7 % AGREEING) * 1_000 for i in range(AGREEING)]
    assert [time.observe(time_ms, None) for time_ms in morning[:-1]] == [False] * (AGREEING - 1)
    assert time.observe(morning[-1], None) is True
    assert time.now_ms == START_MS + 8 * HOUR_MS + (AGREEING - 1) * 1_000
    assert time.observe(START_MS + 8 * HOUR_MS + 20_000, None) is True, "and time goes on from there"


def test_of_twelve_that_agree_on_the_morning_one_may_be_wrong_still() -> None:
    time = clock(steady(100))
    morning = [START_MS + 8 * HOUR_MS + i * 1_000 for i in range(AGREEING - 1)]
    clock_of_next_century_ms = START_MS + 100 * 365 * 24 * HOUR_MS
    for time_ms in [*morning[:5], clock_of_next_century_ms, *morning[5:]]:
        time.observe(time_ms, None)
    assert time.now_ms == morning[-1]


def test_clocks_that_agree_on_nothing_move_time_as_little_as_they_can() -> None:
    years = [START_MS + (i * 5 % AGREEING + 1) * 365 * 24 * HOUR_MS for i in range(AGREEING)]
    assert clock([*steady(100), *years]).now_ms == min(years)


def test_an_event_of_the_old_time_among_them_begins_the_count_anew() -> None:
    time = clock(steady(100))
    ahead = START_MS + 8 * HOUR_MS
    for _ in range(3):
        assert not any(time.observe(ahead, None) for _ in range(AGREEING - 1))
        time.observe(START_MS + 50_000, None)
    assert time.now_ms == START_MS + 99_000


def test_what_the_broker_saw_at_about_that_time_is_believed_at_once() -> None:
    time = clock(steady(100))
    morning_ms = START_MS + 8 * HOUR_MS
    assert time.observe(morning_ms, morning_ms - MAX_AHEAD_MS) is True
    assert time.now_ms == morning_ms


def test_what_is_ahead_of_the_broker_too_is_not() -> None:
    time = clock(steady(100))
    assert time.observe(START_MS + 8 * HOUR_MS, START_MS + 100_000) is False
    assert time.observe(START_MS + 101_000, START_MS + 101_000) is True


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, 170 * 365 * 24 * HOUR_MS])
def test_a_first_event_ahead_of_the_broker_begins_at_the_brokers_time(ahead_ms: int) -> None:
    time = StreamTime(MAX_AHEAD_MS)
    assert time.observe(START_MS + ahead_ms, START_MS) is True
    assert time.now_ms == START_MS


def test_ten_events_an_hour_may_be_hours_apart() -> None:
    sparse = [START_MS + i * 10 * MINUTE_MS for i in range(60)]
    time = clock(sparse)
    assert time.observe(sparse[-1] + HOUR_MS, None) is True, "six usual steps"
    assert time.observe(sparse[-1] + 7 * HOUR_MS, None) is False, "many more than eight"
    assert time.ahead == 1


def test_a_stream_of_two_events_a_day_moves_once_its_steps_are_known() -> None:
    daily = [START_MS + i * 12 * HOUR_MS for i in range(80)]
    time = clock(daily)
    assert time.now_ms == daily[-1]
    assert time.ahead == AGREEING, "only the first of them had to wait for each other"


def test_a_restored_clock_goes_on_as_if_nothing_had_happened() -> None:
    events = [*steady(50), *[START_MS + 8 * HOUR_MS + i for i in range(20)], *steady(3)]
    for cut in range(0, len(events), 7):
        parted = clock(events[:cut])
        parted = StreamTime.restore(MAX_AHEAD_MS, parted.snapshot())
        whole = clock(events[:cut])
        for time_ms in events[cut:]:
            assert parted.observe(time_ms, None) is whole.observe(time_ms, None)
        assert parted.snapshot() == whole.snapshot()


def test_the_middle_of_neighbours_is_moved_neither_by_single_clocks_nor_at_the_ends() -> None:
    times = np.arange(200.0)
    assert middle_of_neighbours(times).tolist() == times.tolist()
    wrong = times.copy()
    wrong[50::3] -= 900.0
    assert np.abs(middle_of_neighbours(wrong) - times)[3:-3].max() <= 8
    exchanged = times.copy()
    exchanged[[50, 51]] = exchanged[[51, 50]]
    assert (middle_of_neighbours(exchanged) >= 185).sum() == 15
    assert (middle_of_neighbours(exchanged) >= 14).sum() == 186
    assert middle_of_neighbours(np.array([2.0, 1.0, 3.0])).tolist() == [2.0, 2.0, 3.0]
