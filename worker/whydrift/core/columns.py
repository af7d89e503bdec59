"""From rows of JSON values to numpy columns, and the columns' names and kinds.

Belongs here: what a feature's value is, whether it is there, and how it becomes a number. Not here: statistics.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from math import hypot, isfinite
from operator import itemgetter
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Presences = NDArray[np.int8]

MAX_VOCABULARY = 1_000
"""Distinct categories that keep a code of their own per column; later ones share the code OVERFLOW, up to a fraction."""
OVERFLOW = float(MAX_VOCABULARY)
"""Codes of further categories begin here. Their fraction is a hash: it tells whether such a value repeats, and nothing else."""
MAX_CATEGORY = 120
"""Characters that tell a category; of longer ones the rest counts as a hash."""
LARGEST, SMALLEST = 1e100, 1e-100
"""Bounds of a quantity's size that counts: beyond the first it counts as that, below the second as 0.

Squares and ratios of such numbers, summed over all rows there are, stay finite.
"""


class Kind(StrEnum):
    """What a column holds. Booleans are categories "false" and "true"; an embedding stands for its norm."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    EMBEDDING = "embedding"

    @property
    def is_coded(self) -> bool:
        """Whether values are codes into the column's vocabulary rather than quantities."""
        return self in (Kind.CATEGORICAL, Kind.BOOLEAN)


class Presence(IntEnum):
    """Whether a row has a usable value: PRESENT, null, the key absent, or a value of a type the column does not have."""

    PRESENT = 0
    NULL = 1
    ABSENT = 2
    FOREIGN = 3


class _Absent:
    """Marks a key that a row does not have; None marks one that is null."""

    __slots__ = ()


ABSENT = _Absent()


@dataclass(slots=True)
class Column:
    """Name, kind and vocabulary of one column. `codes` grows as new categories appear, up to MAX_VOCABULARY."""

    name: str
    kind: Kind
    codes: dict[str, float] = field(default_factory=dict)
    dimension: int = 0
    """Length of an embedding; 0 = not known."""

    def categories(self) -> list[str]:
        """Category of each code; the last place, where reached, stands for all that overflowed."""
        return list(self.codes)

    def category(self, code: float) -> str:
        """The category behind a code."""
        names = list(self.codes)
        return names[int(code)] if code < len(names) else "(further values)"

    def code(self, category: str) -> float:
        """The code of a category, given out at first sight."""
        found = self.codes.get(category)
        if found is None and len(category) > MAX_CATEGORY:
            category = abridged(category)
            found = self.codes.get(category)
        if found is None:
            if len(self.codes) >= MAX_VOCABULARY:
                return OVERFLOW + crc32(category.encode()) / 2**32
            found = self.codes[category] = float(len(self.codes))
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows: `values` (rows, columns), NaN where not PRESENT; `presence` (rows, columns); stream positions.

    `times_ms` and `offsets` have one entry a row.
    """

    values: Floats
    presence: Presences
    times_ms: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times_ms)

    def take(self, which: Any) -> "Rows":
        """The rows that an index, slice or mask selects."""
        return Rows(self.values[which], self.presence[which], self.times_ms[which], self.offsets[which])

    @staticmethod
    def concat(parts: Sequence["Rows"], columns: int) -> "Rows":
        """All rows of all parts, in order; `columns` gives the width when there are none."""
        if not parts:
            return Rows(
                np.empty((0, columns)), np.empty((0, columns), np.int8), np.empty(0, np.int64), np.empty(0, np.int64)
            )
        return Rows(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.presence for part in parts]),
            np.concatenate([part.times_ms for part in parts]),
            np.concatenate([part.offsets for part in parts]),
        )

    def snapshot(self) -> dict[str, Any]:
        return {"values": self.values, "presence": self.presence, "times_ms": self.times_ms, "offsets": self.offsets}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Rows":
        return cls(state["values"], state["presence"], state["times_ms"], state["offsets"])


def thin(rows: Rows, count: int) -> Rows:
    """At most `count` rows, in their order: those whose offsets have the smallest hashes.

    Chance has no part in it, and what is kept has nothing to do with content. Thinned by the same rule, inputs, answers and
    labels of the same events keep the same ones, so that they can be looked at side by side.
    """
    if len(rows) <= count:
        return rows
    hashes = rows.offsets.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return rows.take(np.sort(np.argsort(hashes ^ (hashes >> np.uint64(32)), kind="stable")[:count]))


def recoded(codes: Floats, was: Column, to: Column) -> Floats:
    """Codes of one column of categories as those of another, for the same names: (rows,); NaN where that has no such name."""
    names = was.categories()
    known = np.array([to.codes.get(name, np.nan) for name in names] + [np.nan])
    found = np.full(len(codes), np.nan)
    is_there = ~np.isnan(codes)
    found[is_there] = known[np.minimum(codes[is_there], len(names)).astype(np.intp)]
    return found


def scattered(numbers: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Whole numbers from 0 that look drawn where these come in a row: the upper bits of Fibonacci hashes."""
    return ((numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)).astype(np.intp)


def widen(rows: Rows, width: int) -> Rows:
    """The same rows with further columns, which they do not have, up to this width."""
    more = ((0, 0), (0, width - rows.values.shape[1]))
    return Rows(
        np.pad(rows.values, more, constant_values=np.nan),
        np.pad(rows.presence, more, constant_values=int(Presence.ABSENT)),
        rows.times_ms,
        rows.offsets,
    )


def column_state(column: Column) -> list[Any]:
    """A column as a plain value."""
    return [column.name, str(column.kind), list(column.codes), column.dimension]


