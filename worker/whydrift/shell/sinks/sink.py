"""What every sink does.

Belongs here: the contract. Not here: any sink.
"""

from collections.abc import Sequence
from typing import Protocol

from whydrift.core.records import Output


class Sink(Protocol):
    """Takes what the pipeline wants done, in order. Raises OSError or an error of its own kind if it cannot."""

    def write(self, outputs: Sequence[Output]) -> None: ...

    def flush(self) -> None:
        """Return when all that was written will survive the end of this process."""
        ...

    def close(self) -> None:
        """Flush, and let go. A closed sink takes nothing more; closing again does nothing."""
        ...
