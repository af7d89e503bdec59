"""A stand-in for the watched model: what prediction do these inputs make expect?

Boosted oblivious trees over the bins of the inputs: all nodes of a level ask the same question, so that a tree is `DEPTH`
comparisons and one look-up. They need no scaling, take missing values and categories as they are, and know interactions. The
residual `s − f(x)` tells "the model broke" (residual moves) from "the world changed" (inputs move, residual stays), before a
label arrives.

Residuals of rows fitted on would be too narrow: those of health are crosswise, each half, third or fifth of the rows by the
surrogate of the others. Consecutive rows, because neighbours may be much the same: where inputs wander off for a while, that of
the others errs as it will next time (cross-validation of dependent rows: Burman, Chow and Nolan 1994; Roberts et al. 2017).
Each row to come is judged by one of these surrogates, drawn by its time, so that its residual is as those of health are. One of
all rows errs less where answers are all but exact, and cases that are all the same leave something else of it: of baseball
players, and of marks for lecturers, healthy streams were told to have another model.

An additive model was here before: on real tables its residuals' middle half was 1.3 to 4 times as wide, from 125 rows on to
2,000, on noise alone 3 % wider.

Of dear diamonds it misses the answer by more than of cheap ones. So a second one expects how large the residual is (`sizes`), and
residuals over their usual sizes, *standardised* ones, are watched besides: another model's answers on diamonds move the spread of
their ranks by .47 standard deviations, that of residuals by .29, which is within the tolerance.

Limits: beyond the inputs' range it expects what it does at their edge; categories are cut in the order of their bins. What the
bins do not tell stays in the residual and only makes it less sensitive.
Source: gradient boosting (Friedman 2001); oblivious trees as in CatBoost (arXiv 1706.09516).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats, scattered
from whydrift.core.reference import BINS, NO_BIN, UNSEEN

TREES, DEPTH = 60, 5
"""Twice as many trees or one level more make residuals narrower by less than a tenth."""
_RATE = 0.3
_RIDGE = 5.0
"""Penalty, as a number of rows: a leaf that holds fewer than this is mostly disregarded."""
_MAX_ROWS = 2_000
"""Rows fitted on."""
_MAX_COLUMNS = 40
"""Inputs fitted on, those that tell most by themselves: the cost of fitting grows with them."""
_LEAST_SIZE, _LEAST_PART = 0.1, 1e-6
"""Of the median residual, and of the target's standard deviation: what is smaller counts as if it was so large, or the logarithm
would be about the digits of exact hits."""
_PARTS = ((400, 5), (2 * _MAX_ROWS, 3))
"""Rows below which so many parts, and not two, are each told by the others: of 200 rows, half fit twice as badly as all do."""
_PLACES = BINS + 1


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """columns, cuts (trees, depth): is the bin of that column beyond the cut? leaves (trees, 2 ** depth): what a tree adds.

    usual (inputs, 2): the bin that UNSEEN and NO_BIN count as; where the rows fitted on had such values, themselves.
    sizes: expects the natural logarithm of the residual's size; None where that is not known. parts: the trees are so many
    surrogates in a row, with as many trees each, of which it is the mean.
    """

    mean: float
    columns: NDArray[np.int64]
    cuts: NDArray[np.int64]
    leaves: Floats
    usual: NDArray[np.int64]
    sizes: "Surrogate | None" = None
    parts: int = 1

    @property
    def inputs(self) -> int:
        """How many inputs it looks at rows by."""
        return len(self.usual)

    def expect(self, bins: NDArray[np.intp]) -> Floats:
        """Expected prediction of rows given the inputs' bins (rows, inputs) → (rows,): the mean over the parts."""
        is_beyond = _as_usual(bins, self.usual)[:, self.columns.ravel()] > self.cuts.ravel()
        return self._sum(is_beyond, np.arange(len(self.cuts)))

    def _by_part(self, bins: NDArray[np.intp], part: NDArray[np.intp]) -> Floats:
        """The same by one part a row, (rows,)."""
        part, trees = part % self.parts, len(self.cuts) // self.parts
        columns, cuts = (each.reshape(self.parts, -1)[part] for each in (self.columns, self.cuts))
        # Taken from one long row: three times as fast as by two indices.
        places = columns + np.arange(len(bins))[:, None] * bins.shape[1]
        is_beyond = _as_usual(bins, self.usual).ravel()[places] > cuts
        return self._sum(is_beyond, part[:, None] * trees + np.arange(trees), times=self.parts)

    def _sum(self, is_beyond: NDArray[np.bool_], trees: NDArray[np.intp], times: int = 1) -> Floats:
        """The mean, and what they add, by their answers (rows, trees × depth): (rows,). trees: (trees,) or (rows, trees)."""
        asked = is_beyond.reshape(len(is_beyond), trees.shape[-1], self.cuts.shape[1])
        leaf = (asked.astype(np.float32) @ _powers(self.cuts.shape[1])).astype(np.intp)
        added = self.leaves.ravel()[trees * self.leaves.shape[1] + leaf]
        found: Floats = self.mean + times * added.sum(axis=1)
        return found

    def knows(self, bins: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of which rows all values are such as it was fitted on, as far as missing and new ones go: (rows,)."""
        found: NDArray[np.bool_] = (_as_usual(bins, self.usual) == bins).all(axis=1)
        return found

    def left(self, answers: Floats, bins: NDArray[np.intp], times_ms: NDArray[np.int64]) -> Floats:
        """Residuals of rows, each by one of the parts, and over the size that is usual for such inputs: (rows, 2).

        The second is NaN where sizes are not known.
        """
        part = scattered(times_ms)  # not in turn: who comes in turn, as replicas may, gets all parts
        residuals = answers - self._by_part(bins, part)
        if self.sizes is None:
            return np.stack([residuals, np.full(len(residuals), np.nan)], axis=1)
        return np.stack([residuals, residuals / np.exp(self.sizes._by_part(bins, part))], axis=1)

    def snapshot(self) -> dict[str, Any]:
        parts = {"columns": self.columns, "cuts": self.cuts, "leaves": self.leaves, "usual": self.usual}
        sizes = None if self.sizes is None else self.sizes.snapshot()
        return {"mean": self.mean, **parts, "sizes": sizes, "parts": self.parts}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Surrogate":
        """Raises ValueError where the parts do not fit together."""
        if "table" in state:
            return _of_table(state["mean"], state["table"])
        found = cls(state["mean"], *(state[name] for name in ("columns", "cuts", "leaves", "usual")))
        found = replace(found, parts=state.get("parts", 1))
        (trees, depth), inputs = found.columns.shape, len(found.usual)
        shapes = (found.cuts.shape, found.leaves.shape, found.usual.shape)
        if shapes != ((trees, depth), (trees, 2**depth), (inputs, 2)):
            raise ValueError(f"a surrogate of shapes {shapes}")
        if found.parts < 1 or trees % found.parts:
            raise ValueError(f"a surrogate of {trees} trees in {found.parts} parts")
        if trees and not (found.columns.min() >= 0 and found.columns.max() < inputs):
            raise ValueError("a surrogate of other inputs")
        if state.get("sizes") is None:
            return found
        sizes = cls.restore(state["sizes"])
        if sizes.inputs != inputs:
            raise ValueError("a surrogate and sizes of other inputs")
        return replace(found, sizes=sizes)


def fit_surrogate(bins: NDArray[np.intp], target: Floats) -> Surrogate:
    """Fit on rows: bins (rows, inputs), target (rows,), NaN rows are left out. Without any row it expects 0."""
    usable = np.flatnonzero(~np.isnan(target))
    if len(usable) > _MAX_ROWS:
        # From everywhere: of a level that wanders, consecutive ones are all at one place.
        usable = usable[np.arange(_MAX_ROWS) * len(usable) // _MAX_ROWS]
    bins, target = bins[usable], target[usable]
    mean = float(target.mean()) if len(target) else 0.0
    left = target - mean
    scale = float(np.abs(left).max(initial=0.0))
    chosen = _most_telling(bins, left)
    if not scale or not chosen:
        return Surrogate(mean, *_no_trees(), _usual(bins))
    columns, cuts, leaves = _boosted(bins[:, chosen], left / scale)
    return Surrogate(mean, np.array(chosen)[columns], cuts, leaves * scale, _usual(bins))


def fit_crosswise(bins: NDArray[np.intp], target: Floats) -> tuple[Surrogate, Floats]:
    """The surrogate of rows in stream order, with sizes, and what health's residuals are: (rows, 2), plain and standardised.

    Each part's are from what the other parts make expect, the sizes of residuals too; NaN where there is nothing to expect from.
    """
    found, expected = _by_others(bins, target)
    residuals = target - expected
    sizes = np.abs(residuals)
    is_known = bool(np.isfinite(sizes).any())
    least = max(_LEAST_SIZE * float(np.nanmedian(sizes)), _LEAST_PART * float(np.nanstd(target))) if is_known else 0.0
    if not least:
        return found, np.stack([residuals, np.full(len(target), np.nan)], axis=1)
    of_sizes, logs = _by_others(bins, np.log(sizes + least))
    return replace(found, sizes=of_sizes), np.stack([residuals, residuals / np.exp(logs)], axis=1)


def _by_others(bins: NDArray[np.intp], target: Floats) -> tuple[Surrogate, Floats]:
    """Surrogates of all parts of the rows (in stream order) but one each, and what they make expect of that one, (rows,); NaN
    where they know nothing.
    """
    parts = next((parts for rows, parts in _PARTS if len(target) < rows), 2)
    edges = np.linspace(0, len(target), parts + 1).astype(int)
    expected, fitted = np.full(len(target), np.nan), []
    for first, end in itertools.pairwise(edges.tolist()):
        others = np.append(np.arange(first), np.arange(end, len(target)))
        if np.isfinite(target[others]).any():
            fitted.append(fit_surrogate(bins[others], target[others]))
            expected[first:end] = fitted[-1].expect(bins[first:end])
    return mean_of(fitted or [fit_surrogate(bins, target)]), expected


def mean_of(fitted: Sequence[Surrogate]) -> Surrogate:
    """The mean of surrogates that look at the same inputs, at least one; each of them is a part of it."""
    mean, parts = sum(one.mean for one in fitted) / len(fitted), len(fitted)
    usual = np.max([one.usual for one in fitted], axis=0)  # a bin that one of them met is one that they know
    if not len(usual):
        return Surrogate(mean, *_no_trees(), usual)
    # One more tree, all of whose leaves are what a part's own mean is beyond that of all.
    trees = max(len(one.cuts) for one in fitted) + 1
    columns, cuts = np.zeros((2, parts, trees, DEPTH), np.int64)
    leaves = np.zeros((parts, trees, 2**DEPTH))
    for place, one in enumerate(fitted):
        own = slice(len(one.cuts))
        columns[place, own], cuts[place, own], leaves[place, own] = one.columns, one.cuts, one.leaves / parts
        leaves[place, -1] = (one.mean - mean) / parts
    each = (columns.reshape(-1, DEPTH), cuts.reshape(-1, DEPTH), leaves.reshape(-1, 2**DEPTH))
    return Surrogate(mean, *each, usual, parts=parts)


def _boosted(bins: NDArray[np.intp], left: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Trees, each fitted on what those before it left: their columns, cuts, leaves."""
    columns, cuts = np.zeros((2, TREES, DEPTH), np.int64)
    leaves = np.zeros((TREES, 2**DEPTH))
    cells = np.arange(bins.shape[1]) * _PLACES + bins
    for tree in range(TREES):
        leaf = np.zeros(len(bins), np.int64)
        for level in range(DEPTH):
            column, cut = _best_cut(cells, bins.shape[1], leaf, 2**level, left)
            columns[tree, level], cuts[tree, level] = column, cut
            leaf = 2 * leaf + (bins[:, column] > cut)
        rows = np.bincount(leaf, minlength=2**DEPTH)
        leaves[tree] = _RATE * np.bincount(leaf, left, minlength=2**DEPTH) / (rows + _RIDGE)
        left = left - leaves[tree][leaf]
    return columns, cuts, leaves


def _best_cut(
    cells: NDArray[np.int64], inputs: int, leaf: NDArray[np.int64], leaves: int, left: Floats
) -> tuple[int, int]:
    """The column and cut that take most off the squared error, in all leaves at once. A cut at NO_BIN divides nothing."""
    shape = (leaves, inputs, _PLACES)
    places = (leaf[:, None] * (inputs * _PLACES) + cells).ravel()
    size = leaves * inputs * _PLACES
    rows = np.bincount(places, minlength=size).reshape(shape).cumsum(axis=2)
    sums = np.bincount(places, np.repeat(left, inputs), minlength=size).reshape(shape).cumsum(axis=2)
    beyond, sums_beyond = rows[:, :, -1:] - rows, sums[:, :, -1:] - sums
    gain = (sums**2 / (rows + _RIDGE) + sums_beyond**2 / (beyond + _RIDGE)).sum(axis=0)
    column, cut = divmod(int(gain.argmax()), _PLACES)
    return column, cut


def _most_telling(bins: NDArray[np.intp], target: Floats) -> list[int]:
    """The columns whose bins tell most of a centred target by themselves, at most _MAX_COLUMNS, in their order."""
    columns = bins.shape[1]
    if columns <= _MAX_COLUMNS:
        return list(range(columns))
    told = []
    for column in range(columns):
        rows = np.bincount(bins[:, column], minlength=_PLACES)
        sums = np.bincount(bins[:, column], target, minlength=_PLACES)
        # What the bins' means take off the squared error, less what chance takes off: one variance a bin.
        told.append(float((sums**2 / np.maximum(rows, 1)).sum()) - float(target.var()) * int((rows > 0).sum()))
    return sorted(sorted(range(columns), key=lambda column: (-told[column], column))[:_MAX_COLUMNS])


def _usual(bins: NDArray[np.intp]) -> NDArray[np.int64]:
    """See `Surrogate.usual`: a value of which nothing was seen is taken for one in the middle."""
    middle = np.median(bins, axis=0).astype(np.int64) if len(bins) else np.zeros(bins.shape[1], np.int64)
    odd = [np.where((bins == place).any(axis=0), place, middle) for place in (UNSEEN, NO_BIN)]
    return np.stack(odd, axis=1)


def _as_usual(bins: NDArray[np.intp], usual: NDArray[np.int64]) -> NDArray[np.intp]:
    is_odd = bins >= UNSEEN
    if not is_odd.any():
        return bins
    rows, columns = np.nonzero(is_odd)
    bins = bins.copy()
    bins[rows, columns] = usual[columns, bins[rows, columns] - UNSEEN]
    return bins


@cache
def _powers(depth: int) -> NDArray[np.float32]:
    """What the answers to a tree's questions are worth in the number of its leaf: floats, which multiply twice as fast."""
    return np.array([2**one for one in range(depth - 1, -1, -1)], np.float32)


def _no_trees() -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    return np.zeros((0, DEPTH), np.int64), np.zeros((0, DEPTH), np.int64), np.zeros((0, 2**DEPTH))


def _of_table(mean: float, table: Floats) -> Surrogate:
    """From what was written before there were trees: a contribution of each bin (inputs, BINS + 1). Expects the same.

    The steps from bin to bin are the cuts; a tree holds DEPTH of them, of one input.
    """
    if table.ndim != 2 or table.shape[1] != _PLACES:
        raise ValueError(f"a surrogate of shape {table.shape}")
    inputs, cuts = len(table), np.arange(-(-BINS // DEPTH) * DEPTH).reshape(-1, DEPTH)
    steps = np.zeros((inputs, cuts.size))
    steps[:, :BINS] = np.diff(table, axis=1)
    answers = (np.arange(2**DEPTH)[:, None] // _powers(DEPTH).astype(int)) % 2
    usual = np.tile(np.array([[UNSEEN, NO_BIN]]), (inputs, 1))
    return Surrogate(
        mean + float(table[:, 0].sum()),
        np.repeat(np.arange(inputs), len(cuts) * DEPTH).reshape(-1, DEPTH),
        np.tile(cuts, (inputs, 1)),
        steps.reshape(-1, DEPTH) @ answers.T.astype(float),
        usual,
    )
