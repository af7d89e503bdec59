"""Renders the metrics at scrape time, from pictures the worker has taken anyway: counting costs its loop nothing.

Label values come from events, so from anybody: they are cut and cleaned here, kept distinct by a digest, and escaped by
prometheus-client. The number of series is bounded by `MetricsSettings`.
Belongs here: numbers to samples. Not here: names and help (`metrics`), HTTP (`http_server`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import floor, inf, isnan
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from whydrift.core.status import ModelStatus, PartitionStatus, SignalStatus
from whydrift.shell.labels import label_value
from whydrift.shell.metrics import OTHERS, Kind, Metric
from whydrift.shell.push.delivery import Delivery, Outcome
from whydrift.shell.telemetry_settings import MetricsSettings
from whydrift.shell.worker_status import DURATION_BUCKETS_S, Durations, ReportsStatus, WorkerStatus
from whydrift_schemas import Diagnosis, Fault, RejectReason, Severity


class ReportsDeliveries(Protocol):
    """A sink that pushes. May be called from any thread."""

    def deliveries(self) -> Sequence[Delivery]: ...


def registry(
    worker: ReportsStatus, settings: MetricsSettings, version: str, sinks: Sequence[ReportsDeliveries] = ()
) -> CollectorRegistry:
    """What /metrics serves: the worker's metrics, and memory, CPU and open files of its process."""
    made = CollectorRegistry()
    made.register(StatusCollector(worker, settings, version, sinks))
    ProcessCollector(registry=made)
    return made


class StatusCollector(Collector):
    """`collect` may be called from any thread; it holds no state but what it is given."""

    def __init__(
        self, worker: ReportsStatus, settings: MetricsSettings, version: str, sinks: Sequence[ReportsDeliveries]
    ) -> None:
        self._worker = worker
        self._sinks = sinks
        self._settings = settings
        self._version = version

    def collect(self) -> Iterator[Family]:
        samples = _Samples()
        samples.add(Metric.BUILD, 1, self._version)
        _add_worker(samples, self._worker.status())
        partitions = self._worker.pipelines_status()
        _add_stream_times(samples, partitions)
        for sink in self._sinks:
            _add_deliveries(samples, sink.deliveries())
        self._add_models(samples, partitions)
        samples.add(Metric.SERIES, samples.count + 1)
        yield from samples.families()

    def _add_models(self, samples: "_Samples", partitions: Iterable[PartitionStatus]) -> None:
        """A model in several partitions is one model. Those with open incidents go first, when there are too many."""
        parts: dict[str, list[ModelStatus]] = defaultdict(list)
        for partition in partitions:
            for model in partition.models:
                parts[model.model_id].append(model)
        ordered = sorted(parts, key=lambda model_id: (not any(part.incidents for part in parts[model_id]), model_id))
        chosen = ordered[: self._settings.max_models]
        samples.add(Metric.MODELS, len(ordered))
        samples.add(Metric.MODELS_LEFT_OUT, len(ordered) - len(chosen))
        for model_id in chosen:
            label = label_value(model_id)
            _add_counts(samples, label, parts[model_id])
            _add_performance(samples, label, parts[model_id])
            _add_incidents(samples, label, parts[model_id])
            _add_signals(samples, label, parts[model_id], self._settings.signals_per_model)


class _Samples:
    """One family per metric of the catalogue, whether it has samples or not."""

    def __init__(self) -> None:
        self._families: dict[Metric, Any] = {metric: _family(metric) for metric in Metric}
        self.count = 0
        """Samples so far: the cardinality that is used."""

    def add(self, metric: Metric, value: float, *labels: str, incident_id: str | None = None) -> None:
        """`incident_id`: an exemplar, for counters; only OpenMetrics shows it."""
        self.count += 1
        if incident_id is None:
            self._families[metric].add_metric(labels, value)
        else:
            self._families[metric].add_metric(labels, value, exemplar=Exemplar({"incident_id": incident_id}, 1.0))

    def add_durations(self, metric: Metric, durations: Durations) -> None:
        cumulated = accumulate(durations.counts)
        bounds = ["+Inf" if bound == inf else str(bound) for bound in DURATION_BUCKETS_S]
        self._families[metric].add_metric([], list(zip(bounds, cumulated, strict=True)), durations.total_s)
        self.count += len(bounds) + 2

    def families(self) -> Iterable[Family]:
        return self._families.values()


