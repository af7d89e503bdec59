"""XGBoost and LightGBM: boosters, and their wrappers in scikit-learn's manner.

Belongs here: reading trees from what a booster itself writes. All trees are read as one: a node's number means nothing by itself.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from whydrift_schemas.collector.reading import Part, Reading, Tensor, origins, task_of_classes
from whydrift_schemas.names import FeatureType, Task

_XGBOOST_PARTS = (
    "base_weights",
    "default_left",
    "left_children",
    "right_children",
    "split_conditions",
    "split_indices",
)
_LIGHTGBM_PARTS = (
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "cat_threshold",
)
_XGBOOST_TYPES = {"c": FeatureType.CATEGORICAL, "i": FeatureType.BOOLEAN}


def reads(origins: frozenset[str]) -> bool:
    return bool(origins & {"xgboost", "lightgbm"})


def read(model: Any) -> Reading:
    return _xgboost(model) if "xgboost" in origins(model) else _lightgbm(model)


# -- XGBoost ---------------------------------------------------------------------------------------------------


def _xgboost(model: Any) -> Reading:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    shape = learner["learner_model_param"]
    gradient = learner["gradient_booster"]
    # DART keeps its trees one level deeper; a linear booster has weights instead.
    inner = gradient.get("gbtree", gradient).get("model", {})
    trees = inner.get("trees", [])
    classes, objective = int(shape["num_class"]), learner["objective"]["name"]
    width = int(shape["num_feature"])
    names, types = learner.get("feature_names") or None, learner.get("feature_types") or []
    known = {
        name: _XGBOOST_TYPES[kind] for name, kind in zip(names or (), types, strict=False) if kind in _XGBOOST_TYPES
    }
    return Reading(
        framework="xgboost",
        class_name=type(model).__qualname__,
        skeleton=["xgboost", gradient["name"], objective, width, classes, len(trees)],
        layers=[Part(name="trees", kind=gradient["name"], shape=[len(trees), width])],
        tensors=_xgboost_tensors(trees, inner, gradient, shape["base_score"]),
        task=_task(objective, classes),
        feature_names=names,
        feature_types=known,
    )


def _xgboost_tensors(trees: list[Any], inner: Any, gradient: Any, base_score: str) -> Iterator[Tensor]:
    # Since 3.1 a base score is a list, written "[5E-1]".
    yield Tensor("base_score", np.array([float(one) for one in base_score.strip("[]").split(",")]))
    if not trees and "weights" in inner:
        yield Tensor("weights", np.array(inner["weights"], np.float32))
    if "weight_drop" in gradient:
        yield Tensor("weight_drop", np.array(gradient["weight_drop"], np.float32))
    for part in _XGBOOST_PARTS if trees else ():
        # They are 32-bit numbers; a category's place may stand in the field of a threshold.
        yield Tensor(f"trees/{part}", np.concatenate([np.array(tree[part], np.float32) for tree in trees]))
    if any(tree.get("categories") for tree in trees):
        yield Tensor("trees/categories", np.concatenate([np.array(tree["categories"], float) for tree in trees]))


# -- LightGBM --------------------------------------------------------------------------------------------------


def _lightgbm(model: Any) -> Reading:
    booster = model.booster_ if hasattr(model, "booster_") else model
    head, *blocks = booster.model_to_string().split("\nTree=")
    settings = _fields(head)
    trees = [_fields(block.partition("end of trees")[0]) for block in blocks]
    names = booster.feature_name()
    infos = settings.get("feature_infos", "").split()
    categorical = [name for name, info in zip(names, infos, strict=False) if _is_categories(info)]
    objective, classes = settings.get("objective", ""), int(settings.get("num_class", "1"))
    is_named = any(name != f"Column_{place}" for place, name in enumerate(names))
    return Reading(
        framework="lightgbm",
        class_name=type(model).__qualname__,
        skeleton=["lightgbm", objective, len(names), classes, len(trees)],
        layers=[Part(name="trees", kind="gbdt", shape=[len(trees), len(names)])],
        tensors=_lightgbm_tensors(trees),
        task=_task(objective, classes),
        feature_names=names if is_named else None,
        feature_types=dict.fromkeys(categorical, FeatureType.CATEGORICAL),
    )


def _is_categories(info: str) -> bool:
    """A numeric input's range is written [low:high], categories 0:1:2, an input that is never used "none"."""
    return info not in ("none", "") and not info.startswith("[")


def _fields(block: str) -> Mapping[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {key: value for key, equals, value in pairs if equals}


def _lightgbm_tensors(trees: list[Mapping[str, str]]) -> Iterator[Tensor]:
    for part in _LIGHTGBM_PARTS:
        values = " ".join(tree.get(part, "") for tree in trees).split()
        if values:
            yield Tensor(f"trees/{part}", np.array(values, np.float64))


def _task(objective: str, classes: int) -> Task | None:
    if objective.startswith(("multi:", "multiclass")):
        return task_of_classes(classes)
    if objective.startswith("binary"):
        return Task.BINARY
    words = (
        "reg:",
        "regression",
        "count:",
        "poisson",
        "tweedie",
        "gamma",
        "quantile",
        "huber",
        "fair",
        "mape",
        "l1",
        "l2",
    )
    is_score = objective.startswith("reg:logistic")
    return Task.REGRESSION if objective.startswith(words) and not is_score else None
