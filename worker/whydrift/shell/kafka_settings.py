"""How the worker reaches Kafka and how it behaves there: plain values, checked where they are read from.

Belongs here: frozen settings of the shell's Kafka side. Not here: what steers diagnoses (`whydrift.core.settings`), or how a
client library spells these settings (`kafka_python_client`, `librdkafka_client`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ClientName = Literal["kafka-python", "librdkafka"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
StartFrom = Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The four topics of a worker. `state` has as many partitions as `events` and is compacted."""

    events: str = "whydrift.events"
    diagnoses: str = "whydrift.diagnoses"
    rejected: str = "whydrift.rejected"
    state: str = "whydrift.state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How to be let in. `username` and `password` belong to the SASL protocols; `ca_file` (PEM) to SSL, None = the system's."""

    protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimits:
    """When the input is so bad that going on would only drain the topic into the rejected one: the worker stops.

    It stops after `in_a_row` rejects without a good record between them, or when more than `fraction` of the last `of_last`
    records were rejected (judged once so many were seen). Both are per partition.
    """

    in_a_row: int = 1_000
    fraction: float = 0.5
    of_last: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """All of a worker's Kafka settings."""

    bootstrap_servers: str = "localhost:9092"
    """One or more HOST:PORT, separated by commas."""
    group_id: str = "whydrift"
    client: ClientName = "kafka-python"
    topics: Topics = field(default_factory=Topics)
    security: Security = field(default_factory=Security)
    reject_limits: RejectLimits = field(default_factory=RejectLimits)
    instance_id: str | None = None
    """Static member id, unique per worker (a StatefulSet's pod name): restarts then cause no rebalance, and an open
    transaction of the previous run ends at once instead of by its timeout. None: a dynamic member."""
    create_topics: bool = False
    """Create missing topics at start (the state topic compacted), with `new_topic_partitions` where no count is given by
    the events topic, and `new_topic_replicas`."""
    new_topic_partitions: int = 4
    new_topic_replicas: int = 1
    start_from: StartFrom = "earliest"
    """Where a group that has never committed begins."""
    max_poll_records: int = 1_000
    commit_interval_ms: int = 500
    """A transaction is committed at least this often while records arrive."""
    commit_records: int = 10_000
    """... and after this many records."""
    snapshot_interval_s: float = 30.0
    """State is written at most this often; after a crash at most this much input is read again to rebuild it."""
    restore_timeout_s: float = 120.0
    """A partition whose state cannot be read within this time stops the worker."""
    request_timeout_ms: int = 5_000
    """A broker that does not answer for this long is asked again; at start it is an error after three times this."""
    transaction_timeout_ms: int = 15_000
    """The broker ends the transaction of a dead worker after this long; readers of its topics wait meanwhile. At least
    twice `request_timeout_ms`."""
    session_timeout_ms: int = 45_000
    """A worker unheard of for this long is dead to its group; its partitions go to others."""

    @property
    def delivery_timeout_ms(self) -> int:
        """A record that was not taken by then has failed: before the broker gives the transaction up around it."""
        return self.transaction_timeout_ms * 4 // 5
