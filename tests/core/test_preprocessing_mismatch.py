"""Inputs that are mixed up behind the log, through the pipeline: which mix-up is told, and what is none.

Belongs here: mix-ups, and look-alikes, that the rule's own examples (`tests/conformance/test_faults`) do not have.
"""

import sys
from collections.abc import Callable
from math import exp, log
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its streams

from scipy.special import ndtri
from streams import broken, learnt, said

from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import both, lagged, predict, scatter
from whydrift_schemas import Diagnosis

SEED = 1
Edit = Callable[[Row], float]
"""By how much the log-odds change, from the features."""


def words(edit: Edit, rows: int) -> list[Diagnosis]:
    def score(before: float, features: Row) -> float:
        return 1 / (1 + exp(-(log(before / (1 - before)) + edit(features))))

    stream = broken(Example("", predict(score)), rows, SEED)
    return [one.diagnosis for one in said(learnt(SEED).pipeline(), stream)]


def scaled(row: Row) -> tuple[float, float, float]:
    """Income, debt ratio and utilisation, as the model's scaler makes them."""
    return log(row["income"] / 48_000) / 0.5, (row["debt_ratio"] - 0.29) / 0.16, (row["utilisation"] - 0.29) / 0.16


def turned(row: Row) -> float:
    return 0.9 * scaled(row)[0]


def in_a_circle(row: Row) -> float:
    """Of each the effect that it has, -.45, .4, .13, becomes that of the next."""
    income, debt, use = scaled(row)
    return (0.4 + 0.45) * income + (0.13 - 0.4) * debt + (-0.45 - 0.13) * use


def test_an_input_that_arrives_turned_round_is_told_at_once() -> None:
    one = words(turned, 200)[0]
    assert str(one.causes[0].fault) == "preprocessing_mismatch", one.summary
    assert "to be given income turned round" in one.summary
    assert one.causes[0].features == (), "the inputs are right"


def test_another_order_of_several_inputs_is_told_at_once() -> None:
    one = words(in_a_circle, 200)[0]
    assert str(one.causes[0].fault) == "preprocessing_mismatch", one.summary
    assert "in another order" in one.summary or "place" in one.summary


def blind(row: Row) -> float:
    """The model takes the same income for everybody."""
    return 0.9 * log(row["income"] / 48_000)


def test_an_input_that_is_the_same_for_everybody_is_told_at_once() -> None:
    """Whether nothing or something else is in its place is a near thing in so few rows."""
    one = words(blind, 300)[0]
    assert str(one.causes[0].fault) == "preprocessing_mismatch", one.summary
    assert "not to see income any more" in one.summary or "in the place of income" in one.summary


def of_another(row: Row) -> float:
    """The model takes the income of another row; what is logged goes with age and balance as ever."""
    other = 0.5 * float(ndtri(0.02 + 0.96 * scatter(round(row["income"] * 100))))
    return 0.9 * (log(row["income"] / 48_000) - other)


def test_an_input_of_other_rows_is_the_model_s_where_the_log_goes_with_the_other_inputs_once_there_are_rows() -> None:
    one = words(of_another, 700)[-1]
    assert str(one.causes[0].fault) == "preprocessing_mismatch", one.summary
    assert "to be given income of other rows" in one.summary


def test_an_input_that_no_other_goes_with_and_answers_miss_is_logged_wrongly_or_given_wrongly() -> None:
    """The model has the right debt ratio; logged is that of three rows before."""
    breaks = both(lagged("debt_ratio", 3), predict(lambda s, f: s + 1e-6))
    stream = broken(Example("", breaks), 700, SEED)
    one = [one.diagnosis for one in said(learnt(SEED).pipeline(), stream)][-1]
    names = [str(cause.fault) for cause in one.causes]
    assert names[:2] == ["misaligned_feature", "preprocessing_mismatch"], one.summary
    assert one.causes[0].features == ("debt_ratio",)
    assert "vector" in one.summary or one.causes[0].probability > 2 * one.causes[1].probability


def shifted(row: Row) -> float:
    return 1.0


def noise(row: Row) -> float:
    return 4.0 * (scatter(round(row["income"] * 100)) - 0.5)


def by_other_ways(row: Row) -> float:
    """It reacts to what it did not react to before."""
    return 0.3 * (row["temperature"] - 15) / 5 + 0.9 * scaled(row)[0]


@pytest.mark.parametrize("edit", [noise, by_other_ways, shifted])
def test_answers_that_no_mix_up_explains_are_another_model_s_or_corrupted(edit: Edit) -> None:
    one = words(edit, 500)[0]
    assert str(one.causes[0].fault) in {"wrong_model", "parameter_corruption", "calibration_change"}, one.summary
    assert "preprocessing_mismatch" not in {str(no.fault) for no in one.ruled_out}, (
        "there are more than those that were tried"
    )
