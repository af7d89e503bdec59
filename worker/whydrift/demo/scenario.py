"""One day of the laboratory, and what is broken in it from when to when.

Belongs here: the schedule, and what each fault does. Not here: what whydrift says to it (`verdict`); nothing of the schedule goes
over the wire.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whydrift.demo.laboratory import FEATURES, Floats, ModelFile
from whydrift_schemas import Fault, read_time

Spoil = Callable[[Floats, np.random.Generator], Floats]
"""Features as they should arrive → as they do."""

OPENS_MS = read_time("2025-03-03T08:00:00Z")
"""A Monday; long enough ago that no broker's clock finds it too far ahead."""
CLOSES_MS = read_time("2025-03-03T18:00:00Z")
EVENTS_PER_SECOND = 0.6
"""Of the laboratory's time; in the demo the day passes in half a minute."""
_MG_PER_DL = 38.67
"""Of cholesterol, in 1 mmol/l."""


def _unspoilt(features: Floats, random: np.random.Generator) -> Floats:
    return features


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """Something that is broken for a while, and then mended: `what` in a few words, `story` in one sentence.

    `fault`, `features`: what it would be right to call it.
    """

    fault: Fault
    features: tuple[str, ...]
    begins_ms: int
    ends_ms: int
    what: str
    story: str
    spoil: Spoil = _unspoilt
    serves: ModelFile = ModelFile.RELEASE

    def is_on(self, time_ms: int) -> bool:
        return self.begins_ms <= time_ms < self.ends_ms


def _in_other_unit(features: Floats, random: np.random.Generator) -> Floats:
    place = FEATURES.index("total_cholesterol")
    features[:, place] = (features[:, place] / _MG_PER_DL).round(2)
    return features


def _without_bmi(features: Floats, random: np.random.Generator) -> Floats:
    features[random.random(len(features)) < 1 / 3, FEATURES.index("bmi")] = np.nan
    return features


DAY = (
    Breakage(
        begins_ms=read_time("2025-03-03T09:00:00Z"),
        ends_ms=read_time("2025-03-03T09:40:00Z"),
        fault=Fault.UNIT_CHANGE,
        features=("total_cholesterol",),
        what="total_cholesterol in mmol/l",
        story="a new analyser sends total_cholesterol in mmol/l instead of mg/dl",
        spoil=_in_other_unit,
    ),
    Breakage(
        begins_ms=read_time("2025-03-03T11:00:00Z"),
        ends_ms=read_time("2025-03-03T11:40:00Z"),
        fault=Fault.MISSING_VALUES,
        features=("bmi",),
        what="bmi missing in a third of the rows",
        story="a third of the look-ups of bmi time out",
        spoil=_without_bmi,
    ),
    Breakage(
        begins_ms=read_time("2025-03-03T13:00:00Z"),
        ends_ms=read_time("2025-03-03T13:40:00Z"),
        fault=Fault.WRONG_MODEL,
        features=(),
        what="an old model file is served",
        story="after a restart the service loads an old model file, under the same version",
        serves=ModelFile.PROTOTYPE,
    ),
)
"""One after the other; between them there is time for each incident to resolve."""
