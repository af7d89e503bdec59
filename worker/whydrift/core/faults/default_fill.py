"""Missing values are filled with a default before they reach the model: one value gains mass it never had.

Told apart: take the value's rows out and the rest matches the reference. A value that a source is stuck at is one the column
really has (`stale_feature`); a fill is a sentinel (−1, 0, 999 …, "unknown") or the column's middle. Nulls do not rise: that
is `missing_values`. Mass piled at a bound, with none beyond it, is clipping.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Presence
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults.inputs import (
    ATOM_P,
    Atom,
    Mask,
    are,
    chance_of,
    examined,
    explained,
    graded,
    is_bound,
    listed,
    match_p,
    new_atoms,
    number,
    overlapping,
    percent,
    range_p,
    shares_p,
    strength,
    undone,
    without,
)
from whydrift.core.faults.outcomes import loss_signals
from whydrift.core.faults.outputs import loss_alarmed, loss_words
from whydrift.core.faults.precision_loss import rounded_fit
from whydrift.core.faults.relations import unrelated
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, drop, fill, scatter
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("default_fill")
_LEAST_FIT = 0.2
_MIDDLE = 0.06
"""A value within this many standard deviations of the mean or the median may be that: rounding, another training set."""
_BULK = (0.02, 0.98)
"""Quantiles between which a value is an everyday one, whatever its digits: 1.0 carat, 9 °C."""
_NEXT = 0.1
"""Part of the range within which a value is just beyond it."""
_FREQUENT = 0.2
"""Share in health from which a column is as likely to be stuck at its middle as to be filled with it."""
_ROUNDED = 0.6
"""Part of the fit that is lost where the other values are as rounding leaves them, too: most of a skewed column becomes 0."""
WHOLE = 0.97
"""Share from which a column counts as having one value only: stuck, rather than filled, where the value is an everyday one."""
_LEAST_ERRORS, _MOST_ERRORS = 5, 0.6
"""Where no input has an alarm: labelled rows with a value, and part of what the model errs more that must lie in them."""
_FAR_OFF, _OFF = 0.005, 0.8
"""Quantile beyond which hardly anything is left of an input given the others; share of a fill's rows that must be there, and of
the others that must not."""
_EXTREMES = frozenset(
    float(s * v) for v in (2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63) for s in (1, -1)
)
WORDS = frozenset(
    (
        "",
        "-",
        "?",
        "0",
        "-1",
        "na",
        "n/a",
        "nan",
        "nil",
        "none",
        "null",
        "unknown",
        "unk",
        "missing",
        "default",
        "other",
        "undefined",
    )
)
"""Categories that stand for "not known", after trimming and lower case."""


@dataclass(frozen=True, slots=True)
class _Fill:
    view: ColumnView
    atom: Atom
    what: str
    rows: Mask
    """Current rows (all of them, not only usable ones) with the value."""
    before: float
    after: float
    fit: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    if quiet := quiet_fills(case):
        return [_proposal(case, group) for group in overlapping(quiet, lambda one: one.rows)]
    moved = examined(case)
    found = [_find(view, new_atoms(view)) for view in moved] or [_by_the_others(case, view) for view in unrelated(case)]
    fills = [one for one in found if one is not None]
    good = [one for one in fills if one.fit >= _LEAST_FIT]
    no: list[Proposal | RuledOut] = [
        RuledOut(
            fault=FAULT, because=f"without its {_value(one)} rows {one.view.name} still differs from its reference"
        )
        for one in fills
        if one.fit < _LEAST_FIT
    ]
    return [*(_proposal(case, group) for group in overlapping(good, lambda one: one.rows)), *no]


@lru_cache(maxsize=8)
def quiet_fills(case: Case) -> tuple[_Fill, ...]:
    """Fills in so few rows that no input has an alarm, where most of what the model errs more lies in these rows.

    Evidence that must hold out for weeks takes long to gather on an input; where the loss asks what happened, few rows answer.
    """
    if not loss_alarmed(case) or case.alarmed_features() or any(one.is_alarmed for one in case.world.values()):
        return ()
    found = (one for view in case.features.values() if (one := _find(view, _quiet_atoms(view))) is not None)
    return tuple(one for one in found if one.fit >= _LEAST_FIT and _errors_there(case, one) >= _MOST_ERRORS)


def errs_where_filled(case: Case) -> str:
    """That the model errs more in the rows of a fill only, in words; "" where it does not."""
    first = next(iter(quiet_fills(case)), None)
    if first is None:
        return ""
    return f"the model errs more where {first.view.name} is {_value(first)}, a value that comes too often"


def _quiet_atoms(view: ColumnView) -> list[Atom]:
    """Values that come too often beside the rows of health that are kept: of rare ones a reference knows less."""
    if not len(view.healthy):
        return []
    values, counts = np.unique(view.current, return_counts=True)
    found = []
    for value, rows in zip(values.tolist(), counts.tolist(), strict=True):
        usual = min((int((view.healthy == value).sum()) + 2) / len(view.healthy), 1.0) if rows >= _LEAST_ERRORS else 1.0
        if chance_of(rows, len(view.current), usual) < ATOM_P:
            found.append(Atom(value, rows, rows / len(view.current), usual))
    return sorted(found, key=lambda atom: (-atom.rows, atom.value))


def _errors_there(case: Case, one: _Fill) -> float:
    """Part of what the labelled rows lose beyond health that those with the value do; 0.0 where there are too few to tell."""
    before, now = case.labelled.reference, case.labelled.current
    if one.view.name not in now.inputs or "loss" not in now.outputs or not len(before):
        return 0.0
    excess = now.outputs["loss"] - float(np.nanmean(before.outputs["loss"]))
    there = (now.inputs[one.view.name] == one.atom.value) & ~np.isnan(excess)
    total = float(np.nansum(excess))
    return float(excess[there].sum()) / total if there.sum() >= _LEAST_ERRORS and total > 0 else 0.0


def special(view: ColumnView, value: float) -> tuple[str, float]:
    """What makes a value a likely default, in words, and how sure that is; ("", 0.0) for an ordinary value."""
    if view.reference.kind.is_coded:
        return ("a word for not known", 0.95) if view.column.category(value).strip().lower() in WORDS else ("", 0.0)
    reference = view.reference
    is_everyday = reference.quantile(_BULK[0]) <= value <= reference.quantile(_BULK[1]) and value > 0
    if value in (0.0, 1.0, -1.0) or value in _EXTREMES or _is_nines(value):
        return ("", 0.0) if is_everyday else ("a usual default", 0.95)
    beyond = max(reference.low - value, value - reference.high)
    if beyond > 0:
        # Just beyond the end is where a column that moves gets to.
        is_next = beyond <= _NEXT * (reference.high - reference.low)
        return "a value it never had", 0.45 if is_next else 0.85
    spread = max(reference.spread, 1e-12)
    middles = (("the median", reference.median), ("the mean", float(reference.quantiles.mean())))
    for name, middle in middles:
        if abs(value - middle) <= _MIDDLE * spread:
            # More decimals than the column's own values have is what a computed mean looks like.
            finer = _decimals(value) > max((_decimals(float(v)) for v in view.healthy[:50]), default=0)
            if not finer and float(np.mean(view.current == value)) >= WHOLE:
                return "", 0.0
            if not finer and reference.atoms.get(value, 0.0) >= _FREQUENT:
                return f"{name}, and frequent", 0.5
            return f"close to {name}", 0.93 if finer or value == middle else 0.8
    return "", 0.0


def _find(view: ColumnView, atoms: Iterable[Atom]) -> _Fill | None:
    for atom in atoms:
        what, surety = special(view, atom.value)
        if not what or not _may_fill(view, atom) or is_bound(view, atom):
            continue
        rest = without(view, atom)
        before, after = view.log10_evidence(view.current), view.log10_evidence(rest)
        is_coded = view.reference.kind.is_coded
        p = shares_p(view, rest) if is_coded else min(match_p(rest, view.reference), range_p(rest, view.reference))
        fit = surety * graded(p) * undone(before, after) * (1 - _ROUNDED * rounded_fit(view))
        rows = (view.current_values == atom.value) & (view.current_presence == Presence.PRESENT)
        return _Fill(view, atom, what, rows, before, after, fit)
    return None


def _by_the_others(case: Case, view: ColumnView) -> _Fill | None:
    """Of an input that has no alarm of its own: the value whose rows, and no others, are not what the other inputs make expect.

    Of a quantity as slow as a season nobody knows by itself whether the rest of its values are as ever.
    """
    left = case.dependence.get(DEPENDENCE + view.name)
    if left is None or len(left.current_values) != len(view.current_values):
        return None
    low, high = left.reference.quantile(_FAR_OFF), left.reference.quantile(1 - _FAR_OFF)
    is_off = (left.current_values < low) | (left.current_values > high)
    for atom in new_atoms(view):
        what, surety = special(view, atom.value)
        rows = (view.current_values == atom.value) & (view.current_presence == Presence.PRESENT)
        if not what or not _may_fill(view, atom) or float(is_off[rows].mean()) < _OFF:
            continue
        if float(is_off[~rows].mean()) <= 1 - _OFF:
            return _Fill(view, atom, what, rows, strength(left), 0.0, surety)
    return None


def _may_fill(view: ColumnView, atom: Atom) -> bool:
    """A known value of a column with hardly any is that column's business: it has become more frequent."""
    reference = view.reference
    known = atom.reference_share > 2 / max(reference.n, 1)
    return not (known and (reference.distinct <= 2 or view.reference.kind == "boolean"))


