"""A case as the rows of one slice show it: inputs beside the slice's own health.

Of a part of the rows, many things are true that hold for none of them as a whole; what was done to every row of a slice (a
factor, a fill, an exchange) shows there in full.

Belongs here: the narrower picture. Not here: which slice it is (`slices`), what broke (`faults`), which verdict counts
(`diagnose`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whydrift.core.case import NOT_ALIGNED, Aligned, AlignedRows, Case, ColumnView
from whydrift.core.columns import Floats, Presence, Presences
from whydrift.core.dependence import regressions
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import learn_column
from whydrift.core.signals import Aspect, distribution_bets
from whydrift.core.slices import Mask, Slice

_LEAST_NOW, _LEAST_BEFORE = 20, 60
"""Rows of a slice, now and in health, by which the rules can judge."""
_MOST_INPUTS = 8
"""Inputs of one fault that are looked at again: each costs as much as the first time."""
_MIXED = 0.02
"""Part of the rows that must have categories found both inside and outside, for a slice not to be made of them."""


def inside(case: Case, rows: Aligned, found: Slice, names: Sequence[str]) -> Case | None:
    """The case with these inputs only, by the rows of a slice; None where there are too few, or an input makes the slice.

    rows: where the slice was found, with inputs, answers and dimensions side by side. The inputs' distributions count as alarmed.
    """
    if len(names) > _MOST_INPUTS:
        return None
    now, before = found.of(rows.current), found.of(rows.reference)
    if not before.any() and found.segment is None:
        # A replica that health does not know gets the same kind of cases as the others.
        before = np.ones(len(rows.reference), bool)
    if now.sum() < _LEAST_NOW or before.sum() < _LEAST_BEFORE:
        return None
    if any(_is_made_of(case, name, rows.reference, before) for name in names):
        return None
    chosen = AlignedRows(rows.current.times_ms[now], _of(rows.current, now), {}, {})
    healthy = AlignedRows(rows.reference.times_ms[before], _of(rows.reference, before), {}, {})
    views = {
        name: _view(case.features[name], healthy, chosen)
        for name in names
        if name in case.features and name in chosen.inputs and name in healthy.inputs
    }
    return replace(
        case,
        current_rows=len(chosen),
        features=views,
        outputs={},
        labels={},
        world={},
        segments={},
        dependence={},
        answered=Aligned(healthy, chosen),
        labelled=NOT_ALIGNED,
        guards=(),
        replicas=(),
        paces=(),
        earlier={},
    )


def left_given_others(case: Case, rows: Aligned, name: str) -> tuple[Floats, Floats]:
    """What is left of an input given the other quantities, as health relates them: (rows of health,), (current rows,)."""
    names = [
        one for one, view in case.features.items() if one in rows.reference.inputs and not view.reference.kind.is_coded
    ]
    if name not in names:
        return rows.reference.inputs[name], rows.current.inputs[name]
    before, now = (np.column_stack([side.inputs[one] for one in names]) for side in (rows.reference, rows.current))
    centre, spread = np.nanmean(before, axis=0), np.nanstd(before, axis=0)
    before, now = ((side - centre) / np.where(spread > 0, spread, 1.0) for side in (before, now))
    place = names.index(name)
    weights = regressions(np.nan_to_num(before))[:, place]
    return before[:, place] - np.nan_to_num(before) @ weights, now[:, place] - np.nan_to_num(now) @ weights


def _of(rows: AlignedRows, which: Mask) -> dict[str, Floats]:
    return {name: values[which] for name, values in rows.inputs.items()}


def _is_made_of(case: Case, name: str, healthy: AlignedRows, inside: Mask) -> bool:
    """Whether a slice is some categories of an input (customers of Europe, and their country): others there are no recoding."""
    if name not in case.features or not case.features[name].reference.kind.is_coded or name not in healthy.inputs:
        return False
    _, code = np.unique(np.nan_to_num(healthy.inputs[name], nan=-1.0), return_inverse=True)
    each, own = np.bincount(code), np.bincount(code, weights=inside)
    return float(np.minimum(own, each - own).sum()) < _MIXED * len(healthy)


def _view(view: ColumnView, healthy: AlignedRows, chosen: AlignedRows) -> ColumnView:
    before, now = healthy.inputs[view.name], chosen.inputs[view.name]
    # How values hang together cannot be told from rows that do not follow each other.
    reference = replace(learn_column(view.column, before, _presence(before)), times=view.reference.times)
    return replace(
        view,
        reference=reference,
        reference_values=before,
        reference_presence=_presence(before),
        current_values=now,
        current_presence=_presence(now),
        current_times=chosen.times_ms,
        bets=distribution_bets(reference, Tolerance(reference.n, signals=1, margin=0.0)),
        signals={
            aspect: replace(one, is_alarmed=one.is_alarmed or aspect == Aspect.DISTRIBUTION)
            for aspect, one in view.signals.items()
        },
        given_bets={},
        opening=None,
    )


def _presence(values: Floats) -> Presences:
    return np.where(np.isnan(values), Presence.NULL, Presence.PRESENT).astype(np.int8)
