"""What holds of the pipeline whatever the input: how records are batched, where it is stopped, and who else is in the stream.

Belongs here: laws, on streams with faults, labels, commands, versions and bad records in them. Not here: that faults are named
(`tests/conformance`).
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # the example world

import world

from whydrift.core.faults import missing_values, unit_change
from whydrift.core.faults.rule import Row
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Output, Record
from whydrift.core.settings import Settings
from whydrift_schemas import encode

QUICK = Settings(baseline_events=600, first_stage_events=150, join_capacity=300, label_ttl_ms=3_600_000)


def records(values: Iterable[object]) -> list[Record]:
    """As the files' source would hand them over; bytes stay as they are."""
    raw = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    return [Record("events", 0, offset, value) for offset, value in enumerate(raw)]


def spelled(outputs: Sequence[Output]) -> list[bytes]:
    """Outputs as what would be published."""
    return [
        encode(o.diagnosis) if isinstance(o, Emit) else f"{o.record.offset} {o.reason}: {o.message}".encode()
        for o in outputs
    ]


def run(pipeline: Pipeline, stream: Sequence[Record], sizes: Iterable[int]) -> list[bytes]:
    """Process in batches of these sizes, then the rest at once."""
    found: list[Output] = []
    start = 0
    for size in sizes:
        found += pipeline.process(stream[start : start + size])
        start += size
    found += pipeline.process(stream[start:])
    return spelled(found)


@cache
def eventful() -> tuple[Record, ...]:
    """A stream in which everything happens: two faults, a second version, commands, labels both ways, records that are none."""
    first = world.with_fault(unit_change.RULE.examples[0], 800, 1_100, 5)
    events: list[Any] = []
    for place, event in enumerate(first):
        events.append(event)
        if place % 97 == 0:
            events.append(b"\xff not an event")
        if place % 41 == 0:
            events.append({**event, "surprise": 1})
    later = world.with_fault(missing_values.RULE.examples[4], 900, 1_300, 6)
    shift = (
        int(events[-1]["timestamp"] if isinstance(events[-1], dict) else first[-1]["timestamp"])
        + 60_000
        - world.START_MS
    )
    moved = [_later(event, shift) for event in later if event["kind"] != "model"]
    at_ms = moved[0]["timestamp"]
    snooze = {
        "kind": "command",
        "action": "snooze",
        "model_id": world.MODEL_ID,
        "timestamp": at_ms,
        "until": at_ms + 300_000,
    }
    relearn = {
        "kind": "command",
        "action": "relearn",
        "model_id": world.MODEL_ID,
        "timestamp": at_ms,
        "signals": ["income.missing"],
    }
    wrong = {
        "kind": "command",
        "action": "accept",
        "model_id": world.MODEL_ID,
        "timestamp": at_ms,
        "incident_id": "no such",
    }
    return tuple(records([*events, snooze, relearn, wrong, *moved]))


def _later(event: Row, shift_ms: int) -> Row:
    moved = {**event, "timestamp": event["timestamp"] + shift_ms, "event_id": f"b{event['event_id']}"}
    if event["kind"] == "prediction":
        moved["model_version"] = "2026.12.0" if int(event["event_id"][-3:]) % 3 else world.VERSION
    return moved


@cache
def undisturbed() -> tuple[tuple[bytes, ...], tuple[tuple[str, bytes], ...]]:
    pipeline = Pipeline(QUICK, "events", 0)
    outputs = run(pipeline, eventful(), ())
    return tuple(outputs), tuple(sorted(pipeline.snapshot().items()))


def test_the_eventful_stream_has_incidents_that_open_and_resolve_and_rejects() -> None:
    outputs, _ = undisturbed()
    said = [json.loads(line) for line in outputs if line.startswith(b"{")]
    assert {"opened", "resolved"} <= {one["status"] for one in said}
    assert {one["causes"][0]["fault"] for one in said} >= {"unit_change", "missing_values"}
    assert any(b"no open incident" in line for line in outputs)
    assert sum(b"invalid_utf8" in line for line in outputs) > 10


@pytest.mark.parametrize("size", [1, 7, 500])
def test_output_and_state_do_not_depend_on_batches_of_one_size(size: int) -> None:
    pipeline = Pipeline(QUICK, "events", 0)
    stream = eventful()
    outputs = run(pipeline, stream, [size] * (len(stream) // size))
    assert (tuple(outputs), tuple(sorted(pipeline.snapshot().items()))) == undisturbed()


@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 400), max_size=30))
def test_output_and_state_do_not_depend_on_how_records_are_batched(sizes: list[int]) -> None:
    pipeline = Pipeline(QUICK, "events", 0)
    outputs = run(pipeline, eventful(), sizes)
    assert (tuple(outputs), tuple(sorted(pipeline.snapshot().items()))) == undisturbed()


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).map(sorted))
def test_stopping_anywhere_and_going_on_from_the_state_is_invisible(cuts: list[float]) -> None:
    stream = eventful()
    pipeline, outputs, start = Pipeline(QUICK, "events", 0), list[bytes](), 0
    for cut in cuts:
        end = int(cut * len(stream))
        outputs += run(pipeline, stream[start:end], ())
        pipeline.status()  # looking changes nothing
        pipeline = Pipeline.restore(QUICK, "events", 0, {}, pipeline.snapshot())
        start = end
    outputs += run(pipeline, stream[start:], ())
    assert (tuple(outputs), tuple(sorted(pipeline.snapshot().items()))) == undisturbed()


def test_going_on_from_each_of_many_states_in_a_row_is_invisible() -> None:
    stream = eventful()
    pipeline, outputs = Pipeline(QUICK, "events", 0), list[bytes]()
    for start in range(0, len(stream), 131):
        outputs += run(pipeline, stream[start : start + 131], ())
        pipeline = Pipeline.restore(QUICK, "events", 0, {}, pipeline.snapshot())
    assert (tuple(outputs), tuple(sorted(pipeline.snapshot().items()))) == undisturbed()


def test_models_do_not_see_each_other() -> None:
    """What is said of a model in a mixed stream is what is said of it alone, but for the record that moved the clock."""
    broken = world.with_fault(unit_change.RULE.examples[0], 800, 1_200, 5)
    other = [{**event, "model_id": "other"} for event in world.healthy(6, 1_200)]
    mixed = sorted([*broken, *other], key=lambda event: int(event["timestamp"]))
    alone = [event for event in mixed if event["model_id"] == world.MODEL_ID]
    assert _said_of(world.MODEL_ID, mixed) == _said_of(world.MODEL_ID, alone) != []
    assert _said_of("other", mixed) == []


def _said_of(model_id: str, events: Sequence[Row]) -> list[Any]:
    # Which rows of health are kept as a sample depends on their offsets: here all of them are.
    settings = replace(QUICK, baseline_events=400)
    outputs = Pipeline(settings, "events", 0).process(records(events))
    found = [o.diagnosis.model_dump() for o in outputs if isinstance(o, Emit) and o.diagnosis.model_id == model_id]
    for one in found:
        for field in ("detected", "detected_at", "incident_id"):
            del one[field]
    return found
