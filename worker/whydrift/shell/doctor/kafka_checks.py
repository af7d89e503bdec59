"""The doctor's look at Kafka: brokers, topics and their settings, what this user may do there.

Belongs here: what the answers of `kafka_facts` and of the worker's own client mean. Not here: records (`event_checks`).
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence

from whydrift.core.profile import Profile
from whydrift.core.settings import Settings
from whydrift.shell.changelog import PART_BYTES
from whydrift.shell.clients import KafkaClientError, KafkaSetupError
from whydrift.shell.connect import connect
from whydrift.shell.doctor.event_checks import check_events, sample
from whydrift.shell.doctor.finding import Finding, Verdict, fail, ok, skip, warn
from whydrift.shell.doctor.network import speaks_tls, unreachable
from whydrift.shell.kafka_facts import KafkaFacts, TopicFacts
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.topic_check import TopicUse, create_command, topic_uses

_ERRORS = (KafkaSetupError, KafkaClientError)
_HOUR_MS = 3_600_000
_SHORT_RETENTION_MS = 24 * _HOUR_MS
"""A worker that is down for longer than its input is kept misses events: a night should not be enough."""
_STATE_RECORD_BYTES = PART_BYTES + 10_000
"""A part of a state and its headers."""


def check_kafka(
    settings: KafkaSettings, core: Settings, references: Mapping[str, Profile], clock_s: Callable[[], float]
) -> Iterator[Finding]:
    """Everything, as far as it can be got at. `clock_s`: this machine's time since 1970."""
    found = list(_check_connection(settings))
    yield from found
    if all(one.verdict is not Verdict.OK for one in found):
        for subject in ("brokers", "topics", "permissions", "events"):
            yield skip(subject, "not looked at: Kafka cannot be reached")
        return
    try:
        facts = KafkaFacts(settings)
        try:
            yield from _check_cluster(settings, facts, core, references, clock_s)
        finally:
            facts.close()
    except _ERRORS as error:
        yield fail("kafka", str(error), "ask again; if it stays so, look at the brokers' logs")


def _check_cluster(
    settings: KafkaSettings,
    facts: KafkaFacts,
    core: Settings,
    references: Mapping[str, Profile],
    clock_s: Callable[[], float],
) -> Iterator[Finding]:
    brokers = facts.brokers()
    yield from _check_brokers(settings, brokers)
    topics = facts.topics([use.topic for use in topic_uses(settings.topics)])
    yield from _check_topics(settings, topics, len(brokers))
    yield from _check_permissions(settings, facts, topics)
    events = topics[settings.topics.events]
    if not events.partitions or "READ" not in (events.operations or {"READ"}):
        yield skip("events", f"not looked at: {settings.topics.events} cannot be read")
        return
    records = sample(facts, settings.topics.events, events.partitions)
    yield from check_events(records, core, references, int(clock_s() * 1_000))


def _check_connection(settings: KafkaSettings) -> Iterator[Finding]:
    """Each bootstrap server, then the client library the worker will use."""
    problems = {server: _unreachable(settings, *server) for server in _servers(settings)}
    found = {f"{host}:{port}": why for (host, port), why in problems.items() if why is not None}
    for server, why in found.items():
        tell = fail if len(found) == len(problems) else warn
        yield tell("kafka", f"{server}: {why}", "check kafka.bootstrap_servers, kafka.security and the network")
    if len(found) == len(problems):
        return
    try:
        connect(settings).close()
    except _ERRORS as error:
        yield fail("kafka", str(error), _mend_connection(settings))
    else:
        yield ok("kafka", f"{settings.bootstrap_servers} answers, {settings.security.protocol}, by {settings.client}")


def _servers(settings: KafkaSettings) -> list[tuple[str, int]]:
    pairs = (server.strip().rpartition(":") for server in settings.bootstrap_servers.split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in pairs]


def _unreachable(settings: KafkaSettings, host: str, port: int) -> str | None:
    tls = None
    if settings.security.protocol.endswith("SSL"):
        try:
            tls = ssl.create_default_context(cafile=settings.security.ca_file)
        except ssl.SSLError:  # readable it is: the client was made with it
            return f"kafka.security.ca_file is {settings.security.ca_file}: no certificate of an authority in PEM form"
    return unreachable(host, port, settings.request_timeout_ms / 1_000, tls)


