"""What is drawn of an incident, as plain numbers: distributions then and now, evidence and loss over time, and by segment.

Made when an incident is judged, which is seldom; curves are taken anew from the model's histories when somebody looks, and for
the last time when the incident is over.

Belongs here: the frozen numbers, and making them from a `Case`. Not here: drawing (`whydrift.shell.pages`), keeping histories
(`history`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import Aligned, Case, ColumnView
from whydrift.core.columns import Floats, Presence
from whydrift.core.history import Series

if TYPE_CHECKING:
    from whydrift.core.diagnose import Finding
    from whydrift.core.model import ModelWatch
    from whydrift.core.version import VersionWatch

Scale = Literal["linear", "log"]
Points = tuple[tuple[int, float], ...]

BINS = 24
MOST_CATEGORIES = 8
MOST_SPREADS = 4
MOST_CURVES = 4
MOST_SLICES = 6
OTHERS = "(others)"
_FEW_VALUES = 10
"""A numeric column with at most so many distinct values is drawn value by value."""
_LOG_RATIO = 8.0
"""Medians so far apart are drawn on a logarithmic axis, or one of the two would be a line."""
_TAIL = 0.005
"""Share on either side that goes into the outermost bins, lest one value sets the width of all."""
_LEAST_ROWS = 20
_LEAST_SLICE = 10
_LEAST_BEFORE = 12
"""Points shown from before the onset at least."""
_LOGARITHMS = {"latency": "ms", "label_delay": "s"}
"""Columns that hold log10 of a quantity, and its unit."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One column in health and now. `reference` and `current`: share of the rows in each bin, or of each label.

    edges: of the bins (bins + 1,), empty for categories; labels: categories, empty for bins. The outermost bins hold what lies
    beyond. missing_…: share of the rows without a usable value. role: input, answer, label or segment.
    """

    name: str
    role: str
    scale: Scale
    unit: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    missing_reference: float
    missing_current: float
    rows: int
    """Current rows that it was made from."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Evidence on one signal over time: log10 of e-values, and from where on it is an alarm."""

    signal: str
    threshold: float
    points: Points


@dataclass(frozen=True, slots=True)
class LossCurve:
    """The mean loss of chunks of labelled predictions by the time of the prediction; `reference` is that of health."""

    metric: str
    model_version: str
    reference: float | None
    points: Points


@dataclass(frozen=True, slots=True)
class Slice:
    """One value of a dimension (`replica`, `version`, a segment): its share of the traffic, and the mean of `measure` in it."""

    dimension: str
    value: str
    measure: Literal["loss", "prediction"]
    share_reference: float
    share_current: float
    mean_reference: float | None
    mean_current: float | None


@dataclass(frozen=True, slots=True)
class IncidentGraphs:
    """Everything that is drawn of one incident. `model_version`: whose answers are shown."""

    model_version: str = ""
    spreads: tuple[Spread, ...] = ()
    curves: tuple[Curve, ...] = ()
    loss: LossCurve | None = None
    slices: tuple[Slice, ...] = ()

    def snapshot(self) -> Any:
        return msgspec.to_builtins(self)

    @staticmethod
    def restore(state: Any) -> "IncidentGraphs":
        return msgspec.convert(state, IncidentGraphs)


NO_GRAPHS = IncidentGraphs()


def graphs(case: Case, finding: "Finding") -> IncidentGraphs:
    """What is drawn of a finding, except curves: those come from histories (`with_curves`)."""
    shown = [Curve(one.signal, one.threshold, ()) for one in finding.evidence[:MOST_CURVES]]
    metric = case.performance.metric if case.performance is not None else "loss"
    reference = case.performance.reference if case.performance is not None else None
    return IncidentGraphs(
        model_version=case.model_version,
        spreads=tuple(_spreads(case, finding)),
        curves=tuple(shown),
        loss=LossCurve(metric, case.model_version, reference, ()),
        slices=_slices(case),
    )


def with_curves(drawn: IncidentGraphs, model: "ModelWatch", onset_ms: int) -> IncidentGraphs:
    """The same with evidence and loss as the model's histories have them now."""
    version = model.versions.get(drawn.model_version)
    curves = [replace(c, points=_window(_trail(model, version, c.signal), onset_ms)) for c in drawn.curves]
    loss = drawn.loss
    if loss is not None and version is not None:
        loss = replace(loss, points=_window(version.loss_means.series(), onset_ms))
    return replace(drawn, curves=tuple(curves), loss=loss)


