"""The picture of a model that metrics and health endpoints are made from.

Belongs here: gathering it. Not here: metric names (`whydrift.shell.metrics`), the shape of the picture (`status`).
"""

from math import isfinite

from whydrift.core.incidents import column_of_signal, plain
from whydrift.core.model import ModelWatch
from whydrift.core.performance import NotReady, Window
from whydrift.core.status import ModelStatus, PerformanceStatus, SignalStatus
from whydrift.core.version import VersionWatch

_WINDOWS: tuple[Window, ...] = ("recent", "deployment")


def model_status(model: ModelWatch) -> ModelStatus:
    """A model now; changes nothing."""
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
        baseline_seen=min(inputs.baseline_seen, model.settings.baseline_events),
        baseline_needed=model.settings.baseline_events,
        incidents=model.incidents.current(),
        incidents_opened=dict(model.incidents.opened),
        signals=_signals(model),
        performance=tuple(one for version in model.versions.values() for one in _performance(version)),
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


def _performance(version: VersionWatch) -> list[PerformanceStatus]:
    found = [
        PerformanceStatus(version.version, metric, window, value)
        for window in _WINDOWS
        for metric, value in version.performance.metrics(window).items()
    ]
    trend = version.performance.trend()
    if isinstance(trend, NotReady):
        return found
    slopes = {"": trend.slope_per_day, "_low": trend.low_per_day, "_high": trend.high_per_day}
    return found + [
        PerformanceStatus(version.version, f"loss_per_day{end}", "deployment", v) for end, v in slopes.items()
    ]
