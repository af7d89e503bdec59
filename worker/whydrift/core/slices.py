"""The guilty slice: the smallest part of the traffic that carries a departure, while the rest is as before.

A slice is one value of a dimension (a segment, the replica, the version, who labelled), or one value of each of two. Rows are
scored by how much more likely they are now than in health; a slice is guilty where its rows score higher than *its own* rows of
health, and all others do not. So a mix of segments that shifts makes nobody guilty (Simpson's paradox). Small counts, departures
that are everywhere, and those in two values at once give no answer.

Each value's score is told by the other half of the rows (cross-fitting), or chance would score itself. Rows are the retained
ones: some 500 of health, at most 600 now, however much comes.

Belongs here: the search, and the slice in words. Not here: which departure is looked at (`diagnose`, `faults`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from whydrift.core.case import Aligned, AlignedRows, Dimension
from whydrift.core.columns import Floats
from whydrift.core.dimensions import SEGMENT

Mask = NDArray[np.bool_]

LEAST_NOW, LEAST_BEFORE = 6, 12
"""Rows of a slice, now and in health, that it takes to compare them."""
_MOST_VALUES = 16
"""Values of a dimension that are looked at, the most frequent ones now."""
_P = 1e-3
"""Chance, over all slices looked at of dimensions that are not expected, that one stands out so far where all depart alike."""
_EXPECTED_Z = 2.0
"""Standard errors by which a value of an expected dimension must stand out, in the whole and in the first slice's rows."""
_REST = 1 / 3
"""A slice is guilty if all others together depart less than this part of what it does, with a standard error added; that it
stands out from them is asked besides."""
_REST_Z = 3.0
"""Standard errors within which the rest counts as unchanged."""
_SAME = 0.95
"""Slices that have so much of their rows in common cannot be told apart."""
_BINS, _ATOMS = 10, 6
_TAILS, _LARGE = (0.01, 0.99), (0.95, 0.99, 1.0)
_PRIOR_ROWS = 10.0
"""Rows as in health that are added to those of now: where few rows have a value, little is known of it."""
_LARGEST_SCORE = 4.0
EXCHANGEABLE = ("replica", "version", "source")
"""Their values come and go, and get the same kind of cases: one that health has no rows of is compared with all of health."""
_WORDS = {"replica": "on {}", "version": "with version {}", "source": "by labels of {}"}
_MAX_NAME = 30


@dataclass(frozen=True, slots=True)
class Slice:
    """parts: (dimension, value), one or two, as `AlignedRows.dimensions` has them. share: of the current rows.

    twins: other slices that have (nearly) the same rows, so that the data cannot tell which of them it is.
    """

    parts: tuple[tuple[str, str], ...]
    share: float
    twins: tuple[tuple[str, str], ...] = ()

    @property
    def replica(self) -> str | None:
        return dict(self.parts).get("replica")

    @property
    def segment(self) -> Mapping[str, str] | None:
        """Every part but the replica, by key; None where there is none."""
        found = {name.removeprefix(SEGMENT): value for name, value in self.parts if name != "replica"}
        return found or None

    def of(self, rows: AlignedRows) -> Mask:
        """Which rows are in it: (rows,)."""
        inside = np.ones(len(rows), bool)
        for name, value in self.parts:
            groups = rows.dimensions[name].groups() if name in rows.dimensions else {}
            inside &= groups.get(value, np.zeros(len(rows), bool))
        return inside

    @property
    def where(self) -> str:
        """Such as "in country=de on pod-2"."""
        return " ".join(_where(*part) for part in sorted(self.parts, key=lambda part: part[0] == "replica"))

    @property
    def told(self) -> str:
        """A sentence."""
        also = f" These are the same rows as those {_where(*self.twins[0])}." if self.twins else ""
        return f"Only {self.where}, {100 * self.share:.2g} % of the rows; the rest is as before.{also}"


def _where(name: str, value: str) -> str:
    value = value if len(value) <= _MAX_NAME else f"{value[: _MAX_NAME - 1]}…"
    return _WORDS.get(name, f"in {name.removeprefix(SEGMENT)[:_MAX_NAME]}={{}}").format(value)


def guilty_slice(
    rows: Aligned, before: Floats, now: Floats, *, is_loss: bool = False, expected: str = ""
) -> Slice | None:
    """The slice that carries the departure of a quantity; None where none does, or where too little is known to say.

    before: (rows of health,), now: (current rows,): its values in these rows, NaN where there is none, which counts as a value.
    is_loss: only more of it is a departure, and rows without it tell nothing. expected: a dimension that something else points
    to, of whose values less is asked.
    """
    search = _search(rows, before, now, is_loss=is_loss, expected=expected)
    everything = np.ones(len(search.now), bool), np.ones(len(search.before), bool)
    first = search.best(everything)
    if first is None:
        return None
    # Smaller still, where that part of the slice has it all.
    second = search.best(first.masks, known=frozenset(name for name, _ in first.parts))
    chosen = first if second is None else second
    parts = first.parts if second is None else first.parts + second.parts
    return Slice(parts, float(chosen.masks[0].mean()), chosen.twins)


