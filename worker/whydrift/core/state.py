"""State as bytes: MessagePack with a header, numpy arrays as an extension type. No pickle: a topic is input.

Belongs here: the encoding. Not here: what a state consists of; each stateful class has its own `snapshot` and `restore`.
"""

from typing import Any

import msgspec
import numpy as np

VERSION = 1
READABLE = (1,)
"""Versions this build can read: its own and the previous one."""

_MAGIC = "whydrift-state"
_ARRAY = 1
_DTYPES = frozenset({"float64", "int64", "int32", "int16", "int8", "uint8", "uint64", "bool"})

Plain = dict[str, Any]
"""What snapshots are made of: str-keyed dicts, lists, str, bytes, int, float, bool, None and numeric numpy arrays."""


class StateError(Exception):
    """The operator must act: a state is damaged, of a foreign kind, or written by a newer whydrift."""


def pack(kind: str, body: Plain) -> bytes:
    """One section of state. Equal bodies give equal bytes."""
    return _ENCODER.encode({"magic": _MAGIC, "version": VERSION, "kind": kind, "body": body})


def unpack(kind: str, data: bytes) -> Plain:
    """The body that `pack` was given; raises StateError where the bytes are not such a section."""
    try:
        record = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise StateError(f"the {kind} state cannot be decoded ({error}); remove it to learn anew") from error
    if not isinstance(record, dict) or record.get("magic") != _MAGIC:
        raise StateError(f"these bytes are not a whydrift {kind} state")
    if record.get("version") not in READABLE:
        raise StateError(
            f"the {kind} state has version {record.get('version')!r}; this whydrift reads {list(READABLE)}: "
            "run the version that wrote it, or a newer one"
        )
    if record.get("kind") != kind or not isinstance(record.get("body"), dict):
        raise StateError(f"expected a {kind} state, found {record.get('kind')!r}")
    body: Plain = record["body"]
    return body


def _encode_array(value: object) -> msgspec.msgpack.Ext:
    if not isinstance(value, np.ndarray) or value.dtype.name not in _DTYPES:
        raise NotImplementedError(f"{type(value).__name__} cannot be part of a state")
    parts = (value.dtype.name, list(value.shape), np.ascontiguousarray(value).tobytes())
    return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(parts))


def _decode_array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    name, shape, raw = msgspec.msgpack.decode(data, type=tuple[str, list[int], bytes])
    if name not in _DTYPES:
        raise ValueError(f"array of {name}")
    if any(length < 0 for length in shape):
        raise ValueError(f"array of shape {shape}")
    return np.frombuffer(raw, dtype=name).reshape(shape).copy()


# Insertion order is kept: some dicts are queues.
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_array)
_DECODER = msgspec.msgpack.Decoder(ext_hook=_decode_array)
