"""The life of incidents on streams of the example world: opened once, updated sparingly, resolved after the fault and not before.

Belongs here: what is published of an incident over time. Not here: which fault is named (`tests/conformance/test_faults`), that
health is quiet (`tests/conformance/test_quiet`).
"""

import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its streams

import world
from streams import DEFAULTS, LEARNT, Said, broken, learnt, records, said

from whydrift.core.faults import rules
from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import both, change, fill, lagged, scatter, turn
from whydrift.core.pipeline import Pipeline
from whydrift.core.settings import DAY_MS
from whydrift_schemas import Fault, Severity, Status
from whydrift_schemas.names import Family

SEED = 1
LONG, SHORT = 5_000, 1_200
"""Broken rows: far beyond the last time an incident is judged again; and enough for a few updates."""
EXAMPLES = {example.says: example for rule in rules() for example in rule.examples if example.named}
ABRUPT = (
    "income arrives in thousands",
    "income is null in every row",
    "region arrives in capitals",
    "income and balance are 0 in the same rows",
    "a tenth of the calls fails with TimeoutError after two seconds",
    "calls take four times as long",
    "income is stuck at its last value in a tenth of the rows",
    "a quarter of the events come twice",
    "income and balance are stuck together",
    "income, balance and age are absent from half of the rows",
)
PARTIAL = (
    "income is null in 3 % of the rows",
    "region has a blank behind it in 5 % of the rows",
    "income × 1000 in 5 % of the rows",
    "income in thousands in every fifth row",
    "age and temperature are swapped in 5 % of the rows",
    "a new channel in 3 % of the rows",
    "a tenth of the answers is 0.5",
    "5 % of the answers are the base rate, and fast",
)


@cache
def life(says: str, rows: int, healthy_rows: int) -> tuple[Said, ...]:
    """All that is said while an example's fault lasts for so many rows, and after it."""
    return tuple(said(learnt(SEED).pipeline(), broken(EXAMPLES[says], rows, SEED, healthy_rows)))


def statuses(found: Sequence[Said]) -> list[Status]:
    return [one.diagnosis.status for one in found]


def by_incident(found: Sequence[Said]) -> dict[str, list[Said]]:
    incidents: dict[str, list[Said]] = {}
    for one in found:
        incidents.setdefault(one.diagnosis.incident_id, []).append(one)
    return incidents


# -- one thing that broke is one incident ------------------------------------------------------------------------


@pytest.mark.parametrize("says", ABRUPT)
def test_an_abrupt_fault_is_one_incident_that_resolves_after_it_and_not_before(says: str) -> None:
    found = life(says, SHORT, 1_500)
    assert len(by_incident(found)) == 1
    assert statuses(found)[-1] is Status.RESOLVED
    # Rows repeat where events come twice, so rows are counted from the fault's end by the clock: one a second.
    ended_ms = world.healthy_rows(SEED, LEARNT + SHORT)[-1]["timestamp"]
    resolved_ms = found[-1].diagnosis.resolved_at
    assert resolved_ms is not None
    assert 60 < (_ms(resolved_ms) - ended_ms) / 1_000 < 1_500


def _ms(time: object) -> int:
    return time if isinstance(time, int) else int(time.timestamp() * 1_000)  # type: ignore[attr-defined]


@pytest.mark.parametrize("says", PARTIAL)
def test_a_fault_in_few_rows_is_neither_resolved_nor_opened_again_while_it_lasts(says: str) -> None:
    found = life(says, LONG, 0)
    assert statuses(found)[0] is Status.OPENED
    assert set(statuses(found)[1:]) <= {Status.UPDATED}
    assert len(by_incident(found)) == 1


def test_a_fault_in_all_rows_lasts_as_long_as_it_does() -> None:
    assert statuses(life("income arrives in thousands", LONG, 0)) == [Status.OPENED]
    found = life("income is null in every row", LONG, 0)
    assert statuses(found) == [Status.OPENED, Status.UPDATED]
    assert [one.diagnosis.severity for one in found] == [Severity.WARNING, Severity.CRITICAL], (
        "answers follow, a little"
    )


def test_a_fault_that_comes_and_goes_within_minutes_is_one_incident() -> None:
    def breaks(row: Row, i: int) -> Row:
        return change(lambda v, j: v / 1_000, "income")(row, i) if i % 300 < 150 else row

    found = list(said(learnt(SEED).pipeline(), broken(Example("in thousands, on and off", breaks), 2_400, SEED)))
    assert len(by_incident(found)) == 1
    assert Status.RESOLVED not in statuses(found)


def test_a_storm_of_repeated_events_is_one_incident() -> None:
    """Counted eight times, chance would look like change in one input after the other."""
    storm = Example("every event comes eight times", lambda row, i: [dict(row) for _ in range(8)])
    found = list(said(learnt(SEED).pipeline(), broken(storm, 800, SEED, 800)))
    assert statuses(found) == [Status.OPENED, Status.RESOLVED]
    assert found[0].fault == "duplicate_events"


