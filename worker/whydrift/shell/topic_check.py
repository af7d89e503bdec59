"""What must be true of the topics before a worker starts.

Belongs here: what each topic is for, existence and partition counts, and creating topics where that is asked for. Not here: their
contents.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from whydrift.shell.clients import Client, KafkaSetupError
from whydrift.shell.kafka_settings import KafkaSettings, Topics


@dataclass(frozen=True, slots=True)
class TopicUse:
    """`purpose`: its name in kafka.topics. operations: what a worker must be allowed there, as kafka-acls spells it."""

    topic: str
    purpose: str
    operations: tuple[str, ...]

    @property
    def is_state(self) -> bool:
        return self.purpose == "state"

    @property
    def config(self) -> Mapping[str, str]:
        """Settings it is created with."""
        return {"cleanup.policy": "compact"} if self.is_state else {}


def topic_uses(topics: Topics) -> tuple[TopicUse, ...]:
    """The four topics, events first."""
    return (
        TopicUse(topics.events, "events", ("Read",)),
        TopicUse(topics.diagnoses, "diagnoses", ("Write",)),
        TopicUse(topics.rejected, "rejected", ("Write",)),
        TopicUse(topics.state, "state", ("Read", "Write")),
    )


def checked_partition_counts(client: Client, settings: KafkaSettings) -> Mapping[str, int]:
    """Partitions of the four topics. Raises KafkaSetupError with the command or setting that mends it."""
    names = _names(settings)
    counts = client.partition_counts(names)
    missing = [name for name in names if name not in counts]
    if missing and not settings.create_topics:
        raise KafkaSetupError(_how_to_create(missing, counts.get(settings.topics.events), settings))
    if missing:
        counts = create_missing(client, settings)
    check_counts(counts, settings)
    return counts


def _names(settings: KafkaSettings) -> list[str]:
    names = [use.topic for use in topic_uses(settings.topics)]
    if len(set(names)) < len(names):
        raise KafkaSetupError(f"kafka.topics must be four different topics, not {', '.join(names)}")
    return names


def create_missing(client: Client, settings: KafkaSettings) -> Mapping[str, int]:
    """Create those that do not exist, with as many partitions as the events topic; partitions of all four afterwards."""
    names = _names(settings)
    counts = client.partition_counts(names)
    partitions = counts.get(settings.topics.events, settings.new_topic_partitions)
    for use in topic_uses(settings.topics):
        if use.topic not in counts:
            client.create_topic(use.topic, partitions, settings.new_topic_replicas, use.config)
    return client.partition_counts(names)


def create_command(topic: str, partitions: int, settings: KafkaSettings) -> str:
    """For an administrator with Kafka's own tools."""
    (use,) = (use for use in topic_uses(settings.topics) if use.topic == topic)
    config = "".join(f" --config {name}={value}" for name, value in use.config.items())
    size = f"--partitions {partitions} --replication-factor {settings.new_topic_replicas}"
    return f"kafka-topics --bootstrap-server {settings.bootstrap_servers} --create --topic {topic} {size}{config}"


def _how_to_create(missing: list[str], partitions: int | None, settings: KafkaSettings) -> str:
    names = " and ".join(missing)
    verb = "does" if len(missing) == 1 else "do"
    command = create_command(missing[0], partitions or settings.new_topic_partitions, settings)
    return (
        f"{names} {verb} not exist at {settings.bootstrap_servers}: run `whydrift topics` with this configuration, "
        f"set kafka.create_topics, or run `{command}`"
    )


def check_counts(counts: Mapping[str, int], settings: KafkaSettings) -> None:
    """Raises KafkaSetupError where state has not as many partitions as events."""
    events, state = settings.topics.events, settings.topics.state
    wanted, found = counts.get(events, 0), counts.get(state, 0)
    if wanted == found:
        return
    if found < wanted:
        how = f"run `kafka-topics --alter --topic {state} --partitions {wanted}`"
    else:
        how = f"choose a new kafka.topics.state, created with {wanted} partitions"
    raise KafkaSetupError(
        f"{state} has {found} partitions and {events} has {wanted}: "
        f"state is kept per partition, so the counts must be equal; {how}"
    )
