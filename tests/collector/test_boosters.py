"""Real XGBoost and LightGBM models: both kinds of each, with names, types and tasks."""

from typing import Any

import numpy as np
import pytest
from tests.collector.described import changed, event, installed, names, structure

DRAW = np.random.default_rng(7)
X = DRAW.normal(size=(300, 4))
Y = (X[:, 0] > X[:, 1]).astype(int)
Y3 = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = ["income", "age", "rate", "term"]
TASKS = [(Y, "binary"), (Y3, "multiclass"), (X[:, 0] * 2, "regression")]


def xgboost(y: Any = Y, trees: int = 6, **said: Any) -> Any:
    module = installed("xgboost")
    kind = module.XGBRegressor if y.dtype.kind == "f" else module.XGBClassifier
    return kind(n_estimators=trees, max_depth=3, n_jobs=1, **said).fit(X, y)


def lightgbm(y: Any = Y, trees: int = 6, **said: Any) -> Any:
    module = installed("lightgbm")
    kind = module.LGBMRegressor if y.dtype.kind == "f" else module.LGBMClassifier
    return kind(n_estimators=trees, n_jobs=1, verbose=-1, **said).fit(
        X, y, feature_name=said.get("feature_name", "auto")
    )


BOTH = pytest.mark.parametrize("fit", [xgboost, lightgbm])


@BOTH
@pytest.mark.parametrize(("y", "task"), TASKS, ids=[task for _, task in TASKS])
def test_a_booster_tells_its_task_its_trees_and_the_same_digests_each_time(fit: Any, y: Any, task: str) -> None:
    first, again = event(fit(y)), event(fit(y))
    assert first == again
    assert first.task == task
    assert first.structure is not None
    assert first.structure.framework == fit.__name__
    (trees,) = first.structure.layers or ()
    assert trees.shape == [6 * (3 if task == "multiclass" else 1), 4]
    assert all(one.count for one in first.parameters or ())


@BOTH
def test_other_data_change_the_trees_and_other_numbers_of_trees_the_structure(fit: Any) -> None:
    before, after = event(fit()), event(fit(1 - Y))
    assert changed(before, after)
    assert structure(before) == structure(after)
    assert structure(before) != structure(event(fit(trees=7)))
    assert structure(before) != structure(event(fit(Y3)))


def test_an_xgboost_booster_tells_its_inputs_in_order_with_their_types() -> None:
    module = installed("xgboost")
    codes = np.column_stack([X[:, :3], Y])
    data = module.DMatrix(codes, Y, feature_names=NAMES, feature_types=["q", "q", "i", "c"], enable_categorical=True)
    told = event(module.train({"objective": "binary:logistic", "nthread": 1}, data, 3))
    assert names(told) == NAMES
    assert [one.type for one in told.features or ()] == ["numeric", "numeric", "boolean", "categorical"]
    assert told.task == "binary"


@pytest.mark.parametrize("booster", ["gblinear", "dart"])
def test_xgboosts_other_boosters_are_read(booster: str) -> None:
    told = event(xgboost(booster=booster))
    assert sum(one.count for one in told.parameters or ()) > 4


def test_a_lightgbm_booster_tells_its_inputs_in_order_with_their_types() -> None:
    module = installed("lightgbm")
    codes = np.column_stack([X[:, :3], Y3])
    data = module.Dataset(codes, Y, feature_name=NAMES, categorical_feature=["term"])
    told = event(
        module.train({"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 1}, data, 3)
    )
    assert names(told) == NAMES
    assert [one.type for one in told.features or ()][3] == "categorical"
    assert told.task == "binary"


def test_without_names_of_inputs_none_are_made_up() -> None:
    assert event(xgboost()).features is None
    assert event(lightgbm()).features is None
