"""Leaps of slow quantities: by which factor one went from one row to the next, as the rows just before tell.

A quantity that changes once a day and wanders with the season leaves its reference behind without a fault. A factor is then told
by what came just before it, and not by health: between neighbours nothing but a leap lies. And without a leap, that it is 2.9
times what it was half a year ago is the season's doing.

Belongs here: whether it leapt, and by what factor. Not here: offsets, of which health tells (`transforms`); what that is called
(`unit_change`).
"""

from functools import lru_cache

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


@lru_cache(maxsize=128)
def leap(view: ColumnView) -> Mapped | None:
    """The factor of a slow quantity's leap, and the current rows since; None where it is not slow, or did not leap.

    Nor where it leapt back, or an offset with a name leads as well to where it is. Cached by the view's identity, as `best_map`.
    """
    step = view.step
    if step is None or not _is_told(step) or step.length <= _UNHEARD * step.usual:
        return None
    one = _factor(view, step)
    rows = _is_after(view, step)
    if one is None or not rows.any() or not _goes_on(view, step.before, one.undo(view.current[rows])):
        return None
    restored = np.where(rows, one.undo(view.current), view.current)
    was, now = view.log10_evidence(view.current), view.log10_evidence(restored)
    return Mapped(one, was, 1.0, rows, was, now, 1.0, True, _FIT)


def leapt_ms(view: ColumnView) -> int | None:
    """When a slow quantity leapt, in epoch milliseconds; None where it did not, or not among the current rows."""
    found = leap(view)
    if found is None or found.rows[0] or not len(view.current_times):
        return None
    times_ms = view.current_times[view.current_presence == Presence.PRESENT]
    return int(times_ms[int(np.argmax(found.rows))])


def has_wandered(view: ColumnView) -> bool:
    """Whether a slow quantity came where it is by no step that is long beside those before it, as far as rows show."""
    step = view.step
    return (
        step is not None and _is_told(step) and (step.length <= _UNHEARD * step.usual or _ratio(step) < _LEAST_FACTOR)
    )


def levels(step: LongestStep) -> tuple[float, float]:
    """Medians of the rows just before a step, and just after."""
    return float(np.median(step.before[-_LEAST_BEFORE:])), float(np.median(step.after[:_LEAST_BEFORE]))


def _is_told(step: LongestStep) -> bool:
    return len(step.before) >= _LEAST_BEFORE and len(step.after) >= _LEAST_AFTER


def _ratio(step: LongestStep) -> float:
    """Of the greater to the smaller; infinite where there is none, or the sign turns."""
    last, first = levels(step)
    return max(first / last, last / first) if last * first > 0 else np.inf


def _is_after(view: ColumnView, step: LongestStep) -> Mask:
    """Which usable current rows came after a step: all, where it is not among them."""
    values = view.current
    places = np.flatnonzero((values[:-1] == step.before[-1]) & (values[1:] == step.after[0]))
    found: Mask = np.arange(len(values)) > (places[0] if len(places) else -1)
    return found


def _factor(view: ColumnView, step: LongestStep) -> Map | None:
    last, first = levels(step)
    is_back = abs(first - view.reference.median) < abs(last - view.reference.median)
    if _ratio(step) < _LEAST_FACTOR or not np.isfinite(_ratio(step)) or is_back:
        return None
    if any(abs(one.apply(np.array(last)) - first) <= _NAMED_WITHIN * abs(first) for one in KNOWN if one.offset):
        return None
    factor = first / last
    named = [one for one in KNOWN if one.offset == 0 and one.scale > 0 and not one.is_laboratory]
    near = min(named, key=lambda one: abs(np.log(factor / one.scale)))
    return near if abs(np.log(factor / near.scale)) <= _NAMED_WITHIN else Map(factor, 0.0, "", False, 0.0)


def _goes_on(view: ColumnView, before: Floats, undone: Floats) -> bool:
    """Whether what came after the leap, undone, lies where the quantity has been before, or as far beyond as that is wide."""
    low, high = min(view.reference.low, float(before.min())), max(view.reference.high, float(before.max()))
    least, most = (low * low / high, high * high / low) if low > 0 else (2 * low - high, 2 * high - low)
    return bool(np.mean((undone >= least) & (undone <= most)) >= _GOES_ON)