def column_of(state: Sequence[Any]) -> Column:
    name, kind, codes, dimension = state
    return Column(name, Kind(kind), {code: float(place) for place, code in enumerate(codes)}, dimension)


def abridged(text: str) -> str:
    """A category, or a class, in at most MAX_CATEGORY characters and a hash: free text must not fill the memory."""
    return text if len(text) <= MAX_CATEGORY else f"{text[:MAX_CATEGORY]}…{crc32(text.encode()):08x}"


def presences_of(values: Floats) -> Presences:
    """Of values that stand for themselves, NaN where there is none: (rows,)."""
    return np.where(np.isnan(values), Presence.NULL, Presence.PRESENT).astype(np.int8)


def tame(values: Floats) -> None:
    """Bring quantities to sizes that can be reckoned with, in place; NaN stays."""
    np.clip(values, -LARGEST, LARGEST, out=values)
    values[np.abs(values) < SMALLEST] = 0.0


def ranks_among(known: Floats, values: Floats) -> Floats:
    """Rank of each value among the known ones, 0 to 1; ties get the middle of theirs."""
    ordered = np.sort(known)
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    found: Floats = both / (2 * max(len(ordered), 1))
    return found


def infer_kind(values: Iterable[object]) -> Kind | None:
    """The kind most values have; None where no value tells. Ties go to the kind named first in `Kind`."""
    votes = dict.fromkeys(Kind, 0)
    for value in values:
        kind = _kind_of(value)
        if kind is not None:
            votes[kind] += 1
    best = max(Kind, key=lambda kind: votes[kind])
    return best if votes[best] else None


def _kind_of(value: object) -> Kind | None:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int | float):
        return Kind.NUMERIC
    if isinstance(value, str):
        return Kind.CATEGORICAL
    return Kind.EMBEDDING if isinstance(value, list) else None


def encode_rows(
    columns: Sequence[Column], keys: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[Floats, Presences]:
    """All columns of rows of JSON values: (rows, columns) each. `keys`: the column's key in a row.

    Columns of one kind that hold nothing but it are taken at once; `encode_column` does the others.
    """
    values = np.empty((len(rows), len(columns)))
    presence = np.zeros((len(rows), len(columns)), np.int8)
    by_column = _transpose(keys, rows)
    numeric = [place for place, column in enumerate(columns) if column.kind is Kind.NUMERIC]
    plain = [place for place in numeric if _NUMBERS.issuperset(map(type, by_column[place]))]
    if plain:
        values[:, plain] = np.array([by_column[place] for place in plain], dtype=np.float64).T
    if len(plain) < len(columns):
        taken = set(plain)
        for place, column in enumerate(columns):
            if place not in taken:
                values[:, place], presence[:, place] = encode_column(column, by_column[place])
    return values, presence


def _transpose(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[Any]]:
    """The values under each key, ABSENT where a row does not have it."""
    if len(keys) > 1:
        get = itemgetter(*keys)
        try:
            return list(zip(*map(get, rows), strict=True))
        except KeyError:
            pass  # some row lacks a key: one by one
    return [[row.get(key, ABSENT) for row in rows] for key in keys]


def encode_column(column: Column, values: Sequence[Any]) -> tuple[Floats, Presences]:
    """One column's values as floats and presences. A value of another type than the column's is FOREIGN."""
    kinds = set(map(type, values))
    if column.kind is Kind.NUMERIC and kinds <= _NUMBERS:
        return np.array(values, dtype=np.float64), np.zeros(len(values), np.int8)
    if column.kind is Kind.BOOLEAN and kinds == _BOOLEANS:
        no, yes = column.codes.get("false"), column.codes.get("true")
        if no is not None and yes is not None:
            return np.where(values, yes, no), np.zeros(len(values), np.int8)
    if column.kind is Kind.CATEGORICAL and kinds == _STRINGS:
        get = column.codes.get
        codes = list(map(get, values))
        if None in codes:
            codes = [column.code(value) for value in values]
        return np.array(codes, dtype=np.float64), np.zeros(len(values), np.int8)
    pairs = [_encode_value(column, value) for value in values]
    return np.array([pair[0] for pair in pairs], dtype=np.float64), np.array([pair[1] for pair in pairs], dtype=np.int8)


_NUMBERS = {int, float}
_STRINGS = {str}
_BOOLEANS = {bool}


def _encode_value(column: Column, value: Any) -> tuple[float, Presence]:
    if value is None:
        return np.nan, Presence.NULL
    if value is ABSENT:
        return np.nan, Presence.ABSENT
    kind = column.kind
    if _kind_of(value) is not kind:
        # Codes declared as categories may come as integers; that is how many encoders write them.
        if kind is Kind.CATEGORICAL and type(value) is int:
            return column.code(str(value)), Presence.PRESENT
        return np.nan, Presence.FOREIGN
    if kind is Kind.NUMERIC:
        return float(value), Presence.PRESENT
    if kind is Kind.CATEGORICAL:
        return column.code(value), Presence.PRESENT
    if kind is Kind.BOOLEAN:
        return column.code("true" if value else "false"), Presence.PRESENT
    return _encode_embedding(column, value)


def _encode_embedding(column: Column, vector: Sequence[float | None]) -> tuple[float, Presence]:
    if not column.dimension:
        # An empty one tells no length, and is none of any length.
        if not vector:
            return np.nan, Presence.FOREIGN
        column.dimension = len(vector)
    if len(vector) != column.dimension:
        return np.nan, Presence.FOREIGN
    finite = [entry for entry in vector if entry is not None]
    if len(finite) < len(vector):
        return np.nan, Presence.NULL
    norm = hypot(*finite)
    return (norm, Presence.PRESENT) if isfinite(norm) else (np.nan, Presence.FOREIGN)
