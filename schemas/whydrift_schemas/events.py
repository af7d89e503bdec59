"""The input of whydrift: predictions, labels, model descriptions and commands.

Belongs here: fields, and rules between fields. Not here: single values and their limits (`values`), the output (`diagnosis`).
"""

import json
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from whydrift_schemas.names import Action, FeatureType, RejectReason, Task
from whydrift_schemas.values import (
    Actual,
    CheckedFeatureValue,
    ClassLabel,
    Count,
    Name,
    Number,
    SignalName,
    Text,
    Time,
    refusal,
)
from whydrift_schemas.wire import Wire


class Predicted(Wire):
    """What a model answered: a class with or without its score or probabilities, a score alone, or a value (regression)."""

    label: ClassLabel | None = None
    score: Number | None = None
    value: Number | None = None
    probabilities: Annotated[dict[Text, Number], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _answers_something(self) -> Self:
        classification = (self.label, self.score, self.probabilities)
        is_classification = any(part is not None for part in classification)
        if self.value is None and not is_classification:
            raise refusal(
                RejectReason.MISSING_FIELD,
                "one of label, score, value and probabilities is needed; a failed call has null here",
            )
        if self.value is not None and is_classification:
            raise refusal(
                RejectReason.INVALID_VALUE,
                "value (a regression) excludes label, score and probabilities (a classification)",
            )
        return self


def read_predicted(answer: object) -> object:
    """A bare number is a value; a bare string or boolean is a label."""
    if isinstance(answer, (str, bool)):
        return {"label": answer}
    if isinstance(answer, (int, float)):
        return {"value": answer}
    return answer


class Prediction(Wire):
    """One call of a model: what went in and what came out. `feature_timestamp`: when the features were computed."""

    kind: Literal["prediction"] = "prediction"
    event_id: Name
    model_id: Name
    model_version: Name
    timestamp: Time
    features: dict[Name, CheckedFeatureValue]
    prediction: Annotated[
        Predicted | None,
        BeforeValidator(read_predicted, json_schema_input_type=Predicted | float | str | bool | None),
    ]
    latency_ms: Annotated[Number, Field(ge=0)] | None = None
    error: Text | None = None
    """Class of the error, such as "TimeoutError"."""
    replica: Name | None = None
    segment: dict[Name, Text] | None = None
    feature_timestamp: Time | None = None
    trace_id: Name | None = None

    @model_validator(mode="after")
    def _has_answer_or_error(self) -> Self:
        if self.prediction is None and not self.error:
            raise refusal(
                RejectReason.INVALID_VALUE, "prediction may be null only with an error class in the field error"
            )
        return self


class Label(Wire):
    """What came true for an earlier or later prediction with this event id."""

    kind: Literal["label"] = "label"
    event_id: Name
    model_id: Name
    timestamp: Time
    actual: Actual
    source: Name | None = None


class FeatureDescription(Wire):
    """One input of a model."""

    name: Name
    type: FeatureType = Field(strict=False)


class Layer(Wire):
    """One layer of a model; `shape` may hold null for a dimension that varies."""

    name: Name
    kind: Name | None = None
    shape: list[Count | None] | None = None


class Structure(Wire):
    """How a model is built. `digest` changes when, and only when, the structure does."""

    framework: Name | None = None
    class_name: Name | None = None
    digest: Name | None = None
    layers: list[Layer] | None = None


class Parameter(Wire):
    """One tensor of parameters in numbers; mean, std, min, max and l2_norm are of its finite entries, null without any."""

    name: Name
    count: Count
    mean: Number | None = None
    std: Annotated[Number, Field(ge=0)] | None = None
    min: Number | None = None
    max: Number | None = None
    l2_norm: Annotated[Number, Field(ge=0)] | None = None
    zeros: Count | None = None
    non_finite: Count | None = None
    digest: Name | None = None


class ModelDescription(Wire):
    """A model as it is loaded now; `features` are in input order, null where not declared."""

    kind: Literal["model"] = "model"
    model_id: Name
    model_version: Name
    timestamp: Time
    replica: Name | None = None
    task: Task | None = Field(default=None, strict=False)
    features: list[FeatureDescription] | None = None
    structure: Structure | None = None
    parameters: list[Parameter] | None = None
    decision_threshold: Number | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for field, parts in (("features", self.features), ("parameters", self.parameters)):
            seen: set[str] = set()
            for part in parts or ():
                if part.name in seen:
                    raise refusal(
                        RejectReason.INVALID_VALUE,
                        "{field} names {name} twice",
                        field=field,
                        name=json.dumps(part.name)[:80],
                    )
                seen.add(part.name)
        return self


class Command(Wire):
    """A person's answer to an incident. Without incident_id and signals it is about the whole model."""

    kind: Literal["command"] = "command"
    model_id: Name
    timestamp: Time
    action: Action = Field(strict=False)
    incident_id: Name | None = None
    signals: list[SignalName] | None = None
    until: Time | None = None
    author: Text | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _says_what_its_action_needs(self) -> Self:
        if self.action is Action.ACCEPT and self.incident_id is None and not self.signals:
            raise refusal(RejectReason.MISSING_FIELD, "accept needs incident_id or signals: what is to be accepted?")
        if self.action is Action.SNOOZE and self.until is None:
            raise refusal(RejectReason.MISSING_FIELD, "snooze needs until: a time at which to speak again")
        if self.action is not Action.SNOOZE and self.until is not None:
            raise refusal(RejectReason.INVALID_VALUE, "until belongs to snooze only")
        return self


InputEvent = Annotated[Prediction | Label | ModelDescription | Command, Field(discriminator="kind")]
KINDS = ("prediction", "label", "model", "command")
