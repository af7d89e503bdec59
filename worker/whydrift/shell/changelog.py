"""A partition's state as records of the compacted state topic, and back.

A snapshot is a set of named sections (`Pipeline.snapshot`). Each is compressed and cut into parts that fit into a record; a
manifest, written in the same transaction, names them all with their digests and the input offset they belong to. Sections that
did not change are not written again; those that vanished are deleted by tombstones. Keys (compact JSON, keys sorted):
`{"manifest":true,"partition":3}` and `{"part":0,"partition":3,"section":"model/credit-risk/monitor"}`.
Belongs here: that encoding; pure. Not here: Kafka, when to take a snapshot (`worker`), what is in a section (`whydrift.core`).
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from whydrift.core.records import Record
from whydrift.core.state import StateError

VERSION = 1
READABLE = (1,)

PART_BYTES = 800_000
"""Kafka's default limit of a record is 1 MiB with all around it."""
MAX_SECTION_BYTES = 256 * 1024 * 1024
"""A section said to be larger was not written by us: a topic is input, and a short record can inflate to anything."""

KeyValue = tuple[bytes, bytes | None]


class Section(msgspec.Struct, frozen=True):
    """`size` and `digest` (BLAKE2b, 16 bytes, hex) are those of the bytes before compression."""

    parts: int
    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True):
    """What one snapshot consists of. `next_offset`: the first record of `topic` not in it, for the consumer group `group_id`."""

    version: int
    topic: str
    group_id: str
    partition: int
    next_offset: int
    sections: dict[str, Section]


class _Version(msgspec.Struct):
    version: int


class _Key(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    # In the order in which they are written: equal keys must be equal bytes, or compaction keeps both.
    manifest: bool = False
    part: int | None = None
    partition: int
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose state it is: a partition of an input topic as seen by a group."""

    topic: str
    group_id: str
    partition: int


def snapshot_records(
    origin: Origin, next_offset: int, sections: Mapping[str, bytes], previous: Manifest | None
) -> tuple[Manifest, list[KeyValue]]:
    """The records that bring the state topic from `previous` to this snapshot, the manifest last, and the new manifest."""
    known = previous.sections if previous is not None else {}
    described: dict[str, Section] = {}
    records: list[KeyValue] = []
    for name, data in sorted(sections.items()):
        digest = _digest(data)
        before = known.get(name)
        if before is not None and (before.digest, before.size) == (digest, len(data)):
            described[name] = before
            continue
        parts = _parts(zlib.compress(data, 1))
        described[name] = Section(len(parts), len(data), digest)
        records += [(_part_key(origin.partition, name, number), part) for number, part in enumerate(parts)]
    records += [(key, None) for key in _vanished(origin.partition, known, described)]
    manifest = Manifest(VERSION, origin.topic, origin.group_id, origin.partition, next_offset, described)
    records.append(
        (_key(_Key(partition=origin.partition, manifest=True)), msgspec.json.encode(manifest, order="deterministic"))
    )
    return manifest, records


def _vanished(partition: int, before: Mapping[str, Section], now: Mapping[str, Section]) -> Iterator[bytes]:
    for name, section in sorted(before.items()):
        left = now[name].parts if name in now else 0
        for number in range(left, section.parts):
            yield _part_key(partition, name, number)


def _parts(data: bytes) -> list[bytes]:
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _part_key(partition: int, section: str, number: int) -> bytes:
    return _key(_Key(partition=partition, section=section, part=number))


def _key(key: _Key) -> bytes:
    return msgspec.json.encode(key)


class StoredState:
    """What one partition of the state topic holds, record by record as it is read."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._latest: dict[_Key, bytes] = {}

    def add(self, record: Record) -> None:
        """Raises StateError for a record that is none of ours."""
        try:
            key = msgspec.json.decode(record.key or b"", type=_Key)
        except msgspec.DecodeError as error:
            raise StateError(
                f"{_place(record)} is not a whydrift state record ({error}): topics.state must be whydrift's own"
            ) from error
        if key.partition != self._origin.partition:
            raise StateError(
                f"{_place(record)} belongs to partition {key.partition}: state records must stay in the partition of their input"
            )
        if record.value is None:
            self._latest.pop(key, None)
        else:
            self._latest[key] = record.value

    def manifest(self) -> Manifest | None:
        """None: no state was ever written here. Raises StateError: unreadable, too new, or somebody else's."""
        data = self._latest.get(_Key(partition=self._origin.partition, manifest=True))
        if data is None:
            return None
        try:
            version = msgspec.json.decode(data, type=_Version).version
            if version not in READABLE:
                raise StateError(
                    f"the state of partition {self._origin.partition} has version {version}; "
                    f"this whydrift reads {list(READABLE)}: run the version that wrote it, or a newer one"
                )
            manifest = msgspec.json.decode(data, type=Manifest)
        except msgspec.DecodeError as error:
            raise StateError(
                f"the state manifest of partition {self._origin.partition} cannot be decoded: {error}"
            ) from error
        self._check_owner(manifest)
        return manifest

    def _check_owner(self, manifest: Manifest) -> None:
        for name, found, wanted in (
            ("topics.events", manifest.topic, self._origin.topic),
            ("group_id", manifest.group_id, self._origin.group_id),
        ):
            if found != wanted:
                raise StateError(
                    f"the state topic holds the state of another worker: {name} is {wanted!r} here and {found!r} there. "
                    f"Give this worker a topics.state of its own, or set {name} back to {found!r}"
                )

    def sections(self, manifest: Manifest) -> dict[str, bytes]:
        """Raises StateError where a part is missing or damaged."""
        return {name: self._section(name, section) for name, section in manifest.sections.items()}

    def _section(self, name: str, section: Section) -> bytes:
        keys = [_Key(partition=self._origin.partition, section=name, part=number) for number in range(section.parts)]
        parts = [self._latest.get(key) for key in keys]
        data = _inflate(b"".join(part for part in parts if part is not None), section.size)
        if None in parts or data is None or _digest(data) != section.digest:
            raise StateError(
                f"section {name!r} of the state of partition {self._origin.partition} is incomplete or damaged: choose a new "
                "topics.state and the state is rebuilt from the events still there"
            )
        return data


def _inflate(data: bytes, size: int) -> bytes | None:
    """None if it is not the compressed form of exactly `size` bytes."""
    if size > MAX_SECTION_BYTES:
        return None
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, size + 1)
    except zlib.error:
        return None
    return found if len(found) == size else None


def _place(record: Record) -> str:
    return f"the record at {record.topic}-{record.partition} offset {record.offset}"
