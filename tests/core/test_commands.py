"""What people answer, as records of the topic: accept, learn anew, be quiet; and what comes of a word that fits nothing."""

from functools import cache
from typing import Any

import pytest

from whydrift_schemas import Status

from .small_world import MODEL_ID, Event, Feed, at_ms, command, diagnoses, events, faults, rejects

LEARNT, BROKEN = 600, 800
"""Predictions after which the baseline is there; after which a fault is known."""
FAR_FUTURE_MS = 7_258_118_399_999


def in_thousands(features: Event, i: int) -> None:
    features["income"] /= 1_000


def in_millions(features: Event, i: int) -> None:
    features["income"] *= 1_000


def with_extra(features: Event, i: int) -> None:
    features["extra"] = float(i % 17) + i % 3 / 4


def with_other_extra(features: Event, i: int) -> None:
    features["extra"] = float(i % 17) + 60


def without_region(features: Event, i: int) -> None:
    features["region"] = None


@cache
def _learnt() -> Feed:
    feed = Feed()
    assert faults(feed(events(0, LEARNT))) == []
    return feed


def learnt() -> Feed:
    """A pipeline with its baseline."""
    return _learnt().copy()


def broken(change: Any) -> tuple[Feed, str]:
    """The same after a fault was opened; with the incident's id."""
    feed = learnt()
    (opened,) = diagnoses(feed(events(LEARNT, BROKEN, inputs=change)), Status.OPENED)
    return feed, opened.incident_id


# -- accept ---------------------------------------------------------------------------------------------------------------


def test_an_accepted_incident_resolves_with_who_and_why() -> None:
    feed, incident_id = broken(in_thousands)
    (said,) = diagnoses(feed([command("accept", BROKEN, incident_id=incident_id)]))
    assert (said.incident_id, said.status, said.sequence) == (incident_id, Status.RESOLVED, 2)
    assert said.summary.startswith("accepted by ada (we know) · income arrives in thousands")
    assert said.resolved_at is not None


def test_what_was_accepted_is_health_and_a_further_change_is_found_again() -> None:
    feed, incident_id = broken(in_thousands)
    feed([command("accept", BROKEN, incident_id=incident_id)])
    assert faults(feed(events(BROKEN, BROKEN + 3_000, inputs=in_thousands))) == []
    found = diagnoses(feed(events(BROKEN + 3_000, BROKEN + 3_150)), Status.OPENED)
    assert [(one.causes[0].fault.value, one.causes[0].features) for one in found] == [("unit_change", ("income",))]


def test_an_accepted_key_becomes_a_column_that_is_watched() -> None:
    feed, incident_id = broken(with_extra)
    (said,) = diagnoses(feed([command("accept", BROKEN, incident_id=incident_id)]))
    assert said.status is Status.RESOLVED
    assert faults(feed(events(BROKEN, BROKEN + 700, inputs=with_extra))) == []
    (model,) = feed.pipeline.status().models
    assert {one.signal for one in model.signals} >= {"extra.distribution", "extra.missing"}
    found = diagnoses(feed(events(BROKEN + 700, BROKEN + 900, inputs=with_other_extra)), Status.OPENED)
    assert [one.causes[0].features for one in found] == [("extra",)]


def test_accepting_the_signals_that_identify_an_incident_settles_it_with_all_that_follows_from_it() -> None:
    feed, incident_id = broken(in_thousands)
    own = ["income.distribution", "income.out_of_range"]
    (said,) = diagnoses(feed([command("accept", BROKEN, signals=own)]))
    assert (said.incident_id, said.status) == (incident_id, Status.RESOLVED)
    assert faults(feed(events(BROKEN, BROKEN + 800, inputs=in_thousands))) == []


def test_what_follows_from_accepted_inputs_is_no_news_when_it_shows_later_only() -> None:
    feed, incident_id = broken(without_region)
    feed([command("accept", BROKEN, incident_id=incident_id)])
    # Answers without a region are a little lower, which takes hundreds of rows to see.
    assert faults(feed(events(BROKEN, BROKEN + 1_200, inputs=without_region))) == []


