"""Laws of the door: every byte string decodes or is refused, and the models alone decide which.

JSON is generated as text, so that it can hold what no serialiser writes: NaN, 1e999, keys twice, halves of surrogate pairs.
"""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from whydrift.core.decode import CommandEvent, Event, LabelEvent, ModelEvent, PredictionEvent, Refusal, decode
from whydrift.core.settings import Settings
from whydrift_schemas import Command, InputEvent, Label, ModelDescription, Prediction, RejectReason, class_name, encode

SETTINGS = Settings()
MODELS: TypeAdapter[Any] = TypeAdapter(InputEvent)

NASTY = [
    "null", "true", "false", "0", "-0", "-0.0", "1", "1.0", "1e2", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity",
    "01", "1.", "+1", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551616", "1" + "0" * 400, "-1" + "0" * 400, "1" + "0" * 5000, "0." + "1" * 5000,
    "1.7976931348623157e308", "1.7976931348623159e308", "5e-324", "0.1", "2.2250738585072011e-308",
    "123456789012345678901234567890",
    '""', '"a"', '"1"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"é😀"', '"\\x"', '"\x01"', '"\x7f"',
    '"' + "n" * 256 + '"', '"' + "n" * 257 + '"', '"' + "😀" * 256 + '"', '"' + "t" * 4096 + '"', '"' + "t" * 4097 + '"',
    "[]", "{}", "[1]", "[1,2.5,null]", "[true]", '["a"]', "[[1]]", "[1e999]", "[18446744073709551616]", '{"a":1}', '{"a":{}}',
    "[" * 150 + "]" * 150, "[" * 10_000, '{"a":' * 10_000, "[1,]", '{"label":"a"}', '{"label":1,"score":1}', '{"label":1.0}',
    '{"label":true,"probabilities":{"true":0.5,"":1}}', '{"probabilities":{}}', '{"value":1,"score":1}', '{"score":"1"}',
    '{"label":null}', '{"value":18446744073709551616}', '{"label":18446744073709551616}', '{"value":1,"value":"a"}',
    '{"value":"a","value":1}', '{"value":-0}', '{"extra":1}', '{"score":NaN}', '{"value":1e999}',
]  # fmt: skip
TIMES = [
    '"2026-11-23T16:45:00.123Z"', '"2026-11-23T16:45:00+00:00"', '"2026-11-23 16:45:00Z"', '"2026-11-23t16:45:00z"',
    '"2026-11-23T16:45:00.123456789Z"', '"2026-11-23T16:45:00+02:00"', '"2026-11-23T16:45:00"', '"2026-11-23T16:45Z"',
    '"2026-W47-1T16:45:00Z"', '"20261123T164500Z"', '"2026-02-30T00:00:00Z"', '"2026-11-23T24:00:00Z"', '"2026-11-23T23:59:60Z"',
    '"2026-11-23T16:45:00,5Z"', '"1970-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"',
    '"٢٠٢٦-11-23T16:45:00Z"',
    "1700000000000", "1700000000", "1700000000000.0", "946684800000", "946684799999", "7258118399999", "7258118400000", "-1",
]  # fmt: skip
NAMES = ['"a"', '"b"', '""', '"x y"', '"' + "n" * 257 + '"', '"\\u0061"', '"\\ud800"']


def json_value(depth: int = 2) -> st.SearchStrategy[str]:
    scalars = st.sampled_from(NASTY) | st.sampled_from(TIMES) | st.text(max_size=5).map(json.dumps)
    numbers = st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    if not depth:
        return scalars | numbers
    inner = json_value(depth - 1)
    return scalars | numbers | st.lists(inner, max_size=3).map(array) | members(st.sampled_from(NAMES), inner).map(obj)


def members(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(keys, values), max_size=3)


def array(parts: list[str]) -> str:
    return "[" + ",".join(parts) + "]"


def obj(parts: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in parts) + "}"


GOOD: dict[str, dict[str, str]] = {
    "prediction": {
        "event_id": '"e"', "model_id": '"m"', "model_version": '"1"', "timestamp": "1700000000000", "features": '{"a":1,"b":"x"}',
        "prediction": '{"label":"yes","score":0.5}',
    },
    "label": {"event_id": '"e"', "model_id": '"m"', "timestamp": "1700000000000", "actual": '"yes"'},
    "model": {"model_id": '"m"', "model_version": '"1"', "timestamp": "1700000000000"},
    "command": {"model_id": '"m"', "timestamp": "1700000000000", "action": '"accept"', "signals": '["a.missing"]'},
}  # fmt: skip
FIELDS = {
    "prediction": list(Prediction.model_fields), "label": list(Label.model_fields),
    "model": list(ModelDescription.model_fields), "command": list(Command.model_fields),
}  # fmt: skip


VALUES, FLAT_VALUES = json_value(), json_value(1)


def changed_field(kind: str) -> st.SearchStrategy[tuple[str, str]]:
    values = VALUES
    features = members(st.sampled_from(NAMES), FLAT_VALUES).map(obj)
    return (
        st.tuples(st.sampled_from(FIELDS[kind]).map(lambda name: f'"{name}"'), values)
        | st.tuples(st.sampled_from(['"timestamp"', '"feature_timestamp"']), st.sampled_from(TIMES))
        | st.tuples(st.sampled_from(['"features"', '"segment"']), features)
        | st.tuples(st.sampled_from(['"prediction"', '"actual"', '"error"']), values)
        | st.tuples(st.sampled_from(NAMES), values)
    )


