"""From a record's bytes to an event, or to the reason why not.

Belongs here: reading at speed, and the words of a refusal. Not here: what an event may hold (`whydrift_schemas` decides that),
columns (`columns`), or what is remembered between records (duplicates, unknown models, clocks ahead: the pipeline).

The quick path decodes predictions and labels with msgspec. Whatever it refuses, and all rarer kinds, the contract's models
judge: what they accept is an event all the same, what they refuse is refused with their reason. A property test holds that
the quick path accepts nothing that the models refuse, and reads the same from it.
"""

import json
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from whydrift.core.settings import Settings
from whydrift_schemas import (
    Command,
    Label,
    ModelDescription,
    Prediction,
    RejectReason,
    class_name,
    read_time,
)
from whydrift_schemas.values import MAX_INT, MAX_NAME, MAX_TEXT, MIN_INT, FeatureValue


class PredictionEvent(msgspec.Struct, frozen=True, gc=False):
    """One call of a model. Times in epoch milliseconds.

    features: by name, in the order they came; int, float (finite, at most 64 bits), str, bool, None, or a list of numbers and
    None. label: the class as `class_name` spells it. score, value, probabilities: as sent. Of label, score, value and
    probabilities at least one is there, or there is an error. Share it, do not change it.
    """

    event_id: str
    model_id: str
    model_version: str
    timestamp_ms: int
    features: dict[str, FeatureValue]
    label: str | None
    score: float | None
    value: float | None
    probabilities: dict[str, float] | None
    latency_ms: float | None
    error: str | None
    replica: str | None
    segment: dict[str, str] | None
    feature_timestamp_ms: int | None
    trace_id: str | None


class LabelEvent(msgspec.Struct, frozen=True, gc=False):
    """What came true: `actual` as sent, `actual_class` as `class_name` spells it."""

    event_id: str
    model_id: str
    timestamp_ms: int
    actual: str | bool | int | float
    actual_class: str
    source: str | None


class ModelEvent(msgspec.Struct, frozen=True):
    """A model as it is loaded."""

    model_id: str
    timestamp_ms: int
    description: ModelDescription


class CommandEvent(msgspec.Struct, frozen=True):
    """A person's answer to an incident."""

    model_id: str
    timestamp_ms: int
    command: Command


Event = PredictionEvent | LabelEvent | ModelEvent | CommandEvent


class Refusal(msgspec.Struct, frozen=True):
    """The producer must act: the record is no event. `message` names the field, the value and what to do."""

    reason: RejectReason
    message: str


def decode(value: bytes | None, settings: Settings) -> Event | Refusal:
    """The event that a record's value holds, or why there is none. Raises nothing, whatever the bytes."""
    if not value:
        return Refusal(RejectReason.EMPTY, "the record has no value; a producer sends one JSON object a record")
    if len(value) > settings.max_record_bytes:
        return Refusal(
            RejectReason.TOO_LARGE,
            f"{len(value):,} bytes; at most {settings.max_record_bytes:,} (max_record_bytes) are read: send fewer or "
            "shorter features",
        )
    try:
        wire = _decode_quickly(value)
        event = _prediction(wire) if isinstance(wire, _Prediction) else _label(wire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, PydanticCustomError):
        event = None
    if event is None:
        return _judge(value, settings)
    if type(event) is PredictionEvent and len(event.features) > settings.max_features:
        return _too_many_features(len(event.features), settings)
    return event


# The quick path ----------------------------------------------------------------------------------------------------------

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Int = Annotated[int, Meta(ge=MIN_INT, le=MAX_INT)]
_Time = str | int
_Latency = Annotated[float, Meta(ge=0)]
_Probabilities = Annotated[dict[_Text, float], Meta(min_length=1)]


