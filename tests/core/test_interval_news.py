"""Rates and latencies per interval: which values are told, gaps, restarts; and that it opens no incident."""

import numpy as np
import pytest

from whydrift.core.interval_news import FIRST_DAY, GAP_INTERVALS, INTERVAL_MS, SERIES, IntervalNews
from whydrift.core.state import pack, unpack

from .small_world import Event, Feed, diagnoses, events

START_MS = 1_795_437_000_000 // INTERVAL_MS * INTERVAL_MS
DRAW = np.random.default_rng(3)
ARRIVALS = DRAW.integers(40, 61, 400).tolist()


def fed(
    arrivals: list[int], latency_ms: float = 5.0, errors: int = 0, news: IntervalNews | None = None
) -> IntervalNews:
    """Intervals with so many predictions each, one label, and the first of the next."""
    news = news or IntervalNews()
    first_ms = news.boundary_ms - INTERVAL_MS if news.boundary_ms >= 0 else START_MS
    for place, count in enumerate(arrivals):
        at_ms = first_ms + place * INTERVAL_MS
        news.advance(at_ms)
        for number in range(count):
            news.add_prediction(latency_ms + place % 7 / 100, is_error=number < errors)
        news.add_label()
    news.advance(first_ms + len(arrivals) * INTERVAL_MS)
    return news


def test_in_the_first_day_nothing_is_told() -> None:
    assert FIRST_DAY == 288
    assert fed([*ARRIVALS[: FIRST_DAY - 1], 500]).news == dict.fromkeys(SERIES, 0)
    assert fed([*ARRIVALS[:FIRST_DAY], 500]).news["arrivals"] == 1


@pytest.mark.parametrize(
    ("changes", "series"),
    [
        ({"arrivals": [150]}, "arrivals"),
        ({"arrivals": [0]}, "arrivals"),
        ({"arrivals": [50], "latency_ms": 9.0}, "latency"),
        ({"arrivals": [50], "errors": 3}, "errors"),
    ],
)
def test_an_interval_unlike_any_before_is_told_of_its_series_once(changes: dict[str, object], series: str) -> None:
    news = fed(ARRIVALS)
    before = dict(news.news)
    changes = {"arrivals": list(changes["arrivals"]) * 3} | {k: v for k, v in changes.items() if k != "arrivals"}  # type: ignore[call-overload]
    fed(news=news, **changes)  # type: ignore[arg-type]
    assert {name: news.news[name] - before[name] for name in SERIES} == {name: int(name == series) for name in SERIES}


def test_of_a_long_gap_some_empty_intervals_are_looked_at() -> None:
    news = fed([50] * 60)
    seen = news.guards["arrivals"].seen
    news.advance(news.boundary_ms + 1_000 * INTERVAL_MS + 7)
    assert news.guards["arrivals"].seen == seen + GAP_INTERVALS + 1
    assert news.guards["latency"].seen == seen, "without predictions there is no latency"
    assert news.boundary_ms == START_MS + (60 + 1_001 + 1) * INTERVAL_MS


def test_a_model_without_labels_has_no_rate_of_them() -> None:
    news = IntervalNews()
    for place in range(100):
        news.advance(START_MS + place * INTERVAL_MS)
        news.add_prediction(None, is_error=False)
    assert (news.guards["labels"].seen, news.guards["latency"].seen, news.guards["arrivals"].seen) == (0, 0, 99)


def test_a_restart_changes_nothing() -> None:
    news = fed(ARRIVALS[:200])
    again = IntervalNews.restore(unpack("n", pack("n", news.snapshot())))
    assert again == news
    assert fed(ARRIVALS[200:], news=again) == fed(ARRIVALS[200:], news=news)


def test_the_worker_counts_a_slow_interval_and_opens_no_incident_for_it() -> None:
    """Fifteen events are too few for evidence at this threshold."""

    def slowly(start: int, stop: int, factor: float = 1.0) -> list[Event]:
        """Predictions every forty seconds."""
        made = []
        for event in events(start, stop, has_labels=False):
            event["timestamp"] += (int(event["event_id"][1:])) * 39_000
            event["latency_ms"] = event["latency_ms"] * factor
            made.append(event)
        return made

    feed = Feed()
    assert diagnoses(feed(slowly(0, 3_000))) == []
    (before,) = feed.pipeline.status().models
    assert diagnoses(feed(slowly(3_000, 3_015, 1.6))) == []
    assert diagnoses(feed(slowly(3_015, 3_040))) == []
    (after,) = feed.copy().pipeline.status().models
    assert after.interval_news["latency"] > before.interval_news["latency"]
