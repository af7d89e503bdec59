"""What is left of a column given the hour, or the row before: who has it, what it finds, and that it restores."""

import numpy as np
import pytest
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Kind, Rows
from whydrift.core.conditional import HOUR_MS, Conditional, are_ends, by_hour, run_lengths, steps
from whydrift.core.monitor import Monitor
from whydrift.core.reference import ColumnReference
from whydrift.core.settings import DAY_MS, Settings
from whydrift.core.signals import Aspect
from whydrift.core.state import pack, unpack

START_MS = 1_767_571_200_000
"""A Monday, 0:00."""
DRAW = np.random.default_rng(5)
SETTINGS = Settings(first_stage_events=100_000, baseline_events=100_000)
Times = NDArray[np.int64]


def arrivals(days: float, per_hour: float) -> Times:
    """Events that come when they come."""
    gaps = DRAW.exponential(HOUR_MS / per_hour, int(days * 24 * per_hour))
    return (START_MS + np.cumsum(gaps)).astype(np.int64)


def daily(times_ms: Times, height: float) -> Floats:
    found: Floats = height * np.sin(2 * np.pi * times_ms / DAY_MS) + DRAW.normal(size=len(times_ms))
    return found


def wandering(rows: int) -> Floats:
    """An hourly level, slow against its noise."""
    walk = np.cumsum(DRAW.normal(0, 0.1, rows))
    found: Floats = walk - np.linspace(walk[0], walk[-1], rows) + DRAW.normal(0, 0.05, rows)
    return found


def rows_of(values: Floats, times_ms: Times, first: int = 0) -> Rows:
    shape = (len(values), 1)
    return Rows(values.reshape(shape).copy(), np.zeros(shape, np.int8), times_ms, first + np.arange(len(values)))


def watched(values: Floats, times_ms: Times) -> Monitor:
    """A monitor that has learnt these rows."""
    monitor = Monitor(SETTINGS, [Column("x", Kind.NUMERIC)])
    monitor.update(rows_of(values, times_ms))
    monitor.learn_now()
    monitor.install(monitor.profile(keep_sample=True))
    return monitor


def feed(monitor: Monitor, values: Floats, times_ms: Times, first: int = 10**6) -> int | None:
    """Rows until the first alarm, in chunks of twenty; None where there is none."""
    for place in range(0, len(values), 20):
        part = slice(place, place + 20)
        monitor.update(rows_of(values[part], times_ms[part], first + place))
        if monitor.alarms:
            return place + 20
    return None


def given(monitor: Monitor) -> dict[str, Conditional]:
    reference = monitor.references[0]
    assert reference is not None
    return dict(reference.given)


def test_a_daily_season_is_looked_at_by_the_hour_and_half_a_deviation_more_is_found() -> None:
    times_ms = arrivals(12, 60)
    values = daily(times_ms, 1.0)
    learnt, live = slice(0, 8 * 24 * 60), slice(8 * 24 * 60, None)
    monitor = watched(values[learnt], times_ms[learnt])
    assert given(monitor).keys() == {Aspect.HOURLY}
    assert feed(monitor, values[live][:3_000], times_ms[live][:3_000]) is None
    found = feed(monitor, values[live][3_000:] + 0.5, times_ms[live][3_000:])
    assert found is not None
    assert found <= 600
    assert next(iter(monitor.alarms)) == "x.hourly"


def test_the_hour_of_the_week_needs_four_weeks_and_something_to_tell() -> None:
    times_ms = arrivals(28, 30)
    is_weekend = times_ms // DAY_MS % 7 == START_MS // DAY_MS % 7
    by_day, by_week = daily(times_ms, 1.0), daily(times_ms, 1.0) - 1.5 * is_weekend
    hours = [len(given(watched(values, times_ms))[Aspect.HOURLY].centres) for values in (by_day, by_week)]
    assert hours == [24, 168]
    short = slice(0, 14 * 24 * 30)
    assert all(len(one.centres) == 24 for one in given(watched(by_week[short], times_ms[short])).values())


