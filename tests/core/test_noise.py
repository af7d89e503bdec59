"""Noise, maps and extremes weighed by how likely they make what is seen."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Column, Floats, Kind, Presence
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.faults import (
    covariate_drift,
    default_fill,
    feature_swap,
    noisy_feature,
    outliers,
    precision_loss,
    stale_feature,
    unit_change,
)
from whydrift.core.faults.inputs import (
    digits_of,
    finer_share,
    has_lost_repeats,
    new_atoms,
    reference_share,
    slowness,
)
from whydrift.core.faults.noise import best_noise, extremes_gain, holds_against, leans, map_gain, noise_gain
from whydrift.core.faults.rule import Proposal
from whydrift.core.faults.transforms import Density, best_map
from whydrift.core.reference import learn_column
from whydrift.core.signals import distribution_bets

from .columns_of_rows import alarmed, case_of_columns, view_of

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
    assert share > 0.7  # of 30 values on a grid every fifth times 1.2 is another
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


def test_no_noise_reaches_single_values_far_beyond_all_of_health() -> None:
    draw = np.random.default_rng(11)
    health, now = draw.normal(0, 1, 4_000), draw.normal(0, 1, 400)
    now[::60] = draw.uniform(20, 40, len(now[::60])) * draw.choice([-1, 1], len(now[::60]))
    view = view_of("asymmetry", health, now)
    assert noise_gain(view) == 0
    assert extremes_gain(view) > 20


@pytest.mark.parametrize("far", [True, False])
def test_values_that_just_leave_the_range_are_no_extremes(far: bool) -> None:
    draw = np.random.default_rng(12)
    now = draw.choice(EDGED, 200)
    now[::20] = 7.0 + draw.uniform(0, 0.4, 10) + (30.0 if far else 0.0)
    case = case_of_columns([alarmed(view_of("tenure", EDGED, now))])
    fits = [one.fit for one in outliers.examine(case) if isinstance(one, Proposal)]
    assert (max(fits, default=0.0) > 0.7) == far


@pytest.mark.parametrize("is_exchange", [True, False])
def test_what_a_change_of_unit_throws_beyond_the_range_is_no_other_columns(is_exchange: bool) -> None:
    draw = np.random.default_rng(13)
    angle, length = draw.exponential(25, 4_000).clip(max=90), draw.lognormal(3.8, 0.6, 4_000)
    now, other = draw.choice(angle, 160), draw.choice(length, 160)
    if is_exchange:
        there = draw.random(160) < 0.2
        now, other = np.where(there, other, now), np.where(there, now, other)
    else:
        now = 1.25 * now
    pair = alarmed(view_of("angle", angle, now)), view_of("length", length, other)
    found = feature_swap._judge(pair)
    assert (found is not None and found.fit > 0.7) == is_exchange


def test_a_dependence_tells_noise_where_rows_are_many_enough_to_show_that_it_faded_or_held() -> None:
    draw = np.random.default_rng(14)

    def fit_of(rows: int, noise: float) -> float:
        level = draw.normal(0, 1, 4_000 + rows)
        value = level + draw.normal(0, 1, len(level))
        value[4_000:] += draw.normal(0, noise, rows)
        views = [view_of(n, v[:4_000], v[4_000:]) for n, v in (("value", value), ("level", level))]
        return noisy_feature._dependence(case_of_columns(views), views[0], 2.0)

    assert fit_of(500, 2.0) == noisy_feature._FADED
    assert fit_of(500, 0.0) == noisy_feature._HELD
    assert fit_of(12, 0.0) == noisy_feature._FREE


@pytest.mark.parametrize("shape", ["step", "ramp", "gone"])
def test_an_input_off_from_the_others_is_another_unit_after_a_step_only(shape: str) -> None:
    """Where rows from before the onset are gone, both are said."""
    draw = np.random.default_rng(15)
    value, off = draw.normal(10, 2, 4_300), draw.normal(0, 0.5, 4_300)
    moved = {"step": np.arange(300) >= 200, "ramp": np.arange(300) / 150, "gone": np.ones(300)}[shape] * 1.2
    value[4_000:] += moved
    off[4_000:] += moved / 2
    columns = [view_of(n, v[:4_000], v[4_200:]) for n, v in (("value", value), ("dependence.value", off))]
    earlier = {} if shape == "gone" else {"value": value[4_000:4_200], "dependence.value": off[4_000:4_200]}
    case = replace(case_of_columns(columns[:1], [alarmed(columns[1])]), earlier=earlier)
    unit, drift = (
        max((one.fit for one in rule.examine(case) if isinstance(one, Proposal)), default=0.0)
        for rule in (unit_change, covariate_drift)
    )
    assert (unit > drift) == (shape == "step")
    assert (unit > 0.5) == (shape != "ramp")


@pytest.mark.parametrize("is_rounded", [True, False])
def test_a_skewed_column_that_is_rounded_is_not_filled_with_0(is_rounded: bool) -> None:
    draw = np.random.default_rng(16)
    votes = np.round(draw.lognormal(3.5, 2, 4_000)) + 5
    now = draw.choice(votes, 200)
    now = np.round(now / 2_000) * 2_000 if is_rounded else np.where(draw.random(200) < 0.9, 0.0, now)
    case = case_of_columns([alarmed(view_of("votes", votes, now))])
    fill, loss = (
        max((one.fit for one in rule.examine(case) if isinstance(one, Proposal)), default=0.0)
        for rule in (default_fill, precision_loss)
    )
    assert (loss > fill) == is_rounded
    assert (fill > 0.7) != is_rounded


@pytest.mark.parametrize("rule", [noisy_feature, precision_loss], ids=["noise", "rounding"])
def test_values_never_seen_before_are_looked_at_though_the_distribution_is_quiet(rule: ModuleType) -> None:
    """Of hours any other value is unseen, long before their distribution shows anything."""
    draw = np.random.default_rng(17)
    hours = draw.integers(0, 24, 4_000).astype(float)
    now = draw.choice(hours, 60)
    now = now + draw.normal(0, 2, 60) if rule is noisy_feature else np.round(now / 3.5) * 3.5
    view = view_of("hour", hours, now)
    assert any(isinstance(one, Proposal) for one in rule.examine(case_of_columns([alarmed(view, "unseen")])))
    assert not rule.examine(case_of_columns([view]))


def hourly_pay(draw: np.random.Generator, rows: int) -> Floats:
    """To the cent, a third of it in round sums, a few with none: husbands' pay in the Current Population Survey is so."""
    paid = np.round(draw.lognormal(3.2, 0.6, rows), 3)
    round_sums = draw.choice([20.0, 25.0, 30.0, 35.0, 40.0, 50.0], rows)
    return np.where(draw.random(rows) < 0.33, round_sums, np.where(draw.random(rows) < 0.2, 0.0, paid))


