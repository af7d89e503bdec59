"""Arrivals: a stop, a collapse and a surge are found at any traffic; season, ramps, bursts and backlogs are health."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import pytest

from whydrift.core.detectors.rate import RateGuard
from whydrift.core.state import pack, unpack

HOUR_MS = 3_600_000
START_MS = 1_795_392_000_000 + 7 * HOUR_MS
THRESHOLD = 6.0

Rate = Callable[[float], float]
"""Arrivals an hour, as a function of hours since the start."""


def arrivals(rate: Rate, hours: float, peak: float, seed: int = 1, burst: int = 1) -> list[int]:
    """Poisson arrivals in epoch milliseconds; with `burst`, batches of about so many at once."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.random(rng.poisson(peak * hours)) * hours)
    at = at[rng.random(len(at)) * peak < [rate(hour) for hour in at]]
    if burst > 1:
        at = np.repeat(at, rng.geometric(1 / burst, len(at)))
    return [START_MS + int(hour * HOUR_MS) for hour in at]


def open_daily(days: int, hours: float, seed: int, closed: int = -1) -> list[int]:
    """1,800 an hour from the first hour of each day on, ten minutes sooner or later, for so long; at other times none."""
    rng = np.random.default_rng(seed)
    begins = [24 * day + 0.1 + rng.uniform(-1 / 6, 1 / 6) * (day > 0) for day in range(days) if day != closed]
    at = [begin + np.sort(rng.random(rng.poisson(1_800 * hours))) * hours for begin in begins]
    return [START_MS + int(hour * HOUR_MS) for hour in np.concatenate(at)]


@dataclass
class Watched:
    guard: RateGuard
    alarms: list[float]
    """Hours at which an alarm began."""
    recoveries: list[float]


def watch(at_ms: list[int], hours: float, guard: RateGuard | None = None, every_ms: int = 60_000) -> Watched:
    """Feed arrivals; stream time goes on by itself (other models of the partition), every minute."""
    one = Watched(guard or RateGuard(downward_only=False), [], [])
    ticks = [(START_MS + tick, 0) for tick in range(0, int(hours * HOUR_MS) + 1, every_ms)]
    for now_ms, arrived in sorted([*((at, 1) for at in at_ms), *ticks]):
        was = one.guard.is_alarmed
        one.guard.advance(now_ms, THRESHOLD)
        if arrived:
            one.guard.count()
        if one.guard.is_alarmed != was:
            (one.recoveries if was else one.alarms).append((now_ms - START_MS) / HOUR_MS)
    return one


def steady(per_hour: float) -> Rate:
    return lambda hour: per_hour


def season(per_hour: float, night: float, phase: float = 0.0) -> Rate:
    """Between `night` × per_hour and per_hour, once a day."""
    return lambda hour: per_hour * (night + (1 - night) * (1 - cos(2 * pi * (hour + phase) / 24)) / 2)


def office(per_hour: float, night: float) -> Rate:
    """Eight hours of every day at night's level, at once; it begins in the middle of a day."""
    return lambda hour: per_hour * (night if 8 <= hour % 24 < 16 else 1)


# Health -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1, 5, 40])
@pytest.mark.parametrize("per_hour", [2, 10, 300])
def test_steady_traffic_raises_no_alarm_however_slow_or_bursty(per_hour: int, burst: int) -> None:
    hours = 24 * (40 if per_hour < 100 else 6)
    assert watch(arrivals(steady(per_hour), hours, per_hour, burst=burst), hours).alarms == []


@pytest.mark.parametrize("phase", [0, 6, 12, 18])
@pytest.mark.parametrize("per_hour", [10, 400])
def test_a_daily_season_with_a_tenth_of_the_day_at_night_raises_no_alarm(per_hour: int, phase: int) -> None:
    assert watch(arrivals(season(per_hour, 0.1, phase), 24 * 8, per_hour), 24 * 8).alarms == []


