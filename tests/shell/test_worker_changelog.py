"""State as records of the state topic: what is written, what is left out, what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whydrift.core.records import Record
from whydrift.core.state import StateError
from whydrift.shell.changelog import PART_BYTES, KeyValue, Manifest, Origin, StoredState, snapshot_records

ORIGIN = Origin("events", "group", 3)


def stored(*batches: list[KeyValue], origin: Origin = ORIGIN) -> StoredState:
    state = StoredState(origin)
    for offset, (key, value) in enumerate(pair for batch in batches for pair in batch):
        state.add(Record("state", 3, offset, value, key))
    return state


def read_back(state: StoredState) -> tuple[int, dict[str, bytes]]:
    manifest = state.manifest()
    assert manifest is not None
    return manifest.next_offset, state.sections(manifest)


def incompressible(size: int) -> bytes:
    import hashlib

    return b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(size // 32 + 1))[:size]


sections = st.dictionaries(st.text(max_size=20), st.binary(max_size=200), max_size=6)


@given(st.lists(st.tuples(st.integers(0, 2**62), sections), min_size=1, max_size=5))
def test_the_last_snapshot_is_what_is_read_back_whatever_came_before(
    snapshots: list[tuple[int, dict[str, bytes]]],
) -> None:
    batches, previous = [], None
    for next_offset, wanted in snapshots:
        previous, records = snapshot_records(ORIGIN, next_offset, wanted, previous)
        batches.append(records)
    assert read_back(stored(*batches)) == snapshots[-1]


def test_unchanged_sections_are_not_written_again_and_vanished_ones_are_deleted() -> None:
    first, _ = snapshot_records(ORIGIN, 1, {"a": b"1", "b": b"2", "c": b"3"}, None)
    _, records = snapshot_records(ORIGIN, 2, {"a": b"1", "b": b"changed"}, first)
    written = {key: value is not None for key, value in records}
    assert written == {
        b'{"part":0,"partition":3,"section":"b"}': True,
        b'{"part":0,"partition":3,"section":"c"}': False,
        b'{"manifest":true,"partition":3}': True,
    }


def test_a_large_section_is_cut_into_parts_and_leftover_parts_are_deleted_when_it_shrinks() -> None:
    large = incompressible(2 * PART_BYTES + 5)
    first, records = snapshot_records(ORIGIN, 1, {"a": large}, None)
    assert len(records) == 4
    assert max(len(value or b"") for _, value in records) <= PART_BYTES
    assert read_back(stored(records)) == (1, {"a": large})
    _, again = snapshot_records(ORIGIN, 2, {"a": b"small"}, first)
    assert [key for key, value in again if value is None] == [
        b'{"part":1,"partition":3,"section":"a"}',
        b'{"part":2,"partition":3,"section":"a"}',
    ]
    assert read_back(stored(records, again)) == (2, {"a": b"small"})


def test_nothing_stored_is_no_manifest() -> None:
    assert stored().manifest() is None


def changed_manifest(**changes: object) -> list[KeyValue]:
    _, records = snapshot_records(ORIGIN, 1, {"a": b"1"}, None)
    key, value = records[-1]
    return [*records[:-1], (key, json.dumps(json.loads(value or b"") | changes).encode())]


def test_an_unknown_newer_version_is_refused_even_if_it_looks_otherwise() -> None:
    with pytest.raises(StateError, match=r"version 99; this whydrift reads \[1\]"):
        stored(changed_manifest(version=99, sections="something new")).manifest()


@pytest.mark.parametrize(("field", "named"), [("topic", "topics.events"), ("group_id", "group_id")])
def test_state_of_another_worker_is_refused_by_the_name_of_the_setting(field: str, named: str) -> None:
    with pytest.raises(StateError, match=f"{named} is .* here and 'foreign' there"):
        stored(changed_manifest(**{field: "foreign"})).manifest()


def test_a_manifest_that_is_not_one_is_refused() -> None:
    with pytest.raises(StateError, match="cannot be decoded"):
        stored([(b'{"manifest":true,"partition":3}', b"\xff")]).manifest()


@pytest.mark.parametrize("key", [None, b"", b"model-7", b'{"partition":3,"surprise":1}', b'"3"'])
def test_a_record_of_somebody_else_is_refused(key: bytes | None) -> None:
    with pytest.raises(StateError, match=r"state-3 offset 0 is not a whydrift state record"):
        stored([(key, b"value")])  # type: ignore[list-item]


def test_a_record_of_another_partition_is_refused() -> None:
    with pytest.raises(StateError, match="belongs to partition 4"):
        stored([(b'{"manifest":true,"partition":4}', b"{}")])


def damaged(records: list[KeyValue], value: bytes | None) -> StoredState:
    return stored([(records[0][0], value), *records[1:]])


@pytest.mark.parametrize("value", [None, b"", b"garbage"])
def test_a_missing_or_damaged_part_is_refused(value: bytes | None) -> None:
    _, records = snapshot_records(ORIGIN, 1, {"a": b"content"}, None)
    state = damaged(records, value)
    manifest = state.manifest()
    assert manifest is not None
    with pytest.raises(StateError, match=r"section 'a' .* incomplete or damaged"):
        state.sections(manifest)


def test_a_section_of_other_content_with_the_right_size_is_refused() -> None:
    manifest, _ = snapshot_records(ORIGIN, 1, {"a": b"content"}, None)
    _, other = snapshot_records(ORIGIN, 1, {"a": b"CONTENT"}, None)
    with pytest.raises(StateError, match="damaged"):
        stored(other).sections(manifest)


def test_a_record_that_inflates_beyond_what_the_manifest_says_is_refused() -> None:
    _, records = snapshot_records(ORIGIN, 1, {"a": bytes(50_000_000)}, None)
    assert len(records[0][1] or b"") < 300_000
    described = changed_manifest()[-1]
    with pytest.raises(StateError, match="damaged"):
        read_back(stored([records[0], described]))


def test_a_manifest_knows_only_what_it_needs() -> None:
    assert Manifest.__struct_fields__ == ("version", "topic", "group_id", "partition", "next_offset", "sections")
