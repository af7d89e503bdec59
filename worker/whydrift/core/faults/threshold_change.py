"""Decisions are cut at another score than they were, while the scores are as ever.

Told apart: the rows between the old cut and the new one are decided otherwise than the same scores were in health; all others as
ever. Where the scores themselves moved, decisions follow them, and the model is what changed.
"""

import numpy as np

from whydrift.core.case import AlignedRows, Case
from whydrift.core.columns import Floats
from whydrift.core.cut import Cut, learn_cut
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.model_events import moved_threshold, parameter_alarm
from whydrift.core.faults.outputs import alarms_of, has_alarm
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, describe, predict
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("threshold_change")
_CLEAN_NOW = 0.97
"""Share of the later rows that one cut must decide as they were."""
_MOST_DIGITS = 6
_MIN_OTHERWISE, _MIN_ALIKE = 3, 40
"""Rows that are decided otherwise; rows that are all decided alike, for a cut that is beyond all of them."""
_FIT = 0.95


def examine(case: Case) -> list[Proposal | RuledOut]:
    found = _from_answers(case)
    told = moved_threshold(case)
    if told is None or not parameter_alarm(case) or any(isinstance(one, Proposal) for one in found):
        return found
    return [_told(case, *told)]


def _told(case: Case, was: float, now: float) -> Proposal:
    """A model event shows another threshold; whether decisions have followed it, few answers may not tell yet."""
    return Proposal(
        fault=FAULT,
        fit=_FIT,
        explains=alarms_of(case, "decision", "contradiction", "loss") | parameter_alarm(case),
        headline=f"the model is served with a decision threshold of {number(now)}, no longer of {number(was)}",
        explanation=(
            f"The model described itself anew under the same version: its decision threshold is {number(now)}, was {number(was)}."
        ),
        action=f"Ask who changed the decision threshold ({number(was)} → {number(now)}), and whether it was meant.",
    )


def _from_answers(case: Case) -> list[Proposal | RuledOut]:
    if "decision" not in case.outputs or not (has_alarm(case, "decision") or has_alarm(case, "contradiction")):
        return []
    healthy, now = (_decided(rows) for rows in (case.answered.reference, case.answered.current))
    old = learn_cut(healthy[:, 0], healthy[:, 1])
    if old is None:
        return [RuledOut(fault=FAULT, because="decisions are not made by cutting the score")]
    otherwise = old.contradictions(*now.T) == 1.0
    if otherwise.sum() < _MIN_OTHERWISE:
        return [RuledOut(fault=FAULT, because=f"each score is decided as ever, at {number(old.score)}")]
    later = now[int(np.argmax(otherwise)) :]
    new = learn_cut(later[:, 0], later[:, 1], _CLEAN_NOW) or _beyond(old, later)
    if new is None or new.above != old.above:
        return [RuledOut(fault=FAULT, because="decisions do not follow the score at any one cut")]
    return [_proposal(case, old, new, later)]


def _decided(rows: AlignedRows) -> Floats:
    """Score and decision of the rows that have both: (rows, 2)."""
    if not {"prediction", "decision"} <= rows.outputs.keys():
        return np.empty((0, 2))
    both = np.stack([rows.outputs["prediction"], rows.outputs["decision"]], axis=1)
    known: Floats = both[~np.isnan(both).any(axis=1)]
    return known


def _beyond(old: Cut, rows: Floats) -> Cut | None:
    """The nearest cut that decides all rows alike, (rows, score and decision); None where there are two decisions."""
    scores, decisions = rows.T
    if len(rows) < _MIN_ALIKE or len(np.unique(decisions)) > 1 or decisions[0] not in (old.above, old.below):
        return None
    edge = float(scores.max() if decisions[0] == old.below else scores.min())
    return Cut(edge, edge, old.above, old.below, 1.0)


def _described(case: Case) -> frozenset[str]:
    return frozenset() if moved_threshold(case) is None else parameter_alarm(case)


def _proposal(case: Case, old: Cut, new: Cut, later: Floats) -> Proposal:
    view = case.outputs["decision"]
    name = view.column.category(new.above)
    share = float(old.decides_otherwise(*later.T).mean())
    before = view.log10_evidence(later[:, 1])
    after = view.log10_evidence(np.where(later[:, 0] >= old.score, old.above, old.below))
    was, now = _shown(old), _shown(new)
    return Proposal(
        fault=FAULT,
        fit=_FIT * new.clean,
        explains=alarms_of(case, "decision", "contradiction", "loss") | _described(case),
        headline=f'"{name}"'[:40] + f" is decided from a score of {now} on, no longer from {was}",
        explanation=(
            f"In health a score of about {was} divided the decisions; now it is {now}. {percent(share)} of the cases are "
            "decided otherwise than the same scores were. The scores given the inputs are as ever."
        ),
        action=f"Ask who changed the decision threshold ({was} → {now}), and whether it was meant.",
        undo=Undo(
            transform=f"cut at {was} instead of {now}",
            evidence_before=before,
            evidence_after=after,
        ),
    )


def _shown(cut: Cut) -> str:
    """The roundest score that may be the threshold: people choose such ones."""
    round_ones = (round(cut.score, digits) for digits in range(1, _MOST_DIGITS))
    return number(next((one for one in round_ones if cut.low < one <= cut.high), float(f"{cut.score:.2g}")))


def _recut(row: Row, cut: float) -> Row:
    row["prediction"]["label"] = "bad" if row["prediction"]["score"] >= cut else "good"
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.DECISION,
    examine=examine,
    examples=(
        Example("decisions are cut at a quarter", lambda row, i: _recut(row, 0.25)),
        Example("decisions are cut at 0.7", lambda row, i: _recut(row, 0.7)),
        Example("the model says that it is served with another threshold", describe(decision_threshold=0.3)),
        Example(
            "a model event shows another threshold, and decisions follow it",
            both(lambda row, i: _recut(row, 0.3), describe(decision_threshold=0.3)),
        ),
        Example("scores are higher", predict(lambda s, f: s / (s + 0.3 * (1 - s))), named=False),
        Example("every score is 1 − score", predict(lambda s, f: 1 - s), named=False),
    ),
    runbook=Runbook(
        means="The cut between decisions was moved, in a configuration or in the serving code; the model's scores are as ever.",
        confirm="Sort the latest answers by score: where does the decision change, and where did it before the onset?",
        do="Restore the threshold, or have the new one approved, and accept the incident.",
        if_wrong="If decisions no longer follow the score at all, a rule beside the model decides.",
    ),
    look_alikes=(Fault.WRONG_MODEL,),
)
