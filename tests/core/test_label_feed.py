"""Labels that are lacking show by their rate, and by the predictions that are due and have none."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world

from streams import broken, learnt, said

from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import scatter
from whydrift.core.label_feed import LabelFeed, LabelShare
from whydrift.core.state import pack, unpack

MINUTE_MS = 60_000
DELAY_MS = 10 * MINUTE_MS
THRESHOLD = 7.0
A_MINUTE = 60
BREAK_MS = 120 * MINUTE_MS


def usual(at_ms: int) -> float:
    return 0.95


def halved(at_ms: int) -> float:
    return 0.95 if at_ms < BREAK_MS else 0.48


def feed(
    share: Callable[[int], float],
    minutes: int,
    seed: int = 0,
    rate: Callable[[int], int] = lambda minute: A_MINUTE,
    watch: LabelFeed | None = None,
    first: int = 0,
) -> LabelFeed:
    """Predictions from minute `first` on, whose labels come within DELAY_MS, the given share of them."""
    draw = np.random.default_rng([seed, first])
    watch = watch or LabelFeed()
    waiting: list[tuple[int, int]] = []
    for minute in range(first, minutes):
        now_ms = minute * MINUTE_MS
        for _ in range(rate(minute)):
            at_ms = now_ms + int(draw.integers(MINUTE_MS))
            watch.predicted(at_ms, now_ms + MINUTE_MS)
            if draw.random() < share(at_ms):
                waiting.append((at_ms + int(draw.integers(DELAY_MS)), at_ms))
        for _, at_ms in [pair for pair in waiting if pair[0] < now_ms + MINUTE_MS]:
            watch.count()
            watch.labelled(at_ms)
        waiting = [pair for pair in waiting if pair[0] >= now_ms + MINUTE_MS]
        watch.advance(now_ms + MINUTE_MS, THRESHOLD, DELAY_MS, 1.0)
    return watch


def test_half_of_the_labels_missing_is_told_soon_after_they_are_due() -> None:
    watch = feed(halved, 139)
    assert watch.is_alarmed
    assert not watch.rate.is_alarmed
    assert BREAK_MS - 3 * MINUTE_MS <= watch.onset_ms <= BREAK_MS + 2 * MINUTE_MS
    assert watch.expected_per_hour() == pytest.approx(0.95 * 60 * A_MINUTE, rel=0.05)
    assert watch.observed_per_hour() == pytest.approx(0.48 * 60 * A_MINUTE, rel=0.15)


def test_all_labels_missing_is_told_by_their_rate() -> None:
    watch = feed(lambda at_ms: 0.95 if at_ms < BREAK_MS else 0.0, 140)
    assert watch.rate.is_alarmed
    assert watch.observed_per_hour() == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 1.0])
def test_health_is_quiet(share: float) -> None:
    watch = feed(lambda at_ms: share, 2_000, seed=3)
    assert watch.share.is_ready
    assert watch.log10_e < 4


def test_half_of_the_traffic_has_half_of_the_labels_and_lacks_none() -> None:
    watch = feed(usual, 400, rate=lambda minute: A_MINUTE if minute < 120 else A_MINUTE // 2)
    assert not watch.share.is_alarmed
    assert watch.share.log10_e < 3


def test_a_source_that_labels_more_now_and_less_then_is_judged_by_its_dispersion() -> None:
    watch = feed(lambda at_ms: 0.6 if at_ms // (10 * MINUTE_MS) % 2 else 0.95, 1_000, seed=5)
    assert watch.share.dispersion > 5
    assert not watch.share.is_alarmed


def test_an_alarm_is_over_when_labels_are_back() -> None:
    watch = feed(halved, 150)
    assert watch.share.is_alarmed
    feed(usual, 180, watch=watch, first=150)
    assert not watch.is_alarmed


def test_what_is_accepted_is_learnt_anew() -> None:
    watch = feed(halved, 150)
    watch.accept()
    assert not watch.is_alarmed
    feed(lambda at_ms: 0.48, 300, watch=watch, first=150)
    assert watch.share.usual == pytest.approx(0.48, abs=0.05)
    assert not watch.is_alarmed


def test_a_sample_that_changes_begins_anew_for_its_labels_are_recognised_no_more() -> None:
    watch = feed(usual, 119)
    assert watch.share.spans
    watch.advance(119 * MINUTE_MS, THRESHOLD, DELAY_MS, 0.5)
    assert not watch.share.spans
    assert watch.share.is_ready


def test_predictions_with_a_wrong_clock_are_not_counted() -> None:
    watch = feed(usual, 119)
    spans = dict(watch.share.spans)
    for at_ms in (0, 10**12):
        watch.predicted(at_ms, 119 * MINUTE_MS)
        watch.labelled(at_ms)
    assert watch.share.spans == spans


def test_long_delays_make_long_spans_and_what_was_counted_stays_counted() -> None:
    share = LabelShare()
    for minute in range(300):
        share.predicted(minute * MINUTE_MS, minute * MINUTE_MS)
        share.labelled(minute * MINUTE_MS)
    share.advance(300 * MINUTE_MS, 640 * MINUTE_MS, THRESHOLD)
    assert share.span_ms == 10 * MINUTE_MS
    assert list(share.spans.values()) == [[10, 10]] * 30


def test_spans_are_bounded_while_delays_are_unknown() -> None:
    share = LabelShare()
    for minute in range(10_000):
        share.predicted(minute * MINUTE_MS, minute * MINUTE_MS)
        share.advance(minute * MINUTE_MS, None, THRESHOLD)
    assert len(share.spans) <= 512


@pytest.mark.parametrize("minutes", [5, 60, 150])
def test_a_feed_through_bytes_goes_on_as_if_nothing_had_happened(minutes: int) -> None:
    watch = feed(halved, minutes)
    again = LabelFeed.restore(unpack("feed", pack("feed", watch.snapshot())))
    assert again.snapshot() == watch.snapshot()
    for one in (watch, again):
        feed(halved, 200, watch=one, first=minutes)
    assert again.snapshot() == watch.snapshot()


def test_what_was_written_before_shares_were_watched_is_a_rate() -> None:
    rate = feed(usual, 100).rate
    assert LabelFeed.restore(rate.snapshot()).rate.snapshot() == rate.snapshot()


def _every_other_label(row: Row, i: int) -> Row:
    return row if scatter(i, 9) < 0.5 else row | {"label": None}


def test_every_other_label_missing_is_named_with_both_numbers() -> None:
    found = next(iter(said(learnt(1).pipeline(), broken(Example("", _every_other_label), 3_000, 1))))
    assert found.fault == "label_feed_stopped"
    assert "% of the usual labels arrive" in found.diagnosis.summary
    assert found.diagnosis.causes[0].probability > 0.8
