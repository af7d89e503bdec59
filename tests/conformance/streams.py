"""The example world's streams through the real pipeline: JSON records in, what would be published out.

Belongs here: pipelines that have learnt a healthy world (made once, restored for each stream), and running an example from there.
Not here: judging what is said (tests), the world itself (`world`), cases without a pipeline (`case_builder`).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from types import MappingProxyType

import world

from whydrift.core.diagnose import UNEXAMINED
from whydrift.core.faults.rule import Example, Row
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import Profile, read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Emit, Output, Record
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis

DEFAULTS = Settings()
LEARNT = 2_400
"""Healthy rows before the onset: the whole baseline, and chunks that close and labels that come meanwhile."""
TOPIC = "events"
_LABELS_REACH = 1_000
"""No label is so many predictions late."""


def records(events: Iterable[Row], first_offset: int = 0) -> list[Record]:
    """As the files' source would hand them over."""
    return [Record(TOPIC, 0, first_offset + i, json.dumps(event).encode()) for i, event in enumerate(events)]


def diagnoses(outputs: Sequence[Output]) -> list[Diagnosis]:
    """What was said; records that were rejected are no part of these streams."""
    assert all(isinstance(output, Emit) for output in outputs), outputs
    return [output.diagnosis for output in outputs if isinstance(output, Emit)]


@dataclass(frozen=True)
class Learnt:
    """A pipeline's state after the world's first rows, and how many records those were."""

    sections: MappingProxyType[str, bytes]
    records: int

    def pipeline(self, settings: Settings = DEFAULTS) -> Pipeline:
        """Go on from here."""
        return Pipeline.restore(settings, TOPIC, 0, {}, self.sections)


@cache
def learnt(seed: int, rows: int = LEARNT) -> Learnt:
    """The baseline, learnt from the stream itself."""
    return _learnt(Pipeline(DEFAULTS, TOPIC, 0), seed, rows)


@cache
def profiled(seed: int, rows: int = LEARNT) -> Learnt:
    """The same world, judged from the first record on by a reference file made from another stretch of it."""
    return _learnt(unlearnt(seed), seed, rows)


@cache
def _reference(seed: int) -> dict[str, Profile]:
    profiler = Profiler(DEFAULTS)
    profiler.add(records(world.healthy(seed + 1_000, 2_000)))
    return read_profile(profiler.finish())


def _learnt(pipeline: Pipeline, seed: int, rows: int) -> Learnt:
    events = until_prediction(world.healthy(seed, rows), rows)
    assert diagnoses(pipeline.process(records(events))) == [], "the world is not healthy before the onset"
    return Learnt(MappingProxyType(pipeline.snapshot()), len(events))


def until_prediction(events: Sequence[Row], count: int) -> list[Row]:
    """The events up to the count-th prediction: whatever breaks afterwards, they stay the same."""
    place = [place for place, event in enumerate(events) if event["kind"] == "prediction"][count - 1]
    return list(events[: place + 1])


def said_of(example: Example, rows: int, seed: int, base: "Learnt | None" = None) -> "Iterator[Said]":
    """What is said of this many rows that the example breaks, after health as `base` has learnt it (by default from the stream).

    An example of a break from the first event on has no health before it, and a reference file.
    """
    if example.from_first:
        return said(unlearnt(seed), broken_from_first(example, rows, seed))
    return said((base or learnt(seed)).pipeline(), broken(example, rows, seed))


def broken(example: Example, rows: int, seed: int, healthy_rows: int = 0) -> list[Record]:
    """The records that follow `learnt(seed)`: this many rows that the example breaks, then healthy ones."""

    def breaks(row: Row, i: int) -> Row | list[Row] | None:
        return example.breaks(row, i) if i < rows else row

    total = LEARNT + rows + healthy_rows
    stream = world.breaking(Example(example.says, breaks), LEARNT, total, seed)
    # Labels of healthy rows arrive among the broken ones; the description at the beginning is known already.
    events = world.to_wire(list(islice(stream, LEARNT - _LABELS_REACH, None)))[1:]
    events = events[len(until_prediction(events, _LABELS_REACH)) :]
    last = max(place for place, event in enumerate(events) if event["kind"] == "prediction")
    return records(events[: last + 1], learnt(seed).records)


def unlearnt(seed: int) -> Pipeline:
    """A pipeline that has seen nothing yet, with a reference file made from a healthy stretch of the world."""
    return Pipeline(DEFAULTS, TOPIC, 0, _reference(seed))


def broken_from_first(example: Example, rows: int, seed: int) -> list[Record]:
    """This many rows that the example breaks, from the model's first event on."""
    events = world.with_fault(example, 0, rows, seed)
    last = max(place for place, event in enumerate(events) if event["kind"] == "prediction")
    return records(events[: last + 1])


@dataclass(frozen=True)
class Said:
    """A diagnosis, and with which prediction after the onset it came."""

    rows: int
    diagnosis: Diagnosis

    @property
    def fault(self) -> str:
        """The leading cause."""
        return str(self.diagnosis.causes[0].fault)

    @property
    def features(self) -> set[str]:
        """The inputs that it names."""
        return set(self.diagnosis.causes[0].features)


def said(pipeline: Pipeline, stream: Iterable[Record], step: int = 20) -> Iterator[Said]:
    """Feed a stream, a few records at a time, and tell what is said when it is said."""
    rows = 0
    remaining = iter(stream)
    while part := list(islice(remaining, step)):
        counts = accumulate((b'"kind": "prediction"' in record.value for record in part), initial=rows)
        at = dict(zip((record.offset for record in part), list(counts)[1:], strict=True))
        for output in pipeline.process(part):
            assert isinstance(output, Emit), output
            assert not [no for no in output.diagnosis.ruled_out if no.because.startswith(UNEXAMINED)], output.diagnosis
            yield Said(at[output.offset], output.diagnosis)
        rows = at[part[-1].offset]


def broken_inputs(example: Example, seed: int = 1, rows: int = 300) -> set[str]:
    """The inputs that an example changes, adds or leaves out."""
    found: set[str] = set()
    for i, row in enumerate(world.healthy_rows(seed, rows)):
        before, event_id = dict(row["features"]), row["event_id"]
        result = example.breaks(row, i)
        after = result if isinstance(result, list) else [] if result is None else [result]
        for one in after:
            now = one["features"] if one.get("event_id") == event_id else before
            found |= {name for name in before.keys() | now.keys() if _spelled(before, name) != _spelled(now, name)}
    return found


def _spelled(features: Row, name: str) -> str:
    # 1 and true are equal in Python, not on the wire.
    return json.dumps(features[name]) if name in features else ""
