"""Who hears of a worker's incidents: sinks outside Kafka, which tell people.

Belongs here: that protocol. Not here: what a listener does with it (`alertmanager`, `webhook`).
"""

from collections.abc import Sequence
from typing import Protocol

from whydrift.core.status import OpenIncident
from whydrift_schemas import Diagnosis


class IncidentListener(Protocol):
    """Called by the worker's loop: each call returns at once, and never raises."""

    def heard(self, partition: int, incidents: Sequence[OpenIncident], said: Sequence[Diagnosis]) -> None:
        """All open incidents of a partition, after `said` was committed; () said: as they were found when it was restored."""
        ...

    def revoked(self, partition: int) -> None:
        """The partition is another worker's now, or is being restored: what is known of its incidents is no more ours to tell."""
        ...
