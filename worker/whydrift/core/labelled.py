"""Predictions whose labels have come, each as one row: answer, outcome, loss, who labelled it, and what the inputs were.

Belongs here: what the join carries of a prediction's row (`pack`), and keeping the joined rows. Not here: joining (`labels`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from whydrift.core.columns import Column, Floats, Kind, Rows, column_of, column_state, encode_column, tame
from whydrift.core.dimensions import WIDTH
from whydrift.core.learning import MonitorProfile
from whydrift.core.retained import Retained

MAX_INPUTS = 24
"""Inputs carried to the label, the first in the model's order: waiting predictions are many."""
LARGEST = 3e38
"""Beyond it single precision ends."""
OUTCOMES = ("prediction", "decision", "actual", "loss")
_FIRST = len(OUTCOMES) + 1
_WIDTH = _FIRST + WIDTH + MAX_INPUTS
"""The label's source comes first, then outcomes, dimensions, inputs."""


_COLUMNS = tuple(
    Column(name, Kind.NUMERIC)
    for name in (
        *OUTCOMES,
        *(f"dimension {place}" for place in range(WIDTH)),
        *(f"input {place}" for place in range(MAX_INPUTS)),
    )
)


class Outcome(NamedTuple):
    """One joined prediction: numbers or codes, NaN where there is none. packed: its row, as `pack` made it."""

    prediction: float
    decision: float
    actual: float
    loss: float
    source: str | None
    prediction_ms: int
    offset: int
    packed: bytes | None


def pack(dimensions: Floats, inputs: Floats) -> list[bytes]:
    """Rows of dimensions (rows, WIDTH) and inputs (rows, columns) in single precision, for the join to carry."""
    both = np.empty((len(inputs), WIDTH + min(inputs.shape[1], MAX_INPUTS)), np.float32)
    both[:, :WIDTH] = dimensions
    np.clip(inputs[:, :MAX_INPUTS], -LARGEST, LARGEST, out=both[:, WIDTH:], casting="same_kind")
    raw, size = both.tobytes(), both.shape[1] * 4
    return [raw[at : at + size] for at in range(0, len(raw), size)]


class LabelledWatch:
    """The latest joined rows, and a sample of those of health. `sources`: who labelled."""

    def __init__(self, sample: Rows | None = None, sources: Column | None = None) -> None:
        self.sources = Column("source", Kind.CATEGORICAL) if sources is None else sources
        self._kept = Retained(sample)

    def update(self, outcomes: Sequence[Outcome], *, is_healthy: bool) -> Floats:
        """Take joined rows; returns them: OUTCOMES, then inputs (rows, 4 + MAX_INPUTS).

        is_healthy: they are being learnt from.
        """
        values = np.full((len(outcomes), _WIDTH), np.nan)
        values[:, 0] = encode_column(self.sources, [outcome.source for outcome in outcomes])[0]
        values[:, 1:_FIRST] = [outcome[: len(OUTCOMES)] for outcome in outcomes]
        for row, outcome in enumerate(outcomes):
            if outcome.packed is not None:
                packed = np.frombuffer(outcome.packed, np.float32)
                values[row, _FIRST : _FIRST + len(packed)] = packed
        tame(values)
        times_ms = np.array([outcome.prediction_ms for outcome in outcomes], np.int64)
        offsets = np.array([outcome.offset for outcome in outcomes], np.int64)
        self._kept.add(values, times_ms, offsets, is_healthy=is_healthy)
        return np.concatenate([values[:, 1:_FIRST], values[:, _FIRST + WIDTH :]], axis=1)

    def recent(self) -> Rows:
        return self._kept.recent(_WIDTH)

    def sample(self) -> Rows:
        return self._kept.sample(_WIDTH)

    def profile(self) -> MonitorProfile:
        """The sample of health; codes of outcomes, dimensions and inputs are those of the profile's other parts."""
        return MonitorProfile((self.sources, *_COLUMNS), {}, self.sample())

    def snapshot(self) -> dict[str, Any]:
        kept = self._kept.snapshot(_WIDTH)
        return {"sources": column_state(self.sources), "kept": kept}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "LabelledWatch":
        watch = cls(sources=column_of(state["sources"]))
        watch._kept = Retained.restore(state["kept"])
        return watch


def outcomes_of(rows: Rows) -> dict[str, Floats]:
    """Each of OUTCOMES in labelled rows."""
    return {name: rows.values[:, 1 + place] for place, name in enumerate(OUTCOMES)}


def sources_of(rows: Rows) -> Floats:
    """Codes of the labels' sources: (rows,)."""
    codes: Floats = rows.values[:, 0]
    return codes


def dimensions_of(rows: Rows) -> Floats:
    """Codes of dimensions: (rows, WIDTH)."""
    codes: Floats = rows.values[:, _FIRST : _FIRST + WIDTH]
    return codes


def inputs_of(rows: Rows) -> Floats:
    """Inputs: (rows, MAX_INPUTS)."""
    values: Floats = rows.values[:, _FIRST + WIDTH :]
    return values
