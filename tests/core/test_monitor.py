"""A set of columns watched: learning in stages, what is not learnt while alarmed, later columns, recovery, restarts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from whydrift.core.columns import Column, Kind, Presence, Rows
from whydrift.core.free_flags import FlagShare, FreeFlags
from whydrift.core.learning import MonitorProfile
from whydrift.core.longest_step import LongestStep
from whydrift.core.monitor import RETAINED_ROWS, SAMPLE_ROWS, Monitor
from whydrift.core.settings import Settings
from whydrift.core.state import pack, unpack

SETTINGS = Settings(baseline_events=2_000, first_stage_events=250)
CHUNK = 20
FLAGS = ("odd",)


DRAWS = np.random.default_rng(11).random((6_000, 5))


def columns() -> list[Column]:
    return [Column("x", Kind.NUMERIC), Column("c", Kind.CATEGORICAL, {"a": 0.0, "b": 1.0})]


def rows(start: int, stop: int, *, shift: float = 0.0, width: int = 2, missing: float = 0.0) -> Rows:
    """Rows number start … stop − 1; column x is normal, moved by `shift`, c is "a" or "b", further columns are uniform.

    A row is the same whatever surrounds it.
    """
    draws = DRAWS[start:stop]
    assert len(draws) == stop - start
    normal = np.sqrt(-2 * np.log(draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1])
    values = np.column_stack([normal + shift, (draws[:, 2] < 0.3).astype(float), *[draws[:, 3]] * (width - 2)])
    presence = np.zeros(values.shape, np.int8)
    gone = draws[:, 4] < missing
    values[gone, 0], presence[gone, 0] = np.nan, Presence.NULL
    offsets = np.arange(start, stop)
    return Rows(values, presence, offsets * 1_000, offsets)


def feed(monitor: Monitor, start: int, stop: int, *, odd: float = 0.0, **changes: Any) -> None:
    """Rows in chunks of CHUNK, of which the share `odd` has the free flag."""
    width = len(monitor.columns)
    for first in range(start, stop, CHUNK):
        chunk = rows(first, min(first + CHUNK, stop), width=width, **changes)
        yes = np.diff(np.floor(odd * np.arange(len(chunk) + 1) + 1e-9)) > 0
        monitor.update(chunk, yes[:, None] if monitor.flags.names else None)


def learnt(events: int = 2_000, settings: Settings = SETTINGS, flags: Sequence[str] = FLAGS) -> Monitor:
    monitor = Monitor(settings, columns(), flags)
    feed(monitor, 0, events)
    return monitor


def reference_rows(monitor: Monitor, place: int = 0) -> int | None:
    """Rows a column's reference rests on."""
    reference = monitor.references[place]
    return None if reference is None else reference.rows


def again(monitor: Monitor, settings: Settings = SETTINGS) -> Monitor:
    """From its state, through bytes."""
    state = unpack("m", pack("m", {"now": monitor.snapshot(), "learnt": monitor.snapshot_references()}))
    return Monitor.restore(settings, monitor.flags.names, state["now"], state["learnt"])


# -- learning ---------------------------------------------------------------------------------------------------------------


def test_the_reference_is_learnt_from_250_rows_then_from_twice_as_many_until_the_baseline_is_complete() -> None:
    monitor = Monitor(SETTINGS, columns(), FLAGS)
    stages = []
    for first in range(0, 3_000, CHUNK):
        feed(monitor, first, first + CHUNK)
        known = reference_rows(monitor)
        if known is not None and (not stages or stages[-1][1] != known):
            stages.append((first + CHUNK, known))
    # Rows come in twenties: a stage is made with the chunk that reaches it.
    assert stages == [(260, 260), (500, 500), (1_000, 1_000), (2_000, 2_000)]
    assert not monitor.is_collecting
    assert monitor.baseline_seen == 2_000


