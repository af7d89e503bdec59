"""Histories are bounded, span everything, keep peaks and means, and survive a restart."""

import itertools

import numpy as np
import pytest

from whydrift.core.history import LEVELS, MOST_POINTS, Means, Trail
from whydrift.core.state import pack, unpack

LAST_STEP = 2 ** (LEVELS - 1)


def trail_of(levels: list[list[float]], names: tuple[str, ...] = ("a", "b")) -> Trail:
    trail = Trail(names)
    for at_ms, row in enumerate(levels):
        trail.add(at_ms, 10.0 ** np.array(row))
    return trail


def test_few_points_are_kept_one_by_one() -> None:
    trail = trail_of([[0.5, 1.0], [2.25, -1.0], [3.0, 0.0]])
    assert trail.series("a") == [(0, 0.5), (1, 2.25), (2, 3.0)]
    assert trail.series("b") == [(0, 1.0), (1, -1.0), (2, 0.0)]
    assert trail.series("c") == []


@pytest.mark.parametrize("count", [23, 24, 25, 100, 1_000, 20_000])
def test_a_long_history_is_bounded_spans_everything_and_is_dense_at_the_end(count: int) -> None:
    series = trail_of([[1.0, 0.0]] * count).series("a")
    times = [at_ms for at_ms, _ in series]
    assert len(times) <= MOST_POINTS + 16
    assert times == sorted(times)
    assert times[-16:] == list(range(count - 16, count))
    assert times[0] <= max(LAST_STEP, count - 2_000)


def test_the_older_the_sparser_and_never_much_sparser_than_a_tenth_of_the_age() -> None:
    times = [at_ms for at_ms, _ in trail_of([[1.0, 0.0]] * 2_000).series("a")]
    gaps = [(later - earlier, 2_000 - earlier) for earlier, later in itertools.pairwise(times)]
    assert all(gap <= 1 + age / 8 for gap, age in gaps)


def test_a_peak_is_never_thinned_away() -> None:
    levels = [[0.0, 0.0] for _ in range(1_500)]
    levels[123] = [7.5, 0.0]
    assert max(level for _, level in trail_of(levels).series("a")) == 7.5


def test_no_evidence_yet_is_no_point_and_the_greatest_is_within_bounds() -> None:
    trail = Trail(("a",))
    for value in (0.0, 1e200, np.inf, 1e-300):
        trail.add(1, np.array([value]))
    assert [level for _, level in trail.series("a")] == [200.0, 300.0]


def test_signals_that_stay_keep_their_past_when_others_come_and_go() -> None:
    trail = trail_of([[1.0, 2.0]] * 10)
    trail.arrange(["c", "b"])
    trail.add(10, np.array([10.0, 1_000.0]))
    assert trail.series("a") == []
    assert trail.series("b") == [(at, 2.0) for at in range(10)] + [(10, 3.0)]
    assert trail.series("c") == [(10, 1.0)]


@pytest.mark.parametrize("count", [0, 3, 100, 1_001])
def test_a_restart_is_not_visible(count: int) -> None:
    rows = [[float(i % 7), 0.0] for i in range(count + 200)]
    one = trail_of(rows[:count])
    other = Trail.restore(unpack("trail", pack("trail", one.snapshot())))
    for at_ms, row in enumerate(rows[count:]):
        for trail in (one, other):
            trail.add(count + at_ms, 10.0 ** np.array(row))
    assert pack("trail", one.snapshot()) == pack("trail", other.snapshot())


def test_means_are_those_of_all_that_became_one_point() -> None:
    means = Means()
    for at_ms in range(2_000):
        means.add(at_ms, 2.0 * at_ms, 2)
    series = means.series()
    assert len(series) <= MOST_POINTS
    assert [at_ms for at_ms, _ in series[-10:]] == list(range(1_990, 2_000))
    first, second = series[:2]
    assert second[0] - first[0] == 64
    assert second[1] == pytest.approx((first[0] + 1 + second[0]) / 2)
    assert Means.restore(means.snapshot()).snapshot() == means.snapshot()
