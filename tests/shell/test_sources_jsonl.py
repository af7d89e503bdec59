"""Lines of files as records."""

import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from whydrift.core.records import Record
from whydrift.shell.sources.jsonl_files import JsonlFiles
from whydrift.shell.sources.source import SourceError

LIMIT = 100


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def read(*paths: str, max_records: int = 3, max_line_bytes: int = LIMIT) -> list[tuple[int, bytes | None]]:
    batches = list(JsonlFiles(paths, max_line_bytes=max_line_bytes).batches(max_records))
    assert all(0 < len(batch) <= max_records for batch in batches)
    return [(record.offset, record.value) for batch in batches for record in batch]


def test_offsets_are_line_numbers_over_all_files_and_blank_lines_count(tmp_path: Path) -> None:
    first = written(tmp_path / "1.jsonl", b"a\n\n  \r\nb\r\n")
    second = written(tmp_path / "2.jsonl", b"c\nd")
    assert read(first, second) == [(0, b"a"), (3, b"b"), (4, b"c"), (5, b"d")]


def test_a_record_says_where_it_is_from_and_that_there_is_no_broker(tmp_path: Path) -> None:
    source = JsonlFiles([written(tmp_path / "a", b"x\n")], max_line_bytes=LIMIT)
    assert [record for batch in source.batches(9) for record in batch] == [Record("files", 0, 0, b"x")]


@pytest.mark.parametrize("name", ["events.jsonl.gz", "events.jsonl"])
def test_gzip_is_known_by_its_content_and_members_may_follow_each_other(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, gzip.compress(b"a\nb\n") + gzip.compress(b"c\n"))
    assert read(path) == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert read(written(tmp_path / "empty", b"")) == []


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_cut_off_behind_the_limit_and_the_next_is_read(
    tmp_path: Path, packed: bool, end: bytes
) -> None:
    content = b"a\n" + b"x" * 5_000_000 + b"\nb\n" + b"y" * (LIMIT + 2) + end
    path = written(tmp_path / "long", gzip.compress(content) if packed else content)
    found = read(path)
    assert [offset for offset, _ in found] == [0, 1, 2, 3]
    assert [value for _, value in found][::2] == [b"a", b"b"]
    assert all(LIMIT < len(value or b"") <= LIMIT + 2 for _, value in found[1::2])


@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT])
def test_a_line_up_to_the_limit_is_whole(tmp_path: Path, length: int) -> None:
    assert read(written(tmp_path / "a", b"x" * length + b"\nb\n")) == [(0, b"x" * length), (1, b"b")]


def test_a_long_line_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    import tracemalloc

    path = written(tmp_path / "huge", gzip.compress(b"x" * 60_000_000 + b"\nb\n"))
    tracemalloc.start()
    try:
        assert [offset for offset, _ in read(path)] == [0, 1]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10_000_000


def test_a_missing_file_is_named_before_anything_is_read(tmp_path: Path) -> None:
    there = written(tmp_path / "there", b"a\n")
    with pytest.raises(SourceError, match=r"nowhere\.jsonl cannot be read: there is no such file"):
        JsonlFiles([there, str(tmp_path / "nowhere.jsonl")], max_line_bytes=LIMIT)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        JsonlFiles([str(tmp_path)], max_line_bytes=LIMIT)


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:60] + b"\0" * 8 + data[68:]])
def test_a_damaged_gzip_file_is_an_error_not_an_end(tmp_path: Path, damage: object) -> None:
    packed = gzip.compress(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(200)))
    path = written(tmp_path / "cut.gz", damage(packed))  # type: ignore[operator]
    with pytest.raises(SourceError, match=r"cut\.gz is not a complete gzip file"):
        read(path)


def test_standard_input_is_read_once_and_its_size_is_unknown() -> None:
    program = (
        "from whydrift.shell.sources.jsonl_files import JsonlFiles\n"
        "source = JsonlFiles(['-'], max_line_bytes=100)\n"
        "print([(r.offset, r.value) for batch in source.batches(9) for r in batch], source.progress())"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"a\nb\n", capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().strip() == "[(0, b'a'), (1, b'b')] ReadProgress(read_bytes=4, total_bytes=None)"


def test_progress_ends_at_the_size_of_all_files(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\n" * 1000)
    first, second = written(tmp_path / "1", b"a\nb\n"), written(tmp_path / "2", packed)
    source = JsonlFiles([first, second], max_line_bytes=LIMIT)
    seen = [source.progress().read_bytes for _ in source.batches(100)]
    assert seen == sorted(seen)
    assert source.progress().read_bytes == source.progress().total_bytes == 4 + len(packed)


def test_a_followed_file_gives_what_is_appended_and_ends_when_told(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    stop = threading.Event()
    source = JsonlFiles([written(path, b"a\nhal")], max_line_bytes=LIMIT, follow=True, stop=stop)
    batches = source.batches(10)
    assert [record.value for record in next(batches)] == [b"a"]
    assert next(batches) == [], "half a line is no record yet"
    with path.open("ab") as file:
        file.write(b"f\nc\n")
    found: list[bytes | None] = []
    while len(found) < 2:
        found += [record.value for record in next(batches)]
    assert found == [b"half", b"c"]
    stop.set()
    assert [record for batch in batches for record in batch] == []


def test_a_line_without_end_counts_when_following_ends(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    source = JsonlFiles([written(tmp_path / "a", b"a\nlast")], max_line_bytes=LIMIT, follow=True, stop=stop)
    assert [record.value for batch in source.batches(10) for record in batch] == [b"a", b"last"]


@pytest.mark.parametrize("paths", [["-"], ["one", "two"]])
def test_only_a_single_file_can_be_followed(tmp_path: Path, paths: list[str]) -> None:
    there = [path if path == "-" else written(tmp_path / path, b"") for path in paths]
    with pytest.raises(SourceError, match="exactly one file"):
        JsonlFiles(there, max_line_bytes=LIMIT, follow=True)


def test_a_compressed_file_cannot_be_followed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gz", gzip.compress(b"a\n"))
    with pytest.raises(SourceError, match="only a plain file can be followed"):
        list(JsonlFiles([path], max_line_bytes=LIMIT, follow=True).batches(10))
