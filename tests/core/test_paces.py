"""Latencies of replicas beside each other: a slow one is found and named, a fast one or other hardware is no degradation."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from whydrift.core.case import Aligned, AlignedRows, Case, Dimension, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.exhibits import exhibit
from whydrift.core.faults import error_surge, latency_degradation
from whydrift.core.faults.paces import odd_pace
from whydrift.core.faults.rule import Proposal
from whydrift.core.picture import Onset, picture
from whydrift.core.profile import Profile, read_profile, write_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Record
from whydrift.core.reference import ColumnReference, learn_column
from whydrift.core.replicas import LATENCY, ReplicaWatch, Usual, code_of, learn_usual
from whydrift.core.state import pack, unpack
from whydrift.core.version import VersionWatch
from whydrift_schemas import RuledOut, Status

from .small_world import MODEL_ID, SETTINGS, Event, Feed, at_ms, command, diagnoses, events, faults

MARGIN, CHUNK = 0.2, 20
PODS = ("pod-1", "pod-2", "pod-3")
COLUMN = Column("latency", Kind.NUMERIC)
Times = Mapping[str, float]
"""How many times as long the calls of a replica take; 1 where it is not there."""


# -- evidence ----------------------------------------------------------------------------------------------------


def _drawn(draw: np.random.Generator, rows: int, times: Times) -> tuple[list[str], Floats]:
    """Replica of each row, and decimal logarithm of its latency."""
    who = [PODS[int(draw.integers(3))] for _ in range(rows)]
    usual = 3 * np.exp(0.3 * draw.normal(size=rows))
    return who, np.log10(usual * [times.get(pod, 1.0) for pod in who])


def _learnt(times: Times, rows: int = 2_000, seed: int = 1) -> tuple[ReplicaWatch, ColumnReference]:
    """After health in which replicas take so long."""
    who, values = _drawn(np.random.default_rng(seed), rows, times)
    watch = ReplicaWatch(MARGIN, LATENCY)
    watch.learn(np.array([code_of(pod) for pod in who], np.int64), values[:, None])
    return watch, learn_column(COLUMN, values, np.zeros(rows, np.int8))


def _feed(watch: ReplicaWatch, reference: ColumnReference, rows: int, times: Times, start: int = 0) -> int | None:
    """Rows until the first alarm; None where there is none."""
    for first in range(start, start + rows, CHUNK):
        who, values = _drawn(np.random.default_rng((2, first)), CHUNK, times)
        watch.update(who, reference.bins(COLUMN, values)[:, None], (reference,), (1_000 * first, first))
        if watch.alarms:
            return first + CHUNK - start
    return None


def test_a_replica_that_takes_a_seventh_longer_is_told_and_has_most_evidence() -> None:
    watch, reference = _learnt({})
    assert (_feed(watch, reference, 4_000, {"pod-2": 1.15}) or 9_999) < 3_500
    levels = watch.levels()
    assert max(levels, key=lambda name: levels[name]) == "replica.pod-2.latency"
    assert [one.signal for one in watch.evidence()] == ["replica.pod-2.latency"]


def test_healthy_replicas_raise_no_alarm() -> None:
    assert _feed(*_learnt({}), 20_000, {}) is None


def test_what_slows_all_replicas_is_none_of_theirs() -> None:
    watch, reference = _learnt({})
    for start in range(0, 6_000, 1_000):
        assert _feed(watch, reference, 1_000, dict.fromkeys(PODS, 1 + start / 2_000), start) is None


def test_replicas_that_are_unlike_in_health_are_not_compared() -> None:
    watch, reference = _learnt({"pod-2": 1.2})
    assert watch.usual is not None
    assert not watch.usual.is_even
    assert _feed(watch, reference, 3_000, {"pod-2": 3.0}) is None


@pytest.mark.parametrize("seed", range(3))
def test_what_they_differ_by_in_health_is_no_news_later(seed: int) -> None:
    """A difference that health is too short to make sure of."""
    times = {"pod-2": 1.06}
    watch, reference = _learnt(times, 700, seed)
    assert _feed(watch, reference, 20_000, times) is None


def test_health_of_latencies_has_shapes_of_one_column() -> None:
    who, values = _drawn(np.random.default_rng(3), 900, {})
    codes = np.array([code_of(pod) for pod in who], np.int64)
    found = learn_usual(codes, values[:, None], MARGIN, LATENCY)
    assert found is not None
    again = Usual.restore(found.snapshot(), LATENCY)
    assert (again.margin, again.times.tolist()) == (found.margin, found.times.tolist())
    with pytest.raises(ValueError, match="replicas"):
        Usual.restore(found.snapshot())


def test_while_a_replica_is_slow_nothing_is_learnt_of_them() -> None:
    watch, reference = _learnt({})
    _feed(watch, reference, 3_000, {"pod-2": 1.5})
    before = watch.usual
    watch.learn(np.full(100, -1, np.int64), np.zeros((100, 1)))
    assert watch.usual is before


def test_a_restart_at_any_row_changes_nothing() -> None:
    times = {"pod-2": 1.3}
    (whole, reference), (parts, _) = _learnt({}), _learnt({})
    for start in range(0, 980, 140):
        _feed(whole, reference, 140, times, start)
        _feed(parts, reference, 140, times, start)
        parts = ReplicaWatch.restore(MARGIN, unpack("state", pack("state", parts.snapshot())), LATENCY)
    assert whole.levels() == parts.levels()
    assert list(whole.alarms) == list(parts.alarms) == ["replica.pod-2.latency"]


def test_who_may_differ_still_may_when_latency_is_learnt_anew() -> None:
    watch, reference = _learnt({})
    _feed(watch, reference, 3_000, {"pod-2": 1.5})
    watch.accept(["replica.pod-2.latency"])
    fresh = watch.anew()
    assert _feed(fresh, reference, 3_000, {"pod-2": 1.5}, 3_000) is None
    assert fresh.levels().keys() == {"replica.pod-1.latency", "replica.pod-3.latency"}


# -- who it is ---------------------------------------------------------------------------------------------------


@cache
def _healthy() -> Case:
    fed = Feed()
    fed(events(0, 700))
    model = fed.pipeline._models[MODEL_ID]
    return picture(model, model.versions[model.main_version], Onset(at_ms(600), None), at_ms(700))


def _rows(seed: int, rows: int, pods: Sequence[str], times: Times, errors: Floats | None = None) -> AlignedRows:
    draw = np.random.default_rng(seed)
    codes = draw.integers(len(pods), size=rows).astype(float)
    slow = np.array([times.get(pods[int(code)], 1.0) for code in codes])
    latency = np.log10(5 * np.exp(0.3 * draw.normal(size=rows)) * slow)
    outputs = {"latency": latency, "errors": np.zeros(rows) if errors is None else errors}
    return AlignedRows(np.arange(rows), {}, outputs, {"replica": Dimension(codes, tuple(pods))})


def _case(
    now: Times,
    before: Times | None = None,
    pods: Sequence[str] = PODS,
    alarms: Mapping[str, float] | None = None,
    health_rows: int = 500,
) -> Case:
    """alarms: evidence on replicas; that of all by default, as much."""
    levels = dict.fromkeys(pods, 8.0) if alarms is None else alarms
    paces = tuple(
        SignalEvidence(f"replica.{pod}.latency", f"replica.{pod}", "latency", level, 6.0, at_ms(600), is_alarmed=True)
        for pod, level in levels.items()
    )
    rows = Aligned(_rows(4, health_rows, pods, before or {}), _rows(5, 600, pods, now))
    return replace(_healthy(), paces=paces, answered=rows)


def _said(case: Case) -> Proposal | RuledOut:
    (found,) = latency_degradation.examine(case)
    return found


def _named(case: Case) -> str | None:
    found = _said(case)
    return found.replica if isinstance(found, Proposal) else None


def test_the_slow_one_of_three_is_named_with_both_medians() -> None:
    found = _said(_case({"pod-2": 1.5}))
    assert isinstance(found, Proposal)
    assert (found.replica, found.fit) == ("pod-2", 0.95)
    assert found.headline.startswith("calls of pod-2 take 1.")
    assert "times as long as those of the other replicas (median 7." in found.headline
    assert found.explains == {f"replica.{pod}.latency" for pod in PODS}


@pytest.mark.parametrize("slow", ["pod-1", "pod-2"])
def test_of_two_it_is_the_one_that_is_slower_than_in_health(slow: str) -> None:
    assert _named(_case({slow: 1.4}, pods=PODS[:2])) == slow


@pytest.mark.parametrize("pods", [PODS, PODS[:2]])
def test_a_replica_that_has_become_faster_is_no_degradation_of_any(pods: Sequence[str]) -> None:
    found = _said(_case({"pod-2": 0.7}, pods=pods))
    assert isinstance(found, RuledOut)
    assert found.because.startswith("pod-2 has become faster than the other replicas")


def test_a_replica_that_did_not_slow_down_with_the_others_under_load_is_not_named_nor_are_they() -> None:
    found = _said(_case({"pod-1": 1.4, "pod-2": 1.4}))
    assert isinstance(found, RuledOut)
    assert found.because.startswith("pod-3")


def test_the_slowest_under_a_load_that_slows_all_is_named() -> None:
    assert _named(_case({"pod-1": 1.2, "pod-2": 2.0, "pod-3": 1.2})) == "pod-2"


def test_each_replica_is_held_against_its_own_health() -> None:
    """pod-1 was slower before it was compared; pod-2 is now."""
    assert _named(_case({"pod-1": 1.5, "pod-2": 1.5}, {"pod-1": 1.5})) == "pod-2"


def test_two_slow_ones_of_five_are_both_told_and_none_is_the_replica() -> None:
    pods = [*PODS, "pod-4", "pod-5"]
    found = _said(_case({"pod-2": 2.0, "pod-4": 2.0}, pods=pods))
    assert isinstance(found, Proposal)
    assert found.replica is None
    assert found.headline.startswith("calls of pod-2 and pod-4 take")


def test_of_a_replica_whose_slowest_calls_only_are_slower_these_are_told() -> None:
    case = _case({})
    now = case.answered.current
    slow = (now.dimensions["replica"].codes == 1) & (np.arange(len(now)) % 6 == 0)
    outputs = {**now.outputs, "latency": now.outputs["latency"] + slow}
    found = _said(replace(case, answered=Aligned(case.answered.reference, replace(now, outputs=outputs))))
    assert isinstance(found, Proposal)
    assert found.replica == "pod-2"
    assert found.headline.startswith("the slowest calls of pod-2 have become slower: 1")


def test_where_the_calls_at_hand_do_not_show_it_the_evidence_names_it_less_surely() -> None:
    found = _said(_case({"pod-2": 1.05}, alarms={"pod-1": 6.5, "pod-2": 7.0}))
    assert isinstance(found, Proposal)
    assert (found.replica, found.fit) == ("pod-2", 0.8)


def test_without_rows_of_health_all_of_health_is_what_was_usual() -> None:
    assert _named(_case({"pod-2": 1.5}, health_rows=0)) == "pod-2"


def test_without_calls_at_hand_or_an_alarm_nobody_is_named() -> None:
    case = _case({"pod-2": 1.5})
    assert odd_pace(replace(case, paces=())) is None
    assert odd_pace(_case({"pod-2": 1.5}, alarms={"pod-9": 8.0})) is None
    assert odd_pace(replace(case, answered=Aligned(case.answered.reference, _rows(5, 9, PODS, {})))) is None


def test_slow_calls_that_failed_are_left_to_their_failure() -> None:
    """A third of pod-2's calls fails, after five times as long."""
    case = _case({})
    now = case.answered.current
    failed = (now.dimensions["replica"].codes == 1) & (np.arange(len(now)) % 3 == 0)
    outputs = {"latency": now.outputs["latency"] + failed * np.log10(5), "errors": failed.astype(float)}
    views = {
        name: replace(case.outputs[name], current_values=outputs[name], current_presence=np.zeros(len(now), np.int8))
        for name in outputs
    }
    views["errors"] = replace(
        views["errors"],
        signals={"unseen": SignalEvidence("errors.unseen", "errors", "unseen", 9.0, 6.0, at_ms(600), is_alarmed=True)},
    )
    case = replace(
        case,
        answered=Aligned(case.answered.reference, replace(now, outputs=outputs)),
        outputs={**case.outputs, **views},
    )
    assert isinstance(_said(case), RuledOut)
    (surge,) = error_surge.examine(case)
    assert isinstance(surge, Proposal)
    assert {one.signal for one in case.paces} <= surge.explains


