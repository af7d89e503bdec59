"""Values on an even grid: which they lie on, and that what moves along it tells nothing of units."""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import EvenGrid, digits_of
from whydrift.core.faults.transforms import best_map

from .columns_of_rows import view_of

NOW = 300


def normalised(celsius: Floats) -> Floats:
    """Whole degrees by a maximum of 41, as the bikes' weather has them: sixty-sixths, to four digits."""
    found: Floats = (np.round(celsius) / 66).round(4)
    return found


def of_a_season(rows: int, middle: float, seed: int) -> Floats:
    return normalised(np.random.default_rng(seed).normal(middle, 6, rows))


def test_a_grid_is_seen_through_its_rounding_and_its_gaps() -> None:
    values = normalised(np.array([3.0, 4, 5, 7, 8, 11, 12, 20, 31]))
    grid = EvenGrid.of(values)
    assert grid is not None
    assert grid.step == pytest.approx(1 / 66, rel=1e-3)
    assert grid.has(normalised(np.arange(1.0, 60.0))).all()
    assert not grid.has(normalised(np.arange(1.0, 60.0)) + 0.5 / 66).any()
    np.testing.assert_allclose(grid.between(0.1, 0.2), np.arange(7, 14) / 66, atol=2e-4)


@pytest.mark.parametrize(
    "values", [[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.5, 3.1, 4.7, 6.2], [0.0, 1.0, 50.0, 100.0, 200.0]]
)
def test_few_values_or_uneven_ones_or_far_ones_are_on_none(values: list[float]) -> None:
    assert EvenGrid.of(np.array(values)) is None


def test_a_summer_after_a_winter_is_on_health_s_grid_and_no_exact_map() -> None:
    view = view_of("warmth", of_a_season(4_000, 20, 1), of_a_season(NOW, 46, 2))
    digits = digits_of(view)
    assert digits is not None
    assert not digits.finer(view.current).any()
    found = best_map(view)
    assert found is not None
    assert not found.is_exact


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.4321), (2.54, 0.0)])
def test_what_a_map_brings_beside_the_grid_is_exact(scale: float, offset: float) -> None:
    now = (of_a_season(NOW, 20, 2) * scale + offset).round(6)
    found = best_map(view_of("warmth", of_a_season(4_000, 20, 1), now))
    assert found is not None
    assert found.is_exact
    assert (found.map.scale, found.map.offset) == pytest.approx((scale, offset), abs=2e-3)
