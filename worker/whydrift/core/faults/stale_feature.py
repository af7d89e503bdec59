"""A feature no longer follows its rows: it is stuck at one value, or served from a cache of old ones.

Told apart: an ordinary value of the column repeats (a sentinel or a middle is `default_fill`); many repeating values are a
stale cache. Other inputs still move, else whole events repeat (`duplicate_events`). Values on a coarse grid are rounding.
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats, Presence
from whydrift.core.faults.default_fill import WHOLE, special
from whydrift.core.faults.inputs import (
    Mask,
    are,
    chance_of,
    examined,
    explained,
    graded,
    is_bound,
    listed,
    lost_atoms_p,
    match_p,
    new_atoms,
    number,
    overlapping,
    percent,
    repeated_rows,
    undone,
    without,
)
from whydrift.core.faults.relations import unrelated
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, fill, scatter
from whydrift.core.faults.transforms import best_map
from whydrift.core.signals import Aspect
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("stale_feature")
_LEAST_FIT = 0.2
_LONG_RUN_FIT = 0.85
"""Fit where all that is known is that the value stays the same for longer than ever."""
_MORE = 2.0
"""Times its share in health that a value of a column with few values must have to be taken for one that is stuck."""
_MAPPED = 0.5
"""Fit of an exact map from which frequent values stand for others."""
_LEAST_SHARE = 0.2
"""Part of the rows."""
_LOST_P = 1e-3
"""Chance from which the rows with other values have lost what is frequent in health: all values have changed, none is stuck."""
_ON_GRID = 0.8
"""Share of health's values on a grid from which it is the column's own."""
_GRID_STEP = 0.02
"""Values spaced by at least this many standard deviations, all multiples of one step, are rounded ones."""


@dataclass(frozen=True, slots=True)
class _Stale:
    view: ColumnView
    rows: Mask
    share: float
    """Of the rows since the first repeat."""
    distinct: int
    stuck_at: str
    """The one value; "" for several."""
    before: float
    after: float
    fit: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    if case.alarmed_features():
        found = [
            one for view in examined(case) if (one := _stuck(view) or _cached(view) or _long_run(view)) is not None
        ]
    else:
        # Of an input whose relations alone have changed, one value must be in a good part of the rows.
        found = [one for view in unrelated(case) if (one := _stuck(view)) is not None and one.share > _LEAST_SHARE]
    if not found:
        return []
    duplicates = case.world.get("duplicates")
    if duplicates is not None and duplicates.is_alarmed:
        names = listed([one.view.name for one in found])
        return [RuledOut(fault=FAULT, because=f"values of {names} repeat because whole events repeat")]
    groups = overlapping([one for one in found if one.fit >= _LEAST_FIT], lambda one: one.rows)
    return [_proposal(case, group) for group in groups]


def _stuck(view: ColumnView) -> _Stale | None:
    """One ordinary value in place of many."""
    for atom in new_atoms(view)[:1]:
        if is_bound(view, atom) or _is_rounded(view, view.current):
            return None
        what, surety = special(view, atom.value)
        is_often = view.reference.kind.is_coded or view.reference.is_discrete
        # A category that has become more frequent is the world's business; so is a value that health hardly knows.
        is_usual = view.reference.kind.is_coded or atom.share < _MORE * atom.reference_share
        is_known = atom.reference_share >= 1.5 / max(view.reference.n, 1)
        if is_often and not (is_known and (atom.share >= WHOLE or not is_usual)):
            return None
        rows = (view.current_values == atom.value) & (view.current_presence == Presence.PRESENT)
        rest = without(view, atom)
        mapped = best_map(view)
        if mapped is not None and mapped.is_exact and mapped.fit > _MAPPED:
            return None  # a frequent value stands for another one, and so do the rest
        others = [other for other in new_atoms(view)[1:] if other.rows > atom.rows / 4]
        if others or lost_atoms_p(view, atom) < _LOST_P:
            return None
        before, after = view.log10_evidence(view.current), view.log10_evidence(rest)
        p = 1.0 if view.reference.kind.is_coded else match_p(rest, view.reference)
        sure = 0.95 if not what else 1.15 - surety
        if is_often and atom.share < WHOLE:
            sure = min(sure, 0.72)
        text = view.column.category(atom.value) if view.reference.kind.is_coded else number(atom.value)
        return _Stale(view, rows, atom.share, 1, text, before, after, sure * graded(p) * undone(before, after))
    return None


def _cached(view: ColumnView) -> _Stale | None:
    """Several old values again and again, in a column whose values hardly repeat in health."""
    reference = view.reference
    if not view.is_alarmed("repeated") or not reference.n:
        return None
    values = view.current
    repeats = repeated_rows(values)
    usual = reference.repeated / reference.n
    p = chance_of(int(repeats.sum()), len(values), max(usual, 1 / reference.n))
    atoms = new_atoms(view)
    if atoms and is_bound(view, atoms[0]):
        return None
    common = max((atom.rows for atom in atoms), default=0) / max(int(repeats.sum()), 1)
    if p > 1e-6 or (common > 0.7 and special(view, atoms[0].value)[0]) or _is_rounded(view, values[repeats]):
        return None
    rows = np.zeros(len(view.current_values), bool)
    rows[np.flatnonzero(view.current_presence == Presence.PRESENT)[repeats]] = True
    inside = float(((values[repeats] >= reference.low) & (values[repeats] <= reference.high)).mean())
    first = int(np.argmax(repeats))
    share = float(repeats[first:].mean())
    before, after = view.log10_evidence(values), view.log10_evidence(values[~repeats])
    fit = 0.88 * inside * max(0.0, 1 - usual / max(share, 1e-9)) * (1.0 if after < 3 else 0.7)
    return _Stale(view, rows, share, len(np.unique(values[repeats])), "", before, after, fit)


def _long_run(view: ColumnView) -> _Stale | None:
    """A value that often stays the same for a while stays so for longer than ever."""
    if not view.is_alarmed(Aspect.RUNS):
        return None
    values = view.current_values
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    lengths = np.diff(np.append(starts, len(values)))
    longest = int(np.argmax(lengths))
    is_long = np.repeat(lengths > view.reference.given[Aspect.STEP].longest_run, lengths)
    if not is_long.any():
        return None
    text = number(float(values[starts[longest]]))
    before = max(signal.log10_e for signal in view.alarms(Aspect.RUNS))
    share = float(is_long[int(np.argmax(is_long)) :].mean())
    return _Stale(view, is_long, share, 1, text, before, 0.0, _LONG_RUN_FIT)


def _is_rounded(view: ColumnView, values: Floats) -> bool:
    """Whether values that repeat are multiples of one coarse step, which the reference's are not."""
    distinct, counts = np.unique(values, return_counts=True)
    # What repeats by chance, as in rows from before the onset, is rarely repeated again.
    often = [distinct[counts >= least] for least in (3, 2)]
    grid = often[0] if len(often[0]) >= 3 else often[1]
    if len(grid) < 3:
        return False
    step = float(np.diff(grid).min())
    if step < _GRID_STEP * view.reference.spread or not _are_on(grid, grid[0], step).all():
        return False
    healthy = view.healthy[:500]
    return not len(healthy) or float(_are_on(healthy, grid[0], step).mean()) < _ON_GRID