def fit_of(rule: ModuleType, view: ColumnView) -> float:
    told = rule.examine(case_of_columns([alarmed(view)]))
    return max((one.fit for one in told if isinstance(one, Proposal)), default=0.0)


def test_round_sums_that_are_all_a_fifth_larger_show_the_factor_to_the_last_digit() -> None:
    draw = np.random.default_rng(21)
    health = hourly_pay(draw, 4_000)
    found = best_map(view_of("pay", health, np.round(1.2 * draw.choice(health, 200), 6)))
    assert found is not None
    assert found.is_exact
    assert found.map.scale == pytest.approx(1.2, rel=1e-9)
    # Pay that is higher, and still paid in round sums, has no factor.
    raised = best_map(view_of("pay", health, draw.choice(health[health > 24], 200)))
    assert raised is None or not raised.is_exact


def test_a_thousandth_of_anything_is_not_the_nought_that_half_of_health_is() -> None:
    """Nothing comes of 0, however large the factor."""
    draw = np.random.default_rng(25)
    health = np.where(draw.random(4_000) < 0.5, 0.0, np.round(draw.exponential(3, 4_000)))
    now = draw.choice(health, 100)
    now[::12] = draw.uniform(45, 130, len(now[::12])) * draw.choice([-1, 1], len(now[::12]))
    view = view_of("triples", health, now)
    assert fit_of(outliers, view) > 0.7
    assert fit_of(unit_change, view) < 0.3