def _trail(model: "ModelWatch", version: "VersionWatch | None", signal: str) -> Series:
    """A version's signal before another's of the same name."""
    own = [] if version is None else [version.outputs, version.losses]
    found = [series for monitor in [*own, *model.monitors()] if (series := monitor.trail.series(signal))]
    return found[0] if found else []


def _window(series: Series, onset_ms: int) -> Points:
    """What came after the onset, and as much time before it; some points of health at least."""
    ordered = sorted(series)
    if not ordered:
        return ()
    first_ms = 2 * onset_ms - ordered[-1][0]
    before = sum(at_ms < onset_ms for at_ms, _ in ordered)
    inside = sum(first_ms <= at_ms < onset_ms for at_ms, _ in ordered)
    return tuple(ordered[before - max(inside, min(before, _LEAST_BEFORE)) :])


# -- distributions --------------------------------------------------------------------------------------------------------


def _spreads(case: Case, finding: "Finding") -> Iterator[Spread]:
    """What the cause names, then what the evidence is about, then how the answers are spread."""
    features = [("input", name) for cause in finding.causes[:1] for name in cause.features]
    signals = [one.signal.rpartition(".")[0] or one.signal for one in finding.evidence]
    columns = [(role, name) for name in signals for role, group in _groups(case) if name in group]
    shown = list(dict.fromkeys([*features, *columns]))[:MOST_SPREADS]
    if ("answer", "prediction") not in shown:
        shown.append(("answer", "prediction"))
    groups = dict(_groups(case))
    for role, name in shown:
        view = groups[role].get(name)
        spread = None if view is None else _spread(view, role)
        if spread is not None:
            yield spread


def _groups(case: Case) -> tuple[tuple[str, Mapping[str, ColumnView]], ...]:
    return (("input", case.features), ("answer", case.outputs), ("label", case.labels), ("segment", case.segments))


def _spread(view: ColumnView, role: str) -> Spread | None:
    """None where too little is known of either side to draw it."""
    start = len(view.current_values) // 3  # an onset estimate takes in rows from before it
    presence = view.current_presence[start:]
    current = view.current_values[start:][presence == Presence.PRESENT]
    if not len(presence):
        return None
    if view.reference.kind.is_coded:
        drawn = _categories(view, role, current)
    elif len(view.healthy):
        drawn = _numbers(view, role, current)
    else:
        return None
    rows = max(view.reference.rows, 1)
    return replace(
        drawn,
        missing_reference=round((rows - view.reference.n) / rows, 4),
        missing_current=round(float((presence != Presence.PRESENT).mean()), 4),
        rows=len(presence),
    )


def _categories(view: ColumnView, role: str, current: Floats) -> Spread:
    was, now = dict(view.reference.shares), _shares([view.column.category(code) for code in current.tolist()])
    return _labelled(view.name, role, was, now)


def _labelled(name: str, role: str, was: Mapping[str, float], now: Mapping[str, float], unit: str = "") -> Spread:
    ranked = sorted({*was, *now}, key=lambda one: (-max(was.get(one, 0.0), now.get(one, 0.0)), one))
    shown = ranked[:MOST_CATEGORIES]
    sides = [tuple(round(side.get(one, 0.0), 4) for one in shown) for side in (was, now)]
    if len(ranked) > len(shown):
        shown.append(OTHERS)
        sides = [(*side, round(max(0.0, 1 - sum(side)), 4)) for side in sides]
    return Spread(name, role, "linear", unit, (), tuple(shown), sides[0], sides[1], 0.0, 0.0, 0)


