"""A loss that rises in one segment only: whose it is, and what looks like it.

Belongs here: the rule on cases of the example world. Not here: its examples through the pipeline (`tests/conformance`), the
search for slices (`test_slices`).
"""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world and its case builder

from case_builder import case_of

from whydrift.core.case import Aligned, AlignedRows, Case, Dimension
from whydrift.core.faults import concept_drift, label_quality, local_concept_drift
from whydrift.core.faults.outcomes import attribution
from whydrift.core.faults.rule import Example, Proposal, Row
from whydrift.core.faults.sketches import Break, scatter
from whydrift_schemas import RuledOut


def defaults(row: Row, market: str) -> Row:
    if row["segment"]["market"] == market:
        row["label"]["actual"] = "bad"
    return row


def by_agency(row: Row, i: int) -> Row:
    """A new source labels one market, and only that one; there all are said to default."""
    if row["segment"]["market"] == "america":
        row["label"] |= {"source": "agency", "actual": "bad"}
    return row


def harder_mix(row: Row, i: int) -> Row | None:
    """Those whose outcome is uncertain come more often; in each market the model errs as it did for them."""
    return row if row["segment"]["market"] != "europe" or scatter(i, 5) < 0.2 else None


@cache
def labelled_case(breaks: Break) -> Case:
    case = case_of(
        Example("", breaks),
        is_awaited=lambda case: case.labels["loss"].is_alarmed() or case.labels["actual"].is_alarmed(),
    )
    assert case is not None
    return case


def america(row: Row, i: int) -> Row:
    return defaults(row, "america")


def test_the_segment_is_named_with_the_loss_in_it_and_elsewhere() -> None:
    (found,) = local_concept_drift.examine(labelled_case(america))
    assert isinstance(found, Proposal)
    assert found.segment == {"market": "america"}
    told = local_concept_drift.local(labelled_case(america))
    assert told is not None
    assert told.inside[1] > 1.5 * told.inside[0]
    assert told.outside[1] == pytest.approx(told.outside[0], rel=0.3)


def test_a_drift_in_one_segment_is_no_drift_everywhere() -> None:
    (no,) = concept_drift.examine(labelled_case(america))
    assert isinstance(no, RuledOut)
    assert "in market=america only" in no.because


def test_a_new_source_that_labels_one_segment_is_suspected_rather_than_the_segment() -> None:
    """What its forerunner labelled there, just before, was as ever."""
    (no,) = local_concept_drift.examine(labelled_case(by_agency))
    assert isinstance(no, RuledOut)
    assert '"agency"' in no.because
    (found,) = label_quality.examine(labelled_case(by_agency))
    assert isinstance(found, Proposal)
    assert found.segment == {"source": "agency"}


def test_a_mix_with_more_of_a_hard_segment_is_no_segment_s_fault() -> None:
    case = case_of(Example("", harder_mix), settle_rows=400)
    assert case is not None
    assert local_concept_drift.local(case) is None
    assert local_concept_drift.examine(case) == []


@pytest.mark.parametrize(
    ("noise", "drift", "others", "place", "answers", "least", "most"),
    [
        (0.0, 0.1, 0.0, "", 0.9, 0.8, 0.95),
        (0.0, 0.0, 0.0, "", 1.0, 0.6, 0.8),
        (0.6, 0.001, 0.0, "", 0.399, 0.0, 0.0),
        (0.0, 0.04, 0.96, "income", 0.0, 0.02, 0.4),
        (0.0, 0.0, 0.7, "market", 0.3, 0.6, 0.8),
    ],
    ids=["another model's", "nothing is told", "wrong labels", "others' values", "others' values of the segment"],
)
def test_beside_another_model_s_the_segment_s_is_the_chance_that_is_left(
    noise: float,
    drift: float,
    others: float,
    place: str,
    answers: float,
    least: float,
    most: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each rule left it to another, and nothing was named where answers scattered wider in a segment."""
    case = labelled_case(america)
    told = attribution(case)
    assert told is not None
    other = replace(told, noise=noise, by_source=0.0, drift=drift, others=others, place=place, answers=answers)
    monkeypatch.setattr(local_concept_drift, "attribution", lambda case: other)
    (found,) = local_concept_drift.examine(case)
    assert least <= (found.fit if isinstance(found, Proposal) else 0.0) <= most
    if isinstance(found, Proposal):
        assert found.headline.startswith("the model errs more in market=america only: log_loss ")
        assert ("answers scatter wider" in found.explanation) == (answers > drift)


@pytest.mark.parametrize(("income", "is_local"), [(-5.0, True), (2.0, True), (5.0, False)])
def test_what_errors_follow_more_closely_than_the_segment_is_no_matter_of_the_segment(
    income: float, *, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Men err more where those who are tall do."""
    case = labelled_case(america)
    told = attribution(case)
    assert told is not None
    assert max(told.stories.values()) == told.stories["segment.market"]
    other = replace(told, stories=told.stories | {"income": told.stories["segment.market"] + income})
    monkeypatch.setattr(local_concept_drift, "attribution", lambda case: other)
    assert (local_concept_drift.local(replace(case)) is not None) == is_local


@pytest.mark.parametrize(("elsewhere", "is_local"), [(0.0, True), (-2.0, False)])
def test_errors_that_lean_to_the_other_side_elsewhere_are_no_segment_s(
    elsewhere: float, *, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(1)

    def rows(n: int, *shifts: float) -> AlignedRows:
        market = draw.integers(0, 3, n)
        actual = draw.normal(size=n) + np.array(shifts)[market]
        outputs = {"actual": actual, "prediction": np.zeros(n), "loss": np.abs(actual)}
        dimension = Dimension(market.astype(float), ("africa", "america", "europe"))
        return AlignedRows(np.arange(n, dtype=np.int64), {}, outputs, {"segment.market": dimension})

    sides = Aligned(rows(500, 0.0, 0.0, 0.0), rows(500, 5.0, elsewhere, elsewhere))
    monkeypatch.setattr(local_concept_drift, "errors_lean", lambda case: True)
    monkeypatch.setattr(local_concept_drift, "attribution", lambda case: None)
    found = local_concept_drift.local(replace(labelled_case(america), labelled=sides))
    assert (found is not None) == is_local
    assert found is None or found.slice.segment == {"market": "africa"}