def test_its_evidence_tells_both_medians_and_the_bare_change_where_there_are_none() -> None:
    case = _case({"pod-2": 1.5})
    shown = exhibit(case, case.paces[1])
    assert shown.reference.keys() == {"others_median_ms"}
    assert shown.effect.startswith("median 7.")
    none = replace(case, answered=Aligned(case.answered.reference, _rows(5, 9, PODS, {})))
    assert exhibit(none, none.paces[1]).effect == "calls take another time than those of the other replicas"


# -- the whole pipeline ------------------------------------------------------------------------------------------


def _pods(times: Times, pods: Sequence[str] = PODS) -> Callable[[Event, int], None]:
    def answered(event: Event, i: int) -> None:
        event["replica"] = pods[int(np.random.default_rng((11, i)).integers(len(pods)))]
        event["latency_ms"] = round(event["latency_ms"] * times.get(event["replica"], 1.0), 3)

    return answered


def _fed(rows: int, times: Times) -> Feed:
    fed = Feed()
    assert faults(fed(events(0, rows, answers=_pods(times)))) == []
    return fed


def _version(fed: Feed) -> VersionWatch:
    model = fed.pipeline._models[MODEL_ID]
    return model.versions[model.main_version]


def test_an_incident_names_the_slow_replica_and_a_restart_changes_nothing() -> None:
    whole = _fed(900, {})
    again = whole.copy()
    said = []
    for start in range(900, 2_100, 300):
        later = list(events(start, start + 300, answers=_pods({"pod-2": 1.4})))
        one = diagnoses(whole(later))
        assert one == diagnoses(again(later))
        again = again.copy()
        said += one
    first = said[0]
    assert first.status is Status.OPENED
    assert (first.causes[0].fault.value, first.causes[0].replica) == ("latency_degradation", "pod-2")
    assert len({one.incident_id for one in said}) == 1
    # Accepted, it is compared no more.
    after = [command("accept", 2_100, incident_id=first.incident_id)]
    closed = diagnoses(whole([*after, *events(2_100, 3_000, answers=_pods({"pod-2": 1.4}))]))
    assert [one.status for one in closed] == [Status.RESOLVED]


