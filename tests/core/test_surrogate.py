"""The surrogate's residual moves when the model breaks, and stays when the world moves."""

import numpy as np
import pytest

from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.evidence import mixture_log10
from whydrift.core.reference import BINS, NO_BIN, UNSEEN, Binning, learn_column
from whydrift.core.signals import distribution_bets
from whydrift.core.state import pack, unpack
from whydrift.core.surrogate import Surrogate, fit_crosswise, fit_surrogate, mean_of

ROWS = 1_000
RNG = np.random.default_rng(9)


def model(x: Floats) -> Floats:
    """What is watched: bent in one input, a step in the other, one for the sake of the other; a third one plays no part."""
    return np.tanh(x[:, 0]) + (0.8 + 0.3 * x[:, 0]) * (x[:, 1] > 0)


def inputs(rows: int, shift: float = 0.0) -> Floats:
    return RNG.normal([shift, shift, 0.0], 1.0, (rows, 3))


HEALTH = inputs(2 * ROWS)
BINNING = Binning(
    [Column(f"x{i}", Kind.NUMERIC) for i in range(3)],
    [learn_column(Column(f"x{i}", Kind.NUMERIC), HEALTH[:, i], np.zeros(2 * ROWS, np.int8)) for i in range(3)],
)
SURROGATE = fit_surrogate(BINNING.bins(HEALTH[:ROWS]), model(HEALTH[:ROWS]))


def residual(x: Floats, prediction: Floats) -> Floats:
    return prediction - SURROGATE.expect(BINNING.bins(x))


SPREAD = float(residual(HEALTH[ROWS:], model(HEALTH[ROWS:])).std())


def test_what_the_inputs_tell_is_taken_out_of_the_prediction() -> None:
    healthy = residual(HEALTH[ROWS:], model(HEALTH[ROWS:]))
    assert healthy.std() < 0.12 * model(HEALTH[ROWS:]).std()
    assert abs(healthy.mean()) < 0.2 * SPREAD


@pytest.mark.parametrize("shift", [0.5, -1.0])
def test_the_residual_stays_when_only_the_inputs_move(shift: float) -> None:
    x = inputs(ROWS, shift)
    moved = abs(model(x).mean() - model(HEALTH).mean())
    assert abs(residual(x, model(x)).mean()) < 0.25 * moved


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_residual_moves_when_the_model_breaks_whether_or_not_inputs_move(shift: float) -> None:
    x = inputs(ROWS, shift)
    assert residual(x, model(x) + 0.3).mean() == pytest.approx(0.3, abs=0.1)
    assert residual(x, -model(x)).std() > 3 * SPREAD


def test_missing_inputs_are_an_input_like_any_other() -> None:
    x = HEALTH[:ROWS].copy()
    gone = RNG.random(ROWS) < 0.2
    x[gone, 0] = np.nan
    answer = np.where(gone, 5.0, model(x))
    fitted = fit_surrogate(BINNING.bins(x), answer)
    expected = fitted.expect(BINNING.bins(x))
    assert abs(expected[gone].mean() - 5.0) < 0.2


def test_rows_without_a_prediction_are_left_out() -> None:
    bins, target = BINNING.bins(HEALTH[:ROWS]), model(HEALTH[:ROWS])
    hidden = target.copy()
    hidden[::3] = np.nan
    assert np.isfinite(fit_surrogate(bins, hidden).leaves).all()
    without = fit_surrogate(np.delete(bins, np.s_[::3], axis=0), np.delete(target, np.s_[::3]))
    assert fit_surrogate(bins, hidden).expect(bins) == pytest.approx(without.expect(bins))


def test_without_rows_or_inputs_it_expects_what_little_is_known() -> None:
    bins = np.zeros((3, 2), np.intp)
    assert fit_surrogate(bins, np.full(3, np.nan)).expect(bins).tolist() == [0, 0, 0]
    none = np.zeros((4, 0), np.intp)
    assert fit_surrogate(none, np.array([1.0, 2.0, 3.0, 6.0])).expect(none).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("place", [UNSEEN, NO_BIN])
def test_a_value_that_says_nothing_counts_as_one_in_the_middle_where_none_was_fitted_on(place: int) -> None:
    bins = np.arange(1_000, dtype=np.intp)[:, None] % 20
    fitted = fit_surrogate(bins, bins[:, 0].astype(float))
    assert fitted.expect(np.array([[place]])) == pytest.approx(9.5, abs=0.6)
    bins[::5] = place
    assert fitted.knows(np.array([[3], [place]])).tolist() == [True, False]
    known = fit_surrogate(bins, np.where(bins[:, 0] == place, 40.0, bins[:, 0]))
    assert known.expect(np.array([[place]])) == pytest.approx(40, abs=0.5)
    assert known.knows(np.array([[3], [place]])).all()


