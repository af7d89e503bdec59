"""The rules for faults of the model, of its calls, of traffic and labels, on cases built straight from the example world.

Belongs here: each rule's examples both ways, pairs of look-alikes, and what a proposal must say. Not here: faults of the inputs
(`test_faults_inputs`), how a verdict is reached among all rules (`test_diagnose`), the pipeline (`tests/conformance`).
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

import world
from case_builder import builder_of, case_of

from whydrift.core.case import RESIDUALS, Case, SignalEvidence
from whydrift.core.diagnose import diagnose
from whydrift.core.faults import (
    concept_drift,
    error_surge,
    fallback_answers,
    label_feed_stopped,
    label_shift,
    latency_degradation,
    parameter_corruption,
    replica_disagreement,
    rules,
    traffic_change,
    unknown,
    wrong_model,
)
from whydrift.core.faults.outputs import alarms_of, loss_alarmed, loss_words
from whydrift.core.faults.rule import Example, Proposal, Row, Rule
from whydrift.core.faults.sketches import Break, both, change, describe, fail, fill, on_replica, predict, scatter, turn
from whydrift_schemas import Fault, RuledOut

MODULES = (
    concept_drift,
    error_surge,
    fallback_answers,
    label_feed_stopped,
    latency_degradation,
    parameter_corruption,
    traffic_change,
    unknown,
    wrong_model,
)
RULES: tuple[Rule, ...] = tuple(module.RULE for module in MODULES)
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]
KERNEL = {"name": "linear/kernel", "count": 13, "zeros": 4, "non_finite": 0}


def arrivals_alarmed(case: Case) -> bool:
    return case.arrivals.evidence is not None and case.arrivals.evidence.is_alarmed


AWAITED: dict[str, Callable[[Case], bool]] = {
    # More young predictions make the labels' delay look short before the rate has its evidence together.
    "eight times as many calls": arrivals_alarmed,
    # The answers of an announced version are learnt anew by the pipeline: what alarms then is the loss.
    "the announced new version errs more": loss_alarmed,
    "a new version errs more": loss_alarmed,
}


def proposals(case: Case) -> list[Proposal]:
    """Every rule's proposals, best fit first: those for inputs must not take these names either."""
    found = [answer for rule in rules() for answer in rule.examine(case) if isinstance(answer, Proposal)]
    return sorted(found, key=lambda proposal: -proposal.fit)


def ruled_out(case: Case, rule: Rule) -> list[str]:
    return [answer.because for answer in rule.examine(case) if isinstance(answer, RuledOut)]


def case_with(*steps: Break, **how: Any) -> Case:
    case = case_of(Example("", both(*steps)), 1, **how)
    assert case is not None, "the example raised no alarm"
    return case


@cache
def example_case(index: int) -> Case:
    rule, example = EXAMPLES[index]
    case = case_of(example, 1, is_awaited=AWAITED.get(example.says))
    assert case is not None, f"{rule.fault}: {example.says}: no alarm"
    return case


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=[f"{r.fault}: {e.says}" for r, e in EXAMPLES])
def test_each_example_gets_its_name_and_each_look_alike_does_not(index: int) -> None:
    rule, example = EXAMPLES[index]
    found = proposals(example_case(index))
    if example.named:
        assert found[0].fault == rule.fault, [(p.fault, p.fit, p.headline) for p in found]
    else:
        assert found[0].fault != rule.fault, found[0].explanation


@pytest.mark.parametrize("rule", RULES, ids=[rule.fault for rule in RULES])
def test_proposals_name_alarmed_signals_and_say_what_a_person_at_night_needs(rule: Rule) -> None:
    for index, (owner, _) in enumerate(EXAMPLES):
        if owner is not rule:
            continue
        case = example_case(index)
        alarmed = {signal.signal for signal in case.alarmed}
        for proposal in proposals(case):
            assert 0 < proposal.fit < 1
            assert proposal.explains
            assert proposal.explains <= alarmed
            assert set(proposal.features) <= set(case.features)
            # The diagnosis adds since when and how sure, within 200 characters.
            assert 10 < len(proposal.headline) <= 150, proposal.headline
            # Not one of our own words for columns and aspects: nobody paged at night has read this code.
            assert not any(word in proposal.headline for word in ("residual", "_delay", ".distribution", "log10"))
            assert proposal.explanation
            assert proposal.action


