"""The core's pipeline as the worker's `Pipelines`.

Belongs here: what every partition's pipeline shares. Not here: where settings and references are read from.
"""

from collections.abc import Mapping

from whydrift.core.pipeline import Pipeline
from whydrift.core.reference import Reference
from whydrift.core.settings import Settings


class CorePipelines:
    """See `pipelines.Pipelines`. `references` are those of `whydrift profile`, by model id."""

    def __init__(self, settings: Settings, topic: str, references: Mapping[str, Reference]) -> None:
        self._settings = settings
        self._topic = topic
        self._references = references

    def create(self, partition: int) -> Pipeline:
        return Pipeline(self._settings, self._topic, partition, self._references)

    def restore(self, partition: int, sections: Mapping[str, bytes]) -> Pipeline:
        return Pipeline.restore(self._settings, self._topic, partition, self._references, sections)
