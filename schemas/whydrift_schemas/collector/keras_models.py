"""Keras (2 and 3) and TensorFlow: models of layers, and modules or loaded SavedModels that only have variables.

Belongs here: layers, their settings and connections, weights with their names.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from whydrift_schemas.collector.arrays import walk
from whydrift_schemas.collector.reading import Part, Reading, Tensor, settings_of, task_of_classes
from whydrift_schemas.names import Task

_NOT_STRUCTURE = frozenset({"name", "trainable", "dtype", "seed", "batch_input_shape", "batch_shape", "build_config"})
"""Names are numbered through a process: the same model built again has others."""


def reads(origins: frozenset[str]) -> bool:
    return bool(origins & {"keras", "tensorflow", "tf_keras", "keras_core"})


def read(model: Any) -> Reading:
    layers = [*_layers(model)]
    weights = [*_weights(model, layers)]
    head = layers[-1] if layers else None
    return Reading(
        framework="keras" if hasattr(model, "layers") else "tensorflow",
        class_name=type(model).__qualname__,
        skeleton=[[_skeleton(layer) for layer in layers], _connections(model, layers), [_shape(w) for _, w in weights]],
        layers=[Part(name=layer.name, kind=type(layer).__qualname__, shape=_kernel_shape(layer)) for layer in layers],
        tensors=_tensors(weights, head),
        task=_task(model, head),
        feature_names=_input_names(model),
    )


def _layers(model: Any) -> Iterator[Any]:
    """Layers in order, those of nested models in their place."""
    for layer in getattr(model, "layers", ()):
        if getattr(layer, "layers", None):
            yield from _layers(layer)
        else:
            yield layer


def _weights(model: Any, layers: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Name and variable: `path` is what Keras 3 calls "dense/kernel", Keras 2 and TensorFlow call that `name`, with ":0"."""
    found: Sequence[Any] = getattr(model, "weights", ()) or getattr(model, "variables", ())
    owners = {id(weight): layer.name for layer in layers for weight in layer.weights}
    for weight in found:
        path = str(getattr(weight, "path", weight.name)).removesuffix(":0")
        # A model that was saved and loaded has lost its own name from the path, not that of the layer.
        owner = f"{owners.get(id(weight), '')}/"
        yield path[max(path.rfind(owner), 0) :].lstrip("/") if len(owner) > 1 else path, weight
    if not found:  # a loaded SavedModel of a module keeps its variables as attributes
        yield from walk({name: value for name, value in vars(model).items() if not name.startswith("_")})


def _shape(values: Any) -> list[int | None]:
    return [None if size is None else int(size) for size in values.shape]


def _kernel_shape(layer: Any) -> list[int | None] | None:
    weights = getattr(layer, "weights", ())
    return _shape(weights[0]) if weights else None


def _skeleton(layer: Any) -> list[Any]:
    try:
        config = layer.get_config()
    except NotImplementedError:  # a layer of one's own may have none
        config = {}
    shapes = [_shape(weight) for weight in getattr(layer, "weights", ())]
    return [type(layer).__qualname__, settings_of(config, _NOT_STRUCTURE), shapes]


def _connections(model: Any, layers: Sequence[Any]) -> Any:
    """Which layer feeds which, by places in the list; a chain of layers needs none."""
    try:
        config = model.get_config()
    except (AttributeError, NotImplementedError):  # a model of one's own may have none
        return []
    places = {layer.name: place for place, layer in enumerate(layers)}
    return [[*_names_in(one.get("inbound_nodes"), places)] for one in config.get("layers", ()) if isinstance(one, dict)]


def _names_in(value: Any, places: dict[str, int]) -> Iterator[int]:
    if isinstance(value, str) and value in places:
        yield places[value]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _names_in(part, places)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _names_in(part, places)


def _tensors(weights: Sequence[tuple[str, Any]], head: Any) -> Iterator[Tensor]:
    kernels = {id(weight) for weight in getattr(head, "weights", ())[:1] if len(weight.shape) == 2}
    for name, weight in weights:
        yield Tensor(name, weight, 1 if id(weight) in kernels else None)


def _task(model: Any, head: Any) -> Task | None:
    """From the last activation, or from the loss a model was compiled with; None where neither tells."""
    activation = getattr(getattr(head, "activation", None), "__name__", "")
    units = getattr(head, "units", 0)
    loss = json.dumps(str(getattr(model, "loss", "") or "")).lower()
    if activation == "softmax":
        return task_of_classes(units)
    if (activation == "sigmoid" and units == 1) or "binary" in loss:
        return Task.BINARY
    if "categorical" in loss:
        return task_of_classes(units)
    is_metric = any(
        word in loss for word in ("mean_", "mse", "mae", "huber", "log_cosh", "meansquared", "meanabsolute")
    )
    return Task.REGRESSION if is_metric and activation in ("linear", "relu", "softplus", "exponential") else None


def _input_names(model: Any) -> list[str] | None:
    """One name for each input where a model has several of width 1, as a model on columns of a table does."""
    inputs = getattr(model, "inputs", None)
    if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
        return None
    if any(len(one.shape) > 2 or (len(one.shape) == 2 and one.shape[-1] != 1) for one in inputs):
        return None
    return [str(one.name).partition(":")[0] for one in inputs]
