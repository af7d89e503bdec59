"""A case as the rows of one slice show it: inputs beside the slice's own health.

Of a part of the rows, many things are true that hold for none of them as a whole; what was done to every row of a slice (a
factor, a fill, an exchange) shows there in full.

Belongs here: the narrower picture. Not here: which slice it is (`slices`), what broke (`faults`), which verdict counts
(`diagnose`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whydrift.core.case import NOT_ALIGNED, Aligned, AlignedRows, Case, ColumnView, RatePicture
from whydrift.core.columns import Floats, presences_of
from whydrift.core.dependence import MAX_INPUTS, cross_predicted, regressions
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import learn_column
from whydrift.core.signals import CONDITIONAL, Aspect, distribution_bets
from whydrift.core.slices import EXCHANGEABLE, Mask, Slice

_LEAST_NOW, _LEAST_BEFORE = 20, 60
"""Values of a slice, now and in health, by which the rules can judge."""
_MOST_INPUTS = 8
"""Inputs of one fault that are looked at again: each costs as much as the first time."""
_FAR = 10.0
"""Standard deviations beyond which a value tells no more than that it is far out."""
_MIXED = 0.02
"""Part of the rows that must have categories found both in a slice and elsewhere, for it not to be made of them."""
_SILENT = RatePicture(None, None, None)


def inside(case: Case, rows: Aligned, found: Slice, names: Sequence[str]) -> Case | None:
    """The case with these inputs only, by the rows of a slice; None where there are too few, or an input makes the slice.

    rows: where the slice was found, with inputs, answers and dimensions side by side. The inputs' distributions count as alarmed.
    """
    names = [name for name in names if name in case.features and name in rows.reference.inputs]
    if not 0 < len(names) <= _MOST_INPUTS:
        return None
    now, own = found.of(rows.current), found.of(rows.reference)
    is_exchangeable = all(name in EXCHANGEABLE for name, _ in found.parts)
    if is_exchangeable and own.sum() < _LEAST_BEFORE:
        # A replica that health hardly knows gets the same kind of cases as the others.
        before = np.ones(len(rows.reference), bool)
    elif any(
        _is_made_of(own, rows.reference.inputs[name]) for name in names if case.features[name].reference.kind.is_coded
    ):
        return None
    else:
        before = own
    chosen = AlignedRows(rows.current.times_ms[now], _of(rows.current, now), {}, {})
    healthy = AlignedRows(rows.reference.times_ms[before], _of(rows.reference, before), {}, {})
    views = {
        name: _view(case.features[name], healthy, chosen)
        for name in names
        if _values(chosen, name) >= _LEAST_NOW and _values(healthy, name) >= _LEAST_BEFORE
    }
    if not views:
        return None
    return replace(
        case,
        current_rows=len(chosen),
        features=views,
        outputs={},
        labels={},
        world={},
        segments={},
        dependence={},
        arrivals=_SILENT,
        label_arrivals=_SILENT,
        answered=Aligned(healthy, chosen),
        labelled=NOT_ALIGNED,
        guards=(),
        replicas=(),
        paces=(),
        earlier={},
    )


def left_given_others(case: Case, rows: Aligned, name: str) -> tuple[Floats, Floats]:
    """What is left of an input given the other quantities, as health relates them: (rows of health,), (current rows,).

    Of health, by the other half of its rows; as it is where nothing relates it to others. NaN where there is no value.
    """
    names = [
        one
        for one, view in case.features.items()
        if not view.reference.kind.is_coded and _values(rows.reference, one) >= _LEAST_BEFORE
    ]
    names = [name, *(one for one in names[:MAX_INPUTS] if one != name)] if name in names else []
    if len(names) < 2:
        return rows.reference.inputs[name], rows.current.inputs[name]
    before, now = (np.column_stack([side.inputs[one] for one in names]) for side in (rows.reference, rows.current))
    centre, spread = np.nanmean(before, axis=0), np.nanstd(before, axis=0)
    before, now = (np.clip((side - centre) / np.where(spread > 0, spread, 1.0), -_FAR, _FAR) for side in (before, now))
    weights = regressions(np.nan_to_num(before))[:, 0]
    return before[:, 0] - cross_predicted(np.nan_to_num(before))[:, 0], now[:, 0] - np.nan_to_num(now) @ weights


def _of(rows: AlignedRows, which: Mask) -> dict[str, Floats]:
    return {name: values[which] for name, values in rows.inputs.items()}


def _values(rows: AlignedRows, name: str) -> int:
    """How many of the rows have one."""
    return int((~np.isnan(rows.inputs[name])).sum()) if name in rows.inputs else 0


def _is_made_of(own: Mask, codes: Floats) -> bool:
    """Whether a slice is some categories of an input (customers of Europe, and their country): others there are no recoding.

    own: which rows of health are in it, codes: their categories, (rows,) each.
    """
    _, code = np.unique(np.nan_to_num(codes, nan=-1.0), return_inverse=True)
    each, here = np.bincount(code), np.bincount(code, weights=own)
    return float(np.minimum(here, each - here).sum()) < _MIXED * len(codes)


def _view(view: ColumnView, healthy: AlignedRows, chosen: AlignedRows) -> ColumnView:
    before, now = healthy.inputs[view.name], chosen.inputs[view.name]
    # How values hang together, and what they are given the row before, cannot be told from rows that do not follow each other.
    reference = replace(learn_column(view.column, before, presences_of(before)), times=view.reference.times)
    signals = {aspect: one for aspect, one in view.signals.items() if aspect not in (*CONDITIONAL, Aspect.RUNS)}
    if Aspect.DISTRIBUTION in signals:
        signals[Aspect.DISTRIBUTION] = replace(signals[Aspect.DISTRIBUTION], is_alarmed=True)
    return replace(
        view,
        reference=reference,
        reference_values=before,
        reference_presence=presences_of(before),
        current_values=now,
        current_presence=presences_of(now),
        current_times=chosen.times_ms,
        bets=distribution_bets(reference, Tolerance(reference.n, signals=1, margin=0.0)),
        signals=signals,
        given_bets={},
        opening=None,
    )
