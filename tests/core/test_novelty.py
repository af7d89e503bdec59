"""Novelty of a series of aggregates: what was never there is news, once; what was there is none; memory is bounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.detectors.novelty import RESOLUTION, Novelty
from whydrift.core.state import pack, unpack

SOME = np.random.default_rng(1).uniform(0, 10, 300).tolist()


def watched(values: list[float], guard: Novelty | None = None) -> list[float | None]:
    guard = guard or Novelty()
    return [guard.update(value) for value in values]


def test_too_few_values_are_not_judged() -> None:
    told = watched(SOME)
    assert told[:50] == [None] * 50
    assert None not in told[50:]


def test_what_was_there_is_no_news_and_what_lies_beyond_is_by_its_distance() -> None:
    guard = Novelty()
    watched([*SOME, 0.0, 10.0], guard)
    assert guard.update(SOME[7]) == pytest.approx(0.0, abs=1 / RESOLUTION)
    assert guard.update(15.0) == pytest.approx(5 / 15, abs=0.01)
    assert guard.update(-1_000_000.0) == pytest.approx(1.0, abs=0.01)


def test_a_value_between_two_modes_is_new() -> None:
    guard = Novelty()
    watched([0.0, 100.0] * 100, guard)
    assert guard.update(50.0) == 0.5


def test_a_change_is_told_once_until_it_grows_or_becomes_old() -> None:
    guard = Novelty()
    watched(SOME, guard)
    assert guard.update(20.0) == pytest.approx(0.5, abs=0.02)
    assert guard.update(30.0) == 0.0  # a third of the range is less news than half of it
    assert guard.update(90.0) == pytest.approx(2 / 3, abs=0.02)
    assert watched(SOME[:20], guard) == [0.0] * 20
    assert guard.update(120.0) == pytest.approx(0.25, abs=0.01)


def test_a_season_is_known_when_it_has_been_seen() -> None:
    day = (10 + 5 * np.sin(np.arange(288) / 288 * 2 * np.pi)).tolist()
    assert max(one or 0.0 for one in watched(day * 5)[288:]) < 0.01


def test_a_constant_is_no_news_and_another_one_is() -> None:
    guard = Novelty()
    assert set(watched([7.0] * 200, guard)) == {None, 0.0}
    assert guard.update(7.5) == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.1e300])
def test_what_is_not_finite_is_refused_and_changes_nothing(value: float) -> None:
    guard = Novelty()
    watched(SOME, guard)
    before = guard.snapshot()
    with pytest.raises(ValueError, match="finite"):
        guard.update(value)
    assert guard.snapshot() == before


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=300), st.integers(0, 300))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_scores_are_shares_and_a_snapshot_through_bytes_goes_on(values: list[float], cut: int) -> None:
    whole, first = Novelty(), Novelty()
    told = watched(values, whole)
    assert all(one is None or 0 <= one <= 1 for one in told)
    head = watched(values[:cut], first)
    second = Novelty.restore(unpack("novelty", pack("novelty", first.snapshot())))
    assert head + watched(values[cut:], second) == told
    assert second.snapshot() == whole.snapshot()


def test_memory_is_bounded_while_the_range_grows_for_ever() -> None:
    guard = Novelty()
    growing = (1.001 ** np.arange(20_000)).tolist()
    for value in growing:
        guard.update(value)
        assert len(guard.values) <= 2 * RESOLUTION
    assert guard.values[0] == growing[0]
    assert guard.values[-1] == growing[-1]
    assert guard.values == sorted(guard.values)


def test_a_heavy_tail_brings_ever_fewer_records() -> None:
    """The limit, measured: values of no mean are news to a twentieth now and then, more rarely as time goes on."""
    told = watched(np.abs(np.random.default_rng(3).standard_cauchy(20_000)).tolist())
    early, late = (sum((one or 0.0) >= 0.05 for one in told[first : first + 2_000]) for first in (0, 18_000))
    assert early > late
    assert late <= 3
