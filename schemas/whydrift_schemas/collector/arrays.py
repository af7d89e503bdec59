"""Arrays by themselves: one, a list or a mapping of them (nested too, as a parameter tree), or an object of one's own.

Belongs here: models that no framework is known for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from whydrift_schemas.collector.reading import Part, Reading, Tensor

_DEPTH = 8


def read(model: object) -> Reading:
    """A mapping or list of arrays, or an object whose attributes are."""
    is_bare = isinstance(model, (Mapping, list, tuple)) or _is_array(model)
    named = [*walk(model if is_bare else vars(model) if hasattr(model, "__dict__") else {})]
    if not named:
        raise TypeError(
            f"no parameters are found in a {type(model).__qualname__}: give a scikit-learn, Keras, PyTorch, XGBoost or LightGBM "
            "model, or a mapping of names to arrays"
        )
    shapes = [(name, [int(size) for size in np.shape(values)]) for name, values in named]
    class_name = "arrays" if is_bare else type(model).__qualname__
    return Reading(
        framework="numpy",
        class_name=class_name,
        skeleton=[class_name, sorted(shapes)],
        layers=[Part(name, None, [*shape]) for name, shape in shapes],
        tensors=[Tensor(name, values) for name, values in named],
    )


def walk(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Name and values of all arrays in nested mappings and lists; names are paths."""
    if _is_array(value):
        yield name or "array", value
    elif depth < _DEPTH and isinstance(value, Mapping):
        for key, part in value.items():
            yield from walk(part, f"{name}/{key}".strip("/"), depth + 1)
    elif depth < _DEPTH and isinstance(value, (list, tuple)):
        if value and all(type(entry) in (int, float) for entry in value):
            yield name or "array", np.array(value, float)
        else:
            yield from _parts(value, name, depth)


def _parts(values: Sequence[Any], name: str, depth: int) -> Iterator[tuple[str, Any]]:
    for place, part in enumerate(values):
        yield from walk(part, f"{name}/{place}".strip("/"), depth + 1)


def _is_array(value: object) -> bool:
    """numpy's, torch's, TensorFlow's, jax's: whatever has a shape and a type of its entries, and is not text."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type)
