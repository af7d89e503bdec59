"""What must be true of the topics before a worker starts."""

from dataclasses import replace

import pytest

from whydrift.shell.clients import KafkaSetupError
from whydrift.shell.kafka_settings import KafkaSettings, Topics
from whydrift.shell.memory import MemoryBroker, MemoryClient
from whydrift.shell.topic_check import checked_partition_counts

SETTINGS = KafkaSettings(topics=Topics(events="e", diagnoses="d", rejected="r", state="s"), new_topic_partitions=6)


def client(**partitions: int) -> MemoryClient:
    broker = MemoryBroker()
    for topic, count in partitions.items():
        broker.create_topic(topic, count)
    return MemoryClient(broker, "e")


def test_diagnoses_and_rejects_may_have_any_partition_count() -> None:
    assert checked_partition_counts(client(e=3, d=1, r=2, s=3), SETTINGS) == {"e": 3, "d": 1, "r": 2, "s": 3}


def test_all_missing_topics_are_named_at_once() -> None:
    with pytest.raises(
        KafkaSetupError,
        match=r"d and s do not exist at localhost:9092: run `whydrift topics` .*, or run `.* --topic d ",
    ):
        checked_partition_counts(client(e=3, r=2), SETTINGS)


def test_missing_topics_are_created_with_the_count_of_the_events_topic() -> None:
    found = checked_partition_counts(client(e=3, r=2), replace(SETTINGS, create_topics=True))
    assert found == {"e": 3, "d": 3, "r": 2, "s": 3}


def test_where_there_is_no_events_topic_either_the_setting_counts() -> None:
    found = checked_partition_counts(client(), replace(SETTINGS, create_topics=True))
    assert found == dict.fromkeys("edrs", 6)


@pytest.mark.parametrize(
    ("state", "how"), [(2, "--alter --topic s --partitions 3`"), (4, r"choose a new kafka\.topics\.state")]
)
def test_a_state_topic_with_another_count_is_refused_with_what_mends_it(state: int, how: str) -> None:
    with pytest.raises(KafkaSetupError, match=rf"s has {state} partitions and e has 3: .*{how}"):
        checked_partition_counts(client(e=3, d=1, r=1, s=state), SETTINGS)


def test_one_topic_for_two_purposes_is_refused() -> None:
    with pytest.raises(KafkaSetupError, match="must be four different topics, not e, d, e, s"):
        checked_partition_counts(client(), replace(SETTINGS, topics=replace(SETTINGS.topics, rejected="e")))
