"""Keys are added, removed, renamed or arrive with another type: a deterministic difference to what the reference knows.

Told apart: a removed and an added key with the same distribution are a rename, and said to be one. A key absent from a part
of the rows is `missing_values`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Column, Floats, Kind, Presence, encode_column, infer_kind
from whydrift.core.faults.inputs import (
    ALL,
    are,
    examined,
    explained,
    listed,
    match_p,
    number,
    percent,
    removed_from,
    shares_p,
)
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, drop, fill
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("schema_change")
_ADDED = 0.02
"""Share of rows from which an unknown key counts."""
_SAME_P = 1e-3
"""Chance above which an added key's values may be the removed one's."""
_MIN_VALUES = 10


@dataclass(frozen=True, slots=True)
class _Rename:
    old: ColumnView
    new: str
    p: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    removed = [view for view in examined(case, "missing", most=ALL) if removed_from(view) is not None]
    added = {name: share for name, (share, _) in case.schema.unknown.items() if share >= _ADDED}
    renames = _renames(case, removed, list(added))
    gone = [view for view in removed if view.name not in {r.old.name for r in renames}]
    new = [name for name in added if name not in {r.new for r in renames}]
    found: list[Proposal | RuledOut] = []
    if renames:
        found.append(_renamed(case, renames))
    if gone:
        found.append(_removed(case, gone))
    if new and _is_schema_alarmed(case):
        found.append(_added(case, new))
    retyped = examined(case, "type", most=ALL)
    if retyped:
        found.append(_retyped(case, retyped))
    return found


def _is_schema_alarmed(case: Case) -> bool:
    evidence = case.world.get("schema")
    return evidence is not None and evidence.is_alarmed


def _schema_signals(case: Case) -> frozenset[str]:
    evidence = case.world.get("schema")
    return frozenset({evidence.signal} if evidence is not None and evidence.is_alarmed else ())


def _renames(case: Case, removed: Sequence[ColumnView], added: Sequence[str]) -> list[_Rename]:
    """Pairs of a removed and an added key, the likeliest first; each key at most once."""
    pairs = []
    for view in removed:
        for name in added:
            p = _match(view, case.schema.unknown[name][1])
            if p >= _SAME_P:
                pairs.append(_Rename(view, name, p))
    pairs.sort(key=lambda pair: (not _alike(pair.old.name, pair.new), -pair.p, pair.old.name, pair.new))
    chosen: list[_Rename] = []
    for pair in pairs:
        if all(pair.old is not other.old and pair.new != other.new for other in chosen):
            chosen.append(pair)
    return chosen


def _alike(old: str, new: str) -> bool:
    """Whether two names differ in case, blanks and punctuation only, or one holds the other."""
    a, b = (("".join(c for c in name.lower() if c.isalnum())) for name in (old, new))
    return a == b or (len(min(a, b, key=len)) >= 3 and (a in b or b in a))


def _match(view: ColumnView, raw: Sequence[object]) -> float:
    """Chance that these values come from the removed column's health; 0.0 for another kind or too few of them."""
    if len(raw) < _MIN_VALUES or infer_kind(raw) is not view.reference.kind:
        return 0.0
    # A column of its own, so that the live vocabulary does not learn the other key's values.
    column = Column(view.name, view.reference.kind, dict(view.column.codes), view.reference.dimension)
    values, presence = encode_column(column, list(raw))
    values = values[presence == Presence.PRESENT]
    if view.reference.kind.is_coded:
        known = np.array([view.column.codes.get(column.category(code), -1.0) for code in values.tolist()])
        return shares_p(view, known) if len(known) and (known >= 0).all() else 0.0
    return _numeric_match(view, values)


def _numeric_match(view: ColumnView, values: Floats) -> float:
    if view.reference.high <= view.reference.low:
        return float(np.isin(values, view.reference.low).all())
    return match_p(values, view.reference)


def _renamed(case: Case, renames: Sequence[_Rename]) -> Proposal:
    pairs = [f"{r.old.name} → {r.new}" for r in renames]
    names = [r.old.name for r in renames]
    worst = min(r.p for r in renames)
    return Proposal(
        fault=FAULT,
        fit=0.99 if all(_alike(r.old.name, r.new) for r in renames) or worst > 0.01 else 0.95,
        explains=explained(case, [r.old for r in renames]) | _schema_signals(case),
        headline=f"{listed(names)} {are(names, 'was', 'were')} renamed: {listed(pairs)}",
        explanation=(
            f"{listed(names)} {are(names, 'is', 'are')} absent from every event, and the new key's values "
            "are distributed as "
            f"in health ({listed(pairs)}; chance of a match as bad: {percent(worst)} or more)."
        ),
        action=f"Send the old name again, or map it in front of the model: {listed(pairs)}.",
        features=tuple(names),
    )


