"""Another mix of outcomes, through the pipeline, where the model knows more than the inputs that are logged.

Belongs here: that answers which lean with the outcome are taken for the mix's, and other reasons for them are not. Not here: the
rule's own examples (`tests/conformance/test_faults`), the estimate of the mix (`test_reweighting`).
"""

from collections.abc import Callable, Iterator
from functools import cache
from math import exp

import numpy as np
import pytest

from whydrift_schemas import Diagnosis, Status

from .small_world import LABEL_DELAY, Event, Feed, answered, diagnoses, label, prediction

HEALTHY, BROKEN = 1_500, 1_000
Case = tuple[Event, float, str]
"""Inputs that are logged, log-odds that the model knows, and what comes true."""
Scored = Callable[[float], float]


@cache
def case(number: int) -> Case:
    draw = np.random.default_rng((11, number))
    x, z, unlogged = draw.normal(size=3).tolist()
    log_odds = x + 0.5 * z + unlogged - 0.4
    actual = "bad" if draw.random() < 1 / (1 + exp(-log_odds)) else "good"
    return {"x": round(x, 4), "z": round(z, 4)}, log_odds, actual


def cases(share: float | None) -> Iterator[Case]:
    """One after the other; of bad ones a share from the break on (None: as ever)."""
    draw, number = np.random.default_rng(5), 0
    for i in range(HEALTHY + BROKEN):
        wanted = "bad" if share is not None and draw.random() < share else "good"
        while i >= HEALTHY and share is not None and case(number)[2] != wanted:
            number += 1
        yield case(number)
        number += 1


def first(share: float | None, scored: Scored = lambda z: z, flipped: float = 0.0) -> Diagnosis:
    """The first word about a share of bad cases, other log-odds than the model's, or a share of labels that are turned bad."""
    draw = np.random.default_rng(6)

    def events() -> Iterator[Event]:
        actuals = []
        for i, (features, log_odds, actual) in enumerate(cases(share)):
            score = 1 / (1 + exp(-(scored(log_odds) if i >= HEALTHY else log_odds)))
            yield prediction(i, features, answered(score))
            actuals.append("bad" if i >= HEALTHY and draw.random() < flipped else actual)
            if i >= LABEL_DELAY:
                yield label(i - LABEL_DELAY, actuals[i - LABEL_DELAY])

    found = diagnoses(Feed()(events()), Status.OPENED)
    assert found, "nothing was said"
    return found[0]


@pytest.mark.parametrize("share", [0.65, 0.8, 0.15])
def test_answers_that_lean_with_the_outcome_are_no_other_model_s(share: float) -> None:
    one = first(share)
    assert str(one.causes[0].fault) == "label_shift", one.summary
    assert {str(cause.fault) for cause in one.causes[1:]}.isdisjoint({"wrong_model", "calibration_change"}), one.summary


def test_another_calibration_is_no_mix_of_outcomes() -> None:
    one = first(None, scored=lambda z: z + 0.8)
    assert str(one.causes[0].fault) == "calibration_change", one.summary


def test_a_mix_that_scores_do_not_bear_out_is_not_told_for_sure() -> None:
    """Another calibration beside a new mix: the same cases get higher scores than they got."""
    one = first(0.75, scored=lambda z: z + 0.6)
    assert str(one.causes[0].fault) != "label_shift" or one.causes[0].probability < 0.9, one.summary


def test_other_answers_beside_a_new_mix_are_not_its_doing() -> None:
    """Cases of each outcome get other answers than they got, and of these the mix says nothing."""
    one = first(0.75, scored=lambda z: -z)
    assert str(one.causes[0].fault) != "label_shift", one.summary


def test_outcomes_that_no_answers_follow_are_no_mix() -> None:
    one = first(None, flipped=0.4)
    assert str(one.causes[0].fault) != "label_shift", one.summary


def weak(flipped: float, *, rarer: float = 1.0) -> list[Diagnosis]:
    """All that is said of a model that tells little, of whose labels a share is turned, or whose good cases are rarer."""
    draw = np.random.default_rng(7)

    def events() -> Iterator[Event]:
        actuals: list[str] = []
        while len(actuals) < HEALTHY + 2 * BROKEN:
            i = len(actuals)
            x, z = draw.normal(size=2).tolist()
            score = 1 / (1 + exp(2.4 - 0.7 * x - 0.3 * z))
            is_bad = draw.random() < score
            if i >= HEALTHY and not is_bad and draw.random() > rarer:
                continue
            is_bad ^= i >= HEALTHY and draw.random() < flipped
            yield prediction(i, {"x": round(x, 4), "z": round(z, 4)}, answered(score))
            actuals.append("bad" if is_bad else "good")
            if i >= LABEL_DELAY:
                yield label(i - LABEL_DELAY, actuals[i - LABEL_DELAY])

    return [one for one in diagnoses(Feed()(events())) if one.status is not Status.RESOLVED]


def test_wrong_labels_of_a_model_that_tells_little_are_no_mix_of_outcomes() -> None:
    """More outcomes are bad, and the answers do not say that other cases came."""
    found = weak(flipped=0.2)
    assert found, "nothing was said"
    assert {str(one.causes[0].fault) for one in found} == {"label_quality"}


def test_other_cases_of_a_model_that_tells_little_are_a_mix_of_outcomes() -> None:
    found = weak(flipped=0.0, rarer=0.25)
    assert found, "nothing was said"
    assert str(found[-1].causes[0].fault) == "label_shift", found[-1].summary
