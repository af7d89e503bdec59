"""What a slice's own rows say of a fault that is in that slice only, where all rows together say something else.

Belongs here: the narrower picture, and verdicts that it changes. Not here: which slice it is (`test_slices`).
"""

from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.case import Aligned, AlignedRows, Case, Dimension, RatePicture, SignalEvidence
from whydrift.core.columns import Floats
from whydrift.core.diagnose import diagnose
from whydrift.core.faults.rule import Example
from whydrift.core.faults.sketches import Break, change
from whydrift.core.inside import inside, left_given_others
from whydrift.core.slices import Slice
from whydrift_schemas import Fault

from .test_slices import case_of, only

AMERICA = Slice((("segment.market", "america"),), 0.25)


def in_america(breaks: Break) -> Case:
    case = case_of(Example("", only("market", "america", breaks)))
    assert case is not None
    return case


@pytest.mark.parametrize(
    ("name", "factor"), [("age", 1.2), ("age", 1.5), ("income", 2.54), ("temperature", 2.54), ("utilisation", 2.54)]
)
def test_a_factor_in_one_segment_is_a_unit_there_and_no_drift_of_all(name: str, factor: float) -> None:
    found = diagnose(in_america(change(lambda v, i: v * factor, name)))[0]
    cause = found.causes[0]
    assert (cause.fault, cause.features, cause.segment) == (Fault.UNIT_CHANGE, (name,), {"market": "america"})
    assert cause.probability > 0.9
    assert found.headline.endswith(", only in market=america")
    assert "% of the rows" not in found.headline


def test_what_drifts_in_one_segment_is_no_unit_there() -> None:
    found = diagnose(in_america(change(lambda v, i: v + 12 * (i % 3), "age")))[0]
    assert found.causes[0].fault is not Fault.UNIT_CHANGE
    assert found.causes[0].segment == {"market": "america"}


def test_inside_are_the_slice_s_rows_beside_its_own_health_and_these_inputs_only() -> None:
    case = in_america(change(lambda v, i: v * 2.54, "age"))
    narrower = inside(case, case.answered, AMERICA, ["age"])
    assert narrower is not None
    (view,) = narrower.features.values()
    now, before = AMERICA.of(case.answered.current), AMERICA.of(case.answered.reference)
    np.testing.assert_array_equal(view.current_values, case.answered.current.inputs["age"][now])
    np.testing.assert_array_equal(view.reference_values, case.answered.reference.inputs["age"][before])
    assert view.reference.rows == before.sum() < len(before)
    assert {signal.signal for signal in narrower.alarmed} <= {signal.signal for signal in view.signals.values()}
    assert view.is_alarmed("distribution")


def test_an_input_that_a_slice_did_not_have_in_health_is_not_judged_there() -> None:
    case = in_america(change(lambda v, i: v * 2.54, "age"))
    rows = case.answered.reference
    ages = np.where(AMERICA.of(rows), np.nan, rows.inputs["age"])
    reference = replace(rows, inputs={**rows.inputs, "age": ages})
    empty = replace(case, answered=Aligned(reference, case.answered.current))
    assert inside(empty, empty.answered, AMERICA, ["age"]) is None
    assert diagnose(empty)


def test_what_else_is_alarmed_says_nothing_of_a_slice() -> None:
    """Arrivals that changed at the same time are a finding of their own; runs and steps are of rows that follow each other."""
    case = in_america(change(lambda v, i: v * 1.2, "age"))
    alarm = SignalEvidence("arrivals", "arrivals", "", 99.0, 6.0, case.onset_ms, is_alarmed=True)
    busy = replace(case, arrivals=RatePicture(3_600.0, 9_000.0, alarm))
    assert {leading.causes[0].fault for leading in diagnose(busy)} == {Fault.UNIT_CHANGE, Fault.TRAFFIC_CHANGE}
    view = case.features["age"]
    runs = SignalEvidence("age.runs", "age", "runs", 99.0, 6.0, case.onset_ms, is_alarmed=True)
    slow = replace(view, signals={**view.signals, "runs": runs})
    narrower = inside(replace(case, features={**case.features, "age": slow}), case.answered, AMERICA, ["age"])
    assert narrower is not None
    assert "runs" not in narrower.features["age"].signals


def test_too_few_rows_of_a_slice_tell_nothing() -> None:
    case = in_america(change(lambda v, i: v * 2.54, "age"))
    nowhere = Slice((("segment.market", "atlantis"),), 0.0)
    assert inside(case, case.answered, nowhere, ["age"]) is None
    assert inside(case, case.answered, AMERICA, ["age"] * 9) is None, "and of very many inputs nothing is asked again"


def test_where_the_slice_is_made_of_the_input_s_own_values_they_say_nothing_of_it() -> None:
    moved = change(lambda v, i: "us" if v == "eu" and i % 2 else v, "region", world=True)
    case = case_of(Example("", moved))
    assert case is not None
    europe = Slice((("segment.market", "europe"),), 0.5)
    assert europe.of(case.answered.current).sum() > 20
    assert inside(case, case.answered, europe, ["region"]) is None
    assert inside(case, case.answered, europe, ["income"]) is not None


def test_a_replica_that_health_does_not_know_is_compared_with_all_of_it() -> None:
    case = in_america(change(lambda v, i: v * 2.54, "age"))
    rows = case.answered
    codes = np.zeros(len(rows.current))
    new = {"replica": Dimension(codes, ("pod-new",))}
    current = AlignedRows(rows.current.times_ms, rows.current.inputs, rows.current.outputs, new)
    narrower = inside(case, Aligned(rows.reference, current), Slice((("replica", "pod-new"),), 1.0), ["age"])
    assert narrower is not None
    assert len(narrower.answered.reference) == len(rows.reference)
    assert inside(case, Aligned(rows.reference, current), Slice((("replica", "pod-new"),), 1.0), ["region"]) is not None


def test_what_is_left_of_an_input_given_the_others_is_small_where_they_tell_it_and_grows_where_they_do_not() -> None:
    case = in_america(change(lambda v, i: v * 2.54, "age"))
    draw = np.random.default_rng(4)
    common, other = draw.normal(size=500), draw.normal(size=200)

    def side(age: Floats, income: Floats) -> AlignedRows:
        return AlignedRows(np.arange(len(age)), {"age": age, "income": income}, {}, {})

    rows = Aligned(side(common, 2 * common + 1), side(other, draw.permutation(2 * other + 1)))
    before, now = left_given_others(case, rows, "age")
    assert before.std() < 0.1 < 0.5 < now.std()
