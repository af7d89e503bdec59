"""What is read from a model of any framework before it becomes an event.

Belongs here: the intermediate form, and its digest. Not here: how any framework is read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from whydrift_schemas.names import FeatureType, Task
from whydrift_schemas.values import MAX_NAME


class Part(NamedTuple):
    """A layer or step of a model; null in a shape is a size that varies."""

    name: str
    kind: str | None
    shape: Sequence[int | None] | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """Numbers (or categories) of a model. output_axis: the axis with one entry for each output, for the last layer's weights."""

    name: str
    values: Any
    output_axis: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A model as read. skeleton: JSON values of all that is structure, and nothing that training changes.

    tensors may be made while they are read, so that a copy of one is in memory at a time.
    """

    framework: str
    class_name: str
    skeleton: object
    layers: Sequence[Part] = ()
    tensors: Iterable[Tensor] = ()
    task: Task | None = None
    feature_names: Sequence[str] | None = None
    feature_types: Mapping[str, FeatureType] = field(default_factory=dict)
    decision_threshold: float | None = None


def structure_digest(skeleton: object) -> str:
    """The same in every process: keys are sorted, nothing depends on an address or on the order of a set."""
    return "sha256:" + sha256(json.dumps(skeleton, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def fitting(name: str) -> str:
    """A name as long as the contract allows: ends of long names tell layers apart."""
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]


def origins(model: object) -> frozenset[str]:
    """The packages that a model's class and its bases come from: a subclass of one's own counts as its framework's."""
    return frozenset(base.__module__.partition(".")[0] for base in type(model).__mro__)


def settings_of(values: Mapping[str, Any], leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Settings that have one spelling in every process: numbers, strings, booleans, and sequences of them."""
    return {
        key: [*value] if isinstance(value, tuple) else value
        for key, value in values.items()
        if key not in leave_out and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(entry) for entry in value)
    return value is None or type(value) in (bool, int, float, str)


def task_of_classes(count: int) -> Task:
    return Task.BINARY if count <= 2 else Task.MULTICLASS
