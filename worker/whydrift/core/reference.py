"""What one column looks like in health, and how its values fall into bins.

Belongs here: the reference of a column, made from rows; binning rows by references. Not here: when to learn
(`monitor`), bets (`detectors`), files (`profile`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whydrift.core.autocorrelation import CHANCE, NUMERIC_GROUPS, category_times, flag_times, numeric_times
from whydrift.core.columns import OVERFLOW, Column, Floats, Kind, Presence, Presences
from whydrift.core.conditional import Conditional

BINS = 32
"""Bins of every column. Unused ones have no mass; the last is UNSEEN for categories."""
UNSEEN = BINS - 1
NO_BIN = BINS
"""Where rows without a usable value go."""

GRID = (0.002, 0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99, 0.998)
"""Quantiles between bins (detection.md)."""
QUANTILES = 201
"""Quantiles kept of a numeric column, evenly spaced from the minimum to the maximum."""
_GRID_OF_QUANTILES = np.linspace(0, 1, QUANTILES)
REPEAT_WINDOW = 32
"""A value counts as repeated when it equals one of this many values before it."""
MAX_CATEGORIES = 500
_HEAVY = 0.04
"""Of more than UNSEEN categories, those with at least this share have a bin of their own; the others share bins by their hash.

By hash and not by rank: the most frequent of many like ones are so by luck, and their rate falls back afterwards.
"""
_MAX_HEAVY = 20
_FREQUENT = 4 / MAX_CATEGORIES
_UNSEEN_Z = 3.5
_ATOM = 0.04
"""A value with at least this share of a numeric column has a bin of its own."""
_MAX_ATOMS = 11
"""Each atom takes two edges of the BINS − 1; the rest go to the quantile grid."""
_DISCRETE = 24
"""A numeric column with at most this many distinct values is discrete: another value is *unseen*."""


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReference:
    """One column in health.

    rows: rows the reference rests on, of which `null`, `absent` and `foreign` had no usable value; n: the others.
    repeated of n values equalled one of the REPEAT_WINDOW before them; distinct: number of distinct values.
    Numeric (and embedding norms): `edges` between bins, `quantiles` (QUANTILES,), `atoms` (value → share, ≥ 1 %).
    Coded: `shares` by category, most frequent first.
    singletons: values that stand for those never seen: the ones seen once (Good-Turing), and the ones too many to be kept.
    masses: share of each bin, (BINS,). UNSEEN has a mass beside those of the seen.
    times: where values hang together, how many in a row tell as much as one (`autocorrelation`), by group of bets and by flag.
    given: what is left of the values given the hour, or the value before, by aspect (`conditional`). All else is of the values.
    """

    name: str
    kind: Kind
    rows: int
    null: int
    absent: int
    foreign: int
    repeated: int
    distinct: int
    masses: Floats
    edges: Floats
    quantiles: Floats
    atoms: Mapping[float, float]
    shares: Mapping[str, float]
    singletons: int
    dimension: int = 0
    times: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, Conditional] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Usable values."""
        return self.rows - self.null - self.absent - self.foreign

    @property
    def is_discrete(self) -> bool:
        """Whether every value a numeric column may have is known."""
        return not self.kind.is_coded and 0 < self.distinct <= _DISCRETE

    @property
    def unseen_ones(self) -> float:
        """As many values in n as the upper limit of the rate of never seen categories can be reckoned from as if counted.

        Good-Turing's own error is √(N1 + 2 N2) of n, not √N1: where most categories were seen two or three times, one that
        was missed by chance has a large share. The limit is meant about _UNSEEN_Z standard deviations up.
        """
        twice = sum(1 for share in self.shares.values() if round(share * self.n) == 2)
        return _unseen_ones(self.singletons, twice, self.n)

    @property
    def used_bins(self) -> NDArray[np.intp]:
        """The bins a value can fall into."""
        if not self.kind.is_coded:
            return np.arange(len(self.edges) + 1)
        return np.append(np.flatnonzero(self.masses[:UNSEEN]), UNSEEN)

    @property
    def low(self) -> float:
        return float(self.quantiles[0])

    @property
    def high(self) -> float:
        return float(self.quantiles[-1])

    def quantile(self, p: float) -> float:
        """Quantile of a numeric column, p in [0, 1], interpolated."""
        return float(np.interp(p, _GRID_OF_QUANTILES, self.quantiles))

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def spread(self) -> float:
        """Interquartile range in units of a normal's standard deviation; falls back to the range, then to 0."""
        iqr = (self.quantile(0.75) - self.quantile(0.25)) / 1.349
        return iqr if iqr > 0 else (self.high - self.low) / 4

    def bins(self, column: Column, values: Floats) -> NDArray[np.intp]:
        """Bin of each value; NaN goes to NO_BIN. `column` is the live column, whose vocabulary the codes are in."""
        usable = ~np.isnan(values)
        found = np.full(len(values), NO_BIN, np.intp)
        if self.kind.is_coded:
            found[usable] = self.lookup(column)[values[usable].astype(np.intp)]
        else:
            found[usable] = np.searchsorted(self.edges, values[usable], side="right")
        return found

    def lookup(self, column: Column) -> NDArray[np.intp]:
        """Bin of each code of the live vocabulary, and of the overflow code after it."""
        known = category_bins(self.shares)
        table = [known.get(name, UNSEEN) for name in column.codes]
        return np.array(table + [UNSEEN] * (_MAX_CODES - len(table)), np.intp)

    def at_hours(self, hourly: Conditional, times_ms: NDArray[np.int64]) -> "ColumnReference":
        """The reference as it is at these hours: what a season does is no part of it."""
        values = np.sort(hourly.healthy_at(times_ms))
        if not len(values):
            return self
        distinct, counts = np.unique(values, return_counts=True)
        edges = _edges(values, distinct, counts / len(values))
        found = np.bincount(np.searchsorted(edges, values, side="right"), minlength=BINS)
        flags = {name: time for name, time in self.times.items() if name not in NUMERIC_GROUPS}
        return replace(
            self,
            edges=edges,
            masses=found / len(values),
            quantiles=np.quantile(values, _GRID_OF_QUANTILES),
            times={**flags, **hourly.times},
        )

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__slots__}
        state["kind"] = str(self.kind)
        state["atoms"] = [list(self.atoms), list(self.atoms.values())]
        state["shares"] = [list(self.shares), list(self.shares.values())]
        state["times"] = dict(self.times)
        state["given"] = {aspect: one.snapshot() for aspect, one in self.given.items()}
        return state

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "ColumnReference":
        fields = dict(state)
        fields["kind"] = Kind(fields["kind"])
        fields["atoms"] = dict(zip(*fields["atoms"], strict=True))
        fields["shares"] = dict(zip(*fields["shares"], strict=True))
        # References from before there were any have none.
        fields["given"] = {aspect: Conditional.restore(one) for aspect, one in fields.get("given", {}).items()}
        return cls(**fields)


