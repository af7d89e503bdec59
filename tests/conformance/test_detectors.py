"""Laws of every bet family, found by its place: a family that is wrong here must not page anybody.

The proof of E[f] ≤ 1: health is an intersection of slabs `low ≤ φ·p ≤ high` of the simplex. E f is linear in p, so over one slab
it is greatest at a single bin, or at two bins mixed so that φ·p lies on the slab's edge. Whoever is ≤ 1 on all of these for one
slab is ≤ 1 on the whole of health. No grid, no sampling: all such points are tried.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.detectors import families
from whydrift.core.detectors.bets import (
    _NEAR_CHANCES,
    CONFIDENCE,
    Bets,
    Family,
    Health,
    Tolerance,
    rate_bets,
    rate_health,
    shape_bets,
    shape_health,
    tiered,
)
from whydrift.core.evidence import mixture_log10
from whydrift.core.reference import BINS, UNSEEN, learn_column

FAMILIES = families()
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
ONLY_TWO_BINS = {"bernoulli", "rise"}
ROUNDING = 1e-9

# What a reference can be ------------------------------------------------------------------------------------------------------

TOLERANCES = st.builds(
    Tolerance,
    n=st.sampled_from([1, 2, 3, 5, 20, 250, 2_000, 10**6]) | st.integers(1, 10**5),
    signals=st.sampled_from([1, 2, 200, 10_000]),
    margin=st.sampled_from([0.0, 0.2, 0.5]) | st.floats(0, 3),
)
SKEWED = st.sampled_from([0.0, 1e-9, 1e-4, 0.001, 0.01, 0.3, 1.0, 100.0, 1e6]) | st.floats(0, 1)


@st.composite
def references(draw: st.DrawFn, family: Family) -> tuple[Floats, Tolerance]:
    """Masses of any skew, with zeros, and n; half of them whole numbers of values, as a reference has them."""
    tolerance = draw(TOLERANCES)
    bins = 2 if family.name in ONLY_TWO_BINS else draw(st.sampled_from([1, 2, 3, 24, BINS]) | st.integers(1, BINS))
    masses = np.array(draw(st.lists(SKEWED, min_size=bins, max_size=bins)))
    assume(masses.sum() > 0)
    masses = masses / masses.sum()
    if draw(st.booleans()):
        ones = np.floor(masses * tolerance.n)
        ones[int(np.argmax(masses))] += tolerance.n - ones.sum()
        masses = ones / tolerance.n
    return masses, tolerance


def greatest(f: Floats, direction: Floats, low: float, high: float) -> Floats:
    """Greatest E f of each bet (bins, bets) over all distributions with low ≤ direction·p ≤ high; −∞ where there are none."""
    alone = f[(direction >= low) & (direction <= high)]
    points = [alone]
    for edge in (low, high):
        below, above = np.flatnonzero(direction < edge), np.flatnonzero(direction > edge)
        share = (edge - direction[below, None]) / (direction[None, above] - direction[below, None])
        mixed = (1 - share)[..., None] * f[below][:, None, :] + share[..., None] * f[above][None, :, :]
        points.append(mixed.reshape(-1, f.shape[1]))
    return np.concatenate(points).max(axis=0, initial=-np.inf)


def worst_in_health(bets: Bets, health: Health) -> Floats:
    """For each bet a bound on its E f over all of health: that of the slab which holds it best."""
    f = np.exp(bets.log_f)
    slabs = zip(health.directions, health.low, health.high, strict=True)
    return np.min([greatest(f, *slab) for slab in slabs], axis=0)


def contains(health: Health, p: Floats, slack: float = 0.0) -> bool:
    means = health.directions @ p
    return bool((means >= health.low - slack).all() and (means <= health.high + slack).all())


def no_law_is_broken(family: Family, masses: Floats, tolerance: Tolerance) -> None:
    bets, health = family.make(masses, tolerance), family.health(masses, tolerance)
    assert bets.log_f.shape == (len(masses), len(bets.weights))
    assert np.isfinite(bets.log_f).all()
    assert (bets.weights > 0).all()
    assert bets.weights.sum() == pytest.approx(1, abs=1e-12)
    assert (worst_in_health(bets, health) <= 1 + ROUNDING).all()


# The laws -----------------------------------------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_no_bet_gains_on_any_distribution_that_is_health(family: Family) -> None:
    @given(references(family))
    @settings(max_examples=300, deadline=None, derandomize=True)
    @example((np.array([1.0, 0.0]), Tolerance(2_000, 200, 0.0)))
    @example((np.array([0.0, 1.0]), Tolerance(1, 10_000, 0.2)))
    @example((np.array([0.5, 0.5]), Tolerance(10**6, 1, 0.0)))
    @example((np.array([1 - 1e-6, 1e-6]), Tolerance(10**6, 1, 3.0)))
    def law(reference: tuple[Floats, Tolerance]) -> None:
        no_law_is_broken(family, *reference)
        assert contains(family.health(*reference), reference[0], ROUNDING)

    law()


@EVERY_FAMILY
def test_a_reference_without_values_bets_on_nothing(family: Family) -> None:
    """A column that was null throughout: its first value must not be evidence of a changed distribution."""
    masses = np.zeros(2 if family.name in ONLY_TWO_BINS else 1)
    bets = family.make(masses, Tolerance(0, 200, 0.0))
    assert (bets.log_f <= 0).all()
    assert np.isfinite(bets.log_f).all()


@EVERY_FAMILY
def test_evidence_dies_away_in_health_even_where_there_is_nothing_to_bet_on(family: Family) -> None:
    """A factor of 1 for good would make (M + 1) · 1 count the chunks, and alarm some day for certain."""
    for masses in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.6, 0.4])):
        bets = family.make(masses, Tolerance(2_000, 200, 0.2))
        assert (masses @ bets.log_f < -1e-5).all()


@given(references(FAMILIES["categorical"]), st.floats(0, 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_bet_gains_where_unseen_adds_to_the_masses(reference: tuple[Floats, Tolerance], unseen: float) -> None:
    """Good-Turing gives UNSEEN a mass that the seen categories also have: the masses then sum to more than 1."""
    masses, tolerance = reference
    no_law_is_broken(FAMILIES["categorical"], np.append(masses, unseen), tolerance)


@given(st.integers(0, 2_000), st.integers(1, 2_000), st.sampled_from([0.0, 0.2]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_bet_on_a_binary_signal_gains_at_any_rate_within_its_interval(ones: int, n: int, margin: float) -> None:
    """The same by another way: the interval from scipy's beta quantiles, rates tried one by one."""
    share = min(ones, n) / n
    bets = FAMILIES["bernoulli"].make(np.array([1 - share, share]), Tolerance(n, 200, margin))
    a = CONFIDENCE / 2 / 200
    low = beta.ppf(a, min(ones, n), n - min(ones, n) + 1) if ones else 0.0
    high = beta.ppf(1 - a, min(ones, n) + 1, n - min(ones, n)) if ones < n else 1.0
    rates = np.linspace(low, high, 101)
    expected = (1 - rates)[:, None] * np.exp(bets.log_f[0]) + rates[:, None] * np.exp(bets.log_f[1])
    assert (expected <= 1 + 1e-7).all()


