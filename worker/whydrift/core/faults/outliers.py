"""A few values far beyond anything seen in health, while the bulk stays where it was.

Told apart: without the values beyond the reference's tails the rest matches it: median and spread unchanged. One value again
and again is `default_fill`; a constant factor away from healthy values is a partial `unit_change`.
"""

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import (
    Mask,
    chance_of,
    examined,
    explained,
    graded,
    listed,
    match_p,
    number,
    percent,
    undone,
)
from whydrift.core.faults.noise import extremes_gain, holds_against, noise_gain
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, fill, scatter
from whydrift.core.faults.transforms import best_map
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("outliers")
_LEAST_FIT = 0.2
_MOST = 0.4
"""Share beyond which extremes are no exception any more."""
_ONE_VALUE = 0.5
_FACTOR_FIT = 0.5
_TAIL = 0.002
_P = 1e-4
_FAR = 1.0
"""Standard deviations beyond the ends from which a value is extreme rather than just outside."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in examined(case, "distribution", "out_of_range"):
        if not view.reference.kind.is_coded and view.reference.spread > 0 and len(view.current):
            found += _judge(case, view)
    return found


def _judge(case: Case, view: ColumnView) -> list[Proposal | RuledOut]:
    values, reference = view.current, view.reference
    beyond: Mask = (values < reference.low) | (values > reference.high)
    if not beyond.any() or chance_of(int(beyond.sum()), len(values), 2 / max(reference.n, 1)) > _P:
        return []
    first = int(np.argmax(beyond))
    share = float(beyond[first:].mean())
    _, counts = np.unique(values[beyond], return_counts=True)
    if counts.max() > max(_ONE_VALUE * beyond.sum(), 2):
        return [RuledOut(fault=FAULT, because=f"the extremes of {view.name} are mostly one value")]
    found = best_map(view)
    if found is not None and found.map.is_known and found.fit > _FACTOR_FIT:
        return [
            RuledOut(fault=FAULT, because=f"the extremes of {view.name} are a constant factor away from healthy values")
        ]
    # Bounds a little inside the range: extremes that just miss it are extremes too.
    inside = (values >= reference.quantile(_TAIL)) & (values <= reference.quantile(1 - _TAIL))
    before, after = view.log10_evidence(values), view.log10_evidence(values[inside])
    p = match_p(values[first:][inside[first:]], reference)
    fit = 0.92 * graded(p) * undone(before, after) * float(np.clip((_MOST - share) / 0.2, 0, 1))
    fit *= holds_against(extremes_gain(view), noise_gain(view))
    # A wider spread of the whole, or a shift, also reaches a little over the ends.
    fit *= min(_distance(view, values[beyond]) / _FAR, 1.0)
    if fit < _LEAST_FIT:
        because = f"without its extremes {view.name} still differs from its reference"
        return [RuledOut(fault=FAULT, because=because)]
    return [_proposal(case, view, beyond, share, before, after, fit)]


def _distance(view: ColumnView, extremes: Floats) -> float:
    """How far extremes lie beyond the reference's ends: their median, in its standard deviations."""
    beyond = np.maximum(view.reference.low - extremes, extremes - view.reference.high)
    return float(np.median(beyond)) / view.reference.spread


def _proposal(
    case: Case, view: ColumnView, beyond: Mask, share: float, before: float, after: float, fit: float
) -> Proposal:
    reference = view.reference
    extremes = view.current[beyond]
    examples = listed(
        [number(value) for value in sorted(extremes.tolist(), key=lambda v: -abs(v - reference.median))[:3]]
    )
    was, now = reference.median, float(np.median(view.current[~beyond])) if (~beyond).any() else float("nan")
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=explained(case, [view], "distribution", "out_of_range", "unseen"),
        headline=(
            f"{view.name} has extreme values in {percent(share)} of the rows (such as {number(float(extremes[-1]))})"
        ),
        explanation=(
            f"{len(extremes)} values of {view.name} lie beyond all of health, {number(reference.low)} to "
            f"{number(reference.high)}, such as {examples}. "
            f"The rest has its median where it was ({number(was)}, now {number(now)}): without extremes "
            f"evidence {before:.1f} falls to {after:.1f}."
        ),
        action=(
            f"Look at the raw events with extreme {view.name}: one source, one device, one parser? Refuse or "
            "cap them until it is mended."
        ),
        features=(view.name,),
        undo=Undo(transform="extreme values left out", evidence_before=before, evidence_after=after),
    )


def _absurd(value: float, i: int) -> float:
    return round(value * (5 + 300 * scatter(i) ** 2), 2)


RULE = Rule(
    fault=FAULT,
    rung=Rung.MARGINAL,
    examine=examine,
    examples=(
        Example("a few absurd incomes", change(_absurd, "income", share=0.05)),
        Example(
            "balances of any size, both signs, in a tenth of the rows",
            change(lambda v, i: 1e5 * (scatter(i, 2) - 0.5), "balance", share=0.1),
        ),
        Example(
            "spikes of temperature in 3 % of the rows",
            change(lambda v, i: round(60 + 90 * scatter(i, 2), 1), "temperature", share=0.03),
        ),
        Example("income × 1000 in 5 % of the rows", change(lambda v, i: v * 1000, "income", share=0.05), named=False),
        Example("balance is −99999 in a tenth of the rows", fill(-99_999, "balance", share=0.1), named=False),
        Example("income arrives in cents", change(lambda v, i: v * 100, "income"), named=False),
        Example(
            "temperatures rise for everybody",
            change(lambda v, i: v + 12 + 10 * scatter(i, 2), "temperature", world=True),
            named=False,
        ),
    ),
    runbook=Runbook(
        means="Some values cannot be right: a broken device, a parser, an overflow, test data in production.",
        confirm="Open three of the raw events with the extremes named in the diagnosis; what do they have in common?",
        do="Refuse or cap the values at the entrance; repair their source.",
        if_wrong="If such values are real now, the model has never seen them: accept the incident and train on them.",
    ),
    look_alikes=(Fault.UNIT_CHANGE, Fault.NOISY_FEATURE),
)