def test_what_does_not_hang_together_or_has_no_clock_is_not_looked_at_given_anything() -> None:
    times_ms = arrivals(8, 60)
    assert not given(watched(DRAW.normal(size=len(times_ms)), times_ms))
    assert not given(watched(wandering(len(times_ms)), times_ms)), "events that come when they come have no step"
    assert not given(watched(daily(times_ms[:2_000], 1.0), times_ms[:2_000])), "a day and a half shows no hour twice"


def test_a_sampled_series_is_looked_at_from_row_to_row_and_noise_is_found_though_its_level_wanders() -> None:
    times_ms = START_MS + HOUR_MS * np.arange(3_000)
    values = wandering(3_000)
    monitor = watched(values[:2_000], times_ms[:2_000])
    assert Aspect.STEP in given(monitor)
    assert feed(monitor, values[2_000:2_500], times_ms[2_000:2_500]) is None
    noisy = values[2_500:] + DRAW.normal(0, 0.5, 500)
    found = feed(monitor, noisy, times_ms[2_500:], 2 * 10**6)
    assert found is not None
    assert found <= 60
    assert "x.step" in monitor.alarms
    # For diagnosis the column is as it was just before, not as it ever was.
    view = monitor.views(monitor.recent(), monitor.evidence(monitor.recent()))["x"]
    assert view.is_alarmed("distribution")
    assert view.reference.high - view.reference.low < np.ptp(values[:2_000])
    restored = Monitor.restore(SETTINGS, (), monitor.snapshot(), monitor.snapshot_references())
    again = restored.views(restored.recent(), restored.evidence(restored.recent()))["x"]
    assert again.reference.quantiles.tolist() == view.reference.quantiles.tolist()


def test_rows_that_come_otherwise_than_in_the_reference_have_no_step() -> None:
    values, times_ms = np.array([1.0, 2.0, 4.0, 8.0, np.nan, 9.0]), START_MS + HOUR_MS * np.array([0, 1, 3, 4, 5, 6])
    assert steps(values, times_ms, HOUR_MS)[[1, 3]].tolist() == [1.0, 4.0]
    assert np.isnan(steps(values, times_ms, HOUR_MS)[[0, 2, 4, 5]]).all()


