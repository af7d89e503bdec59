"""Labels that are a selection: told from a changed world and from a thinner feed, by counts of outcomes.

Belongs here: the rule on cases of the example world, and that other rules wait for it. Not here: its examples through the
pipeline (`tests/conformance`).
"""

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

from case_builder import case_of
from streams import broken, learnt, said

from whydrift.core.case import Case
from whydrift.core.diagnose import diagnose
from whydrift.core.faults import biased_labels, concept_drift, label_quality
from whydrift.core.faults.rule import Example, Proposal, Row
from whydrift.core.faults.selection import selection
from whydrift.core.faults.sketches import Break, scatter
from whydrift_schemas import RuledOut, Status


def only_bad(row: Row, i: int) -> Row:
    return row | {"label": None} if row["label"]["actual"] == "good" else row


def half_of_the_good(row: Row, i: int) -> Row:
    return row | {"label": None} if row["label"]["actual"] == "good" and scatter(i, 9) < 0.75 else row


def all_bad(row: Row, i: int) -> Row:
    row["label"]["actual"] = "bad"
    return row


def thinner(row: Row, i: int) -> Row:
    return row if scatter(i, 9) < 0.6 else row | {"label": None}


def thinner_and_all_bad(row: Row, i: int) -> Row:
    return thinner(all_bad(row, i), i)


@cache
def labelled_case(breaks: Break) -> Case:
    case = case_of(Example("", breaks), is_awaited=lambda case: case.current_rows >= 560)
    assert case is not None
    return case


@pytest.mark.parametrize("breaks", [only_bad, half_of_the_good])
def test_the_outcome_that_lacks_is_named(breaks: Break) -> None:
    found = selection(labelled_case(breaks))
    assert found is not None
    assert found.outcome == "good"
    assert found.lacking < 0.6 < found.others
    (said_of_it,) = biased_labels.examine(labelled_case(breaks))
    assert isinstance(said_of_it, Proposal)
    assert '"good"' in said_of_it.headline


@pytest.mark.parametrize("breaks", [all_bad, thinner, thinner_and_all_bad])
def test_a_changed_world_and_a_thinner_feed_are_no_selection(breaks: Break) -> None:
    assert selection(labelled_case(breaks)) is None
    assert biased_labels.examine(labelled_case(breaks)) == []


def test_verdicts_on_performance_wait_for_the_other_labels() -> None:
    case = labelled_case(only_bad)
    assert all(isinstance(one, RuledOut) for one in concept_drift.examine(case))
    assert label_quality.examine(case) == []
    found = diagnose(case)[0]
    assert found.causes[0].fault == "biased_labels"
    assert found.impact is None or found.impact.estimated


def test_the_incident_is_over_when_the_late_outcomes_have_come() -> None:
    def later(row: Row, i: int) -> Row:
        if row["label"]["actual"] == "good" and i < 600:
            row["label"]["timestamp"] += 900_000
        return row

    found = list(said(learnt(1).pipeline(), broken(Example("", later), 6_000, 1)))
    assert found[0].fault == "biased_labels"
    assert found[-1].diagnosis.status is Status.RESOLVED
    assert "concept_drift" not in {one.fault for one in found}
