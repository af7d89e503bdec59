"""The picture that diagnosis looks at, taken of a model at one moment: one `Case`.

Belongs here: which rows count as current, and gathering views. Not here: any judgement (`faults`, `diagnose`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whydrift.core.aligned import answered, labelled
from whydrift.core.case import (
    Case,
    ColumnView,
    ErrorPicture,
    EstimatePicture,
    PerformancePicture,
    RatePicture,
    SignalEvidence,
)
from whydrift.core.columns import Floats, Presence, Rows
from whydrift.core.detectors.rate import RateGuard
from whydrift.core.estimate import Estimated
from whydrift.core.estimator import holds_under
from whydrift.core.inputs import FLAGS
from whydrift.core.label_feed import LabelFeed
from whydrift.core.monitor import Monitor
from whydrift.core.performance import NotReady
from whydrift.core.reference import ColumnReference
from whydrift.core.stream_time import middle_of_neighbours
from whydrift.core.version import VersionWatch

if TYPE_CHECKING:
    from whydrift.core.model import ModelWatch

_LEAST_LOSSES = 20
"""Losses that make a mean worth telling."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Where a change began: its time, and its offset where the rows it was seen in are in order of offsets."""

    ms: int
    offset: int | None

    def is_reached(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows, in order of arrival, are from it on: by offset, where there is one; else by the time of those around them.

        By a clock that is ahead hours of rows would be, and by one that is behind none.
        """
        if self.offset is not None:
            return rows.offsets >= self.offset
        reached: NDArray[np.bool_] = middle_of_neighbours(rows.times_ms.astype(float)) >= self.ms
        return reached


def picture(model: "ModelWatch", version: VersionWatch | None, onset: Onset, stream_ms: int) -> Case:
    """The case of a model as seen since an onset; outputs and losses are those of one version."""
    inputs = model.inputs.monitor
    current = _since(inputs.recent(), onset)
    evidence = inputs.evidence(current)
    features = inputs.views(current, evidence, model.inputs.positions())
    flags = {one.signal: one for one in evidence if one.aspect == ""}
    labels: dict[str, ColumnView] = {}
    for monitor in model.label_monitors():
        labels |= _views(monitor, _since_time(monitor.recent(), onset))
    outputs: Mapping[str, ColumnView] = {}
    errors = ErrorPicture({}, {})
    if version is not None:
        answers = _since(version.outputs.recent(), onset)
        outputs = _views(version.outputs, answers)
        errors = version.error_picture(answers)
        labels |= _views(version.losses, _since_time(version.losses.recent(), onset))
    return Case(
        model_id=model.model_id,
        model_version=version.version if version is not None else model.main_version,
        onset_ms=onset.ms,
        detected_ms=stream_ms,
        current_rows=len(current),
        reference_kind="profile" if model.is_profiled else "baseline",
        features=features,
        outputs=outputs,
        labels=labels,
        world={name: flags[name] for name in FLAGS if name in flags} | {"parameters": model.parameters_evidence()},
        schema=model.inputs.schema(current),
        arrivals=_rate("arrivals", model.arrivals, inputs.log10_threshold),
        label_arrivals=_rate("label_arrivals", model.label_arrivals, inputs.log10_threshold),
        errors=errors,
        model_changes=tuple(model.changes),
        performance=None if version is None else _performance(version, onset),
        estimate=None if version is None else _estimate(version, onset),
        segments=_views(model.dimensions.segments, _since(model.dimensions.segments.recent(), onset)),
        dependence=_views(model.dependence.monitor, _since(model.dependence.monitor.recent(), onset)),
        answered=answered(model, version, lambda rows: _since(rows, onset)),
        labelled=labelled(model, lambda rows: _since_time(rows, onset)),
        stand_in=None if version is None else version.stand_in(),
        guards=() if version is None else version.guard_evidence(),
        leaning="" if version is None else _leaning(version),
        earlier=_earlier(inputs, onset) | _earlier(model.dependence.monitor, onset),
        replicas=() if version is None else version.replicas.evidence(),
        paces=() if version is None else version.paces.evidence(),
    )


def _views(monitor: Monitor, current: Rows) -> dict[str, ColumnView]:
    return monitor.views(current, monitor.evidence(current))


def _earlier(monitor: Monitor, onset: Onset) -> dict[str, Floats]:
    rows = monitor.recent()
    rows = rows.take(~onset.is_reached(rows))
    is_there = rows.presence == Presence.PRESENT
    return {column.name: rows.values[is_there[:, i], i] for i, column in enumerate(monitor.columns)}


def _since(rows: Rows, onset: Onset) -> Rows:
    return rows.take(onset.is_reached(rows))


def _since_time(rows: Rows, onset: Onset) -> Rows:
    return rows.take(rows.times_ms >= onset.ms)


def _rate(name: str, guard: RateGuard | LabelFeed, log10_threshold: float) -> RatePicture:
    if not guard.is_ready:
        return RatePicture(None, None, None)
    evidence = SignalEvidence(name, name, "", guard.log10_e, log10_threshold, max(guard.onset_ms, 0), guard.is_alarmed)
    return RatePicture(guard.expected_per_hour(), guard.observed_per_hour(), evidence)


def estimated(
    model: "ModelWatch", version: VersionWatch, since: Callable[[Rows], Rows] = lambda rows: rows
) -> dict[str, Estimated] | NotReady:
    """A version's metrics over its latest answers that count, as labels would show them.

    Withdrawn where labels have refuted it, and while an incident is open under which they will.
    """
    found = version.estimator.estimate(version.answered(since))
    if isinstance(found, NotReady):
        return found
    for one in model.incidents.open.values():
        if one.is_published and not holds_under(one.diagnosis.causes):
            return NotReady(
                f"withdrawn during {one.fault} (incident {one.incident_id}): labels will show something else"
            )
    return found


def _estimate(version: VersionWatch, onset: Onset) -> EstimatePicture | None:
    """Of the answers since the onset, without the first of them, which may be from before it."""

    def later(rows: Rows) -> Rows:
        current = _since(rows, onset)
        return current.take(slice(len(current) // 3, None))

    found, reference = version.estimator.estimate(version.answered(later)), version.losses.references[0]
    loss = None if isinstance(found, NotReady) else found.get(version.estimator.loss)
    if loss is None or reference is None:
        return None
    return EstimatePicture(version.estimator.loss, _mean_of(reference), loss.value, loss.low, loss.high)


def _leaning(version: VersionWatch) -> str:
    """In words: where what comes true lies to one side of the answers."""
    columns = version.inputs.columns
    found = version.bias.leaning([column.name for column in columns])
    if found is None:
        return ""
    name, is_higher, low, high = found
    way = f"what comes true is {'higher' if is_higher else 'lower'} than answered"
    if not name:
        return way
    if low == high:
        column = next(column for column in columns if column.name == name)
        return f"{way} where {name} is {column.category(low)}"
    shown = "the answer" if name == "prediction" else name
    ends = [f"{word} {float(f'{end:.3g}'):g}" for word, end in (("from", low), ("below", high)) if isfinite(end)]
    return f"{way} where {shown} is {' and '.join(ends)}"


def _mean_of(reference: ColumnReference) -> float:
    """The mean over evenly spaced quantiles is the mean of the reference."""
    return float((reference.quantiles[1:] + reference.quantiles[:-1]).mean() / 2)


def _performance(version: VersionWatch, onset: Onset) -> PerformancePicture | None:
    reference = version.losses.references[0]
    losses = _since_time(version.losses.recent(), onset).values[:, 0]
    if reference is None or len(losses) < _LEAST_LOSSES:
        return None
    metrics = version.performance.metrics("recent")
    metric = next((name for name in ("log_loss", "mae") if name in metrics), "error_rate")
    return PerformancePicture(metric, _mean_of(reference), float(np.mean(losses)))
