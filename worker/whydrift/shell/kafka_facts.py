"""Facts about a Kafka that a worker counts on and does not ask for: brokers, topics and their settings, what this user may do.

Asked with kafka-python, which is always there, whichever client the worker uses. Nothing is written, no group is joined.
Belongs here: asking. Not here: what the answers mean (`doctor`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove

from whydrift.core.records import Record
from whydrift.shell.clients import KafkaClientError
from whydrift.shell.kafka_python_client import KafkaPythonReader, common_settings, patience_ms, translated
from whydrift.shell.kafka_settings import KafkaSettings

_NOBODY = "whydrift-doctor"
"""A member id that no group has."""
_PASSING = (
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
)
"""What a broker says of a group while it looks for the group's coordinator."""
_ASK_AGAIN_S = 0.1
_READ_S = 0.2


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """partitions: 0 where the topic does not exist or is hidden: this user may not even know of it.

    replicas: of the partition that has the fewest. operations: what this user may do, as Kafka spells it (READ, WRITE); None
    where the broker does not tell. config: every setting; None where this user may not see them.
    """

    partitions: int
    replicas: int
    is_hidden: bool
    operations: frozenset[str] | None
    config: Mapping[str, str] | None


class KafkaFacts:
    """All methods raise KafkaClientError where a broker fails, KafkaSetupError where trying again is pointless."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        with translated(f"connecting to {settings.bootstrap_servers}"):
            self._admin = KafkaAdminClient(**common_settings(settings))

    def brokers(self) -> list[tuple[str, int]]:
        """Host and port of each, as the brokers advertise them."""
        with translated("describing the cluster"):
            return [(one["host"], one["port"]) for one in self._admin.describe_cluster()["brokers"]]

    def topics(self, names: Sequence[str]) -> dict[str, TopicFacts]:
        with translated("describing topics"):
            described = {topic["name"]: topic for topic in self._admin.describe_topics(list(names))}
        return {name: self._topic(described[name]) for name in names}

    def _topic(self, described: Mapping[str, Any]) -> TopicFacts:
        partitions = described["partitions"] if described["error_code"] == 0 else []
        operations = described["authorized_operations"]
        return TopicFacts(
            partitions=len(partitions),
            replicas=min((len(one["replica_nodes"]) for one in partitions), default=0),
            is_hidden=described["error_code"] == errors.TopicAuthorizationFailedError.errno,
            operations=None if operations is None else frozenset(operations),
            config=self._config(described["name"]) if partitions else None,
        )

    def _config(self, topic: str) -> Mapping[str, str] | None:
        with translated(f"reading the settings of {topic}"):
            found = self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        # Where it may not be seen, the answer is there and empty.
        return {name: one["value"] for name, one in found["topic"].get(topic, {}).items()} or None

    def may_join_group(self) -> bool:
        """Whether this user may be a member of the worker's group."""
        # A broker lets leave who may be a member, and asks that first. Nobody by this name is one.
        stranger = [MemberToRemove(member_id=_NOBODY)]
        deadline_s = time.monotonic() + patience_ms(self._settings) / 1_000
        with translated(f"asking for the group {self._settings.group_id}"):
            while True:
                try:
                    self._admin.remove_group_members(self._settings.group_id, stranger)
                    return True
                except errors.GroupAuthorizationFailedError:
                    return False
                except (errors.UnknownMemberIdError, errors.GroupIdNotFoundError):
                    return True
                except _PASSING:
                    if time.monotonic() > deadline_s:
                        raise
                time.sleep(_ASK_AGAIN_S)

    def latest(self, topic: str, partition: int, count: int) -> list[Record]:
        """Committed records among the last `count` offsets of a partition."""
        at = TopicPartition(topic, partition)
        with translated(f"looking into {topic}-{partition}"):
            begin, end = (self._offset(at, which) for which in (-2, -1))
            reader = KafkaPythonReader(self._settings, at, max(begin, end - count), end)
        try:
            return self._read(reader, f"{topic}-{partition}")
        finally:
            reader.close()

    def _offset(self, at: TopicPartition, which: int) -> int:
        found = self._admin.list_partition_offsets(
            {at: which}, isolation_level=1, timeout_ms=patience_ms(self._settings)
        )
        return int(found[at].offset)

    def _read(self, reader: KafkaPythonReader, name: str) -> list[Record]:
        records: list[Record] = []
        deadline_s = time.monotonic() + patience_ms(self._settings) / 1_000
        while not reader.done:
            if time.monotonic() > deadline_s:
                raise KafkaClientError(f"looking into {name}: not read within {patience_ms(self._settings)} ms")
            records += reader.read(_READ_S)
        return records

    def close(self) -> None:
        with translated("closing"):
            self._admin.close()
