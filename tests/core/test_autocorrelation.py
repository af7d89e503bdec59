"""How many rows tell as much as one: equal to theory where there is one, 1 without dependence, and what bets make of it."""

from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.autocorrelation import (
    CHANCE,
    FOLLOWING_CHANCE,
    NUMERIC_GROUPS,
    at_least,
    category_times,
    common_time,
    flag_times,
    following_time,
    integrated_time,
    numeric_times,
)
from whydrift.core.columns import Column, Floats, Kind, Presence
from whydrift.core.detectors.adwin import MeanGuard
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import ColumnReference, learn_column
from whydrift.core.settings import Settings
from whydrift.core.signals import distribution_bets

from .small_world import Feed, events, label

ROWS = 2_000


def autoregressive(coefficient: float, rows: int, seed: int) -> Floats:
    """Stationary, of variance 1."""
    draw = np.random.default_rng(seed)
    noise = draw.normal(0, (1 - coefficient**2) ** 0.5, rows)
    values = np.empty(rows)
    values[0] = draw.normal()
    for place in range(1, rows):
        values[place] = coefficient * values[place - 1] + noise[place]
    return values


def learnt(values: Floats) -> ColumnReference:
    return learn_column(Column("x", Kind.NUMERIC), values, np.full(len(values), Presence.PRESENT, np.int8))


def evidence(reference: ColumnReference, values: Floats) -> float:
    """Greatest log10 of the mixture over all beginnings of the stream, as one product from its first row on."""
    bets = distribution_bets(reference, Tolerance(reference.rows, 100, 0.0))
    sums = np.cumsum(bets.log_f[reference.bins(Column("x", Kind.NUMERIC), values)], axis=0)
    return float((np.logaddexp.reduce(sums + np.log(bets.weights), axis=1) / np.log(10)).max())


@pytest.mark.parametrize(("coefficient", "expected"), [(0.5, 3.0), (0.8, 9.0), (0.9, 19.0)])
def test_an_autoregression_has_the_time_of_theory(coefficient: float, expected: float) -> None:
    """(1 + c) / (1 − c) of the values themselves; rather more than less, as few long blocks tell."""
    for rows, least, most in ((20_000, 0.98, 2.0), (2_000, 0.8, 2.2), (250, 0.7, 3.5)):
        found = [integrated_time(autoregressive(coefficient, rows, seed)[None, :]) for seed in range(20)]
        assert least * expected <= np.median(found) <= most * expected
        assert rows == 250 or min(found) >= 0.75 * expected


def batches(rows: int, seed: int) -> Floats:
    """Runs of fifty on average have three tenths of their variance in common: correlation .3 · .98^lag, time 30."""
    draw = np.random.default_rng(seed)
    common = np.repeat(draw.normal(size=rows), draw.geometric(1 / 50, rows))[:rows]
    found: Floats = 0.3**0.5 * common + 0.7**0.5 * draw.normal(size=rows)
    return found


@pytest.mark.parametrize("rows", [2_000, 20_000])
def test_what_fades_slowly_beneath_noise_has_the_time_of_theory(rows: int) -> None:
    """Neighbours hardly correlate, and the longest blocks of the shorter reference are two batches long."""
    found = [integrated_time(batches(rows, seed)[None, :]) for seed in range(20)]
    assert 0.9 * 30 <= np.median(found) <= 2.2 * 30
    assert min(found) >= 0.5 * 30


def test_a_level_that_fades_in_as_many_rows_as_the_longest_blocks_have_is_seen_beneath_noise() -> None:
    """Half of the variance is an autoregression of .999, whose time is 2,000."""
    found = []
    for seed in range(20):
        noise = np.random.default_rng(seed + 100).normal(size=20_000)
        found.append(integrated_time((autoregressive(0.999, 20_000, seed) + noise)[None, :]))
    assert 0.7 * 1_000 <= np.median(found) <= 2.5 * 1_000


def test_what_follows_from_dependent_inputs_is_taken_to_depend_on_weaker_signs() -> None:
    decisions = [
        (batches(500, seed) + np.random.default_rng(seed).normal(size=500) > 1.2)[None, :] * 1.0 for seed in range(40)
    ]
    assert np.median([integrated_time(one) for one in decisions]) == 1.0
    assert np.median([integrated_time(one, FOLLOWING_CHANCE) for one in decisions]) > 1.5


