"""What the worker counts on, on kafka-python, on librdkafka and on the in-memory log alike."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from whydrift.core.records import Record
from whydrift.shell.clients import Consumer, KafkaClientError, KafkaSetupError, Message, Producer
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import ClientName, KafkaSettings

from .conftest import Cluster, Member, until

Join = Callable[..., Member]


def test_partition_counts_leave_out_a_topic_that_does_not_exist(cluster: Cluster) -> None:
    cluster.create(3)
    events = cluster.settings.topics.events
    assert cluster.admin.partition_counts([events, "nothing-of-the-kind"]) == {events: 3}


def test_creating_a_topic_twice_is_no_error(cluster: Cluster) -> None:
    cluster.create(1)
    cluster.create(1)


def test_a_created_topic_has_all_its_partitions_at_once(cluster: Cluster) -> None:
    for number in range(30):
        topic = f"{cluster.settings.topics.events}-{number}"
        cluster.admin.create_topic(topic, 3, 1, {})
        assert cluster.admin.partition_counts([topic]) == {topic: 3}


def test_a_new_partition_is_held_until_it_is_started_at_an_offset(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [b"0", b"1", None, b"3"])
    member = join().until_owning({0})
    member.after_some_polls()
    assert member.records == []
    member.start_at(0, 1)
    assert [(record.offset, record.value) for record in member.until_records(3)] == [(1, b"1"), (2, None), (3, b"3")]


def test_a_record_arrives_with_key_headers_topic_and_partition(cluster: Cluster, join: Join) -> None:
    cluster.create(2)
    events = cluster.settings.topics.events
    producer = cluster.admin.producer("headers")
    producer.begin()
    producer.send(Message(events, 1, b"k", b"v", (("a", b"1"), ("a", b"\xff"))))
    producer.flush()
    producer.commit()
    producer.discard()
    member = join().until_owning({0, 1})
    member.start_at(1, 0)
    (record,) = member.until_records(1)
    assert (record.topic, record.partition, record.key, record.headers) == (
        events,
        1,
        b"k",
        (("a", b"1"), ("a", b"\xff")),
    )


def test_holding_stops_a_partition_and_starting_again_repeats_from_the_offset(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [b"0", b"1"])
    member = join().until_owning({0})
    member.start_at(0, 0)
    member.until_records(2)
    member.do(lambda consumer: consumer.hold(0))
    cluster.send(cluster.settings.topics.events, [b"2"])
    member.after_some_polls()
    assert [record.value for record in member.records] == [b"0", b"1"]
    member.start_at(0, 1)
    assert [record.value for record in member.until_records(4)] == [b"0", b"1", b"1", b"2"]


def test_starting_again_in_the_middle_of_what_was_fetched_gives_every_record_from_there(
    cluster: Cluster, join: Join
) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [str(number).encode() for number in range(200)])
    member = join(max_poll_records=10).until_owning({0})
    member.start_at(0, 0)
    member.until_records(10)
    for start in (5, 0, 150):

        def again(consumer: Consumer, start: int = start) -> None:
            consumer.hold(0)
            member.records.clear()
            consumer.start_at(0, start)

        member.do(again)
        assert [record.offset for record in member.until_records(20)][:20] == list(range(start, start + 20))


def test_messages_and_offsets_of_a_transaction_appear_together(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    member = join().until_owning({0})
    assert member.committed(0) is None
    producer = cluster.admin.producer("together")
    producer.begin()
    producer.send(Message(topics.diagnoses, 0, b"m", b"diagnosis"))
    producer.send(Message(topics.state, 0, b"s", b"state"))
    producer.flush()
    producer.send_offsets({0: 7}, member.group_metadata())
    producer.commit()
    producer.discard()
    assert [record.value for record in cluster.read(topics.diagnoses)] == [b"diagnosis"]
    assert [record.value for record in cluster.read(topics.state)] == [b"state"]
    assert member.committed(0) == 7


def test_a_discarded_transaction_leaves_no_message_and_no_offset_even_to_its_successor(
    cluster: Cluster, join: Join
) -> None:
    cluster.create(2)
    topics = cluster.settings.topics
    member = join().until_owning({0, 1})
    first = cluster.admin.producer("same-id")
    first.begin()
    first.send(Message(topics.diagnoses, 0, b"m", b"lost"))
    first.flush()
    first.send_offsets({0: 5}, member.group_metadata())
    first.discard()
    second = cluster.admin.producer("same-id")
    second.begin()
    second.send(Message(topics.diagnoses, 0, b"m", b"kept"))
    second.flush()
    second.send_offsets({1: 3}, member.group_metadata())
    second.commit()
    second.discard()
    assert [record.value for record in cluster.read(topics.diagnoses)] == [b"kept"]
    assert (member.committed(0), member.committed(1)) == (None, 3)


def test_a_producer_can_commit_many_transactions_one_after_the_other(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    topics = cluster.settings.topics
    member = join().until_owning({0})
    producer = cluster.admin.producer("many")
    for number in range(10):
        producer.begin()
        producer.send(Message(topics.diagnoses, 0, None, str(number).encode()))
        producer.flush()
        producer.send_offsets({0: number}, member.group_metadata())
        producer.commit()
        assert not producer.doubtful
    producer.discard()
    assert [record.value for record in cluster.read(topics.diagnoses)] == [str(number).encode() for number in range(10)]
    assert member.committed(0) == 9


def test_an_older_producer_with_the_same_id_is_fenced(cluster: Cluster) -> None:
    cluster.create(1)
    older = cluster.admin.producer("one")
    newer = cluster.admin.producer("one")
    older.begin()
    with pytest.raises(KafkaClientError):
        _commit_one(older, cluster.settings.topics.diagnoses)
    older.discard()
    newer.discard()
    assert cluster.read(cluster.settings.topics.diagnoses) == []


def test_a_producer_that_was_fenced_in_the_middle_is_let_go_without_a_word(cluster: Cluster) -> None:
    """As when a broker was away for so long that it gave up the transaction, and the worker starts over."""
    cluster.create(1)
    topic = cluster.settings.topics.diagnoses
    older = cluster.admin.producer("one")
    older.begin()
    older.send(Message(topic, 0, None, b"of the fenced one"))
    older.flush()
    newer = cluster.admin.producer("one")
    with pytest.raises(KafkaClientError):
        older.commit()
    older.discard()
    newer.begin()
    newer.send(Message(topic, 0, None, b"of the newer one"))
    newer.flush()
    newer.commit()
    newer.discard()
    assert [record.value for record in cluster.read(topic)] == [b"of the newer one"]


def _commit_one(producer: Producer, topic: str) -> None:
    producer.send(Message(topic, 0, None, b"of the fenced one"))
    producer.flush()
    producer.commit()


def test_a_message_to_a_partition_that_does_not_exist_fails(cluster: Cluster) -> None:
    cluster.create(1)
    producer = cluster.admin.producer("nowhere")
    producer.begin()
    with pytest.raises(KafkaClientError):
        _send_and_flush(producer, Message(cluster.settings.topics.diagnoses, 9, None, b"?"))
    producer.discard()


def _send_and_flush(producer: Producer, message: Message) -> None:
    producer.send(message)
    producer.flush()


def test_a_second_member_takes_over_a_part_and_leaving_gives_it_back(cluster: Cluster, join: Join) -> None:
    cluster.create(2)
    first = join().until_owning({0, 1})
    second = join()
    second.until(lambda: len(second.owned) == 1, "the second member owns one")
    first.until(lambda: len(first.owned) == 1, "the first member owns one")
    assert first.owned | second.owned == {0, 1}
    assert first.revoked == second.owned
    second.leave()
    first.until_owning({0, 1})


def test_members_that_are_busy_between_short_polls_find_to_an_assignment_all_the_same(
    cluster: Cluster, join: Join
) -> None:
    """kafka-python alone forgets a JoinGroup that was answered between two polls, and joins for ever."""
    cluster.create(4)
    first = join(busy_s=0.4).until_owning({0, 1, 2, 3})
    second = join(busy_s=0.4)
    second.until(lambda: len(second.owned) == 2, "the second member owns two")
    first.until(lambda: len(first.owned) == 2, "the first member owns two")
    for member in (first, second):
        for partition in member.owned:
            member.start_at(partition, 0)
            cluster.send(cluster.settings.topics.events, [b"x"], partition)
    assert {record.partition for member in (first, second) for record in member.until_records(2)} == {0, 1, 2, 3}


def test_a_spare_member_is_told_that_it_joined_although_it_is_given_nothing(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    first = join().until_owning({0})
    spare = join()
    spare.until(lambda: spare.joined, "the spare joined")
    assert len(first.owned) + len(spare.owned) == 1


def test_a_member_that_lost_its_partition_cannot_commit_it(cluster: Cluster, join: Join) -> None:
    cluster.create(2)
    first = join().until_owning({0, 1})
    before = first.group_metadata()
    second = join()
    second.until(lambda: len(second.owned) == 1, "the second member owns one")
    first.until(lambda: len(first.owned) == 1, "the first member owns one")
    (lost,) = second.owned
    producer = cluster.admin.producer("zombie")
    producer.begin()
    with pytest.raises(KafkaClientError):
        _commit_offset(producer, lost, before)
    producer.discard()
    assert second.committed(lost) is None


@pytest.mark.parametrize("real_cluster", ["librdkafka"], indirect=True)
def test_a_member_whose_static_identity_is_taken_is_told_while_its_partition_is_held(real_cluster: Cluster) -> None:
    """Its next commit tells on every client; kafka-python keeps to itself what a heartbeat was answered."""
    real_cluster.create(1)
    settings = replace(real_cluster.settings, instance_id="one")
    held = real_cluster.client(settings).consumer()

    def is_assigned() -> bool:
        held.poll(0.05)
        return held.take_change().assigned == {0}

    until(is_assigned, "assigned, and not started")
    second = Member(real_cluster.client(settings))

    def poll_on() -> bool:
        held.poll(0.05)
        return False

    try:
        with pytest.raises(KafkaSetupError):
            until(poll_on, "told")
    finally:
        second.leave()
        held.close()


def _commit_offset(producer: Producer, partition: int, group: object) -> None:
    producer.send_offsets({partition: 99}, group)
    producer.commit()


def test_a_kept_partition_goes_on_where_it_was_through_a_rebalance(cluster: Cluster, join: Join) -> None:
    cluster.create(2)
    events = cluster.settings.topics.events
    for partition in (0, 1):
        cluster.send(events, [b"a", b"b"], partition)
    first = join().until_owning({0, 1})
    for partition in (0, 1):
        first.start_at(partition, 0)
    first.until_records(4)
    second = join()
    second.until(lambda: len(second.owned) == 1, "the second member owns one")
    first.until(lambda: len(first.owned) == 1, "the first member owns one")
    (kept,) = first.owned
    first.records.clear()
    cluster.send(events, [b"c"], kept)
    assert [(record.partition, record.value) for record in first.until_records(1)] == [(kept, b"c")]


def test_a_reader_ends_behind_the_last_marker_and_gives_all_committed_records(cluster: Cluster) -> None:
    cluster.create(1)
    topic = cluster.settings.topics.state
    cluster.send(topic, [b"0", b"1"])
    cluster.send(topic, [b"2"])
    assert [record.value for record in cluster.read(topic)] == [b"0", b"1", b"2"]


def test_a_reader_of_an_empty_partition_is_done_at_once(cluster: Cluster) -> None:
    cluster.create(1)
    reader = cluster.admin.reader(cluster.settings.topics.state, 0)
    assert reader.done
    assert reader.fraction == 1.0
    assert reader.read(0.0) == []
    reader.close()


def test_offsets_tell_beginning_and_end(cluster: Cluster) -> None:
    cluster.create(1)
    topic = cluster.settings.topics.events
    assert cluster.admin.offsets(topic, 0) == (0, 0)
    cluster.send(topic, [b"0", b"1"])
    # The transaction marker takes an offset too; a broker writes it soon after it confirmed the commit, not before.
    until(lambda: cluster.admin.offsets(topic, 0) == (0, 3), "two records and their marker")


def test_the_end_is_known_once_records_have_come(cluster: Cluster, join: Join) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [b"0", b"1"])
    member = join().until_owning({0})
    member.start_at(0, 0)
    member.until_records(2)
    assert member.do(lambda consumer: consumer.end(0)) == 3
    position = member.do(lambda consumer: consumer.position(0))
    assert position in (2, 3), "librdkafka does not pass a trailing marker, the others do"


# --- what only a real broker can show


def test_a_reader_waits_for_a_transaction_that_is_open(real_cluster: Cluster) -> None:
    real_cluster.create(1)
    topic = real_cluster.settings.topics.state
    producer = real_cluster.admin.producer("slow")
    producer.begin()
    producer.send(Message(topic, 0, b"k", b"late"))
    producer.flush()
    reader = real_cluster.admin.reader(topic, 0)
    for _ in range(5):
        assert reader.read(0.1) == []
    assert not reader.done
    producer.commit()
    producer.discard()
    found: list[Record] = []

    def read_on() -> bool:
        found.extend(reader.read(0.1))
        return reader.done

    until(read_on, "the transaction's record")
    assert [record.value for record in found] == [b"late"]
    reader.close()


def test_a_message_beyond_the_limit_is_the_operators_to_mend(real_cluster: Cluster) -> None:
    real_cluster.create(1)
    producer = real_cluster.admin.producer("big")
    producer.begin()
    with pytest.raises(KafkaSetupError):
        producer.send(Message(real_cluster.settings.topics.state, 0, b"k", bytes(3_000_000)))
    producer.discard()


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
def test_an_unreachable_broker_is_named_within_the_time_allowed(client: ClientName, closed_port: int) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{closed_port}", client=client, request_timeout_ms=600)
    with pytest.raises(KafkaSetupError, match=rf"no broker answered at 127\.0\.0\.1:{closed_port} within 1800 ms"):
        connect(settings)


@pytest.mark.parametrize("kind", ["CreateTime", "LogAppendTime"])
def test_a_record_bears_the_brokers_time_and_never_its_producers(real_cluster: Cluster, kind: str) -> None:
    """What a producer's clock says of itself is no second opinion."""
    topic = f"{real_cluster.settings.topics.events}-{kind}"
    real_cluster.admin.create_topic(topic, 1, 1, {"message.timestamp.type": kind})
    real_cluster.send(topic, [b"x"])
    (record,) = real_cluster.read(topic)
    assert (record.timestamp_ms is not None) == (kind == "LogAppendTime")
