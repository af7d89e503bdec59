"""Real Keras and TensorFlow models: built, saved and loaded, of one's own class, and as bare modules."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.collector.described import changed, event, installed, names, structure, tensors

tf = installed("tensorflow")
keras = installed("keras")


def network(width: int = 8, last: int = 3, activation: str = "softmax", seed: int = 1) -> Any:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(width, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(last, activation=activation),
        ]
    )


def branched(joins: str = "Concatenate") -> Any:
    keras.utils.set_random_seed(2)
    inputs = [keras.Input((1,), name=name) for name in ("income", "age", "region")]
    both = getattr(keras.layers, joins)()(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(both))


def test_a_network_tells_its_layers_its_task_and_every_weight() -> None:
    model = network()
    told = event(model, feature_names=["a", "b", "c", "d"])
    assert (told.task, names(told)) == ("multiclass", ["a", "b", "c", "d"])
    assert told.structure is not None
    assert told.structure.framework == "keras"
    kinds = [(layer.kind, layer.shape) for layer in told.structure.layers or ()]
    assert kinds == [("Dense", [4, 8]), ("BatchNormalization", [8]), ("Dropout", None), ("Dense", [8, 3])]
    whole = {name: one for name, one in tensors(told).items() if "[" not in name}
    assert sum(one.count for one in whole.values()) == model.count_params()
    kernel = model.layers[0].kernel.numpy()
    assert next(iter(whole.values())).l2_norm == pytest.approx(float(np.linalg.norm(kernel)), rel=1e-6)


def test_the_same_network_built_again_has_the_same_structure_though_its_layers_are_numbered_on() -> None:
    first, again = network(), network(seed=2)
    assert first.layers[0].name != again.layers[0].name
    assert structure(event(first)) == structure(event(again))
    assert structure(event(branched())) == structure(event(branched()))


def test_width_activation_depth_and_connections_are_structure() -> None:
    models = [network(), network(width=9), network(activation="sigmoid"), network(last=2), branched(), branched("Add")]
    assert len({structure(event(model)) for model in models}) == len(models)


def test_saved_and_loaded_a_network_keeps_all_digests(tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / "model.keras")
    assert event(keras.models.load_model(tmp_path / "model.keras")) == event(model)


def test_training_changes_weights_and_leaves_the_structure() -> None:
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy")
    before = event(model)
    model.fit(np.eye(4), np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    after = event(model)
    assert structure(before) == structure(after)
    assert len(changed(before, after)) >= 6


def test_a_layer_of_nan_a_zeroed_layer_and_a_permuted_head_are_told() -> None:
    model = network()
    before = event(model)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, [2, 0, 1]], bias])
    permuted = tensors(event(model))
    (name,) = (one.removesuffix("[0]") for one in permuted if one.endswith("[0]"))
    assert [permuted[f"{name}[{n}]"].digest for n in range(3)] == [
        tensors(before)[f"{name}[{n}]"].digest for n in (2, 0, 1)
    ]
    model.layers[0].kernel.assign(np.full((4, 8), np.nan))
    first = next(iter(tensors(event(model)).values()))
    assert (first.non_finite, first.mean) == (32, None)
    model.layers[0].kernel.assign(np.zeros((4, 8)))
    assert next(iter(tensors(event(model)).values())).zeros == 32


def test_named_columns_as_inputs_are_told_in_their_order() -> None:
    told = event(branched())
    assert names(told) == ["income", "age", "region"]
    assert told.task == "binary"


@pytest.mark.parametrize(("loss", "task"), [("mse", "regression"), ("mean_absolute_error", "regression"), (None, None)])
def test_a_linear_last_layer_is_a_regression_if_the_loss_says_so(loss: str | None, task: str | None) -> None:
    model = network(last=1, activation="linear")
    if loss:
        model.compile("sgd", loss)
    assert event(model).task == task


def test_a_model_of_ones_own_class_is_described() -> None:
    class Ranker(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    model = Ranker()
    model(np.ones((1, 5), "f4"))
    told = event(model)
    assert told.structure is not None
    assert told.structure.class_name == Ranker.__qualname__
    assert sorted(one.count for name, one in tensors(told).items() if "[" not in name) == [2, 10]


def test_a_loaded_saved_model_and_a_module_are_told_by_their_variables(tmp_path: Path) -> None:
    class Scale(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.by = tf.Variable([2.0, 3.0], name="by")

        @tf.function(input_signature=[tf.TensorSpec([None, 2])])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return x * self.by

    module = Scale()
    tf.saved_model.save(module, str(tmp_path))
    for model in (module, tf.saved_model.load(str(tmp_path))):
        told = event(model)
        assert told.structure is not None
        assert told.structure.framework == "tensorflow"
        assert [(one.count, one.mean) for one in told.parameters or ()] == [(2, 2.5)]


def test_bfloat16_weights_are_told_by_their_values() -> None:
    model = network()
    model.layers[0].kernel.assign(np.full((4, 8), 0.5))
    values = tf.cast(model.layers[0].kernel, tf.bfloat16)
    told = tensors(event({"kernel": values}))["kernel"]
    assert (told.count, told.mean, told.non_finite) == (32, 0.5, 0)