CHANGES = {kind: st.lists(changed_field(kind), max_size=2) for kind in GOOD}


@st.composite
def nearly_valid(draw: st.DrawFn) -> bytes:
    """An event of which a few fields are replaced, added, repeated or left out, in any order."""
    kind = draw(st.sampled_from([*GOOD, "prediction", "prediction", "label"]))
    parts = [('"kind"', f'"{kind}"'), *((f'"{name}"', value) for name, value in GOOD[kind].items())]
    parts += draw(CHANGES[kind])
    if draw(st.booleans()):
        overwritten = {key for key, _ in parts[len(GOOD[kind]) + 1 :]}
        parts = [part for i, part in enumerate(parts) if i > len(GOOD[kind]) or part[0] not in overwritten]
    if draw(st.integers(0, 9)) == 0:
        parts.pop(draw(st.integers(0, len(parts) - 1)))
    return obj(draw(st.permutations(parts))).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A nearly valid event with a byte changed, put in or cut off."""
    value = draw(nearly_valid())
    at = draw(st.integers(0, len(value) - 1))
    byte = draw(st.binary(max_size=2))
    return draw(st.sampled_from([value[:at], value[:at] + byte + value[at:], value[:at] + byte + value[at + 1 :]]))


def judged_by_models(value: bytes) -> Any | None:
    """The model that the contract reads from a value; None: refused."""
    try:
        return MODELS.validate_json(value)
    except ValidationError:
        return None


def as_contract_says(event: Event, model: Any) -> tuple[list[object], list[object]]:
    """What was decoded, and what it must be, as two lists."""
    if isinstance(event, ModelEvent):
        return [event.model_id, event.timestamp_ms, event.description], [model.model_id, model.timestamp, model]
    if isinstance(event, CommandEvent):
        return [event.model_id, event.timestamp_ms, event.command], [model.model_id, model.timestamp, model]
    if isinstance(event, LabelEvent):
        return (
            [event.event_id, event.model_id, event.timestamp_ms, event.actual, event.actual_class, event.source],
            [model.event_id, model.model_id, model.timestamp, model.actual, class_name(model.actual), model.source],
        )
    answer = model.prediction
    label = None if answer is None or answer.label is None else class_name(answer.label)
    numbers = [None] * 3 if answer is None else [answer.score, answer.value, answer.probabilities]
    names = (
        "event_id",
        "model_id",
        "model_version",
        "features",
        "latency_ms",
        "error",
        "replica",
        "segment",
        "trace_id",
    )
    times = [model.timestamp, model.feature_timestamp]
    return (
        [getattr(event, name) for name in names]
        + [event.timestamp_ms, event.feature_timestamp_ms, event.label, event.score, event.value, event.probabilities],
        [getattr(model, name) for name in names] + [*times, label, *numbers],
    )


def assert_models_decide(value: bytes) -> None:
    decoded = decode(value, SETTINGS)
    model = judged_by_models(value)
    if isinstance(decoded, Refusal):
        assert model is None, decoded
        assert decoded.reason in RejectReason
        assert decoded.message.isprintable()
        assert 10 < len(decoded.message) < 1_500
        return
    assert model is not None, decoded
    found, expected = as_contract_says(decoded, model)
    assert repr(found) == repr(expected)  # tells 1 from 1.0 and true, 0.0 from -0.0


@given(nearly_valid())
@settings(max_examples=800, deadline=None, derandomize=True)
@example(b'{"kind":"label","event_id":"e","model_id":"m","timestamp":1700000000000,"actual":-0}')
def test_decoding_accepts_refuses_and_reads_exactly_as_the_models_do(value: bytes) -> None:
    assert_models_decide(value)


@given(damaged())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_damaged_events_are_judged_as_the_models_judge_them(value: bytes) -> None:
    assert_models_decide(value)


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-16")))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_byte_string_decodes_or_is_refused(value: bytes) -> None:
    assert_models_decide(value)


@given(nearly_valid())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_read_is_the_same_after_it_was_encoded_anew(value: bytes) -> None:
    model = judged_by_models(value)
    if model is None:
        return
    again = decode(encode(model), SETTINGS)
    assert not isinstance(again, Refusal), again
    found, expected = as_contract_says(again, model)
    assert repr(found) == repr(expected)
    assert encode(MODELS.validate_json(encode(model))) == encode(model)


def test_the_generated_events_exercise_both_verdicts_and_every_kind() -> None:
    """A generator that only makes refused events would prove nothing."""
    kinds: set[type] = set()
    reasons: set[RejectReason] = set()

    @given(nearly_valid())
    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    def collect(value: bytes) -> None:
        decoded = decode(value, SETTINGS)
        if isinstance(decoded, Refusal):
            reasons.add(decoded.reason)
        else:
            kinds.add(type(decoded))

    collect()
    assert kinds == {PredictionEvent, LabelEvent, ModelEvent, CommandEvent}
    assert reasons >= {
        RejectReason.INVALID_JSON, RejectReason.MISSING_FIELD, RejectReason.UNKNOWN_FIELD,
        RejectReason.WRONG_TYPE, RejectReason.INVALID_VALUE, RejectReason.NON_FINITE, RejectReason.TIMESTAMP_OUT_OF_RANGE,
    }  # fmt: skip