def test_before_the_first_stage_there_is_no_signal_and_afterwards_there_are_all() -> None:
    monitor = learnt(240)
    assert (monitor.levels(), monitor.is_collecting, monitor.baseline_seen) == ({}, True, 240)
    feed(monitor, 240, 260)
    assert list(monitor.levels()) == [
        "x.distribution", "c.distribution",
        "x.missing", "x.type", "x.out_of_range", "x.repeated", "c.missing", "c.type", "c.unseen", "odd",
    ]  # fmt: skip


def test_each_stage_is_more_sensitive_than_the_one_before() -> None:
    evidence = []
    for events in (260, 500, 2_000):
        monitor = learnt(events)
        feed(monitor, 5_000, 5_060, shift=1.0)
        evidence.append(monitor.levels()["x.distribution"])
    assert evidence[0] < evidence[1] < evidence[2]


@pytest.mark.parametrize("is_slow", [True, False])
def test_what_follows_from_columns_that_hang_together_is_taken_to_do_so_on_weaker_signs(is_slow: bool) -> None:
    """The answer is mostly noise: of 500 rows, only with the inputs' help does one see that it hangs together too."""
    inputs = Monitor(SETTINGS, [Column("x", Kind.NUMERIC)])
    outputs = Monitor(SETTINGS, [Column("score", Kind.NUMERIC)], follows=inputs)
    common = np.repeat(DRAWS[:25, 0], 20)
    level = common if is_slow else common[np.argsort(DRAWS[:500, 1])]
    for place, monitor in enumerate((inputs, outputs)):
        # The answers are the same in both cases.
        own = level if place == 0 else 0.25 * common
        values = (own + DRAWS[:500, 2 + place])[:, None]
        for first in range(0, 500, CHUNK):
            chunk = slice(first, first + CHUNK)
            offsets = np.arange(first, first + CHUNK)
            monitor.update(Rows(values[chunk], np.zeros((CHUNK, 1), np.int8), offsets, offsets))
    reference = outputs.references[0]
    assert reference is not None
    assert (reference.times.get("centre", 1.0) > 1) is is_slow


def test_nothing_is_learnt_while_alarmed_and_rows_since_the_onset_are_taken_out() -> None:
    monitor = learnt(700)
    assert reference_rows(monitor) == 500
    feed(monitor, 700, 1_000, shift=4.0)
    assert "x.distribution" in monitor.alarms
    alarm = monitor.alarms["x.distribution"]
    assert alarm.onset_offset in range(680, 721)
    assert monitor.baseline_seen == alarm.onset_offset, "those before the onset are kept"
    feed(monitor, 1_000, 2_600, shift=4.0)
    assert (reference_rows(monitor), monitor.baseline_seen) == (500, alarm.onset_offset)
    feed(monitor, 2_600, 4_400)
    assert not monitor.alarms
    assert reference_rows(monitor) == 2_000
    # None of the bad rows is in it.
    assert monitor.references[0] is not None
    assert monitor.references[0].quantile(0.95) < 2.2
    assert monitor.references[0].high < 4.0


@pytest.mark.parametrize(("hangs_together", "is_told"), [(True, False), (False, True)])
def test_a_day_of_another_value_than_a_constant_is_news_where_rows_are_independent(
    hangs_together: bool, is_told: bool
) -> None:
    """A holiday, of 24 hourly rows, that the reference does not have. Where it lasts for weeks, it is news anyhow."""
    draw = np.random.default_rng(4)
    level, levels = 0.0, np.empty(3_000)
    for row in range(len(levels)):
        level = 0.9 * level + draw.normal()
        levels[row] = level if hangs_together else draw.normal()
    monitor = Monitor(SETTINGS, [Column(name, Kind.NUMERIC) for name in ("temperature", "humidity", "holiday")])

    def rows(first: int, last: int, holiday: float) -> None:
        values = np.stack([levels[first:last], -(levels[first:last] ** 3), np.full(last - first, holiday)], axis=1)
        at = np.arange(first, last)
        monitor.update(Rows(values, np.zeros(values.shape, np.int8), 3_600_000 * at, at))

    for first in range(0, 2_400, 24):
        rows(first, first + 24, 0.0)
    rows(2_400, 2_424, 1.0)
    assert ("holiday.unseen" in monitor.alarms) is is_told
    for first in range(2_424, 2_904, 24):
        rows(first, first + 24, 1.0)
    assert "holiday.unseen" in monitor.alarms


