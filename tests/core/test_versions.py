"""Model versions: what a new one learns anew, what a worse one is called, two side by side, and one that changes silently."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from whydrift.core.model import MAX_VERSIONS
from whydrift_schemas import Diagnosis, Status

from .small_world import MODEL_ID, Change, Event, Feed, at_ms, command, diagnoses, events, faults

LEARNT = 700


def described(i: int, version: str = "v1", digest: str = "sha256:1") -> Event:
    """The model's own word, at the time of prediction number i."""
    return {
        "kind": "model",
        "model_id": MODEL_ID,
        "model_version": version,
        "timestamp": at_ms(i),
        "task": "binary",
        "parameters": [{"name": "linear", "count": 3, "mean": 0.1, "l2_norm": 1.0, "digest": digest}],
    }


def otherwise(event: Event, i: int) -> None:
    """As good as before, on another scale, and three times as slow."""
    score = round(0.15 + 0.55 * event["prediction"]["score"], 6)
    event["prediction"] = {"score": score, "label": "bad" if score >= 0.5 else "good"}
    event["latency_ms"] *= 3


def blind(event: Event, i: int) -> None:
    """Scores that have nothing to do with the inputs."""
    score = round(float(np.random.default_rng((3, i)).random()), 6)
    event["prediction"] = {"score": score, "label": "bad" if score >= 0.5 else "good"}


def slow(event: Event, i: int) -> None:
    event["latency_ms"] *= 6


def constant(event: Event, i: int) -> None:
    event["prediction"] = {"score": 0.42, "label": "good"}


@cache
def _learnt() -> Feed:
    feed = Feed()
    assert faults(feed([described(0), *events(0, LEARNT)])) == []
    return feed


def learnt() -> Feed:
    return _learnt().copy()


# -- a new version ----------------------------------------------------------------------------------------------------------


def test_an_equal_model_under_a_new_version_is_no_incident() -> None:
    assert faults(learnt()(events(LEARNT, LEARNT + 900, version="v2"))) == []


@pytest.mark.parametrize("is_described", [True, False])
def test_a_new_version_may_answer_otherwise_and_be_slower_and_the_same_unannounced_is_an_incident(
    is_described: bool,
) -> None:
    announcement = [described(LEARNT, "v2", "sha256:2")] if is_described else []
    later = [*announcement, *events(LEARNT, LEARNT + 900, version="v2", answers=otherwise)]
    assert faults(learnt()(later)) == []
    silent = faults(learnt()(events(LEARNT, LEARNT + 300, answers=otherwise)), Status.OPENED)
    assert "latency_degradation" in silent


def test_a_new_version_learns_its_answers_anew_and_keeps_what_is_known_of_the_inputs() -> None:
    feed = learnt()
    feed(events(LEARNT, LEARNT + 40, version="v2", answers=otherwise))

    def in_thousands(features: Event, i: int) -> None:
        features["income"] /= 1_000

    # Too few answers to judge by; the inputs are judged as ever.
    opened = diagnoses(feed(events(LEARNT + 40, LEARNT + 140, version="v2", inputs=in_thousands)), Status.OPENED)
    assert [one.causes[0].fault.value for one in opened] == ["unit_change"]
    feed = learnt()
    feed(events(LEARNT, LEARNT + 700, version="v2", answers=otherwise))

    def otherwise_and_slower(event: Event, i: int) -> None:
        otherwise(event, i)
        slow(event, i)

    changed = feed(events(LEARNT + 700, LEARNT + 900, version="v2", answers=otherwise_and_slower))
    assert faults(changed, Status.OPENED) == ["latency_degradation"], "and once learnt they are watched"


@pytest.mark.parametrize("is_described", [True, False])
def test_a_worse_version_is_named_and_so_is_the_better_one(is_described: bool) -> None:
    announcement = [described(LEARNT, "v2", "sha256:2")] if is_described else []
    outputs = learnt()([*announcement, *events(LEARNT, LEARNT + 700, version="v2", answers=blind)])
    (opened,) = diagnoses(outputs, Status.OPENED)
    assert opened.causes[0].fault.value == "wrong_model"
    assert opened.summary.startswith("version v2 errs more than v1: log_loss ")
    assert opened.model_versions == ("v2",)


# -- side by side -----------------------------------------------------------------------------------------------------------


