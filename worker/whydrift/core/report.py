"""The picture of a model that metrics and health endpoints are made from.

Belongs here: gathering it. Not here: metric names (`whydrift.shell.metrics`), the shape of the picture (`status`).
"""

from math import isfinite
from typing import TypeGuard

import numpy as np

from whydrift.core.estimate import Estimated
from whydrift.core.incidents import column_of_signal, plain
from whydrift.core.model import ModelWatch
from whydrift.core.performance import NotReady, Window
from whydrift.core.picture import estimated
from whydrift.core.status import ModelStatus, PerformanceStatus, SignalStatus
from whydrift.core.version import VersionWatch

_LEAST_LOSSES = 20
"""Losses that make a mean worth telling."""
_NORMAL_95 = 1.96
_WINDOWS: tuple[Window, ...] = ("recent", "deployment")


def model_status(model: ModelWatch) -> ModelStatus:
    """A model now; changes nothing."""
    estimates = {version.version: estimated(model, version) for version in model.versions.values()}
    counts = model.join.counts
    inputs = model.inputs.monitor
    return ModelStatus(
        model_id=model.model_id,
        events=counts.predictions,
        labels=counts.labels,
        labels_joined=counts.labels_joined,
        labels_expired=counts.labels_expired,
        labels_conflicting=counts.labels_conflicting,
        duplicates=counts.predictions_duplicate,
        waiting_for_label=model.join.waiting_for_label,
        label_delay_s=_label_delay_s(model),
        baseline_seen=min(inputs.baseline_seen, model.settings.baseline_events),
        baseline_needed=model.settings.baseline_events,
        incidents=model.incidents.published(),
        incidents_opened=dict(model.incidents.opened),
        signals=_signals(model),
        performance=tuple(
            one
            for version in model.versions.values()
            for one in (*_performance(version), *_estimated(version, estimates[version.version]))
        ),
        resolved=tuple(one.diagnosis for one in model.incidents.over),
        withdrawn={name: one.reason for name, one in estimates.items() if _is_withdrawn(one)},
        interval_news=dict(model.interval_news.news),
        blind_spots=inputs.blind_spots,
        graphs=model.incidents.drawn(),
    )


def _signals(model: ModelWatch) -> tuple[SignalStatus, ...]:
    """Every signal that has evidence yet, most first; of several versions' signals of one name the one that says more."""
    features = {column.name for column in model.inputs.monitor.columns}
    best: dict[str, float] = {}
    for name, level in model.levels().items():
        if isfinite(level):
            best[plain(name)] = max(level, best.get(plain(name), level))
    threshold = model.inputs.monitor.log10_threshold
    found = []
    for name, level in best.items():
        column = column_of_signal(name)
        found.append(SignalStatus(name, column if column in features else None, level, threshold))
    return tuple(sorted(found, key=lambda signal: (-signal.log10_e, signal.signal)))


def _label_delay_s(model: ModelWatch) -> float | None:
    delays = model.delays.recent().values[:, 0]  # log10 of seconds
    return float(10 ** np.median(delays)) if len(delays) else None


def _mean_loss(version: VersionWatch) -> list[PerformanceStatus]:
    losses = version.losses.recent().values[:, 0]
    losses = losses[np.isfinite(losses)]
    if len(losses) < _LEAST_LOSSES:
        return []
    mean, margin = float(losses.mean()), float(_NORMAL_95 * losses.std(ddof=1) / np.sqrt(len(losses)))
    ends = {"": mean, "_low": mean - margin, "_high": mean + margin}
    return [PerformanceStatus(version.version, f"loss{end}", "recent", value) for end, value in ends.items()]


def _estimated(version: VersionWatch, estimates: dict[str, Estimated] | NotReady) -> list[PerformanceStatus]:
    """What labels are expected to show of the latest answers, or that they have refuted the estimates."""
    found = []
    if version.estimator.blocks:
        coverage = version.estimator.covered / version.estimator.blocks
        found.append(PerformanceStatus(version.version, "estimated_coverage", "deployment", coverage))
    if isinstance(estimates, NotReady):
        withdrawn = [PerformanceStatus(version.version, "estimate_withdrawn", "recent", 1.0)]
        return found + withdrawn if _is_withdrawn(estimates) else found
    for metric, one in estimates.items():
        ends = {"": one.value, "_low": one.low, "_high": one.high}
        found += [PerformanceStatus(version.version, f"estimated_{metric}{e}", "recent", v) for e, v in ends.items()]
    return [*found, PerformanceStatus(version.version, "estimate_withdrawn", "recent", 0.0)]


def _is_withdrawn(estimates: dict[str, Estimated] | NotReady) -> TypeGuard[NotReady]:
    """Whether there were some, and labels refute them: no number of further events makes them ready."""
    return isinstance(estimates, NotReady) and estimates.needs is None


def _performance(version: VersionWatch) -> list[PerformanceStatus]:
    found = [
        PerformanceStatus(version.version, metric, window, value)
        for window in _WINDOWS
        for metric, value in version.performance.metrics(window).items()
    ]
    found += _mean_loss(version)
    trend = version.performance.trend()
    if isinstance(trend, NotReady):
        return found
    slopes = {"": trend.slope_per_day, "_low": trend.low_per_day, "_high": trend.high_per_day}
    return found + [
        PerformanceStatus(version.version, f"loss_per_day{end}", "deployment", v) for end, v in slopes.items()
    ]