@pytest.mark.parametrize("rule", RULES, ids=[rule.fault for rule in RULES])
def test_the_first_cause_of_each_example_leaves_no_alarm_unexplained(rule: Rule) -> None:
    for index, (owner, example) in enumerate(EXAMPLES):
        if owner is rule and example.named:
            case = example_case(index)
            assert {signal.signal for signal in case.alarmed} <= proposals(case)[0].explains, example.says


@pytest.mark.parametrize("rule", RULES, ids=[rule.fault for rule in RULES])
def test_rules_say_nothing_about_a_healthy_stream(rule: Rule) -> None:
    for seed in (1, 2):
        rows = world.healthy_rows(seed, 2_400)
        assert rule.examine(builder_of(seed).build(rows[2_000:])) == []


def test_judging_repeats_exactly() -> None:
    for index in range(0, len(EXAMPLES), 5):
        case = example_case(index)
        assert [rule.examine(case) for rule in RULES] == [rule.examine(case) for rule in RULES]


@pytest.mark.parametrize("rows", [1, 3, 21])
def test_no_rule_falls_over_a_handful_of_rows_or_rows_without_answers(rows: int) -> None:
    fresh = world.healthy_rows(1, 2_000 + rows)[2_000:]
    lost = [row | {"prediction": None, "error": "OSError", "latency_ms": None, "label": None} for row in fresh]
    mute = [row | {"prediction": {"label": "good"}} for row in fresh]
    huge = [row | {"prediction": {"label": "good", "score": 1e300}, "latency_ms": 1e12} for row in fresh]
    for current in (fresh, lost, mute, huge):
        case = all_alarmed(builder_of(1).build(current))
        for rule in RULES:
            for answer in rule.examine(case):
                assert isinstance(answer, RuledOut) or len(answer.headline) <= 150


# -- model -------------------------------------------------------------------------------------------------------


def test_other_scores_without_a_model_event_offer_both_causes_and_say_what_would_decide() -> None:
    first, second = proposals(case_with(predict(wrong_model._other)))[:2]
    assert [first.fault, second.fault] == ["wrong_model", "parameter_corruption"]
    assert first.fit > 2 * second.fit
    assert "digest" in first.decider
    assert "digest" in second.decider


def test_odds_that_are_all_the_same_times_as_high_are_another_calibration() -> None:
    found = proposals(case_with(predict(odds(2.5))))
    assert found[0].fault == "calibration_change"
    assert all(one.fit < 0.7 for one in found[1:])


def test_one_answer_for_everybody_is_on_no_replica_more_than_on_others() -> None:
    found = ruled_out(case_with(constant(0.2113, 1.0)), replica_disagreement.RULE)
    assert found == ["all replicas give one answer, 0.2113"]


def test_a_fallback_s_answer_is_no_other_mix_of_outcomes() -> None:
    assert ruled_out(case_with(constant(0.2113, 0.1)), label_shift.RULE) == [
        "0.2113 is answered to cases of all kinds, whatever comes true of them"
    ]


def test_answers_that_row_by_row_are_not_health_s_are_no_other_mix_of_outcomes_before_their_alarm() -> None:
    case = case_with(predict(odds(6.0)))
    outputs = dict(case.outputs)
    for name in ("prediction", *(outputs.keys() & {*RESIDUALS})):
        is_it = name == "prediction"
        signals = {aspect: replace(one, is_alarmed=is_it) for aspect, one in outputs[name].signals.items()}
        outputs[name] = replace(outputs[name], signals=signals)
    assert ruled_out(replace(case, outputs=outputs, guards=()), label_shift.RULE) == [
        "the same inputs get other answers, which no mix of outcomes explains"
    ]


