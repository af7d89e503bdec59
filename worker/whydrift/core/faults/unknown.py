"""Alarms that no fault of the catalogue explains: said as such, never forced into a name.

It answers only where something is left: alarms that another rule proposes to explain are that rule's, however low its fit.
"""

from whydrift.core.case import Case, SignalEvidence
from whydrift.core.faults import rules
from whydrift.core.faults.inputs import are, listed, number
from whydrift.core.faults.outputs import shortened
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, fail, scatter
from whydrift.core.replicas import PREFIX
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("unknown")
_FIT = 0.1
"""Any real explanation beats it."""
_NAMES = {
    "prediction": "the score",
    "decision": "the decision",
    "residual": "the score given the inputs",
    "standardised_residual": "how far the score is from what the inputs make expect",
    "combinations": "which values of inputs come together",
    "latency": "the latency",
    "errors": "the share of failed calls",
    "contradiction": "what is decided at the same score",
    "actual": "the outcome in the labels",
    "label_delay": "the delay of labels",
    "loss": "the loss",
    "arrivals": "the rate of predictions",
    "label_arrivals": "the rate of labels",
    "duplicates": "the share of repeated events",
    "schema": "the set of keys",
    "backwards": "the order of event times",
    "parameters": "the model's own description",
}


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not case.alarmed:
        return []
    explained: set[str] = set()
    for rule in rules():
        if rule.fault != FAULT:
            explained.update(*(one.explains for one in rule.examine(case) if isinstance(one, Proposal)))
    left = [signal for signal in case.alarmed if signal.signal not in explained]
    return [_proposal(case, left)] if left else []


def _proposal(case: Case, left: list[SignalEvidence]) -> Proposal:
    columns = list(dict.fromkeys(signal.column for signal in left))
    names = [_named(case, column) for column in columns]
    seen = [f"{one.signal} (10^{number(round(one.log10_e, 1))} to 1{_shares(one)})" for one in left]
    return Proposal(
        fault=FAULT,
        fit=_FIT,
        explains=frozenset(signal.signal for signal in left),
        headline=f"{listed(names)} {are(names, 'has', 'have')} changed, and no known fault explains it",
        explanation=f"Evidence against health: {listed(seen)}. No fault of the catalogue leaves this.",
        action="Look at these signals on the dashboard since the onset, and at what was deployed or changed then.",
        features=tuple(column for column in columns if column in case.features),
    )


def _named(case: Case, column: str) -> str:
    """A column in words; an input's name as it is, cut where it is very long."""
    if column in case.features:
        return column if len(column) <= 40 else column[:39] + "…"
    if column.startswith(PREFIX):
        return f"{shortened(column.removeprefix(PREFIX), 40)} beside the other replicas"
    return _NAMES.get(column, column)


def _shares(signal: SignalEvidence) -> str:
    if signal.reference_share is None or signal.current_share is None:
        return ""
    return f", share {number(round(signal.reference_share, 4))} → {number(round(signal.current_share, 4))}"


RULE = Rule(
    fault=FAULT,
    rung=Rung.UNKNOWN,
    examine=examine,
    examples=(
        Example(
            "some events are a minute late",
            lambda row, i: row | {"timestamp": row["timestamp"] - (60_000 if scatter(i, 5) < 0.2 else 0)},
        ),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("a fifth of the calls fails", fail("OSError", 0.2), named=False),
    ),
    runbook=Runbook(
        means="Something differs from health beyond chance, but in no way that the catalogue knows.",
        confirm="Open the model's dashboard at the onset: which signals moved first, in which replica or segment?",
        do="Compare with the log of deployments and of upstream changes; treat it as a fault until somebody can say why not.",
        if_wrong="If the change is meant or harmless, accept the incident: it becomes the reference.",
    ),
)
