"""The rules for faults of the inputs, on cases built straight from the example world.

Belongs here: each rule's examples both ways, pairs of look-alikes, and what a proposal must say. Not here: how a verdict is
reached among all rules (`test_diagnose`), the pipeline (`tests/conformance`).
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

import world
from case_builder import CHUNK, Builder, builder_of, case_of

from whydrift.core.case import Case, ColumnView
from whydrift.core.conditional import Conditional
from whydrift.core.faults import (
    category_recoding,
    covariate_drift,
    default_fill,
    duplicate_events,
    feature_swap,
    missing_values,
    new_category,
    outliers,
    schema_change,
    stale_feature,
    unit_change,
)
from whydrift.core.faults.inputs import Atom, compared, digits_of, is_growing, keeps_digits, without
from whydrift.core.faults.rule import Example, Proposal, Row, Rule
from whydrift.core.faults.sketches import both, change, fill, scatter, swap
from whydrift.core.faults.transforms import KNOWN, Map, best_map, snapped
from whydrift.core.signals import Aspect
from whydrift_schemas import RuledOut

from .columns_of_rows import alarmed, case_of_columns, view_of

MODULES = (
    category_recoding,
    covariate_drift,
    default_fill,
    duplicate_events,
    feature_swap,
    missing_values,
    new_category,
    outliers,
    schema_change,
    stale_feature,
    unit_change,
)
RULES: tuple[Rule, ...] = tuple(module.RULE for module in MODULES)
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]


def answers(case: Case) -> list[Proposal | RuledOut]:
    return [answer for rule in RULES for answer in rule.examine(case)]


def proposals(case: Case) -> list[Proposal]:
    """Every rule's proposals, best fit first."""
    found = [answer for answer in answers(case) if isinstance(answer, Proposal)]
    return sorted(found, key=lambda proposal: -proposal.fit)


def ruled_out(case: Case, fault: str) -> list[str]:
    return [a.because for a in answers(case) if isinstance(a, RuledOut) and a.fault == fault]


def case_with(*steps: object, says: str = "", seed: int = 1, **how: int) -> Case:
    case = case_of(Example(says, both(*steps)), seed, **how)  # type: ignore[arg-type]
    assert case is not None, "the example raised no alarm"
    return case


SEEN_LATER = {"income drifts down over 800 rows": 200}
"""Examples whose alarm comes before its shape is plain, and rows until it is: a young ramp looks like a step."""


@cache
def example_case(index: int) -> Case:
    rule, example = EXAMPLES[index]
    case = case_of(example, 1, settle_rows=SEEN_LATER.get(example.says, 2 * CHUNK))
    assert case is not None, f"{rule.fault}: {example.says}: no alarm"
    return case


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=[f"{r.fault}: {e.says}" for r, e in EXAMPLES])
def test_each_example_gets_its_name_and_each_look_alike_does_not(index: int) -> None:
    rule, example = EXAMPLES[index]
    found = proposals(example_case(index))
    best = found[0].fault if found else None
    if example.named:
        assert best == rule.fault, [(p.fault, p.fit, p.headline) for p in found]
    else:
        assert best != rule.fault, found[0].explanation


@pytest.mark.parametrize("rule", RULES, ids=[rule.fault for rule in RULES])
def test_proposals_name_alarmed_signals_known_features_and_fit_the_summary(rule: Rule) -> None:
    for index, (owner, _) in enumerate(EXAMPLES):
        if owner is not rule:
            continue
        case = example_case(index)
        alarmed = {signal.signal for signal in case.alarmed}
        for proposal in proposals(case):
            assert 0 < proposal.fit < 1
            assert proposal.explains <= alarmed
            assert set(proposal.features) <= {*case.features, *case.schema.unknown}
            # The diagnosis adds since when and how sure, within 200 characters.
            assert 10 < len(proposal.headline) <= 150, proposal.headline
            assert proposal.explanation
            assert proposal.action


@pytest.mark.parametrize("rule", RULES, ids=[rule.fault for rule in RULES])
def test_rules_say_nothing_about_a_healthy_stream(rule: Rule) -> None:
    for seed in (1, 2):
        rows = world.healthy_rows(seed, 2_400)
        assert rule.examine(builder_of(seed).build(rows[2_000:])) == []