def test_scores_that_scatter_and_are_cut_at_zero_are_no_fallback() -> None:
    case = case_with(predict(lambda s, f: min(max(s + 0.5 * (scatter(round(f["income"] * 100), 3) - 0.5), 0.0), 1.0)))
    assert proposals(case)[0].fault in ("wrong_model", "parameter_corruption")


def test_saturated_scores_turn_the_order_of_the_two_round() -> None:
    first, second = proposals(case_with(predict(lambda s, f: s**20 / (s**20 + (1 - s) ** 20))))[:2]
    assert (first.fault, second.fault) == ("parameter_corruption", "wrong_model")
    assert "scores are 0 or 1" in first.headline


def test_numbers_that_are_not_finite_are_said_and_leave_no_doubt() -> None:
    case = case_with(describe(parameters=[KERNEL | {"non_finite": 3, "digest": "sha256:ffff"}]))
    best = proposals(case)[0]
    assert best.headline == "weights are broken under the same version: linear/kernel: 3 of 13 numbers are not finite"
    assert best.decider == ""
    assert ruled_out(case, wrong_model.RULE) == [
        "a model event shows broken weights: linear/kernel: 3 of 13 numbers are not finite"
    ]


def test_a_norm_grown_tenfold_is_broken_and_a_little_moved_one_only_changed() -> None:
    grown = proposals(case_with(describe(parameters=[KERNEL | {"l2_norm": 310.0}])))[0]
    moved = proposals(case_with(describe(parameters=[KERNEL | {"l2_norm": 3.2}])))
    assert (grown.fault, grown.headline) == (
        "parameter_corruption",
        "weights are broken under the same version: linear/kernel: norm 3.1 → 310",
    )
    assert [proposal.fault for proposal in moved] == ["parameter_corruption", "wrong_model"]
    assert grown.fit > moved[0].fit


def test_a_replica_that_describes_other_weights_is_named() -> None:
    best = proposals(case_with(describe(replica="pod-2", parameters=[KERNEL | {"digest": "sha256:ffff"}])))[0]
    assert best.replica == "pod-2"
    assert "on replica pod-2" in best.headline


def test_the_rules_do_without_the_signal_of_a_changed_model() -> None:
    steps = predict(odds(2.5)), describe(parameters=[KERNEL | {"digest": "sha256:ffff"}])
    case = case_with(*steps, is_awaited=lambda case: bool(alarms_of(case, "residual")))
    assert proposals(case)[0].fault == "parameter_corruption"
    bare = replace(case, world={name: one for name, one in case.world.items() if name != "parameters"})
    assert proposals(bare)[0].fault == "parameter_corruption"
    assert "parameters" not in proposals(bare)[0].explains


def test_a_model_event_of_long_before_does_not_explain_answers_that_change_now() -> None:
    case = case_with(predict(odds(2.5)), describe(parameters=[KERNEL | {"digest": "sha256:ffff"}]), settle_rows=200)
    (one,) = case.model_changes
    old = replace(case, model_changes=(replace(one, at_ms=one.at_ms - 86_400_000),))
    answers = alarms_of(case, "prediction", "decision", "residual")
    found = {proposal.fault: proposal for proposal in proposals(old) if proposal.explains & answers}
    assert found["wrong_model"].headline.startswith("another model seems to answer")
    corrupt = [p for p in proposals(old) if p.fault == "parameter_corruption"]
    assert sorted(sorted(p.explains & answers) for p in corrupt) == [[], sorted(answers)]


def test_an_announced_version_excuses_other_answers_but_not_a_greater_loss() -> None:
    step = both(predict(lambda s, f: 1 - s), describe(model_version="2026.12.0"))
    early, late = case_with(step), case_with(step, is_awaited=loss_alarmed)
    assert "parameter_corruption" not in {proposal.fault for proposal in proposals(early)}
    assert "was announced" in ruled_out(early, wrong_model.RULE)[0]
    best = proposals(late)[0]
    assert best.headline.startswith("version 2026.12.0 errs more than 2026.11.1: log_loss 0.47")
    assert best.action.startswith("Roll back to version 2026.11.1")
    assert [p.fault for p in proposals(late)[:2]] == ["wrong_model", "concept_drift"]


