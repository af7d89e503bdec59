"""What must be true of the topics before a worker starts.

Belongs here: existence and partition counts, and creating topics where that is asked for. Not here: their contents.
"""

from collections.abc import Mapping

from whydrift.shell.clients import Client, KafkaSetupError
from whydrift.shell.kafka_settings import KafkaSettings

STATE_TOPIC_CONFIG = {"cleanup.policy": "compact"}


def checked_partition_counts(client: Client, settings: KafkaSettings) -> Mapping[str, int]:
    """Partitions of the four topics. Raises KafkaSetupError with the command or setting that mends it."""
    topics = settings.topics
    names = (topics.events, topics.diagnoses, topics.rejected, topics.state)
    if len(set(names)) < len(names):
        raise KafkaSetupError(f"kafka.topics must be four different topics, not {', '.join(names)}")
    counts = client.partition_counts(names)
    missing = [name for name in names if name not in counts]
    if missing and not settings.create_topics:
        raise KafkaSetupError(_how_to_create(missing, counts.get(topics.events), settings))
    for name in missing:
        partitions = counts.get(topics.events, settings.new_topic_partitions)
        config = STATE_TOPIC_CONFIG if name == topics.state else {}
        client.create_topic(name, partitions, settings.new_topic_replicas, config)
    if missing:
        counts = client.partition_counts(names)
    _check_counts(counts, settings)
    return counts


def _how_to_create(missing: list[str], partitions: int | None, settings: KafkaSettings) -> str:
    names = " and ".join(missing)
    verb = "does" if len(missing) == 1 else "do"
    name = missing[0]
    config = " --config cleanup.policy=compact" if name == settings.topics.state else ""
    command = f"kafka-topics --create --topic {name} --partitions {partitions or settings.new_topic_partitions}{config}"
    return f"{names} {verb} not exist at {settings.bootstrap_servers}: set kafka.create_topics, or run `{command}`"


def _check_counts(counts: Mapping[str, int], settings: KafkaSettings) -> None:
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
