"""The inputs of a model: which rows repeat others, and what columns are called."""

import json
import random
from collections.abc import Iterator

import numpy as np
import pytest

from whydrift.core.free_flags import FlagShare
from whydrift.core.inputs import InputWatch
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Record
from whydrift.core.settings import Settings
from whydrift_schemas import Status

from .small_world import START_MS, Event, Feed, diagnoses, events, faults

DEFAULTS = Settings()


def alike_by_chance(seed: int, kinds: int, n: int) -> Iterator[Event]:
    """Events of two inputs with few values: after some hundred rows most of them have been there before."""
    draw = random.Random(seed)
    for i in range(n):
        yield {
            "kind": "prediction",
            "event_id": f"e{i}",
            "model_id": "m",
            "model_version": "v1",
            "timestamp": START_MS + 1_000 * i,
            "features": {"a": draw.randrange(3), "b": round(draw.expovariate(1) * kinds / 6)},
            "prediction": {"score": draw.randrange(kinds) / kinds},
        }


@pytest.mark.parametrize("kinds", [20, 60, 200])
def test_rows_that_are_alike_by_chance_are_no_duplicates_however_many_have_come(kinds: int) -> None:
    feed = Feed(settings=DEFAULTS)
    assert faults(feed(alike_by_chance(3, kinds, 1_500))) == []


def test_payloads_that_come_again_long_after_are_duplicates_where_a_column_tells_rows_apart() -> None:
    feed = Feed()
    feed(events(0, 1_600, has_labels=False))
    first = list(events(600, 900, has_labels=False))
    later = list(events(1_600, 1_900, has_labels=False))
    own = ("event_id", "timestamp")
    again = [old | {name: new[name] for name in own} for old, new in zip(first, later, strict=True)]
    opened = diagnoses(feed(again), Status.OPENED)
    assert [one.causes[0].fault.value for one in opened] == ["duplicate_events"]


def test_cases_that_are_scored_again_long_after_in_no_order_are_no_duplicates() -> None:
    feed = Feed()
    feed(events(0, 1_600, has_labels=False))
    first = list(events(600, 900, has_labels=False))
    random.Random(5).shuffle(first)
    later = list(events(1_600, 2_200, has_labels=False))
    own = ("event_id", "timestamp")
    again = [old | {name: new[name] for name in own} for old, new in zip(first, later[::2], strict=True)]
    mixed = [one for pair in zip(again, later[1::2], strict=True) for one in pair]
    assert "duplicate_events" not in faults(feed(mixed), Status.OPENED)


def test_payloads_that_come_again_at_once_are_duplicates_where_few_are_alike_by_chance() -> None:
    feed = Feed(settings=DEFAULTS)
    stream = list(alike_by_chance(3, 3_000, 1_500))
    feed(stream[:1_200])
    twice = [one for event in stream[1_200:] for one in (event, {**event, "event_id": f"{event['event_id']}-again"})]
    assert "duplicate_events" in faults(feed(twice), Status.OPENED)


def grouped(start: int, stop: int, sizes: tuple[int, int], seed: int) -> Iterator[Event]:
    """Bookings, most of them alone; one in thirty is of a group, whose members have the same features under ids of their own."""
    draw, left = random.Random(seed), 0
    first: Event = {}
    for event in events(start, stop, has_labels=False):
        if not left:
            first, left = event, draw.randint(*sizes) if draw.random() < 1 / 30 else 1
        yield event | {"features": first["features"], "prediction": first["prediction"]}
        left -= 1


@pytest.mark.parametrize("larger", [(5, 40), (60, 200)])
def test_cases_of_a_group_are_alike_and_no_duplicates_however_large_the_group(larger: tuple[int, int]) -> None:
    feed = Feed(settings=DEFAULTS)
    feed(grouped(0, 2_500, (5, 40), 1))
    assert "duplicate_events" not in faults(feed(grouped(2_500, 4_500, larger, 2)))


def test_events_that_come_twice_are_duplicates_where_there_are_groups_too() -> None:
    feed = Feed(settings=DEFAULTS)
    feed(grouped(0, 2_500, (5, 40), 1))
    twice = [
        one
        for event in grouped(2_500, 3_000, (5, 40), 2)
        for one in (event, {**event, "event_id": f"{event['event_id']}b"})
    ]
    assert "duplicate_events" in faults(feed(twice), Status.OPENED)