def test_a_night_that_falls_at_once_is_known_from_its_second_day_on() -> None:
    """The limit: the first time, nothing tells it from a collapse."""
    one = watch(arrivals(office(400, 0.1), 24 * 8, 400), 24 * 8)
    assert len(one.alarms) == len(one.recoveries) == 1
    assert 8 < one.alarms[0] < one.recoveries[0] < 17


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hours", [0.6, 2.5, 10])
def test_hours_in_which_nothing_comes_are_known_from_the_second_day_on(hours: float, seed: int) -> None:
    """Nightly batches and office hours, which begin and end a little sooner or later each day."""
    watched = watch(open_daily(9, hours, seed), 9 * 24)
    assert len(watched.alarms) == 1, "the first night"
    assert watched.alarms[0] < hours + 0.5
    assert 23.5 < watched.recoveries[0] < 25.5


@pytest.mark.parametrize("seed", range(4))
def test_so_they_are_where_stream_time_stands_still_meanwhile(seed: int) -> None:
    watched = watch(open_daily(9, 0.6, seed), 0, every_ms=HOUR_MS)
    assert watched.alarms == pytest.approx([24.0], abs=0.5), "when it goes on again"


@pytest.mark.parametrize("seed", range(4))
def test_a_day_on_which_nobody_opens_is_told_in_its_second_hour(seed: int) -> None:
    watched = watch(open_daily(8, 10, seed, closed=6), 8 * 24)
    assert len(watched.alarms) == 2
    assert 6 * 24 + 0.5 < watched.alarms[1] < 6 * 24 + 2.1


def test_a_stop_in_office_hours_is_one_alarm_until_somebody_opens() -> None:
    at = [ms for ms in open_daily(12, 10, 0) if not 4 * 24 + 6 < (ms - START_MS) / HOUR_MS < 7 * 24 - 1]
    watched = watch(at, 9 * 24)
    assert len(watched.alarms) == 2
    assert 4 * 24 + 6 < watched.alarms[1] < 4 * 24 + 6.5
    assert 7 * 24 - 1 < watched.recoveries[1] < 7 * 24 + 1.5