def _is_nines(value: float) -> bool:
    digits = str(int(abs(value))) if abs(value) < 1e15 and float(value).is_integer() else ""
    return bool(digits) and set(digits) == {"9"}


def _decimals(value: float) -> int:
    text = repr(float(value))
    return len(text.split(".")[1].rstrip("0")) if "." in text and "e" not in text else 0


def _proposal(case: Case, group: list[_Fill]) -> Proposal:
    views = [one.view for one in group]
    names = [view.name for view in views]
    first = group[0]
    share = float(np.mean([one.atom.share for one in group]))
    values = listed(sorted({_value(one) for one in group}))
    is_quiet = not any(view.is_alarmed() for view in views)
    lost = f" Most of what the model errs more lies in them: {loss_words(case)}." if is_quiet else ""
    together = f" The same rows in all {len(names)}: one source." if len(names) > 1 else ""
    return Proposal(
        fault=FAULT,
        fit=max(one.fit for one in group),
        explains=explained(case, views, "distribution", "out_of_range", "unseen", "repeated")
        | (loss_signals(case) if is_quiet else frozenset()),
        headline=f"{listed(names)} {are(names, 'is', 'are')} filled with {values} in {percent(share)} of the rows",
        explanation=(
            f"{first.view.name} = {_value(first)} ({first.what}) in {percent(first.atom.share)} of the rows, "
            f"at most {percent(first.atom.reference_share)} in health; nulls now "
            f"{percent(first.view.share(Presence.NULL))}. "
            f"Without these rows evidence {first.before:.1f} falls to {first.after:.1f}.{together}{lost}"
        ),
        action=(
            f"Find what fills {listed(names)} with {values}: the look-up or join in front of it returns "
            "nothing. Send null instead."
        ),
        features=tuple(names),
        undo=Undo(
            transform=f"rows with {values} left out",
            evidence_before=sum(one.before for one in group),
            evidence_after=sum(one.after for one in group),
        ),
        decider=""
        if first.fit > 0.85
        else f"does the source of {first.view.name} still send different values for different rows?",
    )


