"""What one signal's evidence looks like in a diagnosis: health and now in a few named numbers, the change in a few words.

Belongs here: the step from a `SignalEvidence` and its column to `Evidence` on the wire. Not here: which fault it speaks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from whydrift.core.case import Case, ColumnView, RatePicture, SignalEvidence
from whydrift.core.columns import Floats, Presence
from whydrift.core.faults.inputs import new_atoms, number, percent
from whydrift.core.faults.paces import medians
from whydrift.core.replicas import PREFIX
from whydrift.core.signals import CONDITIONAL, Aspect
from whydrift_schemas import Evidence
from whydrift_schemas.values import MAX_NAME, MAX_TIME_MS, MIN_TIME_MS

Details = dict[str, float | int | str]

_QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}
_MOVED = 0.15
"""Standard deviations from which a median's move is worth naming; below, the move is elsewhere in the distribution."""
_MIN_ATOM = 0.02
"""Share of rows from which a value that came up is what people should see."""
_MOST_CATEGORIES = 4
_MAX_LOG10 = 300.0
_FLAGS = {
    Aspect.MISSING: "missing",
    Aspect.TYPE: "of another type",
    Aspect.OUT_OF_RANGE: "out of range",
    Aspect.UNSEEN: "unseen values",
    Aspect.REPEATED: "repeated values",
    Aspect.RUNS: "longer runs of one value than ever",
}
_LEFT = {Aspect.HOURLY: "of the distance from its hour's median", Aspect.STEP: "of the change from row to row"}
_WORLD = {"duplicates": "repeated events", "schema": "with unknown keys", "backwards": "back in time"}
_LOGARITHMS = {"latency": "ms", "label_delay": "s"}
"""Columns that hold log10 of a quantity, and its unit: people read the quantity."""


@dataclass(frozen=True, slots=True)
class _Exhibit:
    reference: Details
    current: Details
    effect: str


def exhibit(case: Case, signal: SignalEvidence) -> Evidence:
    """One signal's evidence as published."""
    seen = _seen(case, signal)
    return Evidence(
        signal=signal.signal,
        log10_e=_rounded(signal.log10_e),
        threshold=_rounded(signal.log10_threshold),
        reference=seen.reference,
        current=seen.current,
        effect=seen.effect,
        since=since(case, signal),
    )


def since(case: Case, signal: SignalEvidence) -> int:
    """When the signal began to differ, in epoch milliseconds: never after it was told, and a time the contract allows.

    A guard may not know its onset (0): then the case's.
    """
    onset_ms = signal.onset_ms if signal.onset_ms >= MIN_TIME_MS else case.onset_ms
    return min(max(min(onset_ms, case.detected_ms), MIN_TIME_MS), MAX_TIME_MS)


def _rounded(log10: float) -> float:
    return round(min(max(log10, -_MAX_LOG10), _MAX_LOG10), 2) if log10 == log10 else 0.0


def _seen(case: Case, signal: SignalEvidence) -> _Exhibit:
    for rate in (case.arrivals, case.label_arrivals):
        if rate.evidence is signal:
            return _rate(rate)
    view = _view(case, signal)
    if view is not None and signal.aspect == Aspect.DISTRIBUTION:
        return _distribution(view)
    if view is not None and signal.aspect in CONDITIONAL:
        return _left(view, Aspect(signal.aspect))
    if signal.current_share is not None:
        signal = replace(signal, current_share=_share_now(view, signal))
        words = _FLAGS.get(Aspect(signal.aspect), signal.aspect) if signal.aspect in set(Aspect) else ""
        return _share(signal, words or _WORLD.get(signal.signal, signal.signal))
    if signal in case.paces:
        return _pace(case, signal)
    if signal in case.replicas:
        return _Exhibit({}, {}, "answers like cases otherwise than the other replicas")
    return _mean(view) if view is not None else _Exhibit({}, {}, "changed")


def _pace(case: Case, signal: SignalEvidence) -> _Exhibit:
    """How long a replica's calls take beside those of the others."""
    found = medians(case, signal.column.removeprefix(PREFIX))
    if found is None:
        return _Exhibit({}, {}, "calls take another time than those of the other replicas")
    others, own = (float(f"{value:.3g}") for value in found)
    words = f"median {number(own)} ms, of the other replicas {number(others)} ms"
    return _Exhibit(_finite({"others_median": others}, "ms"), _finite({"median": own}, "ms"), words)


def _view(case: Case, signal: SignalEvidence) -> ColumnView | None:
    """The column a signal is about. Looked up by the evidence itself first: an input may be called `loss`."""
    groups = (case.features, case.segments, case.outputs, case.labels)
    found = [group[signal.column] for group in groups if signal.column in group]
    same = [view for view in found if view.signals.get(signal.aspect) is signal]
    return next(iter(same or found[::-1]), None)


def _rate(rate: RatePicture) -> _Exhibit:
    was, now = rate.expected_per_hour, rate.observed_per_hour
    if was is None or now is None:
        return _Exhibit(_finite({"per_hour": was}), _finite({"per_hour": now}), "another rate than expected")
    was_rounded, now_rounded = (number(float(f"{value:.3g}")) for value in (was, now))
    return _Exhibit(_finite({"per_hour": was}), _finite({"per_hour": now}), f"{was_rounded} → {now_rounded} per hour")


