"""`whydrift doctor` and `whydrift topics` on a real Kafka: one that lets everybody in, and one with users and permissions."""

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from whydrift.core.profile import Profile
from whydrift.core.settings import Settings
from whydrift.shell.clients import Message
from whydrift.shell.connect import connect
from whydrift.shell.doctor.finding import Finding, Verdict
from whydrift.shell.doctor.kafka_checks import check_kafka
from whydrift.shell.kafka_settings import KafkaSettings, Security, Topics
from whydrift.shell.local_kafka import LocalKafka, missing_packages

from ..conftest import skip_or_fail
from ..run_command import configuration
from ..shell.event_lines import START_MS, healthy
from .conftest import DEADLINE_S, Cluster

NOW_S = START_MS / 1_000 + 400
QUICK_MS = 300


@pytest.fixture(params=["kafka-python", "librdkafka"])
def cluster(request: pytest.FixtureRequest, kafka: str, name: str) -> Iterator[Cluster]:
    made = Cluster(name, request.param, kafka)
    yield made
    made.close()


def examined(settings: KafkaSettings, profiles: dict[str, Profile] | None = None) -> list[Finding]:
    return list(check_kafka(settings, Settings(), profiles or {}, lambda: NOW_S))


def told(findings: list[Finding], verdict: Verdict) -> list[str]:
    return [f"{one.subject}: {one.told}" for one in findings if one.verdict is verdict]


def mended(findings: list[Finding], subject: str) -> str:
    return next(one.mend for one in findings if one.subject == subject and one.mend)


# --- topics


def command(config: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "whydrift", *arguments, "--config", str(config)]
    return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_topics_creates_what_is_missing_with_the_partitions_of_the_events_topic(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics = cluster.settings.topics
    cluster.admin.create_topic(topics.events, 3, 1, {})
    config = configuration(cluster, tmp_path, client=cluster.settings.client)
    dry = command(config, "topics", "--dry-run")
    wanted = f"--create --topic {topics.state} --partitions 3 --replication-factor 1 --config cleanup.policy=compact"
    assert wanted in dry.stdout
    assert cluster.admin.partition_counts([topics.state]) == {}, "a dry run creates nothing"
    done = command(config, "topics")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{topics.events}: there, 3 partitions",
        f"{topics.diagnoses}: created, 3 partitions",
        f"{topics.rejected}: created, 3 partitions",
        f"{topics.state}: created, 3 partitions",
    ]
    assert "created" not in command(config, "topics").stdout
    after = command(config, "doctor")
    assert after.returncode == 0, after.stdout
    assert f"ok    topic state      {topics.state}: 3 partitions, 1 replicas" in after.stdout


def test_the_doctor_ends_with_1_and_says_of_each_missing_topic_what_creates_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    done = command(configuration(cluster, tmp_path), "doctor")
    assert done.returncode == 1
    assert done.stderr.startswith("whydrift: the doctor's findings: 4 failed")
    for topic in (cluster.settings.topics.events, cluster.settings.topics.state):
        assert f"{topic} does not exist" in done.stdout
        assert f"--create --topic {topic} --partitions 4" in done.stdout


def test_settings_that_would_lose_state_or_events_are_told_with_the_command_that_mends_them(cluster: Cluster) -> None:
    topics, create = cluster.settings.topics, cluster.admin.create_topic
    create(topics.events, 2, 1, {"retention.ms": "3600000"})
    create(topics.diagnoses, 1, 1, {"min.insync.replicas": "2"})
    create(topics.rejected, 1, 1, {"cleanup.policy": "compact"})
    create(topics.state, 4, 1, {"cleanup.policy": "compact,delete", "max.message.bytes": "100000"})
    findings = examined(cluster.settings)
    assert told(findings, Verdict.FAIL) == [
        f"topic diagnoses: {topics.diagnoses} has 1 replicas and min.insync.replicas 2: nothing can be written to it",
        f"topic rejected: {topics.rejected} has cleanup.policy compact: of each model only the last record would be kept",
        f"topic state: {topics.state} has cleanup.policy compact,delete: state older than its retention would be deleted",
        f"topic state: {topics.state} has max.message.bytes 100000: state is written in parts of 800000",
        f"partitions: {topics.state} has 4 partitions and {topics.events} has 2: they must be equal",
    ]
    assert f"topic events: {topics.events} keeps events for 1 h" in told(findings, Verdict.WARN)[0]
    assert mended(findings, "topic state").endswith(
        f"--entity-name {topics.state} --add-config cleanup.policy=compact`"
    )


