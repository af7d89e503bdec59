"""A promise is turned into what comes of it: monotone, bounded, with a doubt that covers its own error."""

import numpy as np
import pytest

from whydrift.core.calibration import MAX_STEPS, Calibration, fit_calibration
from whydrift.core.columns import Floats
from whydrift.core.state import pack, unpack

ROWS = 2_000


def pairs(draw: np.random.Generator, rows: int = ROWS) -> tuple[Floats, Floats]:
    """A model that is too sure of itself at both ends."""
    promised = draw.beta(0.6, 0.6, rows)
    return promised, (draw.random(rows) < truth(promised)).astype(float)


def truth(promised: Floats) -> Floats:
    return 0.15 + 0.6 * promised**2


def test_what_comes_is_learnt_whatever_was_promised() -> None:
    promised, outcomes = pairs(np.random.default_rng(1))
    calibration = fit_calibration(promised, outcomes)
    learnt = calibration.means[calibration.steps(promised)]
    assert np.abs(learnt - truth(promised)).mean() < 0.05
    assert np.abs(promised - truth(promised)).mean() > 0.1


def test_the_steps_never_fall_and_are_bounded_in_number() -> None:
    draw = np.random.default_rng(2)
    promised = draw.normal(size=20_000)
    calibration = fit_calibration(promised, promised + draw.normal(size=20_000))
    assert (np.diff(calibration.means) > 0).all()
    assert 10 < len(calibration.means) <= MAX_STEPS
    assert calibration.counts.sum() == 20_000


def test_its_doubt_covers_the_error_of_its_means() -> None:
    """Of a mean over new rows: off by more than 1.96 of its own standard errors in one of twenty references."""
    inside = 0
    for seed in range(200):
        draw = np.random.default_rng([3, seed])
        calibration = fit_calibration(*pairs(draw, 500))
        new = draw.beta(2, 0.8, 5_000)
        steps = calibration.steps(new)
        error = calibration.means[steps].mean() - truth(new).mean()
        inside += abs(error) <= 1.96 * calibration.doubt(steps, np.full(5_000, 1 / 5_000)) ** 0.5
    assert 184 <= inside <= 200


def test_promises_that_say_the_opposite_become_one_step() -> None:
    promised, outcomes = pairs(np.random.default_rng(4))
    calibration = fit_calibration(1 - promised, outcomes)
    assert calibration.means.tolist() == pytest.approx([outcomes.mean()])


@pytest.mark.parametrize(
    ("promised", "outcomes", "means"),
    [
        ([0.3], [1.0], [1.0]),
        ([0.5] * 40, [0.0, 1.0] * 20, [0.5]),
        ([0.2] * 30 + [0.9] * 30, [0.0] * 30 + [1.0] * 30, [0.25 / 30.5, 30.25 / 30.5]),
    ],
)
def test_few_or_equal_promises_make_as_many_steps_as_they_can(
    promised: list[float], outcomes: list[float], means: list[float]
) -> None:
    assert fit_calibration(np.array(promised), np.array(outcomes)).means.tolist() == pytest.approx(means)


def test_a_step_of_equal_outcomes_is_not_without_doubt() -> None:
    calibration = fit_calibration(np.repeat([0.1, 0.9], 30), np.repeat([0.0, 1.0], 30))
    assert (calibration.variances > 0).all()


def test_it_goes_on_exactly_from_its_state() -> None:
    calibration = fit_calibration(*pairs(np.random.default_rng(5)))
    again = Calibration.restore(unpack("test", pack("test", calibration.snapshot())))
    new = np.linspace(0, 1, 101)
    assert (again.steps(new) == calibration.steps(new)).all()
    assert again.doubt(again.steps(new), new) == calibration.doubt(calibration.steps(new), new)
