"""A feature arrives in another unit: one map q → a·q + b for all affected rows, from one row to the next.

Told apart: undoing the map returns the column to its reference, early rows as well as late ones. Drift of the world also
moves quantiles, but by no known ratio, and together with the features that depend on it.

Not every map that fits is a change of unit. Known ratios are. An unnamed factor of 3 or more is likely one; a smaller one is
proposed below or beside `covariate_drift` with what would decide; a mere offset (half a standard deviation, say) is drift of
the world unless it is a known one (kelvin), or larger than three standard deviations. Where the inputs that depend on it in
health stayed where they were, even a small one is: the world would have moved them, too (`dependence`).
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.autocorrelation import SLOW
from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults.inputs import (
    ALL,
    MAX_EXAMINED,
    are,
    compared,
    digits_of,
    dragged,
    examined,
    explained,
    has_lost_repeats,
    has_moved_partner,
    is_growing,
    is_sudden,
    keeps_digits,
    listed,
    match_p,
    number,
    percent,
    slowness,
)
from whydrift.core.faults.leaps import has_wandered, leap, leapt_ms, levels
from whydrift.core.faults.noise import holds_against, noise_gain
from whydrift.core.faults.relations import unrelated
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, both, change, fill, scatter, swap
from whydrift.core.faults.transforms import Map, Mapped, best_map
from whydrift.core.signals import Aspect
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("unit_change")
_LARGE_FACTOR = 3.0
_LARGE_OFFSET = 3.0
_LARGE_RATIO = 2.3
_LEAD = 2.0
"""Log-likelihood by which a scale must beat an offset to count as a scale."""
_SIGN_LEAD = 5.0
_PARTIAL = 0.93
_LEAST_FIT = 0.2
_FOLLOWS_P = 1e-3
_NO_DIGITS = 0.5
"""Part of a plausibility that is left where the digits do not show the factor; part of the values that would have to show it."""
_APART = 0.88
"""Plausibility where the inputs that depend on it have not moved with it."""
_FILLED = 0.3
"""The same where a slow quantity leapt to one value."""
_NO_STEP = 0.6
"""The same where no step is seen."""
_GROWS = 0.1
"""Plausibility of a small map where the column goes away from health ever more."""
_WANDERED = 0.3
"""Plausibility of a sign where a slow quantity may have wandered to the other side of 0, and of a map that no leap has made."""
_ONE_VALUE = -7.0
"""Log-chance below which values of health are not all the same."""
_NO_REPEATS = 0.1
"""Plausibility where no value comes twice any more, as it would under every map."""
_MIN_SHIFTED, _CLEARLY = 25, 5.0
"""Rows, and standard errors, by which an input must be off what the others make expect."""
_AS_CLOSE, _MAD = 2.0, 0.6745
"""Multiple of health's scatter that may be left; median absolute deviation of a normal, in standard deviations."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    groups: dict[tuple[float, float], list[tuple[ColumnView, Mapped, float]]] = {}
    no: list[Proposal | RuledOut] = []
    moved = examined(case, "distribution", "out_of_range", "unseen")
    for view in moved or unrelated(case):
        found, leapt = best_map(view), leap(view)
        if leapt is not None and (found is None or not found.map.is_known or _is_factor(found.map)):
            found = leapt
        else:
            leapt = None
        if found is None or (not moved and found.map.scale != -1 and not found.is_exact):
            continue
        fit = found.fit * (_plausible(case, view, found) if leapt is None else _plausible_leap(view, found))
        if fit >= _LEAST_FIT:
            key = (found.map.scale, found.map.offset) if found.map.is_known else (float(view.position), np.inf)
            groups.setdefault(key, []).append((view, found, fit))
        elif found.map.is_known:
            no.append(
                RuledOut(fault=FAULT, because=f"{_undo(view.name, found.map)} does not return it to its reference")
            )
    rest = examined(case, "distribution", "out_of_range", "unseen", most=ALL)[MAX_EXAMINED:]
    if not moved and not groups:
        no += _by_the_others(case)
    return [*(_proposal(case, group, _followers(group[0][1], rest)) for group in groups.values()), *no]


