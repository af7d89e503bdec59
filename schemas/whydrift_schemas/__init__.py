"""whydrift's wire contract, version 1: what a producer writes and what a consumer of diagnoses reads.

Belongs here: the public names. Not here: any code of the worker.
"""

from whydrift_schemas.diagnosis import Cause, Detected, Diagnosis, Evidence, Impact, RuledOut, Undo
from whydrift_schemas.encoding import encode, json_schemas
from whydrift_schemas.events import (
    KINDS,
    Command,
    FeatureDescription,
    InputEvent,
    Label,
    Layer,
    ModelDescription,
    Parameter,
    Predicted,
    Prediction,
    Structure,
)
from whydrift_schemas.names import (
    FAMILY_OF,
    Action,
    Family,
    Fault,
    FeatureType,
    RejectReason,
    Severity,
    Status,
    Task,
)
from whydrift_schemas.values import class_name, read_time, write_time

__all__ = [
    "FAMILY_OF",
    "KINDS",
    "Action",
    "Cause",
    "Command",
    "Detected",
    "Diagnosis",
    "Evidence",
    "Family",
    "Fault",
    "FeatureDescription",
    "FeatureType",
    "Impact",
    "InputEvent",
    "Label",
    "Layer",
    "ModelDescription",
    "Parameter",
    "Predicted",
    "Prediction",
    "RejectReason",
    "RuledOut",
    "Severity",
    "Status",
    "Structure",
    "Task",
    "Undo",
    "class_name",
    "encode",
    "json_schemas",
    "read_time",
    "write_time",
]
