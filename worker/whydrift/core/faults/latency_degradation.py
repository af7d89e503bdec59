"""The model takes longer to answer: all calls, only the slowest, or those of one replica.

Told apart: faster calls are no degradation, nor is a replica that has become faster than the others. Calls that are slow because
they fail are `error_surge`. More load makes calls slower (`traffic_change`); a model that also answers otherwise may be another
one.
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.error_surge import only_failed_calls_differ
from whydrift.core.faults.inputs import are, chance_of, listed, number, percent
from whydrift.core.faults.outputs import alarms_of, has_alarm, score_has_moved, settled, shortened
from whydrift.core.faults.paces import Pace, odd_pace
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, fail, on_replica, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("latency_degradation")
_NOTABLE = 1.1
"""Ratio of medians from which all calls count as slower."""
_MAX_NAME = 40
_CHANCE = 1e-4
"""Chance, in health, of as many slow calls as there are, below which the tail has grown."""


@dataclass(frozen=True, slots=True)
class _Latency:
    """In milliseconds, in health and now; `slow`: share of calls slower than 99 % were in health."""

    median: tuple[float, float]
    p99: tuple[float, float]
    slow: float
    is_slower: bool
    is_tail: bool


def examine(case: Case) -> list[Proposal | RuledOut]:
    odd = odd_pace(case)
    if odd is None or (odd.are_all and odd.is_slower and _has_alarm(case)):
        return _examine_all(case)
    if not odd.is_clear and only_failed_calls_differ(case):
        return [_only_failed()]
    if odd.is_slower:
        return [_of_replica(case, odd)]
    if _has_alarm(case):
        return _examine_all(case)
    moved = f"{listed(odd.names)} {are(odd.names, 'has', 'have')} become faster"
    return [RuledOut(fault=FAULT, because=f"{moved} than the other replicas, not slower: {_beside(odd)}")]


def _has_alarm(case: Case) -> bool:
    return has_alarm(case, "latency", "distribution", "out_of_range")


def _examine_all(case: Case) -> list[Proposal | RuledOut]:
    if not _has_alarm(case) or not len((view := case.outputs["latency"]).current):
        return []
    found = _measured(view)
    if not found.is_slower and not found.is_tail:
        because = f"calls have become faster, not slower: median {_ms(found.median[0])} → {_ms(found.median[1])}"
        return [RuledOut(fault=FAULT, because=because)]
    if only_failed_calls_differ(case):
        return [_only_failed()]
    return [_proposal(case, found)]


def _only_failed() -> RuledOut:
    return RuledOut(fault=FAULT, because="only the failed calls are slow: the others take as long as in health")


def _measured(view: ColumnView) -> _Latency:
    values, reference = settled(view.current), view.reference
    usual = reference.median, reference.quantile(0.99)
    now = float(np.median(values)), float(np.quantile(values, 0.99))
    return _Latency(
        median=(10 ** usual[0], 10 ** now[0]),
        p99=(10 ** usual[1], 10 ** now[1]),
        slow=float((values > usual[1]).mean()),
        is_slower=10 ** (now[0] - usual[0]) > _NOTABLE,
        is_tail=_has_longer_tail(view.current, reference.quantile(0.95), 0.05)
        or _has_longer_tail(view.current, reference.high, 2 / max(reference.n, 1)),
    )


def _has_longer_tail(values: Floats, limit: float, share: float) -> bool:
    return chance_of(int((values > limit).sum()), len(values), share) < _CHANCE


def _proposal(case: Case, found: _Latency) -> Proposal:
    load = case.arrivals.evidence
    is_loaded = load is not None and load.is_alarmed and _is_more(case)
    answers_otherwise = score_has_moved(case)
    return Proposal(
        fault=FAULT,
        fit=0.6 if is_loaded else 0.8 if answers_otherwise else 0.95,
        explains=alarms_of(case, "latency"),
        headline=_headline(found),
        explanation=(
            f"Median {_ms(found.median[0])} → {_ms(found.median[1])}, 99th percentile {_ms(found.p99[0])} → "
            f"{_ms(found.p99[1])}; {percent(found.slow)} of the calls take longer than 99 % did in health. "
            + ("The answers have changed as well." if answers_otherwise else "The answers are as ever.")
        ),
        action="Look at the replicas' CPU, memory and neighbours, at what the model waits for, and at the last deployment.",
        decider=_decider(is_loaded, answers_otherwise),
    )


def _of_replica(case: Case, odd: Pace) -> Proposal:
    who = listed([shortened(name, _MAX_NAME) for name in odd.names])
    answers_otherwise = score_has_moved(case)
    return Proposal(
        fault=FAULT,
        fit=0.95 if odd.is_clear and not answers_otherwise else 0.8,
        explains=alarms_of(case, "latency"),
        headline=_headline_of_replica(odd, who)[:150],
        explanation=(
            f"At the same time, under the same load: {_beside(odd)}; {percent(odd.slow)} of the calls of {who} take longer than "
            f"99 % of the others' do ({_ms(odd.limit)}). "
            + ("The answers have changed as well." if answers_otherwise else "The answers are as ever.")
        ),
        action=f"Look at the host of {who}: CPU, memory, neighbours, network; take it out of rotation until it is as fast again.",
        replica=odd.names[0] if len(odd.names) == 1 else None,
        decider="the digest of what that replica serves: another model has another latency"
        if answers_otherwise
        else "",
    )


def _headline_of_replica(odd: Pace, who: str) -> str:
    ratio = float(f"{odd.median[1] / odd.median[0]:.3g}")
    if odd.is_tail or ratio <= 1:
        return (
            f"the slowest calls of {who} have become slower: {percent(odd.slow)} take longer than {_ms(odd.limit)}, "
            "1 % on the other replicas"
        )
    return f"calls of {who} take {number(ratio)} times as long as those of the other replicas ({_beside(odd)})"


def _beside(odd: Pace) -> str:
    return f"median {_ms(odd.median[1])}, theirs {_ms(odd.median[0])}"


def _is_more(case: Case) -> bool:
    return (case.arrivals.observed_per_hour or 0.0) > (case.arrivals.expected_per_hour or 0.0)


def _decider(is_loaded: bool, answers_otherwise: bool) -> str:
    if is_loaded:
        return "the latency of one replica at the load of before: if it is as ever, the load is the cause"
    return "the digest of the structure that is served: another model has another latency" if answers_otherwise else ""


def _headline(found: _Latency) -> str:
    if found.is_slower:
        ratio = number(float(f"{found.median[1] / found.median[0]:.2g}"))
        return f"calls take {ratio} times as long: median {_ms(found.median[0])} → {_ms(found.median[1])}"
    return f"the slowest calls have become slower: {percent(found.slow)} take longer than {_ms(found.p99[0])}, 1 % in health"


def _ms(value: float) -> str:
    """Milliseconds, or seconds where that is shorter."""
    if value >= 10_000:
        return f"{number(float(f'{value / 1_000:.3g}'))} s"
    return f"{number(float(f'{value:.3g}'))} ms"


def _slower(times: float, share: float = 1.0) -> Break:
    def breaks(row: Row, i: int) -> Row:
        row["latency_ms"] *= times if scatter(i, 7) < share else 1.0
        return row

    return breaks


RULE = Rule(
    fault=FAULT,
    rung=Rung.FEED,
    examine=examine,
    examples=(
        Example("calls take four times as long", _slower(4)),
        Example("calls take half as long again", _slower(1.5)),
        Example("calls take ever longer", lambda row, i: row | {"latency_ms": row["latency_ms"] * (1 + i / 200)}),
        Example("3 % of the calls take twenty times as long", _slower(20, 0.03)),
        Example("calls of pod-2 take half as long again", on_replica("pod-2", _slower(1.5))),
        Example("calls take a quarter of the time", _slower(0.25), named=False),
        Example("calls of pod-3 take half of the time", on_replica("pod-3", _slower(0.5)), named=False),
        Example("failed calls take two seconds", fail("TimeoutError", 0.15, 2_000.0), named=False),
    ),
    runbook=Runbook(
        means="Answers come late; callers may give up, retry (which adds load) or fall back.",
        confirm="Is it every replica or one? The model's own time, or a feature store, a database, the network?",
        do="Scale out or take the slow replica out; roll back if it began with a deployment; shed load before callers retry.",
        if_wrong="If a slower model was put in on purpose, accept the incident.",
    ),
)