def test_another_open_incident_is_not_accepted_along_with_one() -> None:
    feed = learnt()

    def slow(event: Event, i: int) -> None:
        event["latency_ms"] *= 5

    opened = diagnoses(feed(events(LEARNT, BROKEN, inputs=without_region, answers=slow)), Status.OPENED)
    by_fault = {one.causes[0].fault.value: one.incident_id for one in opened}
    assert by_fault.keys() == {"missing_values", "latency_degradation"}
    (said,) = diagnoses(feed([command("accept", BROKEN, incident_id=by_fault["missing_values"])]))
    assert said.incident_id == by_fault["missing_values"]
    (model,) = feed.pipeline.status().models
    assert [one.opened_as.value for one in model.incidents] == ["latency_degradation"]


def test_a_second_accept_of_the_same_incident_is_told_that_it_is_over() -> None:
    feed, incident_id = broken(in_thousands)
    accept = command("accept", BROKEN, incident_id=incident_id)
    feed([accept])
    (reject,) = rejects(feed([accept]))
    assert reject.message == f"incident_id: {MODEL_ID} has no open incident {incident_id!r}; it may be resolved already"


# -- relearn --------------------------------------------------------------------------------------------------------------


def test_a_model_that_is_learnt_anew_takes_what_comes_for_health() -> None:
    feed = learnt()
    assert feed([command("relearn", LEARNT)]) == []
    assert faults(feed(events(LEARNT, LEARNT + 900, inputs=in_thousands))) == []
    found = diagnoses(feed(events(LEARNT + 900, LEARNT + 1_050)), Status.OPENED)
    assert [one.causes[0].features for one in found] == [("income",)]


def test_learning_some_signals_anew_leaves_the_others_watched() -> None:
    feed = learnt()
    feed([command("relearn", LEARNT, signals=["region.distribution"])])
    # Nothing is told of the region now, and all of the income.
    assert faults(feed(events(LEARNT, LEARNT + 120, inputs=without_region))) == []
    found = diagnoses(feed(events(LEARNT + 120, LEARNT + 320, inputs=in_thousands)), Status.OPENED)
    assert [one.causes[0].features for one in found] == [("income",)]


def test_learning_an_alarmed_signal_anew_ends_its_incident_with_who_and_why() -> None:
    feed, incident_id = broken(without_region)
    (said,) = diagnoses(feed([command("relearn", BROKEN)]))
    assert (said.incident_id, said.status) == (incident_id, Status.RESOLVED)
    assert said.summary.startswith("being learnt anew by ada (we know) · region is missing")
    assert faults(feed(events(BROKEN, BROKEN + 600, inputs=without_region))) == []


# -- snooze ---------------------------------------------------------------------------------------------------------------


def test_a_snoozed_model_says_nothing_until_then_and_what_is_still_true_is_said_then() -> None:
    feed = learnt()
    feed([command("snooze", LEARNT, until=at_ms(1_000))])
    assert feed(events(LEARNT, 1_000, inputs=in_thousands)) == []
    (said,) = diagnoses(feed(events(1_000, 1_001, inputs=in_thousands)))
    assert (said.status, said.sequence) == (Status.OPENED, 1)
    assert said.causes[0].fault.value == "unit_change"
    assert said.detected_at < at_ms(1_000), "it was detected then, and is said now"


def test_what_begins_and_ends_while_snoozed_is_never_said() -> None:
    awake, asleep = learnt(), learnt()
    asleep([command("snooze", LEARNT, until=at_ms(3_000))])
    stream = [*events(LEARNT, BROKEN, inputs=in_thousands), *events(BROKEN, 3_100)]
    assert [one.status for one in diagnoses(awake(stream))] == [Status.OPENED, Status.RESOLVED]
    assert asleep(stream) == []


def test_an_open_incident_that_is_snoozed_and_ends_meanwhile_resolves_afterwards() -> None:
    feed, incident_id = broken(in_thousands)
    feed([command("snooze", BROKEN, incident_id=incident_id, until=at_ms(3_000))])
    assert feed(events(BROKEN, 3_000)) == []
    (said,) = diagnoses(feed(events(3_000, 3_002)))
    assert (said.incident_id, said.status) == (incident_id, Status.RESOLVED)


