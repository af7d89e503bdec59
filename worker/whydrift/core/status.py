"""What metrics and health endpoints are made from: a picture of one partition at one moment.

Belongs here: frozen values. Not here: metric names (`whydrift.shell.metrics`) or how the numbers came about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from whydrift.core.blind_spots import BlindSpot
from whydrift.core.graphs import IncidentGraphs
from whydrift_schemas import Diagnosis, Fault, Severity


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """Evidence on one signal. `log10_e` and `log10_threshold` are decimal logarithms of e-values."""

    signal: str
    feature: str | None
    log10_e: float
    log10_threshold: float


@dataclass(frozen=True, slots=True)
class PerformanceStatus:
    """One performance metric of one model version; `window` is "recent" or "deployment".

    Metrics are those of `performance`; loss, loss_low, loss_high: the mean loss of recent labels with its interval of 95 %;
    loss_per_day, loss_per_day_low, loss_per_day_high: the loss's trend with its interval. estimated_<metric>, and its …_low and
    …_high: what labels of the latest answers are expected to show, with the interval of 95 %; estimated_coverage: how often they
    did, of the blocks of labels since; estimate_withdrawn: 1 while labels say otherwise, or are bound to.
    """

    model_version: str
    metric: str
    window: str
    value: float


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that was published and is not over.

    diagnosis: as it would be published now. opened_as: the leading fault when it was first published. worst: the greatest
    severity it was published with. These two never change back: an alert may be known by them.
    """

    diagnosis: Diagnosis
    opened_as: Fault
    worst: Severity


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model in one partition. Counters only grow; they start at zero when the model is first seen."""

    model_id: str
    events: int
    labels: int
    labels_joined: int
    labels_expired: int
    labels_conflicting: int
    duplicates: int
    waiting_for_label: int
    label_delay_s: float | None
    """Median of the latest labels, from the prediction to its label; None before there are some."""
    baseline_seen: int
    baseline_needed: int
    incidents: tuple[OpenIncident, ...]
    incidents_opened: Mapping[str, int]
    """Incidents opened so far, by fault."""
    signals: tuple[SignalStatus, ...]
    """Every signal, most evidence first."""
    performance: tuple[PerformanceStatus, ...]
    resolved: tuple[Diagnosis, ...] = ()
    """The latest incidents that are over, as they were said last, oldest first."""
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    """Versions whose estimates without labels are withdrawn, and why."""
    interval_news: Mapping[str, int] = field(default_factory=dict)
    """Intervals told so far whose value was unlike any before, by series (`interval_news.SERIES`)."""
    blind_spots: tuple[BlindSpot, ...] = ()
    """What its reference of the inputs cannot show."""
    graphs: Mapping[str, IncidentGraphs] = field(default_factory=dict)
    """What is drawn of the open incidents and of the latest that are over, by id."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """`stream_time_ms` is None until an event moved it; `rejects` counts by reason code."""

    topic: str
    partition: int
    next_offset: int | None
    stream_time_ms: int | None
    records: int
    rejects: Mapping[str, int] = field(default_factory=dict)
    models: tuple[ModelStatus, ...] = ()
