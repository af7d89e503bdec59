"""How inputs go together, in health and now: what the rules about dependence share.

Quantities by their rank correlation. Where a category is one of the two, or two quantities go together otherwise than by rank
(hours and temperatures), by their *association*: how much likelier the two values of a row are together than apart, by a table of
groups learnt from rows of health; its mean is their mutual information I, and √(1 − e^−2I) what a correlation of two normals
with as much information would be.

Belongs here: relations of inputs, and which inputs they point to. Not here: rules (this file has none, and is passed over as
one).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaincc

from whydrift.core.case import Case, ColumnView, correlations
from whydrift.core.columns import Floats
from whydrift.core.combinations import (
    COMBINATIONS,
    GROUPS,
    MAX_INPUTS,
    can_combine,
    groups_of,
    indicators,
    news_of,
    pair_times,
)
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults.inputs import Mask, strength

_MIN_ROWS = 40
_MIN_NEW_ROWS, _MIN_OFF_MODE = 20, 12
"""Rows now; values of each side that are not the most frequent one."""
LOST_Z = 4.0
"""Standard errors by which a relation must have become weaker to count as lost."""
TOLD = 0.25
"""Correlation in health from which a relation can be missed."""
ELSEWHERE_P = 5e-3
"""Chance below which more than one input's relations have changed."""
_SEVERAL_LOST, _HARDLY_P = 3, 2e-4
"""Relations that are clearly lost from which it tells that they are all of one input; the same chance where they are."""
_RANKS = 1.06
"""Standard error of Fisher's transform of a rank correlation of two normals, times the root of the rows."""
_STRONG, _GONE = 0.3, 0.15
"""Correlation in health that a group's members must have lost with all others; what is left of one that is lost."""
_PRIOR_ROWS = 20.0
"""Rows without any association that a table begins with."""
_PROVEN_Z, _MORE = 4.0, 0.15
"""Standard errors from 0 of an association in health that counts; by how much it must exceed the rank correlation."""
_RARE = 0.99
"""Quantile of the scores of health from which an event is new."""


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """Correlations of inputs that have a sample of health, and now.

    was, now: (inputs, inputs); what is an association has no sign. lost: by how many standard errors each has become weaker,
    whatever its sign; changed: by how many it differs, with its sign; both 0 on the diagonal. together: squared correlations of
    the errors of pairs (as `triu_indices` has them), (pairs, pairs).
    """

    names: tuple[str, ...]
    was: Floats
    now: Floats
    lost: Floats
    changed: Floats
    together: Floats

    def elsewhere_p(self, *places: int) -> float:
        """Chance that the relations without these inputs are as far from health as they are: of those that are worth watching.

        Each may be too weak to show by itself; together they tell whether these inputs are all there is to it. Errors of pairs
        hang together (of three inputs two relations tell the third): so many pairs count as fewer (Satterthwaite, 1946).
        """
        is_told = np.triu(self._told_without(*places))
        pairs = is_told[np.triu_indices(len(is_told), 1)]
        count = int(pairs.sum())
        if not count:
            return 1.0
        each = max(float(self.together[np.ix_(pairs, pairs)].sum()) / count, 1.0)
        return float(gammaincc(count / each / 2, (self.changed[is_told] ** 2).sum() / each / 2))

    def may_be_all(self, place: int) -> bool:
        """Whether one input may be all there is to it: without it relations are as in health, or so nearly that few rows may
        look it by chance, and each of several that are clearly lost is its own.
        """
        p = self.elsewhere_p(place)
        clear = np.argwhere(np.triu(np.nan_to_num(self.lost) >= LOST_Z, 1))
        all_its_own = len(clear) >= _SEVERAL_LOST and bool((clear == place).any(axis=1).all())
        return p >= (_HARDLY_P if all_its_own else ELSEWHERE_P)

    def is_told_without(self, place: int) -> bool:
        """Whether each other input goes with a further one in health, so that it would show if its values were another row's."""
        return bool(np.delete(self._told_without(place).any(axis=1), place).all())

    def _told_without(self, *places: int) -> Mask:
        """Which relations can be missed, of pairs without these inputs: (inputs, inputs)."""
        told: Mask = np.nan_to_num(np.abs(self.was)) >= TOLD
        told[places, :] = told[:, places] = False
        np.fill_diagonal(told, False)
        return told


def relations(case: Case) -> Relations | None:
    """How inputs go together in health and now; None where there are fewer than two, or too few rows."""
    views = _comparable(case)
    if len(views) < 2 or len(views[0].current_values) < _MIN_ROWS:
        return None
    first = len(views[0].current_values) // 3  # the first rows may be from before the onset
    return relations_in(views, np.arange(len(views[0].current_values)) >= first)