def _share_now(view: ColumnView | None, signal: SignalEvidence) -> float | None:
    """The share in the later rows where they tell: the signal's own takes in rows from before the onset."""
    if view is None or not len(view.current_presence):
        return signal.current_share
    later = view.current_presence[len(view.current_presence) // 3 :]
    if signal.aspect == Aspect.MISSING:
        return float(np.isin(later, (Presence.NULL, Presence.ABSENT)).mean())
    return float((later == Presence.FOREIGN).mean()) if signal.aspect == Aspect.TYPE else signal.current_share


def _share(signal: SignalEvidence, words: str) -> _Exhibit:
    was, now = signal.reference_share, signal.current_share or 0.0
    text = f"{words} {percent(now)}" if was is None else f"{words} {percent(was)} → {percent(now)}"
    return _Exhibit(_finite({"share": was}), _finite({"share": now}), text)


def _mean(view: ColumnView) -> _Exhibit:
    """What a guard of a mean has seen."""
    if view.reference.kind.is_coded or not len(view.current) or not len(view.healthy):
        return _Exhibit({}, {}, "changed")
    was, now = float(view.healthy.mean()), float(_later(view).mean())
    return _Exhibit(_finite({"mean": was}), _finite({"mean": now}), f"mean {number(was)} → {number(now)}")


def _distribution(view: ColumnView) -> _Exhibit:
    if not len(view.current):
        return _Exhibit({}, {}, "no values any more")
    if view.name == "errors":
        return _failures(view)
    return _categories(view) if view.reference.kind.is_coded else _quantiles(view)


def _left(view: ColumnView, aspect: Aspect) -> _Exhibit:
    """Quantiles of what is left given something."""
    known, left = view.reference.given[aspect], view.left(aspect, view.current)
    left = left[len(left) // 3 :]
    if not len(left):
        return _Exhibit({}, {}, "changed")
    grid = np.linspace(0, 1, len(known.quantiles))
    was = {name: float(np.interp(p, grid, known.quantiles)) for name, p in _QUANTILES.items()}
    now = {name: float(np.quantile(left, p)) for name, p in _QUANTILES.items()}
    name = _most_moved(was, now, float(np.interp(0.75, grid, known.quantiles) - np.interp(0.25, grid, known.quantiles)))
    words = f"{name} {_LEFT[aspect]} {number(was[name])} → {number(now[name])}"
    return _Exhibit(_finite(was), _finite(now), words)


def _later(view: ColumnView) -> Floats:
    """Without the first third: an onset estimate takes in rows from before it."""
    later: Floats = view.current[len(view.current) // 3 :]
    return later


def _failures(view: ColumnView) -> _Exhibit:
    was = float(view.healthy.mean()) if len(view.healthy) else 0.0
    now = float(_later(view).mean())
    return _Exhibit({"share": round(was, 4)}, {"share": round(now, 4)}, f"failed {percent(was)} → {percent(now)}")


def _quantiles(view: ColumnView) -> _Exhibit:
    was = {name: view.reference.quantile(p) for name, p in _QUANTILES.items()}
    now = {name: float(np.quantile(_later(view), p)) for name, p in _QUANTILES.items()}
    unit = _LOGARITHMS.get(view.name, "") if view.position < 0 else ""
    name = _most_moved(was, now, view.reference.spread)
    if unit:
        was, now = ({key: 10 ** min(value, 300) for key, value in side.items()} for side in (was, now))
    atom = None if unit or name == "median" else _new_value(view)
    effect = atom or f"{name} {number(was[name])} → {number(now[name])}{' ' if unit else ''}{unit}"
    return _Exhibit(_finite(was, unit), _finite(now, unit), effect)


def _most_moved(was: Mapping[str, float], now: Mapping[str, float], spread: float) -> str:
    """The median if it moved at all, else the tail that moved most."""
    if abs(now["median"] - was["median"]) > _MOVED * spread:
        return "median"
    return max(("p90", "p10"), key=lambda name: abs(now[name] - was[name]))


def _new_value(view: ColumnView) -> str | None:
    """The value that now comes far more often, in words."""
    atom = next(iter(new_atoms(view)), None)
    if atom is None or atom.share < _MIN_ATOM:
        return None
    return f"{number(atom.value)} in {percent(atom.reference_share)} → {percent(atom.share)} of the values"


def _categories(view: ColumnView) -> _Exhibit:
    was, now = view.reference.shares, view.categories()
    ranked = sorted({*was, *now}, key=lambda name: (-max(was.get(name, 0.0), now.get(name, 0.0)), name))
    moved = max(ranked, key=lambda name: abs(now.get(name, 0.0) - was.get(name, 0.0)))
    shown = [moved, *(name for name in ranked if name != moved)][:_MOST_CATEGORIES]
    sides = [{_key(name): round(side.get(name, 0.0), 4) for name in shown} for side in (was, now)]
    effect = f'"{moved[:60]}" {percent(was.get(moved, 0.0))} → {percent(now.get(moved, 0.0))}'
    return _Exhibit(dict(sides[0]), dict(sides[1]), effect)


def _key(category: str) -> str:
    """A category as a name on the wire, which is never empty and of limited length."""
    return category[:MAX_NAME] or '""'


def _finite(values: Mapping[str, float | None], unit: str = "") -> Details:
    """Six significant digits of what is finite; the unit goes into the name."""
    return {
        f"{name}_{unit}" if unit else name: float(f"{value:.6g}")
        for name, value in values.items()
        if value is not None and isfinite(value)
    }