_MAX_CODES = 1_001  # columns.MAX_VOCABULARY and the overflow


def learn_column(column: Column, values: Floats, presence: Presences, chance: float = CHANCE) -> ColumnReference:
    """The reference of one column from its rows in stream order: values (rows,), presence (rows,).

    chance: see `autocorrelation.integrated_time`.
    """
    usable = values[presence == Presence.PRESENT]
    repeated = repeats(np.full((REPEAT_WINDOW, 1), np.nan), values[:, None])[:, 0]
    common: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "rows": len(values),
        "null": int((presence == Presence.NULL).sum()),
        "absent": int((presence == Presence.ABSENT).sum()),
        "foreign": int((presence == Presence.FOREIGN).sum()),
        "repeated": int(repeated.sum()),
        "dimension": column.dimension,
    }
    found = _learn_coded(column, usable, common) if column.kind.is_coded else _learn_numeric(usable, common)
    is_missing = (presence == Presence.NULL) | (presence == Presence.ABSENT)
    flags = {"missing": is_missing, "type": presence == Presence.FOREIGN, "repeated": repeated}
    return replace(found, times=_times(found, column, usable, chance) | flag_times(flags, chance))


def _times(reference: ColumnReference, column: Column, values: Floats, chance: float) -> dict[str, float]:
    """How the values hang together, in stream order."""
    bins = reference.bins(column, values)
    if reference.kind.is_coded:
        return category_times(bins, chance)
    return numeric_times(reference.masses[reference.used_bins], bins, chance)


