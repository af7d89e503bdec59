"""The inputs' distribution moved, and nothing that a broken pipe does explains it: the world, or who asks, has changed.

Told apart: no invertible map, fill, freeze, recoding or exchange returns the columns to their references; where one does, this
is proposed with a low fit. Inputs that depend on each other move together. That the relation of inputs and outcome holds
(no `concept_drift`) shows when labels come.
"""

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.faults import (
    category_recoding,
    default_fill,
    feature_swap,
    label_shift,
    missing_values,
    new_category,
    noisy_feature,
    outliers,
    precision_loss,
    schema_change,
    stale_feature,
    unit_change,
)
from whydrift.core.faults.inputs import (
    are,
    compared,
    dragged,
    examined,
    explained,
    has_lost_repeats,
    has_moved_partner,
    is_growing,
    is_sudden,
    keeps_digits,
    listed,
    match_p,
    number,
    percent,
)
from whydrift.core.faults.misaligned_feature import is_off
from whydrift.core.faults.outputs import alarms_of, disturbance, is_as_asked
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, fill, scatter, swap
from whydrift.core.faults.unit_change import off_by_the_others
from whydrift.core.signals import Aspect
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("covariate_drift")
SHARPER = (
    category_recoding,
    default_fill,
    feature_swap,
    label_shift,
    missing_values,
    new_category,
    noisy_feature,
    outliers,
    precision_loss,
    schema_change,
    stale_feature,
    unit_change,
)
"""Rules that say what happened to an input where it moved for a reason."""
_RAMP, _NO_STEP = 0.88, 0.75
"""Fit where an input moves slowly away from the others; where rows from before it show neither that nor a step."""
_SAME_DIGITS = 0.7
"""Fit where it is off by a step, and its digits say that it was not converted."""
_ALONE, _TOGETHER = 0.6, 0.75
"""Fit where nothing else explains the column; higher where inputs that depend on each other moved together."""
_JUMPED = 0.6
"""Factor where a column jumps from row to row as it never did: the world drifts, pipes jump."""
_NO_REPEATS = 0.5
"""The same where no value comes twice any more: other cases have the same digits."""
_EXPLAINED = 0.7
"""Fit of another proposal from which a column counts as explained by it."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    moved = [view for view in examined(case, "distribution", "out_of_range", "unseen") if len(view.current)]
    duplicates = case.world.get("duplicates")
    if not moved:
        return _by_the_others(case) or _by_the_answers(case)
    if duplicates is not None and duplicates.is_alarmed:
        return [RuledOut(fault=FAULT, because="events repeat, which disturbs every distribution")]
    others = _other_explanations(case)
    free = [view for view in moved if others.get(view.name, ("", 0.0))[1] < _EXPLAINED]
    no: list[Proposal | RuledOut] = [
        RuledOut(fault=FAULT, because=f"{view.name} is explained otherwise: {others[view.name][0]}")
        for view in moved
        if view not in free
    ]
    # The nearly explained ones stay possible: the diagnosis then says "A or B".
    return [_proposal(case, free, others), *no] if free else no


def _by_the_others(case: Case) -> list[Proposal | RuledOut]:
    """An input that goes away from what the others make expect, slowly, before its own distribution shows it."""
    found = off_by_the_others(case)
    if found is None or not is_off(found.left) or (is_sudden(case, found.left) and not keeps_digits(found.view)):
        return []
    name = found.view.name
    way = "higher" if found.off > 0 else "lower"
    if is_growing(case, found.left):
        fit, why = _RAMP, "It goes away from that ever more: no step, as a change of unit is."
    elif not is_sudden(case, found.left):
        fit, why = _NO_STEP, "No step is seen in it, as a change of unit is."
    else:
        fit, why = _SAME_DIGITS, "It has the digits it always had, which another unit would have changed."
    return [
        Proposal(
            fault=FAULT,
            fit=fit,
            explains=frozenset(dragged(case)),
            headline=f"{name} has drifted: it is {way} than the other inputs make expect",
            explanation=(
                f"The other inputs are as ever, and {name} is {number(float(f'{abs(found.off):.2g}'))} standard deviations {way} "
                f"than they make expect. {why}"
            ),
            action=f"Ask what changes slowly in {name} (prices, a sensor that ages, who is scored); retrain if the loss rises.",
            features=(name,),
        )
    ]


def _by_the_answers(case: Case) -> list[Proposal | RuledOut]:
    """The model answers such cases as ever, and yet its answers move: what it looks at has moved, in no input much by itself."""
    if disturbance(case) or not is_as_asked(case):
        return []
    rival = max((one.fit for one in label_shift.examine(case) if isinstance(one, Proposal)), default=0.0)
    return [
        Proposal(
            fault=FAULT,
            fit=_ALONE * (1 - rival),
            explains=alarms_of(case, "prediction", "decision", "actual", "loss"),
            headline="other cases come than in health: the answers moved, and are those that such inputs always got",
            explanation=(
                "The distribution of the answers has moved, though the same inputs get the same answers, and no input moved much "
                "by itself: they moved together, in what the model looks at."
            ),
            action="Ask what brings other cases (season, campaign, a new channel); retrain if the loss rises.",
            decider="labels: do the same answers go on to mean the same (then inputs drifted), or has the mix of outcomes moved?",
        )
    ]


def _other_explanations(case: Case) -> dict[str, tuple[str, float]]:
    """By feature, the best proposal of the rules for a broken input that explains an alarm of it: (its headline, its fit)."""
    alarms = {view.name: {signal.signal for signal in view.alarms()} for view in case.alarmed_features()}
    best: dict[str, tuple[str, float]] = {}
    for module in SHARPER:
        for proposal in module.examine(case):
            if isinstance(proposal, Proposal):
                for name in proposal.features:
                    if alarms.get(name, set()) & proposal.explains and proposal.fit > best.get(name, ("", 0.0))[1]:
                        best[name] = (proposal.headline, proposal.fit)
    return best


def _proposal(case: Case, views: list[ColumnView], others: dict[str, tuple[str, float]]) -> Proposal:
    names = [view.name for view in views]
    rival = max((others.get(name, ("", 0.0)) for name in names), key=lambda pair: pair[1])
    together = any(has_moved_partner(case, view) for view in views)
    fit = (_TOGETHER if together else _ALONE) * (1 - 0.3 * rival[1])
    if any(view.is_alarmed(Aspect.STEP) for view in views):
        fit *= _JUMPED
    if any(has_lost_repeats(view) for view in views):
        fit *= _NO_REPEATS
    labels = {
        s.signal
        for name in ("actual",)
        if name in case.labels
        for s in case.labels[name].signals.values()
        if s.is_alarmed
    }
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=explained(case, views, "distribution", "out_of_range", "unseen", "repeated") | labels,
        headline=f"{listed(names)} {are(names, 'has', 'have')} drifted: {moved_words(views[0])}",
        explanation=_explanation(views, together, rival[0]),
        action=(
            f"Ask what changed in who or what is scored ({listed(names)}); watch the loss when labels come, "
            "retrain if it rises."
        ),
        features=tuple(names),
        decider="" if rival[1] < 0.3 else f"the source's change log, and whether inputs related to {names[0]} move too",
    )


def moved_words(view: ColumnView) -> str:
    """What is seen of one column that moved, in a few words."""
    if view.reference.kind.is_coded:
        now = view.categories()
        name = max(
            sorted({*now, *view.reference.shares}),
            key=lambda c: abs(now.get(c, 0.0) - view.reference.shares.get(c, 0.0)),
        )
        return f'"{name}" {percent(view.reference.shares.get(name, 0.0))} → {percent(now.get(name, 0.0))}'
    later = view.current[len(view.current) // 3 :]
    was, now_median = view.reference.median, float(np.median(later))
    if abs(now_median - was) > 0.15 * max(view.reference.spread, 1e-12):
        return "median " + " → ".join(compared(was, now_median))
    low, high = (
        compared(view.reference.quantile(part), float(value))
        for part, value in zip((0.25, 0.75), np.quantile(later, [0.25, 0.75]), strict=True)
    )
    return f"middle half {low[0]}–{high[0]} → {low[1]}–{high[1]}"


def _explanation(views: list[ColumnView], together: bool, rival: str) -> str:
    seen = "; ".join(f"{view.name}: {moved_words(view)}" for view in views[:4])
    text = f"{seen}. " + ("Inputs that depend on each other moved together. " if together else "")
    if views and not views[0].reference.kind.is_coded:
        half = views[0].current[len(views[0].current) // 2 :]
        text += f"The chance that health looks like this is {match_p(half, views[0].reference):.1g}. "
    return text + (f"Also possible: {rival}." if rival else "No unit, fill, freeze, exchange or recoding explains it.")


_YOUNGER = both(
    change(lambda v, i: 18 + (v - 18) // 2 if i % 5 < 3 else v, "age", world=True),
    change(lambda v, i: v * 0.55 if i % 5 < 3 else v, "income", world=True),
    change(lambda v, i: v - 2_500 if i % 5 < 3 else v, "balance", world=True),
    change(lambda v, i: v - 7_500 if i % 5 < 3 else v, "assets", world=True),
)

RULE = Rule(
    fault=FAULT,
    rung=Rung.MARGINAL,
    examine=examine,
    examples=(
        Example("a younger and poorer public comes in addition", _YOUNGER),
        Example(
            "the temperature is half a standard deviation higher",
            change(lambda v, i: round(v + 3.2, 1), "temperature", world=True),
        ),
        Example(
            "income drifts down over 800 rows", change(lambda v, i: v / (1 + min(i, 800) / 500), "income", world=True)
        ),
        Example(
            "customers move from eu to us",
            change(lambda v, i: "us" if v == "eu" and i % 2 else v, "region", world=True),
        ),
        Example("most customers are new", change(lambda v, i: v or scatter(i, 3) < 0.6, "is_new", world=True)),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example(
            "a few absurd incomes",
            change(lambda v, i: v * (5 + 300 * scatter(i) ** 2), "income", share=0.05),
            named=False,
        ),
        Example("income filled with −1", fill(-1, "income", share=0.1), named=False),
        Example("age and tenure swapped", swap("age", "tenure_days"), named=False),
        Example("a new region", fill("africa", "region", share=0.1), named=False),
        Example("region arrives in capitals", change(lambda v, i: v.upper(), "region"), named=False),
        Example("income is null in a third of the rows", fill(None, "income", share=0.33), named=False),
    ),
    runbook=Runbook(
        means=(
            "The model is asked about other cases than it was trained on. It may still be right; nobody knows "
            "before labels come."
        ),
        confirm=(
            "Compare with the same hour last week; split by segment: has one group grown, or has every group moved?"
        ),
        do=(
            "Nothing in the pipeline, if the source confirms the numbers; watch the estimated performance, "
            "plan a retraining."
        ),
        if_wrong="If a source confirms a change of its own (unit, default, join), treat it as that.",
    ),
    look_alikes=(Fault.UNIT_CHANGE, Fault.LABEL_SHIFT, Fault.NOISY_FEATURE),
)
