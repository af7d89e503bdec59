"""A stand-in for the watched model: what prediction do these inputs make expect?

Boosted oblivious trees over the bins of the inputs: all nodes of a level ask the same question, so that a tree is `DEPTH`
comparisons and one look-up. They need no scaling, take missing values and categories as they are, and know interactions. The
residual `s − f(x)` tells "the model broke" (residual moves) from "the world changed" (inputs move, residual stays), before a
label arrives.

Residuals of rows fitted on would be too narrow: those of health are crosswise, each half of the rows by the surrogate of the
other. Halves of consecutive rows, because neighbours may be much the same: where inputs wander off for a while, the other
half's errs as this one will next time (cross-validation of dependent rows: Burman, Chow and Nolan 1994; Roberts et al. 2017).
The surrogate of all rows, by which later ones are judged, errs a little less.

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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats
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
_FEW_ROWS, _PARTS_OF_FEW = 400, 5
"""Rows below which so many parts, and not two, are each told by the others: of 200 rows, half fit twice as badly as all do, and
that residuals are narrower than in health would be said of the model."""
_PLACES = BINS + 1


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """columns, cuts (trees, depth): is the bin of that column beyond the cut? leaves (trees, 2 ** depth): what a tree adds.

    usual (inputs, 2): the bin that UNSEEN and NO_BIN count as; where the rows fitted on had such values, themselves.
    sizes: expects the natural logarithm of the residual's size; None where that is not known.
    """

    mean: float
    columns: NDArray[np.int64]
    cuts: NDArray[np.int64]
    leaves: Floats
    usual: NDArray[np.int64]
    sizes: "Surrogate | None" = None

    @property
    def inputs(self) -> int:
        """How many inputs it looks at rows by."""
        return len(self.usual)

    def expect(self, bins: NDArray[np.intp]) -> Floats:
        """Expected prediction of rows given the inputs' bins (rows, inputs) → (rows,)."""
        trees, depth = self.cuts.shape
        if not trees:
            return np.full(len(bins), self.mean)
        is_beyond = _as_usual(bins, self.usual)[:, self.columns.ravel()] > self.cuts.ravel()
        leaf = is_beyond.reshape(len(bins), trees, depth) @ _powers(depth)
        added: Floats = self.leaves.ravel()[leaf + np.arange(trees) * self.leaves.shape[1]].sum(axis=1)
        return self.mean + added

    def knows(self, bins: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of which rows all values are such as it was fitted on, as far as missing and new ones go: (rows,)."""
        found: NDArray[np.bool_] = (_as_usual(bins, self.usual) == bins).all(axis=1)
        return found

    def standardised(self, residuals: Floats, bins: NDArray[np.intp]) -> Floats:
        """Residuals of rows over the size that is usual for such inputs; NaN where that is not known."""
        if self.sizes is None:
            return np.full(len(residuals), np.nan)
        found: Floats = residuals / np.exp(self.sizes.expect(bins))
        return found

    def averaged(self, other: "Surrogate") -> "Surrogate":
        """The mean of two that look at the same inputs."""
        return Surrogate(
            (self.mean + other.mean) / 2,
            np.concatenate([self.columns, other.columns]),
            np.concatenate([self.cuts, other.cuts]),
            np.concatenate([self.leaves, other.leaves]) / 2,
            # A bin that one of them met is one that they know.
            np.maximum(self.usual, other.usual),
        )

    def snapshot(self) -> dict[str, Any]:
        parts = {"columns": self.columns, "cuts": self.cuts, "leaves": self.leaves, "usual": self.usual}
        return {"mean": self.mean, **parts, "sizes": None if self.sizes is None else self.sizes.snapshot()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Surrogate":
        """Raises ValueError where the parts do not fit together."""
        if "table" in state:
            return _of_table(state["mean"], state["table"])
        found = cls(state["mean"], *(state[name] for name in ("columns", "cuts", "leaves", "usual")))
        (trees, depth), inputs = found.columns.shape, len(found.usual)
        shapes = (found.cuts.shape, found.leaves.shape, found.usual.shape)
        if shapes != ((trees, depth), (trees, 2**depth), (inputs, 2)):
            raise ValueError(f"a surrogate of shapes {shapes}")
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
    residuals = target - _by_others(bins, target)
    found, sizes = fit_surrogate(bins, target), np.abs(residuals)
    is_known = bool(np.isfinite(sizes).any())
    least = max(_LEAST_SIZE * float(np.nanmedian(sizes)), _LEAST_PART * float(np.nanstd(target))) if is_known else 0.0
    if not least:
        return found, np.stack([residuals, np.full(len(target), np.nan)], axis=1)
    logs = np.log(sizes + least)
    standardised = residuals / np.exp(_by_others(bins, logs))
    return replace(found, sizes=fit_surrogate(bins, logs)), np.stack([residuals, standardised], axis=1)


def _by_others(bins: NDArray[np.intp], target: Floats) -> Floats:
    """What the others make expect of each part of the rows, in stream order; NaN where they know nothing."""
    edges = np.linspace(0, len(target), (_PARTS_OF_FEW if len(target) < _FEW_ROWS else 2) + 1).astype(int)
    expected = np.full(len(target), np.nan)
    for first, end in itertools.pairwise(edges.tolist()):
        others = np.append(np.arange(first), np.arange(end, len(target)))
        if np.isfinite(target[others]).any():
            expected[first:end] = fit_surrogate(bins[others], target[others]).expect(bins[first:end])
    return expected


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


def _powers(depth: int) -> NDArray[np.int64]:
    """What the answers to a tree's questions are worth in the number of its leaf."""
    found: NDArray[np.int64] = 2 ** np.arange(depth - 1, -1, -1, dtype=np.int64)
    return found


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
    answers = (np.arange(2**DEPTH)[:, None] // _powers(DEPTH)) % 2
    usual = np.tile(np.array([[UNSEEN, NO_BIN]]), (inputs, 1))
    return Surrogate(
        mean + float(table[:, 0].sum()),
        np.repeat(np.arange(inputs), len(cuts) * DEPTH).reshape(-1, DEPTH),
        np.tile(cuts, (inputs, 1)),
        steps.reshape(-1, DEPTH) @ answers.T.astype(float),
        usual,
    )
