"""Open incidents as the worker tells its listeners of them.

Belongs here: making them up. Not here: who listens.
"""

from dataclasses import replace
from typing import Any

from whydrift.core.status import OpenIncident
from whydrift_schemas import (
    Cause,
    Detected,
    Diagnosis,
    Evidence,
    Family,
    Fault,
    Impact,
    RuledOut,
    Severity,
    Status,
)


class SetClock:
    """Time stands still until a test moves it."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def opened(
    incident_id: str = "e9b6dddf134791a1",
    severity: Severity = Severity.WARNING,
    worst: Severity | None = None,
    **changes: Any,
) -> OpenIncident:
    cause = Cause(
        fault=Fault.UNIT_CHANGE,
        family=Family.DATA_QUALITY,
        probability=0.97,
        features=("income",),
        explanation="income is a thousand times smaller; × 1000 brings it back.",
        action="Ask the producer of income what was released at 16:41.",
    )
    evidence = Evidence(
        signal="income.distribution",
        log10_e=41.2,
        threshold=7.2,
        reference={"median": 51_000.0},
        current={"median": 51.2},
        effect="median 51,000 → 51.2",
        since=1_790_000_000_000,
    )
    diagnosis = Diagnosis(
        incident_id=incident_id,
        sequence=1,
        status=Status.OPENED,
        model_id="credit-risk",
        model_versions=("2026.1",),
        severity=severity,
        onset_at=1_790_000_000_000,
        detected_at=1_790_000_060_000,
        detected=Detected(partition=0, offset=12),
        summary="income arrives in thousands since 16:41 (probability 0.97)",
        causes=(cause,),
        ruled_out=(RuledOut(fault=Fault.COVARIATE_DRIFT, because="the shape is unchanged"),),
        evidence=(evidence,),
        impact=Impact(metric="log_loss", reference=0.31, current=0.55, estimated=False),
    )
    return OpenIncident(diagnosis.model_copy(update=changes), Fault.UNIT_CHANGE, worst or severity)


def changed(incident: OpenIncident, status: Status = Status.UPDATED, **changes: Any) -> OpenIncident:
    """The incident's next record."""
    update = {"status": status, "sequence": incident.diagnosis.sequence + 1, **changes}
    return replace(incident, diagnosis=incident.diagnosis.model_copy(update=update))
