"""Slow quantities that leapt: a price that stays for a day and wanders with the season has another factor than a season has."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.case import ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults import unit_change
from whydrift.core.faults.leaps import has_wandered, leap
from whydrift.core.faults.rule import Proposal
from whydrift.core.longest_step import LongestStep
from whydrift.core.settings import Settings
from whydrift_schemas import Status

from .columns_of_rows import alarmed, case_of_columns, view_of
from .small_world import Event, Feed, at_ms, diagnoses, events

A_DAY, DAYS = 50, 80
SAYS = {1_000: "1000 times too large", 2.54: "in centimetres instead of inches", 0.01: "not in cents", 7.1: "7.1"}


def prices(first_day: int, days: int) -> Floats:
    """One price a day, which rises ever more."""
    day = np.arange(first_day, first_day + days)
    return np.repeat(50 + 0.4 * day + np.sin(1.7 * day), A_DAY)


def price(factor: float, since_row: int = 0) -> ColumnView:
    """From half a year later on times a factor, from the row of this number on."""
    before, now = prices(DAYS + 100, 1), prices(DAYS + 101, 9)
    now[since_row:] *= factor
    view = alarmed(view_of("price", prices(0, DAYS), now), "out_of_range")
    return replace(view, step=LongestStep.of(np.concatenate([before, now])))


def told(view: ColumnView) -> Proposal:
    (found,) = [one for one in unit_change.examine(case_of_columns([view])) if isinstance(one, Proposal)]
    return found


@pytest.mark.parametrize("factor", SAYS)
def test_what_came_just_before_tells_the_factor_and_not_what_was_half_a_year_ago(factor: float) -> None:
    view = price(factor)
    assert float(np.median(view.current)) / view.reference.median > 1.5 * factor
    found = told(view)
    assert SAYS[factor] in found.headline
    assert found.fit > (0.9 if factor != 7.1 else 0.75), "an unnamed factor is less sure"


def test_the_current_rows_may_begin_before_the_leap() -> None:
    view = price(1_000, since_row=60)
    found = told(view)
    assert found.headline == told(price(1_000)).headline
    assert found.undo is not None
    mapped = leap(view)
    assert mapped is not None
    assert mapped.rows.tolist() == [i >= 60 for i in range(len(view.current))]


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_a_season_or_a_small_step_is_no_leap(factor: float) -> None:
    view = price(factor)
    assert leap(view) is None
    assert has_wandered(view)
    assert not [
        one for one in unit_change.examine(case_of_columns([view])) if isinstance(one, Proposal) and one.fit > 0.4
    ]


def test_what_leaps_and_goes_elsewhere_is_no_factor() -> None:
    view = price(1_000)
    elsewhere = view.current * np.linspace(1, 40, len(view.current))
    assert leap(replace(view, current_values=elsewhere)) is None


def test_a_step_after_one_like_it_is_no_leap() -> None:
    before = np.concatenate([np.full(30, 100.0), np.full(30, 25.0)])
    step = LongestStep.of(np.concatenate([before, prices(DAYS + 101, 9)]))
    assert step is not None
    assert step.length > 80
    assert leap(replace(price(1.0), step=step)) is None


def test_where_nobody_saw_what_came_before_nothing_is_said_of_it() -> None:
    assert price(1_000).step is not None
    for step in (None, LongestStep.of(prices(DAYS + 101, 9)[A_DAY - 5 : A_DAY + 30])):
        blind = replace(price(1.0), step=step)
        assert leap(blind) is None
        assert not has_wandered(blind)


@pytest.mark.parametrize(
    ("change", "says"),
    [(lambda c: 1.8 * c + 32, "in °F instead of °C"), (lambda c: c + 273.15, "in kelvin instead of °C")],
)
def test_a_named_offset_is_no_factor(change: Callable[[Floats], Floats], says: str) -> None:
    """22 °C, which become 71.6 °F, have not become feet."""
    day = np.repeat(20 + 3 * np.sin(1.7 * np.arange(100)), A_DAY)
    health, now = day[:4_000], change(day[4_000:4_450])
    view = alarmed(view_of("warmth", health, now), "out_of_range")
    view = replace(view, step=LongestStep.of(np.concatenate([health[-60:], now])))
    assert says in told(view).headline


def test_a_slow_quantity_that_becomes_one_value_may_be_filled() -> None:
    view = price(1.0)
    now = np.full(len(view.current), 9_999.0)
    filled = replace(view, current_values=now, step=LongestStep.of(np.concatenate([prices(DAYS + 100, 1), now])))
    assert leap(filled) is not None
    found = [one for one in unit_change.examine(case_of_columns([filled])) if isinstance(one, Proposal)]
    assert all(one.fit < 0.35 for one in found)


def test_the_way_back_is_no_leap() -> None:
    there = prices(DAYS + 101, 9) * 1_000
    step = LongestStep.of(np.concatenate([prices(DAYS + 100, 1), there]))
    back = LongestStep.of(np.concatenate([there, prices(DAYS + 110, 9)]))
    assert step is not None
    assert back is not None
    assert back.length > step.length
    assert not back.tells_more(step)
    mended = replace(price(1.0), step=back)
    assert leap(mended) is None
    half = np.concatenate([there[:100], prices(DAYS + 110, 7)])
    assert (
        leap(replace(price(1.0), current_values=half, current_presence=np.zeros(len(half), np.int8), step=step)) is None
    )


def test_the_longest_step_is_kept_with_the_most_rows_around_it() -> None:
    values = np.repeat([1.0, 2.0, 9.0, 8.0], 30)
    step = LongestStep.of(values)
    assert step is not None
    assert (len(step.before), len(step.after), step.length, step.usual) == (40, 40, 7.0, 1.0)
    early, rolled_on, other = LongestStep.of(values[:70]), LongestStep.of(values[40:]), LongestStep.of(values[:50])
    assert early is not None
    assert rolled_on is not None
    assert other is not None
    assert step.tells_more(None)
    assert step.tells_more(early)
    assert not early.tells_more(step)
    assert not rolled_on.tells_more(step), "fewer rows before it are left"
    assert step.tells_more(other)
    assert LongestStep.of(np.full(50, 3.0)) is None


def test_a_slow_input_that_is_sent_in_thousands_is_told_so_and_goes_on_being_told_so() -> None:
    """The rows before it are long gone when the incident is judged again, here after a restart."""
    break_at = 4_000

    def priced(features: Event, i: int) -> None:
        features["price"] = float(prices(i // A_DAY, 1)[0]) * (1_000 if i >= break_at else 1)

    feed = Feed(settings=Settings())
    said = diagnoses(feed(events(0, break_at, inputs=priced, has_labels=False)))
    said += diagnoses(feed(events(break_at, break_at + 500, inputs=priced, has_labels=False)))
    (opened,) = said
    assert opened.status is Status.OPENED
    assert abs(opened.onset_at - at_ms(break_at)) <= 1_000, "the leap's time, not that of the season's"
    assert "price arrives 1000 times too large" in opened.summary
    feed = feed.copy()
    feed(events(break_at + 500, break_at + 2_500, inputs=priced, has_labels=False))
    (incident,) = feed.pipeline.open_incidents()
    assert "price arrives 1000 times too large" in incident.diagnosis.summary
