"""Digits or range were lost on the way: values are rounded to a step, or cut at a bound, that health does not have.

Told apart: cut values pile up *at* the bound, none lies beyond it, and what is left below (or above) is distributed as ever;
rounded ones lie whole steps apart, and health rounded alike looks the same. Neither can be undone: what is lost is lost.
A value that stands for "not known" is `default_fill`.
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import (
    bound,
    digits_of,
    examined,
    explained,
    graded,
    match_p,
    new_atoms,
    number,
    percent,
)
from whydrift.core.faults.outputs import same_p
from whydrift.core.faults.relations import unrelated
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, fill, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("precision_loss")
_MIN_ROWS = 30
_LEAST_FIT = 0.2
_FIT = 0.95
_COARSER = 0.5
"""Part of health's values that may lie whole steps from one of now."""
_FEWER, _AS_FEW = 0.75, 1.3
"""Part of the different values in as many rows that rounding health must leave at most; times as many that are seen may be."""
_TELLING = 3
"""Different values from which it tells something that they lie whole steps apart; more of them tell the step more exactly."""
_STEP_ERROR, _MOST_ERROR = 1e-3, 0.05
"""How far from a multiple of the step a value may lie, in steps: sums of rounded numbers are a little off; the most of that."""
_OTHERS = 0.5
"""Share of the values beside a bound that are none of health's from which all have moved, not only those beyond it."""
_MIN_TAIL = 0.02
_BOUND_SLACK = 4.0
"""Standard errors by which the mass at a bound may differ from that beyond it in health."""


@dataclass(frozen=True, slots=True)
class _Loss:
    fit: float
    says: str
    explanation: str


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in examined(case, "distribution", "repeated", "out_of_range", "unseen") or unrelated(case):
        if view.reference.kind.is_coded or not view.reference.n or len(view.current) < _MIN_ROWS:
            continue
        losses = [one for one in (_clipped(view), _rounded(view)) if one is not None]
        loss = max(losses, key=lambda one: one.fit, default=None)
        if loss is not None and loss.fit >= _LEAST_FIT:
            found.append(_proposal(case, view, loss))
    return found


def rounded_fit(view: ColumnView) -> float:
    """How well rounding fits a quantity, for look-alikes to give way to; 0.0 where it does not."""
    found = None if view.reference.kind.is_coded or not view.reference.n else _rounded(view)
    return 0.0 if found is None else found.fit


def _clipped(view: ColumnView) -> _Loss | None:
    for atom in new_atoms(view)[:2]:
        found = bound(view, atom)
        if found is None:
            continue
        first, is_top = found
        reference, later = view.reference, view.current[first:]
        beyond = reference.quantiles >= atom.value if is_top else reference.quantiles <= atom.value
        tail = float(beyond.mean())
        here = float((later == atom.value).mean())
        error = np.sqrt(max(tail * (1 - tail), 1e-4) * (1 / len(later) + 1 / max(reference.n, 1)))
        if tail < _MIN_TAIL or abs(here - tail) > _BOUND_SLACK * error + 0.01:
            continue
        rest, digits = later[later != atom.value], digits_of(view)
        if digits is not None and len(rest) and float(digits.finer(rest).mean()) > _OTHERS:
            continue  # What is not cut stays what it is.
        p = same_p(rest, reference.quantiles[~beyond]) if len(rest) and (~beyond).any() else 1.0
        side = "above" if is_top else "below"
        return _Loss(
            _FIT * graded(p),
            f"is cut at {number(atom.value)}: nothing lies {side} it any more",
            f"{percent(here)} of the values of {view.name} are {number(atom.value)}, as many as were at or {side} it in health "
            f"({percent(tail)}); the others are distributed as ever.",
        )
    return None


