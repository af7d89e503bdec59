"""Stand-ins that can be asked about rows nobody has seen: what they are made of adds up, and a linear model is known as one."""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.stand_in import Linear, closest

from .columns_of_rows import stand_in_of

ROWS = 600


@pytest.fixture(scope="module")
def inputs() -> dict[str, Floats]:
    """Two quantities that go together closely, one that stands by itself, and a category of three values."""
    draw = np.random.default_rng(1)
    size = draw.normal(size=ROWS)
    return {
        "size": size,
        "weight": size + 0.3 * draw.normal(size=ROWS),
        "age": draw.integers(18, 70, ROWS).astype(float),
        "kind": draw.integers(0, 3, ROWS).astype(float),
    }


def linear(inputs: dict[str, Floats]) -> Floats:
    return (
        2 * inputs["size"]
        - inputs["weight"]
        + 0.1 * inputs["age"]
        + np.array([0.0, 3.0, -1.0])[inputs["kind"].astype(int)]
    )


def crooked(inputs: dict[str, Floats]) -> Floats:
    return np.where(inputs["size"] > 0, inputs["age"], -inputs["weight"])


def test_the_parts_of_all_inputs_add_up_to_what_the_surrogate_expects_missing_values_too(
    inputs: dict[str, Floats],
) -> None:
    stand_in = stand_in_of(inputs, crooked(inputs))
    rows = {name: values[:50].copy() for name, values in inputs.items()}
    rows["age"][::7] = np.nan
    parts = np.sum([stand_in.part(name, values) for name, values in rows.items()], axis=0)
    np.testing.assert_allclose(stand_in.answers(parts), stand_in.expect(rows))


@pytest.mark.parametrize("is_probability", [False, True])
def test_a_linear_model_is_known_where_inputs_go_together_as_they_never_did(
    inputs: dict[str, Floats], is_probability: bool
) -> None:
    def answer(rows: dict[str, Floats]) -> Floats:
        return 1 / (1 + np.exp(4 - linear(rows))) if is_probability else linear(rows)

    found = closest(stand_in_of(inputs, answer(inputs)), inputs, answer(inputs), is_probability)
    assert isinstance(found, Linear)
    mixed = {**inputs, "size": np.roll(inputs["size"], 100)}
    np.testing.assert_allclose(found.expect(mixed), answer(mixed), atol=0.02)


def test_trees_stand_in_for_a_model_that_is_not_linear(inputs: dict[str, Floats]) -> None:
    stand_in = stand_in_of(inputs, crooked(inputs))
    assert closest(stand_in, inputs, crooked(inputs), is_probability=False) is stand_in


def test_without_rows_of_health_or_without_one_of_the_inputs_the_trees_are_asked(inputs: dict[str, Floats]) -> None:
    stand_in = stand_in_of(inputs, linear(inputs))
    few = {name: values[:50] for name, values in inputs.items()}
    assert closest(stand_in, few, linear(few), is_probability=False) is stand_in
    without = {name: values for name, values in inputs.items() if name != "age"}
    assert closest(stand_in, without, linear(inputs), is_probability=False) is stand_in


def test_a_linear_model_of_as_many_terms_as_rows_is_not_tried(inputs: dict[str, Floats]) -> None:
    stand_in = stand_in_of(inputs, linear(inputs))
    few = {name: values[:110] for name, values in inputs.items()}
    few["kind"] = np.arange(110.0)
    assert closest(stand_in, few, linear(inputs)[:110], is_probability=False) is stand_in
