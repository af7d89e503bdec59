"""State as bytes: what goes in comes out, and what is no state is refused as the operator's problem, whatever the bytes."""

from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whydrift.core.state import VERSION, StateError, pack, unpack

BODY: dict[str, Any] = {
    "none": None, "yes": True, "int": -(2**63), "float": 1e-320, "text": "ä\x00", "bytes": b"\xff",
    "list": [1, [2.5, None]], "nested": {"b": 1, "a": {"c": []}},
}  # fmt: skip


def envelope(**changes: Any) -> bytes:
    fields = {"magic": "whydrift-state", "version": VERSION, "kind": "model", "body": {}}
    return msgspec.msgpack.encode(fields | changes)


def array(*parts: Any) -> bytes:
    return envelope(body={"a": msgspec.msgpack.Ext(1, msgspec.msgpack.encode(parts))})


def test_a_body_comes_back_as_it_was_and_in_its_order() -> None:
    back = unpack("model", pack("model", BODY))
    assert back == BODY
    assert list(back) == list(BODY)
    assert pack("model", back) == pack("model", BODY)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.5, np.nan, -np.inf]),
        np.zeros((0, 3)),
        np.arange(12, dtype=np.int64).reshape(2, 3, 2)[:, ::2],
        np.array([[True, False]]),
        np.array([-1], np.int8),
        np.array(3.0),
    ],
)
def test_arrays_come_back_with_their_shape_type_and_values_and_can_be_written_to(values: Any) -> None:
    back = unpack("model", pack("model", {"a": values}))["a"]
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert np.array_equal(back, values, equal_nan=True)
    assert back.flags.writeable
    assert back.flags.owndata or back.base is None or back.base.flags.owndata


@pytest.mark.parametrize("value", [object(), np.float64(1.5), np.array(["a"]), np.array([None]), 1j])
def test_what_cannot_be_part_of_a_state_is_a_mistake_of_ours_and_not_written(value: object) -> None:
    with pytest.raises((NotImplementedError, TypeError)):
        pack("model", {"a": value})


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "decoded"),
        (b"\xc1", "decoded"),
        (pack("model", BODY)[:-1], "decoded"),
        (pack("model", BODY) + b"\x00", "decoded"),
        (msgspec.msgpack.encode([1, 2]), "not a whydrift model state"),
        (msgspec.msgpack.encode({"version": 1}), "not a whydrift model state"),
        (msgspec.msgpack.encode({1: 2}), "not a whydrift model state"),
        (envelope(magic="other"), "not a whydrift model state"),
        (envelope(version=VERSION + 1), f"version {VERSION + 1}"),
        (envelope(version="1"), "version '1'"),
        (envelope(version=[1]), "version"),
        (envelope(kind="incidents"), "found 'incidents'"),
        (envelope(body=[1]), "expected a model state"),
        (envelope(body={"a": msgspec.msgpack.Ext(7, b"")}), "decoded"),
        (envelope(body={"a": msgspec.msgpack.Ext(1, b"\xc1")}), "decoded"),
        (array("object", [1], b"12345678"), "decoded"),
        (array("float64", [2], b"12345678"), "decoded"),
        (array("float64", [-1], b"12345678"), "decoded"),
        (array("float64", [-2, -2], b"12345678" * 4), "decoded"),
        (array("float64", [2**62], b""), "decoded"),
        (array("float64", [2**70 % 2**63, 2**62], b""), "decoded"),
        (array("float64", ["1"], b"12345678"), "decoded"),
        (array("float64", [0] * 100, b""), "decoded"),
        (array("float64", [1], b"1234567"), "decoded"),
        (array("float64", [1]), "decoded"),
    ],
)
def test_bytes_that_are_no_state_are_refused_with_what_is_wrong(data: bytes, word: str) -> None:
    with pytest.raises(StateError, match=r"^(?s:.*)" + word):
        unpack("model", data)


def test_deep_nesting_is_refused_and_does_not_end_the_process() -> None:
    with pytest.raises(StateError):
        unpack("model", b"\x91" * 100_000 + b"\xc0")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_are_a_state_or_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        unpack("model", data)


@given(st.integers(0, 10_000), st.binary(max_size=3), st.booleans())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_a_damaged_state_is_read_or_refused_and_nothing_else(at: int, put: bytes, replace: bool) -> None:
    good = pack("model", BODY | {"array": np.arange(20.0), "flags": np.zeros((2, 3), bool)})
    at %= len(good)
    damaged = good[:at] + put + good[at + (len(put) if replace else 0) :]
    with suppress(StateError):
        assert isinstance(unpack("model", damaged), dict)
