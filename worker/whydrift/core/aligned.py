"""Inputs, answers, dimensions and labels of the same events, side by side, from the rows that each part of a model keeps.

Belongs here: finding the events that all parts kept, by their offsets. Not here: any judgement (`faults`).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import NOT_ALIGNED, Aligned, AlignedRows, Dimension
from whydrift.core.columns import Column, Floats, Rows
from whydrift.core.labelled import MAX_INPUTS, dimensions_of, inputs_of, outcomes_of, sources_of
from whydrift.core.version import VersionWatch

if TYPE_CHECKING:
    from whydrift.core.model import ModelWatch


def answered(model: "ModelWatch", version: VersionWatch | None, is_current: Callable[[Rows], Rows]) -> Aligned:
    """Events of one version with inputs, answers and dimensions. `is_current`: picks current rows."""
    if version is None:
        return NOT_ALIGNED
    inputs, outputs, dimensions = model.inputs.monitor, version.outputs, model.dimensions
    names, answers = [c.name for c in inputs.columns], [c.name for c in outputs.columns]

    def side(rows: Rows, given: Rows, segments: Rows, who: Rows) -> AlignedRows:
        offsets = np.intersect1d(rows.offsets, given.offsets)
        codes = np.concatenate([_at(who, offsets), _at(segments, offsets)], axis=1)
        return AlignedRows(
            times_ms=rows.times_ms[np.searchsorted(rows.offsets, offsets)],
            inputs=dict(zip(names, _at(rows, offsets).T, strict=True)),
            outputs=dict(zip(answers, _at(given, offsets).T, strict=True)),
            dimensions=_dimensions(dimensions.columns, codes),
        )

    segments = dimensions.segments
    return Aligned(
        side(inputs.sample, outputs.sample, segments.sample, dimensions.sample()),
        side(is_current(inputs.recent()), outputs.recent(), segments.recent(), dimensions.recent()),
    )


def labelled(model: "ModelWatch", is_current: Callable[[Rows], Rows]) -> Aligned:
    """Predictions whose labels have come, in the order of the labels."""
    names = [column.name for column in model.inputs.monitor.columns][:MAX_INPUTS]
    watch, columns = model.labelled, model.dimensions.columns

    def side(rows: Rows) -> AlignedRows:
        sources = Dimension(sources_of(rows), tuple(watch.sources.categories()))
        return AlignedRows(
            times_ms=rows.times_ms,
            inputs=dict(zip(names, inputs_of(rows).T[: len(names)], strict=True)),
            outputs=outcomes_of(rows),
            dimensions={**_dimensions(columns, dimensions_of(rows)), "source": sources},
        )

    return Aligned(side(watch.sample()), side(is_current(watch.recent())))


def _dimensions(columns: list[Column], codes: Floats) -> Mapping[str, Dimension]:
    return {
        column.name: Dimension(codes[:, place], tuple(column.categories()))
        for place, column in enumerate(columns[: codes.shape[1]])
    }


def _at(rows: Rows, offsets: NDArray[np.int64]) -> Floats:
    """Values of the rows with these offsets, NaN where there is none: (offsets, columns)."""
    found: Floats = np.full((len(offsets), rows.values.shape[1]), np.nan)
    if len(rows):
        places = np.minimum(np.searchsorted(rows.offsets, offsets), len(rows) - 1)
        is_there = rows.offsets[places] == offsets
        found[is_there] = rows.values[places[is_there]]
    return found