class _Predicted(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    label: _Text | bool | _Int | None = None
    score: float | None = None
    value: float | None = None
    probabilities: _Probabilities | None = None


class _Prediction(msgspec.Struct, tag_field="kind", tag="prediction", forbid_unknown_fields=True, gc=False):
    event_id: _Name
    model_id: _Name
    model_version: _Name
    timestamp: _Time
    features: dict[_Name, _Int | float | _Text | bool | list[_Int | float | None] | None]
    prediction: _Predicted | _Text | bool | _Int | float | None
    latency_ms: _Latency | None = None
    error: _Text | None = None
    replica: _Name | None = None
    segment: dict[_Name, _Text] | None = None
    feature_timestamp: _Time | None = None
    trace_id: _Name | None = None


class _Label(msgspec.Struct, tag_field="kind", tag="label", forbid_unknown_fields=True, gc=False):
    event_id: _Name
    model_id: _Name
    timestamp: _Time
    actual: _Text | bool | _Int | float
    source: _Name | None = None


_decode_quickly = msgspec.json.Decoder(_Prediction | _Label).decode


def _prediction(wire: _Prediction) -> PredictionEvent | None:
    """None where a rule between fields is broken: the models shall say which."""
    answer = wire.prediction
    label: str | None = None
    score: float | None = None
    value: float | None = None
    probabilities: dict[str, float] | None = None
    if type(answer) is _Predicted:
        if answer.label is not None:
            label = class_name(answer.label)
        score, value, probabilities = answer.score, answer.value, answer.probabilities
        is_classification = label is not None or score is not None or probabilities is not None
        if is_classification is (value is not None):
            return None
    elif isinstance(answer, (str, bool)):
        label = class_name(answer)
    elif isinstance(answer, (int, float)):
        value = float(answer)
    elif not wire.error:
        return None
    computed = wire.feature_timestamp
    return PredictionEvent(
        wire.event_id,
        wire.model_id,
        wire.model_version,
        read_time(wire.timestamp),
        wire.features,
        label,
        score,
        value,
        probabilities,
        wire.latency_ms,
        wire.error,
        wire.replica,
        wire.segment,
        None if computed is None else read_time(computed),
        wire.trace_id,
    )


def _label(wire: _Label) -> LabelEvent:
    actual = wire.actual
    return LabelEvent(wire.event_id, wire.model_id, read_time(wire.timestamp), actual, class_name(actual), wire.source)


# The models' judgement ---------------------------------------------------------------------------------------------------

_Model = Prediction | Label | ModelDescription | Command
_MODELS: Final[dict[str, type[_Model]]] = {
    "prediction": Prediction,
    "label": Label,
    "model": ModelDescription,
    "command": Command,
}
_MAX_SHOWN = 80
"""Characters of a value or a name that a message shows."""
_MAX_PROBLEMS = 3
"""Broken fields that a message names."""


def _judge(value: bytes, settings: Settings) -> Event | Refusal:
    """What the contract's models say of a value."""
    body = _parse(value)
    if isinstance(body, Refusal):
        return body
    kind = _kind(body)
    if isinstance(kind, Refusal):
        return kind
    try:
        model = _MODELS[kind].model_validate_json(value)
    except ValidationError as error:
        return _explain(error, kind)
    return _event(model, settings)


def _parse(value: bytes) -> Any:
    """The parsed JSON, or a Refusal. NaN and infinity pass here, so that the field that has them can be named."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Refusal(
            RejectReason.INVALID_UTF8,
            f"byte {error.start} (0x{value[error.start]:02x}) is not UTF-8 ({error.reason}); events are JSON in UTF-8, "
            "uncompressed",
        )
    try:
        return from_json(value)
    except ValueError as error:
        return _unreadable(value, str(error))


def _unreadable(value: bytes, problem: str) -> Refusal:
    if problem.startswith("recursion limit exceeded"):
        return Refusal(
            RejectReason.TOO_DEEP, f"{problem}; flatten the event: features hold values and lists of numbers"
        )
    if problem.startswith("number out of range"):
        return Refusal(RejectReason.NON_FINITE, f"{problem}; numbers are finite 64-bit floats")
    hint = ""
    if value.startswith(b"\xef\xbb\xbf"):
        hint = "; it begins with a byte order mark: leave it out"
    elif value.startswith(b"\0"):
        hint = "; it begins with a zero byte, as a schema registry's serialisers write it: use a plain JSON serialiser"
    return Refusal(RejectReason.INVALID_JSON, f"not JSON: {problem}{hint}; got {_shown_bytes(value)}")


def _kind(body: Any) -> str | Refusal:
    if not isinstance(body, dict):
        return Refusal(RejectReason.NOT_AN_OBJECT, f"an event is one JSON object; got {_shown(body)}")
    kinds = ", ".join(_MODELS)
    if "kind" not in body:
        return Refusal(RejectReason.MISSING_FIELD, f"kind: missing; it is one of {kinds}")
    kind = body["kind"]
    if not isinstance(kind, str):
        return Refusal(RejectReason.WRONG_TYPE, f"kind: a string is asked for, one of {kinds}; got {_shown(kind)}")
    if kind == "diagnosis":
        return Refusal(
            RejectReason.UNKNOWN_KIND,
            f'kind: got "diagnosis", which whydrift writes and does not read; its input ({kinds}) needs a topic of its own',
        )
    if kind not in _MODELS:
        return Refusal(RejectReason.UNKNOWN_KIND, f"kind: got {_shown(kind)}; it is one of {kinds}")
    return kind


def _event(model: _Model, settings: Settings) -> Event | Refusal:
    if isinstance(model, Label):
        return _label_of(model)
    if isinstance(model, Command):
        return CommandEvent(model.model_id, model.timestamp, model)
    count = len(model.features or ())
    if count > settings.max_features:
        return _too_many_features(count, settings)
    if isinstance(model, Prediction):
        return _prediction_of(model)
    return ModelEvent(model.model_id, model.timestamp, model)


def _label_of(model: Label) -> LabelEvent:
    return LabelEvent(
        event_id=model.event_id,
        model_id=model.model_id,
        timestamp_ms=model.timestamp,
        actual=model.actual,
        actual_class=class_name(model.actual),
        source=model.source,
    )


def _prediction_of(model: Prediction) -> PredictionEvent:
    answer = model.prediction
    label = None if answer is None or answer.label is None else class_name(answer.label)
    return PredictionEvent(
        event_id=model.event_id,
        model_id=model.model_id,
        model_version=model.model_version,
        timestamp_ms=model.timestamp,
        features=model.features,
        label=label,
        score=None if answer is None else answer.score,
        value=None if answer is None else answer.value,
        probabilities=None if answer is None else answer.probabilities,
        latency_ms=model.latency_ms,
        error=model.error,
        replica=model.replica,
        segment=model.segment,
        feature_timestamp_ms=model.feature_timestamp,
        trace_id=model.trace_id,
    )


def _too_many_features(count: int, settings: Settings) -> Refusal:
    return Refusal(
        RejectReason.TOO_MANY_FEATURES,
        f"features: {count:,}; at most {settings.max_features:,} (max_features) are followed: send vectors as one list, or "
        "raise the setting",
    )


# The words of a refusal --------------------------------------------------------------------------------------------------

_REASONS: Final[dict[str, RejectReason]] = {
    **{reason.value: reason for reason in RejectReason},
    "missing": RejectReason.MISSING_FIELD,
    "extra_forbidden": RejectReason.UNKNOWN_FIELD,
    "finite_number": RejectReason.NON_FINITE,
}
"""pydantic's error types; further ones are told by their ending."""


def _explain(error: ValidationError, kind: str) -> Refusal:
    """The first broken field gives the reason; the message names up to _MAX_PROBLEMS of them."""
    problems = error.errors(include_url=False)
    words = [_problem(problem, kind) for problem in problems[:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        words.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    return Refusal(_reason(problems[0]["type"]), "; ".join(words))


def _reason(error_type: str) -> RejectReason:
    known = _REASONS.get(error_type)
    if known is not None:
        return known
    return RejectReason.WRONG_TYPE if error_type.endswith("_type") else RejectReason.INVALID_VALUE


def _problem(problem: ErrorDetails, kind: str) -> str:
    location = problem["loc"]
    path = _path(location) or "the event"
    if problem["type"] == "missing":
        return f"{path}: missing; a {kind} needs it"
    if problem["type"] == "extra_forbidden":
        fields = f"; it has {', '.join(_MODELS[kind].model_fields)}" if len(location) == 1 else ""
        return f"{path}: no field of a {kind}{fields}; got {_shown(problem['input'])}"
    words = problem["msg"].replace("Input should", "it should").replace("String should", "it should")
    return f"{path}: {words}; got {_shown(problem['input'])}"


def _path(location: tuple[int | str, ...]) -> str:
    """Like features.income[3]; pydantic's marker of a broken key is put in words."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part == "[key]" and path:
            path += " (the name itself)"
        else:
            path += ("." if path else "") + (_shorten(part) if part.isidentifier() and part.isascii() else _shown(part))
    return path


def _shown(value: object) -> str:
    """A JSON value in at most about _MAX_SHOWN characters of printable ASCII, at a cost that does not grow with it."""
    if isinstance(value, dict):
        return f"an object of {len(value):,} fields"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, str):
        return _shorten(json.dumps(value[: _MAX_SHOWN + 1]))
    return _shorten(json.dumps(value))


def _shown_bytes(value: bytes) -> str:
    return _shown(value[: 4 * _MAX_SHOWN].decode(errors="replace"))


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
