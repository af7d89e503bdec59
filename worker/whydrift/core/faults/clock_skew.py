"""A producer's clock is wrong: its events are dated ahead of, or behind, those that arrive beside them.

Told apart: the difference is (nearly) the same for all events of one replica, and the others' are in order; events that are late
now and then, whoever sends them, are delivered late, and no clock is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import Mask, listed, percent
from whydrift.core.faults.outputs import alarms_of
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("clock_skew")
_NEIGHBOURS = 15
"""Rows on each side that tell what time it is."""
_MIN_ROWS = 40
_LEAST_S = 5.0
_GAPS = 20.0
"""Multiples of the middle distance to the neighbours from which an event is out of its time."""
_OTHERS = 0.1
"""Part of the disorder that may be left without the skewed replica."""
_MIN_ITS = 8
_SAME = 0.25
"""How far the differences may scatter, in parts of their middle."""
_SURE, _NO_REPLICA = 0.95, 0.6


@dataclass(frozen=True, slots=True)
class _Skew:
    seconds: float
    replicas: tuple[str, ...]
    share: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    backwards = case.world.get("backwards")
    if backwards is None or not backwards.is_alarmed:
        return []
    rows = case.answered.current
    if len(rows) < _MIN_ROWS:
        return []
    times_s = rows.times_ms.astype(float) / 1_000
    groups = rows.dimensions["replica"].groups() if "replica" in rows.dimensions else {}
    found = _of_a_replica(times_s, groups) if len(groups) > 1 else _of_some_events(times_s)
    return [found if isinstance(found, RuledOut) else _proposal(case, found)]


def _of_a_replica(times_s: Floats, groups: Mapping[str, Mask]) -> _Skew | RuledOut:
    """The replica without which the others are in order, and which is off by one span."""
    for name, its in sorted(groups.items()):
        rest = times_s[~its]
        if its.sum() < _MIN_ITS or len(rest) < _MIN_ITS or _disorder(rest) > _OTHERS * _disorder(times_s):
            continue
        places = np.arange(len(times_s), dtype=float)
        ahead_s = times_s[its] - np.interp(places[its], places[~its], rest)
        # Most rows may be from before the onset, which is told by a clock: what is wrong now is wrong in the latest.
        late = ahead_s[-max(_MIN_ITS, len(ahead_s) // 4) :]
        middle, scattered = float(np.median(late)), float(np.subtract(*np.quantile(late, [0.75, 0.25])))
        if abs(middle) >= _LEAST_S and scattered <= _SAME * abs(middle):
            return _Skew(middle, (name,), float(its.mean()))
    return RuledOut(
        fault=FAULT, because="no one replica is off by the same span all the time: events are delivered late"
    )


def _disorder(times_s: Floats) -> float:
    """Seconds by which events are older than one before them, on average."""
    return float((np.maximum.accumulate(times_s) - times_s).mean())


def _of_some_events(times_s: Floats) -> _Skew | RuledOut:
    """Where nobody knows who sent what."""
    ahead_s = _ahead_s(times_s)
    typical = float(np.median(np.abs(ahead_s)))
    off: Mask = np.abs(ahead_s) > max(_LEAST_S, _GAPS * typical)
    if not off.any():
        return RuledOut(fault=FAULT, because="no event is far from its time")
    middle = float(np.median(ahead_s[off]))
    if float(np.subtract(*np.quantile(ahead_s[off], [0.75, 0.25]))) > _SAME * abs(middle) + 2 * typical:
        return RuledOut(fault=FAULT, because="events are out of their time by very different spans")
    return _Skew(middle, (), float(off.mean()))


def _ahead_s(times_s: Floats) -> Floats:
    """How far each event is ahead of the events that arrive around it, in seconds: (rows,)."""
    n, width = len(times_s), 2 * _NEIGHBOURS + 1
    # At the ends the window stays inside: a row counted twice could make its own time the usual one.
    first = np.clip(np.arange(n) - _NEIGHBOURS, 0, n - width)
    places = first[:, None] + np.arange(width)[None, :]
    found: Floats = times_s - np.median(times_s[places], axis=1)
    return found


def _proposal(case: Case, skew: _Skew) -> Proposal:
    who = listed(skew.replicas) if skew.replicas else f"a producer ({percent(skew.share)} of the events)"
    way = "ahead" if skew.seconds > 0 else "behind"
    delays = alarms_of(case, "label_delay")
    rates = {r.evidence.signal for r in (case.arrivals, case.label_arrivals) if r.evidence and r.evidence.is_alarmed}
    return Proposal(
        fault=FAULT,
        fit=_SURE if skew.replicas else _NO_REPLICA,
        explains=frozenset({"backwards"} | delays | rates),
        headline=f"the clock of {who} is {_span(abs(skew.seconds))} {way}"[:150],
        explanation=(
            f"Events of {who} are dated {_span(abs(skew.seconds))} {way} of those that arrive beside them, all alike. "
            f"{_zone(skew.seconds)}What is reckoned by event time (delays of labels, rates) is wrong for them."
        ),
        action=f"Look at the clock and the time zone of {who}: NTP, TZ, a local time written as UTC.",
        replica=skew.replicas[0] if len(skew.replicas) == 1 else None,
        decider="" if skew.replicas else "which host sends the events that are out of time",
    )


def _span(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 0.95 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {name}"
    return f"{seconds:.0f} s"


def _zone(seconds: float) -> str:
    hours = abs(seconds) / 3_600
    is_zone = 0.4 < hours < 14.5 and abs(hours * 2 - round(hours * 2)) < 0.1
    return "A whole number of (half) hours points to a time zone. " if is_zone else ""


def _dated(replica: str, by_ms: int, row: Row) -> Row:
    return row | {"timestamp": row["timestamp"] + by_ms} if row["replica"] == replica else row


RULE = Rule(
    fault=FAULT,
    rung=Rung.FEED,
    examine=examine,
    examples=(
        Example("pod-2 is an hour behind", lambda row, i: _dated("pod-2", -3_600_000, row)),
        Example("pod-1 is five minutes behind", lambda row, i: _dated("pod-1", -300_000, row)),
        Example(
            "some events are a minute late",
            lambda row, i: row | {"timestamp": row["timestamp"] - (60_000 if scatter(i, 5) < 0.2 else 0)},
            named=False,
        ),
    ),
    runbook=Runbook(
        means="A host's clock or time zone is wrong: its events are dated ahead of or behind everybody else's.",
        confirm="Run `date -u` on the host, and compare with another one.",
        do="Mend the clock (NTP, TZ, local time written as UTC); events so far keep their wrong dates.",
        if_wrong="If events are held back and sent late, look at the producer's queue instead.",
    ),
)
