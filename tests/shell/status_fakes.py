"""Pictures of workers for tests of what is made from them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from whydrift.core.status import ModelStatus, OpenIncident, PartitionStatus, PerformanceStatus, SignalStatus
from whydrift.shell.worker_status import PartitionProgress, Phase, WorkerStatus
from whydrift_schemas import Cause, Detected, Diagnosis, Family, Fault, Severity, Status

RUNNING = WorkerStatus(
    "events", running=True, joined=True, partitions=(PartitionProgress(0, Phase.RUNNING, 10, 3, 1.0),)
)


class FakeWorker:
    """Shows what it is given."""

    def __init__(self, status: WorkerStatus = RUNNING, models: Sequence[Sequence[ModelStatus]] = ()) -> None:
        self.shown = status
        self.models = models

    def status(self) -> WorkerStatus:
        return self.shown

    def pipelines_status(self) -> tuple[PartitionStatus, ...]:
        return tuple(
            PartitionStatus("events", number, 10, 1_700_000_000_500, 10, {}, tuple(models))
            for number, models in enumerate(self.models)
        )


HEALTHY = ModelStatus(
    model_id="credit",
    events=0,
    labels=0,
    labels_joined=0,
    labels_expired=0,
    labels_conflicting=0,
    duplicates=0,
    waiting_for_label=0,
    label_delay_s=None,
    baseline_seen=0,
    baseline_needed=2_000,
    incidents=(),
    incidents_opened={},
    signals=(),
    performance=(),
)


def model(model_id: str = "credit", **changes: Any) -> ModelStatus:
    return replace(HEALTHY, model_id=model_id, **changes)


def incident(fault: str = "unit_change", severity: str = "critical", probability: float = 0.97) -> OpenIncident:
    cause = Cause(
        fault=Fault(fault),
        family=Family.DATA_QUALITY,
        probability=probability,
        features=("income",),
        explanation="income arrives in thousands",
        action="ask the producer",
    )
    diagnosis = Diagnosis(
        incident_id="id",
        sequence=1,
        status=Status.OPENED,
        model_id="credit",
        model_versions=("2026.1",),
        severity=Severity(severity),
        onset_at=1_700_000_000_000,
        detected_at=1_700_000_000_000,
        detected=Detected(partition=0, offset=12),
        summary="income arrives in thousands",
        causes=(cause,),
        ruled_out=(),
        evidence=(),
    )
    return OpenIncident(diagnosis, Fault(fault), Severity(severity))


def signals(*log10_e: float) -> tuple[SignalStatus, ...]:
    return tuple(SignalStatus(f"f{n:02}.distribution", f"f{n:02}", e, 7.2) for n, e in enumerate(log10_e))


def performance(metric: str, value: float, window: str = "recent") -> PerformanceStatus:
    return PerformanceStatus("2026.1", metric, window, value)
