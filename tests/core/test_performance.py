"""Metrics of joined events against scikit-learn's, what a score means, what is not ready, what cannot be used."""

import numpy as np
import pytest
from sklearn import metrics as sk

from whydrift.core.labels import Actual, Answer, Joined
from whydrift.core.performance import (
    RECENT_EVENTS,
    NotReady,
    Performance,
    Task,
    Trend,
    Unusable,
    infer_task,
)
from whydrift.core.state import pack, unpack

DAY_MS = 86_400_000
N = 3_000


def joined(answer: Answer, actual: Actual, at_ms: int = 0) -> Joined:
    return Joined(answer, at_ms, at_ms + 1, actual, None)


def fed(task: Task | None, events: list[tuple[Answer, Actual]], baseline_events: int = 2_000) -> Performance:
    performance = Performance(task, baseline_events)
    for place, (answer, actual) in enumerate(events):
        performance.update(joined(answer, actual, place * 1_000))
    return performance


def binary_world(
    n: int = N, seed: int = 7, rare: float = 0.0, threshold: float = 0.5
) -> tuple[np.ndarray, list[str], list[str]]:
    """Probability of "approve", the decision, the actual; `rare` pushes the probabilities towards 0."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1.2, 1.2, n) * (1 - rare)
    actual = np.where(rng.random(n) < np.clip(p * 1.1 - 0.02, 0, 1), "approve", "deny")
    return p, np.where(p >= threshold, "approve", "deny").tolist(), actual.tolist()


CONVENTIONS = {
    "probabilities of both": lambda p, label: Answer("v1", label, probabilities={"approve": p, "deny": 1 - p}),
    "probability of one": lambda p, label: Answer("v1", label, probabilities={"approve": p}),
    "score of the given label": lambda p, label: Answer("v1", label, score=p if label == "approve" else 1 - p),
    "score of one class": lambda p, label: Answer("v1", label, score=p),
    "score of the other class": lambda p, label: Answer("v1", label, score=1 - p),
    "score without a label": lambda p, label: Answer("v1", score=p),
    "value without a label": lambda p, label: Answer("v1", value=p),
}


def expected_binary(p: np.ndarray, labels: list[str], actual: list[str]) -> dict[str, float]:
    truth = np.array([a == "approve" for a in actual])
    places = np.minimum((p * 10).astype(int), 9)
    error = sum(
        abs(truth[places == b].mean() - p[places == b].mean()) * (places == b).mean() for b in np.unique(places)
    )
    return {
        "accuracy": sk.accuracy_score(actual, labels),
        "log_loss": sk.log_loss(truth, np.clip(p, 1e-6, 1 - 1e-6)),
        "brier": sk.brier_score_loss(truth, p),
        "auc": sk.roc_auc_score(truth, p),
        "calibration_error": error,
    }


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("rare", [0.0, 0.9])
def test_binary_metrics_equal_scikit_learns_whatever_the_score_means(convention: str, rare: float) -> None:
    p, labels, actual = binary_world(rare=rare, threshold=0.05 if rare else 0.5)
    if convention.endswith("without a label"):
        labels = np.where(p >= 0.5, "approve", "deny").tolist()
    make = CONVENTIONS[convention]
    performance = fed("binary", [(make(float(q), label), a) for q, label, a in zip(p, labels, actual, strict=True)])
    last = slice(-RECENT_EVENTS, None)
    recent = expected_binary(p[last], labels[last], actual[last])
    assert performance.metrics("recent") == pytest.approx(recent, abs=1e-9)
    deployment = expected_binary(p, labels, actual)
    assert performance.metrics("deployment") == pytest.approx(deployment, abs=2e-3)  # the sketch of the AUC
    exact = [name for name in deployment if name != "auc"]
    assert {k: performance.metrics("deployment")[k] for k in exact} == pytest.approx({k: deployment[k] for k in exact})
    assert performance.unusable == {}


def test_the_auc_sketch_resolves_scores_crowded_next_to_zero() -> None:
    rng = np.random.default_rng(3)
    p = np.exp(rng.uniform(np.log(1e-6), np.log(1e-3), 20_000))
    truth = rng.random(20_000) < p * 500
    answers = [Answer("v1", "ok", probabilities={"fraud": float(q), "ok": 1 - float(q)}) for q in p]
    performance = fed("binary", [(a, "fraud" if t else "ok") for a, t in zip(answers, truth, strict=True)])
    assert performance.metrics("deployment")["auc"] == pytest.approx(sk.roc_auc_score(truth, p), abs=2e-3)


def test_the_auc_of_tied_scores_counts_a_half_for_each_tie() -> None:
    rng = np.random.default_rng(5)
    p = rng.integers(1, 10, 900) / 10
    truth = rng.random(900) < p
    events: list[tuple[Answer, Actual]] = [
        (Answer("v1", probabilities={"1": float(q)}), (bool_ and 1) or 0) for q, bool_ in zip(p, truth, strict=True)
    ]
    expected = pytest.approx(sk.roc_auc_score(truth, p))
    assert fed("binary", events).metrics("recent")["auc"] == expected
    assert fed("binary", events).metrics("deployment")["auc"] == expected


def test_regression_metrics_equal_scikit_learns_far_from_zero_too() -> None:
    rng = np.random.default_rng(11)
    actual = 1e9 + rng.normal(0, 1, N)
    value = actual + rng.normal(0.3, 0.5, N)
    performance = fed(None, [(Answer("v1", value=float(v)), float(a)) for v, a in zip(value, actual, strict=True)])
    assert performance.task == "regression"
    for window, kept in (("recent", slice(-RECENT_EVENTS, None)), ("deployment", slice(None))):
        v, a = value[kept], actual[kept]
        expected = {
            "mse": sk.mean_squared_error(a, v),
            "mae": sk.mean_absolute_error(a, v),
            "bias": float((v - a).mean()),
            "r2": sk.r2_score(a, v),
        }
        assert performance.metrics(window) == pytest.approx(expected, rel=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("has_label", [True, False])
def test_multiclass_metrics_equal_scikit_learns(has_label: bool) -> None:
    rng = np.random.default_rng(13)
    classes = ["a", "b", "c", "d"]
    p = rng.dirichlet(np.ones(4), N)
    actual = [classes[rng.choice(4, p=row)] for row in p]
    labels = [classes[i] for i in p.argmax(axis=1)]
    events = [
        (Answer("v1", label if has_label else None, probabilities=dict(zip(classes, row.tolist(), strict=True))), a)
        for label, row, a in zip(labels, p, actual, strict=True)
    ]
    performance = fed(None, events)
    assert performance.task == "multiclass"
    for window, kept in (("recent", slice(-RECENT_EVENTS, None)), ("deployment", slice(None))):
        expected = {
            "accuracy": sk.accuracy_score(actual[kept], labels[kept]),
            "log_loss": sk.log_loss(actual[kept], p[kept], labels=classes),
            "brier": sk.brier_score_loss(actual[kept], p[kept], labels=classes, scale_by_half=False),
        }
        assert performance.metrics(window) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "actual", "task"),
    [
        (Answer("v", value=3.0), 4, "regression"),
        (Answer("v", value=0.3), 1, "regression"),
        (Answer("v", value=0.3), "approve", "binary"),
        (Answer("v", value=0.3), True, "binary"),
        (Answer("v", value=3.0), "approve", None),
        (Answer("v"), "approve", None),
        (Answer("v", label="a", score=0.9), "a", "binary"),
        (Answer("v", score=0.9), 1, "binary"),
        (Answer("v", label="a"), "b", "multiclass"),
        (Answer("v", probabilities={"a": 1.0}), "a", "binary"),
        (Answer("v", label="a", probabilities={"a": 0.5, "b": 0.25, "c": 0.25}), "a", "multiclass"),
    ],
)
def test_the_task_is_inferred_from_the_first_joined_event(answer: Answer, actual: Actual, task: str | None) -> None:
    assert infer_task(answer, actual) == task
    performance = fed(None, [(answer, actual)])
    assert performance.task == task
    assert performance.unusable == ({} if task else {Unusable.NO_TASK: 1})


def test_an_inferred_binary_model_that_names_a_third_class_begins_again_as_multiclass() -> None:
    events = [(Answer("v", label=c, score=0.9), c) for c in ("a", "b", "a", "c", "b")]
    performance = fed(None, events)
    assert performance.task == "multiclass"
    assert performance.events == 2
    assert performance.metrics("deployment") == {"accuracy": 1.0}


def test_a_declared_binary_model_that_names_a_third_class_stays_binary_and_says_so() -> None:
    performance = fed("binary", [(Answer("v", label=c, score=0.9), c) for c in ("a", "b", "c")])
    assert performance.task == "binary"
    assert performance.unusable == {"third_class": 1}


@pytest.mark.parametrize(
    ("task", "answer", "actual", "reason"),
    [
        ("regression", Answer("v", value=1.0), "approve", "actual_not_numeric"),
        ("regression", Answer("v", value=1.0), True, "actual_not_numeric"),
        ("regression", Answer("v", label="a"), 1.0, "no_prediction"),
        ("regression", Answer("v", value=1.0), float("nan"), "out_of_range"),
        ("regression", Answer("v", value=float("inf")), 1.0, "out_of_range"),
        ("regression", Answer("v", value=1e300), 1.0, "out_of_range"),
        ("regression", Answer("v", value=1.0), 10**400, "out_of_range"),
        ("binary", Answer("v"), "a", "no_prediction"),
        ("binary", Answer("v", value=12.0), "a", "no_prediction"),
        ("binary", Answer("v", score=0.5), 0.7, "actual_not_a_class"),
        ("binary", Answer("v", score=0.5), float("nan"), "actual_not_a_class"),
        ("binary", Answer("v", probabilities={"a": 0.5, "b": 0.5}), "z", "unseen_class"),
        ("multiclass", Answer("v"), "a", "no_prediction"),
        ("multiclass", Answer("v", label="a"), 0.5, "actual_not_a_class"),
        ("multiclass", Answer("v", probabilities={"a": 0.5, "b": 0.5}), "z", "unseen_class"),
    ],
)
def test_what_contradicts_the_task_is_counted_with_its_reason(
    task: Task, answer: Answer, actual: Actual, reason: str
) -> None:
    performance = Performance(task)
    assert performance.loss(answer, actual) is None
    assert performance.update(joined(answer, actual)) is None
    assert performance.unusable == {reason: 1}
    assert performance.events == 0
    assert performance.metrics("recent") == {}


def test_an_unusable_event_does_not_disturb_the_next_ones() -> None:
    performance = fed("regression", [(Answer("v", value=1.0), float("nan")), (Answer("v", value=1.0), 3.0)])
    assert performance.metrics("deployment")["mae"] == 2.0


def test_nothing_is_zero_before_the_first_event() -> None:
    for task in ("regression", "binary", "multiclass"):
        for window in ("recent", "deployment"):
            found = Performance(task).evaluate(window)  # type: ignore[arg-type]
            assert found
            assert all(isinstance(value, NotReady) for value in found.values())
    assert Performance(None).evaluate("recent") == {}


@pytest.mark.parametrize("window", ["recent", "deployment"])
def test_auc_with_one_class_and_r2_without_variance_are_not_ready(window: str) -> None:
    one_class = fed("binary", [(Answer("v", probabilities={"a": 0.25 + i / 1_000}), "a") for i in range(300)])
    assert one_class.evaluate(window)["auc"] == NotReady("only one class occurred")  # type: ignore[arg-type]
    constant = fed("regression", [(Answer("v", value=float(i)), 0.1) for i in range(300)])
    assert constant.evaluate(window)["r2"] == NotReady("the actuals do not vary")  # type: ignore[arg-type]
    assert "r2" not in constant.metrics(window)  # type: ignore[arg-type]
    assert constant.metrics(window)["mae"] > 0  # type: ignore[arg-type]


def test_loss_is_absolute_error_log_loss_or_zero_one() -> None:
    assert Performance(None).loss(Answer("v", value=2.0), 5) == 3.0
    by_probability = Performance("binary")
    assert by_probability.loss(Answer("v", "a", probabilities={"a": 0.8, "b": 0.2}), "b") == pytest.approx(-np.log(0.2))
    assert by_probability.loss(Answer("v", "a", probabilities={"a": 1.0, "b": 0.0}), "b") == pytest.approx(
        -np.log(1e-6)
    )
    assert Performance("multiclass").loss(Answer("v", "a"), "b") == 1.0
    assert Performance("multiclass").loss(Answer("v", "a"), "a") == 0.0
    assert Performance("binary").loss(Answer("v", "a"), "b") == 1.0
    assert Performance(None).loss(Answer("v", "a", score=0.9), "b") is None, "it is not known what the score means"


def test_asking_for_a_loss_changes_nothing() -> None:
    performance = fed(None, [(Answer("v", "a", score=0.9), "b")])
    before = pack("p", performance.snapshot())
    performance.loss(Answer("v", "c", score=0.9), "c")
    assert pack("p", performance.snapshot()) == before


def test_update_returns_the_loss_that_was_to_be_expected() -> None:
    p, labels, actual = binary_world(400)
    performance = Performance(None)
    for q, label, a in zip(p, labels, actual, strict=True):
        answer = Answer("v", label, score=float(q))
        expected = performance.loss(answer, a)
        found = performance.update(joined(answer, a))
        assert found == expected or expected is None


def test_a_model_does_not_mix_two_kinds_of_loss() -> None:
    performance = fed("binary", [(Answer("v", "a", probabilities={"a": 0.8, "b": 0.2}), "a")])
    assert performance.update(joined(Answer("v", "a"), "b")) is None
    assert performance.metrics("deployment")["accuracy"] == 0.5
    bare = fed("binary", [(Answer("v", "a"), "a")])
    assert bare.update(joined(Answer("v", "a", probabilities={"a": 0.8, "b": 0.2}), "b")) == 1.0


def test_a_score_that_is_only_ever_of_one_label_waits_for_the_other_and_settles_in_the_end() -> None:
    rng = np.random.default_rng(17)
    events: list[tuple[Answer, Actual]] = [
        (Answer("v", "a", score=float(q)), "a" if rng.random() < q else "b") for q in rng.uniform(0.6, 1.0, 1_000)
    ]
    performance = fed("binary", events[:-1])
    assert performance.evaluate("recent")["brier"] == NotReady("it is not clear yet what the score means", 999, 1_000)
    assert performance.evaluate("recent")["auc"] == performance.evaluate("deployment")["auc"]
    performance.update(joined(*events[-1]))
    assert performance.metrics("deployment")["brier"] < 0.25


def test_a_low_score_with_the_only_label_given_is_that_of_the_other_class() -> None:
    rng = np.random.default_rng(19)
    p = rng.uniform(0, 0.2, 100)
    performance = fed("binary", [(Answer("v", "ok", score=float(q)), "bad" if rng.random() < q else "ok") for q in p])
    assert performance.metrics("deployment")["brier"] < 0.2
    assert performance.loss(Answer("v", "ok", score=0.1), "ok") == pytest.approx(-np.log(0.9))


def test_scores_that_overlap_are_of_the_given_label_even_if_the_labels_that_come_in_say_otherwise() -> None:
    rng = np.random.default_rng(31)
    events: list[tuple[Answer, Actual]] = [
        (Answer("v", "ab"[i % 2], score=float(q)), "a") for i, q in enumerate(rng.uniform(0.5, 1.0, 200))
    ]
    performance = fed("binary", events)
    assert performance.loss(Answer("v", "b", score=0.9), "b") == pytest.approx(-np.log(0.9))


def test_a_list_cut_to_the_likeliest_classes_is_not_taken_for_probabilities_of_all() -> None:
    performance = fed("multiclass", [(Answer("v", "a", probabilities={"a": 0.5, "b": 0.3}), "z")])
    assert performance.metrics("deployment") == {"accuracy": 0.0}
    assert performance.unusable == {}


def test_recent_holds_the_last_thousand_events_only() -> None:
    events: list[tuple[Answer, Actual]] = [(Answer("v", value=9.0), 0.0)] * 500
    events += [(Answer("v", value=1.0), 0.0)] * RECENT_EVENTS
    performance = fed("regression", events)
    assert performance.metrics("recent")["mae"] == 1.0
    assert performance.metrics("deployment")["mae"] == pytest.approx(5_500 / 1_500)


def test_the_reference_is_frozen_from_the_first_events() -> None:
    performance = fed("regression", [(Answer("v", value=1.0), 0.0)] * 9, baseline_events=10)
    assert performance.reference() == NotReady("the baseline is not complete", 9, 10)
    for value in (1.0, 50.0, 60.0):
        performance.update(joined(Answer("v", value=value), 0.0))
    assert performance.reference() == {"mse": 1.0, "mae": 1.0, "bias": 1.0}


def test_the_trend_equals_least_squares_and_its_interval_holds_the_true_slope() -> None:
    rng = np.random.default_rng(23)
    start_ms = 1_764_000_000_000
    days = rng.permutation(np.linspace(0, 20, 800))
    losses = 5 + 0.25 * days + rng.normal(0, 0.5, 800)
    performance = Performance("regression")
    for day, loss in zip(days, losses, strict=True):
        performance.update(joined(Answer("v", value=float(loss)), 0.0, start_ms + round(day * DAY_MS)))
    trend = performance.trend()
    assert isinstance(trend, Trend)
    (slope, _), covariance = np.polyfit(days, losses, 1, cov=True)
    assert trend.slope_per_day == pytest.approx(slope, rel=1e-6)
    assert (trend.high_per_day - trend.low_per_day) / 2 == pytest.approx(1.963 * covariance[0, 0] ** 0.5, rel=1e-3)
    assert trend.low_per_day < 0.25 < trend.high_per_day
    assert trend.events == 800


def test_the_interval_of_the_trend_holds_zero_in_19_of_20_healthy_streams() -> None:
    rng = np.random.default_rng(29)
    misses = 0
    for _ in range(300):
        performance = Performance("regression")
        for place, loss in enumerate(np.abs(rng.normal(0, 1, 60))):
            performance.update(joined(Answer("v", value=float(loss)), 0.0, place * DAY_MS))
        trend = performance.trend()
        assert isinstance(trend, Trend)
        misses += not trend.low_per_day <= 0 <= trend.high_per_day
    assert 4 <= misses <= 27


def test_there_is_no_trend_of_few_losses_or_of_one_moment() -> None:
    few = fed("regression", [(Answer("v", value=1.0), 0.0)] * 29)
    assert few.trend() == NotReady("too few losses for a trend", 29, 30)
    moment = Performance("regression")
    for value in range(50):
        moment.update(joined(Answer("v", value=float(value)), 0.0, 77))
    assert isinstance(moment.trend(), NotReady)


def test_performance_resumes_exactly_before_at_and_after_the_reading_of_the_score_is_settled() -> None:
    p, labels, actual = binary_world(260)
    events = [(Answer("v", label, score=float(q)), a) for q, label, a in zip(p, labels, actual, strict=True)]
    whole = pack("p", fed(None, events, 150).snapshot())
    for cut in (0, 1, 99, 100, 101, 150, 259):
        part = Performance.restore(unpack("p", pack("p", fed(None, events[:cut], 150).snapshot())))
        for place, (answer, a) in enumerate(events[cut:], cut):
            part.update(joined(answer, a, place * 1_000))
        assert pack("p", part.snapshot()) == whole


def test_state_stays_small_however_long_the_model_runs() -> None:
    p, labels, actual = binary_world(6_000)
    events = [(Answer("v", label, score=float(q)), a) for q, label, a in zip(p, labels, actual, strict=True)]
    half, whole = (len(pack("p", fed(None, part).snapshot())) for part in (events[:3_000], events))
    assert whole - half < 100
    assert whole < 60_000


@pytest.mark.parametrize("convention", ["score of one class", "score of the other class", "score of the given label"])
def test_a_successor_has_losses_from_its_first_event_and_reads_scores_as_its_predecessor_did(convention: str) -> None:
    p, labels, actual = binary_world()
    answers = [CONVENTIONS[convention](float(q), label) for q, label in zip(p, labels, strict=True)]
    before = fed(None, list(zip(answers, actual, strict=True)))
    after = Performance(None, conventions=before.conventions())
    losses = [after.update(joined(answer, real)) for answer, real in zip(answers[:200], actual[:200], strict=True)]
    expected = [before.loss(answer, real) for answer, real in zip(answers[:200], actual[:200], strict=True)]
    assert losses == expected
    assert None not in losses
    resumed = Performance.restore(unpack("x", pack("x", after.snapshot())))
    assert resumed.loss(answers[0], actual[0]) == losses[0]


def test_a_successor_whose_scores_are_upside_down_errs_instead_of_being_read_the_other_way_round() -> None:
    p, labels, actual = binary_world()
    good = [CONVENTIONS["score of one class"](float(q), label) for q, label in zip(p, labels, strict=True)]
    turned = [CONVENTIONS["score of one class"](1 - float(q), label) for q, label in zip(p, labels, strict=True)]
    before = fed(None, list(zip(good, actual, strict=True)))
    after = Performance(None, conventions=before.conventions())
    for answer, real in zip(turned, actual, strict=True):
        after.update(joined(answer, real))
    assert after.metrics("deployment")["log_loss"] > 1.3 * before.metrics("deployment")["log_loss"]


def test_there_are_no_conventions_before_the_reading_is_settled_nor_of_other_tasks() -> None:
    p, labels, actual = binary_world(50)
    young = fed(
        None, [(CONVENTIONS["score of one class"](float(q), a), r) for q, a, r in zip(p, labels, actual, strict=True)]
    )
    assert young.conventions() is None
    assert fed("regression", [(Answer("v1", value=1.0), 2.0)]).conventions() is None
    assert fed(None, [(Answer("v1", value=1.0), 2.0)] * 3).conventions() is None
