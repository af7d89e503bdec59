"""A feature is null, or its key absent, more often than in health.

Told apart: absent in every event is a removed key (`schema_change`); nulls that come with a category which always had them
are a change of the mix, so the rate must move *within* categories. Features missing in the same rows have one source.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Presence
from whydrift.core.faults.inputs import ALL, Mask, are, examined, explained, listed, overlapping, percent, removed_from
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import drop, fill
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("missing_values")
_MIX_SHARE = 0.7
"""Part of the rise that a change of the mix must account for to be its cause."""
_MIN_RATE_ROWS = 5


@dataclass(frozen=True, slots=True)
class _Missing:
    view: ColumnView
    rows: Mask
    share: float
    """Since the first row that health would not explain."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[_Missing] = []
    no: list[Proposal | RuledOut] = []
    moved = [view for view in case.alarmed_features("distribution") if view.reference.kind.is_coded]
    for view in examined(case, "missing", most=ALL):
        if removed_from(view) is not None:
            no.append(RuledOut(fault=FAULT, because=f"{view.name} is absent from every event: the key was removed"))
        elif (mix := _mix(view, moved)) is not None:
            no.append(RuledOut(fault=FAULT, because=mix))
        elif _usual(view) < _rows(view).mean():
            found.append(_Missing(view, _rows(view), _share_since(view)))
    return [*(_proposal(case, group) for group in overlapping(found, lambda one: one.rows)), *no]


def _rows(view: ColumnView) -> Mask:
    rows: Mask = (view.current_presence == Presence.NULL) | (view.current_presence == Presence.ABSENT)
    return rows


def _usual(view: ColumnView) -> float:
    return (view.reference.null + view.reference.absent) / max(view.reference.rows, 1)


def _share_since(view: ColumnView) -> float:
    """Share from the cut at which the rows stop looking like health: the rows before it are from before the onset."""
    rows = _rows(view)
    excess = rows - (_usual(view) + rows.mean()) / 2
    first = int(np.argmax(np.cumsum(excess[::-1])[::-1]))
    return float(rows[first:].mean())


def _mix(view: ColumnView, moved: Sequence[ColumnView]) -> str | None:
    """The category whose greater share explains the nulls, in words; None where the rate moved within categories."""
    missing = _rows(view)
    before = (view.reference_presence == Presence.NULL) | (view.reference_presence == Presence.ABSENT)
    rise = float(missing.mean()) - _usual(view)
    for other in moved:
        if len(other.reference_values) != len(before):
            continue
        expected = _rate_by_category(other, before)
        if expected is None:
            continue
        explained_rise = float(
            np.mean([expected.get(code, _usual(view)) for code in other.current_values.tolist()])
        ) - _usual(view)
        if explained_rise >= _MIX_SHARE * rise:
            return f"{view.name} is missing as often as ever within each {other.name}: the shares of {other.name} moved"
    return None


def _rate_by_category(other: ColumnView, missing: Mask) -> dict[float, float] | None:
    """Share of missing in health by the other column's code; None where no category was often missing."""
    rates = {}
    for code in np.unique(other.reference_values[~np.isnan(other.reference_values)]).tolist():
        rows = other.reference_values == code
        if rows.sum() >= _MIN_RATE_ROWS:
            rates[code] = float(missing[rows].mean())
    return rates if rates and max(rates.values()) > 0.1 else None


def _proposal(case: Case, group: list[_Missing]) -> Proposal:
    views = [one.view for one in group]
    names = [view.name for view in views]
    share = float(np.mean([one.share for one in group]))
    absent = views[0].share(Presence.ABSENT) > views[0].share(Presence.NULL)
    where = "in all rows" if share > 0.99 else f"in {percent(share)} of the rows"
    how = "absent" if absent else "null"
    together = f" They are missing in the same rows: one source feeds all {len(names)}." if len(names) > 1 else ""
    return Proposal(
        fault=FAULT,
        fit=0.97 if not absent or share < 0.9 else 0.9,
        explains=explained(case, views),
        headline=f"{listed(names)} {are(names, 'is', 'are')} missing ({how}) {where}",
        explanation=(
            f"{views[0].name} is null in {percent(views[0].share(Presence.NULL))} and absent in "
            f"{percent(views[0].share(Presence.ABSENT))} "
            f"of the current rows; in health {percent(_usual(views[0]))} were missing.{together}"
        ),
        action=f"Look at the source of {listed(names)}: does its query or look-up fail, or time out?",
        features=tuple(names),
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("income is null in every row", fill(None, "income")),
        Example("income is null in 3 % of the rows", fill(None, "income", share=0.03)),
        Example("region is null in a tenth of the rows", fill(None, "region", share=0.1)),
        Example(
            "income, balance and age are absent from half of the rows", drop("income", "balance", "age", share=0.5)
        ),
        Example("the constant limit is null in a third of the rows", fill(None, "limit", share=0.33)),
        Example("income is absent from every row", drop("income"), named=False),
        Example("income is −1 where it is not known", fill(-1, "income", share=0.33), named=False),
        Example("region is an empty string in a tenth of the rows", fill("", "region", share=0.1), named=False),
        Example("income arrives as text", lambda row, i: _as_text(row), named=False),
    ),
    runbook=Runbook(
        means=(
            "The source of the feature fails, times out or lost a join; the model falls back to whatever it "
            "does without the value."
        ),
        confirm=(
            "Which rows lack it: one replica, one customer group, one upstream version? Query the source for "
            "one of them."
        ),
        do="Repair the source or its time-out; decide by rule or by hand where the feature matters most until then.",
        if_wrong="If the value became optional on purpose, accept the incident.",
    ),
    look_alikes=(Fault.SCHEMA_CHANGE,),
)


def _as_text(row: dict[str, object]) -> dict[str, object]:
    features = row["features"]
    assert isinstance(features, dict)
    features["income"] = str(features["income"])
    return row