def test_what_is_left_without_a_frequent_value_still_has_the_share_it_has_in_health() -> None:
    """All rows of it left out, no column with a mode could be stuck at it: what is left would not look like health."""
    view = case_with(fill(44, "age", share=0.33)).features["age"]
    usual = view.reference.atoms[44]
    atom = Atom(44.0, int((view.current == 44).sum()), 0.33, usual)
    left = without(view, atom)
    assert len(left) < len(view.current)
    assert float((left == 44).mean()) == pytest.approx(usual, abs=0.02)
    assert not (without(view, replace(atom, value=44.5)) == 44.5).any()


def test_numbers_to_compare_are_written_with_the_digits_that_tell_them_apart() -> None:
    assert compared(2016.91, 2017.42) == ("2016.91", "2017.42")
    assert compared(47_741.3, 47.7413) == ("47741", "47.74")
    assert compared(0.5, 0.5) == ("0.5", "0.5")
    assert compared(0.0, 3.25) == ("0", "3.25")
    assert compared(float("inf"), 1.0) == ("inf", "1")


def test_a_date_that_is_off_is_shifted_and_not_1_times_too_large() -> None:
    days = 2016.5 + np.random.default_rng(2).uniform(0, 1.2, 2_000)
    found = best_map(view_of("arrival", days, days[:80] + 0.5))
    assert found is not None
    assert found.map.scale == 1
    assert found.map.offset == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("is_unit", [True, False], ids=["hours instead of days", "anywhere"])
def test_extremes_of_a_quantity_of_few_values_are_a_unit_s_only_where_they_lead_back_to_these(is_unit: bool) -> None:
    """Divided by something, any value lies among others around 0."""
    draw = np.random.default_rng(3)
    levels = np.sort(draw.normal(size=35)).round(9)
    now, wild = draw.choice(levels, 100), draw.random(100) < 0.1
    far = 24 * now if is_unit else draw.uniform(8, 40, 100) * draw.choice((-1, 1), 100)
    case = case_of_columns(
        [alarmed(view_of("score", draw.choice(levels, 4_000), np.where(wild, far, now)), "out_of_range")]
    )
    best = [
        max((one.fit for one in rule.examine(case) if isinstance(one, Proposal)), default=0.0)
        for rule in (unit_change, outliers)
    ]
    assert (best[0] > 0.85 > best[1]) if is_unit else (best[1] > 0.8 > best[0]), best


def test_values_next_to_those_that_health_is_known_to_have_are_these() -> None:
    view = case_with(fill(44, "age", share=0.33)).features["age"]
    assert snapped(np.array([44.001, 44.4, -7.0]), view).tolist() == [44.0, 44.4, -7.0]


def test_a_ramp_grows_and_a_step_does_not_even_where_it_begins_late() -> None:
    view = case_with(change(lambda v, i: v * 1.2, "age")).features["age"]
    noise = view.reference.median + np.sin(np.arange(200.0) * 12.9898) * view.reference.spread
    rows = np.arange(200.0)

    def like(values: object) -> ColumnView:
        return replace(view, current_values=values, current_presence=np.zeros(200, np.int8))  # type: ignore[arg-type]

    case = case_with(change(lambda v, i: v * 1.2, "age"))
    assert is_growing(case, like(noise + rows / 50 * view.reference.spread))
    assert not is_growing(case, like(noise + (rows > 60) * 3 * view.reference.spread))
    assert not is_growing(case, like(noise))


def test_rows_from_before_the_onset_tell_a_ramp_from_a_step() -> None:
    """From the middle of a slow ramp, where its evidence began to gain, what follows hardly grows any more."""
    case = case_with(change(lambda v, i: v * 1.2, "age"))
    view = case.features["age"]
    noise = view.reference.median + np.sin(np.arange(400.0) * 12.9898) * view.reference.spread
    ramp, step = np.arange(400.0) / 400 * view.reference.spread, (np.arange(400) >= 200) * view.reference.spread
    found = []
    for moved in (noise + ramp, noise + step):
        now = replace(view, current_values=moved[200:], current_presence=np.zeros(200, np.int8))
        known = replace(case, earlier={"age": moved[:200]})
        found.append((is_growing(case, now), is_growing(known, now)))
    assert found == [(False, True), (False, False)]