def test_a_profile_of_fewer_columns_takes_the_place_of_more_and_no_evidence_stays() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_040, shift=1.0)
    assert max(monitor.levels().values()) > 0
    whole = monitor.profile(keep_sample=True)
    names = {"c": whole.references["c"]}
    monitor.install(MonitorProfile(whole.columns[1:], names, Rows.concat([], 1)))
    assert set(monitor.levels()) >= {"c.distribution", "c.missing"}
    assert "x.distribution" not in monitor.levels()
    assert monitor.levels()["c.distribution"] == -np.inf


def test_a_free_flag_learns_its_share_and_alarms_when_it_rises() -> None:
    monitor = Monitor(SETTINGS, columns(), FLAGS)
    feed(monitor, 0, 2_400, odd=0.1)
    assert not monitor.alarms
    feed(monitor, 2_400, 3_000)
    assert not monitor.alarms, "fewer are no news"
    feed(monitor, 3_000, 3_200, odd=0.5)
    assert list(monitor.alarms) == ["odd"]
    (evidence,) = [one for one in monitor.evidence(monitor.recent_since(3_000)) if one.signal == "odd"]
    assert (evidence.reference_share, evidence.current_share) == (pytest.approx(0.1), pytest.approx(0.5))


def test_a_forgotten_flag_is_learnt_from_the_rows_to_come() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_200, odd=0.2)
    assert list(monitor.alarms) == ["odd"]
    monitor.forget_flags(["odd", "no such flag"])
    assert not monitor.alarms
    assert "odd" not in monitor.levels()
    feed(monitor, 2_200, 4_600, odd=0.2)
    assert not monitor.alarms
    feed(monitor, 4_600, 4_800, odd=0.6)
    assert list(monitor.alarms) == ["odd"], "health is what it was when it was learnt anew"


@pytest.mark.parametrize(("name", "is_known"), [("duplicates", True), ("backwards", False)])
def test_a_share_of_a_reference_file_is_health_where_files_tell_it_as_streams_do(name: str, is_known: bool) -> None:
    """Training data repeat rows as the stream does, and need not lie in order of time."""
    profiled = Monitor(SETTINGS, columns(), (name,))
    feed(profiled, 0, 2_000, odd=0.3)
    monitor = Monitor(SETTINGS, columns(), (name,))
    monitor.install(profiled.profile(keep_sample=True))
    feed(monitor, 2_000, 4_000)
    for one in (monitor, again(monitor)):
        feed(one, 4_000, 4_400, odd=0.3)
        assert (list(one.alarms) == [name]) is not is_known
    feed(monitor, 4_400, 4_600, odd=0.9)
    assert list(monitor.alarms) == [name]


def test_a_stream_takes_the_place_of_the_file_where_it_is_clearly_more() -> None:
    known = FlagShare(200, 2_000)
    for yes, is_more in ((28, False), (60, True)):
        flags = FreeFlags(("duplicates",), SETTINGS)
        flags.install({"duplicates": known})
        assert flags.learn(np.diff(np.floor(np.arange(251) * yes / 250))[:, None] > 0)
        assert (flags.known["duplicates"].yes == yes) is is_more


