"""What a silently changed model is called when the collector describes it: real models, through the whole pipeline.

Belongs here: model events of real scikit-learn models, broken in ways that a served model breaks. Not here: how they are read
(`tests/collector`), what answers alone tell (`test_faults_outputs`).
"""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from whydrift_schemas import Diagnosis, Status, encode
from whydrift_schemas.collector import describe

from .small_world import MODEL_ID, Event, Feed, at_ms, diagnoses, events

LEARNT = 700
DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(200, 3))
Y = np.digitize(X[:, 0] + 0.2 * X[:, 1], [-0.5, 0.5])


def linear() -> Any:
    return LogisticRegression().fit(X, Y)


def network() -> Any:
    return MLPClassifier((6,), max_iter=400, random_state=1).fit(X, Y)


def trees(y: Any = Y, n: int = 4) -> Any:
    return GradientBoostingClassifier(n_estimators=n, random_state=1).fit(X, y)


def told(model: Any, i: int, version: str = "v1", **said: Any) -> Event:
    said = {"task": "binary", "replica": "pod-1", "decision_threshold": 0.5} | said
    found: Event = json.loads(
        encode(describe(model, model_id=MODEL_ID, model_version=version, timestamp=at_ms(i), **said))
    )
    return found


@cache
def _served(make: Any) -> Feed:
    feed = Feed()
    assert feed([told(make(), 0), *events(0, LEARNT)]) is not None
    return feed


def opened(make: Any, *broken: Event) -> list[Diagnosis]:
    """Incidents that a healthy stream of answers has, into which the model says something else of itself."""
    outputs = _served(make).copy()([*events(LEARNT, LEARNT + 30), *broken, *events(LEARNT + 30, LEARNT + 60)])
    return [one for one in diagnoses(outputs) if one.status is Status.OPENED]


def only(found: list[Diagnosis]) -> Diagnosis:
    (one,) = found
    return one


AT = LEARNT + 30


def test_a_model_that_describes_itself_again_as_it_was_is_no_incident() -> None:
    for make in (linear, network, trees):
        assert opened(make, told(make(), AT)) == []


def test_a_layer_of_nan_is_named() -> None:
    model = network()
    model.coefs_[0][:] = np.nan
    one = only(opened(network, told(model, AT)))
    assert one.causes[0].fault == "parameter_corruption"
    assert "coefs_/0: 18 of 18 numbers are not finite" in one.summary


@pytest.mark.parametrize(("factor", "seen"), [(0.0, "all numbers are 0"), (1e3, "norm"), (-1.0, "digest")])
def test_a_layer_that_was_zeroed_scaled_or_turned_round_is_named(factor: float, seen: str) -> None:
    model = network()
    model.coefs_[1] = model.coefs_[1] * factor
    one = only(opened(network, told(model, AT)))
    assert one.causes[0].fault == "parameter_corruption"
    assert "coefs_/1" in one.causes[0].explanation
    assert seen in one.causes[0].explanation


def test_another_model_pushed_under_the_same_version_is_changed_weights_first_and_a_wrong_model_second() -> None:
    one = only(opened(linear, told(LogisticRegression(C=0.1).fit(X, Y), AT)))
    assert [cause.fault for cause in one.causes[:2]] == ["parameter_corruption", "wrong_model"]
    assert one.causes[0].probability < 0.9, "the answers are as ever: only a look into the registry tells"


def test_the_weights_of_an_earlier_version_are_named_by_that_version() -> None:
    newer = told(LogisticRegression(C=0.1).fit(X, Y), AT, "v2")
    one = only(opened(linear, newer, told(linear(), AT + 1, "v2")))
    assert one.causes[0].fault == "wrong_model"
    assert one.summary.startswith("version v1 runs on replica pod-1 under the name of v2")
    assert "parameter_corruption" in [ruled.fault for ruled in one.ruled_out]


def test_a_permuted_head_is_told_from_other_weights() -> None:
    model = linear()
    model.coef_, model.intercept_ = model.coef_[[2, 1, 0]], model.intercept_[[2, 1, 0]]
    one = only(opened(linear, told(model, AT)))
    assert one.causes[0].fault == "output_permutation"
    assert "2 → 0, 0 → 2" in one.summary
    assert {ruled.fault for ruled in one.ruled_out} >= {"parameter_corruption", "wrong_model"}


def test_another_threshold_alone_is_named() -> None:
    one = only(opened(linear, told(linear(), AT, decision_threshold=0.3)))
    assert one.causes[0].fault == "threshold_change"
    assert "0.3" in one.summary


def test_two_replicas_with_other_weights_under_one_version_are_named() -> None:
    one = only(opened(linear, told(LogisticRegression(C=0.1).fit(X, Y), AT, replica="pod-2")))
    assert (one.causes[0].fault, one.causes[0].replica) == ("replica_disagreement", "pod-2")
    assert "pod-1" in one.summary


def test_trees_grown_anew_are_other_weights_and_more_trees_another_structure() -> None:
    one = only(opened(trees, told(trees(np.roll(Y, 1)), AT)))
    assert one.causes[0].fault == "parameter_corruption"
    assert "architecture_change" not in [cause.fault for cause in one.causes]
    for other in (trees(n=9), linear()):
        assert only(opened(trees, told(other, AT))).causes[0].fault == "architecture_change"
