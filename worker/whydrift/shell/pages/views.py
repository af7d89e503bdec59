"""What each page shows, looked up in a worker's pictures.

Belongs here: choosing, ordering and paging. Not here: HTML (`render`), paths and errors (`site`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from whydrift.core.graphs import NO_GRAPHS, IncidentGraphs
from whydrift.core.status import ModelStatus, PartitionStatus, PerformanceStatus
from whydrift.shell.pages.addresses import segment
from whydrift_schemas import Diagnosis, Severity, Status

PAGE_MODELS = 50
_SEVERITIES = tuple(Severity)


class Health(StrEnum):
    """How a model is, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    LEARNING = "learning"
    HEALTHY = "healthy"


_RANKS = {health: rank for rank, health in enumerate(Health)}
_ESTIMATED = "estimated_"
_ENDS = ("_low", "_high")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric as labels of a version's latest answers are expected to show it, with the ends of its interval of 95 %."""

    version: str
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric by labels; `interval`: of 95 %, where there is one."""

    value: float
    interval: tuple[float, float] | None


def _measured(values: Mapping[tuple[str, str, str], float], version: str, metric: str, window: str) -> Measured | None:
    value, low, high = (values.get((version, metric + end, window)) for end in ("", *_ENDS))
    if value is None:
        return None
    return Measured(value, None if low is None or high is None else (low, high))


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model in one partition, with its open incidents, worst first. `now_ms`: the partition's stream time."""

    model: ModelStatus
    partition: int
    now_ms: int
    incidents: tuple[Diagnosis, ...]

    @property
    def model_id(self) -> str:
        return self.model.model_id

    @property
    def health(self) -> Health:
        if self.incidents:
            return Health(self.incidents[0].severity.value)
        return Health.LEARNING if self.model.baseline_seen < self.model.baseline_needed else Health.HEALTHY

    @property
    def performance(self) -> PerformanceStatus | None:
        """The one number for a list: the recent loss or error of the version that answered last, estimated if nothing else."""
        recent = [one for one in self.model.performance if one.window == "recent"]
        losses = ("log_loss", "error_rate", "mae")
        for metric in (*losses, *(_ESTIMATED + name for name in losses)):
            found = [one for one in recent if one.metric == metric]
            if found:
                return found[-1]
        return None

    @property
    def metrics(self) -> tuple[tuple[str, str, Measured | None, Measured | None], ...]:
        """Version, metric, recent value, value since deployment: by labels."""
        by_labels = [one for one in self.model.performance if not one.metric.startswith("estimate")]
        values = {(one.model_version, one.metric, one.window): one.value for one in by_labels}
        names = dict.fromkeys((one.model_version, one.metric) for one in by_labels)
        ends = {(version, metric + end) for version, metric in names for end in _ENDS}
        return tuple(
            (
                version,
                metric,
                _measured(values, version, metric, "recent"),
                _measured(values, version, metric, "deployment"),
            )
            for version, metric in names
            if (version, metric) not in ends
        )

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """What is expected of the latest answers without their labels; () where nothing is, and where labels refute it."""
        values = {
            (one.model_version, one.metric): one.value for one in self.model.performance if one.window == "recent"
        }
        lows = [(version, name.removesuffix("_low")) for version, name in values if name.endswith("_low")]
        return tuple(
            Estimate(
                version,
                metric.removeprefix(_ESTIMATED),
                values[version, metric],
                values[version, metric + "_low"],
                values[version, metric + "_high"],
            )
            for version, metric in lows
            if metric.startswith(_ESTIMATED)
        )

    @property
    def coverage(self) -> tuple[tuple[str, float], ...]:
        """Version, and how often labels that came later were within the interval, of the blocks graded."""
        return tuple(
            (one.model_version, one.value) for one in self.model.performance if one.metric == f"{_ESTIMATED}coverage"
        )