def test_a_loss_that_rises_long_after_a_version_came_in_is_not_laid_at_its_door() -> None:
    step = both(turn(rich_default), describe(model_version="2026.12.0"))
    case = case_with(step, is_awaited=loss_alarmed)
    assert proposals(case)[0].fault == "wrong_model"
    (one,) = case.model_changes
    old = replace(case, model_changes=(replace(one, at_ms=one.at_ms - 86_400_000),))
    assert [proposal.fault for proposal in proposals(old)] == ["concept_drift"]


def test_broken_inputs_rule_out_that_the_model_is_to_blame() -> None:
    case = case_with(change(lambda v, i: v / 1_000, "income"))
    assert ruled_out(case, wrong_model.RULE) == ["income has changed, which changes the answers too"]
    assert ruled_out(case, parameter_corruption.RULE)[0].startswith("income has changed")


def test_outcomes_that_turn_round_on_one_replica_only_are_that_replica_s_and_no_drift_of_the_world() -> None:
    """The answers are as ever, as far as they show."""
    other = {"good": "bad", "bad": "good"}
    case = case_with(on_replica("pod-2", turn(lambda actual, f, i: other[actual])), is_awaited=loss_alarmed)
    (found,) = proposals(case)
    assert (found.fault, found.replica) == (Fault.REPLICA_DISAGREEMENT, "pod-2")
    assert found.headline.startswith("the model errs more on pod-2 only: ")
    assert ruled_out(case, concept_drift.RULE) == [
        "the model errs more on pod-2 only, which the world knows nothing of"
    ]


def test_a_moved_threshold_is_no_other_model() -> None:
    case = case_with(recut)
    assert ruled_out(case, wrong_model.RULE) == [
        "the score is as ever, only the decision has changed: look at the threshold"
    ]
    assert [p.headline for p in proposals(case)] == ['"bad" is decided from a score of 0.1 on, no longer from 0.5']


# -- fallback ----------------------------------------------------------------------------------------------------


def test_a_fallback_is_told_from_saturation_by_the_cases_it_falls_on() -> None:
    fallback = proposals(case_with(constant(1.0, 0.3)))[0]
    saturated = case_with(predict(lambda s, f: 1.0 if s > 0.3 else s))
    assert fallback.fault == "fallback_answers"
    assert proposals(saturated)[0].fault == "parameter_corruption"
    assert ruled_out(saturated, fallback_answers.RULE) == ["the score is 1 only for cases that the inputs set apart"]


def test_outcomes_that_move_by_themselves_are_the_world_s_before_the_loss_has_risen_notably() -> None:
    case = case_with(turn(rich_default), is_awaited=lambda case: case.labels["actual"].is_alarmed("distribution"))
    loss = case.labels["loss"]
    signals = {aspect: replace(one, is_alarmed=False) for aspect, one in loss.signals.items()}

    def erring(times: float) -> Case:
        values = np.resize(times * loss.healthy, len(loss.current_values))
        now = replace(loss, signals=signals, current_values=values)
        return replace(case, performance=None, guards=(), labels={**case.labels, "loss": now})

    (found,) = proposals(erring(1.02))
    assert found.fault == "concept_drift"
    assert found.headline == "other outcomes come true than in health, of the same kind of cases and answers"
    assert ruled_out(erring(0.9), concept_drift.RULE)[0].startswith("the model errs no more than in health")


def test_a_bound_that_most_cases_get_in_the_model_s_time_is_rather_of_broken_weights() -> None:
    few, most = (proposals(case_with(constant(1.0, share))) for share in (0.1, 0.7))
    assert few[0].fault == "fallback_answers"
    assert most[0].fault == "parameter_corruption"


def test_a_few_cases_with_one_answer_may_be_alike_by_chance() -> None:
    def for_the_middle(row: Row, i: int) -> Row:
        is_middle = 0.15 < row["prediction"]["score"] < 0.25
        return (
            row | {"prediction": {"label": "good", "score": 0.2113}}
            if i % 10 == 0 or (i % 5 == 0 and is_middle)
            else row
        )

    case = case_with(for_the_middle, settle_rows=0)
    view = case.outputs["prediction"]
    assert 4 <= (view.current_values == 0.2113).sum() < 20
    assert proposals(case)[0].fault == "fallback_answers"