_FAMILIES: Mapping[Kind, Any] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _family(metric: Metric) -> Family:
    described = metric.value
    family: Family = _FAMILIES[described.kind](
        described.name, described.help, labels=described.labels, unit=described.unit
    )
    return family


# --- the worker


def _add_worker(samples: _Samples, status: WorkerStatus) -> None:
    samples.add(Metric.UP, status.running)
    samples.add(Metric.READY, status.ready)
    samples.add(Metric.RECORDS, status.records)
    samples.add(Metric.DIAGNOSES, status.diagnoses)
    samples.add(Metric.COMMITS, status.commits)
    samples.add(Metric.SNAPSHOTS, status.snapshots)
    samples.add(Metric.FAILED_TRANSACTIONS, status.failed_transactions)
    samples.add(Metric.REBALANCES, status.rebalances)
    for reason, count in _from_zero(RejectReason, status.rejects_by_reason).items():
        samples.add(Metric.REJECTS, count, reason)
    samples.add_durations(Metric.COMMIT_DURATION, status.commit_durations)
    samples.add_durations(Metric.TURN_DURATION, status.turn_durations)
    samples.add_durations(Metric.DELAY, status.publication_delays)
    for metric, age_s in (
        (Metric.TURN_AGE, status.turn_age_s),
        (Metric.COMMIT_AGE, status.commit_age_s),
        (Metric.RECORD_AGE, status.record_age_s),
    ):
        if age_s is not None:
            samples.add(metric, age_s)
    for progress in status.partitions:
        samples.add(Metric.PARTITION_RESTORED, progress.restored_fraction, str(progress.partition))
        if progress.lag is not None:
            samples.add(Metric.PARTITION_LAG, progress.lag, str(progress.partition))


def _add_deliveries(samples: _Samples, deliveries: Iterable[Delivery]) -> None:
    for one in deliveries:
        labels = (one.sink, label_value(one.target))
        samples.add(Metric.SINK_SENT, one.sent, *labels)
        samples.add(Metric.SINK_WAITING, one.waiting, *labels)
        samples.add(Metric.SINK_LEFT_OUT, one.left_out, *labels)
        for outcome in Outcome:
            if outcome is not Outcome.DELIVERED:
                samples.add(Metric.SINK_FAILED, one.failed.get(outcome.value, 0), *labels, outcome.value)
        if one.success_age_s is not None:
            samples.add(Metric.SINK_AGE, one.success_age_s, *labels)


def _add_stream_times(samples: _Samples, partitions: Iterable[PartitionStatus]) -> None:
    for partition in partitions:
        if partition.stream_time_ms is not None:
            samples.add(Metric.PARTITION_STREAM_TIME, partition.stream_time_ms / 1000, str(partition.partition))


