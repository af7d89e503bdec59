"""One test per way in which a record can be no event, and what the readable ones become.

That the quick path and the contract's models agree is held in `tests/properties/test_contract.py`.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from whydrift.core.columns import Column, Kind, encode_column
from whydrift.core.decode import CommandEvent, Event, LabelEvent, ModelEvent, PredictionEvent, Refusal, decode
from whydrift.core.settings import Settings
from whydrift.core.state import pack, unpack
from whydrift_schemas import Action, RejectReason, Task

SETTINGS = Settings()
PREDICTION: dict[str, Any] = {
    "kind": "prediction",
    "event_id": "7f3a",
    "model_id": "credit-risk",
    "model_version": "2026.11.1",
    "timestamp": "2026-11-23T16:45:00.123Z",
    "features": {"income": 52000.0, "region": "eu", "is_new": False, "age": None, "embedding": [0.1, 2, None]},
    "prediction": {"label": "approve", "score": 0.93},
}
LABEL: dict[str, Any] = {
    "kind": "label",
    "event_id": "7f3a",
    "model_id": "credit-risk",
    "timestamp": 1_795_452_300_123,
    "actual": "approve",
}
MODEL: dict[str, Any] = {
    "kind": "model",
    "model_id": "credit-risk",
    "model_version": "2026.11.1",
    "timestamp": "2026-11-23T16:45:00.123Z",
    "replica": "pod-3",
    "task": "binary",
    "features": [{"name": "income", "type": "numeric"}, {"name": "region", "type": "categorical"}],
    "structure": {
        "framework": "sklearn",
        "class_name": "GradientBoostingClassifier",
        "digest": "sha256:ab",
        "layers": [{"name": "dense_1", "kind": "Dense", "shape": [64, None]}],
    },
    "parameters": [
        {
            "name": "dense_1/kernel",
            "count": 640,
            "mean": 0.01,
            "std": 0.2,
            "min": -0.9,
            "max": 0.8,
            "l2_norm": 5.1,
            "zeros": 0,
            "non_finite": 0,
            "digest": "sha256:cd",
        }
    ],
    "decision_threshold": 0.5,
}
COMMAND: dict[str, Any] = {
    "kind": "command",
    "model_id": "credit-risk",
    "timestamp": "2026-11-23T16:45:00.123Z",
    "action": "accept",
    "incident_id": "i-1",
    "signals": ["income.distribution"],
    "until": None,
    "author": "ann",
    "reason": "new tariff",
}


def read(base: dict[str, Any], settings: Settings = SETTINGS, **changes: Any) -> Event | Refusal:
    return decode(json.dumps(base | changes).encode(), settings)


def prediction(**changes: Any) -> PredictionEvent:
    event = read(PREDICTION, **changes)
    assert isinstance(event, PredictionEvent), event
    return event


def label(**changes: Any) -> LabelEvent:
    event = read(LABEL, **changes)
    assert isinstance(event, LabelEvent), event
    return event


def refused(decoded: Event | Refusal, reason: RejectReason, *words: str) -> str:
    assert isinstance(decoded, Refusal), decoded
    assert decoded.reason is reason, decoded
    for word in words:
        assert word in decoded.message
    return decoded.message


def test_a_prediction_keeps_its_features_as_they_came_and_in_their_order() -> None:
    event = prediction()
    assert event.features == PREDICTION["features"]
    assert list(event.features) == list(PREDICTION["features"])
    assert type(event.features["is_new"]) is bool
    assert (event.event_id, event.model_id, event.model_version) == ("7f3a", "credit-risk", "2026.11.1")
    assert (event.label, event.score, event.value, event.probabilities) == ("approve", 0.93, None, None)
    assert (event.latency_ms, event.error, event.replica, event.segment, event.trace_id) == (None,) * 5
    assert event.feature_timestamp_ms is None


def test_optional_fields_of_a_prediction_are_read() -> None:
    event = prediction(
        latency_ms=3,
        error="TimeoutError",
        replica="pod-3",
        segment={"country": "de"},
        feature_timestamp="2026-11-23T16:44:00Z",
        trace_id="t",
        prediction=None,
    )
    assert (event.latency_ms, event.error, event.replica, event.trace_id) == (3.0, "TimeoutError", "pod-3", "t")
    assert event.segment == {"country": "de"}
    assert event.feature_timestamp_ms == 1_795_452_240_000
    assert (event.label, event.score, event.value, event.probabilities) == (None,) * 4


@pytest.mark.parametrize(
    ("answer", "label", "score", "value", "probabilities"),
    [
        (12.5, None, None, 12.5, None),
        (1, None, None, 1.0, None),
        ("approve", "approve", None, None, None),
        (True, "true", None, None, None),
        ({"value": 3}, None, None, 3.0, None),
        ({"label": 1}, "1", None, None, None),
        ({"label": False, "score": 0}, "false", 0.0, None, None),
        ({"score": 0.25}, None, 0.25, None, None),
        ({"label": "a", "probabilities": {"a": 0.7, "b": 0.3}}, "a", None, None, {"a": 0.7, "b": 0.3}),
    ],
)
def test_every_spelling_of_an_answer_is_read(
    answer: object, label: str, score: float, value: float, probabilities: dict[str, float]
) -> None:
    event = prediction(prediction=answer)
    assert (event.label, event.score, event.value, event.probabilities) == (label, score, value, probabilities)


@pytest.mark.parametrize(
    ("actual", "name"), [("1", "1"), (1, "1"), (1.0, "1"), (True, "true"), (False, "false"), (-3, "-3"), (0.5, "0.5")]
)
def test_a_label_keeps_what_was_sent_and_names_its_class_as_predictions_do(actual: object, name: str) -> None:
    event = label(actual=actual, source="crm")
    assert event.actual == actual
    assert type(event.actual) is type(actual)
    assert event.actual_class == name
    assert event.source == "crm"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T16:45:00.123Z",
        "2026-11-23T16:45:00.123+00:00",
        "2026-11-23 16:45:00.123999Z",
        "2026-11-23t16:45:00.123999999z",
        1_795_452_300_123,
    ],
)
def test_every_spelling_of_a_moment_is_the_same_moment(text: object) -> None:
    assert prediction(timestamp=text).timestamp_ms == 1_795_452_300_123
    assert label(timestamp=text).timestamp_ms == 1_795_452_300_123


def test_model_events_and_commands_carry_what_the_contract_says() -> None:
    model = read(MODEL)
    assert isinstance(model, ModelEvent)
    assert model.description.task is Task.BINARY
    assert [feature.name for feature in model.description.features or ()] == ["income", "region"]
    assert model.description.model_dump(mode="json") == MODEL | {"timestamp": model.timestamp_ms}
    command = read(COMMAND)
    assert isinstance(command, CommandEvent)
    assert command.command.action is Action.ACCEPT
    assert command.command.model_dump(mode="json") == COMMAND | {"timestamp": command.timestamp_ms}


@pytest.mark.parametrize("value", [None, b""])
def test_a_tombstone_is_refused_as_empty(value: bytes | None) -> None:
    refused(decode(value, SETTINGS), RejectReason.EMPTY)


def test_a_record_of_2_mb_is_refused_before_it_is_read() -> None:
    value = json.dumps(PREDICTION | {"features": {"text": "x" * 2_000_000}}).encode()
    refused(decode(value, SETTINGS), RejectReason.TOO_LARGE, "2,000,", "1,000,000", "max_record_bytes")
    refused(decode(b"\xff" * 2_000_000, SETTINGS), RejectReason.TOO_LARGE)


def test_invalid_utf8_is_named_with_its_place() -> None:
    refused(decode(b'{"kind":"\xff"}', SETTINGS), RejectReason.INVALID_UTF8, "byte 9", "0xff")
    refused(decode(json.dumps(PREDICTION).encode("utf-16"), SETTINGS), RejectReason.INVALID_UTF8)
    refused(decode(b"\x1f\x8b\x08\x00", SETTINGS), RejectReason.INVALID_UTF8, "uncompressed")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (json.dumps(PREDICTION).encode()[:-1], "EOF"),
        (b"   ", "EOF"),
        (b"\xef\xbb\xbf" + json.dumps(PREDICTION).encode(), "byte order mark"),
        (b"\x00\x00\x00\x00\x07" + json.dumps(PREDICTION).encode(), "schema registry"),
        (json.dumps(LABEL | {"actual": "\ud800"}).encode(), "hex escape"),
        (b"{'kind': 'label'}", "{'kind'"),
        (json.dumps(LABEL).encode() * 2, "trailing"),
    ],
)
def test_what_is_not_json_is_refused_with_what_was_found(value: bytes, word: str) -> None:
    refused(decode(value, SETTINGS), RejectReason.INVALID_JSON, word)


@pytest.mark.parametrize(
    "start", ["", '{"kind":"prediction","features":', '{"kind":"prediction","features":{"income":']
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_ten_thousand_brackets_are_refused_as_too_deep(start: str, opening: str, closing: str) -> None:
    refused(decode((start + opening * 10_000).encode(), SETTINGS), RejectReason.TOO_DEEP, "flatten")
    body = json.dumps(PREDICTION).replace("52000.0", opening * 10_000 + "1" + closing * 10_000)
    refused(decode(body.encode(), SETTINGS), RejectReason.TOO_DEEP, "flatten")


@pytest.mark.parametrize("body", ["[1, 2]", "3", '"prediction"', "null", "NaN"])
def test_json_that_is_no_object_is_refused(body: str) -> None:
    refused(decode(body.encode(), SETTINGS), RejectReason.NOT_AN_OBJECT)


def test_an_unknown_kind_is_named_and_the_known_ones_listed() -> None:
    message = refused(read(PREDICTION, kind="predicton"), RejectReason.UNKNOWN_KIND, '"predicton"')
    assert "prediction, label, model, command" in message
    refused(decode(b"{}", SETTINGS), RejectReason.MISSING_FIELD, "kind", "prediction, label")
    refused(read(PREDICTION, kind=["label"]), RejectReason.WRONG_TYPE, "kind", "a list of 1")
    refused(read(PREDICTION, kind="k" * 5_000), RejectReason.UNKNOWN_KIND, "kkk…")


def test_a_diagnosis_fed_back_is_refused_with_what_to_do() -> None:
    refused(
        decode(b'{"kind":"diagnosis","incident_id":"i"}', SETTINGS), RejectReason.UNKNOWN_KIND, "a topic of its own"
    )


def without(base: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key != field}


@pytest.mark.parametrize(
    ("base", "field"),
    [
        *((PREDICTION, f) for f in ("event_id", "model_id", "model_version", "timestamp", "features", "prediction")),
        *((LABEL, f) for f in ("event_id", "model_id", "timestamp", "actual")),
        *((MODEL, f) for f in ("model_id", "model_version", "timestamp")),
        *((COMMAND, f) for f in ("model_id", "timestamp", "action")),
    ],
)
def test_a_missing_field_is_named(base: dict[str, Any], field: str) -> None:
    refused(read(without(base, field)), RejectReason.MISSING_FIELD, f"{field}: missing", base["kind"])


def test_an_unknown_field_is_named_with_its_value_and_the_known_ones() -> None:
    refused(read(PREDICTION, latency=3), RejectReason.UNKNOWN_FIELD, "latency: no field", "latency_ms", "got 3")
    refused(
        read(PREDICTION, prediction={"label": "a", "confidence": 1}),
        RejectReason.UNKNOWN_FIELD,
        "prediction.confidence",
    )
    refused(read(LABEL, model_version="1"), RejectReason.UNKNOWN_FIELD, "model_version", "no field of a label")


def test_all_broken_fields_are_told_up_to_a_few() -> None:
    message = refused(read(without(LABEL, "model_id"), modelid="m"), RejectReason.MISSING_FIELD, "model_id: missing")
    assert "modelid: no field" in message
    many = {f"extra_{i}": i for i in range(40_000)}
    assert "and 39997 more" in refused(read(LABEL, **many), RejectReason.UNKNOWN_FIELD)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"event_id": 7}, ("event_id", "string", "got 7")),
        ({"model_id": None}, ("model_id", "got null")),
        ({"timestamp": 1.7e12}, ("timestamp", "RFC 3339", "got 1700000000000.0")),
        ({"timestamp": True}, ("timestamp", "got true")),
        ({"features": [1, 2]}, ("features", "a list of 2")),
        ({"features": {"income": {"net": 1}}}, ("features.income", "flatten", "an object of 1")),
        ({"features": {"e": [1, "2"]}}, ("features.e", "numbers and nulls")),
        ({"features": {"e": [True]}}, ("features.e", "numbers and nulls")),
        ({"prediction": [0.1, 0.9]}, ("prediction", "a list of 2")),
        ({"prediction": {"score": "0.93"}}, ("prediction.score", "a number", 'got "0.93"')),
        ({"prediction": {"label": 1.0}}, ("prediction.label", "string, boolean or integer", "got 1.0")),
        ({"prediction": {"label": "a", "probabilities": {"a": "1"}}}, ("prediction.probabilities.a", 'got "1"')),
        ({"latency_ms": "3"}, ("latency_ms", 'got "3"')),
        ({"error": 500}, ("error", "got 500")),
        ({"segment": {"country": 49}}, ("segment.country", "got 49")),
    ],
)
def test_a_wrong_type_is_refused_and_never_coerced(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(read(PREDICTION, **changes), RejectReason.WRONG_TYPE, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"event_id": ""}, ("event_id", "at least 1 character")),
        ({"model_id": "m" * 257}, ("model_id", "at most 256", "mmm…")),
        ({"features": {"": 1}}, ("features", "the name itself", "at least 1")),
        ({"features": {"f" * 257: 1}}, ("features.fff", "the name itself", "at most 256")),
        ({"features": {"text": "x" * 4_097}}, ("features.text", "at most 4096", "4097")),
        ({"timestamp": "23.11.2026 16:45"}, ("timestamp", "RFC 3339", '"23.11.2026 16:45"')),
        ({"timestamp": "2026-11-23T16:45:00+01:00"}, ("timestamp", "UTC")),
        ({"timestamp": "2026-11-23T16:45:00"}, ("timestamp", "UTC")),
        ({"timestamp": "2026-02-30T16:45:00Z"}, ("timestamp", "no such date")),
        ({"prediction": None}, ("the event", "error class")),
        ({"prediction": None, "error": ""}, ("the event", "error class")),
        ({"prediction": {"value": 1, "score": 1}}, ("prediction", "excludes")),
        ({"prediction": {"label": 2**63}}, ("prediction.label", "as strings")),
        ({"prediction": {"label": "a", "probabilities": {}}}, ("prediction.probabilities", "at least 1")),
        ({"latency_ms": -1}, ("latency_ms", "greater than or equal to 0")),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_to_do(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(read(PREDICTION, **changes), RejectReason.INVALID_VALUE, *words)


def test_an_answer_without_anything_is_refused() -> None:
    refused(read(PREDICTION, prediction={}), RejectReason.MISSING_FIELD, "prediction", "label, score, value")
    refused(read(PREDICTION, prediction={"label": None}), RejectReason.MISSING_FIELD, "prediction")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "-1" + "0" * 4_000]
)
@pytest.mark.parametrize("field", ["features.income", "features.embedding", "prediction.score", "latency_ms"])
def test_what_no_finite_float_can_hold_is_refused(field: str, number: str) -> None:
    changes: dict[str, Any] = {
        "features.income": {"features": {"income": "#"}},
        "features.embedding": {"features": {"embedding": [1, "#"]}},
        "prediction.score": {"prediction": {"label": "a", "score": "#"}},
        "latency_ms": {"latency_ms": "#"},
    }[field]
    value = json.dumps(PREDICTION | changes).replace('"#"', number).encode()
    refused(decode(value, SETTINGS), RejectReason.NON_FINITE, field, "finite")
    actual = json.dumps(LABEL | {"actual": "#"}).replace('"#"', number).encode()
    refused(decode(actual, SETTINGS), RejectReason.NON_FINITE, "actual", "finite")


def test_a_number_of_too_many_digits_to_be_read_is_refused() -> None:
    value = json.dumps(PREDICTION).replace("52000.0", "1" + "0" * 5_000).encode()
    refused(decode(value, SETTINGS), RejectReason.NON_FINITE, "out of range")


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1, 10**300])
def test_every_accepted_number_becomes_a_column_and_a_state(number: int) -> None:
    """Whole numbers beyond 64 bits are read as floats, so that nothing later stumbles over them."""
    event = prediction(features={"n": number, "e": [number]})
    value = event.features["n"]
    assert type(value) is (int if -(2**63) <= number < 2**63 else float)
    assert value == float(number) if type(value) is float else value == number
    encoded, _ = encode_column(Column("n", Kind.NUMERIC), [value])
    assert np.isfinite(encoded).all()
    actual = label(actual=number).actual
    assert unpack("test", pack("test", {"features": event.features, "actual": actual})) == {
        "features": event.features,
        "actual": actual,
    }


@pytest.mark.parametrize(
    ("time", "word"),
    [
        ("1970-01-01T00:00:00Z", "between the years 2000 and 2199"),
        (0, "milliseconds since 1970"),
        (1_795_452_300, "looks like seconds"),
        (1_795_452_300_123_456, "looks like microseconds"),
        (1_795_452_300_123_456_789, "looks like nanoseconds"),
        (10**300, "milliseconds since"),
        ("2200-01-01T00:00:00Z", "between"),
        (946_684_799_999, "between"),
        (7_258_118_400_000, "between"),
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "feature_timestamp"])
def test_a_time_outside_2000_to_2199_is_refused_and_the_unit_guessed(field: str, time: object, word: str) -> None:
    refused(read(PREDICTION, **{field: time}), RejectReason.TIMESTAMP_OUT_OF_RANGE, field, word)


def test_the_ends_of_the_range_of_times_are_read() -> None:
    assert prediction(timestamp="2000-01-01T00:00:00Z").timestamp_ms == 946_684_800_000
    assert prediction(timestamp="2199-12-31T23:59:59.999Z").timestamp_ms == 7_258_118_399_999


def test_ten_thousand_features_are_refused_in_predictions_and_descriptions() -> None:
    features = {f"f{i}": i for i in range(10_000)}
    refused(read(PREDICTION, features=features), RejectReason.TOO_MANY_FEATURES, "10,000", "1,000", "max_features")
    declared = [{"name": name, "type": "numeric"} for name in features]
    refused(read(MODEL, features=declared), RejectReason.TOO_MANY_FEATURES, "10,000")
    # The models' path has the limit too.
    refused(read(PREDICTION, features=features | {"f0": 2**70}), RejectReason.TOO_MANY_FEATURES)


def test_the_limit_of_features_is_a_setting() -> None:
    three = replace(SETTINGS, max_features=3)
    features = {"a": 1, "b": 2, "c": 3}
    assert isinstance(read(PREDICTION, three, features=features), PredictionEvent)
    refused(read(PREDICTION, three, features=features | {"d": 4}), RejectReason.TOO_MANY_FEATURES, "4")


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"action": "forget"}, RejectReason.INVALID_VALUE, "'accept', 'relearn' or 'snooze'"),
        ({"incident_id": None, "signals": None}, RejectReason.MISSING_FIELD, "accept needs"),
        ({"incident_id": None, "signals": []}, RejectReason.MISSING_FIELD, "accept needs"),
        ({"action": "snooze"}, RejectReason.MISSING_FIELD, "snooze needs until"),
        ({"until": "2026-11-24T00:00:00Z"}, RejectReason.INVALID_VALUE, "until belongs to snooze"),
    ],
)
def test_a_command_says_what_its_action_needs(changes: dict[str, Any], reason: RejectReason, word: str) -> None:
    refused(read(COMMAND, **changes), reason, word)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "ranking"}, ("task", "regression")),
        ({"features": [{"name": "a", "type": "numeric"}] * 2}, ("features", '"a"', "twice")),
        ({"features": [{"name": "a", "type": "float"}]}, ("features[0].type", "numeric", '"float"')),
        ({"parameters": [{"name": "w", "count": -1}]}, ("parameters[0].count", "got -1")),
    ],
)
def test_a_model_description_is_checked_down_to_its_parts(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(read(MODEL, **changes), RejectReason.INVALID_VALUE, *words)


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    body = json.dumps(PREDICTION).replace('"income": 52000.0', '"income": 1, "income": 2')
    event = decode(body.encode(), SETTINGS)
    assert isinstance(event, PredictionEvent)
    assert event.features["income"] == 2


def test_a_message_stays_short_and_printable_whatever_the_value() -> None:
    evil = "\n\x1b[31m\u202e" + "x" * 3_000
    for changes in ({"timestamp": evil}, {evil: 1}, {"features": {evil: {}}}, {"latency_ms": evil}):
        decoded = read(PREDICTION, **changes)
        assert isinstance(decoded, Refusal)
        assert decoded.message.isprintable()
        assert len(decoded.message) < 500
