"""A drift that lasts for a week becomes the reference, and hides nothing any longer; what is broken stays an incident."""

import json
from functools import cache
from typing import Any

import pytest

from whydrift.core.incidents import Moment
from whydrift.core.settings import DAY_MS
from whydrift.core.trailing import LONG_MS, TRAILING_MS, follow
from whydrift_schemas import Diagnosis, Fault, Status

from .small_world import Event, Feed, diagnoses, events

LEARNT, TOLD = 600, 900
"""Predictions after which the baseline is there; after which the change has been told."""
GAP_MS = TRAILING_MS + DAY_MS


def moved(features: Event, i: int) -> None:
    """Half of Europe's customers are in the States now."""
    if features["region"] == "eu" and i % 2:
        features["region"] = "us"


def in_thousands(features: Event, i: int) -> None:
    features["income"] /= 1_000


def later(start: int, stop: int, change: Any) -> list[Event]:
    """Events as ever, dated after the gap."""
    return [one | {"timestamp": one["timestamp"] + GAP_MS} for one in events(start, stop, inputs=change)]


@cache
def _told(change: Any) -> tuple[Feed, Diagnosis]:
    feed = Feed()
    feed(events(0, LEARNT))
    (opened, *_) = diagnoses(feed(events(LEARNT, TOLD, inputs=change)), Status.OPENED)
    return feed, opened


def told(change: Any) -> tuple[Feed, Diagnosis]:
    """A pipeline that has told a change, and what it said."""
    feed, opened = _told(change)
    return feed.copy(), opened


def test_a_drift_that_has_lasted_for_a_week_is_resolved_with_these_words_and_is_no_news_afterwards() -> None:
    feed, opened = told(moved)
    assert opened.causes[0].fault == "covariate_drift"
    said = diagnoses(feed(later(TOLD, TOLD + 1_200, moved)))
    mine = [one for one in said if one.incident_id == opened.incident_id]
    assert mine[-1].status is Status.RESOLVED
    assert mine[-1].summary.startswith("it has lasted for 7 days and is the reference from now on · region")
    again = [one for one in said if one.status is Status.OPENED and "region" in one.causes[0].features]
    assert again == []


def test_a_fault_of_the_input_that_had_drifted_is_an_incident_of_its_own() -> None:
    feed, _ = told(moved)
    feed(later(TOLD, TOLD + 1_200, moved))

    def missing(features: Event, i: int) -> None:
        moved(features, i)
        features["region"] = None if i % 2 else features["region"]

    found = diagnoses(feed(later(TOLD + 1_200, TOLD + 1_300, missing)), Status.OPENED)
    assert [(one.causes[0].fault, one.causes[0].features) for one in found] == [("missing_values", ("region",))]


def test_within_the_week_it_stays_open() -> None:
    feed, opened = told(moved)
    said = diagnoses(feed(events(TOLD, TOLD + 600, inputs=moved)))
    assert [one for one in said if one.incident_id == opened.incident_id and one.status is Status.RESOLVED] == []


def test_what_is_broken_stays_an_incident_however_long_it_lasts() -> None:
    feed, opened = told(in_thousands)
    said = diagnoses(feed(later(TOLD, TOLD + 600, in_thousands)))
    assert [one for one in said if one.incident_id == opened.incident_id and one.status is Status.RESOLVED] == []


@pytest.mark.parametrize("why", ["it jumps from row to row", "it was told to be broken at first"])
def test_what_may_be_broken_is_waited_for_longer(why: str) -> None:
    feed, opened = told(moved)
    (model,) = feed.pipeline._models.values()
    mine = model.incidents.open[opened.incident_id]
    if "jumps" in why:
        mine.own.add("region.step")
    else:
        mine.opened_as = Fault.CATEGORY_RECODING

    def after(ms: int) -> list[str]:
        now = Moment(mine.diagnosis.detected_at + ms, 0, feed.offset, model.chunks, model.label_chunks, TOLD, ("1",), 0)
        return [one.summary for one in follow(model, now)]

    assert after(TRAILING_MS) == []
    assert after(LONG_MS - 1) == []
    (summary,) = after(LONG_MS)
    assert summary.startswith("it has lasted for 28 days and is the reference from now on · region")


def test_a_restart_within_the_week_changes_nothing() -> None:
    feed, _ = told(moved)
    values = [json.dumps(one).encode() for one in later(TOLD, TOLD + 400, moved)]
    whole = feed.copy()(values)
    parts = []
    for value in range(0, len(values), 97):
        feed = feed.copy()
        parts += feed(values[value : value + 97])
    assert parts == whole
