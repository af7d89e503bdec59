"""The values that fields hold: times, ids, feature values, classes; and their limits.

Belongs here: how one value is read, refused or spelled. Not here: which fields there are (`events`, `diagnosis`).

Each reader takes what a JSON parser makes (or what a Python producer has) and returns the value to keep, or raises
`PydanticCustomError` whose type is a `RejectReason`. Nothing is coerced: "1" is not 1, true is not 1; but where a number is
asked for, an integer is one.
"""

import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from whydrift_schemas.names import RejectReason

MAX_NAME: Final = 256
"""Characters of an id or a name."""
MAX_TEXT: Final = 4096
"""Characters of any other string."""
MAX_SIGNAL: Final = 512
"""Characters of a signal's name: a feature's name and more."""
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1
"""Whole numbers beyond 64 bits are read as floats; as class labels they are refused."""
MIN_TIME_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z."""
MAX_TIME_MS: Final = 7_258_118_400_000 - 1
"""The last millisecond of 2199."""

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_UTC = frozenset(("Z", "z", "+00:00"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def refusal(reason: RejectReason, message: str, **context: Any) -> PydanticCustomError:
    """What a reader raises; `{name}` in the message stands for a value of the context."""
    return PydanticCustomError(reason.value, message, context or None)


def read_time(value: object) -> int:
    """Epoch milliseconds of an RFC 3339 time in UTC, or of integer epoch milliseconds. Digits past the millisecond are cut.

    A blank may stand for the T, as RFC 3339 allows.
    """
    if type(value) is str:
        time_ms = _parse_time(value)
    elif type(value) is int:
        time_ms = value
    else:
        raise refusal(
            RejectReason.WRONG_TYPE,
            'write the time as RFC 3339 in UTC ("2026-11-23T16:45:00.123Z") or integer epoch ms',
        )
    if not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
        raise refusal(RejectReason.TIMESTAMP_OUT_OF_RANGE, _why_out_of_range(value, time_ms))
    return time_ms


def _parse_time(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise refusal(
            RejectReason.INVALID_VALUE,
            'not an RFC 3339 time; write it in UTC, like "2026-11-23T16:45:00.123Z", or as epoch ms',
        )
    if match["offset"] not in _UTC:
        raise refusal(RejectReason.INVALID_VALUE, "times are in UTC: convert it, and end it with Z or +00:00")
    try:
        # Nine digits are cut to six by fromisoformat, from Python 3.11 on.
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise refusal(RejectReason.INVALID_VALUE, "there is no such date or time of day") from None
    return (moment - _EPOCH) // _MILLISECOND


def _why_out_of_range(value: object, time_ms: int) -> str:
    outside = "times lie between the years 2000 and 2199"
    if type(value) is not int:
        return outside
    for unit, factor in (("seconds", 1000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6)):
        if abs(time_ms) < 1e30 and MIN_TIME_MS <= time_ms * factor <= MAX_TIME_MS:
            return f"{outside}; this looks like {unit}, milliseconds are asked for"
    return f"{outside}; write milliseconds since 1970-01-01T00:00:00Z"


def write_time(time_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds and Z."""
    return (_EPOCH + time_ms * _MILLISECOND).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def read_number(value: object) -> float | int:
    """A finite number; whole numbers beyond 64 bits become floats, and so do numpy's floats."""
    if type(value) is int:
        return value if MIN_INT <= value <= MAX_INT else _widen(value)
    if not isinstance(value, float):
        raise refusal(RejectReason.WRONG_TYPE, "a number is asked for")
    if not isfinite(value):
        raise _not_finite()
    return float(value)


