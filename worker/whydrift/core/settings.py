"""The numbers that steer the core, all of them, with their defaults.

Belongs here: what changes the output for a given input. Not here: brokers, ports, files (`whydrift.config`).
"""

from dataclasses import dataclass

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One set of numbers for all models of a worker. Two workers with equal settings say the same of the same input."""

    chunk_events: int = 20
    """A chunk closes after this many events of one model in one partition."""
    chunk_span_ms: int = MINUTE_MS
    """... or when stream time is this far past the chunk's first event."""
    baseline_events: int = 2_000
    """Events a reference is learnt from, where no profile was given."""
    first_stage_events: int = 250
    """A first reference is made after this many of them, the next after twice as many, and so on: valid, only less sensitive."""
    margin: float = 0.2
    """Margin of practical significance, in standard deviations of a bet's shape: smaller changes are not news."""
    false_incidents_per_week: float = 1.0
    """Budget of false incidents of one model, over all its signals."""
    label_ttl_ms: int = 30 * DAY_MS
    """A prediction waits this long (event time) for its label, and a label for its prediction."""
    join_capacity: int = 10_000
    """Predictions and labels kept waiting per model; above it, the join follows a sample of the event ids."""
    max_record_bytes: int = 1_000_000
    max_features: int = 1_000
    max_models: int = 2_000
    """Models per partition; records of further models are rejected."""
    max_ahead_ms: int = 15 * MINUTE_MS
    """An event further ahead of its neighbours and of the broker's time than this does not move stream time."""
    update_interval_ms: int = 10 * MINUTE_MS
    """An open incident publishes at most one update in this much stream time, unless its severity rises."""
