"""The search for a mix-up behind the log: what it finds, in numbers, and where it finds none."""

import sys
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from pathlib import Path

import pytest
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world, and cases made of its rows

from case_builder import Builder
from world import broken_rows, healthy_rows

from whydrift.core.case import Case
from whydrift.core.faults.mix_ups import mix_up, unrelated_input
from whydrift.core.faults.preprocessing_mismatch import returned
from whydrift.core.faults.rule import Example, Row
from whydrift.core.faults.sketches import predict, scatter

SEED, HEALTHY = 4, 2_000
Edit = Callable[[Row], float]


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder(healthy_rows(SEED, HEALTHY))


def case(builder: Builder, edit: Edit, rows: int) -> Case:
    def score(before: float, features: Row) -> float:
        return 1 / (1 + exp(-(log(before / (1 - before)) + edit(features))))

    stream = broken_rows(Example("", predict(score)), HEALTHY, HEALTHY + rows, SEED)
    return builder.build(stream[HEALTHY:])


def income_of(row: Row) -> float:
    return log(row["income"] / 48_000) / 0.5


def exchanged(row: Row) -> float:
    return 0.85 * (income_of(row) - (row["debt_ratio"] - 0.29) / 0.16)


def blind(row: Row) -> float:
    return 0.45 * income_of(row)


def of_another(row: Row) -> float:
    return 0.45 * (income_of(row) - float(ndtri(0.02 + 0.96 * scatter(round(row["income"] * 100)))))


def healthy(row: Row) -> float:
    return 0.0


def shifted(row: Row) -> float:
    return 0.8


def noisy(row: Row) -> float:
    return 3.0 * (scatter(round(row["income"] * 100)) - 0.5)


def test_two_inputs_in_each_other_s_place_are_found_in_sixty_rows_and_undone_the_answers_are_back(
    builder: Builder,
) -> None:
    found = mix_up(case(builder, exchanged, 60))
    assert found is not None
    assert {place: given.source for place, given in found.mix.items()} == {
        "income": "debt_ratio",
        "debt_ratio": "income",
    }
    assert found.is_sure
    assert found.order == ""
    assert found.scatter < 2 < found.scatter_plain
    assert returned(found) > 0.95


def test_an_input_that_is_the_same_for_everybody_is_found_with_a_value_from_its_middle(builder: Builder) -> None:
    found = mix_up(case(builder, blind, 150))
    assert found is not None
    assert list(found.mix) == ["income"]
    value = found.mix["income"].value
    assert value is not None
    assert 30_000 < value < 80_000


def test_an_input_of_other_rows_is_found_and_no_mix_up_is(builder: Builder) -> None:
    it = case(builder, of_another, 600)
    found = unrelated_input(it)
    assert found is not None
    assert found.place == "income"
    assert found.share >= 0.7


@pytest.mark.parametrize("edit", [healthy, shifted, noisy])
def test_answers_as_in_health_shifted_or_noisy_show_neither(builder: Builder, edit: Edit) -> None:
    it = case(builder, edit, 300)
    found = mix_up(it)
    assert found is None or not returned(found)
    assert unrelated_input(it) is None


def test_too_few_rows_or_no_stand_in_or_an_input_that_is_not_there_show_nothing(builder: Builder) -> None:
    few = case(builder, exchanged, 25)
    assert mix_up(few) is None
    it = case(builder, exchanged, 60)
    assert mix_up(replace(it, stand_in=None)) is None
    now = it.answered.current
    without = replace(now, inputs={name: values for name, values in now.inputs.items() if name != "income"})
    assert mix_up(replace(it, answered=replace(it.answered, current=without))) is None
