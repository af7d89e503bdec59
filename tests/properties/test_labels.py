"""Laws of the label join and of performance: a restart is invisible, memory is bounded, every label is accounted for."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.labels import Answer, Joined, LabelJoin
from whydrift.core.performance import Performance, Task
from whydrift.core.state import pack, unpack

TTL_MS = 50
CAPACITY = 6

_ids = st.integers(0, 60).map(lambda i: f"event-{i}")
_times = st.integers(0, 300)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("prediction"), _ids, _times),
        st.tuples(st.just("label"), _ids, _times, st.sampled_from(["approve", "deny", 0, 1.5])),
        st.tuples(st.just("expire"), _times),
    ),
    max_size=150,
)


def take(join: LabelJoin, step: tuple[Any, ...]) -> object:
    match step:
        case ("prediction", event_id, at_ms):
            return join.add_prediction(event_id, at_ms, Answer("v1", label="approve", score=at_ms / 300))
        case ("label", event_id, at_ms, actual):
            return join.add_label(event_id, at_ms, actual, None)
        case _:
            return join.expire(step[1])


@given(_steps, st.data())
@settings(max_examples=150, deadline=None)
def test_a_join_resumed_at_any_step_goes_on_as_if_it_had_never_stopped(
    steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(steps)))
    whole, join = LabelJoin(CAPACITY, TTL_MS), LabelJoin(CAPACITY, TTL_MS)
    expected = [take(whole, step) for step in steps]
    found = [take(join, step) for step in steps[:cut]]
    join = LabelJoin.restore(CAPACITY, TTL_MS, unpack("join", pack("join", join.snapshot())))
    found += [take(join, step) for step in steps[cut:]]
    assert found == expected
    assert pack("join", join.snapshot()) == pack("join", whole.snapshot())


@given(_steps)
@settings(max_examples=150, deadline=None)
def test_memory_is_bounded_and_every_label_is_accounted_for_after_every_step(steps: list[tuple[Any, ...]]) -> None:
    join = LabelJoin(CAPACITY, TTL_MS)
    for step in steps:
        take(join, step)
        counts = join.counts
        assert join.waiting_for_label <= CAPACITY
        assert join.waiting_for_prediction <= CAPACITY
        assert counts.labels == (
            counts.labels_joined
            + counts.labels_duplicate
            + counts.labels_conflicting
            + counts.labels_expired
            + counts.labels_outside_sample
            + join.waiting_for_prediction
        )


@given(_steps)
@settings(max_examples=100, deadline=None)
def test_an_event_is_joined_once_and_only_within_the_time_to_live(steps: list[tuple[Any, ...]]) -> None:
    join = LabelJoin(1_000, TTL_MS)
    joined = [(step[1], found) for step in steps if isinstance(found := take(join, step), Joined)]
    assert all(abs(found.label_ms - found.prediction_ms) <= TTL_MS for _, found in joined)
    assert len({event_id for event_id, _ in joined}) == len(joined)


_numbers = st.one_of(st.floats(), st.floats(0, 1), st.integers(-3, 3))
_answers = st.builds(
    Answer,
    st.just("v1"),
    st.sampled_from([None, "a", "b", "c"]),
    st.one_of(st.none(), st.floats(0, 1), st.floats()),
    st.one_of(st.none(), _numbers),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b", "c"]), st.one_of(st.floats(0, 1), st.floats()))),
)
_actuals = st.one_of(st.sampled_from(["a", "b", "c"]), _numbers, st.booleans())
_joined = st.builds(Joined, _answers, _times, _times, _actuals, st.none())


@pytest.mark.parametrize("task", [None, "regression", "binary", "multiclass"])
@given(joined=st.lists(_joined, max_size=60), data=st.data())
@settings(max_examples=60, deadline=None)
def test_performance_takes_whatever_is_joined_and_resumes_exactly(
    task: Task | None, joined: list[Joined], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(joined)))
    whole, part = Performance(task, 20), Performance(task, 20)
    expected = [whole.update(event) for event in joined]
    found = [part.update(event) for event in joined[:cut]]
    part = Performance.restore(unpack("p", pack("p", part.snapshot())))
    found += [part.update(event) for event in joined[cut:]]
    assert found == expected
    assert pack("p", part.snapshot()) == pack("p", whole.snapshot())
    for window in ("recent", "deployment"):
        assert repr(part.evaluate(window)) == repr(whole.evaluate(window))