# -- scores ------------------------------------------------------------------------------------------------------


def _search(rows: Aligned, before: Floats, now: Floats, *, is_loss: bool, expected: str) -> "_Search":
    dimensions = rows.current.dimensions, rows.reference.dimensions
    if is_loss:
        there = ~np.isnan(now), ~np.isnan(before)
        now, before = now[there[0]], before[there[1]]
        dimensions = _kept(dimensions[0], there[0]), _kept(dimensions[1], there[1])
    return _Search(*_scores(before, now, is_loss=is_loss), *dimensions, is_loss, expected)


def _kept(dimensions: Mapping[str, Dimension], rows: Mask) -> Mapping[str, Dimension]:
    return {name: Dimension(one.codes[rows], one.names) for name, one in dimensions.items()}


def _scores(before: Floats, now: Floats, *, is_loss: bool) -> tuple[Floats, Floats]:
    """How much more likely each row's value is now than in health, as a logarithm, told by the other half: (now), (before).

    Of losses the greater the likelier: a few that are far out count, how most of them are ordered does not.
    """
    places, size = _loss_bins(before, now) if is_loss else _bins(before, now)
    then, today = places[: len(before)], places[len(before) :]
    halves = _half(len(before)), _half(len(now))
    scores = np.zeros(len(today)), np.zeros(len(then))
    for half in (False, True):
        usual = np.bincount(then[halves[0] == half], minlength=size) + 0.5
        usual = usual / usual.sum()
        seen = np.bincount(today[halves[1] == half], minlength=size) + _PRIOR_ROWS * usual
        table = np.clip(np.log(seen / seen.sum() / usual), -_LARGEST_SCORE, _LARGEST_SCORE)
        table = isotonic_regression(table, weights=usual).x if is_loss else table
        scores[0][halves[1] != half] = table[today[halves[1] != half]]
        scores[1][halves[0] != half] = table[then[halves[0] != half]]
    return scores


def _half(rows: int) -> Mask:
    """Which half each row belongs to: scattered, for replicas may take turns."""
    scattered: Mask = (np.arange(rows, dtype=np.uint64) * np.uint64(2_654_435_761) >> np.uint64(13)) % np.uint64(2) == 0
    return scattered


def _loss_bins(before: Floats, now: Floats) -> tuple[NDArray[np.intp], int]:
    """Bin of each row of both by quantiles of health, more of them where losses are large; and how many bins there are."""
    shares = [*np.linspace(0, 1, _BINS + 1)[1:-1], *_LARGE]
    edges = np.unique(np.quantile(before, shares)) if len(before) else np.empty(0)
    return np.searchsorted(edges, np.concatenate([before, now]), "left").astype(np.intp), len(edges) + 1


def _bins(before: Floats, now: Floats) -> tuple[NDArray[np.intp], int]:
    """Bin of each row of both, and how many bins there are: quantiles of health, frequent values, and "none" for NaN."""
    both = np.concatenate([before, now])
    there = ~np.isnan(both)
    health = before[~np.isnan(before)]
    edges = np.empty(0)
    if len(health):
        edges = np.unique(np.quantile(health, [0.0, _TAILS[0], *np.linspace(0, 1, _BINS + 1)[1:-1], _TAILS[1], 1.0]))
    found = np.full(len(both), len(edges) + 1, np.intp)
    found[there] = np.searchsorted(edges, both[there], "left")
    size = len(edges) + 2
    for side in (before, now):
        values, counts = np.unique(side[~np.isnan(side)], return_counts=True)
        for place in np.argsort(-counts, kind="stable")[:_ATOMS]:
            if counts[place] > 0.02 * len(side):
                found[both == values[place]] = size
                size += 1
    return found, size


# -- search ------------------------------------------------------------------------------------------------------

