"""Calls of the model fail more often than in health; the class of error says how.

Told apart: a failed call has no prediction, so missing answers follow from it; answers that are null without a failed call are
`parameter_corruption`. Calls that fail after a time-out are slow: `latency_degradation` only where the others are slow too.
Where inputs broke at the same time, they may be what the model fails on.
"""

import numpy as np

from whydrift.core.case import Case
from whydrift.core.faults.inputs import ALL, examined, listed, percent
from whydrift.core.faults.outputs import alarms_of, has_alarm, lost_answers, settled, shortened
from whydrift.core.faults.paces import odd_pace
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, fail, fill
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("error_surge")
_MAX_NAME = 40


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not has_alarm(case, "errors"):
        return []
    usual, now = sum(case.errors.reference.values()), _share(case)
    if now <= usual:
        because = f"fewer calls fail than in health: {percent(usual)} → {percent(now)}"
        return [RuledOut(fault=FAULT, because=because)]
    suspects = [view.name for view in examined(case, "missing", "type", "unseen", "out_of_range", most=ALL)]
    return [_proposal(case, usual, now, suspects)]


def _share(case: Case) -> float:
    """Share of failed calls since they began: the rows before are from before the onset."""
    failed = np.flatnonzero(case.outputs["errors"].current_values > 0)
    first = int(failed[0]) if len(failed) else 0
    return max(float((case.outputs["errors"].current_values[first:] > 0).mean()), sum(case.errors.current.values()))


def _proposal(case: Case, usual: float, now: float, suspects: list[str]) -> Proposal:
    risen = {name: share - case.errors.reference.get(name, 0.0) for name, share in case.errors.current.items()}
    classes = sorted((name for name in risen if risen[name] > 0), key=lambda name: (-risen[name], name))
    total = sum(case.errors.current.values())
    shares = [
        f"{shortened(name, _MAX_NAME)} {percent(case.errors.current[name] / max(total, 1e-9))}" for name in classes
    ]
    worst = f" with {shortened(classes[0], _MAX_NAME)}" if classes else ""
    alike = "" if len(classes) < 2 else "mostly "
    return Proposal(
        fault=FAULT,
        fit=0.8 if suspects else 0.95,
        explains=_explains(case),
        headline=f"{percent(now)} of the calls fail{',' if alike else ''} {alike}{worst.strip()}, {_usually(usual)}",
        explanation=(
            f"{percent(usual)} → {percent(now)} of the calls fail; of the failed ones: {listed(shares) or 'no class given'}."
            + (f" {listed(suspects)} broke as well: the model may fail on that." if suspects else "")
        ),
        action=f"Read the log of a call that failed{worst}: is it the model, its host, or something it asks?",
        decider=f"the message of one failed call: does it complain of {listed(suspects, 2)}?" if suspects else "",
    )


def _usually(share: float) -> str:
    return f"{percent(share)} in health" if share else "none in health"


def _explains(case: Case) -> frozenset[str]:
    """Failed calls, the answers that they lack, and the time that they took where the others take no longer."""
    odd = odd_pace(case)
    is_theirs = only_failed_calls_differ(case) and not (odd is not None and odd.is_slower and odd.is_clear)
    slow = alarms_of(case, "latency") if is_theirs else frozenset()
    return alarms_of(case, "errors") | lost_answers(case) | slow


def only_failed_calls_differ(case: Case) -> bool:
    """Whether the latency of the calls that succeed shows nothing: the alarm comes from the failed ones."""
    latency, errors = case.outputs.get("latency"), case.outputs.get("errors")
    if latency is None or errors is None or len(latency.current_values) != len(errors.current_values):
        return False
    if not (errors.current_values > 0).any():
        return False
    fine = settled(latency.current_values[(errors.current_values == 0) & ~np.isnan(latency.current_values)])
    if len(fine) < 10:
        return True
    beyond = float((fine > latency.reference.quantile(0.99)).mean())
    return latency.log10_evidence(fine) < 3 and beyond < 0.1


RULE = Rule(
    fault=FAULT,
    rung=Rung.FEED,
    examine=examine,
    examples=(
        Example("a tenth of the calls fails with TimeoutError after two seconds", fail("TimeoutError", 0.1, 2_000.0)),
        Example("every call fails", fail("ConnectionError")),
        Example("3 % of the calls fail with ValueError", fail("ValueError", 0.03)),
        Example("calls fail with two classes of error", both(fail("OSError", 0.2), fail("ValueError", 0.08))),
        Example(
            "scores are null though no call fails",
            lambda row, i: row | {"prediction": {"label": "good", "score": None}} if i % 4 == 0 else row,
            named=False,
        ),
        Example("income is null in every row", fill(None, "income"), named=False),
        Example(
            "calls take ten times as long", lambda row, i: row | {"latency_ms": 10 * row["latency_ms"]}, named=False
        ),
    ),
    runbook=Runbook(
        means="Callers get no answer, or a fallback of their own: the service fails for them.",
        confirm="Which class of error, which replica, since which minute? Does one call repeated by hand fail too?",
        do="Roll back what was deployed last, restart or drain the failing replica, raise time-outs only knowingly.",
        if_wrong="If the class is a refusal by design (invalid requests), have the producer not report it as an error.",
    ),
)
