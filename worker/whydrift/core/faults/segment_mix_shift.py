"""The shares of segments moved, and within each segment everything is as ever (Simpson's paradox undone).

Told apart: health, weighted so that its segments have the shares of today, looks like what is seen; what the weights do not
explain has moved *within* segments, and is something else.
"""

from collections.abc import Mapping

import numpy as np

from whydrift.core.case import Case, ColumnView, Dimension
from whydrift.core.columns import Floats
from whydrift.core.dimensions import SEGMENT
from whydrift.core.faults.inputs import dragged, examined, graded, listed, percent
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("segment_mix_shift")
_FIT = 0.93
_MIN_ROWS = 30
_MOSTLY_NEW = 0.5
"""Part of what the shares moved by, from which it is the new values that moved them."""
_SAME = 0.5
"""Goodness of fit from which an input counts as explained by the mix."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in case.segments.values():
        if view.is_alarmed("distribution", "unseen"):
            found += _judge(case, view)
    return sorted(found, key=lambda one: -one.fit if isinstance(one, Proposal) else 1.0)


def _judge(case: Case, view: ColumnView) -> list[Proposal | RuledOut]:
    before, now = (rows.dimensions.get(view.name) for rows in (case.answered.reference, case.answered.current))
    if before is None or now is None or min(len(before.codes), len(now.codes)) < _MIN_ROWS:
        return []
    later = len(now.codes) // 3  # the first rows may be from before the onset
    weights = _weights(before, Dimension(now.codes[later:], now.names))
    if weights is None:
        return [RuledOut(fault=FAULT, because=f"{_key(view)} has values of which health knows nothing")]
    new = _new(view)
    if case.alarmed_features("unseen") and (_are_most(view, new) or not view.is_alarmed("distribution")):
        new_one = next(iter(new), "")
        return [RuledOut(fault=FAULT, because=f"{_key(view)} has new values ({new_one}), which take the others' share")]
    moved = examined(case, "distribution", "out_of_range")
    fits = {one.name: _explained(case, one, weights, later) for one in moved}
    within = [one.name for one in moved if fits[one.name] < _SAME]
    if len(within) > len(moved) / 2:
        return [RuledOut(fault=FAULT, because=f"{listed(within)} moved within the segments of {_key(view)}, too")]
    return [_proposal(case, view, [one for one in moved if one.name not in within], fits)]


def _new(view: ColumnView) -> dict[str, float]:
    """Share of each value that health does not know, the most frequent first."""
    return {name: share for name, share in view.categories().items() if name not in view.reference.shares}


def _are_most(view: ColumnView, new: Mapping[str, float]) -> bool:
    """Whether new values make up most of what has moved."""
    was, now = view.reference.shares, view.categories()
    moved = sum(abs(now.get(name, 0.0) - was.get(name, 0.0)) for name in {*was, *now}) / 2
    return bool(new) and sum(new.values()) > _MOSTLY_NEW * moved


def _weights(before: Dimension, now: Dimension) -> Floats | None:
    """For each row of health: how often such a segment comes today for each time it came then. None where most is new."""
    then, today = before.groups(), now.groups()
    known = sum(float(mask.mean()) for name, mask in today.items() if name in then)
    if known < 0.5:
        return None
    weights = np.zeros(len(before.codes))
    for name, mask in then.items():
        weights[mask] = float(today[name].mean()) / float(mask.mean()) if name in today else 0.0
    return weights if weights.sum() > 0 else None


def _explained(case: Case, view: ColumnView, weights: Floats, later: int) -> float:
    """How well weighted health looks like the later rows of an input, 0 to 1."""
    before = case.answered.reference.inputs[view.name]
    now = case.answered.current.inputs[view.name][later:]
    kept, now = ~np.isnan(before), now[~np.isnan(now)]
    before, weights = before[kept], weights[kept]
    if len(before) < _MIN_ROWS or len(now) < _MIN_ROWS or weights.sum() <= 0:
        return 1.0
    # Weighted rows tell less: their effective number (Kish).
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    grid = np.unique(np.concatenate([before, now]))
    order = np.argsort(before)
    cumulated = np.append(0.0, np.cumsum(weights[order])) / weights.sum()
    healthy = cumulated[np.searchsorted(before[order], grid, "right")]
    seen = np.searchsorted(np.sort(now), grid, "right") / len(now)
    distance = float(np.abs(healthy - seen).max())
    n = effective * len(now) / (effective + len(now))
    # Two-sided Dvoretzky–Kiefer–Wolfowitz bound: holds for codes and ties as well.
    return graded(min(1.0, 2 * float(np.exp(-2 * n * distance**2))))


def _key(view: ColumnView) -> str:
    return view.name.removeprefix(SEGMENT)


def _proposal(case: Case, view: ColumnView, inputs: list[ColumnView], fits: Mapping[str, float]) -> Proposal:
    key, was, now = _key(view), view.reference.shares, view.categories()
    grown = max(sorted({*was, *now}), key=lambda name: now.get(name, 0.0) - was.get(name, 0.0))
    change_says = f'"{grown[:30]}" {percent(was.get(grown, 0.0))} → {percent(now.get(grown, 0.0))}'
    names = [one.name for one in inputs]
    follows = f" What is seen of {listed(names)} follows from it." if names else ""
    own = {s.signal for one in (view, *inputs) for s in one.signals.values() if s.is_alarmed}
    # Segments that go together move together.
    own |= {s.signal for one in case.segments.values() for s in one.signals.values() if s.is_alarmed}
    labels = (
        {s.signal for s in case.labels["actual"].signals.values() if s.is_alarmed} if "actual" in case.labels else set()
    )
    return Proposal(
        fault=FAULT,
        fit=_FIT * min([1.0, *(fits[name] for name in names)]),
        explains=frozenset(own | labels | dragged(case)),
        headline=f"the mix of {key[:40]} has shifted: {change_says}",
        explanation=(
            f"Shares of {key} moved ({change_says}). Health weighted to today's shares looks like what is seen: within segments "
            f"nothing changed.{follows}"
        ),
        action=f"Ask what brought more of {key} {grown[:40]!r} (a campaign, a market, a routing); the pipeline is not broken.",
        features=tuple(names),
        segment={key: grown},
        decider="" if not names else f"the distribution of {names[0]} within one segment, before and since",
    )


def _us_to_latam(region: str, i: int) -> str:
    return "latam" if region == "us" and scatter(i, 33) < 0.6 else region


def _from_asia(row: Row, i: int) -> Row:
    """Two rows in five come from another market instead; what its customers are like stays."""
    if scatter(i, 31) < 0.4:
        row["features"]["region"], row["segment"], row["label"]["actual"] = "apac", {"market": "asia"}, None
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.MIX,
    examine=examine,
    examples=(
        Example("many more customers come from one market", _from_asia),
        Example("customers move within their market", change(_us_to_latam, "region", world=True), named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
    ),
    runbook=Runbook(
        means="Other segments make up the traffic than before; within each of them the model sees what it always saw.",
        confirm="Compare inputs and answers within one segment, before and after the onset: they agree.",
        do="Nothing in the pipeline; tell the owner of the model: overall metrics move with the mix.",
        if_wrong="If inputs moved within segments as well, look for a fault in their source.",
    ),
    look_alikes=(Fault.COVARIATE_DRIFT, Fault.LABEL_SHIFT),
)