@pytest.mark.parametrize("is_bursting", [False, True])
def test_a_burst_is_one_piece_of_news(is_bursting: bool) -> None:
    """A share of about .05: every twentieth event, or ten in a row now and then."""
    monitor = Monitor(SETTINGS, columns(), FLAGS)

    def life(start: int, stop: int, yes: NDArray[np.bool_]) -> bool:
        for first in range(start, stop, CHUNK):
            monitor.update(rows(first, first + CHUNK), yes[np.arange(first, first + CHUNK) % len(yes), None])
        return "odd" in monitor.alarms

    bursts = np.repeat(np.random.default_rng(0).random(200) < 0.05, 10)
    assert not life(0, 2_000, bursts if is_bursting else np.arange(20) == 7)
    assert (monitor.flags.known["odd"].time > 5) is is_bursting
    often = np.arange(20) < 10
    assert life(2_000, 2_100, often) is not is_bursting, "some bursts in a row are chance where there are bursts"
    assert life(2_100, 6_000, often), "one after the other is none"


def test_learning_can_be_made_to_end_and_to_forget_every_other_chunk() -> None:
    monitor = Monitor(SETTINGS, columns(), FLAGS)
    feed(monitor, 0, 200)
    monitor.thin_learning()
    assert monitor.baseline_seen == 100
    monitor.learn_now()
    assert reference_rows(monitor) == 100


def test_the_sample_of_health_is_bounded_and_spread_evenly() -> None:
    offsets = learnt().profile(keep_sample=True).sample.offsets
    assert len(offsets) == SAMPLE_ROWS
    counts, _ = np.histogram(offsets, bins=4, range=(0, 2_000))
    assert counts.min() > SAMPLE_ROWS / 4 * 0.8


# -- columns that come later, and learning anew -----------------------------------------------------------------------------


def test_a_column_that_comes_while_learning_is_learnt_with_the_next_stages() -> None:
    monitor = learnt(300)
    monitor.add_column(Column("late", Kind.NUMERIC))
    assert (reference_rows(monitor, 0), reference_rows(monitor, 2)) == (260, None)
    feed(monitor, 300, 500)
    # It was there in 200 of the 500 rows.
    assert (reference_rows(monitor, 0), reference_rows(monitor, 2)) == (500, 200)
    feed(monitor, 500, 2_000)
    assert reference_rows(monitor, 2) == 1_700


def test_a_column_that_comes_after_the_baseline_is_learnt_in_stages_of_its_own() -> None:
    monitor = learnt()
    monitor.add_column(Column("late", Kind.NUMERIC))
    feed(monitor, 2_000, 2_240)
    assert "late.distribution" not in monitor.levels()
    feed(monitor, 2_240, 2_260)
    assert "late.distribution" in monitor.levels()
    assert (reference_rows(monitor, 0), reference_rows(monitor, 2)) == (2_000, 260), "the others stay as they are"
    feed(monitor, 2_260, 4_000)
    assert reference_rows(monitor, 2) == 2_000


def test_evidence_of_other_columns_outlives_a_new_one() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_060, shift=1.0)
    before = monitor.levels()["x.distribution"]
    assert before > 1
    monitor.add_column(Column("late", Kind.NUMERIC))
    assert monitor.levels()["x.distribution"] == before


def test_a_column_learnt_anew_takes_what_comes_for_health_and_leaves_the_others() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_200, shift=4.0, missing=0.0)
    assert "x.distribution" in monitor.alarms
    monitor.relearn(["x", "no such column"])
    assert not monitor.alarms
    assert "x.distribution" not in monitor.levels()
    assert reference_rows(monitor, 1) == 2_000
    feed(monitor, 2_200, 4_300, shift=4.0)
    assert not monitor.alarms
    feed(monitor, 4_300, 4_500)
    assert "x.distribution" in monitor.alarms, "what was health is now the change"


def test_a_column_can_be_learnt_anew_from_retained_rows_at_once() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_400, shift=4.0)
    monitor.relearn(["x"], since_offset=2_000)
    assert reference_rows(monitor) == 400
    feed(monitor, 2_400, 3_000, shift=4.0)
    assert not monitor.alarms


