"""Values of one column on the scale of another: the maps that preprocessing gone wrong makes."""

import numpy as np
import pytest

from whydrift.core.columns import Column, Floats, Kind, Presence
from whydrift.core.faults.scales import SCALES, Scale, altered, put, rank_of, value_at
from whydrift.core.reference import ColumnReference, learn_column

ROWS = 2_000
DRAW = np.random.default_rng(3)
SMOOTH = DRAW.normal(50, 10, ROWS)
HOURS = DRAW.integers(0, 24, ROWS).astype(float)
MOSTLY_ZERO = np.where(DRAW.random(ROWS) < 0.9, 0.0, DRAW.uniform(100, 900, ROWS))


def reference(values: Floats) -> ColumnReference:
    return learn_column(Column("x", Kind.NUMERIC), values, np.full(len(values), Presence.PRESENT, np.int8))


@pytest.mark.parametrize("values", [SMOOTH, HOURS, MOSTLY_ZERO], ids=["smooth", "hours", "mostly zero"])
def test_the_value_at_a_value_s_rank_is_that_value_again(values: Floats) -> None:
    it = reference(values)
    middle = (rank_of(it, values) + rank_of(it, values, with_ties=True)) / 2
    np.testing.assert_allclose(value_at(it, middle), values, atol=0.05 * np.std(values))


def test_ranks_are_shares_of_health_of_ties_those_below() -> None:
    it = reference(MOSTLY_ZERO)
    share = float((MOSTLY_ZERO == 0).mean())
    assert rank_of(it, np.zeros(1))[0] == pytest.approx(0)
    assert rank_of(it, np.zeros(1), with_ties=True)[0] == pytest.approx(share)


def test_a_discrete_quantity_gets_values_that_it_has() -> None:
    found = put(SMOOTH, reference(SMOOTH), reference(HOURS), "low rank")
    assert set(found) <= set(HOURS)
    shares = np.bincount(found.astype(int), minlength=24) / ROWS
    np.testing.assert_allclose(shares, np.bincount(HOURS.astype(int), minlength=24) / ROWS, atol=0.02)


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_missing_stays_missing_on_every_scale(scale: Scale) -> None:
    values = np.array([np.nan, 50.0])
    found = put(values, reference(SMOOTH), reference(MOSTLY_ZERO), scale)
    assert np.isnan(found).tolist() == [True, False]


def test_turned_round_the_lowest_is_the_highest_and_the_middle_stays() -> None:
    it = reference(SMOOTH)
    found = altered(it, np.array([it.low, it.median, it.high]), "mirrored")
    np.testing.assert_allclose(found, [it.high, it.median, it.low], atol=0.5)


def test_unscaled_and_scaled_twice_undo_each_other() -> None:
    it = reference(SMOOTH)
    np.testing.assert_allclose(altered(it, altered(it, SMOOTH, "raw"), "twice"), SMOOTH)
