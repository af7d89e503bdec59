"""Leaps of slow quantities: by which factor one went from one row to the next, as the rows just before tell.

A quantity that changes once a day and wanders with the season leaves its reference behind without a fault. A factor is then told
by what came just before it, and not by health: between neighbours nothing but a leap lies. And without a leap, that it is 2.9
times what it was half a year ago is the season's doing.

Belongs here: whether it leapt, and by what. Not here: what that is called (`unit_change`).
"""

import numpy as np

from whydrift.core.case import ColumnView
from whydrift.core.columns import Floats, Presence
from whydrift.core.faults.inputs import Mask
from whydrift.core.faults.transforms import KNOWN, Map, Mapped
from whydrift.core.longest_step import LongestStep

_LEAST_BEFORE, _LEAST_AFTER = 20, 5
"""Rows on either side of a leap that tell its factor."""
_UNHEARD = 5.0
"""Times the longest step before it that a leap is long."""
_LEAST_FACTOR = 2.0
_NAMED_WITHIN = 0.05
"""Part by which neighbours of a leap by a known factor may be off it."""
_GOES_ON = 0.9
"""Part of the rows after it that a leap must hold for: not of those before."""
_FIT = 0.95


def leap(view: ColumnView) -> Mapped | None:
    """The factor of a slow quantity's leap, and the current rows since; None where it is not slow, or did not leap."""
    step = view.step
    if step is None or len(step.before) < _LEAST_BEFORE or len(step.after) < _LEAST_AFTER:
        return None
    one = _factor(step)
    if one is None or step.length <= _UNHEARD * step.usual:
        return None
    rows = _is_after(view, step)
    if not rows.any() or not _goes_on(view, step.before, one.undo(view.current[rows])):
        return None
    restored = np.where(rows, one.undo(view.current), view.current)
    was, now = view.log10_evidence(view.current), view.log10_evidence(restored)
    return Mapped(one, was, 1.0, rows, was, now, 1.0, True, _FIT)


def has_wandered(view: ColumnView) -> bool:
    """Whether a slow quantity came where it is without any leap, as the rows before show."""
    return view.step is not None and len(view.step.before) >= _LEAST_BEFORE and leap(view) is None


def leapt_ms(view: ColumnView) -> int | None:
    """When a slow quantity leapt, in epoch milliseconds; None where it did not, or not among the current rows."""
    found = leap(view)
    if found is None or found.rows[0] or not len(view.current_times):
        return None
    times_ms = view.current_times[view.current_presence == Presence.PRESENT]
    return int(times_ms[int(np.argmax(found.rows))])


def _is_after(view: ColumnView, step: LongestStep) -> Mask:
    """Which usable current rows came after a step: all, where it is not among them."""
    hops = np.abs(np.diff(view.current))
    places = np.flatnonzero(hops >= step.length)
    first = int(places[0]) + 1 if len(places) else 0
    found: Mask = np.arange(len(view.current)) >= first
    return found


def _factor(step: LongestStep) -> Map | None:
    last, first = float(np.median(step.before[-_LEAST_BEFORE:])), float(np.median(step.after[:_LEAST_BEFORE]))
    if last == 0 or first / last <= 0 or abs(np.log(first / last)) < np.log(_LEAST_FACTOR):
        return None
    factor = first / last
    named = [one for one in KNOWN if one.offset == 0 and one.scale > 0 and not one.is_laboratory]
    near = min(named, key=lambda one: abs(np.log(factor / one.scale)))
    return near if abs(np.log(factor / near.scale)) <= _NAMED_WITHIN else Map(factor, 0.0, "", False, 0.0)


def _goes_on(view: ColumnView, before: Floats, undone: Floats) -> bool:
    """Whether what came after the leap, undone, lies where the quantity has been before, or as far beyond as that is wide."""
    low, high = min(view.reference.low, float(before.min())), max(view.reference.high, float(before.max()))
    return bool(np.mean((undone >= 2 * low - high) & (undone <= 2 * high - low)) >= _GOES_ON)
