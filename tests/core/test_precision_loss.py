"""Values that are rounded or cut, and what only looks so: columns that the rule's own examples do not have."""

import numpy as np
import pytest

from whydrift.core.case import ColumnView
from whydrift.core.faults import precision_loss
from whydrift.core.faults.inputs import Atom, bound, is_bound
from whydrift.core.faults.rule import Proposal

from .columns_of_rows import alarmed, case_of_columns, view_of
from .small_world import Event, Feed, diagnoses, prediction

Draw = np.random.Generator


@pytest.fixture
def draw() -> Draw:
    return np.random.default_rng(4)


def loss(view: ColumnView) -> Proposal | None:
    found = precision_loss.examine(case_of_columns([alarmed(view)]))
    return next((one for one in found if isinstance(one, Proposal)), None)


@pytest.mark.parametrize("step", [0.0158863, 0.0317726, 0.0635451])
def test_steps_far_from_nought_are_told_though_they_are_known_to_six_digits_only(step: float, draw: Draw) -> None:
    """Latitudes of one town: 707 steps are 44.9, which is off by as many times as much as the step is."""
    latitudes = draw.normal(44.97, 0.032, 4_000).round(6)
    now = (np.round(draw.normal(44.97, 0.032, 120) / step) * step).round(6)
    found = loss(view_of("latitude", latitudes, now))
    assert found is not None
    assert found.fit > 0.9
    assert float(found.headline.rpartition(" ")[2]) == pytest.approx(step, rel=1e-3)


@pytest.mark.parametrize("extreme", [None, 132.7, 0.0, -999.0, 90.12, 1e12])
def test_two_values_are_some_step_apart_and_that_tells_nothing(extreme: float | None, draw: Draw) -> None:
    now = np.where(draw.random(100) < 0.5, 44.913, 45.0217)
    if extreme is not None:
        now[80] = extreme
    found = loss(view_of("latitude", draw.normal(44.97, 0.032, 4_000), now))
    assert found is None or "rounded" not in found.headline


def test_values_as_far_apart_as_numbers_go_are_no_steps(draw: Draw) -> None:
    now = np.where(draw.random(100) < 0.5, 1.7e308, -1.7e308)
    assert loss(view_of("latitude", draw.normal(44.97, 0.032, 4_000), now)) is None


def test_a_cut_is_told_where_the_first_rows_are_from_before_it(draw: Draw) -> None:
    ages = draw.integers(18, 80, 4_000).astype(float)
    now = draw.integers(18, 80, 160).astype(float)
    now[70:] = np.minimum(now[70:], 60.0)
    found = loss(view_of("age", ages, now))
    assert found is not None
    assert "cut at 60: nothing lies above it any more" in found.headline


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["above", "below"])
def test_nothing_lies_beyond_a_bound_in_the_latest_half_at_least(sign: float, draw: Draw) -> None:
    values = draw.normal(size=2_000)
    now = np.concatenate([values[:80], np.minimum(values[80:200], 0.5)])
    view = view_of("x", sign * values, sign * now)
    last = int(np.flatnonzero(now > 0.5)[-1])
    found = bound(view, Atom(sign * 0.5, 40, 0.3, 0.0))
    assert found is not None
    assert found[0] > last
    assert found[1] == (sign > 0)
    late = np.concatenate([now[100:], now[:100]])
    assert not is_bound(view_of("x", sign * values, sign * late), Atom(sign * 0.5, 40, 0.3, 0.0)), (
        "values beyond it came last"
    )


def test_a_quantity_of_few_values_that_all_moved_is_not_cut(draw: Draw) -> None:
    levels = np.sort(draw.normal(size=30)).round(9)
    shares = np.append(0.2, np.full(29, 0.8 / 29))
    health, now = draw.choice(levels, 4_000, p=shares), draw.choice(levels, 120, p=shares)
    shifted = view_of("score", health, now + 0.1668)
    cut = view_of("score", health, np.maximum(now, levels[8]))
    assert loss(shifted) is None
    found = loss(cut)
    assert found is not None
    assert "nothing lies below it" in found.headline


def test_a_cut_below_nearly_all_men_is_no_value_that_is_stuck_for_men(draw: Draw) -> None:
    heights = {"male": (178.0, 7.0), "female": (163.0, 7.0)}

    def event(i: int) -> Event:
        sex = ("male", "female")[int(draw.random() < 0.53)]
        height = float(np.round(draw.normal(*heights[sex])))
        features = {"height": min(height, 169.0) if i >= 1_500 else height, "sex": sex}
        return prediction(i, features, round(float(draw.normal()), 4)) | {"segment": {"sex": sex}}

    one = diagnoses(Feed()(event(i) for i in range(2_000)))[0]
    assert "height is cut at 169" in one.summary
    assert one.causes[0].segment is None
