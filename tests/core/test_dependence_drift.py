"""Which relations among inputs changed, and whether one input, a group of them or the world is behind it.

Belongs here: `Relations` and groups, on arrays, and what is said of inputs that go with one other only. Not here: the rules'
examples through the pipeline (`tests/conformance`).
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from whydrift.core.columns import Floats
from whydrift.core.faults.relations import ELSEWHERE_P, Relations, joined_group, related
from whydrift.core.records import Emit
from whydrift.core.settings import Settings
from whydrift_schemas import Cause, Fault

from .small_world import Feed, events

NAMES = ("a", "b", "c", "d")


def rows(n: int, seed: int) -> Floats:
    """Four inputs that all hang on one thing: (n, 4)."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 1)) + 0.7 * draw.normal(size=(n, 4))


def other_rows(values: Floats, *groups: tuple[int, ...]) -> Floats:
    """The same values; each group of columns is that of other rows, as a whole."""
    found = values.copy()
    for shift, group in enumerate(groups, start=1):
        found[:, list(group)] = np.roll(values[:, list(group)], 7 * shift, axis=0)
    return found


def seen(now: Floats) -> Relations:
    return related(NAMES, list(rows(500, 1).T), list(now.T))


@pytest.mark.parametrize("guilty", range(4))
def test_without_the_input_that_is_joined_wrongly_everything_goes_together_as_in_health(guilty: int) -> None:
    found = seen(other_rows(rows(200, 2), (guilty,)))
    assert [place for place in range(4) if found.elsewhere_p(place) >= ELSEWHERE_P] == [guilty]


def test_in_health_no_input_is_needed_to_explain_anything() -> None:
    assert all(seen(rows(200, 3)).elsewhere_p(place) >= ELSEWHERE_P for place in range(4))


def relations_of(elsewhere: float, lost: int) -> Relations:
    """Four inputs that all go together in health. Of the first one so many relations are lost; the others changed by so much."""
    z = np.full((4, 4), elsewhere)
    z[0, 1 : lost + 1] = z[1 : lost + 1, 0] = 7.0
    np.fill_diagonal(z, 0.0)
    return Relations(NAMES, np.full((4, 4), 0.6), np.zeros((4, 4)), z, z, np.eye(6))


@pytest.mark.parametrize(
    ("elsewhere", "lost", "is_all"), [(1.0, 3, True), (2.3, 3, True), (2.3, 2, False), (3.0, 3, False)]
)
def test_an_input_that_all_clearly_lost_relations_are_of_may_be_all_there_is(
    elsewhere: float, lost: int, is_all: bool
) -> None:
    assert relations_of(elsewhere, lost).may_be_all(0) is is_all


def test_of_an_input_that_goes_with_one_other_only_nothing_would_show_without_that_one() -> None:
    health, now = rows(500, 1), rows(200, 2)
    assert all(seen(now).is_told_without(place) for place in range(4))
    draw = np.random.default_rng(9)
    for values in (health, now):
        values[:, 3] = values[:, 0] + 0.7 * draw.normal(size=len(values))
        values[:, 1:3] = draw.normal(size=(len(values), 2))
    found = related(NAMES, list(health.T), list(now.T))
    assert not found.is_told_without(0)


def test_a_small_sample_without_the_few_rows_that_are_off_the_line_has_no_other_relation() -> None:
    """Of flights three in a hundred land past midnight: sixty without one make departure and landing go together as never."""
    draw = np.random.default_rng(8)
    is_late, other = draw.random(500) < 0.03, draw.uniform(0, 1, (2, 500))
    departs = np.where(is_late, draw.uniform(22, 24, 500), draw.uniform(5, 18, 500))
    health = [departs, (departs + 2 + 4 * other[0]) % 24, other[1]]
    now = [values[~is_late][:60] for values in health]
    lost = [now[0], np.roll(now[1], 7), now[2]]
    found = [related(NAMES[:3], health, one).elsewhere_p(2) for one in (now, lost)]
    assert found[0] >= ELSEWHERE_P > found[1]


def test_relations_that_hang_together_count_as_fewer() -> None:
    """Twenty inputs that all hang on one thing: a chance that moves one of their relations moves many."""
    names, draw = tuple("abcdefghijklmnopqrst"), np.random.default_rng(9)

    def columns(n: int) -> list[Floats]:
        return list((draw.normal(size=(n, 1)) + 0.7 * draw.normal(size=(n, 20))).T)

    chances = np.array([related(names, columns(500), columns(80)).elsewhere_p(0) for _ in range(60)])
    assert (chances < 0.05).mean() < 0.15
    assert (chances < 0.5).mean() == pytest.approx(0.5, abs=0.25)


def test_where_several_inputs_lost_each_other_none_of_them_explains_it() -> None:
    found = seen(other_rows(rows(200, 4), (0,), (1,), (2,)))
    assert all(found.elsewhere_p(place) < ELSEWHERE_P for place in range(4))
    assert joined_group(found) == []


def test_a_group_that_keeps_together_but_lost_all_others_is_one_source_that_is_joined_wrongly() -> None:
    assert joined_group(seen(other_rows(rows(300, 5), (2, 3)))) in (["a", "b"], ["c", "d"])


def first_causes(is_broken: NDArray[np.bool_]) -> list[Cause]:
    """Of a pair of inputs that go together, and a third one; in these rows the second one of the pair is that of another row."""
    rows, draw = len(is_broken), np.random.default_rng(3)
    a, c = draw.normal(size=(2, rows))
    b = a + 0.3 * draw.normal(size=rows)
    b[is_broken] = draw.permutation(b[is_broken])
    feed = Feed(settings=Settings(baseline_events=1_000))
    for i, (event, one, other, third) in enumerate(zip(events(0, rows, has_labels=False), a, b, c, strict=True)):
        features = {"a": round(float(one), 3), "b": round(float(other), 3), "c": round(float(third), 3)}
        answer = {"score": round(float(1 / (1 + np.exp(-third))), 3)}
        said = feed([event | {"features": features, "prediction": answer, "replica": f"pod-{i % 3}"}])
        for emit in said:
            if isinstance(emit, Emit):
                return emit.diagnosis.causes
    return []


def test_of_two_that_lost_each_other_one_is_named_first_and_that_both_are_wrong_second() -> None:
    first, second, *_ = first_causes(np.arange(1_500) >= 1_100)
    assert (first.fault, set(first.features)) == (Fault.MISALIGNED_FEATURE, {"a", "b"})
    assert (second.fault, set(second.features)) == (Fault.DEPENDENCE_DRIFT, {"a", "b"})
    assert "That one of them comes from the wrong rows would account for it as well" in second.explanation
    assert first.replica is None


def test_of_two_that_lost_each_other_on_one_replica_only_that_replica_is_named() -> None:
    rows = np.arange(2_000)
    first, *_ = first_causes((rows >= 1_100) & (rows % 3 == 2))
    assert (first.fault, first.replica) == (Fault.MISALIGNED_FEATURE, "pod-2")
