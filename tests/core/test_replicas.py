"""Replicas beside each other: an odd one is found and named, what all have in common is not, and who comes or goes is no news."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.case import SignalEvidence
from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.detectors.bets import Bets
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.exhibits import exhibit
from whydrift.core.faults.replica_disagreement import examine
from whydrift.core.faults.rule import Proposal
from whydrift.core.picture import Onset, picture
from whydrift.core.reference import ColumnReference, learn_column
from whydrift.core.replicas import MOST_REPLICAS, ReplicaWatch, Usual, code_of, learn_usual
from whydrift_schemas import Status

from .small_world import MODEL_ID, Event, Feed, at_ms, diagnoses, events, faults

MARGIN, CHUNK = 0.2, 20
PODS = ("pod-1", "pod-2", "pod-3")
COLUMNS = (Column("residual", Kind.NUMERIC), Column("standardised_residual", Kind.NUMERIC))


def _references() -> tuple[ColumnReference | None, ...]:
    values = np.random.default_rng(1).normal(size=4_000)
    return tuple(learn_column(column, values, np.zeros(4_000, np.int8)) for column in COLUMNS)


REFERENCES = _references()
Draw = Callable[[str, int, np.random.Generator], float]


def health(pod: str, i: int, draw: np.random.Generator) -> float:
    return float(draw.normal())


def odd(pod: str, i: int, draw: np.random.Generator) -> float:
    return float(draw.normal() * (1.8 if pod == "pod-2" else 1.0))


def feed(
    watch: ReplicaWatch,
    rows: int,
    values: Draw = health,
    pods: Sequence[str] = PODS,
    start: int = 0,
    *,
    goes_on: bool = False,
) -> int | None:
    """Rows until the first alarm; None where there is none. goes_on: beyond it."""
    draw = np.random.default_rng((2, start))
    for first in range(start, start + rows, CHUNK):
        who = [pods[int(draw.integers(len(pods)))] for _ in range(CHUNK)]
        found = np.array([values(pod, first + i, draw) for i, pod in enumerate(who)])
        bins = np.stack([r.bins(c, found) for r, c in zip(REFERENCES, COLUMNS, strict=True) if r is not None], axis=1)
        watch.update(who, bins, REFERENCES, (1_000 * first, first))
        if watch.alarms and not goes_on:
            return first + CHUNK - start
    return None


def even() -> ReplicaWatch:
    watch = ReplicaWatch(MARGIN)
    watch.usual = Usual(0.05, np.ones(6))
    return watch


# -- alarms ------------------------------------------------------------------------------------------------------


def test_one_odd_replica_of_three_is_told_and_it_is_the_one_with_most_evidence() -> None:
    watch = even()
    assert (feed(watch, 3_000, odd) or 9_999) < 1_500
    levels = watch.levels()
    assert max(levels, key=lambda name: levels[name]) == "replica.pod-2.residual"


def test_health_of_replicas_raises_no_alarm_with_the_smallest_margin() -> None:
    assert feed(even(), 40_000) is None


def test_what_all_replicas_have_in_common_is_none_of_theirs() -> None:
    """A drift that would move the residual of all beyond any threshold."""
    assert feed(even(), 20_000, lambda pod, i, draw: float(draw.normal() + i / 5_000)) is None


def test_a_replica_that_comes_and_goes_is_no_news() -> None:
    watch = even()
    for turn in range(10):
        pods = PODS if turn % 2 else PODS[:2]
        assert feed(watch, 1_000, pods=pods, start=1_000 * turn) is None


def test_the_evidence_on_a_replica_that_answers_nothing_stays_as_it_is() -> None:
    watch = even()
    feed(watch, 500)
    before = watch.levels()["replica.pod-3.residual"]
    feed(watch, 1_200, pods=PODS[:2], start=540)
    # The batch that was open may still hold some of its rows.
    assert abs(watch.levels()["replica.pod-3.residual"] - before) < 1.0


def test_an_alarm_ends_when_the_odd_replica_is_gone() -> None:
    watch = even()
    feed(watch, 3_000, odd)
    assert watch.alarms
    for start in range(3_000, 20_000, 1_000):
        feed(watch, 1_000, pods=("pod-1", "pod-3"), start=start, goes_on=True)
    assert not watch.alarms


def test_a_single_replica_or_rows_without_names_count_for_nothing() -> None:
    watch = even()
    feed(watch, 2_000, odd, pods=("pod-2",))
    assert (watch.signal_count, watch.levels(), watch.evidence()) == (0, {}, ())


def test_as_many_replicas_as_there_are_places_are_followed_and_a_gone_one_gives_up_its_own() -> None:
    many = [f"pod-{i}" for i in range(3 * MOST_REPLICAS)]
    watch = even()
    feed(watch, 2_000, pods=many)
    assert watch.signal_count == MOST_REPLICAS
    feed(watch, 4_000, pods=["next-1", "next-2"], start=2_000)
    assert {"replica.next-1.residual", "replica.next-2.residual"} <= watch.levels().keys()
    assert watch.signal_count == MOST_REPLICAS


def test_an_accepted_replica_is_compared_no_more_and_nobody_with_it() -> None:
    watch = even()
    feed(watch, 3_000, odd)
    watch.accept(["replica.pod-2.residual", "nothing of ours"])
    assert not watch.alarms
    assert feed(watch, 6_000, odd, start=3_000) is None
    assert watch.levels().keys() == {"replica.pod-1.residual", "replica.pod-3.residual"}


def test_a_restart_at_any_row_changes_nothing() -> None:
    whole, parts = even(), even()
    for start in range(0, 1_400, 140):
        feed(whole, 140, odd, start=start)
        feed(parts, 140, odd, start=start)
        parts = ReplicaWatch.restore(MARGIN, parts.snapshot())
    assert whole.levels() == parts.levels()
    assert list(whole.alarms) == list(parts.alarms)


def test_a_state_from_before_replicas_were_compared_begins_anew() -> None:
    assert ReplicaWatch.restore(MARGIN, None).levels() == {}


def test_signals_that_a_chunk_says_nothing_of_stay_as_they_are() -> None:
    process = EvidenceProcess([Bets(np.eye(1), np.ones(1))] * 2)
    process.forget_recent(1)
    process.update(np.array([[1.0], [1.0]]), 0, 0, told=np.array([True, False]))
    assert process.values().tolist() == [pytest.approx(np.e), 0.0]
    assert process.recent_log10(1) == -np.inf


# -- what health shows of them ---------------------------------------------------------------------------------------


def _codes(rows: int, draw: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([code_of(PODS[int(draw.integers(3))]) for _ in range(rows)], np.int64)


def _pair(values: Floats) -> Floats:
    return np.stack([values, values], axis=1)


def test_replicas_that_are_asked_the_same_are_compared_with_a_small_margin() -> None:
    draw = np.random.default_rng(3)
    found = learn_usual(_codes(4_000, draw), _pair(draw.normal(size=4_000)), MARGIN)
    assert found is not None
    assert found.is_even
    assert found.margin == pytest.approx(MARGIN / 4, rel=0.01)


def test_few_rows_of_health_allow_no_small_margin() -> None:
    draw = np.random.default_rng(3)
    found = learn_usual(_codes(200, draw), _pair(draw.normal(size=200)), MARGIN)
    assert found is not None
    assert MARGIN / 4 < found.margin <= MARGIN


def test_replicas_that_are_asked_otherwise_in_health_are_not_compared() -> None:
    draw = np.random.default_rng(3)
    codes = _codes(4_000, draw)
    values = draw.normal(size=4_000) + 0.4 * (codes == code_of("pod-2"))
    found = learn_usual(codes, _pair(values), MARGIN)
    assert found is not None
    assert not found.is_even
    watch = ReplicaWatch(MARGIN)
    watch.usual = found
    assert feed(watch, 3_000, odd) is None


def test_health_with_one_replica_or_none_shows_nothing() -> None:
    draw = np.random.default_rng(3)
    values = _pair(draw.normal(size=500))
    assert learn_usual(np.full(500, code_of("pod-1")), values, MARGIN) is None
    assert learn_usual(np.full(500, code_of(None)), values, MARGIN) is None
    assert learn_usual(_codes(500, draw), np.full((500, 2), np.nan), MARGIN) is None


def test_what_health_showed_survives_and_a_damaged_one_is_refused() -> None:
    state = Usual(0.05, np.ones(6)).snapshot()
    assert Usual.restore(state).snapshot().keys() == state.keys()
    for damaged in ({"times": np.ones(5)}, {"times": np.zeros(6)}, {"margin": -1.0}):
        with pytest.raises(ValueError, match="replicas"):
            Usual.restore(state | damaged)


# -- the whole pipeline ----------------------------------------------------------------------------------------------


def _pods(is_odd: bool) -> Callable[[Event, int], None]:
    def answered(event: Event, i: int) -> None:
        event["replica"] = PODS[int(np.random.default_rng((11, i)).integers(3))]
        if is_odd and event["replica"] == "pod-2":
            score = event["prediction"]["score"]
            noise = float(np.random.default_rng((12, i)).normal())
            score = round(min(max(score + 0.05 * noise, 0.0), 1.0), 6)
            event["prediction"] = {"label": "bad" if score >= 0.5 else "good", "score": score}

    return answered


def test_an_incident_names_the_replica_and_its_state_goes_on_after_a_restart() -> None:
    learnt = Feed()
    assert faults(learnt(events(0, 900, answers=_pods(False)))) == []
    whole, again = learnt, learnt.copy()
    later = list(events(900, 2_400, answers=_pods(True)))
    opened = diagnoses(whole(later), Status.OPENED)
    assert opened == diagnoses(again(later), Status.OPENED)
    assert [one.causes[0].fault.value for one in opened] == ["replica_disagreement"]
    assert opened[0].causes[0].replica == "pod-2"


def test_a_replica_alarm_alone_is_told_by_its_evidence() -> None:
    fed = Feed()
    fed(events(0, 1_000, answers=_pods(False)))
    model = fed.pipeline._models[MODEL_ID]
    case = picture(model, model.versions[model.main_version], Onset(at_ms(700), None), at_ms(1_000))
    assert not [one for one in examine(case) if isinstance(one, Proposal)]
    signal = SignalEvidence(
        "replica.pod-3.residual", "replica.pod-3", "residual", 9.0, 6.0, at_ms(700), is_alarmed=True
    )
    case = replace(case, replicas=(signal,))
    assert exhibit(case, signal).effect == "answers like cases otherwise than the other replicas"
    (found,) = [one for one in examine(case) if isinstance(one, Proposal)]
    assert found.replica == "pod-3"
    assert signal.signal in found.explains
