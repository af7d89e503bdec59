"""One source breaks under several models: one incident a model, one cause, and a note that they coincide.

Belongs here: what models of a partition have to do with each other. Not here: the life of one incident (`test_incidents`).
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Fault, Status

MODELS = ("churn", "fraud", "limits", "pricing", "scoring")
FEATURES = tuple(f"bureau_{i}" for i in range(40))
LEARNT, BROKEN, HEALED = 600, 200, 900
ALONE = "routing"
SETTINGS = replace(Settings(), baseline_events=500)
START_MS = 1_795_437_000_000


def events() -> Iterator[dict[str, object]]:
    """Six models in turn, one event of each in five seconds. The source of all forty inputs of five is gone for a while;
    meanwhile the sixth, which has inputs of its own, only becomes slow."""
    draw = np.random.default_rng(5)
    for i in range(LEARNT + BROKEN + HEALED):
        is_broken = LEARNT <= i < LEARNT + BROKEN
        for place, model in enumerate((*MODELS, ALONE)):
            values = draw.normal(size=len(FEATURES)).round(3).tolist()
            if model == ALONE:
                features = {"distance": values[0], "load": values[1]}
            else:
                features = {name: None if is_broken else v for name, v in zip(FEATURES, values, strict=True)}
            yield {
                "kind": "prediction",
                "event_id": f"{model}-{i}",
                "model_id": model,
                "model_version": "1",
                "timestamp": START_MS + i * 5_000 + place * 100,
                "features": features,
                "prediction": {"value": round(float(draw.normal()), 3)},
                "latency_ms": float(draw.lognormal(1.0, 0.2)) * (5 if model == ALONE and is_broken else 1),
            }


@cache
def run(restarted_at: int | None = None) -> tuple[tuple[Diagnosis, ...], int]:
    """All that is said, and the most alarms that lasted at once; with a restart from a snapshot before that record."""
    pipeline = Pipeline(SETTINGS, "events", 0)
    said: list[Diagnosis] = []
    alarms = 0
    for offset, event in enumerate(events()):
        if offset == restarted_at:
            pipeline = Pipeline.restore(SETTINGS, "events", 0, {}, pipeline.snapshot())
        time_ms = event["timestamp"]
        assert isinstance(time_ms, int)
        record = Record("events", 0, offset, json.dumps(event).encode(), timestamp_ms=time_ms)
        said += [output.diagnosis for output in pipeline.process([record]) if isinstance(output, Emit)]
        if offset == (LEARNT + BROKEN) * 6 - 1:
            alarms = sum(s.log10_e > s.log10_threshold for model in pipeline.status().models for s in model.signals)
    return tuple(said), alarms


def opened(model: str) -> list[Diagnosis]:
    return [one for one in run()[0] if one.model_id == model and one.status is Status.OPENED]


def test_an_outage_of_a_source_is_one_incident_a_model_with_one_cause_for_forty_inputs() -> None:
    for model in MODELS:
        (one,) = opened(model)
        assert one.causes[0].fault == Fault("missing_values")
        assert set(one.causes[0].features) == set(FEATURES)
        assert one.causes[0].probability >= 0.9


def test_alarms_are_compressed_at_least_twenty_times() -> None:
    said, alarms = run()
    incidents = {one.incident_id for one in said}
    assert alarms >= 20 * len(incidents)


def test_incidents_that_coincide_say_so_and_where() -> None:
    # The last to open knows of all others at once; the first was alone, and says so with its next update.
    (latest,) = opened(MODELS[-1])
    (updated,) = [one for one in run()[0] if one.status is Status.UPDATED]
    assert updated.model_id == MODELS[0]
    for told in (latest, updated):
        assert "also in 4 other models" in told.summary
        assert all(other in told.causes[0].explanation for other in MODELS if other != told.model_id)


def test_an_unrelated_fault_at_the_same_time_stays_apart() -> None:
    (one,) = opened(ALONE)
    assert one.causes[0].fault == Fault("latency_degradation")
    assert not any("other model" in told.summary for told in run()[0] if told.model_id == ALONE)
    assert not any(ALONE in told.causes[0].explanation for told in run()[0] if told.model_id != ALONE)


def test_all_of_them_end_with_the_outage() -> None:
    ended = [one.model_id for one in run()[0] if one.status is Status.RESOLVED]
    assert sorted(ended) == sorted((*MODELS, ALONE))


def test_a_restart_in_the_middle_changes_nothing_of_what_is_said() -> None:
    assert run((LEARNT + BROKEN // 2) * 6)[0] == run()[0]