def _rounded(view: ColumnView) -> _Loss | None:
    """The later half: the first rows may be from before the onset."""
    values = view.current[len(view.current) // 2 :]
    healthy = view.healthy
    if len(values) < _MIN_ROWS // 2 or len(healthy) < _MIN_ROWS:
        return None
    places = np.linspace(0, len(healthy) - 1, min(len(values), len(healthy))).astype(int)
    distinct, usual = len(np.unique(values)), len(np.unique(np.sort(healthy)[places]))
    step, base = _step(values)
    if not step or _fits(healthy - base, step) > _COARSER:
        return None
    rounded = len(np.unique(_steps(np.sort(healthy)[places] - base, step, 0.0)))
    # Another unit leaves multiples of a step as well, and as many values as before.
    if rounded > _FEWER * usual or distinct > _AS_FEW * rounded + 1:
        return None
    # Whole steps: multiples of a step that is known to some digits only are never equal.
    p = max(same_p(np.round((values - base) / step), _steps(healthy - base, step, edge)) for edge in (0.0, 0.5))
    same_middle = match_p(values, view.reference) > 1e-12 or p > 1e-3
    return _Loss(
        _FIT * graded(p) * (1.0 if same_middle else 0.5),
        f"is rounded to steps of {number(step)}",
        f"All later values of {view.name} lie whole steps of {number(step)} apart: {distinct} different ones where health has "
        f"{usual} in as many rows. Health rounded alike looks the same (chance {p:.2g}).",
    )


def _step(values: Floats) -> tuple[float, float]:
    """The step that all values lie whole multiples of apart, and one of them; 0.0 where there is none, or only one value.

    Of two values, which lie some step apart in any case, each must be a multiple of it.
    """
    distinct = np.unique(values)
    with np.errstate(over="ignore"):
        gaps, width = np.diff(distinct), float(distinct[-1] - distinct[0])
    gaps = gaps[gaps > 1e-9 * max(float(np.abs(distinct).max()), 1e-12)]
    if not len(gaps) or not np.isfinite(width):
        return 0.0, 0.0
    step = float(gaps.min())
    if len(distinct) > _TELLING:
        # A gap is known to the values' digits only; all of them together are to some more.
        step = width / round(width / step)
    base = float(distinct[0]) if len(distinct) >= _TELLING else 0.0
    return (step, base) if _fits(values - base, step) == 1.0 else (0.0, 0.0)


def _fits(values: Floats, step: float) -> float:
    """Share of the values that are multiples of a step."""
    off = np.abs(values / step - np.round(values / step))
    return float((off < np.minimum(_STEP_ERROR * np.maximum(1.0, np.abs(values / step) * 1e-3), _MOST_ERROR)).mean())


def _steps(values: Floats, step: float, edge: float) -> Floats:
    """Steps up to the nearest multiple, or down to it (edge 0.5)."""
    whole: Floats = np.floor(values / step + 0.5 - edge)
    return whole


def _proposal(case: Case, view: ColumnView, loss: _Loss) -> Proposal:
    return Proposal(
        fault=FAULT,
        fit=loss.fit,
        explains=explained(case, [view]),
        headline=f"{view.name} {loss.says}",
        explanation=loss.explanation,
        action=f"Look for a cast, a format or a limit that is new on the way of {view.name}, and take it out.",
        features=(view.name,),
        decider=f"a raw value of {view.name} at its source beside the one that arrives",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("income is cut at 50,000", change(lambda v, i: min(v, 50_000), "income")),
        Example("temperature is rounded to whole tens", change(lambda v, i: round(v / 10) * 10, "temperature")),
        Example("income is rounded down to ten thousands", change(lambda v, i: v // 10_000 * 10_000, "income")),
        Example("income filled with 0", fill(0, "income", share=0.3), named=False),
        Example("income in thousands and rounded", change(lambda v, i: round(v / 1000), "income"), named=False),
        Example(
            "a poorer public comes in addition",
            both(
                change(lambda v, i: v * 0.5 if i % 5 < 3 else v, "income", world=True),
                change(lambda v, i: v - 3_000 if i % 5 < 3 else v, "balance", world=True),
                change(lambda v, i: v - 9_000 if i % 5 < 3 else v, "assets", world=True),
            ),
            named=False,
        ),
        Example(
            "a few absurd incomes",
            change(lambda v, i: v * (5 + 300 * scatter(i) ** 2), "income", share=0.05),
            named=False,
        ),
    ),
    runbook=Runbook(
        means="A feature lost digits or its extremes on the way: a cast to whole numbers, a format, a limit, an overflow guard.",
        confirm="Compare a raw value at the source with the one that arrives; count the different values.",
        do="Take the cast or limit out; score again what was decided on cut values.",
        if_wrong="If the source itself measures more coarsely now, accept the incident; ask whether the model can cope.",
    ),
    look_alikes=(Fault.DEFAULT_FILL, Fault.STALE_FEATURE),
)