def test_a_day_on_which_nobody_opens_is_told_when_stream_time_goes_on() -> None:
    watched = watch(open_daily(8, 7, 0, closed=6), 0, every_ms=HOUR_MS)
    assert [hour // 24 for hour in watched.alarms] == [1, 7]


def test_hours_with_hardly_anything_in_them_are_no_closed_ones() -> None:
    """Six an hour at night, one by chance: a stop stays alarmed."""
    at = arrivals(season(240, 0.025), 36, 240, seed=2)
    watched = watch(at, 5 * 24)
    assert len(watched.alarms) == 1
    assert watched.recoveries == []


def test_a_backlog_of_labels_does_not_make_the_feed_burstier() -> None:
    guard = RateGuard(downward_only=True)
    late = sorted(
        arrivals(steady(600), 20, 600) + arrivals(lambda hour: 9_000 * (33 < hour < 34) + 600 * (hour > 34), 60, 9_600)
    )
    watch(late, 60, guard)
    assert guard.dispersion < 5


def test_a_weekend_at_a_fifth_is_known_from_the_second_one_on() -> None:
    day = season(300, 0.3)

    def weekly(hour: float) -> float:
        return day(hour) * (0.2 if (hour / 24) % 7 >= 5 else 1)

    one = watch(arrivals(weekly, 24 * 28, 300), 24 * 28, every_ms=600_000)
    assert [hour for hour in one.alarms if hour > 24 * 7] == []


@pytest.mark.parametrize("per_hour", [10, 1_000])
def test_a_planned_ramp_to_ten_times_as_much_in_a_day_raises_no_alarm(per_hour: int) -> None:
    def ramp(hour: float) -> float:
        return per_hour * 10 ** min(max((hour - 72) / 24, 0.0), 1.0)

    assert watch(arrivals(ramp, 24 * 6, 10 * per_hour), 24 * 6).alarms == []


def test_a_backlog_of_labels_catching_up_is_health_and_so_is_the_time_after_it() -> None:
    def catching_up(hour: float) -> float:
        return 2_000.0 if 48 <= hour < 54 else 100.0

    one = watch(arrivals(catching_up, 96, 2_000), 96, RateGuard(downward_only=True))
    assert one.alarms == []
    assert one.guard.expected_per_hour() == pytest.approx(100, rel=0.3)


# Faults -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_hour", "days", "within"), [(10, 4, 8.0), (300, 3, 0.75), (5_000, 1, 0.2)])
def test_a_stop_is_found_while_the_stream_goes_on(per_hour: int, days: int, within: float) -> None:
    end = 24 * days
    one = watch(arrivals(steady(per_hour), end, per_hour), end + within)
    assert len(one.alarms) == 1
    assert end < one.alarms[0]
    assert one.guard.onset_ms == pytest.approx(START_MS + end * HOUR_MS, abs=2 * one.guard.interval_ms)
    assert one.guard.observed_per_hour() == 0
    assert one.guard.expected_per_hour() == pytest.approx(per_hour, rel=0.4)


def test_a_stop_at_night_is_found_too() -> None:
    rate = season(400, 0.1)
    one = watch(arrivals(lambda hour: rate(hour) if hour < 24 * 4 + 1 else 0, 24 * 4 + 2, 400), 24 * 5)
    assert len(one.alarms) == 1
    assert one.alarms[0] < 24 * 4 + 6


@pytest.mark.parametrize(("factor", "within"), [(0.1, 1.0), (5.0, 2.0), (10.0, 0.5)])
def test_a_collapse_and_a_surge_are_found_and_end(factor: float, within: float) -> None:
    def rate(hour: float) -> float:
        return 600 * (factor if 48 <= hour < 52 else 1)

    one = watch(arrivals(rate, 60, 600 * max(factor, 1)), 60)
    assert len(one.alarms) == len(one.recoveries) == 1
    assert 48 < one.alarms[0] < 48 + within
    assert 52 < one.recoveries[0] < 53


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_traffic_that_halves_or_doubles_within_a_minute_is_found_by_its_edge_and_ends(factor: float, seed: int) -> None:
    def rate(hour: float) -> float:
        return 3_600 * (factor if 2 <= hour < 4 else 1)

    one = watch(arrivals(rate, 5, 3_600 * max(factor, 1), seed), 5)
    assert len(one.alarms) == len(one.recoveries) == 1
    assert 2 < one.alarms[0] < 2.35
    assert 4 < one.recoveries[0] < 4.25


def test_a_doubled_rate_is_told_with_what_was_before_it_and_since_when() -> None:
    guard = watch(arrivals(lambda hour: 3_600 if hour < 2 else 7_200, 2.5, 7_200), 2.5).guard
    assert guard.is_alarmed
    assert guard.onset_ms == pytest.approx(START_MS + 2 * HOUR_MS, abs=guard.interval_ms)
    assert guard.expected_per_hour() == pytest.approx(3_600, rel=0.1)
    assert guard.observed_per_hour() == pytest.approx(7_200, rel=0.15)


def test_a_step_that_lasts_for_a_day_is_the_level_then() -> None:
    one = watch(arrivals(lambda hour: 3_600 if hour < 3 else 7_200, 36, 7_200), 36)
    assert len(one.alarms) == len(one.recoveries) == 1
    assert 26.9 < one.recoveries[0] < 27.2


@pytest.mark.parametrize("seed", range(3))
def test_a_step_at_the_same_hour_of_every_day_is_told_on_the_first_day_only(seed: int) -> None:
    one = watch(arrivals(office(4_000, 0.45), 24 * 4, 4_000, seed), 24 * 4)
    assert [hour for hour in one.alarms if hour > 24 + 1] == []


@pytest.mark.parametrize("seed", range(3))
def test_a_burst_within_an_interval_and_a_backlog_that_ends_are_no_steps(seed: int) -> None:
    def bursts(hour: float) -> float:
        return 20_000 if (hour * 60) % 90 < 1 else 3_600

    assert watch(arrivals(bursts, 12, 20_000, seed), 12).alarms == []

    def backlog(hour: float) -> float:
        return 3_600 * (2 if 3 <= hour < 3.5 else 1)

    assert watch(arrivals(backlog, 6, 7_200, seed), 6, RateGuard(downward_only=True)).alarms == []


def test_a_surge_does_not_hide_itself_by_being_learnt() -> None:
    one = watch(arrivals(lambda hour: 10 if hour < 24 * 10 else 100, 24 * 11, 100), 24 * 11)
    assert len(one.alarms) == 1
    assert one.alarms[0] < 24 * 10 + 6
    assert one.guard.expected_per_hour() < 20  # type: ignore[operator]


def test_a_stop_stays_alarmed_until_arrivals_are_back() -> None:
    one = watch(arrivals(lambda hour: 0 if 30 <= hour < 24 * 6 else 300, 24 * 7, 300), 24 * 7)
    assert len(one.alarms) == 1
    assert len(one.recoveries) == 1
    assert one.recoveries[0] > 24 * 6


def test_a_gap_of_months_is_walked_through_in_no_time_and_alarms() -> None:
    one = watch(arrivals(steady(300), 48, 300), 48)
    one.guard.advance(START_MS + 200 * 24 * HOUR_MS, THRESHOLD)
    assert one.guard.is_alarmed
    assert one.guard.boundary_ms > START_MS + 200 * 24 * HOUR_MS


# Readiness, answers, state ----------------------------------------------------------------------------------------------------


def test_ten_events_an_hour_are_known_within_a_day_and_until_then_nothing_is_claimed() -> None:
    early = watch(arrivals(steady(10), 3, 10), 3).guard
    assert not early.is_ready
    assert early.expected_per_hour() is None
    assert early.observed_per_hour() is None
    assert early.log10_e <= -100
    known = watch(arrivals(steady(10), 25, 10), 25).guard
    assert known.is_ready
    assert known.expected_per_hour() == pytest.approx(10, rel=0.3)


def test_before_the_first_arrival_nothing_is_counted() -> None:
    guard = RateGuard(downward_only=False)
    guard.advance(START_MS, THRESHOLD)
    guard.advance(START_MS + 30 * 24 * HOUR_MS, THRESHOLD)
    assert not guard.is_ready
    assert not guard.is_alarmed


def test_an_accepted_rate_becomes_the_expected_one() -> None:
    one = watch(arrivals(lambda hour: 300 if hour < 48 else 3_000, 50, 3_000), 50)
    assert one.guard.is_alarmed
    one.guard.accept()
    assert not one.guard.is_alarmed
    rest = [at for at in arrivals(steady(3_000), 60, 3_000) if at > START_MS + 50 * HOUR_MS]
    for at in rest:
        one.guard.advance(at, THRESHOLD)
        one.guard.count()
        assert not one.guard.is_alarmed
    assert one.guard.expected_per_hour() == pytest.approx(3_000, rel=0.2)


@pytest.mark.parametrize("cut", [100, 700, 2_900])
def test_a_snapshot_through_bytes_goes_on_as_if_nothing_had_happened(cut: int) -> None:
    at = arrivals(lambda hour: 100 if hour < 36 else 0.5, 60, 100)
    whole, first = RateGuard(downward_only=False), RateGuard(downward_only=False)
    for now_ms in at[:cut]:
        for guard in (whole, first):
            guard.advance(now_ms, THRESHOLD)
            guard.count()
    second = RateGuard.restore(unpack("rate", pack("rate", first.snapshot())))
    for now_ms in at[cut:]:
        for guard in (whole, second):
            guard.advance(now_ms, THRESHOLD)
            guard.count()
    assert pack("rate", second.snapshot()) == pack("rate", whole.snapshot())
    assert second.is_alarmed


def test_a_snapshot_does_not_change_with_the_guard() -> None:
    one = watch(arrivals(steady(300), 30, 300), 30).guard
    kept = one.snapshot()
    before = pack("rate", kept)
    watch([at for at in arrivals(steady(900), 60, 900) if at > START_MS + 30 * HOUR_MS], 60, one)
    assert pack("rate", kept) == before
