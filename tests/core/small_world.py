"""A small stream for tests of the pipeline's own behaviour: one prediction a second, three inputs, labels half a minute later.

Belongs here: healthy events by number, and hooks to change them. Event number i is the same whatever surrounds it.
Not here: the faults' examples (`tests/conformance/world`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from math import exp
from typing import Any

import numpy as np

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Output, Record, Reject
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Status

START_MS = 1_795_437_000_000
MODEL_ID = "risk"
VERSION = "v1"
SETTINGS = Settings(baseline_events=500, first_stage_events=125)
LABEL_DELAY = 30
"""Seconds, and so events, from a prediction to its label."""

Event = dict[str, Any]
Change = Callable[[Event, int], None]


def at_ms(i: int) -> int:
    """Time of prediction number i."""
    return START_MS + 1_000 * i


def events(
    start: int,
    stop: int,
    *,
    inputs: Change | None = None,
    answers: Change | None = None,
    version: str = VERSION,
    model_id: str = MODEL_ID,
    has_labels: bool = True,
) -> Iterator[Event]:
    """Predictions number start … stop − 1, and the labels that come meanwhile.

    inputs(features, i) changes what the model is given (it answers on that); answers(event, i) changes the event it makes.
    """
    for i in range(start, stop):
        values, noise, latency_ms, _ = _row(i)
        features = dict(values)
        if inputs is not None:
            inputs(features, i)
        answer = answered(_sigmoid(_log_odds(features) + 0.1 * noise))
        event = prediction(i, features, answer, latency_ms, version=version, model_id=model_id)
        if answers is not None:
            answers(event, i)
        yield event
        if has_labels and i >= LABEL_DELAY:
            yield label(i - LABEL_DELAY, _row(i - LABEL_DELAY)[3], model_id=model_id)


def prediction(
    i: int,
    features: Event,
    answer: object,
    latency_ms: float = 5.0,
    *,
    version: str = VERSION,
    model_id: str = MODEL_ID,
) -> Event:
    """Event number i: what a model was given, and answered."""
    return {
        "kind": "prediction",
        "event_id": f"e{i}",
        "model_id": model_id,
        "model_version": version,
        "timestamp": at_ms(i),
        "features": features,
        "prediction": answer,
        "latency_ms": latency_ms,
    }


def answered(score: float) -> Event:
    """The answer to a case of this chance to be bad."""
    return {"label": "bad" if score >= 0.5 else "good", "score": round(score, 6)}


@cache
def _row(i: int) -> tuple[Event, float, float, str]:
    """Inputs, noise of the answer, latency, and what becomes of it."""
    draw = np.random.default_rng((7, i))
    features: Event = {
        "income": round(float(50_000 * np.exp(0.4 * draw.normal())), 2),
        "age": round(float(40 + 12 * draw.normal()), 1),
        "region": ("eu", "us", "apac")[int(np.searchsorted((0.5, 0.8), draw.random()))],
    }
    latency_ms = round(float(5 * np.exp(0.3 * draw.normal())), 3)
    return features, float(draw.normal()), latency_ms, "bad" if draw.random() < risk(features) else "good"


def label(i: int, actual: object, *, model_id: str = MODEL_ID) -> Event:
    """The label of event number i, half a minute later."""
    return {
        "kind": "label",
        "event_id": f"e{i}",
        "model_id": model_id,
        "timestamp": at_ms(i + LABEL_DELAY),
        "actual": actual,
    }


def risk(features: Event) -> float:
    """Probability of "bad", which the model knows."""
    return _sigmoid(_log_odds(features))


def _log_odds(features: Event) -> float:
    income, age = features.get("income"), features.get("age")
    z = -0.8
    z -= 1.5 * float(np.log(max(income, 1.0) / 50_000)) if isinstance(income, float) else 0.0
    z -= 0.05 * (age - 40) if isinstance(age, float) else 0.0
    return min(max(z + {"us": 0.4, "apac": 0.9}.get(str(features.get("region")), 0.0), -20.0), 20.0)


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


class Feed:
    """A pipeline, and the offsets of its partition: feed it events (dicts, or bytes as they are)."""

    def __init__(self, pipeline: Pipeline | None = None, offset: int = 0, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.pipeline = pipeline or Pipeline(settings, "events", 0)
        self.offset = offset

    def __call__(self, values: Iterable[Event | bytes], broker_ms: int | None = None) -> list[Output]:
        records = []
        for value in values:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            records.append(Record("events", 0, self.offset, raw, timestamp_ms=broker_ms))
            self.offset += 1
        return self.pipeline.process(records)

    def copy(self) -> "Feed":
        """Another one that goes on from here, as after a restart."""
        again = Pipeline.restore(self.settings, "events", 0, {}, self.pipeline.snapshot())
        return Feed(again, self.offset, self.settings)

    def state_bytes(self) -> int:
        return sum(map(len, self.pipeline.snapshot().values()))


def diagnoses(outputs: Sequence[Output], status: Status | None = None) -> list[Diagnosis]:
    """What is published, of one status where asked."""
    found = [output.diagnosis for output in outputs if isinstance(output, Emit)]
    return [one for one in found if status in (None, one.status)]


def faults(outputs: Sequence[Output], status: Status | None = None) -> list[str]:
    """The leading cause of each diagnosis."""
    return [one.causes[0].fault.value for one in diagnoses(outputs, status)]


def rejects(outputs: Sequence[Output]) -> list[Reject]:
    return [output for output in outputs if isinstance(output, Reject)]


def command(action: str, at: int, **fields: Any) -> Event:
    """A person's word, at the time of prediction number `at`."""
    return {
        "kind": "command",
        "model_id": MODEL_ID,
        "timestamp": at_ms(at),
        "action": action,
        "author": "ada",
        "reason": "we know",
        **fields,
    }
