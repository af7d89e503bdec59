"""The day of the demo: its events keep the contract, repeat exactly, and are broken when and how the schedule says.

Not here: what whydrift says to them (`test_demo`).
"""

import json
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from whydrift.core.decode import Refusal, decode
from whydrift.core.settings import MINUTE_MS, Settings
from whydrift.demo.laboratory import FEATURES, Laboratory, ModelFile
from whydrift.demo.scenario import CLOSES_MS, DAY, OPENS_MS
from whydrift.demo.traffic import TimedEvent, Traffic
from whydrift_schemas import Fault, InputEvent

SEED = 7
BEYOND_THE_FIRST_FAULT = 7_000


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory(SEED)


@pytest.fixture(scope="module")
def day(laboratory: Laboratory) -> list[TimedEvent]:
    return list(Traffic(laboratory, SEED).today(DAY))


@pytest.fixture(scope="module")
def rows(day: list[TimedEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.value) for event in day]


def predictions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == "prediction"]


def breakage(fault: Fault) -> Any:
    return next(one for one in DAY if one.fault is fault)


def share(rows: list[dict[str, Any]], fault: Fault, holds: Callable[[dict[str, Any]], bool]) -> tuple[float, float]:
    """Of the predictions while the fault is on, and of the others."""
    during = [holds(row) for row in predictions(rows) if breakage(fault).is_on(row["timestamp"])]
    else_ = [holds(row) for row in predictions(rows) if not breakage(fault).is_on(row["timestamp"])]
    return float(np.mean(during)), float(np.mean(else_))


def test_the_same_seed_gives_the_same_bytes(day: list[TimedEvent]) -> None:
    again = islice(Traffic(Laboratory(SEED), SEED).today(DAY), BEYOND_THE_FIRST_FAULT)
    assert list(again) == day[:BEYOND_THE_FIRST_FAULT]


def test_another_seed_gives_another_day(day: list[TimedEvent], laboratory: Laboratory) -> None:
    assert list(islice(Traffic(laboratory, SEED + 1).today(DAY), 100)) != day[:100]


def test_every_event_keeps_the_contract(day: list[TimedEvent]) -> None:
    events: TypeAdapter[Any] = TypeAdapter(InputEvent)
    for event in day[:2_000]:
        assert events.validate_json(event.value).timestamp == event.time_ms
    assert not [event for event in day if isinstance(decode(event.value, Settings()), Refusal)]


def test_events_are_sent_in_order_within_the_day(day: list[TimedEvent]) -> None:
    assert all(one.time_ms <= other.time_ms for one, other in pairwise(day))
    assert day[0].time_ms >= OPENS_MS
    assert day[-1].time_ms < CLOSES_MS


def test_every_label_belongs_to_one_prediction_and_comes_within_the_hour(rows: list[dict[str, Any]]) -> None:
    predicted = {row["event_id"]: row["timestamp"] for row in predictions(rows)}
    labels = [row for row in rows if row["kind"] == "label"]
    assert len({row["event_id"] for row in labels}) == len(labels)
    delays_ms = [row["timestamp"] - predicted[row["event_id"]] for row in labels]
    assert min(delays_ms) >= 5 * MINUTE_MS
    assert max(delays_ms) <= 60 * MINUTE_MS
    assert len(labels) > 0.9 * len(predicted)


def test_nothing_is_broken_on_the_day_before(laboratory: Laboratory) -> None:
    events = islice(Traffic(laboratory, SEED).day_before(), BEYOND_THE_FIRST_FAULT)
    rows = predictions([json.loads(event.value) for event in events])
    assert min(row["features"]["total_cholesterol"] for row in rows) > 50
    assert not [row for row in rows if row["features"]["bmi"] is None]


def test_faults_come_one_after_the_other_on_whole_minutes() -> None:
    assert all(one.ends_ms < other.begins_ms for one, other in pairwise(DAY))
    assert all(time_ms % MINUTE_MS == 0 for one in DAY for time_ms in (one.begins_ms, one.ends_ms))
    assert all(set(one.features) <= set(FEATURES) for one in DAY)


def test_cholesterol_is_in_the_other_unit_exactly_while_scheduled(rows: list[dict[str, Any]]) -> None:
    assert share(rows, Fault.UNIT_CHANGE, lambda row: row["features"]["total_cholesterol"] < 10) == (1.0, 0.0)


def test_a_third_of_bmi_is_missing_exactly_while_scheduled(rows: list[dict[str, Any]]) -> None:
    during, else_ = share(rows, Fault.MISSING_VALUES, lambda row: row["features"]["bmi"] is None)
    assert during == pytest.approx(1 / 3, abs=0.05)
    assert else_ == 0


def test_the_old_model_file_answers_exactly_while_scheduled(laboratory: Laboratory, rows: list[dict[str, Any]]) -> None:
    answered = predictions(rows)
    values = [[row["features"][name] for name in FEATURES] for row in answered]
    expected = laboratory.answer(ModelFile.PROTOTYPE, np.array(values, dtype=float))
    of_the_prototype = {
        row["event_id"] for row, one in zip(answered, expected, strict=True) if row["prediction"]["value"] == one
    }
    during, else_ = share(rows, Fault.WRONG_MODEL, lambda row: row["event_id"] in of_the_prototype)
    assert during == 1.0
    assert else_ < 0.05  # both may give the same tenth by chance


def test_the_released_model_is_good_on_patients_it_never_saw_and_the_prototype_is_not(laboratory: Laboratory) -> None:
    assert laboratory.score(ModelFile.RELEASE) > 0.85
    assert laboratory.score(ModelFile.PROTOTYPE) < 0.3
    assert laboratory.digest(ModelFile.RELEASE) != laboratory.digest(ModelFile.PROTOTYPE)