def goes_with_others(case: Case, name: str) -> bool:
    """Whether an input is clearly seen to go with another one today as it did in health."""
    seen = relations(case)
    if seen is None or name not in seen.names:
        return False
    place = seen.names.index(name)
    rows = len(case.features[name].current_values) * 2 // 3
    still = np.sign(seen.was[place]) * fisher(seen.now[place]) * np.sqrt(rows) / _RANKS
    is_told = np.abs(np.nan_to_num(seen.was[place])) >= TOLD
    is_told[place] = False
    return bool((is_told & (np.nan_to_num(still) >= LOST_Z)).any() and seen.lost[place].max() < LOST_Z)


def _comparable(case: Case) -> list[ColumnView]:
    """The first inputs that have rows of health, and more than one group."""
    known = [view for view in case.features.values() if len(view.reference_values) and can_combine(view.reference)]
    return known[:MAX_INPUTS]


def relations_in(views: Sequence[ColumnView], which: Mask) -> Relations:
    """The same of these inputs and of some of the current rows: (rows,)."""
    names = tuple(view.name for view in views)
    times = np.array([max(view.reference.times.get(g, 1.0) for g in ("centre", "categories")) for view in views])
    is_coded = np.array([view.reference.kind.is_coded for view in views])
    # Codes of categories have no order: they count as missing.
    healthy, latest = (
        [np.full(len(v), np.nan) if code else v for v, code in zip(part, is_coded.tolist(), strict=True)]
        for part in ([view.reference_values for view in views], [view.current_values[which] for view in views])
    )
    return _with_associations(related(names, healthy, latest, times), _groups(views, which), is_coded, times)