def _are_on(values: Floats, start: float, step: float) -> Mask:
    """Which values are on a grid."""
    steps = (values - start) / step
    on: Mask = np.abs(steps - np.round(steps)) < 0.01
    return on


def _proposal(case: Case, group: list[_Stale]) -> Proposal:
    views = [one.view for one in group]
    names = [view.name for view in views]
    first = max(group, key=lambda one: one.fit)
    where = "" if first.share > WHOLE else f" in {percent(first.share)} of the rows"
    if first.stuck_at:
        seen = f"{first.view.name} is {first.stuck_at} again and again"
        says = f"stuck at {first.stuck_at}" if len(group) == 1 else "stuck"
    else:
        seen = f"{first.view.name} repeats {first.distinct} old values, as a cache that is not refreshed does"
        says = "stale: old values repeat"
    moving = sum(1 for view in case.features.values() if not view.is_alarmed())
    return Proposal(
        fault=FAULT,
        fit=max(one.fit for one in group),
        explains=explained(case, views, "distribution", "repeated", "unseen", "runs"),
        headline=f"{listed(names)} {are(names, 'is', 'are')} {says}{where}",
        explanation=(
            f"{seen}{where}; in health "
            f"{percent(first.view.reference.repeated / max(first.view.reference.n, 1))} of the values repeat one "
            f"of the 32 before. {moving} other inputs move as ever. Without the repeats evidence "
            f"{first.before:.1f} falls to {first.after:.1f}."
        ),
        action=f"Look at the job or cache that refreshes {listed(names)}: when did it last write? Restart it.",
        features=tuple(names),
        undo=Undo(
            transform="repeated values left out",
            evidence_before=sum(one.before for one in group),
            evidence_after=sum(one.after for one in group),
        ),
        decider="" if first.fit > 0.85 else f"does {first.view.name} change at its source?",
    )


def _cache(row: Row, i: int) -> Row:
    row["features"]["income"] = _OLD[int(scatter(i, 5) * len(_OLD))]
    return row


_OLD = (31_877.4, 48_212.66, 52_950.12, 39_004.18, 71_431.9, 44_519.05, 60_088.31, 27_415.73)

RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("balance is stuck at an everyday value", fill(4_417.22, "balance")),
        Example("income is stuck at its last value in a tenth of the rows", fill(63_102.44, "income", share=0.1)),
        Example("temperature is stuck at 9 in a third of the rows", fill(9.0, "temperature", share=0.33)),
        Example("age is stuck at 44 in a third of the rows", fill(44, "age", share=0.33)),
        Example("age is stuck at 31", fill(31, "age")),
        Example("income comes from a cache of eight old values", _cache),
        Example(
            "temperature is refreshed every 30 rows only",
            change(lambda v, i: round(2 + 25 * scatter(i // 30, 9), 1), "temperature"),
        ),
        Example(
            "income and balance are stuck together",
            change(lambda v, i: 30_500.5 if v > 20_000 else 3_310.1, "income", "balance"),
        ),
        Example("income is −1 in a third of the rows", fill(-1, "income", share=0.33), named=False),
        Example("income is its own mean in a tenth of the rows", fill(54_321.98765, "income", share=0.1), named=False),
        Example("every third event comes twice", lambda row, i: [row, dict(row)] if i % 3 == 0 else row, named=False),
        Example(
            "temperatures rounded to 5 degrees", change(lambda v, i: 5.0 * round(v / 5), "temperature"), named=False
        ),
        Example("incomes fall", change(lambda v, i: v**0.93, "income", world=True), named=False),
    ),
    runbook=Runbook(
        means="The job, cache or stream that refreshes the feature stands still; the model decides on old values.",
        confirm="Ask the feature store for two different keys: the same answer? When was the feature last written?",
        do="Restart the refresh; score again what was decided since the onset.",
        if_wrong="If the world itself stands still (a holiday price), snooze until it moves.",
    ),
    look_alikes=(Fault.DEFAULT_FILL, Fault.PRECISION_LOSS),
)
