"""A case as those rows show it that a broken input has not touched: what answers do there, the input has not done.

Of two things that break at once, a broken input would explain away whatever the model answers. But where it is broken in some
rows only, and its values tell in which, the others are a fair sample of what the model does; and that every case gets one and
the same answer, in the midst of what answers are, where the other inputs make expect quite different ones, no broken input does.
(To an end of what a model can answer, one may well drive it.)

Belongs here: that narrower picture. Not here: what broke (`faults`), which verdict counts (`diagnose`), a slice (`inside`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import NOT_ALIGNED, RESIDUALS, Aligned, AlignedRows, Case, ColumnView
from whydrift.core.columns import Floats, presences_of
from whydrift.core.faults.inputs import new_atoms, spread_of
from whydrift.core.faults.outputs import constant_answer
from whydrift.core.faults.rule import Proposal
from whydrift_schemas import Fault

Mask = NDArray[np.bool_]

_TOLD_BY_VALUES = (
    Fault.MISSING_VALUES,
    Fault.DEFAULT_FILL,
    Fault.NEW_CATEGORY,
    Fault.CATEGORY_RECODING,
    Fault.OUTLIERS,
)
"""Faults of single rows, whose values tell which rows these are: none, one that is new or too frequent, one that is far out."""
_USUAL = (0.005, 0.995)
"""Quantiles beyond which a quantity's value may be one that is far out."""
_LEAST_ROWS = 40
"""Untouched rows that the model is judged by."""
_CLEAR_LOG10 = 4.0
"""Evidence of the untouched rows alone from which the model answers otherwise: what is told must not rest on chance twice."""
_VARIED = 0.5
"""Spread of what the inputs make expect, in parts of health's answers, from which one answer for everybody is not theirs."""


def untouched(case: Case, proposal: Proposal) -> Case | None:
    """The case by the rows that a broken input has not touched, that input left out; None where answers do nothing there that
    it would not explain, or where nobody knows which rows those are.
    """
    rows, names = case.answered.current, [name for name in proposal.features if name in case.features]
    if not names or any(name not in rows.inputs for name in names) or len(rows) < _LEAST_ROWS:
        return None
    if _is_one_answer(case):
        told = _told_as_usual(case, rows)
        return None if told is None else _case_of(case, told, names)
    if proposal.fault not in _TOLD_BY_VALUES:
        return None
    is_touched = np.any([_touched(case.features[name], rows.inputs[name]) for name in names], axis=0)
    rest = rows.only(~is_touched)
    return _case_of(case, rest, names) if len(rest) >= _LEAST_ROWS and _answers_depart(case, rest) else None


def _touched(view: ColumnView, values: Floats) -> Mask:
    atoms = [atom.value for atom in new_atoms(view)]
    touched: Mask = np.isnan(values) | np.isin(values, atoms)
    if view.reference.kind.is_coded:
        known = [code for code in np.unique(values[~np.isnan(values)]).tolist() if _is_known(view, code)]
        return touched | ~np.isin(values, known)
    low, high = (view.reference.quantile(p) for p in _USUAL)
    return touched | (values < low) | (values > high)


def _is_known(view: ColumnView, code: float) -> bool:
    return view.reference.shares.get(view.column.category(code), 0.0) > 0


def _answers_depart(case: Case, rows: AlignedRows) -> bool:
    """Whether the model does not answer what inputs make expect, by the measure that knows how exact that is for such inputs."""
    name = next((name for name in reversed(RESIDUALS) if name in case.outputs and name in rows.outputs), None)
    if name is None:
        return False
    values = rows.outputs[name]
    return case.outputs[name].log10_evidence(values[~np.isnan(values)]) >= _CLEAR_LOG10


def _is_one_answer(case: Case) -> bool:
    found = constant_answer(case)
    return found is not None and found.is_everywhere and not found.is_at_bound


def _told_as_usual(case: Case, rows: AlignedRows) -> AlignedRows | None:
    """The rows with what inputs make expect of all of them: where health never had a value, as it is for a usual one. None where
    that is about the same for all.
    """
    if (
        case.stand_in is None
        or "prediction" not in rows.outputs
        or any(n not in rows.inputs for n in case.stand_in.names)
    ):
        return None
    wanted = case.stand_in.expect(rows.inputs)
    usual = spread_of(case.outputs["prediction"].reference.quantiles)
    if not 0 < _VARIED * usual <= spread_of(wanted):
        return None
    return replace(rows, outputs={**rows.outputs, "residual": rows.outputs["prediction"] - wanted})


def _case_of(case: Case, rows: AlignedRows, broken: list[str]) -> Case:
    """The case by these rows, as far as they stand side by side: of labels, relations and the mix nothing is known by them."""

    def of(view: ColumnView, values: Floats) -> ColumnView:
        return replace(
            view,
            current_values=values,
            current_presence=presences_of(values),
            current_times=rows.times_ms,
            given_bets={},
        )

    kept = {name: view for name, view in case.features.items() if name in rows.inputs and name not in broken}
    return replace(
        case,
        current_rows=len(rows),
        features={name: of(view, rows.inputs[name]) for name, view in kept.items()},
        outputs={name: of(view, rows.outputs[name]) for name, view in case.outputs.items() if name in rows.outputs},
        labels={},
        segments={},
        dependence={},
        earlier={},
        answered=Aligned(case.answered.reference, rows),
        labelled=NOT_ALIGNED,
    )
