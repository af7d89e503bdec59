"""What a worker tells about itself: for metrics, health endpoints and the terminal.

Belongs here: frozen values. Not here: metric names (`whydrift.shell.metrics`) or what a model
looks like (`whydrift.core.status`).
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from whydrift.core.status import PartitionStatus


class Phase(StrEnum):
    """What a partition is doing. Outputs are published only while `RUNNING`."""

    RESTORING = "restoring"
    """its snapshot is being read from the state topic"""
    CATCHING_UP = "catching_up"
    """input between the snapshot and the committed offset is processed again, its outputs already published"""
    RUNNING = "running"


DURATION_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, float("inf"))
"""Upper bounds: a commit takes 20 ms on a quiet broker, and seconds where something is wrong."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, each time: `counts` in the buckets of DURATION_BUCKETS_S, and the sum."""

    counts: tuple[int, ...] = (0,) * len(DURATION_BUCKETS_S)
    total_s: float = 0.0

    def with_one(self, duration_s: float) -> "Durations":
        place = bisect_left(DURATION_BUCKETS_S, duration_s)
        counts = tuple(count + (i == place) for i, count in enumerate(self.counts))
        return Durations(counts, self.total_s + duration_s)


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """One assigned partition of the events topic.

    `next_offset` is the next record to process, None while its state is being read. `lag` counts offsets not yet processed,
    None until the end is known. `restored_fraction` goes from 0 to 1 over both phases before `RUNNING`.
    """

    partition: int
    phase: Phase
    next_offset: int | None
    lag: int | None
    restored_fraction: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at one moment. Counters start at zero with the process and only grow."""

    topic: str
    running: bool
    """The loop is alive: started, and neither stopped nor failed."""
    joined: bool = False
    """The group has given this worker its partitions (perhaps none) at least once."""
    records: int = 0
    """Records processed with their outputs published; what is read again to rebuild state does not count."""
    diagnoses: int = 0
    rejected: int = 0
    commits: int = 0
    snapshots: int = 0
    failed_transactions: int = 0
    """Times that everything since the last commit was thrown away and done again."""
    rebalances: int = 0
    commit_durations: Durations = Durations()
    turn_durations: Durations = Durations()
    """Of a turn's work, without the time it waited for records."""
    publication_delays: Durations = Durations()
    """From reading the first record of a transaction to its commit."""
    commit_age_s: float | None = None
    """Since the last commit, or since everything read so far was already committed; None before the first."""
    record_age_s: float | None = None
    """Since the last record was read from any partition (since start, before the first): the silence of the whole feed."""
    turn_age_s: float | None = None
    """Since the loop last came round, with or without records; None before it did. Large: something in it hangs."""
    rejects_by_reason: Mapping[str, int] = field(default_factory=dict)
    partitions: tuple[PartitionProgress, ...] = ()
    last_error: str | None = None

    @property
    def ready(self) -> bool:
        """The group has answered and every assigned partition is restored. A worker without partitions (a spare) is ready."""
        return self.running and self.joined and all(p.phase is Phase.RUNNING for p in self.partitions)


class ReportsStatus(Protocol):
    """What metrics and health endpoints need of a worker. Both methods may be called from any thread at any time."""

    def status(self) -> WorkerStatus: ...

    def pipelines_status(self) -> tuple[PartitionStatus, ...]: ...