def calendar(rows: int, first: int = 0) -> tuple[Floats, Times]:
    """The day of the week, every hour: the same for a day, now and then for an hour less or more."""
    hours = first + np.arange(rows)
    days = (hours + (hours // 24 % 5 == 3)) // 24
    return (days % 7).astype(np.float64), START_MS + HOUR_MS * hours


def test_runs_of_equal_values_are_counted_up_to_each_row_and_a_gap_ends_none() -> None:
    values, hours = np.array([3.0, 3.0, 3.0, 4.0, 4.0, 4.0]), np.array([0, 1, 2, 3, 5, 6])
    assert run_lengths(values, START_MS + HOUR_MS * hours, HOUR_MS).tolist() == [1, 2, 3, 1, 1, 2]
    assert run_lengths(values, START_MS + HOUR_MS * hours, HOUR_MS, 5).tolist() == [6, 7, 8, 1, 1, 2]
    assert np.flatnonzero(are_ends(values, START_MS + HOUR_MS * hours, HOUR_MS)).tolist() == [2]


def test_a_calendar_that_stands_still_is_found_though_its_values_mostly_repeat() -> None:
    values, times_ms = calendar(4_000)
    monitor = watched(values, times_ms)
    assert given(monitor)[Aspect.STEP].longest_run in (24, 25)
    live, live_ms = calendar(2_000, 4_000)
    assert feed(monitor, live[:1_000], live_ms[:1_000]) is None
    # Across a restart, and whatever the chunks are, a run is one run.
    monitor = Monitor.restore(SETTINGS, (), monitor.snapshot(), monitor.snapshot_references())
    found = feed(monitor, np.full(1_000, live[1_000]), live_ms[1_000:], 2 * 10**6)
    assert found is not None
    assert found <= 300
    assert list(monitor.alarms) == ["x.runs"]


def test_spells_of_one_value_that_may_become_much_longer_are_no_runs_to_look_at() -> None:
    lengths = np.ceil(DRAW.pareto(1.0, 400)).astype(int).clip(1, 400)
    values = np.repeat(np.arange(400) % 5, lengths).astype(np.float64)
    monitor = watched(values, START_MS + HOUR_MS * np.arange(len(values)))
    assert all(one.longest_run == 0 for one in given(monitor).values())


def weather(rows: int, seed: int) -> Floats:
    """Codes of five kinds of weather, each of which lasts for some hours."""
    draw = np.random.default_rng(seed)
    starts = draw.random(rows) < 0.1
    codes: Floats = draw.integers(0, 5, rows)[np.maximum.accumulate(np.where(starts, np.arange(rows), 0))].astype(float)
    return codes


@pytest.mark.parametrize("new", ["here and there", "one long spell"])
def test_a_new_category_that_comes_again_and_again_is_found_though_categories_last_and_one_spell_of_it_is_not(
    new: str,
) -> None:
    column = Column("sky", Kind.CATEGORICAL, {name: float(code) for code, name in enumerate("abcdez")})
    times_ms = START_MS + HOUR_MS * np.arange(5_000)
    monitor = Monitor(SETTINGS, [column])
    monitor.update(rows_of(weather(4_000, 1), times_ms[:4_000]))
    monitor.learn_now()
    monitor.install(monitor.profile(keep_sample=True))
    values = weather(400, 2)
    is_new = np.random.default_rng(3).random(400) < 0.2 if new == "here and there" else np.arange(400) // 30 == 4
    found = feed(monitor, np.where(is_new, 5.0, values), times_ms[4_000:4_400])
    if new == "here and there":
        assert found is not None
        assert found <= 100
        assert "sky.unseen" in monitor.alarms
    else:
        assert found is None


def test_states_from_before_runs_were_counted_restore() -> None:
    monitor = watched(*calendar(4_000))
    state = monitor.snapshot()
    del state["runs"]
    again = Monitor.restore(SETTINGS, (), state, monitor.snapshot_references())
    values, times_ms = calendar(500, 4_000)
    assert feed(again, values, times_ms) is None


def test_between_the_middles_of_two_hours_the_centre_lies_between_theirs_and_an_unknown_hour_tells_nothing() -> None:
    centres = np.full(24, np.nan)
    centres[[3, 4]] = 10.0, 20.0
    at = START_MS + np.array([3 * HOUR_MS + HOUR_MS // 2, 4 * HOUR_MS, 5 * HOUR_MS - 1, 6 * HOUR_MS])
    found = by_hour(np.full(4, 20.0), at, centres, np.where(np.isnan(centres), np.nan, 2.0))
    assert found[:3] == pytest.approx([5.0, 2.5, 0.0])
    assert np.isnan(found[3])


def test_a_reference_at_some_hours_is_what_health_is_then() -> None:
    times_ms = arrivals(10, 60)
    values = daily(times_ms, 3.0)
    (reference,) = watched(values, times_ms).references
    assert reference is not None
    morning = START_MS + np.arange(5 * HOUR_MS, 7 * HOUR_MS, 60_000)
    then = reference.at_hours(reference.given[Aspect.HOURLY], morning)
    assert then.median == pytest.approx(3.0, abs=0.3)
    assert then.spread == pytest.approx(1.0, abs=0.2)
    assert reference.spread > 2


def test_it_is_kept_and_a_reference_from_before_there_were_any_restores() -> None:
    times_ms = arrivals(8, 60)
    (reference,) = watched(daily(times_ms, 1.0), times_ms).references
    assert reference is not None
    state = unpack("reference", pack("reference", reference.snapshot()))
    again = ColumnReference.restore(state)
    assert pack("reference", again.snapshot()) == pack("reference", reference.snapshot())
    del state["given"]
    assert ColumnReference.restore(state).given == {}