def _by_the_others(case: Case) -> list[Proposal]:
    """An input that is off by a constant, or a factor, from what the others make expect, before its distribution shows it."""
    found = off_by_the_others(case)
    if found is None or is_growing(case, found.left) or keeps_digits(found.view):
        return []
    view, left, off = found.view, found.left, found.off
    one = _shift(found)
    if one is None:
        return []
    how = (
        f"shifted by {number(float(f'{one.offset:.2g}'))}"
        if one.offset
        else f"{number(float(f'{one.scale:.3g}'))} times as large"
    )
    return [
        Proposal(
            fault=FAULT,
            fit=_APART if is_sudden(case, left) else _NO_STEP,
            explains=frozenset(dragged(case)),
            headline=f"{view.name} arrives {how}, given the other inputs"[:150],
            explanation=(
                f"The other inputs are as ever, and make other values of {view.name} expect: it is {how}. Its own distribution "
                "has hardly moved yet."
            ),
            action=f"Ask whoever feeds {view.name} what unit or zero point it has now ({_undo(view.name, one)}).",
            features=(view.name,),
            undo=Undo(
                transform=_undo(view.name, one),
                evidence_before=left.log10_evidence(left.current),
                evidence_after=left.log10_evidence(left.current - off),
            ),
            decider=f"the source's change log: was the unit of {view.name} changed?",
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Off:
    """An input that is not what the others make expect. left: what is left of it then; off: by how much, in its standard
    deviations, and z: in standard errors; values, residuals: later rows, (rows,)."""

    view: ColumnView
    left: ColumnView
    off: float
    z: float
    values: Floats
    residuals: Floats


def off_by_the_others(case: Case) -> Off | None:
    """The input that is off most clearly; None where none is."""
    pairs = ((case.features.get(n.removeprefix(DEPENDENCE)), v) for n, v in case.dependence.items())
    found = [
        one
        for view, left in pairs
        if view is not None and left.is_alarmed() and len(left.current_values) == len(view.current_values)
        if (one := _off(view, left)) is not None
    ]
    return max(found, key=lambda one: abs(one.z), default=None)


def _off(view: ColumnView, left: ColumnView) -> Off | None:
    later = slice(len(left.current_values) // 3, None)
    values, residuals = view.current_values[later], left.current_values[later]
    usable = ~(np.isnan(values) | np.isnan(residuals))
    values, residuals = values[usable], residuals[usable]
    if len(values) < _MIN_SHIFTED or left.reference.spread <= 0:
        return None
    off = float(np.median(residuals)) - left.reference.median
    error = 1.25 * left.reference.spread * np.sqrt(1 / len(values) + 1 / max(left.reference.n, 1))
    return Off(view, left, off, off / error, values, residuals) if abs(off) >= _CLEARLY * error else None


def _shift(found: Off) -> Map | None:
    """By which map an input is off; None where none leaves it as close to the others as it is in health."""
    view, left, values, residuals, off = found.view, found.left, found.values, found.residuals, found.off
    spread = view.reference.spread
    wanted = values - residuals * spread
    shifted = values - off * spread - wanted
    scale = float(np.median(values / np.where(wanted == 0, np.nan, wanted))) if view.reference.low > 0 else 0.0
    scattered = {Map(1.0, off * spread, "", False, 0.0): _scatter(shifted)}
    if scale > 0:
        scattered[Map(scale, 0.0, "", False, 0.0)] = _scatter(values / scale - wanted)
    one = min(scattered, key=lambda found: scattered[found])
    # Undone, it must go with the others about as closely as in health: a join to other rows does not.
    is_close = scattered[one] <= _AS_CLOSE * _MAD * left.reference.spread * spread
    return one if is_close else None


def _scatter(values: Floats) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def _followers(found: Mapped, views: list[ColumnView]) -> list[ColumnView]:
    """Inputs beyond those examined one by one whose later rows the same known map returns to their references."""
    if not found.map.is_known or found.share < _PARTIAL:
        return []
    return [v for v in views if not v.reference.kind.is_coded and _follows(found.map, v)]


def _follows(one: Map, view: ColumnView) -> bool:
    later = view.current[len(view.current) // 2 :]
    return bool(len(later)) and match_p(one.undo(later), view.reference) > _FOLLOWS_P


def _plausible(case: Case, view: ColumnView, found: Mapped) -> float:
    """How much a map looks like a change of unit rather than of the world."""
    factor = abs(np.log(abs(found.map.scale)))
    if _is_one_value(view, found):
        return 0.0
    if found.map.scale < 0 and _may_have_wandered(case, view):
        return _WANDERED
    if not found.is_exact and not is_sudden(case, view) and has_wandered(view):
        return _WANDERED * (1.0 if found.map.is_known else _NO_DIGITS)
    if has_lost_repeats(view) and not found.map.is_known:
        return _NO_REPEATS  # a known ratio may come with other digits
    left = case.dependence.get(DEPENDENCE + view.name)
    grows = any(one is not None and is_growing(case, one) for one in (view, left))
    if found.map.is_known and (factor > np.log(_LARGE_RATIO) or found.map.scale < 0 or found.map.offset):
        if found.share > _PARTIAL:
            # Some of the known ratios is near to any: where several fit, what grows is on its way past them.
            return _GROWS if found.rivals and grows else 0.97
        # Where several ratios fit a part of the rows none is exact: so many another change leaves them. So it does whole numbers,
        # of which °F, or feet, would have made fractions.
        shows = _NO_DIGITS if _would_show(view, found) else 1.0
        return (0.68 if found.rivals else 0.93) * shows * holds_against(found.gain, noise_gain(view))
    if found.is_exact:
        return _APART
    if grows:
        return _GROWS
    if found.map.is_known:
        # Drift of the world gets as far as a ratio of 1.6 or 2.2 too: all rows must follow it, and only in this column.
        alone = 0.6 if has_moved_partner(case, view) else 1.0
        return alone * (0.68 if found.share > _PARTIAL else 0.45)
    offset = abs(found.map.offset) / max(view.reference.spread, 1e-12)
    is_scale, is_offset = found.map.offset == 0, found.map.scale == 1
    # Turned round, a symmetric column fits as well as it does straight: the sign must lead.
    if factor > np.log(_LARGE_FACTOR) or (found.map.scale < 0 and found.lead > _SIGN_LEAD):
        plausible = 0.85 if is_scale else 0.75
    elif is_offset:
        plausible = 0.8 if offset > _LARGE_OFFSET else 0.4
    elif is_scale and found.lead > _LEAD:
        plausible = 0.65
    else:
        plausible = 0.35
    if found.share < _PARTIAL:
        plausible *= 0.5 if factor < np.log(_LARGE_FACTOR) else 0.7
    is_apart = left is not None and left.is_alarmed() and is_sudden(case, left) and not has_moved_partner(case, view)
    if is_apart and not keeps_digits(view):
        # The inputs that go with it stayed where they were: the world would have moved them, too, or this one slowly.
        plausible = max(plausible, _APART)
    if is_scale and _would_show(view, found):
        plausible *= _NO_DIGITS
    plausible *= holds_against(found.gain, noise_gain(view))
    return plausible * (0.6 if has_moved_partner(case, view) else 1.0)


def _is_factor(one: Map) -> bool:
    return one.offset == 0 and one.scale > 0


def _plausible_leap(view: ColumnView, found: Mapped) -> float:
    """The same of a slow quantity's leap: that it goes on wandering afterwards says nothing against it."""
    if np.ptp(view.current[found.rows]) == 0:
        return _FILLED  # one value may be a fill as well, until the quantity moves again
    if found.map.is_known:
        return 0.97
    return 0.85 if abs(np.log(found.map.scale)) > np.log(_LARGE_FACTOR) else 0.65


def _is_one_value(view: ColumnView, found: Mapped) -> bool:
    """Whether what a map explains has one value, where health's would not have become one: 30.2 °F is −1 °C, and −1 a fill."""
    mapped, usual = view.current[found.rows], max(view.reference.atoms.values(), default=0.0)
    if len(mapped) < 2 or np.ptp(mapped) > 0:
        return False
    alone = max(usual, 1 / max(view.reference.distinct, 1))
    return bool((len(mapped) - 1) * np.log(alone) < _ONE_VALUE)


def _may_have_wandered(case: Case, view: ColumnView) -> bool:
    """Whether a slow quantity may have come where it is step by step: no step of the whole, nor a jump unheard of, is seen."""
    if slowness(view.reference) <= SLOW or is_sudden(case, view):
        return False
    step = view.reference.given.get(Aspect.STEP)
    if step is None:
        return True
    jumps = np.abs(view.left(Aspect.STEP, view.current))
    return float(jumps.max(initial=0.0)) <= float(np.abs(step.quantiles).max())


def _would_show(view: ColumnView, found: Mapped) -> bool:
    """Whether the map makes further digits of health's values, which those of now do not have."""
    digits = digits_of(view)
    return (
        digits is not None
        and keeps_digits(view)
        and float(digits.finer(found.map.apply(view.healthy)).mean()) > _NO_DIGITS
    )


def _proposal(case: Case, group: list[tuple[ColumnView, Mapped, float]], followers: list[ColumnView]) -> Proposal:
    views = [*(view for view, _, _ in group), *followers]
    names = [view.name for view in views]
    view, found, fit = max(group, key=lambda item: item[1].gain)
    share = float(np.mean([one.share for _, one, _ in group]))
    rows = f" in {percent(share)} of the rows" if share < _PARTIAL else ""
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=explained(case, views, "distribution", "out_of_range", "unseen", "repeated"),
        headline=f"{listed(names)} {are(names, 'arrives', 'arrive')} {_says(found)}{rows}",
        explanation=_explanation(view, found, len(views)),
        action=(
            f"Ask whoever feeds {listed(names)} what unit it is sent in, and convert ({_undo(view.name, found.map)})."
        ),
        features=tuple(names),
        undo=Undo(
            transform="; ".join(_undo(one.name, m.map) for one, m, _ in group[:3]),
            evidence_before=sum(m.before for _, m, _ in group),
            evidence_after=sum(m.after for _, m, _ in group),
        ),
        since_ms=leapt_ms(view),
        decider=""
        if found.map.is_known and fit > 0.8
        else f"the source's change log: was the unit of {view.name} changed, or the population?",
    )


def _says(found: Mapped) -> str:
    if found.map.is_known and not found.rivals:
        return found.map.says
    scale, offset = found.map.scale, found.map.offset
    if scale == 1:
        return f"shifted by {number(offset)}"
    times = f"{number(abs(scale))} times too large" if abs(scale) > 1 else f"{number(1 / abs(scale))} times too small"
    sign = " with the opposite sign" if scale < 0 else ""
    return times + sign + (f" and shifted by {number(offset)}" if offset else "")


def _explanation(view: ColumnView, found: Mapped, columns: int) -> str:
    was, now = compared(view.reference.median, float(np.median(view.current[found.rows])))
    if view.step is not None and (leapt := leap(view)) is not None and leapt.map == found.map:
        before, after = (number(one) for one in levels(view.step))
        return (
            f"From one row to the next {view.name} went from {before} to {after}, and stays there. It wanders: before that it "
            f"had come from {number(view.reference.median)}, its median in health, to {before}."
        )
    text = (
        f"The median of {view.name} was {was} and is {now} in the affected rows "
        f"({percent(found.share)} since they began). "
        f"{_undo(view.name, found.map)} returns it to its reference: evidence {found.before:.1f} falls to "
        f"{found.after:.1f}."
    )
    if found.rivals:
        text += " Other units that fit as well: " + "; ".join(m.says for m in found.rivals[:2]) + "."
    if not found.is_step:
        text += " Early and late rows do not fit alike, which speaks against a change of unit."
    return text + (f" The same map fits {columns - 1} more." if columns > 1 else "")


def _undo(name: str, one: Map) -> str:
    """The inverse in words: "income × 1000"."""
    if one.scale == 1:
        return _plus(name, -one.offset)
    if one.scale == -1:
        return _plus(f"−{name}", one.offset)
    if abs(one.scale) < 1:
        return _plus(f"{name} × {number(1 / one.scale)}", -one.offset / one.scale)
    inner = _plus(name, -one.offset)
    return f"({inner}) ÷ {number(one.scale)}" if one.offset else f"{name} ÷ {number(one.scale)}"


def _plus(text: str, offset: float) -> str:
    if not offset:
        return text
    return f"{text} {'+' if offset > 0 else '−'} {number(abs(offset))}"


def _times(factor: float, *names: str, share: float = 1.0) -> Break:
    return change(lambda value, i: value * factor, *names, share=share)


_POORER = (
    change(lambda v, i: v * 0.5 if i % 5 < 3 else v, "income", world=True),
    change(lambda v, i: v - 3_000 if i % 5 < 3 else v, "balance", world=True),
    change(lambda v, i: v - 9_000 if i % 5 < 3 else v, "assets", world=True),
    change(lambda v, i: 18 + (v - 18) // 2 if i % 5 < 3 else v, "age", world=True),
)

RULE = Rule(
    fault=FAULT,
    rung=Rung.TRANSFORM,
    examine=examine,
    examples=(
        Example("income arrives in thousands", _times(1 / 1000, "income")),
        Example("income arrives in cents", _times(100, "income")),
        Example("temperature arrives in °F instead of °C", change(lambda v, i: v * 1.8 + 32, "temperature")),
        Example("temperature arrives in kelvin", change(lambda v, i: v + 273.15, "temperature")),
        Example("balance arrives with the opposite sign", _times(-1, "balance")),
        Example("tenure in hours instead of days", _times(24, "tenure_days")),
        Example("age × 2.54", _times(2.54, "age")),
        Example("income × 1/1.609344", _times(1 / 1.609344, "income")),
        Example("income in thousands in every fifth row", _times(1 / 1000, "income", share=0.2)),
        Example("income × 1000 in 5 % of the rows", _times(1000, "income", share=0.05)),
        Example("an unnamed factor: balance × 7.3", _times(7.3, "balance")),
        Example("an unnamed factor that leaves further digits: age × 1.2", _times(1.2, "age")),
        Example("age with the opposite sign in a fifth of the rows", _times(-1, "age", share=0.2)),
        Example("income and balance both in cents", _times(100, "income", "balance")),
        Example("the constant limit in thousands", _times(1 / 1000, "limit")),
        Example("a poorer public comes in addition", both(*_POORER), named=False),
        Example(
            "income drifts down over 800 rows",
            change(lambda v, i: v / (1 + min(i, 800) / 500), "income", world=True),
            named=False,
        ),
        Example(
            "the temperature is half a standard deviation higher",
            change(lambda v, i: v + 3.2, "temperature"),
            named=False,
        ),
        Example(
            "a few absurd incomes",
            change(lambda v, i: v * (5 + 300 * scatter(i) ** 2), "income", share=0.05),
            named=False,
        ),
        Example("income filled with 0", fill(0, "income", share=0.3), named=False),
        Example("age and tenure swapped", swap("age", "tenure_days"), named=False),
    ),
    runbook=Runbook(
        means="A producer sends the feature in another unit or scale; the model reads the numbers as before and errs.",
        confirm="Compare the medians in the diagnosis: their ratio is the factor. Look at one raw event of the source.",
        do=(
            "Convert at the producer, or in the feature pipeline until it is fixed. Score again what was "
            "decided since the onset."
        ),
        if_wrong=(
            "If the population really moved, related features moved too: accept the incident to learn the new "
            "reference."
        ),
    ),
    look_alikes=(Fault.COVARIATE_DRIFT, Fault.OUTLIERS),
)