Masks = tuple[Mask, Mask]
"""Rows now, rows of health."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    parts: tuple[tuple[str, str], ...]
    masks: Masks
    z: float
    twins: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Search:
    """Scores of the rows now and of those of health, and what divides them."""

    now: Floats
    before: Floats
    dimensions_now: Mapping[str, Dimension]
    dimensions_before: Mapping[str, Dimension]
    is_loss: bool
    expected: str

    def best(self, within: Masks, known: frozenset[str] = frozenset()) -> _Candidate | None:
        """The guilty slice among these rows, by dimensions that are not `known`."""
        if self.now[within[0]].size < 2 * LEAST_NOW:
            return None
        divided = [(name, *self._divided(name, within)) for name in sorted(self.dimensions_now) if name not in known]
        tried = sum(len(groups) for _, groups, _ in divided)
        least_z = -float(ndtri(_P / max(tried, 1)))
        found = [
            one
            for name, groups, others in divided
            for one in self._guilty(name, groups, others, _EXPECTED_Z if name == self.expected else least_z)
        ]
        if not found:
            return None
        best = max(found, key=lambda one: one.z)
        twins = [one.parts[0] for one in found if one is not best and _overlap(one.masks[0], best.masks[0]) >= _SAME]
        return _Candidate(best.parts, best.masks, best.z, tuple(twins))

    def _divided(self, name: str, within: Masks) -> tuple[dict[str, Masks], Masks | None]:
        """Rows of each value that can be compared with health, and of all others together; ({}, None) where nothing divides."""
        now, before = self.dimensions_now[name], self.dimensions_before.get(name)
        then = {} if before is None else before.groups()
        is_open = name in EXCHANGEABLE
        groups: dict[str, Masks] = {}
        told = np.zeros(len(self.now), bool)
        for value, mask in now.groups().items():
            mask = mask & within[0]
            own = then.get(value)
            own = np.zeros(len(self.before), bool) if own is None else own & within[1]
            if own.sum() < LEAST_BEFORE and is_open:
                own = within[1]
            if mask.sum() >= LEAST_NOW and own.sum() >= LEAST_BEFORE:
                groups[value] = mask, own
                told |= mask
        rest = within[0] & ~told
        if len(groups) + bool(rest.any()) < 2:
            return {}, None
        frequent = sorted(groups, key=lambda value: (-int(groups[value][0].sum()), value))[:_MOST_VALUES]
        told = np.logical_or.reduce([groups[value][0] for value in frequent])
        rest = within[0] & ~told
        if not rest.any():
            return {value: groups[value] for value in frequent}, None
        # Rare values, new ones, and rows without any, against what is in health beside the frequent ones.
        usual = within[1] & ~np.logical_or.reduce(
            [then.get(value, np.zeros(len(self.before), bool)) for value in frequent]
        )
        if usual.sum() < LEAST_BEFORE:
            usual = within[1]
        return {value: groups[value] for value in frequent}, (rest, usual)

    def _guilty(
        self, name: str, groups: Mapping[str, Masks], others: Masks | None, least_z: float
    ) -> Iterator[_Candidate]:
        for value, masks in groups.items():
            effect, _ = self._effect([masks])
            if effect <= 0:
                continue
            rest = [groups[other] for other in groups if other != value] + ([] if others is None else [others])
            left, left_error = self._effect(rest)
            risen = left if self.is_loss else abs(left)
            if risen + left_error > _REST * effect or abs(left) > _REST_Z * left_error:
                continue
            z = (effect - left) / self._contrast_error(masks, rest)
            if z >= least_z:
                yield _Candidate(((name, value),), masks, z)

    def _contrast_error(self, masks: Masks, rest: list[Masks]) -> float:
        """Standard error of the difference between a slice and the rest, if today's scores were alike in both."""
        here, there = masks[0], np.logical_or.reduce([now for now, _ in rest])
        spread = _variance(self.now[here | there], self._span)
        health = self._effect_variance([masks], is_health=True) + self._effect_variance(rest, is_health=True)
        return sqrt(spread * (1 / here.sum() + 1 / there.sum()) + health)

    def _effect(self, strata: list[Masks]) -> tuple[float, float]:
        """Mean rise of the score over rows now, each stratum against its own rows of health, and its standard error."""
        total = sum(int(now.sum()) for now, _ in strata)
        effect = sum(
            now.sum() / total * float(self.now[now].mean() - self.before[before].mean()) for now, before in strata
        )
        variance = self._effect_variance(strata, is_health=False) + self._effect_variance(strata, is_health=True)
        return float(effect), sqrt(max(variance, 1e-24))

    def _effect_variance(self, strata: list[Masks], *, is_health: bool) -> float:
        """The part of an effect's variance that comes from the rows of health, or from those of now."""
        total, found = sum(int(now.sum()) for now, _ in strata), 0.0
        for now, before in strata:
            rows = self.before[before] if is_health else self.now[now]
            found += float((now.sum() / total) ** 2 * _variance(rows, self._span) / len(rows))
        return found

    @property
    def _span(self) -> float:
        return float(np.ptp(np.concatenate([self.now, self.before])))


def _variance(values: Floats, span: float) -> float:
    """Variance, as if half a value more were at the other end: of few values that are all alike, little is known."""
    return float((((values - values.mean()) ** 2).sum() + 0.25 * span**2) / len(values))


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))
