"""Fills in so few rows that only the loss tells, on arrays; others are examples of the rule (`tests/conformance/test_faults`)."""

from dataclasses import replace

import numpy as np
import pytest

from whydrift.core.case import Aligned, AlignedRows, Case
from whydrift.core.columns import Floats
from whydrift.core.faults import concept_drift, default_fill
from whydrift.core.faults.rule import Proposal
from whydrift_schemas import RuledOut

from .columns_of_rows import alarmed, case_of_columns, view_of

ROWS = 600


def case_of(filled: int, *, lose: str, input_is_alarmed: bool = False) -> Case:
    """Warmth, −1 in so many rows; the model errs more in `filled` rows, or in any: `lose`."""
    draw = np.random.default_rng(1)
    health, now = draw.normal(50, 9, 4_000).round(2), draw.normal(50, 9, ROWS).round(2)
    places = draw.choice(ROWS, filled, replace=False)
    now[places] = -1.0
    usual, loss = draw.exponential(1.0, 4_000), draw.exponential(1.0, ROWS)
    loss[places if lose == "filled" else draw.choice(ROWS, filled, replace=False)] += 40.0
    warmth = view_of("warmth", health, now)
    case = case_of_columns([alarmed(warmth) if input_is_alarmed else warmth])
    labelled = Aligned(rows(health[:500], usual[:500]), rows(now, loss))
    return replace(case, labels={"loss": alarmed(view_of("loss", usual, loss))}, labelled=labelled)


def rows(warmth: Floats, loss: Floats) -> AlignedRows:
    nothing = np.full(len(loss), np.nan)
    outputs = {"prediction": nothing, "decision": nothing, "actual": nothing, "loss": loss}
    return AlignedRows(np.arange(len(loss)), {"warmth": warmth}, outputs, {})


def test_a_fill_without_an_alarm_of_its_own_is_named_where_the_model_errs_in_its_rows() -> None:
    case = case_of(18, lose="filled")
    (found,) = default_fill.examine(case)
    assert isinstance(found, Proposal)
    assert found.features == ("warmth",)
    assert "loss.distribution" in found.explains
    assert found.headline.startswith("warmth is filled with -1 in 3.0 % of the rows")
    assert "Most of what the model errs more lies in them" in found.explanation
    (no,) = concept_drift.examine(case)
    assert isinstance(no, RuledOut)
    assert no.because == "the model errs more where warmth is -1, a value that comes too often"


@pytest.mark.parametrize(
    ("filled", "lose", "input_is_alarmed"), [(18, "any", False), (4, "filled", False), (18, "filled", True)]
)
def test_it_is_not_where_errors_are_elsewhere_or_few_or_an_input_speaks_for_itself(
    filled: int, lose: str, input_is_alarmed: bool
) -> None:
    case = case_of(filled, lose=lose, input_is_alarmed=input_is_alarmed)
    assert default_fill.quiet_fills(case) == ()
    assert default_fill.errs_where_filled(case) == ""


@pytest.mark.parametrize(("off", "named"), [("filled", ["warmth"]), ("any", [])])
def test_of_a_slow_input_the_value_is_a_fill_whose_rows_alone_the_others_do_not_expect(
    off: str, named: list[str]
) -> None:
    draw = np.random.default_rng(1)
    health, now = draw.normal(50, 9, 4_000).round(2), draw.normal(30, 2, 60).round(2)  # another season
    left_before, left = draw.normal(0, 0.3, 4_000), draw.normal(0, 0.3, 60)
    places = np.arange(0, 60, 3)
    now[places] = -999.0
    left[places if off == "filled" else places + 1] = -4.0
    others = alarmed(view_of("dependence.warmth", left_before, left), "step")
    found = default_fill.examine(case_of_columns([view_of("warmth", health, now)], [others]))
    assert [one.features for one in found if isinstance(one, Proposal)] == [tuple(named)] * len(named)