def test_learning_nothing_anew_changes_nothing() -> None:
    monitor = learnt()
    before = pack("m", monitor.snapshot())
    monitor.relearn(["no such column"])
    assert pack("m", monitor.snapshot()) == before


# -- alarms and recovery ----------------------------------------------------------------------------------------------------


def test_an_alarm_lasts_while_the_change_does_and_recovers_after_quiet_blocks() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_100, shift=4.0)
    alarm = monitor.alarms["x.distribution"]
    assert alarm.onset_offset in range(1_980, 2_021)
    assert monitor.lasts("x.distribution")
    feed(monitor, 2_100, 5_000, shift=4.0)
    assert "x.distribution" in monitor.alarms
    assert monitor.lasts("x.distribution")
    feed(monitor, 5_000, 5_100)
    assert "x.distribution" in monitor.alarms, "one good chunk is no recovery"
    assert not monitor.lasts("x.distribution"), "though the latest rows do not speak for the change"
    feed(monitor, 5_100, 5_100 + 3 * alarm.block_rows)
    assert not monitor.alarms
    assert monitor.levels()["x.distribution"] < 3, "evidence begins anew"


def test_what_took_long_to_show_is_over_in_about_the_rows_it_took() -> None:
    monitor = learnt()
    shown = 2_000
    while "x.distribution" not in monitor.alarms:
        feed(monitor, shown, shown + 20, shift=0.5)
        shown += 20
    alarm = monitor.alarms["x.distribution"]
    assert alarm.took_rows > 150, "a small change"
    feed(monitor, shown, shown + 3_000, shift=0.5)
    assert "x.distribution" in monitor.alarms
    feed(monitor, shown + 3_000, shown + 3_400 + alarm.took_rows)
    assert not monitor.alarms


def test_an_alarm_outlives_a_release_with_other_bets_and_ends_as_ever() -> None:
    """Of evidence by other bets nothing can be taken."""
    monitor = learnt()
    feed(monitor, 2_000, 2_100, shift=4.0)
    state = monitor.snapshot()
    for name in ("m", "cusum", "onset_ms", "onset_offset", "onset_row"):
        state["evidence"][name] = state["evidence"][name][:-3]
    later = Monitor.restore(SETTINGS, monitor.flags.names, state, monitor.snapshot_references())
    assert later.levels()["x.distribution"] == -np.inf
    feed(later, 2_100, 3_500, shift=4.0)
    assert "x.distribution" in later.alarms
    feed(later, 3_500, 5_500)
    assert not later.alarms


def test_a_single_good_block_between_bad_ones_is_no_recovery() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_100, shift=4.0)
    block = monitor.alarms["x.distribution"].block_rows
    start = 2_100
    for _ in range(4):
        feed(monitor, start, start + block)
        feed(monitor, start + block, start + 2 * block, shift=4.0)
        start += 2 * block
        assert "x.distribution" in monitor.alarms


def test_a_signal_without_an_alarm_does_not_last() -> None:
    monitor = learnt()
    assert not monitor.lasts("x.distribution")
    assert not monitor.lasts("no such signal")


def test_a_change_shows_again_after_recovery() -> None:
    monitor = learnt()
    feed(monitor, 2_000, 2_100, shift=4.0)
    feed(monitor, 2_100, 3_000)
    assert not monitor.alarms
    feed(monitor, 3_000, 3_100, shift=4.0)
    assert monitor.alarms["x.distribution"].onset_offset in range(2_980, 3_021)


def test_a_higher_threshold_asks_for_more_evidence_and_other_signals_make_other_bets() -> None:
    low, high = learnt(), learnt()
    low.retune(100, 4.0)
    high.retune(100, 12.0)
    for monitor in (low, high):
        feed(monitor, 2_000, 2_060, shift=1.5)
    assert "x.distribution" in low.alarms
    assert not high.alarms
    feed(high, 2_060, 2_400, shift=1.5)
    assert "x.distribution" in high.alarms
    before = high.levels()
    high.retune(10_000, 12.0)
    assert high.model_signals == 10_000
    assert high.levels() == pytest.approx(before), "evidence is carried over to the new bets"


