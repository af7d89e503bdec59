"""The classes of the answers are exchanged: the model is as sure and as sharp as ever, of the wrong class.

Told apart: exchanged back, scores given the inputs look as in health, row by row (`answer_stories`). Of many classes, cases are
called now what others like them were in health (`exchanged_classes`); with labels, the confusion matrix is the healthy one with
its columns permuted, but where cases are called what they always were it is the world that has turned (`concept_drift`). Another
model (`wrong_model`) ranks cases in a way of its own, and one whose inputs are mixed up (`preprocessing_mismatch`) is sure of the
wrong class now and then: no exchange makes either right.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from whydrift.core.case import Case
from whydrift.core.columns import Floats
from whydrift.core.faults.answer_stories import expected, has_two_classes, is_probability, is_turned, stories
from whydrift.core.faults.exchanged_classes import are_asked, exchange
from whydrift.core.faults.inputs import graded, match_p, percent, shares_p, undone
from whydrift.core.faults.misaligned_feature import lost_by_answers
from whydrift.core.faults.model_events import permuted_outputs, shown_by, silent_change
from whydrift.core.faults.outputs import (
    alarms_of,
    announced_at,
    answer_signals,
    disturbance,
    has_alarm,
    score_has_moved,
    shortened,
)
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import predict
from whydrift.core.faults.transforms import density_of, onset, share_of
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("output_permutation")
_GAIN = 12.0
"""Log-likelihood that the exchange must gain over "as in health"."""
_EVENT, _SURE, _LABELS_ONLY, _SHARES_ONLY = 0.98, 0.95, 0.7, 0.55
"""Fit of an exchange that a model event shows; that rows show; that labels show, without inputs that say whose it is; and that
only makes the classes' shares those of health.
"""
_ALL = 0.97
_UNTOLD = 0.8
"""Part of the fit where too few rows of health are known, to compare an exchange with other stories row by row."""
_LEAST_FIT = 0.2
_SHOWN, _MAX_NAME = 4, 30
"""Names of classes in words, and letters of each."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    fit: float
    undo: Undo
    says: str


def examine(case: Case) -> list[Proposal | RuledOut]:
    if (seen := _from_event(case)) is not None:
        return [seen]
    if not score_has_moved(case) and not has_alarm(case, "decision") and exchange(case) is None:
        return []
    if because := disturbance(case):
        return [RuledOut(fault=FAULT, because=f"{because}, which changes the answers too")]
    if announced_at(case, case.onset_ms) is not None:
        return []
    found = _scores_turned(case) or _classes_permuted(case)
    return [] if found is None or found.fit < _LEAST_FIT else [_proposal(case, found)]


def _from_event(case: Case) -> Proposal | None:
    """A model event shows the weights of the outputs in another order."""
    silent = silent_change(case)
    moved = {} if silent is None else permuted_outputs(silent)
    shown = frozenset() if silent is None else shown_by(case, silent)
    if silent is None or not moved or not shown:
        return None
    version = silent.change.after.model_version
    pairs = ", ".join(f"{was} → {now}" for now, was in list(moved.items())[:4])
    return Proposal(
        fault=FAULT,
        fit=_EVENT,
        explains=shown,
        headline=f"the outputs of version {shortened(version, 30)} changed places: {pairs}",
        explanation=f"The weights of the last layer's outputs are those of before, in another order ({pairs}).",
        action=f"Reload the registered weights of version {version}, and compare the order of classes in training and serving.",
        replica=silent.change.after.replica,
    )


# -- two classes: a score and its complement -------------------------------------------------------------------


