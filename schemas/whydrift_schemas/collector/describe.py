"""The one call: a loaded model becomes a `model` event.

Belongs here: which reader takes which model, and how a reading is written. Not here: frameworks.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from whydrift_schemas.collector import arrays, boosters, keras_models, scikit_learn, torch_modules
from whydrift_schemas.collector.reading import Part, Reading, Tensor, fitting, origins, structure_digest
from whydrift_schemas.collector.tensors import MAX_PARAMETERS, described, summed_up
from whydrift_schemas.events import FeatureDescription, Layer, ModelDescription, Parameter, Structure
from whydrift_schemas.names import FeatureType, Task
from whydrift_schemas.values import MAX_NAME

_READERS = (boosters, scikit_learn, keras_models, torch_modules)
"""Boosters' wrappers are scikit-learn estimators too, and come first."""
_BARE = ("numpy", "builtins", "collections")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def describe(
    model: Any,
    *,
    model_id: str,
    model_version: str,
    timestamp: int | str | datetime,
    feature_names: Sequence[str] | None = None,
    feature_types: Mapping[str, FeatureType | str] | None = None,
    task: Task | str | None = None,
    replica: str | None = None,
    decision_threshold: float | None = None,
) -> ModelDescription:
    """A `model` event of a fitted model: inputs in their order, task, structure, and each tensor in numbers with its digest.

    model: of scikit-learn, Keras, TensorFlow, PyTorch, XGBoost or LightGBM, or arrays (one, a list or a mapping of them).
    timestamp: when it was loaded, as epoch milliseconds, RFC 3339, or a datetime with its zone.
    feature_names: the inputs in order; needed where the model does not know them (arrays, PyTorch, most Keras models).
    feature_types, task, decision_threshold: said, they win over what the model tells.

    Digests are the same in every process and on every machine that has the same parameters. Send an event when a model is
    loaded, and again now and then: what changes between two events of a version is what whydrift looks for.

    Raises TypeError for an object in which no parameters are found.

    >>> import numpy as np
    >>> event = describe({"kernel": np.zeros((2, 3))}, model_id="m", model_version="1", timestamp=1_795_452_060_000)
    >>> event.parameters[0].count, event.parameters[0].zeros, event.structure.framework
    (6, 6, 'numpy')
    """
    reading = _read(model)
    said = {str(name): FeatureType(kind) for name, kind in (feature_types or {}).items()}
    names = feature_names if feature_names is not None else reading.feature_names
    return ModelDescription(
        model_id=model_id,
        model_version=model_version,
        timestamp=_milliseconds(timestamp),
        replica=replica,
        task=Task(task) if task is not None else reading.task,
        features=None if names is None else _features(names, {**reading.feature_types, **said}),
        structure=_structure(reading),
        parameters=_parameters(reading.tensors),
        decision_threshold=reading.decision_threshold if decision_threshold is None else decision_threshold,
    )


def _read(model: Any) -> Reading:
    found = origins(model)
    # A state dict is a mapping; a tensor by itself comes from its framework and is no model.
    is_arrays = type(model).__module__.partition(".")[0] in _BARE or (
        hasattr(model, "shape") and hasattr(model, "dtype")
    )
    reader = None if is_arrays else next((one for one in _READERS if one.reads(found)), None)
    return arrays.read(model) if reader is None else reader.read(model)


def _milliseconds(timestamp: int | str | datetime) -> Any:
    if not isinstance(timestamp, datetime):
        return timestamp
    if timestamp.tzinfo is None:
        raise ValueError("give the timestamp its time zone: datetime.now(UTC)")
    return (timestamp - _EPOCH) // timedelta(milliseconds=1)


def _features(names: Iterable[str], types: Mapping[str, FeatureType]) -> list[FeatureDescription]:
    return [FeatureDescription(name=name, type=types.get(name, FeatureType.NUMERIC)) for name in names]


def _structure(reading: Reading) -> Structure:
    return Structure(
        framework=reading.framework,
        class_name=fitting(reading.class_name),
        digest=structure_digest([reading.framework, reading.class_name, reading.skeleton]),
        layers=[_layer(part) for part in reading.layers[:MAX_PARAMETERS]],
    )


def _layer(part: Part) -> Layer:
    return Layer(
        name=fitting(part.name),
        kind=None if part.kind is None else fitting(part.kind),
        shape=None if part.shape is None else [*part.shape],
    )


def _parameters(tensors: Iterable[Tensor]) -> list[Parameter]:
    """Each under a name of its own; those beyond the most that an event holds are summed up in one."""
    found: list[Parameter] = []
    taken: set[str] = set()
    for tensor in tensors:
        for one in described(tensor):
            name = _own_name(one.name, taken)
            taken.add(name)
            found.append(one.model_copy(update={"name": name}))
    if len(found) <= MAX_PARAMETERS:
        return found
    kept = found[: MAX_PARAMETERS - 1]
    return [*kept, summed_up(f"{len(found) - len(kept)} more", found[len(kept) :])]


def _own_name(name: str, taken: set[str]) -> str:
    number, own = 2, name
    while own in taken:
        own = f"{name[: MAX_NAME - 12]}#{number}"
        number += 1
    return own
