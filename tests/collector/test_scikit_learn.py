"""Real scikit-learn models of every kind that serves: what is told of them, and what changes when they do."""

from typing import Any

import numpy as np
import pytest
from tests.collector.described import changed, event, installed, names, structure, tensors

pytest.importorskip("sklearn")
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

DRAW = np.random.default_rng(7)
X = DRAW.normal(size=(120, 4))
Y = (X @ [1.0, -1.0, 0.5, 0.0] + 0.3 * DRAW.normal(size=120) > 0).astype(int)
Y3 = np.digitize(X[:, 0], [-0.5, 0.5])

CLASSIFIERS: list[Any] = [
    LogisticRegression(),
    SGDClassifier(random_state=0),
    GaussianNB(),
    KNeighborsClassifier(),
    SVC(),
    MLPClassifier((5,), max_iter=20, random_state=0),
    DecisionTreeClassifier(random_state=0),
    RandomForestClassifier(5, random_state=0),
    GradientBoostingClassifier(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
    AdaBoostClassifier(n_estimators=3, random_state=0),
    VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))]),
    StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))]),
    CalibratedClassifierCV(LogisticRegression(), cv=2),
    make_pipeline(StandardScaler(), LogisticRegression()),
    GridSearchCV(LogisticRegression(), {"C": [0.5, 1.0]}, cv=2),
]


def named(model: Any) -> str:
    return type(model).__name__


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", CLASSIFIERS, ids=named)
def test_a_classifier_tells_its_task_and_keeps_its_digests_when_fitted_alike(model: Any) -> None:
    first, again = event(model.fit(X, Y)), event(model.fit(X, Y))
    assert first == again
    assert (first.task, first.structure and first.structure.framework) == ("binary", "sklearn")
    assert sum(one.count for one in first.parameters or ()) > 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", CLASSIFIERS, ids=named)
def test_fitted_to_other_data_a_classifier_has_other_weights_and_the_same_structure(model: Any) -> None:
    before, after = event(model.fit(X, Y)), event(model.fit(X[:90], 1 - Y[:90]))
    assert changed(before, after)
    assert structure(before) == structure(after)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model",
    [LinearRegression(), Ridge(), HistGradientBoostingRegressor(max_iter=3), BaggingRegressor(n_estimators=2),
     IsotonicRegression(), TransformedTargetRegressor(LinearRegression())],
    ids=named,
)  # fmt: skip
def test_a_regressor_tells_its_task(model: Any) -> None:
    told = event(model.fit(X[:, :1], X @ np.ones(4)))
    assert told.task == "regression"
    assert sum(one.count for one in told.parameters or ()) > 0


def test_other_widths_depths_and_kinds_are_other_structures() -> None:
    models = [
        LogisticRegression().fit(X, Y),
        LogisticRegression().fit(X[:, :3], Y),
        LogisticRegression().fit(X, Y3),
        Ridge().fit(X, Y),
        RandomForestClassifier(5, random_state=0).fit(X, Y),
        RandomForestClassifier(6, random_state=0).fit(X, Y),
        MLPClassifier((5,), max_iter=2).fit(X, Y),
        MLPClassifier((6,), max_iter=2).fit(X, Y),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
    ]
    assert len({structure(event(model)) for model in models}) == len(models)


def test_what_says_only_how_a_model_was_trained_is_no_structure() -> None:
    one, other = LogisticRegression(C=1.0, max_iter=100), LogisticRegression(C=2.0, max_iter=200, random_state=3)
    assert structure(event(one.fit(X, Y))) == structure(event(other.fit(X, Y)))


def test_a_scaler_that_forgot_its_scale_is_told_from_the_model_behind_it() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    before = event(model)
    model[0].scale_ = np.ones(4)
    assert changed(before, event(model)) == {"standardscaler/scale_"}


def test_one_split_of_one_tree_is_seen() -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X, Y)
    before = event(model)
    model.estimators_[3].tree_.threshold[0] += 0.5
    assert changed(before, event(model)) == {"trees/threshold"}
    boosted = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, Y)
    before = event(boosted)
    boosted._predictors[2][0].nodes["value"][1] = np.nan
    assert changed(before, event(boosted)) == {"trees/value"}
    assert tensors(event(boosted))["trees/value"].non_finite == 1


def test_classes_that_are_permuted_keep_their_digests_and_change_places() -> None:
    model = LogisticRegression().fit(X, Y3)
    before = tensors(event(model))
    model.coef_ = model.coef_[[2, 0, 1]]
    after = tensors(event(model))
    rows = [f"coef_[{place}]" for place in range(3)]
    assert [after[name].digest for name in rows] == [
        before[name].digest for name in ("coef_[2]", "coef_[0]", "coef_[1]")
    ]
    assert event(model).task == "multiclass"


def test_a_table_of_mixed_columns_is_told_in_input_order_with_its_types() -> None:
    pandas = installed("pandas")
    table = pandas.DataFrame(
        {"income": X[:, 0], "region": np.where(Y, "eu", "us"), "age": X[:, 1], "plan": Y.astype(str)}
    )
    model = make_pipeline(
        ColumnTransformer(
            [("number", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
             ("word", OneHotEncoder(handle_unknown="ignore"), ["region"]),
             ("rank", OrdinalEncoder(), slice(3, 4))]
        ),
        LogisticRegression(),
    ).fit(table, Y)  # fmt: skip
    told = event(model)
    assert names(told) == ["income", "region", "age", "plan"]
    assert [one.type for one in told.features or ()] == ["numeric", "categorical", "numeric", "categorical"]
    assert told.structure is not None
    assert told.structure.class_name == "LogisticRegression"
    assert any(name.endswith("word/categories_/0") for name in tensors(told))


def test_without_names_of_columns_none_are_made_up() -> None:
    assert event(LogisticRegression().fit(X, Y)).features is None
    assert names(event(LogisticRegression().fit(X, Y), feature_names=["d", "c", "b", "a"])) == ["d", "c", "b", "a"]


def test_the_threshold_of_a_classifier_is_told_and_one_that_is_said_wins() -> None:
    fixed = FixedThresholdClassifier(LogisticRegression(), threshold=0.3).fit(X, Y)
    assert event(fixed).decision_threshold == 0.3
    assert event(fixed, decision_threshold=0.4).decision_threshold == 0.4
    assert event(LogisticRegression().fit(X, Y)).decision_threshold is None
