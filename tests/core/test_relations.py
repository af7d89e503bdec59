"""How inputs go together: categories, quantities in no order of rank, and which of two explanations new pairs have."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from whydrift.core.combinations import learn_combinations
from whydrift.core.faults import feature_swap, novel_region, relations
from whydrift.core.faults.relations import NewPairs, relations_in
from whydrift.core.reference import ColumnReference

from .columns_of_rows import alarmed, case_of_columns, view_of

Array = NDArray[np.float64]
HEALTH, NOW = 2_000, 120


def weather(draw: np.random.Generator, rows: int) -> tuple[Array, Array, Array]:
    """Clouds that tell the weather, mostly; and warmth, highest at noon, so that rank says nothing."""
    clouds = draw.uniform(0, 100, rows)
    kind = np.where(draw.random(rows) < 0.05, draw.integers(0, 3, rows), np.digitize(clouds, [30, 70])).astype(float)
    hour = draw.uniform(0, 24, rows)
    return clouds, kind, hour


def warmth(draw: np.random.Generator, hour: Array) -> Array:
    found: Array = 20 - np.abs(hour - 12) + draw.normal(0, 1, len(hour))
    return found


def test_a_quantity_that_has_lost_its_category_is_seen_and_one_that_kept_it_is_not() -> None:
    draw = np.random.default_rng(1)
    (clouds, kind, _), (now_clouds, now_kind, _) = weather(draw, HEALTH), weather(draw, NOW)
    every = np.ones(NOW, bool)
    kept = relations_in([view_of("clouds", clouds, now_clouds), view_of("kind", kind, now_kind, "abc")], every)
    assert kept.was[0, 1] > 0.6
    assert abs(kept.lost[0, 1]) < 3
    mixed = view_of("clouds", clouds, draw.permutation(now_clouds))
    lost = relations_in([mixed, view_of("kind", kind, now_kind, "abc")], every)
    assert lost.lost[0, 1] > relations.LOST_Z
    assert lost.now[0, 1] < 0.3


@pytest.mark.parametrize("when", ["health", "now"])
def test_of_a_category_that_stands_still_nobody_knows_what_it_goes_with(when: str) -> None:
    draw = np.random.default_rng(1)
    (clouds, kind, _), (now_clouds, now_kind, _) = weather(draw, HEALTH), weather(draw, NOW)
    (kind if when == "health" else now_kind)[:] = 2.0
    views = [view_of("clouds", clouds, now_clouds), view_of("kind", kind, now_kind, "abc")]
    seen = relations_in(views, np.ones(NOW, bool))
    assert seen.lost[0, 1] == seen.changed[0, 1] == 0


def test_quantities_that_go_together_otherwise_than_by_rank_are_asked_by_their_association() -> None:
    draw = np.random.default_rng(2)
    hour, now = draw.uniform(0, 24, HEALTH), draw.uniform(0, 24, NOW)
    views = [view_of("hour", hour, now), view_of("warmth", warmth(draw, hour), draw.permutation(warmth(draw, now)))]
    seen = relations_in(views, np.ones(NOW, bool))
    assert seen.was[0, 1] > 0.5, "rank correlation is about 0"
    assert seen.lost[0, 1] > relations.LOST_Z


@pytest.mark.parametrize("is_corner", [True, False])
def test_a_new_corner_is_told_from_rows_that_were_mixed_up(is_corner: bool) -> None:
    draw = np.random.default_rng(3)
    (clouds, kind, _), (now_clouds, now_kind, _) = weather(draw, HEALTH), weather(draw, NOW)
    if is_corner:
        there = draw.random(NOW) < 0.15
        now_clouds, now_kind = np.where(there, draw.uniform(80, 100, NOW), now_clouds), np.where(there, 0.0, now_kind)
    else:
        now_clouds = draw.permutation(now_clouds)
    views = (view_of("clouds", clouds, now_clouds), view_of("kind", kind, now_kind, "abc"))
    is_new = (now_clouds > 80) & (now_kind == 0)
    new = NewPairs(views, NOW, is_new, np.tile([[0.0, 1.0], [1.0, 0.0]], (int(is_new.sum()), 1, 1)))
    assert (new.corner_against_mix(is_new) > 0) == is_corner


def test_columns_are_grouped_as_combinations_are() -> None:
    draw = np.random.default_rng(4)
    clouds, kind, _ = weather(draw, HEALTH)
    views = [view_of("clouds", clouds, clouds[:NOW]), view_of("kind", kind, kind[:NOW], "abc")]
    references: list[ColumnReference] = [view.reference for view in views]
    bins = np.stack(
        [v.reference.bins(v.column, values) for v, values in zip(views, (clouds, kind), strict=True)], axis=1
    )
    table, _ = learn_combinations(references, bins)
    groups, _ = relations._groups([replace(view) for view in views], np.ones(NOW, bool))
    assert groups.max() <= table.groups.max()
    assert (groups > 0).all()


@pytest.mark.parametrize("is_exchange", [True, False])
def test_rows_tell_an_exchange_from_values_of_other_rows(is_exchange: bool) -> None:
    """Of two quantities alike in range, each with a partner that tells it."""
    draw = np.random.default_rng(5)
    level, other = draw.uniform(0, 1, (2, HEALTH + NOW))
    first, second = level + draw.normal(0, 0.05, HEALTH + NOW), other + draw.normal(0, 0.05, HEALTH + NOW)
    now = np.stack([first[HEALTH:], second[HEALTH:]])
    there = draw.random(NOW) < 0.3
    now = np.where(there, now[::-1], now) if is_exchange else np.stack([draw.permutation(now[0]), now[1]])
    pair = view_of("first", first[:HEALTH], now[0]), view_of("second", second[:HEALTH], now[1])
    partners = view_of("level", level[:HEALTH], level[HEALTH:]), view_of("other", other[:HEALTH], other[HEALTH:])
    gain, _ = feature_swap._row_gain(pair, partners)
    assert (gain > 12) == is_exchange


@pytest.mark.parametrize("is_exchange", [True, False])
def test_an_exchange_does_not_change_what_inputs_beside_it_have_to_do_with_each_other(is_exchange: bool) -> None:
    draw = np.random.default_rng(6)
    level = draw.normal(0, 1, HEALTH + NOW)
    columns = {name: level + draw.normal(0, 0.6, HEALTH + NOW) for name in ("first", "second", "third", "fourth")}
    now = {name: values[HEALTH:] for name, values in columns.items()}
    if is_exchange:
        now |= {"first": now["second"], "second": now["first"]}
    else:
        now["third"] = draw.permutation(now["third"])
    views = [view_of(name, columns[name][:HEALTH], now[name]) for name in columns]
    p = feature_swap._elsewhere_p(case_of_columns(views), views[0], views[1])
    assert (p > relations.ELSEWHERE_P) == is_exchange


@pytest.mark.parametrize("is_everywhere", [True, False])
def test_an_input_that_is_off_in_all_events_makes_no_new_kind_of_some(is_everywhere: bool) -> None:
    draw = np.random.default_rng(7)
    inside = np.arange(NOW) < NOW // 6
    left = draw.normal(0, 1, NOW) + 3.0 * (inside | is_everywhere)
    of_x = alarmed(view_of("dependence.x", draw.normal(0, 1, HEALTH), left))
    views = [view_of(name, draw.normal(0, 1, HEALTH), draw.normal(0, 1, NOW)) for name in ("x", "y")]
    region = novel_region.Region(("x", "y"), "x with y", 1 / 6, 0, 500, 9.0, 0.0, frozenset(), 5.0, inside)
    assert bool(novel_region._why_not(case_of_columns(views, [of_x]), region)) == is_everywhere


def test_what_is_nearly_always_nought_has_lost_nothing_where_one_row_is_otherwise() -> None:
    """Days off work, and injuries: three of a hundred people had any. One who had only one of them is no change."""
    draw = np.random.default_rng(21)

    def side(rows: int) -> tuple[Array, Array]:
        hurt = np.where(draw.random(rows) < 0.012, 1.0, 0.0)
        return hurt, hurt * draw.integers(2, 9, rows)

    (hurt, days), (now_hurt, now_days) = side(HEALTH), side(400)
    now_days[np.flatnonzero(now_hurt)[0]] = 0.0
    now_hurt[np.flatnonzero(now_hurt == 0)[0]] = 1.0
    views = [view_of("hurt", hurt, now_hurt), view_of("days", days, now_days)]
    assert relations_in(views, np.ones(400, bool)).lost[0, 1] == 0
