"""scikit-learn: estimators of all kinds, in pipelines, column transformers, searches and ensembles.

Belongs here: fitted attributes (those that end in an underscore), trees, and the inputs in their order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from whydrift_schemas.collector.reading import Part, Reading, Tensor, settings_of, task_of_classes
from whydrift_schemas.names import FeatureType, Task

_DEPTH = 8
_TRACES = frozenset({
    "best_loss_", "best_score_", "best_validation_score_", "cv_results_", "fit_time_", "labels_", "loss_", "loss_curve_",
    "n_iter_", "oob_decision_function_", "oob_improvement_", "oob_prediction_", "oob_score_", "oob_scores_", "refit_time_",
    "resid_", "scores_", "pvalues_", "t_", "train_score_", "validation_score_", "validation_scores_", "feature_names_in_",
    "embedding_", "training_loss_", "estimators_samples_",
})  # fmt: skip
"""What training leaves behind and no prediction uses."""
_SHAPING = frozenset({
    "activation", "base_score", "booster", "categories", "degree", "drop", "encoding_mode", "encode", "fit_intercept",
    "handle_unknown", "hidden_layer_sizes", "include_bias", "interaction_only", "kernel", "link", "loss", "max_depth",
    "max_leaf_nodes", "method", "metric", "multi_class", "n_bins", "n_components", "n_estimators", "n_knots", "n_neighbors",
    "ngram_range", "output_distribution", "remainder", "strategy", "voting", "weights", "with_mean", "with_std",
})  # fmt: skip
"""Settings that say how a model is built. Others (penalties, learning rates, seeds, threads) say how it was trained."""
_TREE_PARTS = ("children_left", "children_right", "feature", "threshold", "value")


def reads(origins: frozenset[str]) -> bool:
    return "sklearn" in origins


def read(model: Any) -> Reading:
    steps = [*_components(model, "", 0)]
    names = _input_names(model)
    return Reading(
        framework="sklearn",
        class_name=type(_innermost(model)).__qualname__,
        skeleton=[[name, *_skeleton(part)] for name, part in steps],
        layers=[Part(name=name or "model", kind=type(part).__qualname__, shape=_shape(part)) for name, part in steps],
        tensors=_tensors(model, "", 0),
        task=_task(model),
        feature_names=names,
        feature_types=dict.fromkeys(_categorical(model, names or ()), FeatureType.CATEGORICAL),
        decision_threshold=_threshold(model),
    )


# -- structure -------------------------------------------------------------------------------------------------


def _is_estimator(value: object) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    """Fitted estimators that a model is made of, by name; of a forest, its trees (read all at once elsewhere)."""
    if hasattr(model, "steps"):
        yield from ((name, part) for name, part in model.steps if _is_estimator(part))
        return
    if hasattr(model, "transformers_"):
        yield from ((name, part) for name, part, _ in model.transformers_ if _is_estimator(part))
        return
    if hasattr(model, "transformer_list"):
        yield from ((name, part) for name, part in model.transformer_list if _is_estimator(part))
        return
    for name, value in vars(model).items():
        # best_estimator_ and estimator_ may be the same object as estimators_[0]; what is fitted ends in an underscore.
        if not name.endswith("_") or name.startswith("_") or name in _TRACES:
            continue
        for place, part in enumerate(_listed(value)):
            if _is_estimator(part):
                yield (name if part is value else f"{name}/{place}"), part
            elif hasattr(part, "calibrators"):  # CalibratedClassifierCV keeps pairs of a classifier and its calibrators
                inner = [
                    ("estimator", part.estimator),
                    *((f"calibrators/{n}", c) for n, c in enumerate(part.calibrators)),
                ]
                yield from ((f"{name}/{place}/{key}", one) for key, one in inner if _is_estimator(one))


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        return value.reshape(-1).tolist() if value.dtype == object else ()
    if isinstance(value, Mapping):
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _components(model: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    yield name, model
    if depth < _DEPTH and not _trees(model):
        for key, part in _parts(model):
            yield from _components(part, f"{name}/{key}".strip("/"), depth + 1)


def _skeleton(part: Any) -> list[Any]:
    kept = {key: value for key, value in part.get_params(deep=False).items() if key in _SHAPING}
    return [type(part).__qualname__, settings_of(kept), _shape(part), len(_trees(part))]


def _shape(part: Any) -> list[int | None]:
    """Inputs and outputs, as far as an estimator tells."""
    inputs = getattr(part, "n_features_in_", None)
    outputs = _class_count(part) or getattr(part, "n_outputs_", None)
    return [int(size) if isinstance(size, (int, np.integer)) else None for size in (inputs, outputs)]


def _innermost(model: Any) -> Any:
    """What predicts: the last step of a pipeline, the best of a search."""
    for _ in range(_DEPTH):
        steps = getattr(model, "steps", None)
        inner = steps[-1][1] if steps else getattr(model, "best_estimator_", None)
        if not _is_estimator(inner):
            break
        model = inner
    return model


# -- task, inputs, threshold -----------------------------------------------------------------------------------


def _class_count(model: Any) -> int:
    classes = getattr(model, "classes_", None)
    return len(classes) if isinstance(classes, np.ndarray) and classes.ndim == 1 else 0


def _task(model: Any) -> Task | None:
    inner = _innermost(model)
    if count := _class_count(inner):
        return task_of_classes(count)
    bases = {base.__name__ for base in type(inner).__mro__}
    return Task.REGRESSION if "RegressorMixin" in bases else None


def _input_names(model: Any) -> list[str] | None:
    """Names in input order, where the model was fitted on a table that had them."""
    for _ in range(_DEPTH):
        names = getattr(model, "feature_names_in_", None)
        if names is not None:
            return [str(name) for name in names]
        steps = getattr(model, "steps", None)
        model = steps[0][1] if steps else getattr(model, "best_estimator_", None)
        if model is None:
            break
    return None


def _categorical(model: Any, names: Sequence[str]) -> list[str]:
    """Inputs that a column transformer encodes, or that a boosted tree takes as categories."""
    found: list[str] = []
    for _, part in _components(model, "", 0):
        for _, step, columns in getattr(part, "transformers_", ()):
            if _encodes(step):
                found += _column_names(columns, names)
        mask = getattr(part, "is_categorical_", None)
        if mask is not None and len(mask) == len(names) and part is _innermost(model):
            found += [name for name, is_one in zip(names, mask, strict=True) if is_one]
    return [name for name in names if name in set(found)]


def _encodes(step: Any) -> bool:
    inner = [part for _, part in getattr(step, "steps", ())] or [step]
    return any(type(part).__qualname__.endswith(("Encoder", "FeatureHasher")) for part in inner)


def _column_names(columns: Any, names: Sequence[str]) -> list[str]:
    """Columns of a transformer are names, places, a slice or a mask."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        bounds = [names.index(end) if isinstance(end, str) else end for end in (columns.start, columns.stop)]
        # A slice of names includes its last one.
        last = bounds[1] + 1 if isinstance(columns.stop, str) else bounds[1]
        return [*names[bounds[0] : last : columns.step]]
    entries = np.atleast_1d(np.asarray(columns))
    if entries.dtype.kind == "b":
        return [name for name, is_one in zip(names, entries, strict=False) if is_one]
    if entries.dtype.kind in "iu":
        return [names[int(place)] for place in entries if -len(names) <= place < len(names)]
    return [str(name) for name in entries]