def _learn_coded(column: Column, codes: Floats, common: dict[str, Any]) -> ColumnReference:
    values, counts = np.unique(codes[codes < OVERFLOW], return_counts=True)
    n = max(len(codes), 1)
    names = column.categories()
    # Ties are broken by name, so that the order never depends on which value came first.
    ranked = sorted(
        ((names[int(code)], int(count)) for code, count in zip(values, counts, strict=True)),
        key=lambda pair: (-pair[1], pair[0]),
    )
    kept = _kept(ranked, n)
    shares = {name: count / n for name, count in kept.items()}
    once, twice = (sum(1 for count in kept.values() if count == times) for times in (1, 2))
    # Which categories came before the vocabulary was full is no random choice: what lies beyond it, nobody can tell then.
    is_overfull = bool((codes >= OVERFLOW).any())
    singletons = len(codes) if is_overfull else once + len(codes) - sum(kept.values())
    masses = np.zeros(BINS)
    own = _own_bins(shares)
    for name, place in category_bins(shares).items():
        # Of bins that are shared, what was seen once goes to UNSEEN: with it they would claim what Good-Turing gives away.
        if place < own or not (is_overfull or kept[name] == 1):
            masses[place] += shares[name]
    masses[UNSEEN] = _unseen_ones(singletons, twice, len(codes)) / n
    return ColumnReference(
        **common,
        distinct=len(values) + is_overfull,
        masses=masses,
        edges=np.empty(0),
        quantiles=np.full(QUANTILES, np.nan),
        atoms={},
        shares=shares,
        singletons=singletons,
    )


def _unseen_ones(singletons: int, twice: int, n: int) -> float:
    extra = _UNSEEN_Z * (np.sqrt(singletons + 2 * twice) - np.sqrt(singletons))
    return min(float(singletons + extra), float(n))


def _kept(ranked: Sequence[tuple[str, int]], n: int) -> dict[str, int]:
    """At most MAX_CATEGORIES, most frequent first. Of too many, the frequent stay, and of the others some by their hash."""
    if len(ranked) <= MAX_CATEGORIES:
        return dict(ranked)
    order = sorted(ranked, key=lambda pair: -1 if pair[1] / n >= _FREQUENT else crc32(pair[0].encode()))
    chosen = {name for name, _ in order[:MAX_CATEGORIES]}
    return {name: count for name, count in ranked if name in chosen}


def _own_bins(shares: Mapping[str, float]) -> int:
    if len(shares) <= UNSEEN:
        return len(shares)
    return min(sum(1 for share in shares.values() if share >= _HEAVY), _MAX_HEAVY)


def category_bins(shares: Mapping[str, float]) -> dict[str, int]:
    """Bin of each known category, whose shares come most frequent first: the first ones their own, the others by their hash."""
    own = _own_bins(shares)
    return {
        name: place if place < own else own + crc32(name.encode()) % (UNSEEN - own) for place, name in enumerate(shares)
    }


def _learn_numeric(values: Floats, common: dict[str, Any]) -> ColumnReference:
    values = np.sort(values)
    distinct, counts = np.unique(values, return_counts=True)
    n = max(len(values), 1)
    shares = counts / n
    edges = _edges(values, distinct, shares)
    masses = np.zeros(BINS)
    np.add.at(masses, np.searchsorted(edges, values, side="right"), 1 / n)
    heavy = np.argsort(-shares, kind="stable")[:16]
    return ColumnReference(
        **common,
        distinct=len(distinct),
        masses=masses,
        edges=edges,
        quantiles=np.quantile(values, np.linspace(0, 1, QUANTILES)) if len(values) else np.full(QUANTILES, np.nan),
        atoms={float(distinct[i]): float(shares[i]) for i in heavy if shares[i] >= 0.01 and counts[i] > 1},
        shares={},
        singletons=int((counts == 1).sum()),
    )


def _edges(values: Floats, distinct: Floats, shares: Floats) -> Floats:
    """Edges between bins, at most BINS − 1: the quantile grid, with a bin to itself for each heavy value."""
    if len(distinct) <= _DISCRETE:
        return distinct
    grid = np.quantile(values, GRID, method="inverted_cdf")
    heaviest = np.sort(np.argsort(-shares, kind="stable")[:_MAX_ATOMS])
    atoms = distinct[heaviest][shares[heaviest] >= _ATOM]
    if not len(atoms):
        return np.unique(grid)
    # The bin above an atom starts right after it, so that the atom stands alone.
    around = np.unique(np.concatenate([atoms, np.nextafter(atoms, np.inf)]))
    room = BINS - 1 - len(around)
    rest = np.setdiff1d(np.unique(grid), around)
    if room < len(rest):
        rest = rest[np.linspace(0, len(rest) - 1, max(room, 0)).astype(int)] if room > 0 else rest[:0]
    return np.unique(np.concatenate([around, rest]))[: BINS - 1]


