"""Skew between training and serving, through the pipeline: what is named so, since when it may be, and what never is.

Belongs here: what the rule's own examples (`tests/conformance/test_faults`) do not reach: restarts, commands, other kinds of
differences. Not here: single differences, which other rules know.
"""

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its streams

import world
from case_builder import case_of
from streams import (
    DEFAULTS,
    TOPIC,
    broken,
    broken_from_first,
    learnt,
    records,
    said,
    unlearnt,
)

from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import Break, change, drop, fill
from whydrift.core.faults.training_serving_skew import _log_odds
from whydrift.core.pipeline import Pipeline
from whydrift_schemas import Diagnosis

SEED = 3
THOUSANDS = change(lambda v, i: v / 1000, "income")


def after(healthy_rows: int, breaks: Break) -> Example:
    """Broken from a row on, where the stream begins with health."""
    return Example("", lambda row, i: breaks(row, i) if i >= healthy_rows else row, from_first=True)


def first_word(breaks: Break, healthy_rows: int = 0, rows: int = 400) -> Diagnosis:
    stream = broken_from_first(after(healthy_rows, breaks), healthy_rows + rows, SEED)
    return next(said(unlearnt(SEED), stream)).diagnosis


def other_rows(row: Row, i: int) -> Row:
    """The balance is another customer's."""
    row["features"]["balance"] = world.healthy_rows(SEED + 50, 400)[i % 400]["features"]["balance"]
    return row


@pytest.mark.parametrize(
    ("breaks", "second", "features"),
    [
        (THOUSANDS, "unit_change", ("income",)),
        (fill(None, "age", share=0.3), "missing_values", ("age",)),
        (drop("tenure_days"), "schema_change", ("tenure_days",)),
        (other_rows, "misaligned_feature", ("balance",)),
    ],
    ids=["another unit", "missing values", "a key that serving does not send", "a join to other rows"],
)
def test_what_the_difference_consists_of_is_told_and_comes_second(
    breaks: Break, second: str, features: tuple[str, ...]
) -> None:
    one = first_word(breaks)
    assert [str(cause.fault) for cause in one.causes[:2]] == ["training_serving_skew", second], one.summary
    assert one.causes[0].features[:1] == features
    assert one.causes[0].probability > 0.8
    assert "from the first event on" in one.summary


def test_the_transform_that_undoes_it_is_stated_with_it() -> None:
    undo = first_word(THOUSANDS).causes[0].undo
    assert undo is not None
    assert "1000" in undo.transform


@pytest.mark.parametrize("healthy_rows", [40, 80, 300])
def test_after_some_healthy_rows_the_same_difference_is_a_fault_of_its_own(healthy_rows: int) -> None:
    one = first_word(THOUSANDS, healthy_rows)
    assert str(one.causes[0].fault) == "unit_change"
    assert "training_serving_skew" not in {str(cause.fault) for cause in one.causes}


def test_a_small_difference_after_a_stretch_of_health_is_no_skew_although_a_hundred_rows_do_not_tell() -> None:
    one = first_word(fill(None, "age", share=0.03), healthy_rows=1_000, rows=4_000)
    assert one.causes[0].fault == "missing_values", one.summary


def test_it_keeps_its_name_while_nothing_changes() -> None:
    stream = broken_from_first(after(0, THOUSANDS), 2_500, SEED)
    assert {str(one.diagnosis.causes[0].fault) for one in said(unlearnt(SEED), stream)} == {"training_serving_skew"}


def test_without_training_data_it_is_never_named_and_the_diagnosis_says_that_it_cannot_be_seen() -> None:
    """The stream's own first events are health then, though their incomes come in thousands."""
    served = broken_from_first(after(0, THOUSANDS), 2_400, SEED)
    assert list(said(Pipeline(DEFAULTS, TOPIC, 0), served)) == []
    one = next(said(learnt(SEED).pipeline(), broken(Example("", THOUSANDS), 300, SEED))).diagnosis
    (because,) = [no.because for no in one.ruled_out if str(no.fault) == "training_serving_skew"]
    assert "learnt from this stream" in because


def test_a_restart_between_the_first_event_and_the_alarm_changes_nothing() -> None:
    stream = broken_from_first(after(0, change(lambda v, i: round(v + 8.0, 1), "temperature")), 600, SEED)
    whole = [one.diagnosis for one in said(unlearnt(SEED), stream)]
    assert whole
    assert str(whole[0].causes[0].fault) == "training_serving_skew"
    first = unlearnt(SEED)
    early = [one.diagnosis for one in said(first, stream[:50])]
    resumed = Pipeline.restore(DEFAULTS, TOPIC, 0, {}, first.snapshot())
    assert early + [one.diagnosis for one in said(resumed, stream[50:])] == whole


def test_inputs_learnt_anew_from_the_stream_are_no_longer_judged_by_training() -> None:
    """Somebody answers the first incident by `relearn`: what breaks next is no skew, however soon it comes."""
    events = world.to_wire(list(islice(world.breaking(after(0, THOUSANDS), 0, 2_700, SEED), 2_700)))
    at = next(place for place, event in enumerate(events) if event.get("event_id") == events[400].get("event_id"))
    command = {
        "kind": "command",
        "model_id": world.MODEL_ID,
        "timestamp": events[at - 1]["timestamp"],
        "action": "relearn",
    }
    events.insert(at, command)
    for event in [event for event in events if event["kind"] == "prediction"][2_450:]:
        event["features"]["income"] *= 1_000
    found = [one.diagnosis for one in said(unlearnt(SEED), records(events)) if one.rows > 2_450]
    assert [str(one.causes[0].fault) for one in found][:1] == ["unit_change"]


def test_where_a_slow_quantity_was_at_first_tells_once_however_many_rows_say_it() -> None:
    """A level that wanders stays where it is for longer than the first rows: they are no hundred witnesses."""
    case = case_of(Example("", THOUSANDS, from_first=True))
    assert case is not None
    view = case.features["income"]
    assert view.opening is not None
    slow = replace(view, reference=replace(view.reference, times={"centre": 500.0}))
    first = np.ones(len(view.opening.values), bool)
    quick, slowly = (_log_odds(one, view.opening, first, is_presence=False) for one in (view, slow))
    assert quick > 6
    assert slowly == pytest.approx(quick / 500)
    assert _log_odds(slow, view.opening, first, is_presence=True) == _log_odds(
        view, view.opening, first, is_presence=True
    )