def test_one_answer_for_everybody_is_a_fallback_or_dead_weights_and_speed_tells() -> None:
    slow = proposals(case_with(constant(0.2, 1.0)))
    fast = proposals(case_with(constant(0.2, 1.0), lambda row, i: row | {"latency_ms": 0.1}))
    assert {p.fault for p in slow[:2]} == {p.fault for p in fast[:2]} == {"fallback_answers", "parameter_corruption"}
    assert slow[0].fit < 1.3 * slow[1].fit
    assert fast[0].fit > 2 * fast[1].fit
    assert all(p.decider for p in slow[:2])
    assert "latency.distribution" in fast[0].explains


@pytest.mark.parametrize("value", [0.2, 0.5137])
def test_of_one_answer_for_everybody_no_more_rows_tell_whose_it_is_and_of_one_for_some_they_do(value: float) -> None:
    (everybody,), (some,) = (diagnose(case_with(constant(value, share))) for share in (1.0, 0.5))
    assert str(everybody.causes[0].fault) in ("fallback_answers", "parameter_corruption")
    assert not everybody.rows_decide
    assert some.rows_decide


def test_a_constant_answer_to_inputs_that_are_all_missing_is_no_fallback() -> None:
    case = case_with(fill(None, "income", "age", "balance", "debt_ratio", "region"), constant(0.24, 1.0))
    assert proposals(case)[0].fault == "missing_values"
    assert "fallback_answers" not in {p.fault for p in proposals(case)}


# -- calls -------------------------------------------------------------------------------------------------------


def test_failed_calls_are_named_by_their_class_and_explain_missing_answers_and_their_own_time() -> None:
    case = case_with(fail("TimeoutError", 0.15, 2_000.0), settle_rows=100)
    found = proposals(case)
    assert [p.fault for p in found] == ["error_surge"]
    assert "of the calls fail with TimeoutError, none in health" in found[0].headline
    assert {"prediction.missing", "errors.unseen", "latency.out_of_range"} <= found[0].explains
    assert ruled_out(case, latency_degradation.RULE) == [
        "only the failed calls are slow: the others take as long as in health"
    ]


def test_calls_that_fail_and_calls_that_are_slow_are_two_faults() -> None:
    case = case_with(slower(5), fail("TimeoutError", 0.15, 2_000.0), settle_rows=100)
    assert [p.fault for p in proposals(case)] == ["error_surge", "latency_degradation"]


def test_calls_that_fail_on_a_broken_input_say_what_to_look_for_in_the_message() -> None:
    case = case_with(fill(None, "income", share=0.3), fail("ValueError", 0.3), settle_rows=60)
    found = {p.fault: p for p in proposals(case)}
    assert found["missing_values"].fit > found["error_surge"].fit
    assert found["error_surge"].decider == "the message of one failed call: does it complain of income?"


def test_two_classes_of_error_are_told_in_order_of_their_shares() -> None:
    best = proposals(case_with(fail("OSError", 0.2), fail_other("ValueError", 0.08), settle_rows=200))[0]
    assert ", mostly with OSError, none in health" in best.headline
    assert best.explanation.index("OSError") < best.explanation.index("ValueError")


def test_latency_is_told_in_milliseconds_before_and_after() -> None:
    best = proposals(case_with(slower(4), settle_rows=200))[0]
    assert best.headline.startswith("calls take 4")
    assert "median 3.32 ms → 1" in best.headline
    assert "99th percentile 6.58 ms → 2" in best.explanation


def test_a_longer_tail_is_not_told_as_slower_calls() -> None:
    best = proposals(case_with(slower(20, 0.04)))[0]
    assert best.headline.startswith("the slowest calls have become slower")


def test_faster_calls_are_no_degradation() -> None:
    assert ruled_out(case_with(slower(0.25)), latency_degradation.RULE)[0].startswith("calls have become faster")


