"""What the collector's tests share: one way to describe, and the numbers of a tensor by its name.

Belongs here: helpers. Not here: tests, or models of any framework.
"""

from importlib import import_module
from typing import Any

from whydrift_schemas import ModelDescription, Parameter, encode
from whydrift_schemas.collector import describe

from ..conftest import skip_or_fail

AT_MS = 1_795_452_060_000


def event(model: Any, **said: Any) -> ModelDescription:
    """A description that was written and read again: what a worker gets."""
    written = encode(describe(model, model_id="m", model_version="1", timestamp=AT_MS, **said))
    return ModelDescription.model_validate_json(written)


def tensors(described: ModelDescription) -> dict[str, Parameter]:
    return {one.name: one for one in described.parameters or ()}


def names(described: ModelDescription) -> list[str]:
    return [one.name for one in described.features or ()]


def structure(described: ModelDescription) -> str | None:
    assert described.structure is not None
    return described.structure.digest


def changed(before: ModelDescription, after: ModelDescription) -> set[str]:
    """Names of tensors with another digest."""
    old = tensors(before)
    return {name for name, one in tensors(after).items() if name not in old or old[name].digest != one.digest}


def installed(framework: str) -> Any:
    """The framework; where it is missing the test, or the file, is skipped (in CI: fails)."""
    try:
        return import_module(framework)
    except ImportError:
        skip_or_fail(f"{framework} is not installed (pip install '.[frameworks]')")
