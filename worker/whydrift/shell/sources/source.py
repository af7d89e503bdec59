"""What every source of a replay does.

Belongs here: the contract and its error. Not here: any source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from whydrift.core.records import Record


class SourceError(Exception):
    """The operator must act: the input is not there or cannot be read. The message names it."""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """Bytes read so far (as they are in the file), and of how many; None where nobody can know (a pipe, a followed file)."""

    read_bytes: int
    total_bytes: int | None


class Source(Protocol):
    def batches(self, max_records: int) -> Iterator[list[Record]]:
        """Records in order, at most so many at a time, to the end. An empty batch: nothing new yet. Raises SourceError."""
        ...

    def progress(self) -> ReadProgress: ...