def _numbers(view: ColumnView, role: str, current: Floats) -> Spread:
    unit = _LOGARITHMS.get(view.name, "") if view.position < 0 else ""
    healthy = view.healthy
    if unit:
        healthy, current = (10.0 ** np.minimum(side, 300) for side in (healthy, current))
    both = np.unique(np.concatenate([healthy, current]))
    if len(both) <= _FEW_VALUES and len(view.reference_values):
        was, now = (_shares([f"{value:.6g}" for value in side.tolist()]) for side in (healthy, current))
        drawn = _labelled(view.name, role, was, now, unit)
        order = sorted(range(len(drawn.labels)), key=lambda place: _as_number(drawn.labels[place]))
        picked = [tuple(side[place] for place in order) for side in (drawn.reference, drawn.current)]
        return replace(drawn, labels=tuple(drawn.labels[i] for i in order), reference=picked[0], current=picked[1])
    edges, scale = _edges(healthy, current)
    sides = [_histogram(side, edges) for side in (healthy, current)]
    return Spread(view.name, role, scale, unit, edges, (), sides[0], sides[1], 0.0, 0.0, 0)


def _as_number(label: str) -> float:
    return float("inf") if label == OTHERS else float(label)


def _shares(labels: Sequence[str]) -> dict[str, float]:
    return {name: count / len(labels) for name, count in sorted(Counter(labels).items())}


def _edges(healthy: Floats, current: Floats) -> tuple[tuple[float, ...], Scale]:
    sides = [side for side in (healthy, current) if len(side)]
    low = min(float(np.quantile(side, _TAIL)) for side in sides)
    high = max(float(np.quantile(side, 1 - _TAIL)) for side in sides)
    if not high > low:
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    medians = [float(np.median(side)) for side in sides]
    if low > 0 and max(medians) > _LOG_RATIO * min(medians):
        return tuple(float(f"{edge:.6g}") for edge in np.geomspace(low, high, BINS + 1)), "log"
    return tuple(float(f"{edge:.6g}") for edge in np.linspace(low, high, BINS + 1)), "linear"


def _histogram(values: Floats, edges: Sequence[float]) -> tuple[float, ...]:
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    return tuple(round(float(count) / max(len(values), 1), 4) for count in counts)


# -- by segment -----------------------------------------------------------------------------------------------------------


def _slices(case: Case) -> tuple[Slice, ...]:
    """The dimension in which the slices differ most in what happened to them; by loss where labels are there, else by answer."""
    for aligned, measure in ((case.labelled, "loss"), (case.answered, "prediction")):
        rows = aligned.current.outputs.get(measure)
        if rows is None or int(np.isfinite(rows).sum()) < _LEAST_ROWS:
            continue
        found = [
            _by(aligned, name, "loss" if measure == "loss" else "prediction") for name in aligned.current.dimensions
        ]
        told = [one for one in found if len(one) > 1]
        if told:
            return max(told, key=lambda one: (_difference(one), one[0].dimension))
    return ()


def _by(aligned: Aligned, name: str, measure: Literal["loss", "prediction"]) -> tuple[Slice, ...]:
    """Slices of one dimension, the largest first."""
    now = aligned.current.dimensions[name].groups()
    then = aligned.reference.dimensions[name].groups() if name in aligned.reference.dimensions else {}
    counts = {value: int(rows.sum()) for value, rows in now.items()}
    shown = sorted((value for value, n in counts.items() if n >= _LEAST_SLICE), key=lambda one: (-counts[one], one))
    return tuple(
        Slice(
            dimension=name,
            value=value,
            measure=measure,
            share_reference=_share(then.get(value)),
            share_current=_share(now[value]),
            mean_reference=_mean(aligned.reference.outputs.get(measure), then.get(value)),
            mean_current=_mean(aligned.current.outputs.get(measure), now[value]),
        )
        for value in shown[:MOST_SLICES]
    )


def _share(rows: NDArray[np.bool_] | None) -> float:
    return 0.0 if rows is None or not len(rows) else round(float(rows.mean()), 4)


def _mean(values: Floats | None, rows: NDArray[np.bool_] | None) -> float | None:
    if values is None or rows is None or len(values) != len(rows):
        return None
    chosen = values[rows & np.isfinite(values)]
    return float(f"{chosen.mean():.6g}") if len(chosen) >= _LEAST_SLICE else None


def _difference(slices: Sequence[Slice]) -> float:
    """How differently the slices of one dimension have changed."""
    changes = [
        one.mean_current - one.mean_reference
        for one in slices
        if one.mean_current is not None and one.mean_reference is not None
    ]
    return max(changes) - min(changes) if len(changes) > 1 else 0.0