def test_outcomes_hang_together_as_the_inputs_do_that_they_follow_from() -> None:
    """Each is a toss: its chance wanders. Kept so through a restart, too: what is learnt anew then follows as well."""
    rows = 2_200
    wanders, draw = autoregressive(0.9, rows, 3), np.random.default_rng(4)
    chances = 1 / (1 + np.exp(-0.6 * wanders))
    outcomes = np.where(draw.random(rows) < chances, "bad", "good").tolist()
    feed = Feed(settings=Settings())
    for start in range(0, rows, 200):
        for i in range(start, start + 200):
            given = {"features": {"level": float(wanders[i])}, "prediction": {"score": float(chances[i])}}
            feed([next(events(i, i + 1, has_labels=False)) | given, label(i, outcomes[i])])
        feed = feed.copy()
    (model,) = feed.pipeline._models.values()
    assert model.labels is not None
    (learnt,) = model.labels.references
    assert learnt is not None
    assert learnt.times["categories"] > 2
    (version,) = model.versions.values()
    (loss,) = version.losses.references
    assert loss is not None
    assert loss.times["centre"] > 2
    assert "categories" not in category_times(np.array([name == "bad" for name in outcomes[:ROWS]], np.intp))


@pytest.mark.parametrize("follows", ["outcome", "loss"])
def test_what_follows_a_score_is_as_slow_as_what_the_score_tells_of_it(follows: str) -> None:
    """500 rows beside each other say what 200,000 in a row show."""
    draw = np.random.default_rng(5)
    chances = 1 / (1 + np.exp(-2 * autoregressive(0.9, 200_000, 6)))
    outcomes = (draw.random(len(chances)) < chances).astype(float)
    right = np.where(outcomes == 1, chances, 1 - chances)
    followers = outcomes if follows == "outcome" else -np.log(right)
    sample = draw.choice(len(chances), 500, replace=False)
    times = learnt(chances).times
    found = following_time(chances[sample], followers[sample], times, is_coded=follows == "outcome")
    assert found == pytest.approx(following_time(chances[sample], followers[sample], times), rel=0.1)
    ranks = followers if follows == "outcome" else np.searchsorted(np.sort(followers), followers) / len(followers)
    assert found == pytest.approx(integrated_time(ranks[None, :]), rel=0.25)
    assert found > 2


def test_of_several_classes_it_does_not_matter_which_was_seen_first() -> None:
    draw = np.random.default_rng(8)
    score = draw.normal(size=2_000)
    classes = np.searchsorted([-1.0, 0.0, 1.0], score + 0.5 * draw.normal(size=2_000)).astype(float)
    found = {
        following_time(score, np.array(codes)[classes.astype(int)], {"centre": 20.0}, is_coded=True)
        for codes in ([0.0, 1.0, 2.0, 3.0], [2.0, 0.0, 3.0, 1.0])
    }
    (time,) = {round(one, 9) for one in found}
    assert 10 < time < 20


@pytest.mark.parametrize("is_restored", [False, True])
def test_outcomes_and_losses_are_as_slow_as_the_score_says_where_their_own_rows_show_nothing(
    monkeypatch: pytest.MonkeyPatch, *, is_restored: bool
) -> None:
    monkeypatch.setattr("whydrift.core.monitor.FOLLOWING_CHANCE", CHANCE)
    wanders, draw = autoregressive(0.9, 2_200, 3), np.random.default_rng(4)
    chances = 1 / (1 + np.exp(-0.6 * wanders))
    actual = np.where(draw.random(2_200) < chances, "bad", "good").tolist()
    assert "categories" not in category_times(np.array([name == "bad" for name in actual[:ROWS]], np.intp))
    feed = Feed(settings=Settings())
    for start in range(0, 2_200, 200):
        for i in range(start, start + 200):
            given = {"features": {"level": float(wanders[i])}, "prediction": {"score": float(chances[i])}}
            feed([next(events(i, i + 1, has_labels=False)) | given, label(i, actual[i])])
        feed = feed.copy() if is_restored else feed
    (model,) = feed.pipeline._models.values()
    (version,) = model.versions.values()
    assert model.labels is not None
    (outcome,), (loss,) = model.labels.references, version.losses.references
    assert outcome is not None
    assert loss is not None
    assert outcome.times.get("categories", 1.0) > 1.1
    assert min(loss.times.get(group, 1.0) for group in NUMERIC_GROUPS) > 1.1


def test_what_has_nothing_to_do_with_a_score_has_no_time_of_its() -> None:
    draw = np.random.default_rng(7)
    times = {"centre": 20.0}
    found = [following_time(draw.normal(size=500), draw.normal(size=500), times) for _ in range(50)]
    assert np.mean(found) < 1.1
    score = np.where(draw.random(500) < 0.1, np.nan, draw.normal(size=500))
    assert following_time(score, score, times) == pytest.approx(20, rel=0.05)
    assert following_time(score, score, {}) == following_time(score[:50], score[:50], times) == 1.0


