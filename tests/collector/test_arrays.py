"""Arrays in numbers: statistics, digests, names, sizes; and what is refused."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.collector.described import AT_MS, changed, event, names, structure, tensors

from whydrift_schemas.collector import describe
from whydrift_schemas.collector.tensors import MAX_PARAMETERS


def layer(**changes: Any) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    return {"kernel": draw.normal(size=(300, 400)), "bias": draw.normal(size=400)} | changes


def test_the_numbers_of_a_tensor_are_those_of_numpy() -> None:
    kernel = layer()["kernel"]
    kernel[:3] = 0.0
    told = tensors(event({"kernel": kernel}))["kernel"]
    assert (told.count, told.zeros, told.non_finite) == (120_000, 1_200, 0)
    wanted = (kernel.mean(), kernel.std(), kernel.min(), kernel.max(), np.linalg.norm(kernel))
    assert (told.mean, told.std, told.min, told.max, told.l2_norm) == pytest.approx(wanted, rel=1e-9)


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    told = tensors(event([np.array([np.nan, np.inf, -np.inf, 3.0, 4.0])]))["0"]
    assert (told.count, told.non_finite, told.mean, told.l2_norm) == (5, 3, 3.5, 5.0)


def test_a_tensor_of_nothing_but_nan_has_no_mean() -> None:
    told = tensors(event({"w": np.full(7, np.nan)}))["w"]
    assert (told.non_finite, told.mean, told.std, told.min, told.max, told.l2_norm) == (7, None, None, None, None, None)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e9, 1e200, 1e308])
def test_spread_does_not_overflow_nor_cancel(size: float) -> None:
    told = tensors(event({"w": size * np.tile([1.0, 0.5], 100_000)}))["w"]
    assert told.std == pytest.approx(0.25 * size, rel=1e-6)
    assert told.mean == pytest.approx(0.75 * size, rel=1e-6)


def test_spread_far_from_zero_does_not_cancel() -> None:
    told = tensors(event({"w": 1e9 + np.tile([-1.0, 1.0], 200_000)}))["w"]
    assert told.std == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint64", "bool", ">f4", ">i8"])
def test_every_type_of_number_is_read(dtype: str) -> None:
    told = tensors(event({"w": np.array([0, 1, 1, 0, 1]).astype(dtype)}))["w"]
    assert (told.count, told.zeros, told.mean) == (5, 2, 0.6)


def test_the_order_of_bytes_and_the_strides_leave_the_digest_alone() -> None:
    kernel = layer()["kernel"].astype("f4")
    same = [kernel, kernel.astype(">f4"), np.asfortranarray(kernel), np.repeat(kernel, 2, axis=0)[::2]]
    assert len({tensors(event({"w": one}))["w"].digest for one in same}) == 1
    assert changed(event({"w": kernel}), event({"w": kernel.reshape(400, 300)})) == {"w"}


def test_one_changed_number_changes_the_digest_of_its_tensor_alone() -> None:
    other = layer()
    other["kernel"][17, 3] = np.nextafter(other["kernel"][17, 3], 9)
    assert changed(event(layer()), event(other)) == {"kernel"}
    assert structure(event(layer())) == structure(event(other))


def test_another_shape_or_another_name_is_another_structure() -> None:
    digests = {structure(event(one)) for one in (layer(), layer(bias=np.zeros(5)), layer(gain=np.zeros(4)))}
    assert len(digests) == 3


def test_digests_are_the_same_in_another_process() -> None:
    code = (
        "from tests.collector.test_arrays import layer; from tests.collector.described import event, structure\n"
        "print(structure(event(layer())), [one.digest for one in event(layer()).parameters])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = event(layer())
    assert told.strip() == f"{structure(here)} {[one.digest for one in here.parameters or ()]}"


def test_arrays_within_mappings_and_lists_are_named_by_their_path() -> None:
    nested = {"encoder": [{"w": np.ones(2)}, {"w": np.ones(3)}], "bias": [0.5, 1.5]}
    assert list(tensors(event(nested))) == ["encoder/0/w", "encoder/1/w", "bias"]
    assert list(tensors(event(np.ones(3)))) == ["array"]


def test_an_object_of_ones_own_is_described_by_its_arrays() -> None:
    class Perceptron:
        def __init__(self) -> None:
            self.weights, self.name = np.ones((3, 1)), "p"

    told = event(Perceptron(), feature_names=["b", "a"], feature_types={"a": "categorical"}, task="binary")
    assert list(tensors(told)) == ["weights"]
    assert (names(told), [one.type for one in told.features or ()]) == (["b", "a"], ["numeric", "categorical"])
    assert (told.task, told.structure and told.structure.class_name) == ("binary", Perceptron.__qualname__)


@pytest.mark.parametrize("nothing", [{}, [], object(), 5, "model", {"a": "text"}, lambda x: x])
def test_what_has_no_parameters_is_refused_in_words(nothing: object) -> None:
    with pytest.raises(TypeError, match="no parameters are found in a"):
        event(nothing)


def test_a_model_of_very_many_tensors_stays_small_and_still_tells_every_change() -> None:
    many = {f"{'long' * 80}/{place}": np.full(3, place, float) for place in range(3 * MAX_PARAMETERS)}
    told = event(many)
    parameters = told.parameters or []
    assert len(parameters) == MAX_PARAMETERS
    assert len(told.model_dump_json()) < 1_000_000
    assert sum(one.count for one in parameters) == 9 * MAX_PARAMETERS
    many[list(many)[-1]][0] = np.nan
    assert changed(told, event(many)) == {parameters[-1].name}
    assert (event(many).parameters or [])[-1].non_finite == 1


def test_the_time_is_read_as_in_every_event_or_as_a_datetime_with_its_zone() -> None:
    moment = datetime.fromtimestamp(AT_MS / 1_000, UTC)
    for timestamp in (AT_MS, moment, moment.isoformat()):
        assert describe([np.ones(1)], model_id="m", model_version="1", timestamp=timestamp).timestamp == AT_MS
    with pytest.raises(ValueError, match="zone"):
        describe([np.ones(1)], model_id="m", model_version="1", timestamp=moment.replace(tzinfo=None))


def test_a_serving_process_imports_no_framework_and_the_contract_no_numpy() -> None:
    code = (
        "import sys, whydrift_schemas\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"
        "import whydrift_schemas.collector\n"
        "after = {name.partition('.')[0] for name in sys.modules}\n"
        "print('numpy' in before, sorted(after & {'sklearn', 'keras', 'tensorflow', 'torch', 'xgboost', 'lightgbm', 'scipy'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False []"
