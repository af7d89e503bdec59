"""Columns as rules see them, made of two arrays: what health had, and what is seen now; a case that has nothing else; and the
stand-in of a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import Case, ColumnView, ErrorPicture, RatePicture, SchemaPicture, SignalEvidence
from whydrift.core.columns import Column, Floats, Kind, Presence
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import Binning, learn_column
from whydrift.core.signals import distribution_bets
from whydrift.core.stand_in import Trees
from whydrift.core.surrogate import fit_crosswise


def view_of(name: str, health: NDArray[np.float64], now: NDArray[np.float64], names: str = "") -> ColumnView:
    """A quantity; with `names`, one letter for each code, a category. The first 500 rows of health are its sample."""
    kind = Kind.CATEGORICAL if names else Kind.NUMERIC
    column = Column(name, kind, {letter: float(code) for code, letter in enumerate(names)})
    reference = learn_column(column, health, np.zeros(len(health), np.int8))
    sample: Floats = health[:500]
    return ColumnView(
        column=column,
        reference=reference,
        position=0,
        reference_values=sample,
        reference_presence=np.zeros(len(sample), np.int8),
        current_values=now,
        current_presence=np.zeros(len(now), np.int8),
        bets=distribution_bets(reference, Tolerance(reference.rows, 10, 0.2)),
        signals={},
    )


def alarmed(view: ColumnView, aspect: str = "distribution") -> ColumnView:
    """The same with an alarm."""
    signal = SignalEvidence(f"{view.name}.{aspect}", view.name, aspect, 9.0, 7.0, 0, is_alarmed=True)
    return replace(view, signals={aspect: signal})


def case_of_columns(features: Sequence[ColumnView], dependence: Sequence[ColumnView] = ()) -> Case:
    """A case of which only these columns are known."""
    silent = RatePicture(None, None, None)
    return Case(
        model_id="model",
        model_version="1",
        onset_ms=0,
        detected_ms=1_000,
        current_rows=len(features[0].current_values),
        reference_kind="baseline",
        features={view.name: view for view in features},
        outputs={},
        labels={},
        world={},
        schema=SchemaPicture(),
        arrivals=silent,
        label_arrivals=silent,
        errors=ErrorPicture({}, {}),
        model_changes=(),
        performance=None,
        dependence={view.name: view for view in dependence},
    )


def stand_in_of(inputs: Mapping[str, Floats], answers: Floats) -> Trees:
    """Fitted on rows of health; an input called `kind` is a category of a, b and c."""
    columns = tuple(
        Column(name, Kind.CATEGORICAL if name == "kind" else Kind.NUMERIC, {"a": 0.0, "b": 1.0, "c": 2.0})
        for name in inputs
    )
    there = np.full(len(answers), Presence.PRESENT, np.int8)
    references = tuple(learn_column(column, inputs[column.name], there) for column in columns)
    bins = Binning(columns, references).bins(np.stack(list(inputs.values()), axis=1))
    surrogate, residuals = fit_crosswise(bins, answers)
    return Trees(columns, references, surrogate, residuals[:, 0])