@dataclass(frozen=True, slots=True)
class FleetView:
    """One page of the fleet. `counts`: models by health, over all; `found`: models that the search found."""

    models: tuple[ModelView, ...]
    counts: tuple[tuple[Health, int], ...]
    search: str
    found: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident, open or lately resolved. `siblings`: the model's other open incidents.

    `withdrawn`: while it is open, its versions whose estimates without labels are withdrawn, and why.
    """

    diagnosis: Diagnosis
    graphs: IncidentGraphs
    partition: int
    now_ms: int
    siblings: tuple[Diagnosis, ...]
    withdrawn: tuple[tuple[str, str], ...] = ()

    @property
    def is_open(self) -> bool:
        return self.diagnosis.status is not Status.RESOLVED

    @property
    def end_ms(self) -> int:
        """When it ended, or the moment of the picture."""
        return self.now_ms if self.diagnosis.resolved_at is None else self.diagnosis.resolved_at

    @property
    def others(self) -> tuple[str, ...]:
        """Features that further causes name, for links within the page."""
        return tuple(dict.fromkeys(name for cause in self.diagnosis.causes for name in cause.features))


def model_views(partitions: Sequence[PartitionStatus]) -> list[ModelView]:
    """Every model, the most ill first; among equals the incident that began last, then by name."""
    found = [
        ModelView(model, one.partition, one.stream_time_ms or 0, _worst_first([i.diagnosis for i in model.incidents]))
        for one in partitions
        for model in one.models
    ]
    return sorted(found, key=_order)


def _order(view: ModelView) -> tuple[object, ...]:
    onset_ms = view.incidents[0].onset_at if view.incidents else 0
    return (_RANKS[view.health], -onset_ms, view.model_id, view.partition)


def _worst_first(incidents: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    return tuple(sorted(incidents, key=lambda one: (-_SEVERITIES.index(one.severity), -one.onset_at, one.incident_id)))


def fleet(partitions: Sequence[PartitionStatus], search: str = "", page: int = 1) -> FleetView:
    """Models whose name, or whose incident's summary, holds the words searched for."""
    every = model_views(partitions)
    wanted = search.casefold().split()
    found = [view for view in every if _has(view, wanted)]
    pages = max(1, ceil(len(found) / PAGE_MODELS))
    page = min(max(page, 1), pages)
    counts = [(health, sum(view.health is health for view in every)) for health in Health]
    shown = found[(page - 1) * PAGE_MODELS : page * PAGE_MODELS]
    return FleetView(tuple(shown), tuple(counts), search, len(found), page, pages)


def _has(view: ModelView, wanted: Sequence[str]) -> bool:
    text = " ".join([view.model_id, view.health.value, *(one.summary for one in view.incidents)]).casefold()
    return all(word in text for word in wanted)


def models_at(partitions: Sequence[PartitionStatus], path: str) -> list[ModelView]:
    """The models with this address: one, or the same name in several partitions."""
    return [view for view in model_views(partitions) if path in (segment(view.model_id), view.model_id)]


def incident_at(partitions: Sequence[PartitionStatus], incident_id: str) -> IncidentView | None:
    for one in partitions:
        for model in one.models:
            for diagnosis in _incidents(model):
                if diagnosis.incident_id == incident_id:
                    siblings = [i.diagnosis for i in model.incidents if i.diagnosis.incident_id != incident_id]
                    graphs = model.graphs.get(incident_id, NO_GRAPHS)
                    now_ms = one.stream_time_ms or diagnosis.detected_at
                    rest = _worst_first(siblings), withdrawn(diagnosis, model)
                    return IncidentView(diagnosis, graphs, one.partition, now_ms, *rest)
    return None


def withdrawn(diagnosis: Diagnosis, model: ModelStatus) -> tuple[tuple[str, str], ...]:
    """Version and reason; () once it is over: what is withdrawn then is so for another cause."""
    if diagnosis.status is Status.RESOLVED:
        return ()
    return tuple((one, model.withdrawn[one]) for one in diagnosis.model_versions if one in model.withdrawn)


def _incidents(model: ModelStatus) -> Iterator[Diagnosis]:
    yield from (one.diagnosis for one in model.incidents)
    yield from model.resolved