def _threshold(model: Any) -> float | None:
    """Of a classifier whose threshold was tuned or fixed; others decide in ways of their own."""
    found = getattr(model, "best_threshold_", None)
    if found is None and type(model).__qualname__ == "FixedThresholdClassifier":
        found = model.threshold
    return float(found) if isinstance(found, (float, np.floating)) else None


# -- parameters ------------------------------------------------------------------------------------------------


def _trees(model: Any) -> list[Any]:
    """The fitted trees of a tree or an ensemble of them; they are read as one."""
    members = [model] if hasattr(model, "tree_") else _listed(getattr(model, "estimators_", ()))
    trees = [getattr(one, "tree_", None) for one in members]
    return trees if trees and all(tree is not None for tree in trees) else []


def _tensors(model: Any, path: str, depth: int) -> Iterator[Tensor]:
    prefix = f"{path}/" if path else ""
    yield from _fitted(model, prefix)
    if trees := _trees(model):
        for part in _TREE_PARTS:
            yield Tensor(f"{prefix}trees/{part}", np.concatenate([getattr(tree, part).reshape(-1) for tree in trees]))
    yield from _histogram_trees(model, prefix)
    if depth < _DEPTH and not trees:
        for key, part in _parts(model):
            yield from _tensors(part, f"{prefix}{key}", depth + 1)


def _fitted(model: Any, prefix: str) -> Iterator[Tensor]:
    for name, value in sorted(vars(model).items()):
        is_fitted = name.endswith("_") and not name.startswith("_") and name not in _TRACES
        if not is_fitted and name not in ("_fit_X", "_y", "_intercept_", "_dual_coef_"):
            continue
        if hasattr(value, "tocsr") and hasattr(value, "data"):
            value = value.tocsr().toarray() if value.shape[0] * value.shape[1] < 1e6 else value.tocsr().data
        if isinstance(value, np.ndarray) and _is_told(value):
            yield Tensor(f"{prefix}{name}", value, 0 if name == "coef_" and value.ndim == 2 else None)
        elif isinstance(value, (float, np.floating)):
            yield Tensor(f"{prefix}{name}", np.array([value]))
        elif isinstance(value, (list, tuple)):
            yield from _several(value, f"{prefix}{name}", name == "coefs_")


def _is_told(value: np.ndarray[Any, Any]) -> bool:
    """Not an array of estimators."""
    return value.dtype != object or not any(_is_estimator(one) for one in value.reshape(-1)[:1])


def _several(values: Sequence[Any], name: str, is_network: bool) -> Iterator[Tensor]:
    for place, value in enumerate(values):
        if isinstance(value, np.ndarray) and _is_told(value):
            is_head = is_network and place == len(values) - 1
            yield Tensor(f"{name}/{place}", value, 1 if is_head else None)


def _histogram_trees(model: Any, prefix: str) -> Iterator[Tensor]:
    """HistGradientBoosting keeps its trees as tables of nodes."""
    predictors = getattr(model, "_predictors", None)
    nodes = [one.nodes for row in predictors or () for one in row if hasattr(one, "nodes")]
    if nodes:
        table = np.concatenate(nodes)
        yield Tensor(f"{prefix}baseline", np.asarray(model._baseline_prediction))
        for field in ("value", "feature_idx", "num_threshold", "left", "right"):
            yield Tensor(f"{prefix}trees/{field}", table[field])
