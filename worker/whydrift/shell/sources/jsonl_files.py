"""JSONL files as one partition: plain or gzip, several one after the other, `-` for standard input, or one that is followed.

The offset of a record is its line number, from 0, over all files. A blank line is no record but counts. A line that is too long
is passed on cut off just behind the limit, so that it is rejected for its size without ever being in memory as a whole.
Belongs here: lines from files. Not here: what is in a line.
"""

import gzip
import io
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whydrift.core.records import Record
from whydrift.shell.files import unreadable
from whydrift.shell.sources.source import ReadProgress, SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STDIN = "-"
TOPIC = "files"
POLL_S = 0.2
"""A followed file is looked at this often."""
READ_BYTES = 1 << 16
SKIP_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class JsonlFiles:
    """`max_line_bytes` is `Settings.max_record_bytes`. `follow` (one plain file) reads on at its end until `stop` is set."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        max_line_bytes: int,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self._paths = paths
        self._max_line_bytes = max_line_bytes
        self._follow = follow
        self._stop = stop or threading.Event()
        self._offset = 0
        self._read_before = 0
        self._position: Callable[[], int] = lambda: 0
        self._total_bytes = _total_bytes(paths)
        if follow and (len(paths) != 1 or paths[0] == STDIN):
            raise SourceError("following needs exactly one file, and not standard input")

    def batches(self, max_records: int) -> Iterator[list[Record]]:
        for path in self._paths:
            try:
                with _opened(path) as raw:
                    yield from self._of_file(path, raw, max_records)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise SourceError(
                    f"{path} is not a complete gzip file: {error} (after line {self._offset}); "
                    "fetch it again, or read what there is with `gzip -dc FILE | whydrift … -`"
                ) from error
            except OSError as error:
                raise SourceError(f"{path} cannot be read: {unreadable(Path(path), error)}") from error

    def progress(self) -> ReadProgress:
        return ReadProgress(self._read_before + self._position(), None if self._follow else self._total_bytes)

    def _of_file(self, path: str, raw: io.RawIOBase, max_records: int) -> Iterator[list[Record]]:
        counted = _Counted(raw)
        self._position = lambda: counted.read_bytes
        lines = self._decompressed(path, counted)
        batch: list[Record] = []
        for line in self._lines(lines):
            if line is not None:
                batch += self._record(line)
            if len(batch) >= max_records or (line is None and batch):
                yield batch
                batch = []
            elif line is None:
                yield []
        if batch:
            yield batch
        self._read_before += counted.read_bytes
        self._position = lambda: 0

    def _decompressed(self, path: str, counted: "_Counted") -> io.BufferedIOBase:
        buffered = io.BufferedReader(counted, READ_BYTES)
        if buffered.peek(2)[:2] != _GZIP_MAGIC:
            return buffered
        if self._follow:
            raise SourceError(f"{path} is compressed: only a plain file can be followed")
        return gzip.GzipFile(fileobj=buffered, mode="rb")

    def _lines(self, file: io.BufferedIOBase) -> Iterator[bytes | None]:
        """Lines without their end; None where a followed file has nothing new."""
        begun = b""
        while True:
            piece = file.readline(self._max_line_bytes + 2 - len(begun))
            line = begun + piece
            if line.endswith(b"\n"):
                begun = b""
                yield line[:-1]
            elif len(line) > self._max_line_bytes + 1:
                begun = b""
                yield line
                self._skip_rest(file)
            elif piece:
                begun = line
            elif self._follow and not self._stop.is_set():
                yield None
                self._stop.wait(POLL_S)
            else:
                if begun:
                    yield begun
                return

    def _skip_rest(self, file: io.BufferedIOBase) -> None:
        while True:
            piece = file.readline(SKIP_BYTES)
            if piece.endswith(b"\n"):
                return
            if not piece:
                if not self._follow or self._stop.is_set():
                    return
                self._stop.wait(POLL_S)

    def _record(self, line: bytes) -> list[Record]:
        offset, self._offset = self._offset, self._offset + 1
        value = line.rstrip(b"\r")
        return [Record(TOPIC, 0, offset, value)] if value.strip() else []


class _Counted(io.RawIOBase):
    """A raw file that knows how much was read from it."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = self._raw.readinto(buffer)
        self.read_bytes += count or 0
        return count


def _opened(path: str) -> io.FileIO:
    # Standard input is duplicated: closing it here must not close it for the rest of the process.
    return io.FileIO(os.dup(sys.stdin.fileno()) if path == STDIN else path)


def _total_bytes(paths: Sequence[str]) -> int | None:
    """Of all files together; None with standard input or a pipe. Raises SourceError for one that is not there."""
    total = 0
    for path in paths:
        if path == STDIN:
            return None
        try:
            if Path(path).is_dir():
                raise SourceError(f"{path} is a directory, not a file of events: name the files in it")
            total += Path(path).stat().st_size
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {unreadable(Path(path), error)}") from error
        if not Path(path).is_file():
            return None
    return total