def test_the_mean_of_two_expects_the_mean() -> None:
    bins, rows = BINNING.bins(HEALTH), len(HEALTH) // 2
    two = [
        fit_surrogate(part, model(values))
        for part, values in ((bins[:rows], HEALTH[:rows]), (bins[rows:], HEALTH[rows:]))
    ]
    mean = (two[0].expect(bins) + two[1].expect(bins)) / 2
    assert mean_of(two).expect(bins) == pytest.approx(mean)


def test_each_row_is_judged_by_one_of_the_two_halves() -> None:
    bins, answers, times_ms = BINNING.bins(HEALTH), model(HEALTH), np.arange(len(HEALTH))
    halves = [
        fit_surrogate(bins[ROWS // 2 : ROWS], answers[ROWS // 2 : ROWS]),
        fit_surrogate(bins[: ROWS // 2], answers[: ROWS // 2]),
    ]
    left = mean_of(halves).left(answers, bins, times_ms)[:, 0]
    by_each = np.stack([answers - half.expect(bins) for half in halves], axis=1)
    is_it = np.isclose(left[:, None], by_each)
    assert is_it.any(axis=1).all()
    # Drawn, not in turn: whoever comes in turn gets both.
    first = is_it[:, 0]
    assert [first[start::3].mean() for start in range(3)] == pytest.approx([0.5] * 3, abs=0.1)
    again = Surrogate.restore(unpack("surrogate", pack("surrogate", mean_of(halves).snapshot())))
    assert again.left(answers, bins, times_ms)[:, 0].tolist() == left.tolist()


def test_the_mean_of_surrogates_that_know_nothing_but_a_mean() -> None:
    bins = BINNING.bins(HEALTH)
    constants = [fit_surrogate(bins, np.full(len(HEALTH), value)) for value in (1.0, 3.0)]
    assert mean_of(constants).expect(bins) == pytest.approx(2.0)
    assert set(mean_of(constants).left(np.zeros(len(bins)), bins, np.arange(len(bins)))[:, 0].round(9)) == {-1.0, -3.0}
    none = np.zeros((4, 0), np.intp)
    assert mean_of([fit_surrogate(none, np.ones(4))]).expect(none).tolist() == [1, 1, 1, 1]


def test_what_was_written_before_there_were_trees_expects_the_same() -> None:
    table = RNG.normal(size=(3, BINS + 1))
    bins = RNG.integers(0, BINS + 1, size=(200, 3))
    added = 0.5 + table[np.arange(3), bins].sum(axis=1)
    again = Surrogate.restore({"mean": 0.5, "table": table})
    assert again.expect(bins) == pytest.approx(added)
    assert Surrogate.restore(again.snapshot()).expect(bins) == pytest.approx(added)


def test_what_was_written_before_there_were_parts_is_one_for_all_rows() -> None:
    bins, answers = BINNING.bins(HEALTH), model(HEALTH)
    written = SURROGATE.snapshot()
    del written["parts"]
    left = Surrogate.restore(written).left(answers, bins, np.arange(len(HEALTH)))[:, 0]
    assert left == pytest.approx(answers - SURROGATE.expect(bins))
    with pytest.raises(ValueError, match="60 trees in 7 parts"):
        Surrogate.restore({**written, "parts": 7})


def test_a_surrogate_through_bytes_expects_the_same() -> None:
    again = Surrogate.restore(unpack("surrogate", pack("surrogate", SURROGATE.snapshot())))
    bins = BINNING.bins(HEALTH)
    assert again.expect(bins).tolist() == SURROGATE.expect(bins).tolist()


def test_residuals_over_their_usual_sizes_are_about_as_wide_for_all_inputs() -> None:
    wide = np.where(HEALTH[:, 1] > 0, 10.0, 1.0)
    answers = model(HEALTH) + wide * RNG.normal(size=len(HEALTH))
    bins = BINNING.bins(HEALTH)
    fitted, times_ms = fit_crosswise(bins[:ROWS], answers[:ROWS])[0], np.arange(len(answers))
    left = fitted.left(answers, bins, times_ms)
    spreads = [left[ROWS:, 1][wide[ROWS:] == one].std() for one in (1.0, 10.0)]
    assert spreads[1] < 2.5 * spreads[0]
    again = Surrogate.restore(unpack("surrogate", pack("surrogate", fitted.snapshot())))
    assert again.left(answers, bins, times_ms).tolist() == left.tolist()


def test_residuals_of_a_surrogate_without_sizes_are_not_standardised() -> None:
    bins = BINNING.bins(HEALTH)
    constant = fit_crosswise(bins, np.full(len(HEALTH), 3.0))[0]
    for one in (SURROGATE, constant):
        assert np.isnan(one.left(model(HEALTH), bins, np.arange(len(HEALTH)))[:, 1]).all()


def test_of_many_inputs_those_that_tell_most_are_fitted_and_the_others_change_nothing() -> None:
    rng = np.random.default_rng(3)
    bins = rng.integers(0, 8, size=(1_000, 300))
    target = np.where(bins[:, 250] > 3, 2.0, -1.0) + rng.normal(0, 0.1, 1_000)
    surrogate = fit_surrogate(bins[:500], target[:500])
    rest = target[500:] - surrogate.expect(bins[500:])
    assert rest.std() < 0.2 * target.std()
    assert 250 in surrogate.columns
    assert len(np.unique(surrogate.columns)) <= 40


def test_residuals_of_health_show_how_the_surrogate_errs_where_inputs_wander_off_for_a_while() -> None:
    """Category 3 is there in one stretch only, with an answer of its own: next time it may be category 4, with another one."""
    rng = np.random.default_rng(5)
    bins = rng.integers(0, 3, 1_000)[:, None]
    bins[700:760] = 3
    target = np.where(bins[:, 0] == 3, 2.0, 0.0) + rng.normal(0, 0.1, 1_000)
    residuals = fit_crosswise(bins, target)[1]
    assert np.abs(target - fit_surrogate(bins, target).expect(bins)).max() < 0.6  # rows fitted on know it
    assert residuals[700:760, 0].mean() == pytest.approx(2.0, abs=0.1)


def test_residuals_of_health_are_no_narrower_than_those_to_come() -> None:
    rng = np.random.default_rng(6)
    bins = BINNING.bins(HEALTH)
    answers = model(HEALTH) + rng.normal(0, 1 + (HEALTH[:, 1] > 0), len(HEALTH))
    surrogate, health = fit_crosswise(bins[:ROWS], answers[:ROWS])
    both = surrogate.left(answers[ROWS:], bins[ROWS:], np.arange(ROWS, len(answers)))
    assert np.all(health.std(axis=0) / both.std(axis=0) > 0.95)
    assert np.all(health.std(axis=0) / both.std(axis=0) < 1.2)


def test_rows_are_fitted_on_from_everywhere_in_a_long_reference() -> None:
    """Of a level that wanders, the last rows are all at one place."""
    bins = np.repeat([0, 1, 2, 3], 2_500)[:, None]
    surrogate = fit_surrogate(bins, np.repeat([1.0, 2.0, 3.0, 4.0], 2_500))
    assert surrogate.expect(np.arange(4)[:, None]) == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=0.1)


def test_where_no_other_part_has_predictions_nothing_is_expected() -> None:
    bins, target = BINNING.bins(HEALTH), model(HEALTH)
    hidden = target.copy()
    hidden[: 2 * len(hidden) // 3] = np.nan
    surrogate, residuals = fit_crosswise(bins, hidden)
    assert np.isnan(residuals).all()
    assert (target - surrogate.expect(bins)).std() < 0.3 * target.std()
    assert fit_crosswise(bins[:3], np.full(3, np.nan))[0].expect(bins[:3]).tolist() == [0, 0, 0]
    assert fit_crosswise(bins[:0], target[:0])[1].shape == (0, 2)


def test_residuals_of_few_rows_are_about_as_wide_as_those_to_come() -> None:
    """Half of 200 rows fit so much worse than all of them that health would look twice as wide as what comes."""
    rng = np.random.default_rng(7)
    bins = BINNING.bins(HEALTH)
    answers = model(HEALTH) + rng.normal(0, 0.1, len(HEALTH))
    wider = []
    for first in range(0, 1_000, 200):
        surrogate, health = fit_crosswise(bins[first : first + 200], answers[first : first + 200])
        wider.append(health[:, 0].std() / (answers[ROWS:] - surrogate.expect(bins[ROWS:])).std())
    assert 0.9 < np.mean(wider) < 1.25


@pytest.mark.parametrize("name", ["income", "residual", "dependence.income"])
def test_where_cases_that_are_all_the_same_lie_tells_nothing_of_what_is_left_of_a_fit(name: str) -> None:
    """A twelfth of the cases are the same: each fit leaves something else of them."""
    draw = np.random.default_rng(9)

    def with_same(rows: int, value: float) -> np.ndarray:
        return np.where(draw.random(rows) < 0.08, value, draw.normal(size=rows))

    column = Column(name, Kind.NUMERIC)
    reference = learn_column(column, with_same(4_000, -0.2), np.zeros(4_000, np.int8))
    bets = distribution_bets(reference, Tolerance(reference.rows, 100, 0.2))
    bins = reference.bins(column, with_same(2_000, -0.05))
    found = mixture_log10(bets, np.bincount(bins, minlength=BINS)[:BINS].astype(float))
    assert (found > 6) == (name == "income")