def test_the_limits_of_a_flag_are_those_of_chance_or_of_the_margin_and_not_of_both_at_once() -> None:
    """Of what never came in 4,000 rows chance alone allows .002; with the margin on top, 1 in 100 showed nothing in 3,000."""
    ones = np.array([0.0, 20.0, 800.0])
    both, still = Tolerance(4_000, 128, 0.2), Tolerance(4_000, 128, 0.0)
    chance, ordinary = still.either_upper(ones, 1), Tolerance(4_000, 1, 0.2).upper(ones, 1)
    assert both.either_upper(ones, 1) == pytest.approx(np.maximum(chance, ordinary))
    assert (both.either_upper(ones, 1) < both.upper(ones, 1)).all()
    assert (both.either_lower(ones[1:], 1) > both.lower(ones[1:], 1)).all()


@pytest.mark.parametrize(
    ("family", "bins"),
    [
        (family, bins)
        for family in FAMILIES.values()
        for bins in (2, 24)
        if bins == 2 or family.name not in ONLY_TWO_BINS
    ],
)
def test_some_bet_gains_once_the_change_is_beyond_health(family: Family, bins: int) -> None:
    """A family that bets nothing would pass all laws above."""
    masses, tolerance = np.full(bins, 1 / bins), Tolerance(2_000, 200, 0.2)
    moved = masses * np.where(np.arange(bins) < bins / 2, 0.3, 1.7)
    assert not contains(family.health(masses, tolerance), moved)
    gains = moved @ np.exp(family.make(masses, tolerance).log_f)
    assert gains.max() > 1.004


def test_the_proof_finds_a_bet_that_gains_in_health() -> None:
    """The mistake of the past: bets at the reference itself, without its tolerance. And a shape without its d."""
    masses, tolerance = np.array([0.9, 0.1]), Tolerance(2_000, 200, 0.0)
    health = rate_health(np.array([[0.0, 1.0]]), masses, tolerance, 2)
    honest, naive = rate_bets(health, (2.0,)), rate_bets(Health(health.directions, masses[1:], masses[1:]), (2.0,))
    assert worst_in_health(Bets(honest, np.ones(1)), health) <= 1 + ROUNDING
    assert worst_in_health(Bets(naive, np.ones(1)), health) > 1.001
    shape = shape_health(np.array([[-1.0, 1.0]]), masses, tolerance, 2)
    narrow = shape_bets(Health(shape.directions, shape.low * 0, shape.high * 0))
    assert worst_in_health(Bets(shape_bets(shape), np.ones(6)), shape).max() <= 1 + ROUNDING
    assert worst_in_health(Bets(narrow, np.ones(6)), shape).max() > 1.001


# The reference's own sampling error ------------------------------------------------------------------------------------------


def _counted(truth: Floats) -> Callable[[np.random.Generator, int], tuple[Floats, Floats]]:
    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        return rng.multinomial(n, truth) / n, truth

    return draw