def repeats(before: Floats, values: Floats) -> NDArray[np.bool_]:
    """Whether each value equals one of the REPEAT_WINDOW values before it in its column: (rows, columns).

    before: the REPEAT_WINDOW rows that precede, NaN where there were none. NaN never repeats.
    """
    if not len(values):
        return np.zeros(values.shape, bool)
    joined = np.concatenate([before, values])
    # A window of the REPEAT_WINDOW rows before each row, without copying: (rows, REPEAT_WINDOW, columns).
    down, across = joined.strides
    shape = (len(values), REPEAT_WINDOW, values.shape[1])
    window: Floats = np.ndarray(shape, joined.dtype, joined, 0, (down, down, across))
    found: NDArray[np.bool_] = (window == values[:, None, :]).any(axis=1)
    return found


class Binning:
    """Bins the rows of several columns at once. Rebuilt when a reference changes."""

    def __init__(self, columns: Sequence[Column], references: Sequence[ColumnReference]) -> None:
        self._columns = columns
        self.references = references
        self.is_coded = np.array([reference.kind.is_coded for reference in references], bool)
        self.is_discrete = np.array([reference.is_discrete for reference in references], bool)
        self._discrete = np.flatnonzero(self.is_discrete)
        self._numeric, self._coded = np.flatnonzero(~self.is_coded), np.flatnonzero(self.is_coded)
        width = max((len(reference.edges) for reference in references), default=0)
        self._edges = np.full((len(references), width), np.inf)
        for place, reference in enumerate(references):
            self._edges[place, : len(reference.edges)] = reference.edges
        self._numeric_edges = np.ascontiguousarray(self._edges[self._numeric].T)[:, None, :]
        """(edges, 1, columns): adding up over the first axis is what numpy does fastest."""
        self._tables = np.full((len(self._coded), _MAX_CODES + 1), NO_BIN, np.intp)
        """Bin of each code; the last place is for NaN."""
        self._sizes = [-1] * len(self._coded)
        self._coded_rows = np.arange(len(self._coded))
        self.low = np.array([-np.inf if r.kind.is_coded else r.low for r in references])
        self.high = np.array([np.inf if r.kind.is_coded else r.high for r in references])

    def bins(self, values: Floats) -> NDArray[np.intp]:
        """Bin of each value (rows, columns) → (rows, columns); NaN goes to NO_BIN."""
        found = np.empty(values.shape, np.intp)
        above = values[:, self._numeric] >= self._numeric_edges
        found[:, self._numeric] = above.view(np.uint8).sum(axis=0, dtype=np.uint8)
        if len(self._coded):
            self._update_tables()
            coded = values[:, self._coded]
            codes = np.where(np.isnan(coded), _MAX_CODES, coded).astype(np.intp)
            found[:, self._coded] = self._tables[self._coded_rows, codes]
        found[np.isnan(values)] = NO_BIN
        return found

    def _update_tables(self) -> None:
        """Make a column's table anew when its vocabulary grew. (New values are unseen: only their place is new.)"""
        for row, place in enumerate(self._coded.tolist()):
            size = len(self._columns[place].codes)
            if size != self._sizes[row]:
                self._tables[row, :_MAX_CODES] = self.references[place].lookup(self._columns[place])
                self._sizes[row] = size

    def out_of_range(self, values: Floats) -> NDArray[np.bool_]:
        """Whether a quantity is beyond what the reference has ever seen."""
        found: NDArray[np.bool_] = (values < self.low) | (values > self.high)
        return found

    def unseen_counts(self, values: Floats, bins: NDArray[np.intp], counts: Floats) -> Floats:
        """Values of each column that the reference has never seen; `counts` per bin of the same rows: (columns,)."""
        found: Floats = np.where(self.is_coded, counts[:, UNSEEN], 0.0)
        if len(self._discrete):
            found[self._discrete] = self._unseen_of_discrete(values, bins).sum(axis=0)
        return found

    def _unseen_of_discrete(self, values: Floats, bins: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether values of the discrete quantities are none of the reference's: (rows, discrete columns)."""
        chosen = self._discrete
        own, given = bins[:, chosen], values[:, chosen]
        left = self._edges[chosen, np.clip(own - 1, 0, self._edges.shape[1] - 1)]
        found: NDArray[np.bool_] = (own != NO_BIN) & ((own == 0) | (left != given))
        return found

    def unseen(self, values: Floats, bins: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether a category, or a value of a discrete quantity, was never seen in the reference."""
        found: NDArray[np.bool_] = self.is_coded & (bins == UNSEEN)
        if len(self._discrete):
            found[:, self._discrete] |= self._unseen_of_discrete(values, bins)
        return found
