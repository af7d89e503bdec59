"""Columns as rules see them, made of two arrays: what health had, and what is seen now."""

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import ColumnView
from whydrift.core.columns import Column, Floats, Kind
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import learn_column
from whydrift.core.signals import distribution_bets


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