# -- traffic and labels ------------------------------------------------------------------------------------------


def test_repeats_explain_a_surge_unless_they_are_far_too_few() -> None:
    case = case_with(traffic_change._Compressed(8), is_awaited=arrivals_alarmed)
    assert proposals(case)[0].headline.split(":")[0].endswith("times as many predictions as usual")
    many, few = (replace(case, world=case.world | {"duplicates": repeats(share)}) for share in (0.85, 0.05))
    assert ruled_out(many, traffic_change.RULE) == ["more events arrive because they repeat: 85 % of them came before"]
    (answer,) = traffic_change.RULE.examine(few)
    assert isinstance(answer, Proposal)
    assert answer.fit < 0.5
    assert answer.decider


def test_more_load_is_offered_as_the_reason_of_slower_calls() -> None:
    case = case_with(traffic_change._Compressed(8), slower(4), is_awaited=arrivals_alarmed)
    found = {p.fault: p for p in proposals(case)}
    assert found["traffic_change"].fit > found["latency_degradation"].fit
    assert "load" in found["latency_degradation"].decider
    assert "latency.distribution" in found["traffic_change"].explains


def test_fewer_labels_after_fewer_predictions_are_the_traffic_s() -> None:
    case = case_with(lambda row, i: row if i % 12 == 0 else None, settle_rows=40)
    assert ruled_out(case, label_feed_stopped.RULE) == ["fewer predictions arrive, so fewer labels follow"]
    assert {"arrivals", "label_arrivals"} <= proposals(case)[0].explains


def test_labels_that_stop_suppress_a_verdict_on_the_loss() -> None:
    """Only the labels of those who default come any more: that is no change of the world."""
    case = case_with(only_bad_known, is_awaited=lambda c: loss_alarmed(c) and feed_alarmed(c))
    found = {p.fault: p for p in proposals(case)}
    assert "loss.distribution" in case.onset_dates
    assert found["label_feed_stopped"].fit < 0.5 < found["biased_labels"].fit
    (refusal,) = concept_drift.RULE.examine(case)
    assert isinstance(refusal, RuledOut)
    assert "are a selection" in refusal.because


def test_a_loss_that_rose_before_the_labels_stopped_is_not_explained_by_that() -> None:
    case = case_with(turn(rich_default), is_awaited=loss_alarmed)
    late = replace(case.label_arrivals.evidence, is_alarmed=True, onset_ms=case.detected_ms)  # type: ignore[type-var]
    both_alarmed = replace(case, label_arrivals=replace(case.label_arrivals, evidence=late))
    (answer,) = label_feed_stopped.RULE.examine(both_alarmed)
    assert isinstance(answer, Proposal)
    assert answer.explains == {"label_arrivals"}


# -- concept -----------------------------------------------------------------------------------------------------


def test_a_loss_that_falls_is_no_concept_drift() -> None:
    outcomes = case_with(turn(lambda y, f, i: "good"))
    # With or without an alarm of the loss itself.
    for case in (outcomes, all_alarmed(outcomes)):
        assert ruled_out(case, concept_drift.RULE) == ["the model errs no more than in health: " + loss_words(outcomes)]
    assert "concept_drift" not in {p.fault for p in proposals(outcomes)}


def test_the_guard_of_the_mean_alone_is_enough_for_concept_drift() -> None:
    case = case_with(turn(rich_default), is_awaited=loss_alarmed)
    guard = SignalEvidence("loss.mean", "loss", "mean", 7.0, 7.0, case.onset_ms, True)
    guarded = replace(quiet(case), guards=(guard,))
    assert [(p.fault, p.explains) for p in proposals(guarded)] == [("concept_drift", frozenset({"loss.mean"}))]


def test_a_small_lasting_shift_of_the_answers_is_an_uncertain_wrong_model() -> None:
    case = case_with(predict(odds(1.3)))
    guard = SignalEvidence("residual.mean", "residual", "mean", 7.0, 7.0, case.onset_ms, True)
    found = proposals(replace(quiet(case), guards=(guard,)))
    (wrong,) = [one for one in found if one.fault == "wrong_model"]
    assert wrong.explains == frozenset({"residual.mean"})
    assert found[0].fault == "calibration_change", "the odds are all the same times as high"
    assert wrong.fit <= 0.5