def test_rows_without_dependence_have_no_time_and_so_lose_nothing() -> None:
    for seed in range(200):
        assert learnt(np.random.default_rng(seed).lognormal(size=ROWS)).times == {}


@pytest.mark.parametrize("values", [[], [1.0], [7.0] * ROWS], ids=["none", "one", "constant"])
def test_what_has_no_variance_has_no_time(values: list[float]) -> None:
    assert integrated_time(np.array(values)[None, :]) == 1.0


def test_categories_and_flags_in_runs_of_twenty_count_as_one() -> None:
    draw = np.random.default_rng(2)
    runs = np.repeat(draw.integers(0, 4, ROWS // 20), 20)
    times = category_times(runs)
    assert 20 <= times["categories"] <= 60
    # That a spell begins tells as much as one row does, whatever follows.
    assert times["unseen"] < 3
    assert category_times(draw.integers(0, 4, ROWS)) == {}
    assert flag_times({"missing": runs == 0, "type": draw.random(ROWS) < 0.1}).keys() == {"missing"}


def test_a_constant_is_as_slow_as_half_of_its_fellows_are_at_least() -> None:
    fellows = [{"centre": 40.0, "spread": 90.0}, {"categories": 7.0}, {}, {"centre": 9.0}, {"missing": 80.0}]
    assert common_time(fellows) == 7.0
    assert common_time([]) == common_time([{}, {}]) == 1.0
    assert at_least({}, 7.0, is_coded=True) == {"categories": 7.0}
    assert at_least({}, 7.0, is_coded=False).keys() == set(NUMERIC_GROUPS)
    assert at_least({}, 1.0, is_coded=False) == {}
    longer = at_least({"centre": 9.0, "tails": 3.0, "missing": 2.0}, 7.0, is_coded=False)
    assert (longer["centre"], longer["tails"], longer["missing"]) == (9.0, 7.0, 2.0)


def test_the_groups_that_a_constant_gets_are_those_that_a_quantity_has() -> None:
    values = autoregressive(0.95, ROWS, 3)
    assert set(numeric_times(learnt(values).masses, learnt(values).bins(Column("x", Kind.NUMERIC), values))) == set(
        NUMERIC_GROUPS
    )


def test_a_level_that_hangs_together_is_no_news_and_a_shift_of_it_is() -> None:
    """Without the times the same healthy rows are worth many decimal powers."""
    healthy = healthy_bare = 0.0
    for seed in range(10):
        values = autoregressive(0.9, 3 * ROWS, seed)
        reference = learnt(values[:ROWS])
        bare = {name: value for name, value in reference.snapshot().items() if name != "times"}
        healthy = max(healthy, evidence(reference, values[ROWS:]))
        healthy_bare = max(healthy_bare, evidence(ColumnReference.restore(bare), values[ROWS:]))
        assert evidence(reference, values[ROWS:] + 2) > 6
    assert healthy < 3
    assert healthy_bare > 10


def test_times_are_kept_and_a_state_from_before_there_were_any_restores() -> None:
    reference = learnt(autoregressive(0.9, ROWS, 1))
    state = reference.snapshot()
    assert ColumnReference.restore(state).times == reference.times != {}
    del state["times"]
    assert ColumnReference.restore(state).times == {}
    guard = MeanGuard(0.3, 0.05, upward=True, time=7.0).snapshot()
    assert MeanGuard.restore(guard).time == 7.0
    del guard["time"]
    assert MeanGuard.restore(guard).time == 1.0


@pytest.mark.parametrize(
    ("coefficient", "rows", "name", "is_calm"),
    [
        (0.0, 4_000, "x", True),
        (0.5, 4_000, "x", False),
        (0.0, 900, "x", False),
        (0.0, 4_000, "residual", False),
        (0.0, 4_000, "residual_value", True),
    ],
)
def test_a_small_shift_of_what_does_not_hang_together_is_news(
    coefficient: float, rows: int, name: str, is_calm: bool
) -> None:
    """A fifth of a standard deviation, in the usual margin: of many independent rows, and of what nothing was fitted to."""
    reference = replace(learnt(autoregressive(coefficient, rows, 3)), name=name)
    bets = distribution_bets(reference, Tolerance(rows, 100, 0.2))
    drawn = np.random.default_rng(4).normal(size=200_000)
    counts = [
        np.bincount(reference.bins(Column("x", Kind.NUMERIC), drawn + s), minlength=len(bets.log_f)) for s in (0, 0.2)
    ]
    healthy, moved = (float((count @ bets.log_f).max() / len(drawn)) for count in counts)
    assert healthy <= 0
    assert (moved > 0.003) == is_calm
