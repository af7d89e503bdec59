"""Values on an even grid: which they lie on, and that what moves along it tells nothing of units."""

from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.case import SignalEvidence
from whydrift.core.columns import Floats
from whydrift.core.faults import noisy_feature, unit_change
from whydrift.core.faults.inputs import EvenGrid, digits_of
from whydrift.core.faults.rule import Proposal
from whydrift.core.faults.transforms import best_map

from .columns_of_rows import alarmed, case_of_columns, view_of

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


def test_values_that_have_all_become_one_are_no_other_unit_though_a_map_leads_there() -> None:
    """30.2 °F are −1 °C; others would not be −1, too."""
    draw = np.random.default_rng(4)
    pressure, now = draw.normal(30.0, 0.2, 4_000).round(2), draw.normal(30.0, 0.2, 60).round(2)
    now[::7] = -1.0
    view = alarmed(view_of("pressure", pressure, now))
    assert [one for one in unit_change.examine(case_of_columns([view])) if isinstance(one, Proposal)] == []
    now[::7] = (now[1::7][: len(now[::7])] - 32) / 1.8
    view = alarmed(view_of("pressure", pressure, now))
    (found,) = (one for one in unit_change.examine(case_of_columns([view])) if isinstance(one, Proposal))
    assert found.headline.startswith("pressure arrives in °C instead of °F")


@pytest.mark.parametrize(("digits", "named"), [(2, False), (6, True)])
def test_values_that_repeat_less_are_noisy_where_they_have_other_digits_not_where_they_are_spread_wider(
    digits: int, named: bool
) -> None:
    draw = np.random.default_rng(5)
    health, now = draw.normal(15, 0.1, 4_000).round(2), draw.normal(15, 0.2, 300).round(digits)
    view = view_of("warmth", health, now)
    signal = SignalEvidence(
        "warmth.repeated", "warmth", "repeated", 9.0, 7.0, 0, True, reference_share=0.6, current_share=0.3
    )
    case = case_of_columns([replace(view, signals={"repeated": signal})])
    found = [one.headline for one in noisy_feature.examine(case) if isinstance(one, Proposal)]
    assert any("all differ now" in one or "noise of" in one for one in found) == named
