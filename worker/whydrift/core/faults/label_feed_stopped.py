"""Labels cease, thin out or lag while predictions flow: nobody knows any more whether the model is right.

Told apart: fewer predictions have fewer labels (`traffic_change`). A loss that moves with it may come from which labels are
still there, so verdicts that need labels wait. Labels that come sooner, or catch up, are no fault.
"""

import numpy as np

from whydrift.core.case import Case
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.outputs import alarms_of, has_guard, loss_onset_ms, settled
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.selection import selection
from whydrift.core.faults.sketches import scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("label_feed_stopped")
_STOPPED = 0.02
"""Part of the expected rate below which labels count as stopped."""
_FIT_OF_SELECTION = 0.3
_LATER, _TAIL = 1.5, 0.02
"""Growth of the median delay, and share beyond the slowest hundredth of health, from which labels are late."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    feed = case.label_arrivals.evidence
    if feed is not None and feed.is_alarmed:
        arrivals = case.arrivals
        if arrivals.evidence is not None and arrivals.evidence.is_alarmed and _is_fewer(case):
            return [RuledOut(fault=FAULT, because="fewer predictions arrive, so fewer labels follow")]
        # Late ones are missing too, while they are awaited.
        late = _late(case)
        is_late = any(isinstance(one, Proposal) for one in late) and not _has_stopped(case)
        return late if is_late else [_ceased(case)]
    return _late(case)


def _is_fewer(case: Case) -> bool:
    return (case.arrivals.observed_per_hour or 0.0) < (case.arrivals.expected_per_hour or 0.0)


def _has_stopped(case: Case) -> bool:
    return (case.label_arrivals.observed_per_hour or 0.0) <= _STOPPED * (case.label_arrivals.expected_per_hour or 0.0)


def _ceased(case: Case) -> Proposal:
    expected = case.label_arrivals.expected_per_hour or 0.0
    observed = case.label_arrivals.observed_per_hour or 0.0
    usual = f"{number(round(observed))} an hour instead of {number(round(expected))}"
    says = (
        "labels have stopped"
        if _has_stopped(case)
        else f"only {percent(observed / expected)} of the usual labels arrive"
    )
    return Proposal(
        fault=FAULT,
        # Where one outcome is lacking and the others come as ever, that is the better name (`biased_labels`).
        fit=0.95 if selection(case) is None else _FIT_OF_SELECTION,
        explains=_explains(case),
        headline=f"{says}: {usual}, while predictions flow",
        explanation=(
            f"Labels: {usual}; predictions: {number(round(case.arrivals.observed_per_hour or 0.0))} an hour, usual "
            f"{number(round(case.arrivals.expected_per_hour or 0.0))}. Until labels are back, the loss tells nothing new."
        ),
        action="Look at the job that sends labels: does it run, can it read its source, does it write to the right topic?",
    )


def _late(case: Case) -> list[Proposal | RuledOut]:
    """Labels that come, but later than they used to."""
    delay = case.labels.get("label_delay")
    if delay is None or not delay.is_alarmed("distribution", "out_of_range") or not len(delay.current):
        return []
    now = float(np.median(settled(delay.current)))
    usual = delay.reference.median
    tail = float((settled(delay.current) > delay.reference.quantile(0.99)).mean())
    is_part = 10 ** (now - usual) < _LATER
    if is_part and tail < _TAIL:
        because = f"labels come sooner than they used to, or hardly later: {_time(usual)} → {_time(now)}"
        return [RuledOut(fault=FAULT, because=because)]
    says = f"{percent(tail)} of the labels come late" if is_part else "labels come late"
    return [
        Proposal(
            fault=FAULT,
            fit=0.85,
            explains=_explains(case),
            headline=f"{says}: half of them after {_time(now)} or more, {_time(usual)} in health",
            explanation=(
                f"Median delay of labels {_time(usual)} → {_time(now)}; {percent(tail)} take longer than 99 % did in health. "
                "The loss shows the past until they catch up."
            ),
            action="Look at the job that sends labels: is it behind, was its schedule changed, does it catch up?",
        )
    ]


def _explains(case: Case) -> frozenset[str]:
    """The feed's own alarms, and those of outcomes and loss where they began with it: the labels that come are a selection."""
    feed = case.label_arrivals.evidence
    own = {feed.signal} if feed is not None and feed.is_alarmed else set()
    own |= alarms_of(case, "label_delay")
    onset_ms = min((s.onset_ms for s in case.alarmed if s.signal in own), default=case.onset_ms)
    if loss_onset_ms(case) < onset_ms:
        return frozenset(own)
    guards = (
        {s.signal for s in case.guards if s.is_alarmed and s.column == "loss"} if has_guard(case, "loss") else set()
    )
    return frozenset(own | alarms_of(case, "loss", "actual") | guards)


def _time(log10_s: float) -> str:
    """A delay as people say it: 40 s, 3 min, 2.5 h, 4 days."""
    seconds = 10.0**log10_s
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{number(float(f'{seconds / size:.2g}'))} {unit}"
    return f"{number(float(f'{seconds:.2g}'))} s"


RULE = Rule(
    fault=FAULT,
    rung=Rung.LABEL_FEED,
    examine=examine,
    examples=(
        Example("no label comes any more", lambda row, i: row | {"label": None}),
        Example("one label in twenty comes", lambda row, i: row if i % 20 == 0 else row | {"label": None}),
        Example("labels take three times as long", lambda row, i: _delayed(row, 3)),
        Example("labels take two hours", lambda row, i: _delayed(row, 120)),
        Example(
            "a third of the labels takes eight times as long", lambda row, i: _delayed(row, 8 if i % 3 == 0 else 1)
        ),
        Example("labels come sooner", lambda row, i: _delayed(row, 0.2), named=False),
        Example("nine in ten events are lost", lambda row, i: row if scatter(i, 5) < 0.1 else None, named=False),
        Example("the outcomes turn round", lambda row, i: _turned(row), named=False),
    ),
    runbook=Runbook(
        means="What came true no longer reaches the monitoring: a failing model would go unnoticed until labels are back.",
        confirm="When was the newest label sent, by the source's own log? Do its event ids still match those of predictions?",
        do="Restart or repair the label job and let it catch up; until then rely on what is judged without labels.",
        if_wrong="If labels come in batches by design, accept the incident, or compare by the batch's period.",
    ),
)


def _delayed(row: Row, times: float) -> Row:
    row["label"]["timestamp"] = row["timestamp"] + int(times * (row["label"]["timestamp"] - row["timestamp"]))
    return row


def _turned(row: Row) -> Row:
    row["label"]["actual"] = "good" if row["label"]["actual"] == "bad" else "bad"
    return row
