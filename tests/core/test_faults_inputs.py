"""The rules for faults of the inputs, on cases built straight from the example world.

Belongs here: each rule's examples both ways, pairs of look-alikes, and what a proposal must say. Not here: how a verdict is
reached among all rules (`test_diagnose`), the pipeline (`tests/conformance`).
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

import world
from case_builder import Builder, builder_of, case_of

from whydrift.core.case import Case
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
from whydrift.core.faults.rule import Example, Proposal, Row, Rule
from whydrift.core.faults.sketches import both, change, fill, scatter, swap
from whydrift.core.faults.transforms import KNOWN, best_map
from whydrift_schemas import Fault, RuledOut

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


@cache
def example_case(index: int) -> Case:
    rule, example = EXAMPLES[index]
    case = case_of(example, 1)
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


@pytest.mark.parametrize("one", KNOWN, ids=[one.says for one in KNOWN])
def test_every_known_map_is_undone_by_its_inverse(one: object) -> None:
    import numpy as np

    values = np.array([-3.5, 0.0, 2.0, 48_000.0])
    assert one.undo(one.apply(values)) == pytest.approx(values)  # type: ignore[attr-defined]