def _learnt(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Bins by the reference's own quantiles: their masses are fixed, and the truth of each bin varies."""
    reference = learn_column(Column("x", Kind.NUMERIC), rng.random(n), np.zeros(n, np.int8))
    truth = np.diff(np.concatenate([[0.0], reference.edges, [1.0]]))
    return reference.masses[reference.used_bins], truth


TRUTHS: dict[str, Callable[[np.random.Generator, int], tuple[Floats, Floats]]] = {
    "even": _counted(np.full(2, 0.5)),
    "rare": _counted(np.array([0.999, 0.001])),
    "often": _counted(np.array([0.03, 0.97])),
    "steep": _counted(np.array([0.9, 0.09, 0.009, 0.001])),
    "zipf": _counted((1 / np.arange(1, 25)) / (1 / np.arange(1, 25)).sum()),
    "one and dust": _counted(np.array([0.002] * 10 + [0.98])),
    "quantiles": _learnt,
}


TWO_BINS = {"even", "rare", "often"}


@pytest.mark.parametrize("n", [40, 250, 2_000])
@pytest.mark.parametrize(
    ("family", "truth"),
    [(name, truth) for name in FAMILIES for truth in TRUTHS if name not in ONLY_TWO_BINS or truth in TWO_BINS],
)
def test_health_holds_the_truth_as_often_as_it_says(family: str, truth: str, n: int) -> None:
    """Of references drawn from a truth, at most CONFIDENCE may put that truth out of health."""
    rng = np.random.default_rng(7)
    draws, tolerance = 300, Tolerance(n, 1, 0.0)
    missed = 0
    for _ in range(draws):
        masses, true = TRUTHS[truth](rng, n)
        missed += not contains(FAMILIES[family].health(masses, tolerance), true)
    allowed = draws * CONFIDENCE
    assert missed <= allowed + 3 * np.sqrt(allowed)


@pytest.mark.parametrize("family", ["bernoulli", "rise"])
@pytest.mark.parametrize("rate", [0.0002, 0.003, 0.01, 0.03, 0.2])
def test_several_tolerances_are_an_e_value_of_the_reference_and_the_rows_together(family: str, rate: float) -> None:
    """Reckoned in full, over references and rows of the same rate, but for references that the whole tolerance gives up."""
    n, rows, give_up = 400, 100, 2_000
    expected = 0.0
    for ones in range(n + 1):
        chance = float(binom.pmf(ones, n, rate))
        masses, tolerance = np.array([1 - ones / n, ones / n]), Tolerance(n, give_up, 0.0)
        if chance < 1e-12 or not contains(FAMILIES[family].health(masses, tolerance), np.array([1 - rate, rate])):
            continue
        made = tiered(FAMILIES[family].make, masses, tolerance)
        assert made.tiers == 3
        for yes in range(rows + 1):
            e = 10 ** mixture_log10(made, np.array([rows - yes, yes]))
            expected += chance * float(binom.pmf(yes, rows, rate)) * e
    assert 0.01 < expected <= 1 + ROUNDING


@pytest.mark.parametrize("family", ["bernoulli", "rise"])
def test_the_cases_of_a_reference_that_is_too_far_from_health_share_a_chance_of_1(family: str) -> None:
    """A tier counts where the nearer ones are too near, by no more than what its part of the chance allows."""
    made = tiered(FAMILIES[family].make, np.array([0.99, 0.01]), Tolerance(400, 2_000, 0.0))
    counts = made.weights.reshape(made.tiers, -1).sum(axis=1)
    assert counts * [1.0, *_NEAR_CHANCES] == pytest.approx([1 / 3] * 3)


def test_a_small_change_shows_sooner_against_nearer_tolerances_than_against_the_whole_one() -> None:
    """Nothing in 4,000, then three in a hundred: rows until the expected evidence reaches seven decades."""
    masses, tolerance, family = np.array([1.0, 0.0]), Tolerance(4_000, 250, 0.2), FAMILIES["rise"]

    def needed(bets: Bets) -> int:
        return next(n for n in range(100, 5_000, 10) if mixture_log10(bets, np.array([0.97, 0.03]) * n) > 7)

    assert needed(tiered(family.make, masses, tolerance)) < 0.85 * needed(family.make(masses, tolerance))
    few = replace(tolerance, signals=2)
    assert tiered(family.make, masses, few).tiers == 1, "the nearer tolerance would be the whole one"


def test_unseen_categories_have_the_last_bin() -> None:
    """`signals.distribution_bets` hands a family the used bins in order: the laws above take UNSEEN last."""
    column = Column("c", Kind.CATEGORICAL)
    codes = np.array([column.code(name) for name in ["a"] * 30 + ["b"] * 8 + ["c", "d"]])
    reference = learn_column(column, codes, np.zeros(40, np.int8))
    assert reference.used_bins[-1] == UNSEEN
    assert reference.masses[reference.used_bins].tolist() == pytest.approx([0.75, 0.2, 0.025, 0.025, 0.05])
