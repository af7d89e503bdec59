"""PyTorch: modules, scripted and compiled ones too.

Belongs here: submodules with their own description, parameters and buffers by their names.
"""

from collections.abc import Iterator
from typing import Any

from whydrift_schemas.collector.reading import Part, Reading, Tensor

_WRAPPERS = ("_orig_mod", "module")
"""What torch.compile and the data-parallel wrappers keep the module in."""


def reads(origins: frozenset[str]) -> bool:
    return "torch" in origins


def read(model: Any) -> Reading:
    module = _unwrapped(model)
    leaves = [(name, part) for name, part in module.named_modules() if not [*part.children()]]
    state = module.state_dict()
    head = _head(leaves)
    return Reading(
        framework="torch",
        class_name=_kind(module),
        skeleton=[[[*_told(part)] for _, part in module.named_modules()], [[*v.shape] for v in state.values()]],
        layers=[Part(name=name or "module", kind=_kind(part), shape=_shape(part)) for name, part in leaves],
        tensors=_tensors(state, head),
    )


def _unwrapped(model: Any) -> Any:
    for name in _WRAPPERS:
        is_wrapper = name == "_orig_mod" or type(model).__qualname__.endswith("DataParallel")
        inner = getattr(model, name, None)
        if is_wrapper and hasattr(inner, "named_modules"):
            return inner
    return model


def _kind(module: Any) -> str:
    """A scripted module knows the class it was made from."""
    return str(getattr(module, "original_name", type(module).__qualname__))


def _told(module: Any) -> Iterator[str]:
    """Class and settings, such as "in_features=3, out_features=4, bias=True": words without addresses."""
    yield _kind(module)
    yield str(module.extra_repr())


def _shape(module: Any) -> list[int | None] | None:
    weight = getattr(module, "weight", None)
    shape = getattr(weight, "shape", None)
    return None if shape is None else [int(size) for size in shape]


def _head(leaves: list[tuple[str, Any]]) -> str:
    """Name of the last linear layer's weights, whose rows are the outputs."""
    linear = [f"{name}.weight".lstrip(".") for name, part in leaves if len(_shape(part) or ()) == 2]
    return linear[-1] if linear else ""


def _tensors(state: Any, head: str) -> Iterator[Tensor]:
    for name, values in state.items():
        if hasattr(values, "shape"):  # the state of a module of one's own may hold anything
            yield Tensor(name, values, 0 if name == head else None)
