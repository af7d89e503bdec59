"""The doctor's look at the latest records: are they events, whose, keyed so that labels find their predictions, of what time.

Belongs here: what a sample says of producers and of references. Not here: Kafka's own state (`kafka_checks`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from whydrift.core.decode import Event, LabelEvent, PredictionEvent, Refusal, decode
from whydrift.core.profile import Profile
from whydrift.core.records import Record
from whydrift.core.settings import Settings
from whydrift.shell.doctor.finding import Finding, fail, ok, warn
from whydrift.shell.kafka_facts import KafkaFacts
from whydrift.shell.terminal import printable_text

SAMPLED_PARTITIONS, SAMPLED_RECORDS = 12, 200
"""How many partitions are looked into, and how many offsets from the end of each."""
_QUIET_MS = 60 * 60_000
_NAMED = 5


@dataclass(slots=True)
class _Sample:
    """What the records are. partitions, features and events are by model."""

    events: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    partitions: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    features: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    predictions: int = 0
    labels: int = 0
    latest_ms: int = 0
    complaint: str = ""
    """The first refusal, with its place."""


def sample(facts: KafkaFacts, topic: str, partitions: int) -> list[Record]:
    """The latest records of the topic's partitions, or of some spread over them."""
    step = max(1, -(-partitions // SAMPLED_PARTITIONS))
    return [one for number in range(0, partitions, step) for one in facts.latest(topic, number, SAMPLED_RECORDS)]


def check_events(
    records: Sequence[Record], core: Settings, references: Mapping[str, Profile], now_ms: int
) -> Iterator[Finding]:
    """`now_ms`: the time of this machine, since 1970."""
    if not records:
        yield warn("events", "the topic holds no record yet", "send a prediction, and ask again")
        return
    seen = _looked_at(records, core)
    yield from _check_decoding(seen, len(records))
    if not seen.events:
        return
    yield from _check_keys(seen)
    yield from _check_clock(seen, core, now_ms)
    yield from _check_references(seen, references)


def _looked_at(records: Sequence[Record], core: Settings) -> _Sample:
    seen = _Sample()
    for record in records:
        event = decode(record.value, core)
        if isinstance(event, Refusal):
            seen.refused[str(event.reason)] += 1
            seen.complaint = seen.complaint or f"{record.topic}-{record.partition}@{record.offset}: {event.message}"
        else:
            _count(seen, record, event)
    return seen


def _count(seen: _Sample, record: Record, event: Event) -> None:
    seen.events[event.model_id] += 1
    seen.partitions[event.model_id].add(record.partition)
    seen.latest_ms = max(seen.latest_ms, event.timestamp_ms)
    if isinstance(event, PredictionEvent):
        seen.predictions += 1
        seen.features[event.model_id].update(event.features)
    seen.labels += isinstance(event, LabelEvent)


def _check_decoding(seen: _Sample, count: int) -> Iterator[Finding]:
    told = f"{count} sampled: {seen.predictions} predictions, {seen.labels} labels of {_models(seen.events)}"
    if not seen.refused:
        yield ok("events", told)
        return
    reasons = ", ".join(f"{reason} {number}" for reason, number in seen.refused.most_common())
    tell = warn if seen.events else fail
    yield tell(
        "events",
        f"{told}; {seen.refused.total()} are refused ({reasons})",
        f"mend their producer; the first: {printable_text(seen.complaint)}",
    )


def _check_keys(seen: _Sample) -> Iterator[Finding]:
    spread = {model_id: where for model_id, where in seen.partitions.items() if len(where) > 1}
    if spread:
        model_id, where = next(iter(spread.items()))
        yield warn(
            "keys",
            f"records of {_named(spread)} are in several partitions ({printable_text(model_id)}: {_listed(where)}): labels "
            "do not find predictions in another partition",
            "give every record its model_id as key",
        )
        return
    yield ok("keys", "all records of a model are in one partition")


def _check_clock(seen: _Sample, core: Settings, now_ms: int) -> Iterator[Finding]:
    ahead_ms = seen.latest_ms - now_ms
    if ahead_ms > core.max_ahead_ms:
        yield warn(
            "clocks",
            f"an event's timestamp is {_span(ahead_ms)} ahead of this machine's clock",
            "set the producer's clock (or this one's) by NTP; timestamps are UTC",
        )
    elif ahead_ms < -_QUIET_MS:
        yield warn("clocks", f"the latest event is {_span(-ahead_ms)} old", "are the producers running, and in UTC?")
    else:
        yield ok("clocks", f"the latest event is {_span(abs(ahead_ms))} {'ahead' if ahead_ms > 0 else 'old'}")


def _check_references(seen: _Sample, references: Mapping[str, Profile]) -> Iterator[Finding]:
    if not references:
        return
    without = sorted(seen.events.keys() - references.keys())
    if without:
        yield warn(
            "references",
            f"no reference for {_named(without)}: the first events are taken for health",
            "`whydrift profile` makes one of healthy events",
        )
    for model_id in sorted(seen.features.keys() & references.keys()):
        lost = sorted(set(references[model_id].keys) - seen.features[model_id])
        if lost:
            yield warn(
                "references",
                f"the reference of {printable_text(model_id)} has features that no sampled event has: {_named(lost)}",
                "make it anew with `whydrift profile`, or mend the producer: this will be an incident",
            )


def _models(events: Mapping[str, int]) -> str:
    return f"{len(events)} model{'' if len(events) == 1 else 's'}"


def _named(names: Iterator[str] | Sequence[str] | Mapping[str, object]) -> str:
    known = [printable_text(name) for name in names]
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _span(span_ms: int) -> str:
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if span_ms >= 2 * length_ms:
            return f"{span_ms / length_ms:.0f} {unit}"
    return f"{span_ms / 1_000:.1f} s"