# --- events


def test_a_sample_of_events_is_judged_by_keys_clocks_and_refusals(cluster: Cluster) -> None:
    cluster.create(2)
    events = cluster.settings.topics.events
    lines = [line.encode() for line in healthy(400)]
    cluster.send(events, lines[:399], 0)
    assert told(examined(cluster.settings), Verdict.WARN) == []
    cluster.send(events, [lines[399], b"oops"], 1)
    findings = examined(cluster.settings)
    refused, keys = told(findings, Verdict.WARN)
    assert "1 are refused (invalid_json 1)" in refused
    assert f"{events}-1@1" in mended(findings, "events")
    assert keys.startswith("keys: records of credit-risk are in several partitions (credit-risk: 0, 1)")
    late = list(check_kafka(cluster.settings, Settings(), {}, lambda: NOW_S + 4 * 3_600))
    early = list(check_kafka(cluster.settings, Settings(), {}, lambda: NOW_S - 4 * 3_600))
    assert "clocks: the latest event is 4 h old" in told(late, Verdict.WARN)
    assert any("4 h ahead of this machine's clock" in one for one in told(early, Verdict.WARN))


def test_a_topic_of_nothing_but_rubbish_fails_and_an_empty_one_is_to_know_of(cluster: Cluster) -> None:
    cluster.create(1)
    assert told(examined(cluster.settings), Verdict.WARN) == ["events: the topic holds no record yet"]
    cluster.send(cluster.settings.topics.events, [b"oops", b"{}"])
    (one,) = told(examined(cluster.settings), Verdict.FAIL)
    assert "2 are refused" in one


def test_only_the_latest_records_are_read(cluster: Cluster) -> None:
    cluster.create(1)
    cluster.send(cluster.settings.topics.events, [line.encode() for line in healthy(2_000)])
    (one,) = (finding for finding in examined(cluster.settings) if finding.subject == "events")
    assert one.told.startswith("199 sampled"), "the last 200 offsets, of which one is the transaction's marker"


# --- who may do what

USERS = {"admin": "admin's secret", "worker": "worker's secret"}


def _secured() -> dict[str, object]:
    """Broker properties: users by SASL/PLAIN, and nobody but admin may do anything."""
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": (
            f'{module} required username="admin" password="{USERS["admin"]}" {users};'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",  # ANONYMOUS: the controller's listener, which only the broker reaches
    }


@dataclass
class Secured:
    """The broker, and its administrator. `settings`: the worker's."""

    settings: KafkaSettings
    admin: KafkaAdminClient

    def allow(self, operation: ACLOperation, kind: ResourceType, name: str, *, prefixed: bool = False) -> None:
        how = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
        pattern = ResourcePattern(kind, name, how)
        self.admin.create_acls([ACL("User:worker", "*", operation, ACLPermissionType.ALLOW, pattern)])


@pytest.fixture(scope="module")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if missing_packages():
        skip_or_fail("no local Kafka (pip install '.[kafka-local]')")
    with LocalKafka(tmp_path_factory.mktemp("secured"), _secured()) as broker:
        yield broker.bootstrap_servers


def _as(user: str, **changes: str) -> Security:
    return Security(
        protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", username=user, password=changes.get("password", USERS[user])
    )


@pytest.fixture(params=["kafka-python", "librdkafka"])
def secured(request: pytest.FixtureRequest, secured_broker: str, name: str) -> Iterator[Secured]:
    topics = Topics(events=f"{name}-e", diagnoses=f"{name}-d", rejected=f"{name}-r", state=f"{name}-s")
    settings = KafkaSettings(
        bootstrap_servers=secured_broker,
        group_id=f"group-{name}",
        topics=topics,
        client=request.param,
        security=_as("worker"),
    )
    admin = connect(replace(settings, security=_as("admin")))
    for topic in (topics.events, topics.diagnoses, topics.rejected):
        admin.create_topic(topic, 1, 1, {})
    admin.create_topic(topics.state, 1, 1, {"cleanup.policy": "compact"})
    producer = admin.producer(name)
    producer.begin()
    producer.send(Message(topics.events, 0, b"credit-risk", next(healthy(1)).encode()))
    producer.flush()
    producer.commit()
    producer.discard()
    security = {"sasl_plain_username": "admin", "sasl_plain_password": USERS["admin"]}
    acls = KafkaAdminClient(
        bootstrap_servers=secured_broker, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", **security
    )
    yield Secured(settings, acls)
    acls.close()
    admin.close()