def _scores_turned(case: Case) -> _Exchange | None:
    view, residual, wanted = case.outputs.get("prediction"), case.outputs.get("residual"), expected(case)
    if view is None or residual is None or wanted is None or not is_probability(view) or not residual.reference.n:
        return None
    if not has_two_classes(case):
        return None
    usable = ~(np.isnan(view.current_values) | np.isnan(wanted))
    scores, wanted = view.current_values[usable], wanted[usable]
    density = density_of(residual.reference)
    ratio = density(1 - scores - wanted) / density(scores - wanted)
    share = share_of(ratio)
    if float(np.log(1 - share + share * ratio).sum()) < _GAIN:
        return None
    first, since = onset(ratio, share)
    told = stories(case)
    if since <= _ALL and not is_turned(case) and lost_by_answers(case) is not None:
        return None  # answers to another value of one input are on the other side of the cut as often
    turned = (np.arange(len(scores)) >= first) & (since * ratio > 1 - since)
    restored: Floats = np.where(turned, 1 - scores, scores)
    before, after = view.log10_evidence(scores), view.log10_evidence(restored)
    before += max(residual.log10_evidence(scores - wanted), 0.0)
    after += max(residual.log10_evidence(restored - wanted), 0.0)
    left = (restored - wanted)[first:]
    # Of a part of the rows, those in doubt go to the side that fits: what is left then looks better than health, and can only be
    # asked whether it is worse.
    p = match_p(left, residual.reference) if since > _ALL else 1.0
    rows = "every answer" if since > _ALL else f"{percent(since)} of the answers"
    return _Exchange(
        _SURE * undone(before, after) * graded(p) * (_UNTOLD if told is None else told.turned),
        Undo(transform="score → 1 − score", evidence_before=before, evidence_after=after),
        f"the two classes are exchanged in {rows}: 1 − score is what these inputs used to get",
    )


# -- many classes ----------------------------------------------------------------------------------------------


def _classes_permuted(case: Case) -> _Exchange | None:
    if (learnt := exchange(case)) is not None:
        return _exchange(learnt.evidence, 0.0, learnt.back, _SURE if learnt.is_models else _LABELS_ONLY)
    view = case.outputs.get("decision")
    if view is None or not view.is_alarmed() or not len(view.current) or are_asked(case):
        return None
    now, was = view.categories(), view.reference.shares
    names = sorted(was)
    if len(names) < 3 or any(name not in was for name in now):
        return None
    cost = np.array([[abs(now.get(i, 0.0) - was[j]) for j in names] for i in names])
    places = linear_sum_assignment(cost)[1]
    back = {name: names[place] for name, place in zip(names, places, strict=True) if names[place] != name}
    if not back:
        return None
    codes = {view.column.category(float(code)): float(code) for code in np.unique(view.current)}
    if any(name in codes and back[name] not in view.column.codes for name in back):
        return None
    target = {codes[name]: float(view.column.codes[back[name]]) for name in back if name in codes}
    restored = np.array([target.get(float(code), float(code)) for code in view.current])
    p, as_is = shares_p(view, restored[len(restored) // 3 :]), shares_p(view, view.current)
    if p < 1e-3 or as_is > 1e-6:
        return None
    return _exchange(view.log10_evidence(view.current), view.log10_evidence(restored), back, _SHARES_ONLY)


def _exchange(before: float, after: float, back: Mapping[str, str], fit: float) -> _Exchange:
    named = [(shortened(said, _MAX_NAME), shortened(meant, _MAX_NAME)) for said, meant in list(back.items())[:_SHOWN]]
    more = ", …" if len(back) > _SHOWN else ""
    exchanged = ", ".join(f"{said} → {meant}" for said, meant in named)
    undo = Undo(transform=f"decision: {exchanged}{more}", evidence_before=before, evidence_after=after)
    if len(named) == 2:
        return _Exchange(fit, undo, f"{named[0][0]} and {named[1][0]} have changed places")
    return _Exchange(
        fit, undo, f"what is called {', '.join(f'{said} is {meant}' for said, meant in named[:2])}, and so on"
    )


def _proposal(case: Case, found: _Exchange) -> Proposal:
    return Proposal(
        fault=FAULT,
        fit=found.fit,
        explains=answer_signals(case) | alarms_of(case, "decision", "loss"),
        headline=f"the model's classes are permuted: {found.says}"[:150],
        explanation=f"The inputs look as in health; {found.says}. No retraining does that.",
        action="Compare the order of classes in the model's head with the order that the serving code reads it in.",
        undo=found.undo,
        decider="ten cases whose outcome is beyond doubt: is the opposite class answered?",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example("every score is 1 − score", predict(lambda s, f: 1 - s)),
        Example("every third score is 1 − score", predict(lambda s, f: 1 - s, share=0.33)),
        Example("scores are a little higher", predict(lambda s, f: s / (s + 0.4 * (1 - s))), named=False),
        Example("all scores are one half", predict(lambda s, f: 0.5), named=False),
    ),
    runbook=Runbook(
        means="The serving code reads the model's outputs in another order than it was trained with: answers are turned round.",
        confirm="Take a case that is beyond doubt: is the opposite class answered, with high confidence?",
        do="Restore the order of classes (label encoder, head, index), and decide again on what was answered since.",
        if_wrong="If labels say that the answers are right, the world has turned round: that is concept drift.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.CONCEPT_DRIFT),
)
