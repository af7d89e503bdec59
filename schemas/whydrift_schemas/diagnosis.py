"""The output of whydrift: an incident as published.

Belongs here: its fields, in the order they are written. Not here: how a diagnosis comes about (the core).
"""

from typing import Annotated, Literal

from pydantic import Field

from whydrift_schemas.names import Family, Fault, Severity, Status
from whydrift_schemas.values import Count, Detail, Name, Number, SignalName, WrittenTime
from whydrift_schemas.wire import Wire

_Probability = Annotated[Number, Field(ge=0, le=1)]


class Detected(Wire):
    """The record of the input topic that completed the evidence."""

    partition: Count
    offset: Count


class Undo(Wire):
    """The fault's inverse, and the evidence (log10 of the e-value) before and after it was applied to retained rows."""

    transform: str
    evidence_before: Number
    evidence_after: Number


class Cause(Wire):
    """What may have broken. `probability` is shared between the causes of the same evidence."""

    fault: Fault = Field(strict=False)
    family: Family = Field(strict=False)
    probability: _Probability
    features: tuple[Name, ...] = Field(strict=False)
    replica: Name | None = None
    segment: dict[Name, str] | None = None
    explanation: str
    action: str
    undo: Undo | None = None


class RuledOut(Wire):
    """A fault that looks alike, and why it is not this one."""

    fault: Fault = Field(strict=False)
    because: str


class Evidence(Wire):
    """What one signal says. `log10_e` against `threshold`: evidence and when it is enough, as log10 of e-values.

    `reference` and `current`: the signal in health and now, in a few named numbers or words. `since`: when it began to differ.
    """

    signal: SignalName
    log10_e: Number
    threshold: Number
    reference: dict[Name, Detail]
    current: dict[Name, Detail]
    effect: str
    since: WrittenTime


class Impact(Wire):
    """What it does to the model's performance; `estimated` = without labels."""

    metric: Name
    reference: Number
    current: Number
    estimated: bool


class Diagnosis(Wire):
    """One change of one incident; the latest record of an incident is its state. Times are event times."""

    kind: Literal["diagnosis"] = "diagnosis"
    incident_id: Name
    sequence: Count
    status: Status = Field(strict=False)
    model_id: Name
    model_versions: tuple[Name, ...] = Field(strict=False)
    severity: Severity = Field(strict=False)
    onset_at: WrittenTime
    detected_at: WrittenTime
    resolved_at: WrittenTime | None = None
    detected: Detected
    summary: str
    causes: tuple[Cause, ...] = Field(strict=False)
    ruled_out: tuple[RuledOut, ...] = Field(strict=False)
    evidence: tuple[Evidence, ...] = Field(strict=False)
    impact: Impact | None = None