def test_each_permission_that_is_missing_is_told_with_the_command_that_grants_it(secured: Secured) -> None:
    settings = secured.settings
    topics, user = settings.topics, "User:worker"
    hidden = told(examined(settings), Verdict.FAIL)
    assert f"topic events: {topics.events} may not be seen by this user" in hidden
    for topic in (topics.events, topics.diagnoses, topics.rejected, topics.state):
        secured.allow(ACLOperation.DESCRIBE, ResourceType.TOPIC, topic)
        secured.allow(ACLOperation.DESCRIBE_CONFIGS, ResourceType.TOPIC, topic)
    findings = examined(settings)
    failed = told(findings, Verdict.FAIL)
    assert failed[:-1] == [
        f"permissions: {user} may not read {topics.events}",
        f"permissions: {user} may not write {topics.diagnoses}",
        f"permissions: {user} may not write {topics.rejected}",
        f"permissions: {user} may not read {topics.state}",
        f"permissions: {user} may not write {topics.state}",
        f"permissions: {user} may not read in the group {settings.group_id}",
    ]
    assert failed[-1].startswith("permissions: no transactions: ")
    assert mended(findings, "permissions") == (
        f"`kafka-acls --bootstrap-server {settings.bootstrap_servers} --add --allow-principal {user} "
        f"--operation Read --topic {topics.events}`"
    )
    assert told(findings, Verdict.SKIP) == [f"events: not looked at: {topics.events} cannot be read"]


def test_with_exactly_what_is_asked_for_all_is_well(secured: Secured) -> None:
    topics, settings = secured.settings.topics, secured.settings
    for topic, operation in (
        (topics.events, ACLOperation.READ),
        (topics.diagnoses, ACLOperation.WRITE),
        (topics.rejected, ACLOperation.WRITE),
        (topics.state, ACLOperation.READ),
        (topics.state, ACLOperation.WRITE),
    ):
        secured.allow(operation, ResourceType.TOPIC, topic)
    secured.allow(ACLOperation.READ, ResourceType.GROUP, settings.group_id)
    secured.allow(ACLOperation.WRITE, ResourceType.TRANSACTIONAL_ID, f"{settings.group_id}-", prefixed=True)
    findings = examined(settings)
    assert told(findings, Verdict.FAIL) == []
    assert told(findings, Verdict.WARN) == [
        f"topic {purpose}: {topic}: its settings may not be seen"
        for purpose, topic in (
            ("events", topics.events),
            ("diagnoses", topics.diagnoses),
            ("rejected", topics.rejected),
            ("state", topics.state),
        )
    ]


def test_a_wrong_password_is_told_as_such(secured: Secured) -> None:
    wrong = replace(secured.settings, security=_as("worker", password="guessed"), request_timeout_ms=QUICK_MS)
    findings = examined(wrong)
    (one,) = told(findings, Verdict.FAIL)
    assert one.startswith("kafka: ")
    assert mended(findings, "kafka") == "check kafka.security: username, password, sasl_mechanism"
    assert len(told(findings, Verdict.SKIP)) == 4


# --- nobody, and somebody else


def test_an_unknown_name_and_a_closed_port_are_told_apart(closed_port: int) -> None:
    settings = KafkaSettings(bootstrap_servers=f"no-such-host.invalid:9092,127.0.0.1:{closed_port}")
    name, port = told(examined(settings), Verdict.FAIL)
    assert "the name no-such-host.invalid is not known here" in name
    assert port == f"kafka: 127.0.0.1:{closed_port}: connection refused"


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """One that shakes hands and says nothing; its address, and its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    from socketserver import BaseRequestHandler, ThreadingTCPServer

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                pass

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", tmp_path / "ca.pem"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_wants_tls_is_recognised(tls_server: tuple[str, Path]) -> None:
    address, _ = tls_server
    settings = KafkaSettings(bootstrap_servers=address, request_timeout_ms=QUICK_MS)
    assert mended(examined(settings), "kafka").startswith("it speaks TLS: set kafka.security.protocol")


def test_a_certificate_of_an_unknown_authority_is_told(tls_server: tuple[str, Path]) -> None:
    address, _ = tls_server
    settings = KafkaSettings(bootstrap_servers=address, security=Security(protocol="SSL"), request_timeout_ms=QUICK_MS)
    (one,) = told(examined(settings), Verdict.FAIL)
    assert "its certificate is refused: " in one
