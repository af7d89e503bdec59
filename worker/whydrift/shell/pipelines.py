"""What the worker needs of the core: a pipeline per partition, new or from its state.

Belongs here: that protocol, and the core's pipeline behind it. Not here: how records are read or outputs published.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import Profile
from whydrift.core.records import Output, Record
from whydrift.core.settings import Settings
from whydrift.core.status import OpenIncident, PartitionStatus


class PartitionPipeline(Protocol):
    """All logic for one partition; `whydrift.core.pipeline.Pipeline`. Its output depends on the records alone, not on batches."""

    def process(self, records: Sequence[Record]) -> list[Output]: ...

    def snapshot(self) -> dict[str, bytes]: ...

    def status(self) -> PartitionStatus: ...

    def open_incidents(self) -> tuple[OpenIncident, ...]: ...


class Pipelines(Protocol):
    """Makes pipelines."""

    def create(self, partition: int) -> PartitionPipeline: ...

    def restore(self, partition: int, sections: Mapping[str, bytes]) -> PartitionPipeline:
        """Raises StateError (`whydrift.core.state`)."""
        ...


class CorePipelines:
    """The core's, all with the same settings and references. `topic` is the events topic."""

    def __init__(self, settings: Settings, topic: str, profiles: Mapping[str, Profile]) -> None:
        self._settings = settings
        self._topic = topic
        self._profiles = profiles

    def create(self, partition: int) -> Pipeline:
        return Pipeline(self._settings, self._topic, partition, self._profiles)

    def restore(self, partition: int, sections: Mapping[str, bytes]) -> Pipeline:
        return Pipeline.restore(self._settings, self._topic, partition, self._profiles, sections)