@pytest.mark.parametrize("is_stuck", [True, False])
def test_a_value_is_stuck_only_where_the_others_are_as_ever(is_stuck: bool) -> None:
    """Where 40 becomes 41, everybody works an hour more; 41 is no value in the place of others."""
    draw = np.random.default_rng(22)
    hours = np.where(draw.random(4_000) < 0.4, 40.0, draw.integers(0, 70, 4_000))
    now = draw.choice(hours, 120)
    there = draw.random(120) < 0.7
    now = np.where(there, 41.0, now) if is_stuck else now + there
    fit = fit_of(stale_feature, view_of("hours", hours, now))
    assert (fit > 0.5) if is_stuck else (fit == 0)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_told_where_most_of_health_is_one_of_two_values(seed: int) -> None:
    """Three quarters are 0 or 40, as hours of work are: with noise they lie around these."""
    draw = np.random.default_rng(seed)
    health = np.where(draw.random(4_000) < 0.75, draw.choice([0.0, 40.0], 4_000), draw.integers(1, 60, 4_000))
    noisy = view_of("hours", health, draw.choice(health, 100) + draw.normal(0, 3, 100))
    assert fit_of(noisy_feature, noisy) > 0.7
    found = best_noise(noisy)
    assert found is not None
    assert found.sd == pytest.approx(3.0, rel=0.4)


def test_what_noise_leaves_of_a_dependence_is_tried_on_rows_of_health() -> None:
    """Two levels far apart: noise that does not mix them leaves the dependence as it was, and is noise all the same."""
    draw = np.random.default_rng(24)
    plan = draw.choice([0.0, 1.0], 4_300, p=[0.4, 0.6])
    limit = np.where(plan == 0, 0.0, 8.0) + draw.normal(0, 0.2, 4_300)
    limit[4_000:] += draw.normal(0, 2.0, 300)
    views = [view_of(n, v[:4_000], v[4_000:]) for n, v in (("limit", limit), ("plan", plan))]
    assert noisy_feature._dependence(case_of_columns(views), views[0], 2.0) >= noisy_feature._FREE


_SALARIES = np.random.default_rng(30).lognormal(3.4, 0.3, 12)
_DRAW = np.random.default_rng(31)
INCOMES = np.where(_DRAW.random(4_000) < 0.3, _DRAW.choice(_SALARIES, 4_000), _DRAW.lognormal(3.4, 0.6, 4_000))
"""Leaning to one side, and some of them usual ones that come again and again."""