def test_what_explains_no_alarm_of_an_input_does_not_speak_against_its_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_with(change(lambda v, i: v * 1.2, "age"))
    other = Proposal(
        covariate_drift.FAULT, 0.9, frozenset({"age.repeated"}), "age is stuck", "It is.", "Look.", ("age",)
    )
    for explains, is_named in ((other.explains, True), (frozenset({"age.distribution", "age.out_of_range"}), False)):
        rule = SimpleNamespace(examine=lambda _, explains=explains: [replace(other, explains=explains)])
        monkeypatch.setattr(covariate_drift, "SHARPER", (rule,))
        assert any(isinstance(one, Proposal) for one in covariate_drift.examine(case)) == is_named


def test_digits_that_health_never_has_are_told_from_its_own() -> None:
    case = case_with(change(lambda v, i: v * 1.2, "age"))
    digits = digits_of(case.features["age"])
    assert digits is not None
    assert digits.finer(np.array([44.0, 44.4])).tolist() == [False, True]
    assert not keeps_digits(case.features["age"])
    assert digits_of(case.features["income"]) is None, "cents of an income are too fine to tell anything"


@pytest.mark.parametrize("one", KNOWN, ids=[one.says for one in KNOWN])
def test_every_known_map_is_undone_by_its_inverse(one: Map) -> None:
    values = np.array([-3.5, 0.0, 2.0, 48_000.0])
    assert one.undo(one.apply(values)) == pytest.approx(values)


def test_judging_leaves_vocabularies_alone_and_repeats_exactly() -> None:
    for index in range(0, len(EXAMPLES), 7):
        case = example_case(index)
        before = {name: list(view.column.codes) for name, view in case.features.items()}
        first = answers(case)
        assert answers(case) == first
        assert {name: list(view.column.codes) for name, view in case.features.items()} == before


def test_income_in_thousands_is_said_in_words_that_can_be_acted_on() -> None:
    best = proposals(case_with(change(lambda v, i: v / 1000, "income")))[0]
    assert best.headline == "income arrives in thousands"
    assert best.undo is not None
    assert best.undo.transform == "income × 1000"
    assert best.undo.evidence_before > 7 > 1 > best.undo.evidence_after
    assert best.decider == ""


def test_a_temperature_in_fahrenheit_names_scale_and_offset_of_the_way_back() -> None:
    best = proposals(case_with(change(lambda v, i: v * 1.8 + 32, "temperature")))[0]
    assert best.headline == "temperature arrives in °F instead of °C"
    assert best.undo is not None
    assert best.undo.transform == "(temperature − 32) ÷ 1.8"


def test_a_pair_of_units_is_not_named_when_another_known_ratio_fits_as_well() -> None:
    case = case_with(change(lambda v, i: v * 2.54, "age"))
    found = best_map(case.features["age"])
    assert found is not None
    assert unit_change._says(replace(found, rivals=())) == "in centimetres instead of inches"
    assert unit_change._says(replace(found, rivals=(KNOWN[0],))) == "2.54 times too large"


def test_a_unit_change_in_a_part_of_the_rows_says_in_how_many() -> None:
    case = case_with(change(lambda v, i: v / 1000, "income", share=0.2), settle_rows=300)
    best = proposals(case)[0]
    assert best.fault == "unit_change"
    found = best_map(case.features["income"])
    assert found is not None
    assert found.share == pytest.approx(0.2, abs=0.06)


def test_one_factor_on_several_features_is_one_cause() -> None:
    best = proposals(case_with(change(lambda v, i: v * 100, "income", "balance")))[0]
    assert set(best.features) == {"income", "balance"}
    assert best.headline.startswith("income and balance arrive 100 times too large")


def test_a_unit_change_of_hundreds_of_features_names_all_of_them() -> None:
    case = case_with(change(lambda v, i: v / 1000, "income"))
    income = case.features["income"]
    many = {f"f{k}": copy_of(income, f"f{k}") for k in range(200)}
    best = unit_change.examine(replace(case, features=many))[0]
    assert isinstance(best, Proposal)
    assert set(best.features) == set(many)
    assert best.headline == "f0, f1 and 198 more arrive in thousands"


