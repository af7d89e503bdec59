"""Noise, maps and extremes weighed by how likely they make what is seen."""

import numpy as np
import pytest

from whydrift.core.faults.inputs import digits_of, finer_share, reference_share
from whydrift.core.faults.noise import best_noise, holds_against, leans, map_gain
from whydrift.core.faults.transforms import Density, best_map

from .columns_of_rows import view_of

EDGED = np.random.default_rng(5).uniform(0, 7, 4_000)
"""Ends sharply: quantiles say little of a shift there, single values beyond much."""
STEPS = np.round(np.random.default_rng(6).integers(0, 30, 4_000) / 67, 4)
"""Few values, none of them round, and 0 among them."""


def test_noise_is_likelier_than_a_shift_where_both_ends_are_left_and_the_shift_where_one_is() -> None:
    draw = np.random.default_rng(7)
    noisy = view_of("tenure", EDGED, draw.choice(EDGED, 60) + draw.normal(0, 1, 60))
    shifted = view_of("tenure", EDGED, draw.choice(EDGED, 60) + 1.4)
    found = best_noise(noisy)
    assert found is not None
    assert found.sd == pytest.approx(1.0, rel=0.6)
    assert found.gain > map_gain(noisy)
    assert map_gain(shifted) > best_noise(shifted).gain  # type: ignore[union-attr]
    assert leans(noisy, 1.0) < 2 < leans(shifted, 1.0)


def test_of_explanations_about_as_likely_neither_gives_way() -> None:
    assert holds_against(100.0, 101.0) > 0.9
    assert holds_against(100.0, 150.0) < 0.01
    assert holds_against(100.0, 20.0) > 0.99


@pytest.mark.parametrize(("factor", "offset"), [(1.2, 0.0), (1_000.0, 0.0), (1.0, 0.1)])
def test_values_that_health_never_has_show_an_exact_map(factor: float, offset: float) -> None:
    now = np.round(np.random.default_rng(8).choice(STEPS, 60) * factor + offset, 6)
    view = view_of("wind", STEPS, now)
    assert digits_of(view) is not None
    share = finer_share(view)
    assert share is not None
    assert share > 0.8
    found = best_map(view)
    assert found is not None
    assert found.map.scale == pytest.approx(factor, rel=1e-3)
    # A step more or less moves an even distribution at its ends only.
    assert found.map.offset == pytest.approx(offset, abs=1 / 60)


def test_the_mass_of_a_frequent_value_lies_at_it_and_not_below() -> None:
    draw = np.random.default_rng(9)
    health = np.where(
        draw.random(4_000) < 0.3, 90.0, np.where(draw.random(4_000) < 0.3, 1.0, draw.uniform(0, 100, 4_000))
    )
    density = Density(view_of("clouds", health, health[:50]).reference)
    at, below = density(np.array([90.0, 1.0])), density(np.array([85.0, 0.5]))
    assert (at > 4 * below).all()


def test_a_rare_value_is_not_taken_to_be_as_frequent_as_the_least_of_the_frequent_ones() -> None:
    view = view_of("wind", np.append(STEPS, [-3.0]), np.zeros(60))
    assert reference_share(view, -3.0) <= 0.002
