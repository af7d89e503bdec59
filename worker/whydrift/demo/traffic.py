"""The laboratory's day as events on the wire, in the order in which they would be sent.

Deterministic: the same seed gives the same bytes; it knows no clock but the laboratory's.
Belongs here: times, ids, spelling. Not here: what breaks (`scenario`), how fast it is sent (`feed`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import log

import numpy as np

from whydrift.core.settings import DAY_MS, MINUTE_MS
from whydrift.demo.laboratory import CATEGORICAL, FEATURES, Floats, Laboratory, ModelFile
from whydrift.demo.scenario import CLOSES_MS, EVENTS_PER_SECOND, OPENS_MS, Breakage
from whydrift_schemas import (
    FeatureDescription,
    FeatureType,
    Label,
    ModelDescription,
    Predicted,
    Prediction,
    Structure,
    Task,
    encode,
)
from whydrift_schemas.values import FeatureValue

MODEL_ID = "ldl-estimate"
MODEL_VERSION = "2025.2"
_BLOCK_MS = MINUTE_MS
"""Patients are drawn and answered in blocks of this length; breakages begin and end with whole minutes."""
_LABEL_DELAY_MINUTES, _LABEL_DELAY_SPREAD = 25, 0.35
_LABEL_DELAY_MS = (5 * MINUTE_MS, 60 * MINUTE_MS)
"""The laboratory's own measurement: half within 25 minutes, none before 5 or after 60."""
_LATENCY_MS = 3.0


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One record, and the moment at which it is sent."""

    time_ms: int
    is_prediction: bool
    value: bytes


class Traffic:
    """Days of the laboratory. The same `seed` gives the same days."""

    def __init__(self, laboratory: Laboratory, seed: int) -> None:
        self._laboratory = laboratory
        self._seed = seed

    def today(self, breakages: Sequence[Breakage]) -> Iterator[TimedEvent]:
        """The day of the demo."""
        return self._events(OPENS_MS, CLOSES_MS, breakages, np.random.default_rng([self._seed, 1]))

    def day_before(self) -> Iterator[TimedEvent]:
        """A healthy day, to learn from."""
        return self._events(OPENS_MS - DAY_MS, CLOSES_MS - DAY_MS, (), np.random.default_rng([self._seed, 0]))

    def _events(
        self, from_ms: int, to_ms: int, breakages: Sequence[Breakage], random: np.random.Generator
    ) -> Iterator[TimedEvent]:
        """Labels that would come after `to_ms` are left out."""
        yield TimedEvent(from_ms, False, self.description(from_ms))
        waiting: list[tuple[int, str, float]] = []
        for block_ms in range(from_ms, to_ms, _BLOCK_MS):
            on = [breakage for breakage in breakages if breakage.is_on(block_ms)]
            for prediction, delay_ms, ldl in self.block(block_ms, _BLOCK_MS, EVENTS_PER_SECOND, on, random):
                while waiting and waiting[0][0] <= prediction.timestamp:
                    yield label_event(*heappop(waiting))
                yield TimedEvent(prediction.timestamp, True, encode(prediction))
                heappush(waiting, (prediction.timestamp + delay_ms, prediction.event_id, ldl))
        while waiting and waiting[0][0] < to_ms:
            yield label_event(*heappop(waiting))

    def block(
        self, block_ms: int, length_ms: int, per_second: float, on: Sequence[Breakage], random: np.random.Generator
    ) -> Iterator[tuple[Prediction, int, float]]:
        """Predictions of a time in which `on` is broken, with how long after them their label comes, and what it says."""
        count = int(random.poisson(per_second * length_ms / 1000))
        times_ms = block_ms + np.sort(random.integers(length_ms, size=count))
        patients = self._laboratory.draw(count, random)
        delays_ms = np.exp(random.normal(log(_LABEL_DELAY_MINUTES * MINUTE_MS), _LABEL_DELAY_SPREAD, count))
        delays_ms = delays_ms.clip(*_LABEL_DELAY_MS).astype(np.int64)
        latencies_ms = (_LATENCY_MS * random.gamma(4, 0.25, count)).round(2)
        features, file = patients.features, ModelFile.RELEASE
        for breakage in on:
            features = breakage.spoil(features, random)
            file = breakage.serves if breakage.serves is not ModelFile.RELEASE else file
        answers = self._laboratory.answer(file, features) if count else np.empty(0)
        for i, time_ms in enumerate(times_ms.tolist()):
            prediction = Prediction(
                event_id=f"{time_ms:x}-{i}",
                model_id=MODEL_ID,
                model_version=MODEL_VERSION,
                timestamp=time_ms,
                features=_wire_features(features[i]),
                prediction=Predicted(value=float(answers[i])),
                latency_ms=float(latencies_ms[i]),
            )
            yield prediction, int(delays_ms[i]), float(patients.ldl[i])

    def description(self, time_ms: int) -> bytes:
        """What a service says of itself when it has loaded its model."""
        return encode(
            ModelDescription(
                model_id=MODEL_ID,
                model_version=MODEL_VERSION,
                timestamp=time_ms,
                task=Task.REGRESSION,
                features=[
                    FeatureDescription(
                        name=name, type=FeatureType.CATEGORICAL if name in CATEGORICAL else FeatureType.NUMERIC
                    )
                    for name in FEATURES
                ],
                structure=Structure(
                    framework="sklearn",
                    class_name="GradientBoostingRegressor",
                    digest=self._laboratory.digest(ModelFile.RELEASE),
                ),
            )
        )


def _wire_features(row: Floats) -> dict[str, FeatureValue]:
    """Missing values are null; categories are text."""
    values: dict[str, FeatureValue] = {}
    for name, value in zip(FEATURES, row.tolist(), strict=True):
        if value != value:
            values[name] = None
        else:
            values[name] = f"{value:.0f}" if name in CATEGORICAL else value
    return values


def label_event(time_ms: int, event_id: str, ldl: float) -> TimedEvent:
    label = Label(event_id=event_id, model_id=MODEL_ID, timestamp=time_ms, actual=ldl, source="laboratory")
    return TimedEvent(time_ms, False, encode(label))
