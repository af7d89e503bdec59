"""State stays small: at most five megabytes for a model of twenty features, whatever its answers and its labels do."""

from collections.abc import Iterator

import numpy as np
import pytest

from whydrift.core.labels import Answer, Joined, LabelJoin
from whydrift.core.settings import Settings

from .small_world import START_MS, Event, Feed

DEFAULTS = Settings()
MEGABYTE = 1_000_000


def twenty_features(n: int, prediction: object) -> Iterator[Event]:
    draw = np.random.default_rng(2)
    numbers, codes = draw.normal(size=(n, 14)), draw.geometric(0.05, size=(n, 6))
    for i in range(n):
        features: Event = {f"number-{j}": value for j, value in enumerate(numbers[i].tolist())}
        features |= {f"category-{j}": f"value {code}" for j, code in enumerate(codes[i].tolist())}
        yield {
            "kind": "prediction",
            "event_id": f"0f3a{i:028x}",
            "model_id": "m",
            "model_version": "v1",
            "timestamp": START_MS + 1_000 * i,
            "features": features,
            "prediction": prediction,
            "latency_ms": 3.5,
        }


def sections(feed: Feed) -> int:
    """Bytes of the model's own sections."""
    return sum(len(data) for name, data in feed.pipeline.snapshot().items() if name != "partition")


def test_twenty_features_with_a_baseline_and_all_labels_outstanding_are_less_than_five_megabytes() -> None:
    feed, biggest = Feed(settings=DEFAULTS), 0
    events = twenty_features(3_000, {"label": "good", "score": 0.25})
    for _ in range(6):
        feed(next(events) for _ in range(500))
        biggest = max(biggest, sections(feed))
    assert 100_000 < biggest < 5 * MEGABYTE


def test_answers_with_a_thousand_probabilities_wait_in_a_smaller_sample() -> None:
    feed = Feed(settings=DEFAULTS)
    thousand = {"probabilities": {f"class-{j}": 0.001 for j in range(1_000)}}
    feed(event | {"features": {"x": 1.0}} for event in twenty_features(600, thousand))
    (model,) = feed.pipeline.status().models
    assert 60 <= model.waiting_for_label <= 160
    assert sections(feed) < 5 * MEGABYTE


@pytest.mark.parametrize(("classes", "least", "most"), [(2, 1_000, 1_000), (16, 250, 500), (160, 45, 91)])
def test_the_more_probabilities_an_answer_has_the_fewer_wait(classes: int, least: int, most: int) -> None:
    join = LabelJoin(capacity=1_000, ttl_ms=10**9)
    answer = Answer("v1", probabilities=dict.fromkeys(map(str, range(classes)), 1 / classes))
    for i in range(1_000):
        join.add_prediction(f"e{i}", i, answer)
    assert least <= join.waiting_for_label <= most
    state = join.snapshot()
    assert LabelJoin.restore(1_000, 10**9, state).snapshot() == state


def test_places_are_given_back_when_labels_come_and_when_time_is_over() -> None:
    join = LabelJoin(capacity=100, ttl_ms=1_000)
    answer = Answer("v1", probabilities=dict.fromkeys(map(str, range(160)), 1 / 160))
    for i in range(500):
        join.add_prediction(f"a{i}", i, answer)
        assert isinstance(join.add_label(f"a{i}", i + 1, "3"), Joined)
    for i in range(9):
        join.add_prediction(f"b{i}", 500, answer)
    assert join.expire(2_000) == 9
    for i in range(9):
        join.add_prediction(f"c{i}", 2_000, answer)
    assert (join.waiting_for_label, join.sample_share) == (9, 1.0)


def test_an_answer_that_is_too_wide_for_the_whole_join_waits_without_its_probabilities() -> None:
    join = LabelJoin(capacity=20, ttl_ms=1_000)
    join.add_prediction("e", 1, Answer("v1", "3", probabilities=dict.fromkeys(map(str, range(1_000)), 0.001)))
    joined = join.add_label("e", 2, "3")
    assert isinstance(joined, Joined)
    assert joined.answer == Answer("v1", "3")
    assert join.sample_share == 1.0