def _removed(case: Case, views: Sequence[ColumnView]) -> Proposal:
    names = [view.name for view in views]
    rows = sum(1 for presence in views[0].current_presence.tolist() if presence == Presence.ABSENT)
    return Proposal(
        fault=FAULT,
        fit=0.98,
        explains=explained(case, views),
        headline=f"{listed(names)} {are(names, 'is', 'are')} no longer sent",
        explanation=f"The key is absent from all of the last {rows} events; no added key has its distribution.",
        action=(
            f"Ask who changed the payload; send {listed(names)} again, or retire the model that needs "
            f"{are(names, 'it', 'them')}."
        ),
        features=tuple(names),
    )


def _added(case: Case, names: Sequence[str]) -> Proposal:
    share, values = case.schema.unknown[names[0]]
    sample = ", ".join(repr(value) for value in values[:3])
    return Proposal(
        fault=FAULT,
        fit=0.95,
        # An added key changes nothing in the model's answers by itself.
        explains=_schema_signals(case),
        headline=f"{listed(names)} {are(names, 'is', 'are')} sent, which the reference does not know",
        explanation=f"{names[0]} is in {percent(share)} of the rows, with values such as {sample}.",
        action=(
            f"Ask who changed the payload; if {are(names, 'it is', 'they are')} meant, accept the incident and "
            "it will be learnt."
        ),
        features=tuple(names),
    )


def _retyped(case: Case, views: Sequence[ColumnView]) -> Proposal:
    names = [view.name for view in views]
    share = views[0].share(Presence.FOREIGN)
    samples = case.schema.foreign.get(names[0], ())
    arrives = _type_of(samples)
    because = f" ({arrives}, such as {samples[0]!r})" if samples else ""
    return Proposal(
        fault=FAULT,
        fit=0.98,
        explains=explained(case, views),
        headline=(
            f"{listed(names)} {are(names, 'arrives', 'arrive')} as {arrives}, not {_kind(views[0].reference.kind)}"
        ),
        explanation=(
            f"{names[0]} has another type than in health in {percent(share)} of the current "
            f"rows{because}.{_still(views[0], samples)}"
        ),
        action=f"Send {listed(names)} with the declared type again.",
        features=tuple(names),
    )


def _kind(kind: Kind) -> str:
    return {
        Kind.NUMERIC: "numbers",
        Kind.CATEGORICAL: "text",
        Kind.BOOLEAN: "true or false",
        Kind.EMBEDDING: "vectors",
    }[kind]


def _type_of(samples: Sequence[object]) -> str:
    kind = infer_kind(samples)
    return "another type" if kind is None else _kind(kind)


def _still(view: ColumnView, samples: Sequence[object]) -> str:
    """Whether text holds the numbers that were sent before."""
    if view.reference.kind is not Kind.NUMERIC or not samples:
        return ""
    try:
        values = np.array([float(str(value)) for value in samples])
    except ValueError:
        return ""
    if len(values) < _MIN_VALUES or _numeric_match(view, values) < _SAME_P:
        return ""
    return f" Read as numbers they match the reference (median {number(float(np.median(values)))})."


def _rename(old: str, new: str, row: Row) -> Row:
    row["features"][new] = row["features"].pop(old)
    return row


def _retype(name: str, row: Row) -> Row:
    row["features"][name] = str(row["features"][name])
    return row


def _add(row: Row, i: int) -> Row:
    row["features"]["postcode"] = str(10_115 + i % 7)
    return row


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCHEMA,
    examine=examine,
    examples=(
        Example("income is no longer sent", drop("income")),
        Example("income and region are no longer sent", drop("income", "region")),
        Example("income is sent as annual_income", lambda row, i: _rename("income", "annual_income", row)),
        Example("region is sent as geo", lambda row, i: _rename("region", "geo", row)),
        Example("income arrives as text", lambda row, i: _retype("income", row)),
        Example("the flag is_new arrives as 0 and 1", lambda row, i: _numbered(row)),
        Example("a key postcode is added", _add),
        Example(
            "income is no longer sent and an unlike key is added", both(drop("income"), lambda row, i: _add(row, i))
        ),
        Example("income is absent from half of the rows", drop("income", share=0.5), named=False),
        Example("income is null in every row", fill(None, "income"), named=False),
    ),
    runbook=Runbook(
        means="The payload changed its shape: a producer was deployed, a field renamed, a serialiser switched.",
        confirm="Compare one raw event from before with one from after the onset.",
        do="Restore the field at the producer, or map it in front of the model.",
        if_wrong=(
            "If the change is meant and the model expects it, accept the incident: the new shape becomes the reference."
        ),
    ),
    look_alikes=(Fault.MISSING_VALUES,),
)


def _numbered(row: Row) -> Row:
    row["features"]["is_new"] = int(row["features"]["is_new"])
    return row