def test_half_a_standard_deviation_is_drift_first_with_the_unit_as_the_alternative() -> None:
    found = proposals(case_with(change(lambda v, i: v + 3.2, "temperature")))
    assert [proposal.fault for proposal in found[:2]] == ["covariate_drift", "unit_change"]
    assert all(proposal.decider for proposal in found[:2])


def test_a_small_unnamed_factor_offers_both_unit_and_drift_and_says_what_would_decide() -> None:
    found = proposals(case_with(change(lambda v, i: v * 1.5, "income")))
    assert {proposal.fault for proposal in found[:2]} == {"covariate_drift", "unit_change"}
    assert all(proposal.decider for proposal in found[:2])


def test_features_that_depend_on_each_other_and_move_together_are_drift() -> None:
    steps = (
        change(lambda v, i: v * 0.55, "income", world=True),
        change(lambda v, i: v - 3_000, "balance", world=True),
    )
    best = proposals(case_with(*steps, settle_rows=200))[0]
    assert best.fault == "covariate_drift"
    assert set(best.features) == {"income", "balance"}
    assert "moved together" in best.explanation


def test_fills_in_the_same_rows_are_one_cause_and_in_other_rows_two() -> None:
    together = proposals(case_with(fill(0, "income", "balance", share=0.3)))
    assert set(together[0].features) == {"income", "balance"}
    apart = (
        change(lambda v, i: -1 if scatter(i, 21) < 0.3 else v, "income"),
        change(lambda v, i: -1 if scatter(i, 22) < 0.3 else v, "balance"),
    )
    found = [p for p in proposals(case_with(*apart, settle_rows=100)) if p.fault == "default_fill"]
    assert sorted(p.features for p in found) == [("balance",), ("income",)]


def test_a_computed_mean_is_told_from_a_stuck_value_by_its_decimals() -> None:
    mean = proposals(case_with(fill(54_321.98765, "income", share=0.1)))[0]
    stuck = proposals(case_with(fill(61_003.25, "income", share=0.1)))[0]
    assert (mean.fault, stuck.fault) == ("default_fill", "stale_feature")


def test_clipping_is_neither_a_fill_nor_a_stuck_value() -> None:
    found = proposals(case_with(change(lambda v, i: min(v, 70_000.0), "income")))
    assert {proposal.fault for proposal in found} <= {"covariate_drift", "unit_change"}


def test_repeats_of_whole_events_rule_out_a_stale_feature_and_drift() -> None:
    case = case_with(lambda row, i: [row, dict(row)] if scatter(i, 11) < 0.4 else row, settle_rows=200)
    assert [proposal.fault for proposal in proposals(case)] == ["duplicate_events"]


def test_time_running_backwards_without_repeats_is_no_duplicate() -> None:
    case = case_with(lambda row, i: row | {"timestamp": row["timestamp"] - (60_000 if i % 3 == 0 else 0)})
    assert ruled_out(case, "duplicate_events") == ["event time runs backwards, but neither ids nor payloads repeat"]


def test_a_rename_names_both_keys_and_takes_the_added_one_along() -> None:
    case = case_with(rename("income", "annual_income"))
    best = proposals(case)[0]
    assert best.headline == "income was renamed: income → annual_income"
    assert {"schema", "income.missing"} <= best.explains


def test_an_added_key_with_another_distribution_is_not_taken_for_the_removed_one() -> None:
    case = case_with(rename("income", "payload_bytes", lambda v: 500 + v % 97))
    assert [p.headline for p in proposals(case)] == [
        "income is no longer sent",
        "payload_bytes is sent, which the reference does not know",
    ]


def test_text_that_holds_the_old_numbers_is_said_to_match_them() -> None:
    best = proposals(case_with(change(lambda v, i: str(v), "income")))[0]
    assert best.headline == "income arrives as text, not numbers"
    assert "Read as numbers they match the reference" in best.explanation


def test_merged_categories_are_named_with_what_swallowed_them() -> None:
    best = proposals(case_with(change(lambda v, i: "us" if v == "apac" else v, "region")))[0]
    assert best.headline == 'region is coded otherwise: "apac" → "us"'