def _from_zero(known: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {str(name): 0 for name in known} | dict(counts)


# --- a model


def _add_counts(samples: _Samples, model: str, parts: Sequence[ModelStatus]) -> None:
    for metric, counts in (
        (Metric.EVENTS, [part.events for part in parts]),
        (Metric.LABELS, [part.labels for part in parts]),
        (Metric.LABELS_JOINED, [part.labels_joined for part in parts]),
        (Metric.LABELS_EXPIRED, [part.labels_expired for part in parts]),
        (Metric.LABELS_CONFLICTING, [part.labels_conflicting for part in parts]),
        (Metric.DUPLICATES, [part.duplicates for part in parts]),
        (Metric.WAITING, [part.waiting_for_label for part in parts]),
    ):
        samples.add(metric, sum(counts), model)
    news: Counter[str] = Counter()
    for part in parts:
        news.update(part.interval_news)
    for series, count in news.items():
        samples.add(Metric.INTERVAL_NEWS, count, model, series)
    joined, expired = sum(part.labels_joined for part in parts), sum(part.labels_expired for part in parts)
    if joined + expired:
        samples.add(Metric.LABEL_COVERAGE, joined / (joined + expired), model)
    delays_s = [part.label_delay_s for part in parts if part.label_delay_s is not None]
    if delays_s:
        samples.add(Metric.LABEL_DELAY, max(delays_s), model)
    needed = sum(part.baseline_needed for part in parts)
    seen = sum(min(part.baseline_seen, part.baseline_needed) for part in parts)
    samples.add(Metric.BASELINE, seen / needed if needed else 1.0, model)


def _add_performance(samples: _Samples, model: str, parts: Sequence[ModelStatus]) -> None:
    most = max(parts, key=lambda part: part.labels_joined)
    for one in most.performance:
        labels = (label_value(one.model_version), label_value(one.metric), one.window)
        samples.add(Metric.PERFORMANCE, one.value, model, *labels)


def _add_incidents(samples: _Samples, model: str, parts: Sequence[ModelStatus]) -> None:
    incidents = [incident.diagnosis for part in parts for incident in part.incidents]
    samples.add(Metric.INCIDENTS, len(incidents), model)
    _add_identities(samples, model, parts)
    opened: Counter[str] = Counter()
    for part in parts:
        opened.update(part.incidents_opened)
    latest = {one.opened_as.value: one.diagnosis.incident_id for part in parts for one in part.incidents}
    for fault, count in _from_zero(Fault, opened).items():
        samples.add(Metric.INCIDENTS_OPENED, count, model, fault, incident_id=latest.get(fault))
    by_fault: dict[str, list[Diagnosis]] = {fault: [] for fault, count in sorted(opened.items()) if count}
    for incident in incidents:
        by_fault.setdefault(incident.causes[0].fault.value, []).append(incident)
    for fault, open_ones in by_fault.items():
        _add_fault(samples, model, fault, open_ones)


def _add_identities(samples: _Samples, model: str, parts: Sequence[ModelStatus]) -> None:
    """There are few open incidents, and their series end with them: ids cost little here.

    Each once: of a scrape with the same series twice, Prometheus takes nothing.
    """
    incidents = (incident for part in parts for incident in part.incidents)
    for labels in sorted(
        {(label_value(one.diagnosis.incident_id), one.opened_as.value, one.worst.value) for one in incidents}
    ):
        samples.add(Metric.INCIDENT, 1, model, *labels)
    since: dict[str, int] = {}
    for incident in (one.diagnosis for part in parts for one in part.incidents):
        label = label_value(incident.incident_id)
        since[label] = min(incident.onset_at, since.get(label, incident.onset_at))
    for label, onset_ms in sorted(since.items()):
        samples.add(Metric.INCIDENT_SINCE, onset_ms / 1000, model, label)


def _add_fault(samples: _Samples, model: str, fault: str, incidents: Sequence[Diagnosis]) -> None:
    """A fault that was ever seen keeps its series at zero: one that vanished would leave alerts guessing."""
    severities = Counter(incident.severity.value for incident in incidents)
    for severity, count in _from_zero(Severity, severities).items():
        samples.add(Metric.INCIDENTS_OPEN, count, model, fault, severity)
    if incidents:
        samples.add(Metric.INCIDENT_PROBABILITY, max(one.causes[0].probability for one in incidents), model, fault)
        samples.add(Metric.INCIDENT_ONSET, min(one.onset_at for one in incidents) / 1000, model, fault)


def _add_signals(samples: _Samples, model: str, parts: Sequence[ModelStatus], budget: int) -> None:
    strongest: dict[str, SignalStatus] = {}
    for part in parts:
        for signal in part.signals:
            other = strongest.get(signal.signal)
            if other is None or signal.log10_e > other.log10_e:
                strongest[signal.signal] = signal
    ordered = sorted(strongest.values(), key=_rank)
    for signal in ordered[:budget]:
        labels = (label_value(signal.signal), label_value(signal.feature or ""))
        samples.add(Metric.EVIDENCE, signal.log10_e, model, *labels)
        samples.add(Metric.THRESHOLD, signal.log10_threshold, model, *labels)
    if len(ordered) > budget:
        greatest = max(ordered[budget:], key=lambda signal: signal.log10_e)
        samples.add(Metric.EVIDENCE, greatest.log10_e, model, OTHERS, "")
        samples.add(Metric.THRESHOLD, greatest.log10_threshold, model, OTHERS, "")


def _rank(signal: SignalStatus) -> tuple[float, str]:
    """Most evidence first, by whole powers of ten; in health all are equal, and the same signals keep their series."""
    log10_e = signal.log10_e
    return (0.0 if isnan(log10_e) or log10_e < 1 else -float(floor(min(log10_e, 1e9))), signal.signal)
