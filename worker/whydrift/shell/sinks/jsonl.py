"""Diagnoses as lines of a JSONL file.

Each write is whole lines in one call to the system, so that someone who follows the file sees no half line. Rejected records are
not written: the offset of a reject is its line in the input, and the counts are in the pipeline's status.
Belongs here: the file. Not here: how a diagnosis is spelled (`whydrift_schemas`).
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from whydrift.core.records import Emit, Output
from whydrift_schemas import encode


class JsonlSink:
    """Opens at once: `append=False` empties a file that is there, `append=True` goes on behind its last line. Raises OSError."""

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._file = path.open("ab" if append else "wb", buffering=0)

    def write(self, outputs: Sequence[Output]) -> None:
        lines = b"".join(encode(output.diagnosis) + b"\n" for output in outputs if isinstance(output, Emit))
        begun_at = self._file.tell() if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode) else None
        try:
            while lines:
                written = self._file.write(lines)
                lines = lines[written or 0 :]
        except OSError:
            if begun_at is not None:
                self._file.truncate(begun_at)  # of a full disk: whole lines only
            raise

    def flush(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError:
            # A pipe or a terminal cannot be synchronised, and need not be.
            if os.path.isfile(self._file.fileno()):
                raise

    def abandon(self) -> None:
        """Close without making sure of anything: something else went wrong already."""
        with suppress(OSError):
            self._file.close()

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()
