"""How new the combination of an event's values is: which pairs of values go together in it that never did in health.

Each input is cut into a few groups (fifths of a quantity, the common categories). Of two inputs, rows of health tell how many
have each pair of groups, and how many would if the two had nothing to do with each other. A pair that hardly anybody has, though
both of its values are common, is news: `log((expected + 1) / (seen + 1))`, beyond 1; both count as few as there are that tell on
their own, where two inputs wander slowly (`pair_times`). An event's score is the sum over all pairs
of inputs; mostly it is 0. Each half of the rows makes a table, by which the other half is scored: that is what scores look like
in health. Of rows to come, each chunk is scored by one of the two, whichever its running number says.

Limits: what is new only in three inputs at once does not show, nor a pair that would be rare anyway (a handful of a thousand
rows). Half-space trees, which see more, cost 151 µs an event (detection.md); this is a look-up for each pair of inputs.

Belongs here: groups, the table, scores. Not here: the series that is watched (`dependence`), where a region is
(`faults.novel_region`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whydrift.core.autocorrelation import level_time
from whydrift.core.columns import Floats, scattered
from whydrift.core.reference import BINS, NO_BIN, UNSEEN, ColumnReference

COMBINATIONS = "combinations"
"""Name of the series of scores."""
MAX_INPUTS = 40
"""Inputs that take part, the first ones: 780 pairs."""
GROUPS = 8
"""Places of a column's groups in a table; 0 = no value, or none that health has."""
_EYE = np.eye(GROUPS, dtype=np.float32)
FIFTHS = 5
_COMMON = 0.04
"""Share from which a category has a group of its own; the others are one."""
_STEP = 1 / 64
"""News is rounded to this: scores of the same pairs are equal to the last bit, however they were added up."""
_LEAST_NEWS = 1.0
"""Natural logarithm of expected over seen from which a pair tells anything: less is chance, in one of hundreds of pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class Combinations:
    """groups (inputs, BINS + 1): a bin's group. news (2, inputs × GROUPS, the same): of each pair of groups, by either half."""

    groups: NDArray[np.intp]
    news: NDArray[np.float32]

    def scores(self, bins: NDArray[np.integer], number: int) -> Floats:
        """Of a chunk's rows by the bins of these inputs (rows, inputs), by the half that its first row's number says: (rows,)."""
        half = scattered(np.array([number]))[0] % 2
        return _sums(indicators(self.groups, bins), self.news[half])


def learn_combinations(references: Sequence[ColumnReference], bins: NDArray[np.integer]) -> tuple[Combinations, Floats]:
    """From rows of health, by bins of their inputs (rows, inputs); with the scores of these rows."""
    groups = np.array([groups_of(reference) for reference in references])
    times = pair_times(references, len(bins) // 2)
    is_in, half = indicators(groups, bins), np.arange(len(bins)) % 2
    news = [news_of(is_in[half != which], times) for which in (0, 1)]
    scores = np.empty(len(bins))
    for which in (0, 1):
        scores[half == which] = _sums(is_in[half == which], news[which])
    return Combinations(groups, np.stack(news)), scores


def groups_of(reference: ColumnReference) -> NDArray[np.intp]:
    """Group of each bin of a column: (BINS + 1,)."""
    masses, found = reference.masses, np.zeros(BINS + 1, np.intp)
    if reference.kind.is_coded:
        known = np.flatnonzero(masses[:UNSEEN])
        ranked = known[np.argsort(-masses[known], kind="stable")]
        found[known] = GROUPS - 1
        common = [place for place in ranked.tolist() if masses[place] >= _COMMON][: GROUPS - 2]
        found[common] = np.arange(1, len(common) + 1)
    else:
        used = reference.used_bins
        middle = np.cumsum(masses) - masses / 2
        found[used] = 1 + np.minimum(FIFTHS * middle[used], FIFTHS - 1).astype(np.intp)
    found[NO_BIN] = 0
    return found


def can_combine(reference: ColumnReference) -> bool:
    """Whether a column has more than one group."""
    groups = groups_of(reference)
    return len({int(group) for group in groups[:BINS][reference.masses > 0]} - {0}) > 1


def indicators(groups: NDArray[np.intp], bins: NDArray[np.integer]) -> NDArray[np.float32]:
    """Which groups rows are in, one of each input: (rows, inputs × GROUPS)."""
    own = groups[np.arange(len(groups)), bins]
    found: NDArray[np.float32] = _EYE.take(own, axis=0).reshape(len(bins), own.shape[1] * GROUPS)
    return found


def pair_times(references: Sequence[ColumnReference], rows: int) -> Floats:
    """How many of so many rows, drawn from all of health, tell as much as one of where two inputs are together: (inputs, inputs).

    Two that wander slowly have been at few places together, and go to new ones in health; beside one that does not, all come.
    """
    times = [level_time(reference.times) * rows / max(reference.rows, rows, 1) for reference in references]
    found: Floats = np.maximum(np.minimum.outer(times, times), 1.0)
    return found


def news_of(is_in: NDArray[np.float32], times: Floats) -> NDArray[np.float32]:
    """How new each pair of groups is to rows (`indicators`): 0 within an input, and without a value; in whole _STEPs.

    times: see `pair_times`.
    """
    times = np.repeat(np.repeat(times, GROUPS, axis=0), GROUPS, axis=1)
    seen = (is_in.T @ is_in).astype(float)
    each = np.diag(seen)
    expected = np.outer(each, each) / max(len(is_in), 1) / times
    seen /= times
    found = np.maximum(np.log((expected + 1) / (seen + 1)) - _LEAST_NEWS, 0.0)
    places = np.arange(len(found))
    is_missing, column = places % GROUPS == 0, places // GROUPS
    found[is_missing], found[:, is_missing] = 0.0, 0.0
    found[column[:, None] == column[None, :]] = 0.0
    rounded: NDArray[np.float32] = (np.round(found / _STEP) * _STEP).astype(np.float32)
    return rounded


def _sums(is_in: NDArray[np.float32], news: NDArray[np.float32]) -> Floats:
    """One product instead of a look-up a pair, which took three times as long; sums of _STEPs are exact in any order."""
    found: Floats = np.einsum("ij,ij->i", is_in @ news, is_in).astype(float) / 2
    return found
