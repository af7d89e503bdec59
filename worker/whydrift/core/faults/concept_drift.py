"""The model errs more than it did on the same kind of cases, with the same answers: the world's rule has changed.

Seen in the loss, or first in the outcomes: they move while inputs and answers do not, and the loss has not fallen.

Told apart: broken or drifted inputs, and a model that answers otherwise, raise the loss as well and come first. A loss that rises
with an announced version is that version's (`wrong_model`). Labels that are late or thinned out may show a selection
(`label_feed_stopped`). A rise in one segment only is `local_concept_drift`. Wrong labels look the same, but their errors follow
no input (`label_quality`): what the labelled rows tell of that is reckoned in `outcomes`. A loss that falls is no fault.
"""

from whydrift.core.case import Case
from whydrift.core.faults import default_fill, label_shift, local_concept_drift
from whydrift.core.faults.inputs import ALL, examined, percent
from whydrift.core.faults.outcomes import (
    FEED,
    NOTABLE,
    OUTCOME_ASPECTS,
    Attribution,
    attribution,
    errs_more,
    feed_is_troubled,
    follows_else,
    loss_signals,
    shared,
)
from whydrift.core.faults.outputs import (
    announced_at,
    disturbance,
    errors_lean,
    has_alarm,
    loss_alarmed,
    loss_change,
    loss_onset_ms,
    loss_words,
    score_has_moved,
    shortened,
)
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.selection import selection
from whydrift.core.faults.sketches import both, change, describe, predict, scatter, turn
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("concept_drift")
_UNTOLD, _VERSION = 0.7, 0.3
"""Fit where too few labelled rows can be compared; where a new version came in then."""
_LEFT_OVER = 0.55
"""Fit where outcomes moved by themselves, and the model does not err notably more."""
_READ = "twenty labelled cases read by a person: are the labels right?"
_CLEAR = 0.9
"""Chance from which it is said what the errors follow."""
_MAX_HEADLINE = 150
_LEAST = 0.02
"""Chance below which it is not proposed."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not loss_alarmed(case) and not has_alarm(case, "actual", *OUTCOME_ASPECTS):
        return []
    change = loss_change(case)
    if change is None and not loss_alarmed(case):
        return []
    is_greater = change is None or change[1] > change[0] * (1.0 if loss_alarmed(case) else NOTABLE)
    if not is_greater and not errors_lean(case):
        if change is not None and change[1] >= change[0] and _is_left_over(case):
            return [_of_outcomes(case)]
        return [RuledOut(fault=FAULT, because=f"the model errs no more than in health: {loss_words(case)}")]
    if because := disturbance(case):
        return [RuledOut(fault=FAULT, because=f"{because}, which explains a greater loss")]
    if because := default_fill.errs_where_filled(case):
        return [RuledOut(fault=FAULT, because=because)]
    if (version := announced_at(case, loss_onset_ms(case))) is not None:
        return [
            _proposal(
                case, _VERSION, f"score the labelled cases with version {version.after.model_version}'s forerunner"
            )
        ]
    if label_shift.explains_loss(case):
        return [RuledOut(fault=FAULT, because="the mix of outcomes has shifted, which explains another loss")]
    if score_has_moved(case):
        return [RuledOut(fault=FAULT, because="the model answers otherwise to the same kind of inputs")]
    if selection(case) is not None:
        return [
            RuledOut(fault=FAULT, because="the labels that have come are a selection, and tell nothing of the model")
        ]
    if (odd := local_concept_drift.odd_replica(case)) is not None:
        return [
            RuledOut(
                fault=FAULT, because=f"the model errs more {odd.slice.where} only, which the world knows nothing of"
            )
        ]
    if errs_more(case) and (only := local_concept_drift.local(case)) is not None:
        return [RuledOut(fault=FAULT, because=f"the model errs more {only.slice.where} only, elsewhere as in health")]
    if feed_is_troubled(case):
        return [_proposal(case, FEED, "the loss when the late labels have come: those that came may be a selection")]
    found = attribution(case)
    if found is None:
        return [_proposal(case, _UNTOLD, _READ)]
    if found.drift < _LEAST:
        return [RuledOut(fault=FAULT, because=_because(found))]
    return [_proposal(case, shared(found.drift), _READ, found)]


def _is_left_over(case: Case) -> bool:
    """Whether outcomes have moved, and nothing that could move them has: no input, no answer, no mix of outcomes."""
    if disturbance(case) or score_has_moved(case) or any(view.is_alarmed() for view in case.segments.values()):
        return False
    if announced_at(case, loss_onset_ms(case)) is not None:
        return False
    is_mix = any(isinstance(one, Proposal) for one in label_shift.examine(case))
    return not is_mix and selection(case) is None and not feed_is_troubled(case)


def _of_outcomes(case: Case) -> Proposal:
    """Outcomes that moved by themselves, too little yet for the model to err notably more."""
    return Proposal(
        fault=FAULT,
        fit=_LEFT_OVER,
        explains=loss_signals(case),
        headline="other outcomes come true than in health, of the same kind of cases and answers",
        explanation=(
            f"All {len(case.features)} inputs and the answers look as in health, the outcomes do not: what comes true does not "
            f"follow them as it did. {loss_words(case)} so far.{_outcomes(case)}"
        ),
        action="Have the owner of the outcome check what changed (a rule, a market, fraud, how it is measured).",
        decider=_READ,
    )


def _because(found: Attribution) -> str:
    if because := follows_else(found):
        return because
    if found.source:
        return f'only the labels of source "{shortened(found.source, 40)}" say that the model errs more'
    return "the errors follow no input: they are as many where the model is sure"


def _proposal(case: Case, fit: float, decider: str, found: Attribution | None = None) -> Proposal:
    inputs = len(case.features) - len(examined(case, most=ALL))
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=loss_signals(case),
        headline=f"the model errs more on the same kind of cases: {loss_words(case)}"[:_MAX_HEADLINE],
        explanation=(
            f"{loss_words(case)}. {inputs} of {len(case.features)} inputs and the answers look as in health; "
            f"what comes true does not follow them as it did.{_follows(found)}{_outcomes(case)}"
        ),
        action="Have the owner of the outcome check what changed (a rule, a market, fraud); then retrain on recent labels.",
        decider=decider,
    )


def _follows(found: Attribution | None) -> str:
    """What the errors follow, where that is clear."""
    if found is None or found.drift < _CLEAR:
        return ""
    named = {"prediction": "the score", "decision": "the decision"}.get(found.input, found.input)
    return f" The errors follow {named}."


def _outcomes(case: Case) -> str:
    """How the outcomes moved, where they did."""
    actual = case.labels.get("actual")
    if actual is None or not actual.is_alarmed("distribution") or not actual.reference.kind.is_coded:
        return ""
    now, usual = actual.categories(), actual.reference.shares
    name = max(sorted({*now, *usual}), key=lambda c: abs(now.get(c, 0.0) - usual.get(c, 0.0)))
    return f' Outcome "{name}": {percent(usual.get(name, 0.0))} → {percent(now.get(name, 0.0))}.'


def _rich_default(actual: str, features: Row, i: int) -> str:
    return "bad" if features["income"] > 50_000 else "good"


def _young_default(actual: str, features: Row, i: int) -> str:
    return "bad" if features["age"] < 40 else actual


RULE = Rule(
    fault=FAULT,
    rung=Rung.CONCEPT,
    examine=examine,
    examples=(
        Example("those with a high income default now", turn(_rich_default)),
        Example("those under forty default now", turn(_young_default)),
        Example("one region defaults", turn(lambda y, f, i: "bad" if f["region"] in ("us", "apac") else y)),
        Example(
            "those with a high income default, ever more of them",
            turn(lambda y, f, i: _rich_default(y, f, i) if scatter(i) < i / 1_500 else y),
        ),
        Example("everybody pays: the model errs less", turn(lambda y, f, i: "good"), named=False),
        Example(
            "income arrives in thousands, and the model errs", change(lambda v, i: v / 1000, "income"), named=False
        ),
        Example(
            "a new version errs more",
            both(predict(lambda s, f: 1 - s), describe(model_version="2026.12.0")),
            named=False,
        ),
        Example("another model answers upside down", predict(lambda s, f: 1 - s), named=False),
    ),
    runbook=Runbook(
        means="What the model learnt is no longer true: same inputs, same answers, other outcomes.",
        confirm="Split the loss by segment and by label source: one group, one source, or everywhere? Read twenty cases.",
        do="Where it costs most, decide by rule or by hand; retrain on labels from after the change, compare, replace.",
        if_wrong="If the labels are wrong, repair their source and accept nothing: the model was right.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.LOCAL_CONCEPT_DRIFT, Fault.MISALIGNED_FEATURE),
)