def test_outcomes_that_move_say_which() -> None:
    case = case_with(turn(lambda y, f, i: "bad" if f["region"] in ("us", "apac") else y), settle_rows=200)
    best = proposals(case)[0]
    assert best.fault == "concept_drift"
    assert 'Outcome "' in best.explanation


# -- unknown -----------------------------------------------------------------------------------------------------


def test_unknown_takes_only_what_no_other_rule_explains() -> None:
    case = case_with(change(lambda v, i: v / 1_000, "income"), backwards, settle_rows=200)
    found = {p.fault: p for p in proposals(case)}
    assert found["unit_change"].explains.isdisjoint(found["unknown"].explains)
    assert found["unknown"].explains == {"backwards"}
    assert found["unknown"].headline == "the order of event times has changed, and no known fault explains it"
    assert found["unknown"].fit <= 0.1


def test_unknown_names_inputs_and_stays_short_however_long_their_names() -> None:
    case = case_with(recut)
    names = [f"{'a_very_long_name_of_a_column_from_a_wide_table_' * 3}{k}" for k in range(9)]
    view = case.features["limit"]
    signals = {a: replace(s, is_alarmed=a == "type") for a, s in view.signals.items()}
    odd = {
        name: replace(
            view,
            column=replace(view.column, name=name),
            signals={a: replace(s, signal=f"{name}.{a}", column=name) for a, s in signals.items()},
        )
        for name in names
    }
    left = [s for v in odd.values() for s in v.signals.values() if s.is_alarmed]
    proposal = unknown._proposal(replace(case, features=odd), left)
    assert set(proposal.features) == set(names)
    assert len(proposal.headline) <= 150


# -- ways to break things ----------------------------------------------------------------------------------------


def odds(times: float) -> Callable[[float, Row], float]:
    """The odds of "good" times this."""
    return lambda score, features: score / (score + times * (1 - score))


def constant(value: float, share: float) -> Break:
    return fallback_answers._fallback(value, share)


def slower(times: float, share: float = 1.0) -> Break:
    return latency_degradation._slower(times, share)


def fail_other(error: str, share: float) -> Break:
    def breaks(row: Row, i: int) -> Row:
        if row["error"] is None and scatter(i, 8) < share:
            row |= {"prediction": None, "error": error}
        return row

    return breaks


def rich_default(actual: str, features: Row, i: int) -> str:
    return "bad" if features["income"] > 50_000 else "good"


def recut(row: Row, i: int) -> Row:
    row["prediction"]["label"] = "bad" if row["prediction"]["score"] >= 0.1 else "good"
    return row


def backwards(row: Row, i: int) -> Row:
    return row | {"timestamp": row["timestamp"] - (60_000 if scatter(i, 5) < 0.3 else 0)}


def only_bad_known(row: Row, i: int) -> Row:
    return row if row["label"]["actual"] == "bad" and scatter(i, 6) < 0.4 else row | {"label": None}


def repeats(share: float) -> SignalEvidence:
    return SignalEvidence("duplicates", "duplicates", "", 20.0, 7.0, world.START_MS, True, 0.0, share)


def feed_alarmed(case: Case) -> bool:
    return case.label_arrivals.evidence is not None and case.label_arrivals.evidence.is_alarmed


def quiet(case: Case) -> Case:
    """The same rows, no alarm."""
    return _with_alarms(case, False)


def all_alarmed(case: Case) -> Case:
    """The same rows, everything alarmed: whatever a rule then looks at must be there, or be missed."""
    return _with_alarms(case, True)


def _with_alarms(case: Case, is_alarmed: bool) -> Case:
    def views(group: Any) -> dict[str, Any]:
        return {
            name: replace(v, signals={a: replace(s, is_alarmed=is_alarmed) for a, s in v.signals.items()})
            for name, v in group.items()
        }

    return replace(case, outputs=views(case.outputs), labels=views(case.labels))