# -- state ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [100, 260, 700, 1_980, 2_060, 2_300, 3_400])
def test_going_on_from_the_state_is_as_if_nothing_had_happened(cut: int) -> None:
    def life(monitor: Monitor, start: int, stop: int) -> None:
        for first in range(start, stop, CHUNK):
            is_bad = 2_000 <= first < 2_400
            feed(monitor, first, first + CHUNK, shift=4.0 if is_bad else 0.0, odd=0.3 if is_bad else 0.05)

    whole = Monitor(SETTINGS, columns(), FLAGS)
    life(whole, 0, cut)
    parted = again(whole)
    assert pack("m", parted.snapshot()) == pack("m", whole.snapshot())
    for monitor in (whole, parted):
        life(monitor, cut, cut + 400)
    assert pack("m", parted.snapshot()) == pack("m", whole.snapshot())
    assert pack("m", parted.snapshot_references()) == pack("m", whole.snapshot_references())
    assert parted.lasts("x.distribution") == whole.lasts("x.distribution")


def test_the_longest_step_of_a_slow_column_is_kept_while_it_is_alarmed() -> None:
    """Of x, which stays for sixty rows; some values are missing, which alarms. The rows around the step are long gone then."""

    def life(monitor: Monitor, start: int, stop: int, factor: float, missing: float) -> None:
        for first in range(start, stop, CHUNK):
            chunk = rows(first, first + CHUNK, missing=missing)
            level = (20 + np.sin(1.7 * (np.arange(first, first + CHUNK) // 60))) * factor
            chunk.values[:, 0] = np.where(chunk.presence[:, 0] == Presence.PRESENT, level, np.nan)
            monitor.update(chunk)

    def step_of(monitor: Monitor) -> LongestStep | None:
        current = monitor.recent()
        return monitor.views(current, monitor.evidence(current))["x"].step

    monitor = Monitor(SETTINGS, columns())
    life(monitor, 0, 2_000, 1.0, 0.0)
    assert step_of(monitor) is None, "it is not alarmed"
    life(monitor, 2_000, 3_300, 100.0, 0.3)
    assert "x.missing" in monitor.alarms
    for one in (monitor, again(monitor)):
        step = step_of(one)
        assert step is not None
        assert (len(step.before), len(step.after)) == (40, 40)
        assert step.before.max() < 30 < 1_000 < step.after.min()
    monitor.relearn(["x"])
    life(monitor, 3_300, 4_700, 100.0, 0.3)
    assert not monitor.alarms
    life(monitor, 4_700, 5_600, 80.0, 0.9)
    step = step_of(monitor)
    assert step is not None
    assert step.length < 1_000, "a step of another time is forgotten"


def test_retained_rows_are_the_latest_and_bounded() -> None:
    monitor = learnt(5_000)
    assert monitor.recent().offsets.tolist() == list(range(5_000 - RETAINED_ROWS, 5_000))
    assert again(monitor).recent().offsets.tolist() == monitor.recent().offsets.tolist()
    assert monitor.recent_since(4_990).offsets.tolist() == list(range(4_990, 5_000))


def test_a_monitor_without_columns_takes_rows_all_the_same() -> None:
    monitor = Monitor(SETTINGS, [], FLAGS)
    for first in range(0, 600, CHUNK):
        chunk = rows(first, first + CHUNK)
        bare = Rows(chunk.values[:, :0], chunk.presence[:, :0], chunk.times_ms, chunk.offsets)
        monitor.update(bare, np.zeros((CHUNK, 1), bool))
    assert list(monitor.levels()) == ["odd"]
    assert monitor.rows_seen == 600