def test_nulls_that_come_with_a_category_which_always_had_them_are_a_change_of_the_mix() -> None:
    def phone_has_no_income(row: Row) -> Row:
        if row["features"]["channel"] in ("branch", "phone"):
            row["features"]["income"] = None
        return row

    def more_branch(row: Row, i: int) -> Row:
        row["features"]["channel"] = "branch" if scatter(i, 4) < 0.5 else row["features"]["channel"]
        return phone_has_no_income(row)

    builder = Builder([phone_has_no_income(row) for row in world.healthy_rows(1, 2_000)])
    case = case_of(Example("more customers come to the branch", more_branch), 1, builder=builder, settle_rows=100)
    assert case is not None
    assert "income.missing" in {signal.signal for signal in case.alarmed}
    assert ruled_out(case, "missing_values") == [
        "income is missing as often as ever within each channel: the shares of channel moved"
    ]
    assert proposals(case)[0].features == ("channel",)


def test_a_swap_of_equal_marginals_is_found_by_dependence_and_said_to_be_uncertain() -> None:
    case = case_with(swap("utilisation", "debt_ratio"), raised_score, settle_rows=300)
    best = proposals(case)[0]
    assert best.fault == "feature_swap"
    assert set(best.features) == {"utilisation", "debt_ratio"}
    assert best.fit < 0.8
    assert best.decider


def test_a_moved_score_alone_is_no_swap() -> None:
    assert proposals(case_with(raised_score, settle_rows=300)) == []


def test_two_faults_at_once_are_both_named() -> None:
    steps = (change(lambda v, i: v / 1000, "income"), change(lambda v, i: v.upper(), "region"))
    found = proposals(case_with(*steps))
    assert {(p.fault, p.features) for p in found if p.fit > 0.9} == {
        ("unit_change", ("income",)),
        ("category_recoding", ("region",)),
    }


@pytest.mark.parametrize("rows", [1, 3, 21])
def test_no_rule_falls_over_a_handful_of_rows_or_rows_without_values(rows: int) -> None:
    fresh = world.healthy_rows(1, 2_000 + rows)[2_000:]
    empty = [row | {"features": dict.fromkeys(row["features"])} for row in fresh]
    bare = [row | {"features": {}} for row in fresh]
    huge = [row | {"features": {n: 1e300 if n == "income" else v for n, v in row["features"].items()}} for row in fresh]
    for current in (fresh, empty, bare, huge):
        answers(builder_of(1).build(current))


def copy_of(view: ColumnView, name: str) -> ColumnView:
    signals = {a: replace(s, signal=f"{name}.{a}", column=name) for a, s in view.signals.items()}
    return replace(view, column=replace(view.column, name=name), signals=signals)


def rename(old: str, new: str, edit: Callable[[Any], Any] = lambda value: value) -> Callable[[Row, int], Row]:
    def breaks(row: Row, i: int) -> Row:
        row["features"][new] = edit(row["features"].pop(old))
        return row

    return breaks


def raised_score(row: Row, i: int) -> Row:
    row["prediction"] = {"label": "bad", "score": min(row["prediction"]["score"] + 0.3, 1.0)}
    return row


def wandering(case: Case, name: str, *, is_sampled: bool) -> Case:
    """The same of a quantity whose values hang together over hundreds of rows, in health from −1 to 1 from row to row."""
    view = case.features[name]
    steps = np.linspace(-1.0, 1.0, 201)
    nothing = np.empty(0)
    step = Conditional(nothing, nothing, 1_000, 500, np.zeros(1), np.array([0.5, 0.5]), steps, {})
    given = {Aspect.STEP: step} if is_sampled else {}
    slow = replace(
        view,
        reference=replace(view.reference, times={"centre": 200.0}, given=given),
        given_bets={},
        current_times=1_000 * np.arange(len(view.current_values)),
    )
    return replace(case, features={**case.features, name: slow})


def test_what_may_have_wandered_to_the_other_side_of_nought_has_not_changed_its_sign() -> None:
    case = case_with(change(lambda v, i: -v, "temperature"))
    fits = [
        max(one.fit for one in unit_change.examine(seen) if isinstance(one, Proposal))
        for seen in (
            case,
            wandering(case, "temperature", is_sampled=False),
            wandering(case, "temperature", is_sampled=True),
        )
    ]
    assert fits[0] > 0.9, "a step"
    assert fits[1] < 0.5, "nobody knows how it came there"
    assert fits[2] > 0.9, "a jump from row to row that health does not have"