def _widen(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _not_finite() from None


def _not_finite() -> PydanticCustomError:
    return refusal(
        RejectReason.NON_FINITE,
        "numbers are finite 64-bit floats; write null for a value that is not there or not a number",
    )


def read_text(value: object) -> str:
    """A string of at most MAX_TEXT characters, perhaps empty."""
    if type(value) is not str:
        raise refusal(RejectReason.WRONG_TYPE, "a string is asked for")
    if len(value) > MAX_TEXT:
        raise refusal(
            RejectReason.INVALID_VALUE, f"at most {MAX_TEXT} characters; this has {{length}}", length=len(value)
        )
    if not _is_unicode(value):
        raise refusal(RejectReason.INVALID_VALUE, "half of a surrogate pair cannot be written in UTF-8")
    return value


def _is_unicode(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_feature_value(value: object) -> "FeatureValue":
    """A number, string, boolean, null, or a list of numbers and nulls (an embedding)."""
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return read_text(value)
    if type(value) is list:
        return [None if entry is None else _read_entry(entry) for entry in value]
    if type(value) is int or isinstance(value, float):
        return read_number(value)
    raise refusal(
        RejectReason.WRONG_TYPE,
        "a feature is a number, string, boolean, null, or a list of numbers and nulls; flatten nested features",
    )


def _read_entry(entry: object) -> float | int:
    if type(entry) is int or isinstance(entry, float):
        return read_number(entry)
    raise refusal(
        RejectReason.WRONG_TYPE, "a list holds numbers and nulls only; give other values as features of their own"
    )


def read_class(value: object) -> str | bool | int:
    """A class: a string, boolean or integer of at most 64 bits."""
    if type(value) is bool:
        return value
    if type(value) is int:
        if MIN_INT <= value <= MAX_INT:
            return value
        raise refusal(RejectReason.INVALID_VALUE, "write class labels beyond 64 bits as strings")
    if type(value) is str:
        return read_text(value)
    raise refusal(RejectReason.WRONG_TYPE, "a class label is a string, boolean or integer")


def read_actual(value: object) -> str | bool | int | float:
    """What came true: a class, or a number for a regression."""
    if type(value) is bool:
        return value
    if type(value) is str:
        return read_text(value)
    if type(value) is int or isinstance(value, float):
        return read_number(value)
    raise refusal(
        RejectReason.WRONG_TYPE, "what came true is a string, boolean or number; leave the label out if not known yet"
    )


def read_detail(value: object) -> float | int | str:
    """A number or a string of a diagnosis."""
    return read_text(value) if type(value) is str else read_number(value)


def class_name(value: str | bool | int | float) -> str:
    """The one spelling in which classes are compared: true is "true", 1 and 1.0 are "1", a string is itself.

    >>> class_name(True), class_name(3), class_name(3.0), class_name("approve")
    ('true', '3', '3', 'approve')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() else repr(value)


_TEXT_SCHEMA = {"type": "string", "maxLength": MAX_TEXT}
_NUMBER_OR_NULL = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_INTEGER_SCHEMA = {"type": "integer", "minimum": MIN_INT, "maximum": MAX_INT}
_TIME_TEXT_SCHEMA = {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC, ending in Z or +00:00"}
_TIME_SCHEMA = {
    "anyOf": [
        _TIME_TEXT_SCHEMA,
        {
            "type": "integer",
            "minimum": MIN_TIME_MS,
            "maximum": MAX_TIME_MS,
            "description": "milliseconds since 1970-01-01T00:00:00Z",
        },
    ]
}

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
SignalName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SIGNAL)]
Text = Annotated[str, PlainValidator(read_text), WithJsonSchema(_TEXT_SCHEMA)]
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
Number = Annotated[float, BeforeValidator(read_number)]
Time = Annotated[int, PlainValidator(read_time), WithJsonSchema(_TIME_SCHEMA)]
"""Epoch milliseconds in Python and when written; RFC 3339 is read too."""
WrittenTime = Annotated[
    int,
    PlainValidator(read_time),
    PlainSerializer(write_time, return_type=str),
    WithJsonSchema(_TIME_SCHEMA, mode="validation"),
    WithJsonSchema(_TIME_TEXT_SCHEMA, mode="serialization"),
]
"""Epoch milliseconds in Python, RFC 3339 when written."""
Embedding = list[float | int | None]
FeatureValue = float | int | str | bool | Embedding | None
CheckedFeatureValue = Annotated[
    FeatureValue,
    PlainValidator(read_feature_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                _TEXT_SCHEMA,
                {"type": "boolean"},
                {"type": "null"},
                {"type": "array", "items": _NUMBER_OR_NULL},
            ]
        }
    ),
]
ClassLabel = Annotated[
    str | bool | int,
    PlainValidator(read_class),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "boolean"}, _INTEGER_SCHEMA]}),
]
Actual = Annotated[
    str | bool | int | float,
    PlainValidator(read_actual),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "boolean"}, {"type": "number"}]}),
]
Detail = Annotated[
    float | int | str,
    PlainValidator(read_detail),
    WithJsonSchema({"anyOf": [{"type": "number"}, _TEXT_SCHEMA]}),
]
