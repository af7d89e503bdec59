"""What anybody does who wants to know: reads the diagnoses topic.

Belongs here: reading and decoding it. Not here: what is made of it (`screen`, `verdict`).
"""

from dataclasses import replace

from whydrift.demo.stage import Stage
from whydrift_schemas import Diagnosis

_WAIT_S = 0.05


class DiagnosisReader:
    """A consumer with a group of its own, from the topic's beginning on."""

    def __init__(self, stage: Stage) -> None:
        topics = replace(stage.settings.topics, events=stage.settings.topics.diagnoses)
        settings = replace(stage.settings, topics=topics, group_id=f"{stage.settings.group_id}-reader")
        self._client = stage.connect(settings)
        self._consumer = self._client.consumer()
        self.read = 0

    def poll(self) -> list[Diagnosis]:
        """What has come since; waits a moment for the first. Raises KafkaClientError."""
        found = self._consumer.poll(_WAIT_S)
        for partition in self._consumer.take_change().assigned:
            self._consumer.start_at(partition, 0)
        values = [record.value for records in found.values() for record in records if record.value is not None]
        self.read += len(values)
        return [Diagnosis.model_validate_json(value) for value in values]

    def close(self) -> None:
        self._consumer.close()
        self._client.close()
