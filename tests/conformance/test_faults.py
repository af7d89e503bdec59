"""Every rule's examples through the real pipeline: the fault is named when its incident opens, and look-alikes are not given its
name.

Rules are found by their place; who adds a fault adds nothing here, unless its examples need more rows than is usual or leave no
mark on the inputs they break. `python tests/conformance/table.py` prints what is said of each.

Belongs here: names, inputs and delays at opening. Not here: rules on cases (`tests/core`), an incident's further life
(`tests/core/test_incidents.py`), health (`test_quiet`).
"""

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import world
from streams import Learnt, Said, broken_inputs, learnt, profiled, said_of

from whydrift.core.faults import rules
from whydrift.core.faults.rule import Example, Rule
from whydrift_schemas import Status

SEED = 1
USUAL_ROWS = 360
"""Rows of the world (one a second) after the onset by which an incident is open."""
SLOW = {
    "3 % of the calls take twenty times as long": 800,
    "eight times as many calls": 2_700,
    "nine in ten events are lost": 700,
    "hardly any event comes": 900,
    "balance is −999 in 3 % of the rows": 950,
    "spikes of temperature in 3 % of the rows": 800,
    "the temperature is half a standard deviation higher": 1_850,
    "income drifts down over 800 rows": 500,
    "5 % of the answers are the base rate, and fast": 700,
    "the announced new version errs more": 800,
    "the model is given the same income for everybody": 1_100,
    "one label in twenty comes": 600,
    "a third of the labels takes eight times as long": 1_150,
    "those with a high income default, ever more of them": 1_300,
    "two in three good cases stay away, others come": 900,
    "most bad cases stay away, others come": 900,
    "four in ten labels are turned round": 1_000,
    "a second source labels half of the cases, mostly wrong": 1_000,
    "one market defaults": 500,
    "what comes true in one market is the other outcome": 850,
}
"""Examples that need more, and how many: few rows are broken, the change is small or grows, or the word is the labels'."""
SETTLED_LATER = {
    "5 % of the answers are the base rate, and fast",
    "a third of the labels takes eight times as long",
    "balances of any size, both signs, in a tenth of the rows",
    "calls take three times as long, and the answers are others",
    "one market defaults",
}
"""Their first word may be another one: the latest by then is right."""
FIRST_OF_SEVERAL = {
    "a younger and poorer public comes in addition",
    "served customers are younger and poorer than those of the training data",
    "income, age, balance and assets have nothing to do with each other any more",
}
"""Examples that break several inputs of which one shows first."""
ONE_OF_TWO = {
    "balance is that of the row before",
    "income, age, balance and assets have nothing to do with each other any more",
    "assets follow incomes, and ages follow balances",
}
"""Examples after which only relations of inputs have changed: which one of two is to blame, the data cannot tell for sure."""
LOOK_ALIKE_ROWS = 600

NAMED = [(rule, example) for rule in rules() for example in rule.examples if example.named]
LOOK_ALIKES = [(rule, example) for rule in rules() for example in rule.examples if not example.named]


def titled(cases: list[tuple[Rule, Example]]) -> list[str]:
    return [f"{rule.fault}: {example.says}" for rule, example in cases]


def limit_of(example: Example) -> int:
    return SLOW.get(example.says, USUAL_ROWS)


def word(example: Example, base: Learnt) -> Said | None:
    """What is said of an example: first, or last where that is not the right one yet; None where nothing is, in time."""
    found = said_of(example, limit_of(example), SEED, base)
    if example.says in SETTLED_LATER:
        return next(reversed(list(found)), None)
    return next(found, None)


@pytest.mark.parametrize(("rule", "example"), NAMED, ids=titled(NAMED))
def test_each_example_opens_an_incident_that_names_the_fault_and_the_inputs_in_time(
    rule: Rule, example: Example
) -> None:
    one = word(example, learnt(SEED))
    assert one is not None, f"nothing was said within {limit_of(example)} rows"
    assert one.fault == rule.fault, one.diagnosis.summary
    inputs = broken_inputs(example)
    assert one.features <= inputs or example.says in ONE_OF_TWO
    if example.says not in FIRST_OF_SEVERAL:
        assert one.features >= inputs & world.FEATURES.keys()


@pytest.mark.parametrize(("rule", "example"), LOOK_ALIKES, ids=titled(LOOK_ALIKES))
def test_no_look_alike_opens_an_incident_under_the_fault_s_name(rule: Rule, example: Example) -> None:
    first = opening(example.says, rule)
    assert first is None or first.fault != rule.fault, first.diagnosis.summary


@cache
def opening(says: str, rule: Rule) -> Said | None:
    """The first word about a look-alike, if there is any."""
    example = next(example for example in rule.examples if example.says == says)
    found = said_of(example, LOOK_ALIKE_ROWS, SEED)
    return next((one for one in found if one.diagnosis.status is Status.OPENED), None)


def test_most_look_alikes_are_noticed_under_another_name() -> None:
    """Or the test above could not fail: streams in which nothing is ever said have no wrong names in them."""
    titles = zip(LOOK_ALIKES, titled(LOOK_ALIKES), strict=True)
    silent = [title for (rule, example), title in titles if opening(example.says, rule) is None]
    assert len(silent) < len(LOOK_ALIKES) / 10, silent


FIRST_EXAMPLES = [
    (rule, next(example for example in rule.examples if example.named and limit_of(example) <= 1_000))
    for rule in rules()
    if not any(example.named and example.from_first for example in rule.examples)
]
"""Of each rule that does not need a reference file anyway."""


@pytest.mark.parametrize(("rule", "example"), FIRST_EXAMPLES, ids=titled(FIRST_EXAMPLES))
def test_a_reference_file_names_the_same_fault_as_a_baseline_from_the_stream(rule: Rule, example: Example) -> None:
    one = word(example, profiled(SEED))
    assert one is not None
    assert one.fault == rule.fault, one.diagnosis.summary
