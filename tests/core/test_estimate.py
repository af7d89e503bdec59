"""Performance without labels, through the whole pipeline: estimated, covered by labels that come later, and withdrawn."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from whydrift.core.estimator import GRADED_ROWS, Estimator
from whydrift.core.model import ModelWatch
from whydrift.core.performance import NotReady
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import read_profile, write_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Record
from whydrift.core.report import model_status
from whydrift.core.settings import Settings
from whydrift.core.state import StateError, pack
from whydrift_schemas import Status

from .small_world import MODEL_ID, START_MS, VERSION, Event, Feed, command, diagnoses, events

LEARNT, WINDOW, DELAY = 1_000, 600, 30
"""Rows with labels to learn from; rows that an estimate is about; rows from a prediction to its label."""
ROOMY = Settings(baseline_events=LEARNT, first_stage_events=250)


# -- a world whose truth is known ------------------------------------------------------------------------------------------------


def case(i: int, hard: float) -> tuple[float, float]:
    """Probability of "bad" of case number i, and the chance that decides it. `hard`: share of cases near one half.

    The other ones are near 0 or 1, so that both outcomes come as often, however many are hard.
    """
    draw = np.random.default_rng([11, i])
    p = draw.beta(4, 4) if draw.random() < hard else draw.beta(0.4, 4)
    p = p if draw.random() < 0.5 else 1 - p
    return round(float(p), 4), float(draw.random())


def scored(p: float) -> Any:
    return {"label": "bad" if p >= 0.5 else "good", "score": p}


def classified(
    start: int,
    stop: int,
    say: Callable[[float], Any] = scored,
    *,
    hard: float = 0.3,
    flips: float = 0.0,
    turned: tuple[str, ...] = ("easy", "hard"),
    has_labels: bool = True,
) -> Iterator[Event]:
    """A binary model that says what `say` makes of the true probability. flips: share of outcomes that turn round, by kind."""
    for i in range(start, stop):
        p, chance = case(i, hard)
        common = {"event_id": f"e{i}", "model_id": MODEL_ID}
        at_ms = START_MS + 1_000 * i
        features = {
            "kind": "hard" if 0.2 < p < 0.8 else "easy",
            "noise": float(np.random.default_rng([12, i]).normal()),
        }
        yield {
            "kind": "prediction",
            **common,
            "model_version": VERSION,
            "timestamp": at_ms,
            "features": features,
            "prediction": say(p),
        }
        if has_labels:
            turns = np.random.default_rng([13, i]).random() < flips and features["kind"] in turned
            is_bad = (chance < p) is not turns
            later_ms = at_ms + 1_000 * DELAY
            yield {"kind": "label", **common, "timestamp": later_ms, "actual": "bad" if is_bad else "good"}


def measured(start: int, stop: int, *, wild: float = 0.3, has_labels: bool = True) -> Iterator[Event]:
    """A regression that errs five times as much on one kind of cases, whose share is `wild`."""
    for i in range(start, stop):
        draw = np.random.default_rng([14, i])
        is_wild, x, error = draw.random() < wild, float(draw.normal()), float(draw.normal())
        common = {"event_id": f"e{i}", "model_id": MODEL_ID}
        features = {"x": x, "kind": "wild" if is_wild else "calm"}
        yield {
            "kind": "prediction",
            **common,
            "model_version": VERSION,
            "timestamp": START_MS + 1_000 * i,
            "features": features,
            "prediction": {"value": 100 + 10 * x},
        }
        if has_labels:
            actual = 100 + 10 * x + error * (5.0 if is_wild else 1.0)
            yield {"kind": "label", **common, "timestamp": START_MS + 1_000 * (i + DELAY), "actual": actual}


def in_order(stream: Iterator[Event]) -> list[Event]:
    return sorted(stream, key=lambda event: int(event["timestamp"]))


def fed(stream: Iterator[Event], feed: Feed | None = None) -> Feed:
    feed = feed or Feed(settings=ROOMY)
    feed(in_order(stream))
    return feed


def watch(feed: Feed) -> ModelWatch:
    return feed.pipeline._models[MODEL_ID]


def estimator(feed: Feed) -> Estimator:
    return watch(feed).versions[VERSION].estimator


def recent(feed: Feed) -> dict[str, float]:
    """Metrics of the latest answers, as the metrics endpoint has them."""
    return {one.metric: one.value for one in model_status(watch(feed)).performance if one.window == "recent"}


@cache
def learnt_bytes(kind: str) -> tuple[tuple[str, bytes], ...]:
    stream = measured(0, LEARNT + 2 * DELAY) if kind == "measured" else classified(0, LEARNT + 2 * DELAY)
    return tuple(fed(stream).pipeline.snapshot().items())


def learnt(kind: str = "classified") -> Feed:
    """A model with a whole reference of labelled rows."""
    pipeline = Pipeline.restore(ROOMY, "events", 0, {}, dict(learnt_bytes(kind)))
    return Feed(pipeline, 2 * LEARNT + 4 * DELAY, ROOMY)


# -- estimates -------------------------------------------------------------------------------------------------------------------

BEGIN = LEARNT + 2 * DELAY


def shown(start: int, stop: int, **world: Any) -> dict[str, float]:
    """What labels of these rows show, reckoned here."""
    p, is_bad = np.array([(p, chance < p) for p, chance in (case(i, world["hard"]) for i in range(start, stop))]).T
    return {
        "log_loss": float(-np.log(np.where(is_bad == 1, p, 1 - p).clip(1e-6)).mean()),
        "brier": float(((p - is_bad) ** 2).mean()),
        "accuracy": float(((p >= 0.5) == is_bad).mean()),
    }


@pytest.mark.parametrize("hard", [0.3, 0.9])
def test_what_labels_would_show_is_in_the_interval_without_them_also_when_cases_become_harder(hard: float) -> None:
    feed = fed(classified(BEGIN, BEGIN + WINDOW, hard=hard, has_labels=False), learnt())
    found = recent(feed)
    for metric, value in shown(BEGIN, BEGIN + WINDOW, hard=hard).items():
        assert found[f"estimated_{metric}_low"] <= value <= found[f"estimated_{metric}_high"]
        assert found[f"estimated_{metric}_low"] < found[f"estimated_{metric}"] < found[f"estimated_{metric}_high"]
    assert 0.5 < found["estimated_auc_low"] < found["estimated_auc"] < found["estimated_auc_high"] < 1


def test_harder_cases_cost_accuracy_that_the_reference_does_not_show() -> None:
    easy, hard = (
        fed(classified(BEGIN, BEGIN + WINDOW, hard=share, has_labels=False), learnt()) for share in (0.3, 0.9)
    )
    assert recent(easy)["estimated_accuracy_low"] > recent(hard)["estimated_accuracy_high"]


@pytest.mark.parametrize("wild", [0.3, 0.8])
def test_the_error_of_a_regression_follows_the_kind_of_cases(wild: float) -> None:
    found = recent(fed(measured(BEGIN, BEGIN + WINDOW, wild=wild, has_labels=False), learnt("measured")))
    expected = float(np.sqrt(2 / np.pi)) * (5 * wild + 1 - wild)
    assert found["estimated_mae_low"] <= expected <= found["estimated_mae_high"]
    assert found["estimated_mae_high"] - found["estimated_mae_low"] < 0.4 * expected


SAID: dict[str, Callable[[float], Any]] = {
    "too sure of itself": lambda p: scored(round(p**3 / (p**3 + (1 - p) ** 3), 4)),
    "the label's probability": lambda p: {"label": "bad" if p >= 0.5 else "good", "score": max(p, round(1 - p, 4))},
    "the good one's probability": lambda p: {"label": "bad" if p >= 0.5 else "good", "score": round(1 - p, 4)},
    "a bare probability": lambda p: {"value": p},
    "probabilities": lambda p: {"probabilities": {"bad": p, "good": round(1 - p, 4)}},
}


@pytest.mark.parametrize("name", SAID)
def test_any_form_of_answer_is_read_as_its_losses_say(name: str) -> None:
    """Labels grade every block: the estimate holds, however the model says it, and however wrong it is about itself."""
    feed = fed(classified(0, LEARNT + 4 * GRADED_ROWS + DELAY, SAID[name]))
    assert estimator(feed).blocks >= 4
    assert estimator(feed).covered >= estimator(feed).blocks - 1
    assert estimator(feed).doubt is None
    found = recent(feed)
    assert found["estimated_log_loss_low"] <= found["log_loss"] <= found["estimated_log_loss_high"]
    assert found["estimated_accuracy_low"] <= found["accuracy"] <= found["estimated_accuracy_high"]


def test_a_model_that_only_decides_is_estimated_from_its_inputs() -> None:
    def only_decides(p: float) -> Any:
        return {"label": "bad" if p >= 0.5 else "good"}

    feed = fed(classified(0, LEARNT + DELAY, only_decides))
    fed(classified(BEGIN, BEGIN + WINDOW, only_decides, hard=0.5, has_labels=False), feed)
    found, real = recent(feed), shown(BEGIN, BEGIN + WINDOW, hard=0.5)
    assert found["estimated_accuracy_low"] <= real["accuracy"] <= found["estimated_accuracy_high"]
    assert "estimated_log_loss" not in found


def three(p: float) -> Any:
    rest = round((1 - p) / 2, 4)
    return {"probabilities": {"bad": p, "good": rest, "late": round(1 - p - rest, 4)}}


def test_of_more_than_two_classes_the_loss_is_learnt() -> None:
    found = recent(fed(classified(0, LEARNT + 2 * GRADED_ROWS, three)))
    for metric in ("log_loss", "accuracy"):
        assert found[f"estimated_{metric}_low"] <= found[metric] <= found[f"estimated_{metric}_high"]


# -- before there is anything to go by -------------------------------------------------------------------------------------------


def test_without_labels_there_is_no_estimate_and_nothing_is_said_of_one() -> None:
    feed = fed(classified(0, WINDOW, has_labels=False))
    assert [metric for metric in recent(feed) if "estimate" in metric] == []
    reason = estimator(feed).estimate(watch(feed).versions[VERSION].answered())
    assert reason == NotReady("too few labels to learn from", 0, 250)
    assert model_status(watch(feed)).withdrawn == {}


def test_the_first_stage_s_interval_is_wider_than_the_whole_reference_s() -> None:
    early, late = (recent(fed(classified(0, rows + DELAY))) for rows in (260, LEARNT))
    width = [found["estimated_brier_high"] - found["estimated_brier_low"] for found in (early, late)]
    assert width[0] > width[1] > 0


@pytest.mark.parametrize("say", [lambda p: {"label": "good", "score": 0.2}, lambda p: {"value": 0.2}])
def test_a_constant_answer_is_estimated_as_what_it_is(say: Callable[[float], Any]) -> None:
    feed = fed(classified(0, LEARNT + DELAY, say))
    found = recent(feed)
    assert found["estimated_accuracy_low"] <= found["accuracy"] <= found["estimated_accuracy_high"]


def test_one_class_only_is_no_error() -> None:
    feed = Feed(settings=ROOMY)
    feed(in_order(one for one in classified(0, LEARNT) if one.get("actual") != "bad"))
    found = recent(feed)
    assert found["estimated_accuracy_low"] <= found["estimated_accuracy"] <= found["estimated_accuracy_high"] <= 1
    assert all(np.isfinite(value) for value in found.values())


# -- labels grade it -------------------------------------------------------------------------------------------------------------


@cache
def drifting() -> tuple[tuple[str, bytes], ...]:
    """Two in five outcomes turn round, whatever the score: labels of two blocks have come."""
    feed = fed(classified(BEGIN, BEGIN + 2 * GRADED_ROWS + DELAY, flips=0.4), learnt())
    return tuple(feed.pipeline.snapshot().items())


def test_under_concept_drift_it_withdraws_itself_and_says_so() -> None:
    feed = Feed(Pipeline.restore(ROOMY, "events", 0, {}, dict(drifting())), 10_000, ROOMY)
    found = recent(feed)
    assert found["estimate_withdrawn"] == 1.0
    assert [metric for metric in found if metric.startswith("estimated_") and metric != "estimated_coverage"] == []
    reason = model_status(watch(feed)).withdrawn[VERSION]
    assert reason.startswith("withdrawn: on 2")
    assert "brier" in reason


def test_a_concept_drift_s_diagnosis_says_that_the_estimate_is_withdrawn() -> None:
    feed = learnt()
    opened = diagnoses(feed(in_order(classified(BEGIN, BEGIN + 600, flips=0.8, turned=("easy",)))), Status.OPENED)
    leading = opened[0].causes[0]
    assert leading.fault == "concept_drift"
    assert "estimated without labels would be log_loss" in leading.explanation
    assert leading.explanation.endswith("withdrawn, as they say otherwise.")
    assert opened[0].impact is not None
    assert not opened[0].impact.estimated


def test_it_comes_back_when_labels_agree_again() -> None:
    feed = Feed(Pipeline.restore(ROOMY, "events", 0, {}, dict(drifting())), 10_000, ROOMY)
    start = BEGIN + 2 * GRADED_ROWS + 2 * DELAY
    feed(in_order(classified(start, start + 3 * GRADED_ROWS)))
    assert estimator(feed).doubt is None


def test_a_drift_of_the_cases_alone_does_not_withdraw_it() -> None:
    feed = fed(classified(BEGIN, BEGIN + 5 * GRADED_ROWS, hard=0.9), learnt())
    assert estimator(feed).doubt is None
    assert estimator(feed).covered >= estimator(feed).blocks - 1


def test_what_is_accepted_is_learnt_anew() -> None:
    feed = Feed(Pipeline.restore(ROOMY, "events", 0, {}, dict(drifting())), 10_000, ROOMY)
    start = BEGIN + 2 * GRADED_ROWS + 2 * DELAY
    feed([command("relearn", start)])
    assert isinstance(estimator(feed).estimate(watch(feed).versions[VERSION].answered()), NotReady)
    feed(in_order(classified(start, start + LEARNT + DELAY, flips=0.4)))
    found = recent(feed)
    assert found["estimate_withdrawn"] == 0.0
    assert found["estimated_brier_low"] <= found["brier"] <= found["estimated_brier_high"]


# -- in diagnoses ----------------------------------------------------------------------------------------------------------------


def test_where_labels_are_late_a_drift_s_cost_is_estimated_and_marked_so() -> None:
    feed = learnt("measured")
    said = diagnoses(feed(in_order(measured(BEGIN, BEGIN + 400, wild=0.8, has_labels=False))))
    (drift, *_) = [one for one in reversed(said) if one.causes[0].family == "data_drift"]
    impact = drift.impact
    assert impact is not None
    assert impact.estimated
    assert impact.metric == "mae"
    assert impact.current > 1.5 * impact.reference


def test_where_labels_have_come_they_are_the_cost() -> None:
    feed = learnt("measured")
    said = diagnoses(feed(in_order(measured(BEGIN, BEGIN + 400, wild=0.8))))
    impacts = [one.impact for one in said if one.impact is not None]
    assert not impacts[-1].estimated


def test_of_broken_inputs_no_cost_is_made_up_and_the_estimate_is_withdrawn() -> None:
    feed = Feed()
    feed(events(0, 800))
    said = diagnoses(feed(events(800, 1_000, inputs=_in_thousands, has_labels=False)))
    assert said[-1].causes[0].fault == "unit_change"
    assert said[-1].impact is None
    assert model_status(watch(feed)).withdrawn[VERSION].startswith("withdrawn during unit_change")


def _in_thousands(features: Event, i: int) -> None:
    features["income"] /= 1_000


# -- state, profile --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classified", "measured"])
@pytest.mark.parametrize("at", [100, 400, 1_100])
def test_a_restart_is_not_seen(kind: str, at: int) -> None:
    make = measured if kind == "measured" else classified
    stream = in_order(make(0, LEARNT + 2 * GRADED_ROWS))
    plain, restarted = Feed(settings=ROOMY), Feed(settings=ROOMY)
    plain(stream)
    restarted(stream[: 2 * at])
    restarted = restarted.copy()
    restarted(stream[2 * at :])
    assert recent(plain) == recent(restarted)
    assert plain.pipeline.snapshot() == restarted.pipeline.snapshot()


def test_its_memory_is_bounded_and_rows_are_forgotten_when_they_are_learnt() -> None:
    feed = learnt()
    sizes = []
    for start in range(BEGIN, BEGIN + 2_000, 500):
        fed(classified(start, start + 500), feed)
        sizes.append(len(pack("test", estimator(feed).snapshot())) + len(pack("test", {"_": _references(feed)})))
    assert max(sizes) < 40_000


def _references(feed: Feed) -> Any:
    return estimator(feed).snapshot_references()


def profile_of(stream: Iterator[Event], *, keep_sample: bool = True) -> bytes:
    profiler = Profiler(Settings(), keep_sample=keep_sample)
    records = [Record("events", 0, i, encode_event(event)) for i, event in enumerate(in_order(stream))]
    assert profiler.add(records) == []
    return profiler.finish()


def encode_event(event: Event) -> bytes:
    return json.dumps(event).encode()


@pytest.mark.parametrize("keep_sample", [True, False])
def test_a_profile_brings_it_along(keep_sample: bool) -> None:
    data = profile_of(classified(0, LEARNT), keep_sample=keep_sample)
    feed = Feed(Pipeline(ROOMY, "events", 0, read_profile(data)), settings=ROOMY)
    fed(classified(BEGIN, BEGIN + WINDOW, hard=0.9, has_labels=False), feed)
    found, real = recent(feed), shown(BEGIN, BEGIN + WINDOW, hard=0.9)
    for metric, value in real.items():
        assert found[f"estimated_{metric}_low"] <= value <= found[f"estimated_{metric}_high"]


def test_a_profile_of_a_regression_is_estimated_by_its_own_bins() -> None:
    feed = Feed(Pipeline(ROOMY, "events", 0, read_profile(profile_of(measured(0, LEARNT)))), settings=ROOMY)
    fed(measured(BEGIN, BEGIN + WINDOW, wild=0.8, has_labels=False), feed)
    found = recent(feed)
    assert found["estimated_mae_low"] <= float(np.sqrt(2 / np.pi)) * 4.2 <= found["estimated_mae_high"]


@pytest.mark.parametrize("damaged", [{"losses": {}}, {"probabilities": {"first": "bad"}}, {}, [1], "x"])
def test_a_damaged_estimate_in_a_profile_is_refused(damaged: Any) -> None:
    profiles = read_profile(profile_of(classified(0, 300)))
    data = write_profile({name: _with_estimate(profile, damaged) for name, profile in profiles.items()})
    with pytest.raises(StateError, match="damaged"):
        read_profile(data)


def _with_estimate(profile: Any, estimate: Any) -> Any:
    return replace(profile, estimate=estimate)
