"""Labels are wrong: the model errs as often where it is sure as elsewhere, or only by the labels of one source.

Seen in the loss, with inputs and answers as in health. A wrong label falls on any case, so errors beyond health follow neither
inputs nor answer (for classes: the same share of outcomes is turned round everywhere; for numbers: what is missed scatters wider
and is not moved). Where labels name their sources, one of them carries the errors.

Told apart: when the world's rule changes, errors gather in some group of cases (`concept_drift`). Which story the labelled rows
tell, and how surely, is reckoned for both rules in `outcomes`; few rows leave it open, and the diagnosis says "A or B".
"""

from whydrift.core.case import Case
from whydrift.core.faults import label_shift
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.local_concept_drift import odd_replica
from whydrift.core.faults.outcomes import Attribution, attribution, errs_more, follows_else, loss_signals, shared
from whydrift.core.faults.outputs import loss_words, shortened
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, scatter, turn
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("label_quality")
_LEAST = 0.02
"""Chance below which it is not proposed."""
_MAX_NAME = 40


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not errs_more(case) or label_shift.explains_loss(case) or (found := attribution(case)) is None:
        return []
    if found.quality < _LEAST:
        because = follows_else(found) or f"errors follow {found.input}: wrong labels would follow nothing"
        return [RuledOut(fault=FAULT, because=because)]
    if found.source:
        return [_from_source(case, found)]
    if (odd := odd_replica(case)) is not None:
        return [
            RuledOut(fault=FAULT, because=f"the labels fit the answers as ever but for those given {odd.slice.where}")
        ]
    return [_anywhere(case, found)]


def _from_source(case: Case, found: Attribution) -> Proposal:
    source = shortened(found.source, _MAX_NAME)
    return Proposal(
        fault=FAULT,
        fit=shared(found.quality),
        explains=loss_signals(case),
        headline=f'labels from source "{source}" look wrong: {loss_words(case)}',
        explanation=(
            f'{loss_words(case)}. The errors beyond health are in the labels of source "{source}"; by those of the others the '
            f"model errs as it did. {_rows(found)}"
        ),
        action=f'Take labels of source "{source}" out of training and evaluation, and have its owner check twenty of them.',
        segment={"source": found.source},
        decider=f'twenty cases labelled by "{source}", labelled anew by another source',
    )


def _anywhere(case: Case, found: Attribution) -> Proposal:
    return Proposal(
        fault=FAULT,
        fit=shared(found.quality),
        explains=loss_signals(case),
        headline=f"labels look wrong, also where the model is sure: {loss_words(case)}",
        explanation=f"{loss_words(case)}. {_where(case, found)} Errors follow no input. {_rows(found)}",
        action="Have a person label twenty recent cases anew, those first of which the model was sure.",
        decider="twenty labelled cases read by a person: are the labels right?",
    )


def _where(case: Case, found: Attribution) -> str:
    (sure_was, sure_is), (else_was, else_is) = found.sure, found.unsure
    if not case.labels["actual"].reference.kind.is_coded:
        return (
            f"What the model misses is {number(round(sure_is / max(sure_was, 1e-9), 2))} times as large for any answer."
        )
    return (
        f"Wrong answers where the model is surest: {percent(sure_was)} → {percent(sure_is)}; elsewhere {percent(else_was)} → "
        f"{percent(else_is)}."
    )


def _rows(found: Attribution) -> str:
    return f"Judged by {found.rows} labelled cases."


def turned(actual: str) -> str:
    """The other outcome of the example world."""
    return "good" if actual == "bad" else "bad"


def _by_agency(row: Row, i: int) -> Row:
    """A further source labels every other case, and gets three in four wrong."""
    if i % 2:
        row["label"]["source"] = "agency"
        if scatter(i, 11) < 0.75:
            row["label"]["actual"] = turned(row["label"]["actual"])
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.CONCEPT,
    examine=examine,
    examples=(
        Example("four in ten labels are turned round", turn(lambda y, f, i: turned(y) if scatter(i, 11) < 0.4 else y)),
        Example("a second source labels half of the cases, mostly wrong", _by_agency),
        Example(
            "those with a high income default now",
            turn(lambda y, f, i: "bad" if f["income"] > 50_000 else "good"),
            named=False,
        ),
        Example("one region defaults", turn(lambda y, f, i: "bad" if f["region"] == "us" else y), named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("a second source labels half of the cases, well", lambda row, i: _named(row, i), named=False),
    ),
    runbook=Runbook(
        means="What is called the truth is wrong: the model is measured, and may be retrained, on bad labels.",
        confirm="Read twenty cases that the model was sure of and the label denies: who labelled them, and is the label right?",
        do="Stop training on these labels, repair their source, and label anew what came since.",
        if_wrong="If the labels are right, the world has changed: treat it as a concept drift.",
    ),
    look_alikes=(Fault.CONCEPT_DRIFT, Fault.DEPENDENCE_DRIFT),
)


def _named(row: Row, i: int) -> Row:
    row["label"]["source"] = "agency" if i % 2 else "crm"
    return row