def test_two_faults_at_different_times_are_two_incidents() -> None:
    def breaks(row: Row, i: int) -> Row:
        if i < 600:
            return change(lambda v, j: v / 1_000, "income")(row, i)  # type: ignore[return-value]
        return fill(None, "region", share=0.3)(row, i) if i >= 1_800 else row  # type: ignore[return-value]

    found = list(said(learnt(SEED).pipeline(), broken(Example("two faults", breaks), 2_400, SEED, 1_500)))
    first, second = by_incident(found).values()
    assert (first[0].fault, second[0].fault) == ("unit_change", "missing_values")
    assert statuses(first)[-1] is statuses(second)[-1] is Status.RESOLVED
    assert first[-1].rows < 1_800 < second[0].rows


def test_a_second_fault_while_the_first_one_lasts_is_an_incident_of_its_own() -> None:
    def breaks(row: Row, i: int) -> Row:
        row = change(lambda v, j: v / 1_000, "income")(row, i)  # type: ignore[assignment]
        return fill(None, "region", share=0.3)(row, i) if i >= 900 else row  # type: ignore[return-value]

    found = list(said(learnt(SEED).pipeline(), broken(Example("one more fault", breaks), 1_800, SEED)))
    first, second = by_incident(found).values()
    assert (first[0].fault, second[0].fault) == ("unit_change", "missing_values")
    assert second[0].features == {"region"}
    assert Status.RESOLVED not in statuses(found)


@pytest.mark.parametrize("behind_s", [300, 900])
def test_a_wrong_clock_is_told_beside_another_fault_of_the_same_rows(behind_s: int) -> None:
    """By its clock delays of labels grow, without being late, and an onset told by them lies before the first broken row."""

    def breaks(row: Row, i: int) -> Row:
        row = fill(None, "region", share=0.3)(row, i)  # type: ignore[assignment]
        return row | {"timestamp": row["timestamp"] - 1_000 * behind_s} if row["replica"] == "pod-2" else row

    found = list(said(learnt(SEED).pipeline(), broken(Example("a clock and nulls", breaks), 2_000, SEED)))
    clock, nulls = sorted(by_incident(found).values(), key=lambda one: one[0].fault)
    assert {one.fault for one in clock} == {"clock_skew"}
    assert {one.fault for one in nulls} == {"missing_values"}


def test_a_fault_that_explains_what_was_told_before_it_began_is_told_by_itself() -> None:
    """Its own alarm is new: as an update of the first incident it would have that one's onset, and end with it."""
    misaligned = lagged("balance", 1)

    def breaks(row: Row, i: int) -> Row:
        row = misaligned(row, i)  # type: ignore[assignment]
        return fill(None, "balance", share=0.3)(row, i) if i >= 900 else row  # type: ignore[return-value]

    found = list(said(learnt(SEED).pipeline(), broken(Example("two faults", breaks), 1_800, SEED)))
    opened = [one for one in found if one.diagnosis.status is Status.OPENED]
    assert [one.fault for one in opened] == ["misaligned_feature", "missing_values"]
    assert opened[1].rows > 900


# -- what follows is no news -------------------------------------------------------------------------------------


def test_labels_that_come_after_an_incident_is_over_open_no_second_one() -> None:
    """Labels take fifty minutes: the losses of the broken time arrive when the incident has long been resolved."""
    late_ms = 3_000_000

    def breaks(row: Row, i: int) -> Row:
        row["label"]["timestamp"] += late_ms
        if i < 400:
            row["features"]["income"] /= 1_000
        return row

    # The healthy rows have late labels too, so that their delay is no news: a world of its own.
    rows = [breaks(row, 400) for row in world.healthy_rows(SEED, 7_000)]
    rows += list(world.breaking(Example("", lambda row, i: breaks(row, i)), 7_000, 12_500, SEED))[7_000:]
    pipeline, start = Pipeline(DEFAULTS, "events", 0), 7_000
    events = world.to_wire(rows)
    # After the last prediction labels still come for a while: then it is rightly told that predictions have stopped.
    everything = list(said(pipeline, records(events)))
    found = [one for one in everything if one.rows < len(rows)]
    assert [one.fault for one in everything[len(found) :]] == ["traffic_change"]
    assert {one.fault for one in found} == {"unit_change"}, [one.diagnosis.summary for one in found]
    assert statuses(found)[-1] is Status.RESOLVED
    assert start < found[0].rows < found[-1].rows < start + 400 + late_ms / 1_000


# -- what is published -------------------------------------------------------------------------------------------


