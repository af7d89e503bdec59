"""Inputs that are mixed up behind the log, through the pipeline: which mix-up is told, and what is none.

Belongs here: mix-ups, and look-alikes, that the rule's own examples (`tests/conformance/test_faults`) do not have.
"""

import sys
from collections.abc import Callable
from math import exp, log
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its streams

from streams import broken, learnt, said

from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import predict, scatter
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


def noise(row: Row) -> float:
    return 4.0 * (scatter(round(row["income"] * 100)) - 0.5)


def by_other_ways(row: Row) -> float:
    """It reacts to what it did not react to before."""
    return 0.3 * (row["temperature"] - 15) / 5 + 0.9 * scaled(row)[0]


@pytest.mark.parametrize("edit", [noise, by_other_ways])
def test_answers_that_no_mix_up_explains_are_another_model_s_or_corrupted(edit: Edit) -> None:
    one = words(edit, 500)[0]
    assert str(one.causes[0].fault) in {"wrong_model", "parameter_corruption"}, one.summary