def test_a_snoozed_incident_does_not_silence_another_one() -> None:
    feed, incident_id = broken(without_region)
    feed([command("snooze", BROKEN, incident_id=incident_id, until=at_ms(3_000))])

    def both(features: Event, i: int) -> None:
        without_region(features, i)
        in_thousands(features, i)

    found = diagnoses(feed(events(BROKEN, BROKEN + 200, inputs=both)))
    assert [one.causes[0].features for one in found] == [("income",)]
    assert all(one.incident_id != incident_id for one in found)


def test_snoozed_signals_keep_the_incident_quiet_that_has_no_others() -> None:
    feed = learnt()
    feed([command("snooze", LEARNT, signals=["schema"], until=at_ms(900))])
    assert feed(events(LEARNT, 900, inputs=with_extra)) == []
    (said,) = diagnoses(feed(events(900, 901, inputs=with_extra)))
    assert said.causes[0].fault.value == "schema_change"


# -- words that fit nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["accept", "relearn", "snooze"])
def test_an_unknown_incident_or_signal_is_rejected_and_changes_nothing(action: str) -> None:
    feed = learnt()
    before = feed.pipeline.snapshot()
    until = {"until": at_ms(5_000)} if action == "snooze" else {}
    by_id = command(action, LEARNT, incident_id="0123456789abcdef", **until)
    by_signal = command(action, LEARNT, signals=["income.missing", "incom.missing"], **until)
    outputs = feed([by_id, by_signal])
    assert [reject.reason.value for reject in rejects(outputs)] == ["invalid_value"] * 2
    assert [reject.message for reject in rejects(outputs)] == [
        "incident_id: risk has no open incident '0123456789abcdef'; it may be resolved already",
        "signals: risk has no signal 'incom.missing'; see whydrift_signal_* in /metrics",
    ]
    after = feed.pipeline.snapshot()
    assert all(after[name] == before[name] for name in before if name != "partition")


@pytest.mark.parametrize("action", ["relearn", "snooze"])
def test_a_command_for_a_model_that_was_never_seen_is_rejected_and_makes_no_model(action: str) -> None:
    feed = Feed()
    until = {"until": at_ms(5_000)} if action == "snooze" else {}
    (reject,) = rejects(feed([command(action, 0, timestamp=FAR_FUTURE_MS, **until)]))
    assert reject.reason.value == "invalid_value"
    assert reject.message.startswith("model_id: this partition has had no event of 'risk' yet")
    status = feed.pipeline.status()
    assert (status.models, status.stream_time_ms) == ((), None)


def test_the_clock_of_who_commands_does_not_move_stream_time() -> None:
    feed = learnt()
    before_ms = feed.pipeline.status().stream_time_ms
    relearn = command("relearn", LEARNT, signals=["age.missing"])
    feed([relearn | {"timestamp": FAR_FUTURE_MS}] * 20)
    assert feed.pipeline.status().stream_time_ms == before_ms
    feed(events(LEARNT, LEARNT + 1))
    assert feed.pipeline.status().stream_time_ms == at_ms(LEARNT)


# -- one signal stands for its column -----------------------------------------------------------------------------------


def test_accepting_one_signal_of_a_column_settles_the_column_in_the_words_of_who_did_it() -> None:
    feed, incident_id = broken(in_thousands)
    (said,) = diagnoses(feed([command("accept", BROKEN, signals=["income.distribution"])]))
    assert (said.incident_id, said.status) == (incident_id, Status.RESOLVED)
    assert said.summary.startswith("accepted by ada (we know)")


def test_learning_a_broken_input_anew_takes_along_what_follows_from_it() -> None:
    feed, incident_id = broken(without_region)
    (said,) = diagnoses(feed([command("relearn", BROKEN, signals=["region.missing"])]))
    assert (said.incident_id, said.status) == (incident_id, Status.RESOLVED)
    assert faults(feed(events(BROKEN, BROKEN + 1_200, inputs=without_region))) == []


def test_snoozing_one_signal_of_a_column_keeps_quiet_what_happens_to_that_column() -> None:
    feed = learnt()
    feed([command("snooze", LEARNT, signals=["income.out_of_range"], until=at_ms(BROKEN))])
    assert faults(feed(events(LEARNT, BROKEN - 1, inputs=in_thousands))) == []
    found = diagnoses(feed(events(BROKEN - 1, BROKEN + 100, inputs=in_thousands)), Status.OPENED)
    assert [one.causes[0].fault.value for one in found] == ["unit_change"]