def test_when_everything_is_learnt_anew_all_replicas_go_on_being_compared() -> None:
    fed = _fed(900, {})
    fed([command("relearn", 900), *events(900, 1_000, answers=_pods({}))])
    fed(events(1_000, 1_700, answers=_pods({})))
    assert _version(fed).paces.levels().keys() == {f"replica.{pod}.latency" for pod in PODS}


def test_replicas_on_other_hardware_open_no_incident() -> None:
    times = {"pod-2": 1.5}
    fed = _fed(2_000, times)
    usual = _version(fed).paces.usual
    assert usual is not None
    assert not usual.is_even


def test_a_state_from_before_latencies_were_compared_begins_anew() -> None:
    version = _version(_fed(700, {}))
    state, references = version.snapshot(), version.snapshot_references()
    del state["paces"]
    old = VersionWatch.restore(SETTINGS, version.inputs, state, references)
    assert (old.paces.usual, old.paces.levels()) == (None, {})
    assert old.replicas.levels() == version.replicas.levels()


def test_a_profile_holds_what_is_usual_and_one_from_before_has_none() -> None:
    profiler = Profiler(SETTINGS)
    values = [json.dumps(event).encode() for event in events(0, 700, answers=_pods({}))]
    profiler.add([Record("events", 0, i, value, timestamp_ms=None) for i, value in enumerate(values)])
    (profile,) = read_profile(profiler.finish()).values()
    assert profile.paces is not None
    (again,) = read_profile(write_profile({MODEL_ID: profile})).values()
    assert again.paces is not None
    assert again.paces.margin == profile.paces.margin
    state = dict(profile.snapshot())
    del state["paces"]
    assert Profile.restore(state).paces is None
