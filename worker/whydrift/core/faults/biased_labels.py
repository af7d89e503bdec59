"""The labels that have come are a selection: one outcome's are lacking (so far), while the others' come as ever.

Seen in outcomes and loss, which then tell of the selection and not of the model; verdicts on performance wait. As the labels that
lack come in, outcomes return to what they were, and the incident resolves.

Told apart by counts (`selection`): when the world changes (`concept_drift`, `label_shift`), or labels are wrong
(`label_quality`), one outcome comes *more* often than in health; here none does. Labels that lack alike for all outcomes are
`label_feed_stopped`. Outcomes that are numbers are not counted, so nothing is said of them.
"""

from whydrift.core.case import Case
from whydrift.core.faults.inputs import percent
from whydrift.core.faults.outputs import alarms_of, has_alarm, shortened
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.selection import Selection, selection
from whydrift.core.faults.sketches import scatter, turn
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("biased_labels")
_FIT = 0.93
_MAX_NAME = 40


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not any(has_alarm(case, name) for name in ("actual", "loss", "label_delay")) and not _feed_is_alarmed(case):
        return []
    found = selection(case)
    return [] if found is None else [_proposal(case, found)]


def _feed_is_alarmed(case: Case) -> bool:
    feed = case.label_arrivals.evidence
    return feed is not None and feed.is_alarmed


def _proposal(case: Case, found: Selection) -> Proposal:
    name = shortened(found.outcome, _MAX_NAME)
    feed = case.label_arrivals.evidence
    own = {feed.signal} if feed is not None and feed.is_alarmed else set()
    guards = {s.signal for s in case.guards if s.is_alarmed and s.column == "loss"}
    return Proposal(
        fault=FAULT,
        fit=_FIT,
        explains=frozenset(own | guards | alarms_of(case, "actual", "loss", "label_delay")),
        headline=f'labels are a selection: of outcome "{name}" {percent(found.lacking)} of the usual ones have come',
        explanation=(
            f'Of predictions old enough to have a label, {percent(found.lacking)} of the usual labels "{name}" have come, and '
            f"{percent(min(found.others, 1.0))} of the others: no outcome comes more often than in health ({found.rows} labels "
            "counted). What labels say of performance since then is not to be believed."
        ),
        action=f'Ask the owner of the labels when outcome "{name}" is known and sent; judge performance when they have come.',
        decider="the outcomes of twenty cases that have no label yet",
    )


def _without(outcome: str, row: Row) -> Row:
    return row | {"label": None} if row["label"] and row["label"]["actual"] == outcome else row


def _later(outcome: str, row: Row) -> Row:
    if row["label"]["actual"] == outcome:
        row["label"]["timestamp"] += 3_600_000
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.LABELS,
    examine=examine,
    examples=(
        Example("only loans that turn bad are labelled", lambda row, i: _without("good", row)),
        Example("a good loan is known an hour later", lambda row, i: _later("good", row)),
        Example(
            "six labels in ten do not come",
            lambda row, i: row | {"label": None} if scatter(i, 3) < 0.6 else row,
            named=False,
        ),
        Example("every loan turns bad", turn(lambda y, f, i: "bad"), named=False),
        Example(
            "two in three good cases stay away from the start",
            lambda row, i: None if row["label"]["actual"] == "good" and scatter(i, 21) < 0.67 else row,
            named=False,
        ),
    ),
    runbook=Runbook(
        means="Only some outcomes are labelled so far: what labels say of the model is a matter of which ones came.",
        confirm="Count labels by outcome against predictions of the same day: one outcome is short, none is in excess.",
        do="Judge nothing by these labels; wait until the rest has come, or have a random sample of cases labelled.",
        if_wrong="If that outcome will never be labelled from now on, accept the incident: health is then learnt anew.",
    ),
    look_alikes=(Fault.LABEL_SHIFT, Fault.LABEL_FEED_STOPPED),
)
