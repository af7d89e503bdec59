"""What a reference cannot show: columns it knows nothing of, or too little to notice a change that matters.

Every reference is valid, however small: a signal that rests on little is blind, not jumpy.

Belongs here: saying where, and how blind. Not here: which tolerance a reference gets
(`detectors`), where it is told (`report`, the shell).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from whydrift.core.columns import Column
from whydrift.core.detectors.bets import Tolerance
from whydrift.core.reference import ColumnReference
from whydrift.core.signals import least_change

_COARSE_SHIFT = 0.5
"""Standard deviations: half of one is what many take for a medium change (Cohen 1988)."""
_COARSE_SHARE = 0.2
_MOST_NAMES = 5


class Blindness(StrEnum):
    NO_VALUES = "no_values"
    CONSTANT = "constant"
    COARSE = "coarse"
    NO_LABELS = "no_labels"
    NO_ROWS = "no_rows"


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """One kind of blindness, the columns that have it, and what follows from it, in words."""

    blindness: Blindness
    columns: tuple[str, ...]
    text: str


class Watched(Protocol):
    """A part of a model that is watched: a live monitor, or what a profile holds of one."""

    columns: list[Column]
    references: list[ColumnReference | None]


def blind_spots(part: Watched, margin: float, signals: int) -> tuple[BlindSpot, ...]:
    """Of one part. margin: `Settings.margin`. signals: signals of the model, which share the confidence."""
    pairs = list(zip(part.columns, part.references, strict=True))
    known = [reference for _, reference in pairs if reference is not None]
    spots = [_no_values([column.name for column, reference in pairs if reference is None])]
    spots.append(_constant([one.name for one in known if one.distinct == 1]))
    varied = [one for one in known if one.distinct > 1]
    changes = {one: least_change(one, Tolerance(one.rows, signals, margin)) for one in varied}
    spots += [_coarse(changes, coded=False), _coarse(changes, coded=True)]
    return tuple(spot for spot in spots if spot is not None)


def _no_values(names: Sequence[str]) -> BlindSpot | None:
    if not names:
        return None
    text = f"{_listed(names)}: hardly any values in the reference; learnt from those to come, be they right or not"
    return BlindSpot(Blindness.NO_VALUES, tuple(names), text)


def _constant(names: Sequence[str]) -> BlindSpot | None:
    if not names:
        return None
    text = f"{_listed(names)}: always the same in the reference; any other value is news, and none is too far off"
    return BlindSpot(Blindness.CONSTANT, tuple(names), text)


def _coarse(changes: dict[ColumnReference, float], *, coded: bool) -> BlindSpot | None:
    least = _COARSE_SHARE if coded else _COARSE_SHIFT
    coarse = {one: change for one, change in changes.items() if one.kind.is_coded is coded and change >= least}
    if not coarse:
        return None
    names = [one.name for one in coarse]
    low, high = min(coarse.values()), max(coarse.values())
    if coded:
        told = f"shares that move by less than {_range(100 * low, 100 * high, 0)} percentage points are passed over"
    else:
        told = f"shifts of less than {_range(low, high, 1)} standard deviations are passed over"
    fewest = min(one.n for one in coarse)
    why = f"{fewest:,} values at the least, fewer where they hang together"
    return BlindSpot(
        Blindness.COARSE, tuple(names), f"{_listed(names)}: {told}, because the reference is small ({why})"
    )


def _range(low: float, high: float, digits: int) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first} to {last}"


def _listed(names: Iterable[str]) -> str:
    ranked = list(names)
    more = f" and {len(ranked) - _MOST_NAMES:,} more" if len(ranked) > _MOST_NAMES else ""
    return ", ".join(ranked[:_MOST_NAMES]) + more