def _groups(views: Sequence[ColumnView], which: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Group of each value (`combinations`) in health and now, 0 = none: (rows, inputs) each."""
    groups = [groups_of(view.reference) for view in views]

    def of(columns: Sequence[Floats]) -> NDArray[np.intp]:
        own = [g[v.reference.bins(v.column, values)] for g, v, values in zip(groups, views, columns, strict=True)]
        return np.stack(own, axis=1)

    return of([view.reference_values for view in views]), of([view.current_values[which] for view in views])


def _with_associations(
    seen: Relations, groups: tuple[NDArray[np.intp], NDArray[np.intp]], is_coded: Mask, times: Floats
) -> Relations:
    """The same, where a pair goes together otherwise than by rank, with its association in the place of the correlation."""
    was, now, lost, changed = (one.copy() for one in (seen.was, seen.now, seen.lost, seen.changed))
    together = seen.together.copy()
    others = [[_off_mode(column[column > 0].astype(float)) for column in part.T] for part in groups]
    still = np.min(others, axis=0) < _MIN_OFF_MODE
    for place, (i, j) in enumerate(zip(*np.triu_indices(len(seen.names), 1), strict=True)):
        pair = [int(i), int(j)]
        found = _association(groups[0][:, pair], groups[1][:, pair], float(np.sqrt(times[pair].min())))
        before, after, z = (0.0, 0.0, 0.0) if found is None else found
        if is_coded[i] or is_coded[j] or before > abs(np.nan_to_num(was[i, j])) + _MORE:
            was[i, j] = was[j, i] = before
            now[i, j] = now[j, i] = after
            lost[i, j] = lost[j, i] = z = 0.0 if still[i] or still[j] else z
            changed[i, j] = changed[j, i] = abs(z)
            together[place, :] = together[:, place] = 0.0
            together[place, place] = 1.0
    return Relations(seen.names, was, now, lost, changed, together)


def _association(
    healthy: NDArray[np.intp], latest: NDArray[np.intp], wider: float
) -> tuple[float, float, float] | None:
    """In health and now, as correlations, and by how many standard errors it became weaker; None where health has none.

    healthy, latest: groups of two inputs, (rows, 2). Each half of the rows of health makes a table for the other half.
    """
    healthy, latest = (rows[(rows > 0).all(axis=1)] for rows in (healthy, latest))
    if len(healthy) < _MIN_ROWS or len(latest) < _MIN_NEW_ROWS:
        return None
    half = np.arange(len(healthy)) % 2 == 0
    tables = [_table(healthy[part]) for part in (half, ~half)]
    scores = np.where(half, tables[1][healthy[:, 0], healthy[:, 1]], tables[0][healthy[:, 0], healthy[:, 1]])
    spread = float(scores.std())
    before, after = float(scores.mean()), float(np.mean([t[latest[:, 0], latest[:, 1]].mean() for t in tables]))
    if before <= _PROVEN_Z * wider * spread / np.sqrt(len(healthy)) or spread <= 0:
        return None
    error = wider * spread * np.sqrt(1 / len(healthy) + 1 / len(latest))
    as_correlation = [float(np.sqrt(1 - np.exp(-2 * max(one, 0.0)))) for one in (before, after)]
    return as_correlation[0], as_correlation[1], (before - after) / error


def _table(rows: NDArray[np.intp]) -> Floats:
    """Logarithm of how much likelier two groups are together than apart: (GROUPS, GROUPS)."""
    seen, apart = np.zeros((GROUPS, GROUPS)), _apart(rows)
    np.add.at(seen, (rows[:, 0], rows[:, 1]), 1.0)
    found: Floats = np.log((seen + _PRIOR_ROWS * apart) / (len(rows) + _PRIOR_ROWS) / apart)
    return found


def _apart(rows: NDArray[np.intp]) -> Floats:
    """Chance of two groups where one has nothing to do with the other: (GROUPS, GROUPS)."""
    first, second = (np.bincount(column, minlength=GROUPS) + 0.5 for column in rows.T)
    found: Floats = np.outer(first, second) / (len(rows) + 0.5 * GROUPS) ** 2
    return found


def related(
    names: tuple[str, ...], healthy: list[Floats], latest: list[Floats], times: Floats | None = None
) -> Relations:
    """The same of columns of health and of the latest rows: (rows,) each, NaN where there is no value.

    times: how many values in a row tell as much as one, (columns,).
    """
    was, now = correlations(healthy), correlations(latest)
    # Fisher's transform: a high correlation is known far better than a low one.
    size, together = _errors(healthy, was)
    error = _RANKS * np.sqrt((1 / len(healthy[0]) + 1 / len(latest[0])) * _slowness(was, times))
    # A correlation that has only turned round is not lost: that is a change of sign.
    lost = (np.abs(fisher(was)) - np.abs(fisher(now))) / error
    # A small sample without the few rows of health that are far off the line looks closer than health; none looks as mixed up.
    changed = np.abs(fisher(was) - fisher(now)) / np.where(lost < 0, size * error, error)
    # Of a quantity that stands still just now, or nearly always, nobody knows what it goes with.
    still = np.array([min(map(_off_mode, pair)) < _MIN_OFF_MODE for pair in zip(healthy, latest, strict=True)])
    is_unknown = ~np.isfinite(now) | np.eye(len(now), dtype=bool) | still[:, None] | still
    lost[is_unknown] = changed[is_unknown] = 0.0
    return Relations(names, was, now, lost, changed, together)


def _off_mode(values: Floats) -> int:
    """Values other than the most frequent one."""
    _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return int(counts.sum() - counts.max(initial=0))


def _errors(healthy: list[Floats], was: Floats) -> tuple[Floats, Floats]:
    """How many times as large the error of each rank correlation is as that of normals, at least 1 (inputs, inputs); and of each
    two pairs the squared correlation of their errors (pairs, pairs).

    From what single rows of health do to it (influence functions; Devlin, Gnanadesikan, Kettenring, 1975).
    """
    ranks = np.stack([_standard_ranks(values) for values in healthy])
    first, second = np.triu_indices(len(ranks), 1)
    rho = np.clip(np.nan_to_num(was[first, second]), -0.99, 0.99)[:, None]
    u, v = ranks[first], ranks[second]
    influence = np.nan_to_num((u * v - rho * (u**2 + v**2) / 2) / (1 - rho**2))
    size = np.sqrt((influence**2).mean(axis=1))
    wider = np.ones_like(was)
    wider[first, second] = wider[second, first] = np.maximum(size, 1.0)
    scaled = influence / np.maximum(size, 1e-12)[:, None]
    squared = (scaled @ scaled.T / ranks.shape[1]) ** 2
    # By chance alone, errors of so many rows are a little alike.
    together: Floats = np.maximum(squared - (1 - squared) / ranks.shape[1], 0.0)
    np.fill_diagonal(together, 1.0)
    return wider, together


def _standard_ranks(values: Floats) -> Floats:
    """Ranks with mean 0 and variance 1, NaN where there is no value."""
    known = np.sort(values[~np.isnan(values)])
    ranks = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right").astype(float)
    ranks[np.isnan(values)] = np.nan
    if not len(known) or known[0] == known[-1]:
        return np.full(len(values), np.nan)
    found: Floats = (ranks - np.nanmean(ranks)) / np.nanstd(ranks)
    return found


def _slowness(was: Floats, times: Floats | None) -> Floats:
    """By how much correlations of few rows vary more where both columns are slow: what they do not have in common wanders."""
    if times is None:
        return np.ones_like(was)
    found: Floats = 1 + (np.minimum(times[:, None], times[None, :]) - 1) * (1 - np.nan_to_num(was) ** 2)
    return found


def fisher(correlation: Floats) -> Floats:
    """Fisher's transform, by which a high correlation is known as well as a low one."""
    found: Floats = np.arctanh(np.clip(np.nan_to_num(correlation), -0.99, 0.99))
    return found


def joined_group(seen: Relations) -> list[str]:
    """The smaller of two groups of inputs that keep together and have lost each other altogether; [] where there are none.

    Of two equal ones the first: which of them is wrong, nobody can tell from inputs.
    """
    was, now = np.nan_to_num(seen.was), np.nan_to_num(seen.now)
    strong = np.abs(was) >= _STRONG
    np.fill_diagonal(strong, False)
    gone = strong & (np.abs(now) < _GONE)
    count, labels = connected_components(strong & ~gone, directed=False)
    groups = [np.flatnonzero(labels == label).tolist() for label in range(count)]
    torn = [group for group in groups if gone[np.ix_(group, [i for i in range(len(was)) if i not in group])].any()]
    if len(torn) != 2 or min(len(group) for group in torn) < 2:
        return []
    kept = strong & ~gone & (seen.changed > LOST_Z)
    if kept.any():
        return []  # what is left within a group has changed as well
    return [seen.names[place] for place in min(torn, key=lambda group: (len(group), group))]


@dataclass(frozen=True, slots=True, eq=False)
class NewPairs:
    """Which pairs of inputs are new together. is_new: of the latest `rows` events, which are; news (new events, inputs, inputs):
    how new each pair is in each."""

    views: tuple[ColumnView, ...]
    rows: int
    is_new: Mask
    news: Floats

    @property
    def newest(self) -> tuple[int, int]:
        """The pair that is newest in all of them together."""
        by_pair = self.news.sum(axis=0)
        first, second = np.unravel_index(int(np.argmax(by_pair)), by_pair.shape)
        return int(first), int(second)

    @property
    def names(self) -> list[str]:
        """Of the newest pair; [] where nothing is new."""
        return [self.views[place].name for place in self.newest] if self.news.any() else []

    def corner_against_mix(self, inside: Mask) -> float:
        """Log-likelihood of the newest pair's latest rows by which a share of them from the cells of those `inside` beats a share
        whose two values come from different rows: these fill all corners, and loosen the relation everywhere."""
        pair = [self.views[place] for place in self.newest]
        count = len(pair[0].current_values)
        healthy, latest = _groups(pair, np.arange(count) >= count - self.rows)
        healthy = healthy[(healthy > 0).all(axis=1)]
        together, apart = np.exp(_table(healthy)), _apart(healthy)
        usable = (latest > 0).all(axis=1)
        cells = np.zeros((GROUPS, GROUPS))
        cells[latest[inside & usable, 0], latest[inside & usable, 1]] = 1.0
        corner = cells * apart
        rows = latest[usable, 0], latest[usable, 1]
        usual = (together * apart)[rows]
        shares = np.linspace(0.02, 0.98, 25)[:, None]
        mixed, cornered = (
            float(np.log((1 - shares) * usual + shares * other[rows]).sum(axis=1).max())
            for other in (apart, corner / max(corner.sum(), 1e-12))
        )
        return cornered - mixed


@lru_cache(maxsize=8)
def new_pairs(case: Case) -> NewPairs | None:
    """None where there are too few rows."""
    views, scores = _comparable(case), case.dependence.get(COMBINATIONS)
    if scores is None or len(views) < 2:
        return None
    rows = min(len(scores.current_values), len(views[0].current_values))
    rows -= rows // 3  # the first rows may be from before the onset
    is_new: Mask = scores.current_values[-rows:] > max(scores.reference.quantile(_RARE), 0.0)
    if rows < _MIN_NEW_ROWS or not is_new.any():
        return None
    groups = np.array([groups_of(view.reference) for view in views])

    def is_in(columns: Sequence[Floats]) -> NDArray[np.float32]:
        bins = [view.reference.bins(view.column, values) for view, values in zip(views, columns, strict=True)]
        return indicators(groups, np.stack(bins, axis=1))

    healthy = is_in([view.reference_values for view in views])
    table = news_of(healthy, pair_times([view.reference for view in views], len(healthy)))
    latest = is_in([view.current_values[-rows:][is_new] for view in views])
    own = np.nonzero(latest)[1].reshape(len(latest), len(views))
    return NewPairs(tuple(views), rows, is_new, table[own[:, :, None], own[:, None, :]].astype(float))


def unrelated(case: Case) -> list[ColumnView]:
    """Inputs without an alarm of their own whose relation to the others has changed, most evidence first."""
    found = [
        (strength(left), name.removeprefix(DEPENDENCE)) for name, left in case.dependence.items() if left.is_alarmed()
    ]
    names = [name for _, name in sorted(found, key=lambda pair: (-pair[0], pair[1]))]
    scores = case.dependence.get(COMBINATIONS)
    if scores is not None and scores.is_alarmed() and (new := new_pairs(case)) is not None:
        names += new.names
    chosen = [case.features[name] for name in dict.fromkeys(names) if name in case.features]
    return [view for view in chosen if not view.is_alarmed()]
