"""Laws of the bets that compare two samples: none gains where both are of one distribution, nor within the tolerance."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from whydrift.core.detectors.paired import STAKES, WIDTHS, differences, legendre, paired_log_e

GRID = legendre((np.arange(24) + 0.5) / 24)
"""Shapes of evenly spaced ranks: (ranks, shapes)."""
MASSES = st.lists(st.floats(0, 1), min_size=24, max_size=24).map(np.array)
TOLERANCES = st.floats(0.0, 0.5)


def expectation(mine: np.ndarray, theirs: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """E f of each bet over all pairs of ranks."""
    found = (GRID[:, None, :] - GRID[None, :, :]).reshape(-1, GRID.shape[1])
    f = np.exp(np.stack([paired_log_e(one[None, :], tolerance, WIDTHS) for one in found]))
    result: np.ndarray = np.outer(mine, theirs).ravel() @ f
    return result


@given(MASSES, TOLERANCES)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_bet_gains_where_both_are_of_one_distribution(masses: np.ndarray, tolerance: float) -> None:
    assume(masses.sum() > 0)
    p = masses / masses.sum()
    assert (expectation(p, p, np.full(3, tolerance)) <= 1 + 1e-9).all()


@given(MASSES, MASSES)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_bet_gains_within_the_tolerance(first: np.ndarray, second: np.ndarray) -> None:
    assume(first.sum() > 0 and second.sum() > 0)
    mine, theirs = first / first.sum(), second / second.sum()
    apart = np.abs(mine @ GRID - theirs @ GRID)
    assert (expectation(mine, theirs, apart) <= 1 + 1e-9).all()


def test_some_bet_gains_once_the_difference_is_beyond_the_tolerance() -> None:
    even, high = np.full(24, 1 / 24), np.where(np.arange(24) < 12, 0.6, 1.4) / 24
    assert expectation(high, even, np.full(3, 0.05)).max() > 1.005


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_groups_are_as_many_as_the_smaller_side_has_values_and_no_bet_loses_more_than_its_stake(
    mine: int, theirs: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    found = differences(legendre(draw.random(mine)), legendre(draw.random(theirs)))
    assert found.shape == (min(mine, theirs), 3)
    log_e = paired_log_e(found, np.full(3, 0.02), WIDTHS)
    assert (log_e >= len(found) * np.log(1 - max(STAKES)) - 1e-9).all()


def test_differences_of_what_is_the_same_are_none() -> None:
    values = legendre(np.full(12, 0.3))
    assert np.abs(differences(values, values[:5])).max() < 1e-12
