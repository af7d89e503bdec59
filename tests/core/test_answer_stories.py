"""The stories that scores which go otherwise may tell, on rows made for each of them.

Belongs here: that each is told where it is true, and not where another one is. Not here: names of faults (`test_faults_outputs`).
"""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.faults.answer_stories import OTHERWISE_NATS, Health, Stories, judged

ROWS = 60


def share_of(log_odds: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-log_odds))
    return found


def log_odds_of(scores: Floats) -> Floats:
    found: Floats = np.log(scores / (1 - scores))
    return found


def rows(seed: int, count: int) -> tuple[Floats, Floats]:
    """What inputs make expect, and what a model answers that is as in health."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(-1.0, 2.0, count)
    return share_of(middle), share_of(middle + 0.4 * draw.standard_t(5, count))


HEALTH = Health(*rows(0, 500))


def told(seed: int, change: object, count: int = ROWS) -> Stories:
    wanted, answers = rows(seed, count)
    draw = np.random.default_rng(seed + 100)
    return judged(HEALTH, wanted, change(wanted, answers, draw))  # type: ignore[operator]


def as_ever(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return answers


def stretched(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return share_of(2.0 * log_odds_of(answers) + 0.5)


def flattened(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return share_of(0.4 * log_odds_of(answers))


def turned(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return 1 - answers


def turned_in_part(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return np.where(draw.random(len(answers)) < 0.2, 1 - answers, answers)


def turned_but_for_a_bias(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    """The weights' sign, and not that of what is added to them: no exchange of classes does that."""
    return share_of(-log_odds_of(answers) - 0.6)


def another_model(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return share_of(1.3 * log_odds_of(wanted) + 1.4 * draw.normal(size=len(wanted)))


def of_other_rows(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    """Often sure of the wrong class, but not as sure as 1 − score would be."""
    return draw.permutation(answers)


def one_for_all(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
    return np.full(len(answers), 0.3)


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(
    ("change", "story"),
    [
        (stretched, "stretched"),
        (flattened, "stretched"),
        (turned, "turned"),
        (turned_in_part, "turned"),
        (turned_but_for_a_bias, "other"),
        (another_model, "other"),
        (of_other_rows, "other"),
        (one_for_all, "other"),
    ],
)
def test_the_story_that_is_true_is_told(change: object, story: str, seed: int) -> None:
    found = told(seed, change)
    assert getattr(found, story) > 0.8, found
    assert found.nats > 3, found


@pytest.mark.parametrize("seed", range(1, 6))
def test_answers_as_in_health_are_no_story(seed: int) -> None:
    assert told(seed, as_ever).nats < 0


def test_rows_from_before_the_onset_do_not_hide_a_stretch() -> None:
    def later(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
        return np.where(np.arange(len(answers)) < 0.3 * len(answers), answers, stretched(wanted, answers, draw))

    assert told(1, later, 90).stretched > 0.8


def test_a_stretch_is_measured() -> None:
    found = told(1, stretched, 150)
    assert found.scale == pytest.approx(2.0, rel=0.15)
    assert found.shift == pytest.approx(0.5, abs=0.3)


def test_scores_that_are_cut_to_the_bound_by_their_digits_tell_only_their_side() -> None:
    def sharpened(wanted: Floats, answers: Floats, draw: np.random.Generator) -> Floats:
        return np.round(share_of(3.0 * log_odds_of(answers)), 3)

    assert told(2, sharpened).stretched > 0.8


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize(
    ("change", "story"), [(stretched, "stretched"), (turned_in_part, "turned"), (another_model, "other")]
)
def test_scores_of_two_digits_are_0_from_half_a_hundredth_down(change: object, story: str, seed: int) -> None:
    """Many are 0.00 or 1.00 in health: such ones are no answers that go otherwise."""

    def log_odds_within(wanted: Floats, count: int, seed: int) -> Floats:
        draw = np.random.default_rng(seed)
        return share_of(2.0 * log_odds_of(wanted) + 0.6 * draw.standard_t(5, count))

    def of_two_digits(seed: int, count: int) -> tuple[Floats, Floats]:
        wanted, _ = rows(seed, count)
        return share_of(2.0 * log_odds_of(wanted)), log_odds_within(wanted, count, seed)

    wanted, answers = of_two_digits(0, 500)
    health = Health(wanted, np.round(answers, 2))
    assert health.edge == 0.005
    wanted, answers = of_two_digits(seed, 150)
    changed = np.round(change(wanted, answers, np.random.default_rng(seed + 100)), 2)  # type: ignore[operator]
    found = judged(health, wanted, changed)
    assert getattr(found, story) > 0.8, found
    assert judged(health, wanted, np.round(answers, 2)).nats < OTHERWISE_NATS


def sure(seed: int, count: int) -> tuple[Floats, Floats]:
    """Of a model that is sure of most cases: three in four of its scores, to four digits, are 1."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(14.0, 6.0, count)
    expected = share_of(middle) + 0.003 * draw.normal(size=count)
    return expected, share_of(middle + draw.standard_t(5, count)).round(4)


@pytest.mark.parametrize("is_turned", [False, True], ids=["ones", "zeros"])
def test_scores_at_an_edge_as_in_health_are_not_told_to_be_others(is_turned: bool) -> None:
    """Most are only known to be beyond it: their middle is not at the edge."""

    def side(pair: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        return (1 - pair[0], (1 - pair[1]).round(4)) if is_turned else pair

    health = Health(*side(sure(0, 500)))
    nats = [judged(health, *side(sure(seed, ROWS))).nats for seed in range(1, 21)]
    assert max(nats) < OTHERWISE_NATS
    wanted, answers = side(sure(1, ROWS))
    blunt = np.clip(share_of(0.4 * log_odds_of(np.clip(answers, 1e-5, 1 - 1e-5))), 0, 1).round(4)
    assert judged(health, wanted, blunt).nats > OTHERWISE_NATS, "less sure is seen"