def _mend_connection(settings: KafkaSettings) -> str:
    is_plain = not settings.security.protocol.endswith("SSL")
    if is_plain and any(speaks_tls(host, port, 2.0) for host, port in _servers(settings)):
        return "it speaks TLS: set kafka.security.protocol to SSL or SASL_SSL, and ca_file if the authority is your own"
    if settings.security.protocol.startswith("SASL"):
        return "check kafka.security: username, password, sasl_mechanism"
    return "check kafka.security: it may want credentials (SASL_PLAINTEXT, SASL_SSL)"


def _check_brokers(settings: KafkaSettings, brokers: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """A broker is talked to where it says it is, which need not be where it was found."""
    lost = {f"{host}:{port}": why for host, port in brokers if (why := _unreachable(settings, host, port)) is not None}
    for address, why in lost.items():
        yield fail(
            "brokers",
            f"a broker says it is at {address}: {why}",
            "mend the broker's advertised.listeners, or let this machine know that name and reach that port",
        )
    if not lost:
        yield ok("brokers", ", ".join(f"{host}:{port}" for host, port in brokers))


# --- topics


def _check_topics(settings: KafkaSettings, facts: Mapping[str, TopicFacts], brokers: int) -> Iterator[Finding]:
    """Existence, partitions, settings. `facts`: of the four topics, by name."""
    for use in topic_uses(settings.topics):
        one = facts[use.topic]
        if one.partitions:
            yield from _check_topic(settings, use, one, brokers)
        elif one.is_hidden:
            yield fail(_of(use), f"{use.topic} may not be seen by this user", _acl(settings, "Describe", use))
        else:
            yield _missing(settings, use, facts)
    yield from _check_counts(settings, facts)


def _missing(settings: KafkaSettings, use: TopicUse, facts: Mapping[str, TopicFacts]) -> Finding:
    if settings.create_topics:
        return ok(_of(use), f"{use.topic} does not exist yet; the worker will create it (kafka.create_topics)")
    partitions = facts[settings.topics.events].partitions or settings.new_topic_partitions
    command = create_command(use.topic, partitions, settings)
    return fail(_of(use), f"{use.topic} does not exist", f"`whydrift topics` with this configuration, or `{command}`")


def _check_topic(settings: KafkaSettings, use: TopicUse, facts: TopicFacts, brokers: int) -> Iterator[Finding]:
    told = f"{use.topic}: {facts.partitions} partitions, {facts.replicas} replicas"
    problems = list(_replica_problems(settings, use, facts, brokers))
    if facts.config is None:
        problems.append(
            warn(_of(use), f"{use.topic}: its settings may not be seen", _acl(settings, "DescribeConfigs", use))
        )
    else:
        problems += _config_problems(settings, use, facts.config)
    yield from problems or [ok(_of(use), told)]


def _replica_problems(settings: KafkaSettings, use: TopicUse, facts: TopicFacts, brokers: int) -> Iterator[Finding]:
    needed = int((facts.config or {}).get("min.insync.replicas", 1))
    if needed > facts.replicas:
        yield fail(
            _of(use),
            f"{use.topic} has {facts.replicas} replicas and min.insync.replicas {needed}: nothing can be written to it",
            _configure(settings, use, f"min.insync.replicas={facts.replicas}"),
        )
    if facts.replicas == 1 and brokers > 1:
        yield warn(
            _of(use),
            f"{use.topic} has one replica among {brokers} brokers: with one of them it is gone",
            "give it more by `kafka-reassign-partitions`",
        )


def _config_problems(settings: KafkaSettings, use: TopicUse, config: Mapping[str, str]) -> Iterator[Finding]:
    policies = set(config.get("cleanup.policy", "delete").split(","))
    if use.is_state and policies != {"compact"}:
        yield fail(
            _of(use),
            f"{use.topic} has cleanup.policy {config.get('cleanup.policy')}: state older than its retention would be deleted",
            _configure(settings, use, "cleanup.policy=compact"),
        )
    if use.is_state and int(config.get("max.message.bytes", _STATE_RECORD_BYTES)) < _STATE_RECORD_BYTES:
        yield fail(
            _of(use),
            f"{use.topic} has max.message.bytes {config['max.message.bytes']}: state is written in parts of {PART_BYTES}",
            _configure(settings, use, "max.message.bytes=1048588"),
        )
    if not use.is_state and "compact" in policies:
        yield fail(
            _of(use),
            f"{use.topic} has cleanup.policy {config['cleanup.policy']}: of each model only the last record would be kept",
            _configure(settings, use, "cleanup.policy=delete"),
        )
    retention_ms = int(config.get("retention.ms", -1))
    if use.topic == settings.topics.events and 0 <= retention_ms < _SHORT_RETENTION_MS:
        yield warn(
            _of(use),
            f"{use.topic} keeps events for {retention_ms / _HOUR_MS:g} h: a worker that is down for longer misses some",
            _configure(settings, use, f"retention.ms={7 * _SHORT_RETENTION_MS}"),
        )


def _check_counts(settings: KafkaSettings, facts: Mapping[str, TopicFacts]) -> Iterator[Finding]:
    events, state = facts[settings.topics.events].partitions, facts[settings.topics.state].partitions
    if not (events and state) or events == state:
        return
    told = (
        f"{settings.topics.state} has {state} partitions and {settings.topics.events} has {events}: they must be equal"
    )
    alter = f"`kafka-topics {_server(settings)} --alter --topic {settings.topics.state} --partitions {events}`"
    yield fail(
        "partitions", told, alter if state < events else "choose a new kafka.topics.state, then `whydrift topics`"
    )


# --- permissions


def _check_permissions(
    settings: KafkaSettings, facts: KafkaFacts, topics: Mapping[str, TopicFacts]
) -> Iterator[Finding]:
    """On topics as the broker tells, on the group and the transactions by asking for something that needs them."""
    problems = list(_topic_permissions(settings, topics))
    if not facts.may_join_group():
        told = f"{_who(settings)} may not read in the group {settings.group_id}"
        problems.append(fail("permissions", told, _grant(settings, "Read", f"--group {settings.group_id}")))
    yield from problems
    seen = [use.topic for use in topic_uses(settings.topics) if topics[use.topic].partitions]
    yield from _transactions(settings, [] if problems else [*seen, f"group {settings.group_id}"])


def _topic_permissions(settings: KafkaSettings, topics: Mapping[str, TopicFacts]) -> Iterator[Finding]:
    for use in topic_uses(settings.topics):
        one = topics[use.topic]
        if not one.partitions or one.operations is None:
            continue
        for operation in use.operations:
            if operation.upper() not in one.operations:
                told = f"{_who(settings)} may not {operation.lower()} {use.topic}"
                yield fail("permissions", told, _acl(settings, operation, use))


def _transactions(settings: KafkaSettings, others: Sequence[str]) -> Iterator[Finding]:
    """By a producer of the doctor's own, that begins nothing."""
    try:
        client = connect(settings)
        try:
            client.producer(f"{settings.group_id}-doctor").discard()
        finally:
            client.close()
    except _ERRORS as error:
        prefix = f"--transactional-id {settings.group_id}- --resource-pattern-type prefixed"
        yield fail("permissions", f"no transactions: {error}", _grant(settings, "Write", prefix))
        return
    yield ok("permissions", ", ".join([*others, "transactions"]))


def _who(settings: KafkaSettings) -> str:
    return f"User:{settings.security.username or 'ANONYMOUS'}"


def _of(use: TopicUse) -> str:
    return f"topic {use.purpose}"


def _server(settings: KafkaSettings) -> str:
    return f"--bootstrap-server {settings.bootstrap_servers}"


def _acl(settings: KafkaSettings, operation: str, use: TopicUse) -> str:
    return _grant(settings, operation, f"--topic {use.topic}")


def _grant(settings: KafkaSettings, operation: str, resource: str) -> str:
    who = f"--allow-principal {_who(settings)}"
    return f"`kafka-acls {_server(settings)} --add {who} --operation {operation} {resource}`"


def _configure(settings: KafkaSettings, use: TopicUse, setting: str) -> str:
    what = f"--alter --entity-type topics --entity-name {use.topic} --add-config {setting}"
    return f"`kafka-configs {_server(settings)} {what}`"