def fit(rule: ModuleType, case: Case) -> float:
    return max((one.fit for one in rule.examine(case) if isinstance(one, Proposal)), default=0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_noise", [True, False])
def test_values_that_no_longer_come_twice_are_noisy_and_no_map_of_those_that_did(is_noise: bool, seed: int) -> None:
    """With as many rows a map with a scale and an offset makes noise on a leaning column as likely as noise does."""
    draw = np.random.default_rng(seed)
    now = draw.choice(INCOMES, 120)
    now = now + draw.normal(0, 40, len(now)) if is_noise else 111.0 - 2.7 * now
    view = alarmed(view_of("income", INCOMES, now))
    assert has_lost_repeats(view) == is_noise
    case = case_of_columns([view])
    assert (fit(noisy_feature, case) > fit(unit_change, case)) == is_noise
    assert (fit(unit_change, case) > 0.5) != is_noise


@pytest.mark.parametrize("missing", [0.0, 0.9])
def test_where_most_values_are_missing_the_others_still_come_again(missing: float) -> None:
    draw = np.random.default_rng(39)
    view = view_of("income", INCOMES, draw.choice(INCOMES, 1_000))
    presence = np.where(draw.random(1_000) < missing, Presence.NULL, Presence.PRESENT).astype(np.int8)
    now = np.where(presence == Presence.PRESENT, view.current_values, np.nan)
    assert not has_lost_repeats(replace(view, current_values=now, current_presence=presence))
    nothing = np.full(1_000, Presence.NULL, np.int8)
    assert not has_lost_repeats(replace(view, current_values=np.full(1_000, np.nan), current_presence=nothing))


def test_a_known_ratio_may_come_with_other_digits() -> None:
    draw = np.random.default_rng(40)
    km = np.round(draw.lognormal(3.5, 0.8, 4_000))
    now = (draw.choice(km, 120) + draw.uniform(-0.5, 0.5, 120)) * 1_000
    view = alarmed(view_of("distance", km, now))
    assert has_lost_repeats(view)
    assert fit(unit_change, case_of_columns([view])) > 0.7


@pytest.mark.parametrize("is_converted", [False, True])
def test_whole_days_that_stay_whole_were_not_converted_by_a_ratio_that_makes_fractions(is_converted: bool) -> None:
    """Bookings further ahead: two in five lie where °F would have taken them."""
    draw = np.random.default_rng(35)
    health = draw.integers(0, 60, 4_000).astype(float)
    now = draw.integers(0, 60, 400).astype(float)
    changed = now * 1.8 + 32 if is_converted else np.round(now * 1.8 + 32)
    view = alarmed(view_of("days_ahead", health, np.where(draw.random(400) < 0.4, changed, now)))
    found = fit(unit_change, case_of_columns([view]))
    assert (found > 0.85) is is_converted
    assert found < 0.5 or is_converted


def test_noise_moves_the_centre_of_what_leans_to_one_side() -> None:
    draw = np.random.default_rng(33)
    wealth = draw.lognormal(3.0, 1.2, 4_000)
    now = draw.choice(wealth, 400) + draw.normal(0, 60, 400)
    view = view_of("wealth", wealth, now)
    assert np.median(now) > np.median(wealth) + 0.5 * view.reference.spread
    assert fit(noisy_feature, case_of_columns([alarmed(view)])) > 0.5


def test_values_that_all_differ_are_noisy_where_how_wide_it_scatters_is_not_seen() -> None:
    draw = np.random.default_rng(34)
    now = draw.choice(INCOMES, 240) + draw.uniform(-0.05, 0.05, 240)
    view = alarmed(view_of("income", INCOMES, now), "repeated")
    signal = replace(view.signals["repeated"], reference_share=0.16, current_share=0.0)
    view = replace(view, signals={"repeated": signal})
    assert fit(noisy_feature, case_of_columns([view])) > 0.6


def test_few_rows_of_health_that_all_differ_have_no_repeats_to_lose() -> None:
    draw = np.random.default_rng(36)
    view = view_of("income", draw.lognormal(3, 1, 250), draw.lognormal(3, 1, 600))
    assert not has_lost_repeats(view)


def test_amounts_that_are_mostly_0_and_less_so_now_still_repeat() -> None:
    draw = np.random.default_rng(37)
    health, now = (
        np.where(draw.random(n) < share, draw.lognormal(3, 1, n), 0.0) for n, share in ((2_000, 0.01), (600, 0.1))
    )
    assert not has_lost_repeats(view_of("amount", health, now))


def nights(seed: int, rows: int) -> Floats:
    """Nights that guests stay: groups of forty stay as long as each other."""
    draw = np.random.default_rng(seed)
    return np.repeat(draw.choice([0.0, 1, 2, 3, 5], rows // 40 + 1, p=[0.2, 0.4, 0.2, 0.15, 0.05]), 40)[:rows]


@pytest.mark.parametrize("is_shifted", [False, True])
@pytest.mark.parametrize("healthy_rows", [0, 200])
def test_a_slow_count_whose_values_all_differ_is_noisy_wherever_its_level_is(
    is_shifted: bool, healthy_rows: int
) -> None:
    now = nights(2, 300)
    noisy = now[healthy_rows:] + 3 * is_shifted + np.random.default_rng(3).normal(0, 0.7, 300 - healthy_rows).round(6)
    view = view_of("nights", nights(1, 4_000), np.concatenate([now[:healthy_rows], noisy]))
    assert slowness(view.reference) > 20
    assert has_lost_repeats(view)
    (found,) = noisy_feature.examine(case_of_columns([alarmed(view, "unseen")]))
    assert isinstance(found, Proposal)
    assert found.features == ("nights",)
    (drift,) = [
        one for one in covariate_drift.examine(case_of_columns([alarmed(view, "unseen")])) if isinstance(one, Proposal)
    ]
    assert drift.fit < found.fit


@pytest.mark.parametrize("now", [nights(2, 300) * 1.2, nights(2, 300) + 1, np.repeat(np.arange(15.0), 20)])
def test_a_slow_count_with_other_values_that_come_again_has_lost_none(now: Floats) -> None:
    view = view_of("nights", nights(1, 4_000), now)
    assert not has_lost_repeats(view)
    assert not [
        one for one in noisy_feature.examine(case_of_columns([alarmed(view, "unseen")])) if isinstance(one, Proposal)
    ]


def test_a_value_among_many_that_come_a_few_times_may_come_as_often_again() -> None:
    """Of percents with two digits most are there once or twice, the small ones ten times."""
    draw = np.random.default_rng(35)
    percents = np.round(draw.lognormal(1.4, 1.8, 4_000).clip(max=95), 2)
    view = view_of("percent", percents, draw.choice(percents, 480))
    assert 0.4 * view.reference.n < view.reference.distinct < 0.6 * view.reference.n
    assert new_atoms(view) == []
    filled = np.where(draw.random(480) < 0.2, 12.34, view.current_values)
    assert [one.value for one in new_atoms(view_of("percent", percents, filled))] == [12.34]


@pytest.mark.parametrize("grows", [True, False])
def test_what_grows_past_several_known_ratios_is_none_of_them(grows: bool) -> None:
    draw = np.random.default_rng(36)
    density = draw.lognormal(3.8, 1.4, 4_000)
    now = draw.choice(density, 140)
    now = now + np.arange(140) * 1.2 * draw.uniform(0, 2, 140) if grows else 2.54 * now
    case = case_of_columns([alarmed(view_of("density", density, now))])
    assert (fit(unit_change, case) > 0.5) != grows


@pytest.mark.parametrize("is_exchange", [True, False])
def test_a_flag_whose_shares_moved_is_not_exchanged_with_another_that_is_as_ever(is_exchange: bool) -> None:
    draw = np.random.default_rng(37)
    first, second = ((draw.random(4_000) < p).astype(float) for p in (0.5, 0.12))
    a, b = ((draw.random(460) < p).astype(float) for p in ((0.12, 0.5) if is_exchange else (0.37, 0.12)))
    pair = alarmed(view_of("eldest", first, a, "ny")), view_of("abroad", second, b, "ny")
    fits = [one.fit for one in feature_swap.examine(case_of_columns(pair)) if isinstance(one, Proposal)]
    assert (max(fits, default=0.0) > 0.7) == is_exchange


def test_a_column_of_many_categories_may_be_exchanged_with_one_of_few() -> None:
    draw = np.random.default_rng(41)
    merchant, country = draw.integers(0, 800, 4_000).astype(float), draw.integers(0, 3, 4_000).astype(float)
    names = [f"m{i}" for i in range(800)], ["de", "fr", "it"]
    codes = [{name: float(i) for i, name in enumerate([*own, *others])} for own, others in (names, names[::-1])]
    now, beside = draw.integers(0, 3, 200) + 800.0, draw.integers(0, 800, 200) + 3.0
    views = [view_of(n, h, v) for n, h, v in (("merchant", merchant, now), ("country", country, beside))]
    made = []
    for view, own, health in zip(views, codes, (merchant, country), strict=True):
        column = Column(view.name, Kind.CATEGORICAL, own)
        reference = learn_column(column, health, np.zeros(len(health), np.int8))
        bets = distribution_bets(reference, Tolerance(reference.rows, 10, 0.2))
        made.append(alarmed(replace(view, column=column, reference=reference, bets=bets), "unseen"))
    fits = [one.fit for one in feature_swap.examine(case_of_columns(made)) if isinstance(one, Proposal)]
    assert max(fits, default=0.0) > 0.7


@pytest.mark.parametrize("is_exchange", [True, False])
def test_a_few_rows_that_are_rare_in_both_columns_are_no_exchange(is_exchange: bool) -> None:
    """Mothers of many children who hardly went to school, where the same year of schooling comes too often."""
    draw = np.random.default_rng(38)
    years, children = np.round(draw.normal(12, 2, 4_000)).clip(6, 17), 2.0 + draw.poisson(0.5, 4_000).clip(max=3)
    now, beside = draw.choice(years, 600), draw.choice(children, 600)
    there = [300, 380, 460, 540]
    if is_exchange:
        now[there], beside[there] = beside[there], now[there]
    else:
        now[draw.random(600) < 0.04] = 13.0
        now[there], beside[there] = [3, 3, 2, 4], [6, 5, 6, 8]
    aspect = "out_of_range" if is_exchange else "distribution"
    pair = alarmed(view_of("years", years, now), aspect), view_of("children", children, beside)
    fits = [one.fit for one in feature_swap.examine(case_of_columns(pair)) if isinstance(one, Proposal)]
    assert (max(fits, default=0.0) > 0.5) == is_exchange
