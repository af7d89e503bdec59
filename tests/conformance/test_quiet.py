"""What must stay quiet, through the real pipeline at default settings: each benign control of `quiet`.

A pipeline that had gone deaf would be quiet too: so each stream ends with a fault, which must be named.

Belongs here: no incident in health. Not here: bets on single signals (`tests/properties/test_health`), how the streams are made
(`quiet`, which also runs them longer: `python tests/conformance/quiet.py`).
"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from quiet import CONTROLS, Health, said_of

from whydrift_schemas import Diagnosis, Status
from whydrift_schemas.names import Fault

HEALTHY, BROKEN = 3_600, 200
"""Predictions of health, of which the baseline takes 2,000; then those whose first input is missing."""


def stream(control: Health, seed: int, healthy: int = HEALTHY) -> tuple[list[dict[str, Any]], int, str]:
    """Events, the offset of the first broken one, and the input that is null from there on."""
    events = control.events(seed, healthy + BROKEN)
    predictions = [(place, event) for place, event in enumerate(events) if event["kind"] == "prediction"]
    name = next(iter(predictions[0][1]["features"]))
    onset = next(place for place, event in predictions if event["event_id"] == f"e{healthy}")
    for place, event in predictions:
        if place >= onset:
            event["features"][name] = None
    return events, onset, name


def opened(said: list[Diagnosis]) -> list[tuple[Fault, tuple[str, ...]]]:
    return [(one.causes[0].fault, one.causes[0].features) for one in said if one.status is Status.OPENED]


@pytest.mark.parametrize("name", CONTROLS)
def test_nothing_is_said_of_health_and_a_missing_input_after_it_is_named(name: str) -> None:
    events, onset, broken = stream(CONTROLS[name], seed=7)
    said = said_of(events)
    assert [one.summary for one in said if one.detected.offset < onset] == []
    assert opened(said) == [(Fault.MISSING_VALUES, (broken,))]


def test_restarts_are_no_news() -> None:
    events, _, broken = stream(CONTROLS["everyday"], seed=8)
    said = said_of(events, restart_every=997)
    assert opened(said) == [(Fault.MISSING_VALUES, (broken,))]
    assert said == said_of(events)


def test_a_long_healthy_stream_stays_quiet() -> None:
    assert said_of(CONTROLS["everyday"].events(9, 20_000)) == []


def test_batches_of_labels_have_an_old_end_and_are_not_late() -> None:
    """The first labels of a batch are older than half of all, over and over."""
    assert said_of(CONTROLS["labels come in hourly batches"].events(0, 9_000)) == []
