"""Every metric of a worker, once: its name, type, help, labels and unit. Alert rules, panels and documents are made from these.

Names never change their meaning. Base units, as Prometheus wants them: seconds, ratios from 0 to 1.
Belongs here: the catalogue. Not here: where the numbers come from (`metrics_collector`).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as it is scraped; the name of a counter ends in `_total`, before it in the unit where there is one."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its series."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


def _counter(name: str, help_: str, *labels: str) -> Described:
    return Described(f"whydrift_{name}_total", Kind.COUNTER, help_, labels)


def _gauge(name: str, help_: str, *labels: str, unit: str = "") -> Described:
    return Described(f"whydrift_{name}" + (unit and f"_{unit}"), Kind.GAUGE, help_, labels, unit)


def _durations(name: str, help_: str) -> Described:
    return Described(f"whydrift_{name}_seconds", Kind.HISTOGRAM, help_, (), "seconds")


OTHERS: Final = "(others)"
"""Label `signal` of the series that stands for all signals beyond the budget."""


class Metric(Enum):
    """The catalogue, in the order of the page."""

    value: Described

    # the worker
    UP = _gauge("up", "1 while the worker's loop is alive.")
    READY = _gauge("ready", "1 when the group has answered and every assigned partition is restored.")
    BUILD = _gauge("build_info", "Always 1; the version is a label.", "version")
    RECORDS = _counter("records", "Records processed, their outputs published.")
    DIAGNOSES = _counter("diagnoses", "Diagnoses published.")
    REJECTS = _counter("rejects", "Records that could not be used and went to the rejected topic, by reason.", "reason")
    COMMITS = _counter("commits", "Transactions committed.")
    SNAPSHOTS = _counter("snapshots", "Snapshots of a partition's state committed.")
    FAILED_TRANSACTIONS = _counter(
        "failed_transactions", "Times that everything since the last commit was thrown away and done again."
    )
    REBALANCES = _counter("rebalances", "Changes of the partitions assigned to this worker.")
    COMMIT_DURATION = _durations("commit_duration", "How long transactions took to commit.")
    TURN_DURATION = _durations("turn_duration", "How long the loop worked on what one poll gave, commits included.")
    DELAY = _durations(
        "publication_delay",
        "From reading the first record of a transaction to its commit: what whydrift adds to a record's way.",
    )
    TURN_AGE = _gauge(
        "turn_age",
        "Since the loop last came round, with or without records; large: something in it hangs.",
        unit="seconds",
    )
    COMMIT_AGE = _gauge("commit_age", "Since all that was read was last known to be committed.", unit="seconds")
    RECORD_AGE = _gauge("record_age", "Since a record was last read from any partition.", unit="seconds")
    PARTITION_LAG = _gauge("partition_lag_records", "Offsets of the events topic not yet processed.", "partition")
    PARTITION_RESTORED = _gauge(
        "partition_restored",
        "How much of a partition's state is restored; 1 when it is running.",
        "partition",
        unit="ratio",
    )
    PARTITION_STREAM_TIME = _gauge(
        "partition_stream_timestamp",
        "Stream time: the greatest accepted event time, since 1970.",
        "partition",
        unit="seconds",
    )
    MODELS = _gauge("models", "Models followed by this worker.")
    MODELS_LEFT_OUT = _gauge("models_left_out", "Models followed but without series of their own (metrics.max_models).")
    SERIES = _gauge("series", "Series on this page, without those of the process.")

    # what it pushes to
    SINK_SENT = _counter("sink_sent", "Requests to a receiver of incidents that it took.", "sink", "target")
    SINK_FAILED = _counter("sink_failed", "Requests to a receiver that failed, by reason.", "sink", "target", "reason")
    SINK_WAITING = _gauge(
        "sink_waiting_incidents", "Incidents with news that a receiver has not got.", "sink", "target"
    )
    SINK_LEFT_OUT = _counter("sink_left_out", "News of incidents given up before a receiver had it.", "sink", "target")
    SINK_AGE = _gauge("sink_success_age", "Since a receiver last took a request.", "sink", "target", unit="seconds")

    # each model
    EVENTS = _counter("model_events", "Prediction events taken in.", "model_id")
    LABELS = _counter("model_labels", "Labels taken in.", "model_id")
    LABELS_JOINED = _counter("model_labels_joined", "Labels that found their prediction.", "model_id")
    LABELS_EXPIRED = _counter(
        "model_labels_expired", "Predictions and labels that waited for each other in vain.", "model_id"
    )
    LABELS_CONFLICTING = _counter("model_labels_conflicting", "Labels that contradict an earlier one.", "model_id")
    DUPLICATES = _counter("model_duplicates", "Events seen before.", "model_id")
    INTERVAL_NEWS = _counter(
        "model_interval_news",
        "Intervals of five minutes whose arrivals, labels, mean latency or share of errors were unlike any before. No incidents.",
        "model_id",
        "series",
    )
    LABEL_COVERAGE = _gauge(
        "model_label_coverage",
        "Part of the predictions that got their label, of those that have it or waited in vain.",
        "model_id",
        unit="ratio",
    )
    LABEL_DELAY = _gauge(
        "model_label_delay",
        "Median time from a prediction to its label, of the latest labels.",
        "model_id",
        unit="seconds",
    )
    WAITING = _gauge("model_waiting_for_label", "Predictions that wait for their label.", "model_id")
    BASELINE = _gauge(
        "model_baseline", "How much of the reference is learnt; 1 when it is whole.", "model_id", unit="ratio"
    )
    PERFORMANCE = _gauge(
        "model_performance",
        "Performance by metric and window; of several partitions, the one with most joined labels. By labels, and as "
        "estimated_<metric> (…_low, …_high: 95 %) what labels of the latest answers are expected to show; "
        "estimate_withdrawn is 1 while labels say otherwise, or are bound to.",
        "model_id",
        "model_version",
        "metric",
        "window",
    )

    # what is wrong with it
    INCIDENTS = _gauge("model_incidents", "Open incidents of a model.", "model_id")
    INCIDENTS_OPEN = _gauge(
        "incidents_open", "Open incidents by leading fault and severity.", "model_id", "fault", "severity"
    )
    INCIDENT = _gauge(
        "incident_info",
        "Always 1, while an incident is open; the labels are those of its alert, and do not change with its causes.",
        "model_id",
        "incident_id",
        "opened_as",
        "severity",
    )
    INCIDENT_SINCE = _gauge(
        "incident_since_timestamp",
        "Event time of the onset of one open incident, since 1970.",
        "model_id",
        "incident_id",
        unit="seconds",
    )
    INCIDENTS_OPENED = _counter("incidents_opened", "Incidents opened, by leading fault.", "model_id", "fault")
    INCIDENT_PROBABILITY = _gauge(
        "incident_probability",
        "Probability of the leading cause of open incidents; of several, the greatest.",
        "model_id",
        "fault",
        unit="ratio",
    )
    INCIDENT_ONSET = _gauge(
        "incident_onset_timestamp",
        "Event time since when it is so, since 1970; of several incidents, the earliest.",
        "model_id",
        "fault",
        unit="seconds",
    )
    EVIDENCE = _gauge(
        "signal_evidence_log10",
        "Evidence that a signal changed, log10 of its e-value.",
        "model_id",
        "signal",
        "feature",
    )
    THRESHOLD = _gauge(
        "signal_threshold_log10", "Evidence at which the signal alarms.", "model_id", "signal", "feature"
    )
