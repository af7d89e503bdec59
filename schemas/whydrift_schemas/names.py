"""Every word the contract has a closed list of: faults, families, reasons, states.

Belongs here: the lists, each the only one of its kind; metric labels, documents and tests are made from them.
Not here: which fields carry them (`events`, `diagnosis`).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Family(StrEnum):
    """What kind of thing broke."""

    DATA_QUALITY = "data_quality"
    DATA_DRIFT = "data_drift"
    CONCEPT_DRIFT = "concept_drift"
    LABEL_SHIFT = "label_shift"
    MODEL_PARAMETERS = "model_parameters"
    MODEL_STRUCTURE = "model_structure"
    INFRASTRUCTURE = "infrastructure"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """What broke. Names never change their meaning: people write alert rules against them."""

    MISSING_VALUES = "missing_values"
    DEFAULT_FILL = "default_fill"
    UNIT_CHANGE = "unit_change"
    FEATURE_SWAP = "feature_swap"
    STALE_FEATURE = "stale_feature"
    SCHEMA_CHANGE = "schema_change"
    CATEGORY_RECODING = "category_recoding"
    NEW_CATEGORY = "new_category"
    MISALIGNED_FEATURE = "misaligned_feature"
    OUTLIERS = "outliers"
    NOISY_FEATURE = "noisy_feature"
    PRECISION_LOSS = "precision_loss"
    DUPLICATE_EVENTS = "duplicate_events"
    COVARIATE_DRIFT = "covariate_drift"
    SEGMENT_MIX_SHIFT = "segment_mix_shift"
    DEPENDENCE_DRIFT = "dependence_drift"
    NOVEL_REGION = "novel_region"
    TRAINING_SERVING_SKEW = "training_serving_skew"
    CONCEPT_DRIFT = "concept_drift"
    LOCAL_CONCEPT_DRIFT = "local_concept_drift"
    LABEL_QUALITY = "label_quality"
    LABEL_SHIFT = "label_shift"
    BIASED_LABELS = "biased_labels"
    PARAMETER_CORRUPTION = "parameter_corruption"
    WRONG_MODEL = "wrong_model"
    THRESHOLD_CHANGE = "threshold_change"
    CALIBRATION_CHANGE = "calibration_change"
    ARCHITECTURE_CHANGE = "architecture_change"
    PREPROCESSING_MISMATCH = "preprocessing_mismatch"
    OUTPUT_PERMUTATION = "output_permutation"
    REPLICA_DISAGREEMENT = "replica_disagreement"
    LATENCY_DEGRADATION = "latency_degradation"
    ERROR_SURGE = "error_surge"
    FALLBACK_ANSWERS = "fallback_answers"
    TRAFFIC_CHANGE = "traffic_change"
    LABEL_FEED_STOPPED = "label_feed_stopped"
    CLOCK_SKEW = "clock_skew"
    UNKNOWN = "unknown"


_FAULTS_OF: Mapping[Family, tuple[Fault, ...]] = {
    Family.DATA_QUALITY: (
        Fault.MISSING_VALUES,
        Fault.DEFAULT_FILL,
        Fault.UNIT_CHANGE,
        Fault.FEATURE_SWAP,
        Fault.STALE_FEATURE,
        Fault.SCHEMA_CHANGE,
        Fault.CATEGORY_RECODING,
        Fault.NEW_CATEGORY,
        Fault.MISALIGNED_FEATURE,
        Fault.OUTLIERS,
        Fault.NOISY_FEATURE,
        Fault.PRECISION_LOSS,
        Fault.DUPLICATE_EVENTS,
    ),
    Family.DATA_DRIFT: (
        Fault.COVARIATE_DRIFT,
        Fault.SEGMENT_MIX_SHIFT,
        Fault.DEPENDENCE_DRIFT,
        Fault.NOVEL_REGION,
        Fault.TRAINING_SERVING_SKEW,
    ),
    Family.CONCEPT_DRIFT: (Fault.CONCEPT_DRIFT, Fault.LOCAL_CONCEPT_DRIFT, Fault.LABEL_QUALITY),
    Family.LABEL_SHIFT: (Fault.LABEL_SHIFT, Fault.BIASED_LABELS),
    Family.MODEL_PARAMETERS: (
        Fault.PARAMETER_CORRUPTION,
        Fault.WRONG_MODEL,
        Fault.THRESHOLD_CHANGE,
        Fault.CALIBRATION_CHANGE,
    ),
    Family.MODEL_STRUCTURE: (
        Fault.ARCHITECTURE_CHANGE,
        Fault.PREPROCESSING_MISMATCH,
        Fault.OUTPUT_PERMUTATION,
        Fault.REPLICA_DISAGREEMENT,
    ),
    Family.INFRASTRUCTURE: (
        Fault.LATENCY_DEGRADATION,
        Fault.ERROR_SURGE,
        Fault.FALLBACK_ANSWERS,
        Fault.TRAFFIC_CHANGE,
        Fault.LABEL_FEED_STOPPED,
        Fault.CLOCK_SKEW,
    ),
    Family.UNKNOWN: (Fault.UNKNOWN,),
}

FAMILY_OF: Final[Mapping[Fault, Family]] = MappingProxyType(
    {fault: family for family, faults in _FAULTS_OF.items() for fault in faults}
)


class Severity(StrEnum):
    """How much an incident matters, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Status(StrEnum):
    """What a diagnosis says of its incident."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


class Action(StrEnum):
    """What a command asks for.

    accept: the incident's (or the signals') new behaviour becomes the reference. relearn: the reference is learnt anew.
    snooze: nothing is published until a time.
    """

    ACCEPT = "accept"
    RELEARN = "relearn"
    SNOOZE = "snooze"


class Task(StrEnum):
    """What a model predicts."""

    REGRESSION = "regression"
    BINARY = "binary"
    MULTICLASS = "multiclass"


class FeatureType(StrEnum):
    """What a model declares an input to be."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    EMBEDDING = "embedding"


class RejectReason(StrEnum):
    """Why a record could not be used. The code is a metric label; `description` is for documents and people."""

    EMPTY = "empty", "the record has no value (a tombstone, or zero bytes)"
    TOO_LARGE = "too_large", "the record's value is longer than max_record_bytes"
    INVALID_UTF8 = "invalid_utf8", "the value is not UTF-8"
    INVALID_JSON = "invalid_json", "the value is not JSON, or cut off"
    TOO_DEEP = "too_deep", "the value nests deeper than any event does"
    NOT_AN_OBJECT = "not_an_object", "the value is JSON, but not an object"
    UNKNOWN_KIND = "unknown_kind", "kind is none of prediction, label, model, command"
    MISSING_FIELD = "missing_field", "a required field is absent"
    UNKNOWN_FIELD = "unknown_field", "a field that the contract does not have"
    WRONG_TYPE = "wrong_type", "a field holds another JSON type than the contract says"
    INVALID_VALUE = "invalid_value", "a field's type is right, its value is not"
    NON_FINITE = "non_finite", "a number is NaN, infinite, or beyond a 64-bit float"
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range", "a time before the year 2000 or after 2199"
    TOO_MANY_FEATURES = "too_many_features", "more features than max_features"
    TOO_MANY_MODELS = "too_many_models", "a further model in a partition that follows max_models already"

    description: str

    def __new__(cls, code: str, description: str) -> "RejectReason":
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.description = description
        return reason
