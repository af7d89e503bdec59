"""The surrogate with the columns whose bins it looks at: what it makes expect of rows, however they came about.

Belongs here: expecting answers of rows given as values. Not here: fitting (`surrogate`), which rows are asked about (`faults`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats
from whydrift.core.reference import Binning, ColumnReference
from whydrift.core.surrogate import Surrogate


@dataclass(frozen=True, eq=False)
class StandIn:
    """columns, references: what the surrogate's bins were made of, in its order."""

    columns: tuple[Column, ...]
    references: tuple[ColumnReference, ...]
    surrogate: Surrogate

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def _binning(self) -> Binning:
        return Binning(self.columns, self.references)

    def bins(self, inputs: Mapping[str, Floats]) -> NDArray[np.intp]:
        """Bins of rows given by input, of which none may be missing: (rows, columns)."""
        return self._binning.bins(np.stack([inputs[name] for name in self.names], axis=1))

    def expect(self, inputs: Mapping[str, Floats]) -> Floats:
        """Answers that health makes expect of rows: (rows,)."""
        return self.surrogate.expect(self.bins(inputs))