@pytest.mark.parametrize("lap", [50, 400])
def test_a_producer_that_goes_round_in_circles_is_told_for_as_long_as_it_does(lap: int) -> None:
    feed = Feed(settings=DEFAULTS)
    feed(events(0, 2_500, has_labels=False))
    rows = list(events(2_500, 2_500 + lap, has_labels=False))
    again = [rows[(i - 2_500) % lap]["features"] for i in range(2_500, 4_500)]
    round_and_round = [
        event | {"features": features}
        for event, features in zip(events(2_500, 4_500, has_labels=False), again, strict=True)
    ]
    said = faults(feed(round_and_round))
    assert said[0] == "duplicate_events"
    assert "duplicate_events" in [one.diagnosis.causes[0].fault.value for one in feed.pipeline.open_incidents()]


def test_a_reference_file_knows_how_often_payloads_come_again() -> None:
    def pairs(start: int, stop: int) -> Iterator[Event]:
        """Every fourth event is the one before it again, under another id."""
        last: Event = {}
        for i, event in enumerate(events(start, stop, has_labels=False)):
            last = event if i % 4 else event | {"features": last.get("features", event["features"])}
            yield last

    profiler = Profiler(DEFAULTS)
    profiler.add([Record("events", 0, i, json.dumps(one).encode()) for i, one in enumerate(pairs(0, 3_000))])
    profiles = read_profile(profiler.finish())
    found = {}
    for name, known in (("known", profiles), ("not known", {})):
        feed = Feed(Pipeline(DEFAULTS, "events", 0, known), settings=DEFAULTS)
        feed(events(3_000, 5_000, has_labels=False))
        found[name] = "duplicate_events" in faults(feed(pairs(5_000, 5_600)), Status.OPENED)
    assert found == {"known": False, "not known": True}


def test_a_state_from_before_repeats_were_told_apart_is_read() -> None:
    feed = Feed()
    feed(events(0, 700, has_labels=False))
    (model,) = feed.pipeline._models.values()
    state, learnt = model.inputs.snapshot(), model.inputs.monitor.snapshot_references()
    kept = state.pop("seen_payloads")
    counts = np.array([[700.0 - yes, yes] for yes in (7, 0, 0)])
    old = state | {"payloads": kept[:, :2].T.copy()}
    old["monitor"] = state["monitor"] | {"flags": [counts, counts, np.zeros(3, np.int64)], "recent_flags": []}
    watch = InputWatch.restore(feed.settings, old, learnt)
    assert watch.snapshot()["seen_payloads"].tolist() == [[digest, row, 0] for digest, row in kept[:, :2].tolist()]
    assert watch.monitor.flags.known["duplicates"] == FlagShare(7, 700)
    assert {"duplicates", "schema", "backwards"} <= watch.monitor.levels().keys()


def test_rows_of_which_little_is_left_are_alike_and_no_duplicates() -> None:
    feed = Feed()
    feed(events(0, 1_600, has_labels=False))

    def lost(features: Event, i: int) -> None:
        features |= {"income": None, "age": None}

    assert faults(feed(events(1_600, 1_800, inputs=lost, has_labels=False)), Status.OPENED) == ["missing_values"]


def test_an_event_that_is_sent_again_is_counted_once_however_little_is_left_of_it() -> None:
    feed = Feed()
    feed(events(0, 1_600, has_labels=False))
    (watch,) = (model.inputs.monitor for model in feed.pipeline._models.values())
    before = watch.rows_seen

    def lost(features: Event, i: int) -> None:
        features |= {"income": None, "age": None}

    thin = [[event] * 2 for event in events(1_600, 1_620, inputs=lost, has_labels=False)]
    feed([event for pair in thin for event in pair])
    assert watch.rows_seen - before == 20


def test_features_called_like_our_own_signals_get_names_that_nothing_else_has() -> None:
    def own_names(features: Event, i: int) -> None:
        income = features["income"]
        features |= {"loss": income, "features.loss": income + 1, "features.features.loss": 1.0, "\0age": income + 2}

    feed = Feed()
    assert faults(feed(events(0, 300, inputs=own_names))) == []
    (model,) = feed.pipeline.status().models
    names = {one.feature for one in model.signals if one.feature is not None}
    assert names >= {"features.loss", "features.features.loss", "features.features.features.loss", " age", "age"}
    assert len([one for one in model.signals if one.signal == "loss.distribution"]) <= 1