def _value(one: _Fill) -> str:
    view = one.view
    return f'"{view.column.category(one.atom.value)}"' if view.reference.kind.is_coded else number(one.atom.value)


RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("income is −1 in a third of the rows", fill(-1, "income", share=0.33)),
        Example("income is 0 in all rows", fill(0, "income")),
        Example("balance is −999 in 3 % of the rows", fill(-999.0, "balance", share=0.03)),
        Example("temperature is 0 in a fifth of the rows", fill(0.0, "temperature", share=0.2)),
        Example("income is its own mean in a tenth of the rows", fill(54_321.98765, "income", share=0.1)),
        Example("income and balance are 0 in the same rows", fill(0, "income", "balance", share=0.2)),
        Example("the constant limit is 0 in some rows", fill(0, "limit", share=0.1)),
        Example('the region is "unknown" in a tenth of the rows', fill("unknown", "region", share=0.1)),
        Example("temperature is stuck at 9 in a third of the rows", fill(9.0, "temperature", share=0.33), named=False),
        Example("age is 99 in some rows", fill(99, "age", share=0.1)),
        Example("income is null in a third of the rows", fill(None, "income", share=0.33), named=False),
        Example("income is absent in a third of the rows", drop("income", share=0.33), named=False),
        Example("balance is stuck at an everyday value", fill(4_417.22, "balance"), named=False),
        Example("income clipped at 70000", change(lambda v, i: min(v, 70_000), "income"), named=False),
        Example(
            "temperatures really fall around zero",
            both(change(lambda v, i: round(0.4 * (v - 15) + 6 * (scatter(i, 3) - 0.5), 1), "temperature", world=True)),
            named=False,
        ),
        Example(
            "a few absurd balances", change(lambda v, i: 1e5 * (scatter(i) - 0.5), "balance", share=0.05), named=False
        ),
    ),
    runbook=Runbook(
        means=(
            "A look-up, join or request in front of the feature fails and a default takes the value's place, "
            "unseen as a null."
        ),
        confirm=(
            "Look at raw events with the value: do they come from one source, one customer group, one replica "
            "of the feature store?"
        ),
        do=(
            "Repair the look-up; send null where nothing is known, so that it counts as missing. Score again "
            "what was decided since."
        ),
        if_wrong="If the value is genuine (a new product that has 0), accept the incident.",
    ),
    look_alikes=(Fault.STALE_FEATURE, Fault.PRECISION_LOSS),
)