def canary(start: int, stop: int, change: Change | None = None) -> Iterator[Event]:
    """Every third answer comes from v2; a change happens in its answers only."""

    def answer(event: Event, i: int) -> None:
        if i % 3 == 0:
            event["model_version"] = "v2"
            if change is not None:
                change(event, i)

    return events(start, stop, answers=answer)


@cache
def _canary() -> Feed:
    feed = learnt()
    assert faults(feed(canary(LEARNT, LEARNT + 1_600))) == []
    return feed


@pytest.mark.parametrize(
    ("change", "fault"), [(blind, "wrong_model"), (slow, "latency_degradation"), (constant, "fallback_answers")]
)
def test_a_fault_of_the_canary_alone_is_told_with_its_version(change: Change, fault: str) -> None:
    start = LEARNT + 1_600
    opened = diagnoses(_canary().copy()(canary(start, start + 700, change)), Status.OPENED)
    assert [(one.causes[0].fault.value, one.model_versions) for one in opened] == [(fault, ("v2",))]


def test_a_fault_of_the_inputs_is_no_versions_own() -> None:
    def without_region(features: Event, i: int) -> None:
        features["region"] = None

    def answer(event: Event, i: int) -> None:
        event["model_version"] = "v1" if i % 3 else "v2"

    start = LEARNT + 1_600
    stream = events(start, start + 150, inputs=without_region, answers=answer)
    (opened,) = diagnoses(_canary().copy()(stream), Status.OPENED)
    assert opened.causes[0].fault.value == "missing_values"
    assert opened.model_versions == ("v1",), "the one that answers most"


def test_of_many_versions_the_latest_are_followed_and_none_is_an_incident() -> None:
    feed = learnt()

    def answer(event: Event, i: int) -> None:
        event["model_version"] = f"w{i % (MAX_VERSIONS + 3)}"

    assert faults(feed(events(LEARNT, LEARNT + 600, answers=answer))) == []
    status = feed.pipeline.status()
    assert status.models[0].events == LEARNT + 600
    assert len({one.model_version for one in status.models[0].performance}) <= MAX_VERSIONS
    feed(events(LEARNT + 600, LEARNT + 800, version="w1"))
    assert "w1" in {one.model_version for one in feed.pipeline.status().models[0].performance}
    assert feed.state_bytes() < 1_500_000


# -- the same version, another model ----------------------------------------------------------------------------------------


@cache
def _changed() -> tuple[Feed, Diagnosis]:
    feed = learnt()
    (opened,) = diagnoses(feed([described(LEARNT, digest="sha256:2"), *events(LEARNT, LEARNT + 100)]))
    return feed, opened


def changed() -> tuple[Feed, Diagnosis]:
    """Weights that changed under the same version; and what was said of it."""
    feed, opened = _changed()
    return feed.copy(), opened


def test_weights_that_change_under_the_same_version_are_told() -> None:
    _, opened = changed()
    assert (opened.status, opened.severity.value) == (Status.OPENED, "critical")
    assert opened.causes[0].fault.value == "parameter_corruption"
    assert opened.summary.startswith("weights changed under the same version: linear: digest sha256:1 → sha256:2")
    assert opened.onset_at == at_ms(LEARNT)


@pytest.mark.parametrize(
    "answer",
    [
        lambda incident_id: described(LEARNT + 100),
        lambda incident_id: command("accept", LEARNT + 100, incident_id=incident_id),
        lambda incident_id: described(LEARNT + 100, "v2", "sha256:3"),
    ],
    ids=["the old digest is back", "the new one is accepted", "another version takes over"],
)
def test_changed_weights_are_over(answer: Any) -> None:
    feed, opened = changed()
    (said,) = diagnoses(feed([answer(opened.incident_id)]))
    assert (said.incident_id, said.status) == (opened.incident_id, Status.RESOLVED)
    assert faults(feed(events(LEARNT + 100, LEARNT + 200))) == []


def test_accepted_weights_are_what_the_version_is_meant_to_be() -> None:
    feed, opened = changed()
    feed([command("accept", LEARNT + 100, incident_id=opened.incident_id)])
    again = [described(LEARNT + 100, digest="sha256:2"), *events(LEARNT + 100, LEARNT + 200)]
    assert faults(feed(again)) == []
    further = [described(LEARNT + 200, digest="sha256:1"), *events(LEARNT + 200, LEARNT + 300)]
    assert faults(feed(further)) == ["parameter_corruption"], "the old ones are as foreign now"


def test_the_same_description_again_and_again_says_nothing() -> None:
    feed = learnt()
    assert feed([described(LEARNT + i) for i in range(50)]) == []
