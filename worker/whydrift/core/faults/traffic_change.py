"""Predictions arrive far more or far less often than of late, or not at all.

Told apart: a replay brings more events, but the same ones (`duplicate_events`). Season and planned ramps stay within the
tolerance that the rate is judged with. Labels that cease while predictions flow are `label_feed_stopped`.
"""

from whydrift.core.case import Case
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.outputs import alarms_of
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, fail, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("traffic_change")
_STOPPED = 0.02
"""Part of the expected rate below which the stream counts as stopped."""
_TOLERANCE = 2.5
"""As of the rate's guard (detectors/rate.py): health reaches this far up and down."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    arrivals = case.arrivals
    if arrivals.evidence is None or not arrivals.evidence.is_alarmed:
        return []
    expected, observed = arrivals.expected_per_hour or 0.0, arrivals.observed_per_hour or 0.0
    is_surge = observed > expected
    duplicates = case.world.get("duplicates")
    if not is_surge or duplicates is None or not duplicates.is_alarmed:
        return [_proposal(case, expected, observed, 0.95)]
    repeated = duplicates.current_share or 0.0
    if observed * (1 - repeated) <= _TOLERANCE * expected:
        because = f"more events arrive because they repeat: {percent(repeated)} of them came before"
        return [RuledOut(fault=FAULT, because=because)]
    return [_proposal(case, expected, observed, 0.4)]


def _proposal(case: Case, expected: float, observed: float, fit: float) -> Proposal:
    is_surge = observed > expected
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=_explains(case, is_surge),
        headline=_headline(expected, observed),
        explanation=(
            f"{number(round(observed))} predictions an hour arrived in the last full interval; of late it were "
            f"{number(round(expected))} an hour."
        ),
        action=(
            "Ask who calls so much more: a new client, a retry loop, a batch job; watch latency and errors."
            if is_surge
            else "Look whether callers, the gateway or a producer's partition are down: are calls missing, or only events?"
        ),
        decider="" if fit > 0.5 else "the number of different event ids an hour, against that of last week",
    )


def _explains(case: Case, is_surge: bool) -> frozenset[str]:
    """Fewer predictions have fewer labels; more load makes calls slower, and most labels that came so far are the quick ones."""
    signals = {case.arrivals.evidence.signal} if case.arrivals.evidence is not None else set()
    if is_surge:
        return frozenset(signals | alarms_of(case, "latency", "label_delay"))
    labels = case.label_arrivals.evidence
    return frozenset(signals | ({labels.signal} if labels is not None and labels.is_alarmed else set()))


def _headline(expected: float, observed: float) -> str:
    usual = f"{number(round(expected))} an hour"
    if observed <= _STOPPED * expected:
        return f"predictions have all but stopped: {number(round(observed))} an hour instead of {usual}"
    if observed > expected:
        factor = f"{number(round(observed / max(expected, 1e-9), 1))} times as many predictions as usual"
        return f"{factor}: {number(round(observed))} an hour instead of {usual}"
    return f"only {percent(observed / expected)} of the usual predictions arrive: {number(round(observed))} instead of {usual}"


class _Compressed:
    """Lets the same rows arrive this many times faster."""

    def __init__(self, times: int, repeats: int = 1) -> None:
        self.times = times
        self.repeats = repeats

    def __call__(self, row: Row, i: int) -> Row | list[Row] | None:
        if i == 0:
            self._start_ms = row["timestamp"]
        early_ms = (row["timestamp"] - self._start_ms) * (self.times - 1) // self.times
        row["timestamp"] -= early_ms
        row["label"]["timestamp"] -= early_ms
        return row if self.repeats == 1 else [dict(row) for _ in range(self.repeats)]


RULE = Rule(
    fault=FAULT,
    rung=Rung.FEED,
    examine=examine,
    examples=(
        Example("eight times as many calls", _Compressed(8)),
        Example("nine in ten events are lost", lambda row, i: row if scatter(i, 5) < 0.1 else None),
        Example("hardly any event comes", lambda row, i: row if i % 120 == 119 else None),
        Example(
            "every other call is missing, as at night, and a fifth of the rest fails",
            both(lambda row, i: row if i % 2 else None, fail("OSError", 0.2)),
            named=False,
        ),
        Example("every event comes eight times", _Compressed(1, repeats=8), named=False),
        Example("no label comes", lambda row, i: row | {"label": None}, named=False),
    ),
    runbook=Runbook(
        means="Callers, the gateway or the producer of events changed: more or fewer cases are seen than of late.",
        confirm="Compare with the service's own request count: if that is as ever, events are lost on the way here.",
        do="Repair the producer or the caller; scale out if the load is real; hold back conclusions from the few events.",
        if_wrong="If the load is planned, accept the incident: the new rate becomes what is expected.",
    ),
)