@cache
def lives() -> tuple[tuple[Said, ...], ...]:
    """The incidents of every example above."""
    found = [life(says, SHORT, 1_500) for says in ABRUPT] + [life(says, LONG, 0) for says in PARTIAL]
    return tuple(tuple(one) for said in found for one in by_incident(said).values())


def test_sequence_numbers_have_no_gaps_and_statuses_their_order() -> None:
    updates = 0
    for one in lives():
        assert [said.diagnosis.sequence for said in one] == list(range(1, len(one) + 1))
        assert statuses(one)[0] is Status.OPENED
        middle = statuses(one)[1:-1] if statuses(one)[-1] is Status.RESOLVED else statuses(one)[1:]
        assert set(middle) <= {Status.UPDATED}
        updates += len(middle)
    assert updates > 5


def test_updates_are_apart_by_the_interval_unless_severity_rises() -> None:
    order = list(Severity)
    close = 0
    for one in lives():
        for before, after in pairwise(one):
            if after.diagnosis.status is Status.UPDATED:
                rises = order.index(after.diagnosis.severity) > order.index(before.diagnosis.severity)
                # Rows come one a second, give or take.
                is_close = (after.rows - before.rows) * 1_000 < 0.8 * DEFAULTS.update_interval_ms
                close += is_close
                assert rises or not is_close, after.diagnosis.summary
    assert close, "no severity rose early: the exception is not tested"


def test_ids_are_the_same_on_every_run_and_unique_within_one() -> None:
    def breaks(row: Row, i: int) -> Row:
        return both(fill(None, "income", share=0.5), change(lambda v, j: v.upper(), "region"))(row, i)  # type: ignore[return-value]

    def once() -> list[Said]:
        return list(said(learnt(SEED).pipeline(), broken(Example("two at once", breaks), 300, SEED)))

    first = once()
    assert len(by_incident(first)) == 2
    assert first == once()


def test_an_incident_says_when_it_began_was_seen_and_was_over_in_that_order() -> None:
    found = life("income arrives in thousands", SHORT, 1_500)
    onset_ms = world.healthy_rows(SEED, LEARNT + 1)[-1]["timestamp"]
    one = found[-1].diagnosis
    assert one.resolved_at is not None
    assert abs(_ms(one.onset_at) - onset_ms) < 60_000
    assert _ms(one.onset_at) < _ms(one.detected_at) < _ms(one.resolved_at)


def test_a_world_that_lastingly_errs_is_one_incident() -> None:
    def breaks(row: Row, i: int) -> Row:
        return turn(lambda y, f, j: "good" if y == "bad" and scatter(j) < 0.9 else "bad")(row, i)  # type: ignore[return-value]

    found = list(said(learnt(SEED).pipeline(), broken(Example("outcomes turn", breaks), 2_500, SEED)))
    assert {one.fault for one in found} == {"concept_drift"}
    assert len(by_incident(found)) == 1


# -- a model that is asked at night, and told what came true in the evening --------------------------------------------


_NIGHTLY, _NIGHTS, _LABELS_AFTER_MS = 1_200, 5, 16 * 3_600_000


@cache
def nightly(turned_on: int) -> tuple[Said, ...]:
    """What is said of nights of 1,200 predictions, a second apart, whose labels come 16 hours later; of one they are turned."""
    events: list[Row] = []
    for place, row in enumerate(world.healthy_rows(SEED, _NIGHTS * _NIGHTLY)):
        night, number = divmod(place, _NIGHTLY)
        at_ms = world.START_MS + night * DAY_MS + number * 1_000
        label = dict(row["label"]) | {"timestamp": at_ms + _LABELS_AFTER_MS}
        if night == turned_on:
            label["actual"] = {"good": "bad", "bad": "good"}[label["actual"]]
        events += [{name: value for name, value in row.items() if name != "label"} | {"timestamp": at_ms}, label]
    events.sort(key=lambda event: int(event["timestamp"]))
    return tuple(said(Pipeline(DEFAULTS, "events", 0), records(events)))


def test_what_the_labels_of_a_night_show_is_told_though_no_prediction_comes_and_nights_are_no_news() -> None:
    found = by_incident(nightly(3))
    stopped, turned = sorted(found.values(), key=lambda one: one[0].diagnosis.detected_at)
    assert stopped[0].diagnosis.causes[0].fault is Fault.TRAFFIC_CHANGE
    assert stopped[-1].diagnosis.status is Status.RESOLVED
    assert turned[0].diagnosis.causes[0].family in (Family.CONCEPT_DRIFT, Family.LABEL_SHIFT)
    labels_ms = world.START_MS + 3 * DAY_MS + _LABELS_AFTER_MS
    assert 0 < turned[0].diagnosis.detected_at - labels_ms < 5 * 60_000


def test_a_model_asked_at_night_is_told_to_have_stopped_once() -> None:
    assert [one.diagnosis.causes[0].fault for one in nightly(-1)] == [Fault.TRAFFIC_CHANGE] * 2
