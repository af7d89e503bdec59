"""What the rules about inputs share: which signals a broken input explains, new atoms, goodness of fit, words.

Belongs here: pure helpers of more than one rule. Not here: rules (this file has none, and is passed over as one).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaincc, kolmogorov, ndtri

from whydrift.core.case import ANSWERS, Case, ColumnView, SignalEvidence, correlation
from whydrift.core.columns import Floats, Presence
from whydrift.core.reference import QUANTILES, REPEAT_WINDOW, ColumnReference, repeats

Mask = NDArray[np.bool_]

MAX_EXAMINED = 64
"""Alarmed inputs that a costly rule looks at, most evidence first: diagnosis stays quick when a thousand break at once."""
_ONCE = 0.7
"""Share of values that came once, from which none is known to come often."""
_FEW, _LOST = 0.2, 1 - 1e-4
"""Part of the repeated values of health that may be left where they are lost; chance of more of them then."""
_LEAST_ONCE, _MORE_ONCE, _PART_ONCE, _REPEATS_ITSELF = 20, 2.0, 0.3, 0.5
"""Values that came once, in number, times health's different ones, and part of all, from which they are made otherwise; part of
health's that had come before."""
ALL = 1_000_000
"""For rules that cost next to nothing."""
ATOM_P = 1e-6
"""Chance, in health, that some value of a column comes as often as it now does, below which it is a new atom."""
_MIN_ATOM_ROWS = 4
_DEPENDENT = 0.35
_REMOVED_LOG10 = 40.0
"""A run of absent keys this unlikely in health, as −log10 (a dozen rows of a key never absent), means removed."""
_BOUND_ROWS = 4.5
"""Rows that must be missing beyond a value for it to be a bound: e^−4.5 by chance, where a value happens to be a high one."""
_SAME_ROWS = 0.5
"""Jaccard index from which two sets of rows count as the same."""
_LEAST_SLOW_ROWS = 10.0
"""Values that hang together count as so many at least."""
_MOST_DIGITS, _FINEST = 4, 0.002
"""Digits after the point that are looked for; standard deviations that one step of the last must be at least."""
_MOST_VALUES = 200
"""Different values in health up to which a quantity is taken to have no others."""
_MIN_GRID, _MOST_PLACES, _OFF_GRID = 5, 5, 0.1
"""Values that can show an even grid; its places for each of them; part of a step by which, being rounded, they may be off."""
_FINER_ODDS = 50.0
"""See `Digits.odds`: no digits prove anything beyond that."""
_MOST_WRITTEN = 9
"""Significant digits of numbers that differ by little."""
_FEW_FINER = 0.03
"""Share of values with further digits up to which a quantity has kept its digits."""
_LATEST_START, _CLEAR_SHAPE = 0.75, 3.0
"""Part of the rows in which a change may begin; log-likelihood by which a ramp, or a step, must beat the other."""
_MIN_SHAPE_ROWS = 20
_AGO = (4.0, 2.0, 1.0, 0.5)
"""How long before all rows a ramp may have begun, in as many rows as they are."""
_MAX_ATOMS_KEPT = 16
"""`ColumnReference.atoms` has at most this many."""


def examined(case: Case, *aspects: str, most: int = MAX_EXAMINED) -> list[ColumnView]:
    """Inputs with an alarm on one of these aspects (any, where none is named), most evidence first, at most `most`."""
    found = case.alarmed_features(*aspects)
    return sorted(found, key=lambda view: (-strength(view), view.name))[:most]


def strength(view: ColumnView) -> float:
    """The strongest alarm's log10 evidence."""
    return max((s.log10_e for s in view.signals.values() if s.is_alarmed), default=0.0)


def explained(case: Case, views: Iterable[ColumnView], *aspects: str) -> frozenset[str]:
    """The alarms of these inputs (on these aspects), and the alarms that broken inputs drag along."""
    own = {s.signal for v in views for s in v.alarms(*aspects)}
    return frozenset(own | dragged(case))


def dragged(case: Case) -> set[str]:
    """Alarms that follow from broken inputs: the model answers otherwise, and errs; other inputs do not go with them any more."""
    outputs = [view for name, view in case.outputs.items() if name in ANSWERS]
    outputs += [view for name, view in case.labels.items() if name == "loss"]
    outputs += case.dependence.values()
    signals: list[SignalEvidence] = [s for view in outputs for s in view.signals.values()]
    return {s.signal for s in [*signals, *case.guards, *case.replicas] if s.is_alarmed}


# -- values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Atom:
    """A value that comes far more often than in health. share: of the usable values since it first came."""

    value: float
    rows: int
    share: float
    reference_share: float


def new_atoms(view: ColumnView) -> list[Atom]:
    """Values that come too often to be chance, most rows first."""
    values = view.current
    if not len(values):
        return []
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    sightings = _sightings(values, view.reference.times.get("local", 1.0))
    total = int(sightings.sum())
    found = []
    for place in np.flatnonzero(counts >= min(_MIN_ATOM_ROWS, len(values))):
        value, rows = float(distinct[place]), int(counts[place])
        expected = reference_share(view, value)
        if chance_of(int(sightings[values == value].sum()), total, expected) < ATOM_P:
            found.append(Atom(value, rows, rows / (len(values) - int(first[place])), expected))
    return sorted(found, key=lambda atom: (-atom.rows, atom.value))


def _sightings(values: Floats, time: float) -> Floats:
    """What each row counts as evidence for its value: of values that hang together a run is one, or one for each `time` rows."""
    if time <= 1:
        return np.ones(len(values))
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    lengths = np.diff(np.append(starts, len(values)))
    found: Floats = np.repeat(np.maximum(1 / lengths, 1 / time), lengths)
    return found


def without(view: ColumnView, atom: Atom) -> Floats:
    """Usable values without the rows of an atom, but for as many as health has: taken out whole, a value that is frequent in
    health would be missed in the rest.
    """
    return _without_excess(view, view.current, atom.value)


def lost_atoms_p(view: ColumnView, atom: Atom) -> float:
    """Chance that so few of a quantity's other values, since this one first came, are those which are frequent in health.

    Where one value takes the place of any others, the rest of them are as they were. 1.0 where none is frequent.
    """
    own, usual = view.reference.atoms.get(atom.value, 0.0), sum(view.reference.atoms.values())
    later = view.current[int(np.argmax(view.current == atom.value)) :]
    others = later[later != atom.value]
    time = max(view.reference.times.get("local", 1.0), 1.0)
    n, seen = int(len(others) / time), int(np.isin(others, list(view.reference.atoms)).sum() / time)
    share = min((usual - own) / max(1 - own, 1e-9), 1.0)
    return 1.0 - chance_of(seen + 1, n, share) if seen < n else 1.0


def without_new_atoms(view: ColumnView, values: Floats) -> Floats:
    """The same of some values, and of all that come too often."""
    for atom in new_atoms(view):
        values = _without_excess(view, values, atom.value)
    return values


def _without_excess(view: ColumnView, values: Floats, value: float) -> Floats:
    reference = view.reference
    usual = reference.shares.get(view.column.category(value), 0.0) if reference.kind.is_coded else 0.0
    usual = min(reference.atoms.get(value, usual), 0.99)
    is_it = values == value
    rest: Floats = values[~is_it | (np.cumsum(is_it) <= round(usual / (1 - usual) * float((~is_it).sum())))]
    return rest


def is_bound(view: ColumnView, atom: Atom) -> bool:
    """Whether nothing lies beyond an atom any more where health has values: clipping piles mass up at its bound."""
    return bound(view, atom) is not None


def bound(view: ColumnView, atom: Atom) -> tuple[int, bool] | None:
    """Row from which on nothing lies beyond an atom where health has values, and whether that is above; None where it does.

    The rows before the atom first came, or the first half of all, may be from before the onset.
    """
    reference, values = view.reference, view.current
    if reference.kind.is_coded:
        return None
    came = int(np.argmax(values == atom.value))
    for is_top in (True, False):
        outside = values > atom.value if is_top else values < atom.value
        healthy = reference.quantiles > atom.value if is_top else reference.quantiles < atom.value
        last = int(np.flatnonzero(outside)[-1]) if outside.any() else -1
        first = max(last + 1, came)
        others = int((values[first:] != atom.value).sum())
        if last < max(came, len(values) // 2) and float(healthy.mean()) * others > _BOUND_ROWS:
            return first, is_top
    return None


def removed_from(view: ColumnView) -> int | None:
    """First current row from which on the key is absent from every event; None where it is not, or too short a time."""
    present = np.flatnonzero(view.current_presence != Presence.ABSENT)
    first = int(present[-1]) + 1 if len(present) else 0
    usual = (view.reference.absent + 1) / (view.reference.rows + 2)
    return first if (len(view.current_presence) - first) * -np.log10(usual) > _REMOVED_LOG10 else None


def reference_share(view: ColumnView, value: float) -> float:
    """Share a value has in health, rather too high than too low where the reference does not keep it."""
    reference = view.reference
    least = 1 / max(reference.n, 1)
    if reference.kind.is_coded:
        return max(reference.shares.get(view.column.category(value), 0.0), least)
    if value in reference.atoms:
        return float(reference.atoms[value])
    if value < reference.low or value > reference.high:
        return least
    if reference.singletons > _ONCE * reference.n:
        return 2 * least
    most = min(reference.atoms.values()) if len(reference.atoms) == _MAX_ATOMS_KEPT else 0.01
    # It has no more than the bin that it falls into, which is small where values are rare.
    own = int(reference.bins(view.column, np.array([value]))[0])
    return float(min(most, max(reference.masses[own], least)))


def chance_of(ones: int, n: int, share: float) -> float:
    """Chance of at least this many of n at this share: the binomial's upper tail."""
    if ones <= 0:
        return 1.0
    return float(betainc(ones, n - ones + 1, min(max(share, 0.0), 1.0)))


def has_lost_repeats(view: ColumnView) -> bool:
    """Whether hardly any value of a quantity comes twice any more: then they are made otherwise.

    A map takes equal ones to equal ones, and other cases have the same digits. Of slow quantities few rows tell, of those before
    the onset none; but more values that came once than health had different ones are made otherwise.
    """
    reference = view.reference
    if reference.kind.is_coded or not reference.n or not len(view.current):
        return False
    once = int((np.unique(view.current, return_counts=True)[1] == 1).sum())
    repeats_itself = reference.repeated > _REPEATS_ITSELF * reference.n
    if repeats_itself and once > max(_LEAST_ONCE, _MORE_ONCE * reference.distinct, _PART_ONCE * len(view.current)):
        return True
    usual, now = reference.repeated / reference.n, float(repeated_rows(view.current).mean())
    rows = int(len(view.current) / max(reference.times.get("repeated", 1.0), slowness(reference)))
    return now < _FEW * usual and chance_of(round(now * rows) + 1, rows, usual) > _LOST


def repeated_rows(values: Floats) -> Mask:
    """Whether each value equals one of the REPEAT_WINDOW before it: (rows,)."""
    if not len(values):
        return np.zeros(0, bool)
    return repeats(np.full((REPEAT_WINDOW, 1), np.nan), values[:, None])[:, 0]


T = TypeVar("T")


def overlapping(found: Sequence[T], rows: Callable[[T], Mask]) -> list[list[T]]:
    """Groups of findings in (mostly) the same rows, in order of first members: one source feeds them."""
    groups: list[list[T]] = []
    if not found:
        return groups
    # The first members' rows, one group a line: a thousand inputs are compared in one product each.
    firsts = np.zeros((len(found), len(rows(found[0]))), np.float32)
    sizes = np.zeros(len(found), np.float32)
    for one in found:
        mask = rows(one).astype(np.float32)
        shared = firsts[: len(groups)] @ mask
        either = sizes[: len(groups)] + mask.sum() - shared
        same = np.flatnonzero((either > 0) & (shared >= _SAME_ROWS * either))
        if len(same):
            groups[int(same[0])].append(one)
        else:
            firsts[len(groups)], sizes[len(groups)] = mask, mask.sum()
            groups.append([one])
    return groups


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """The digits that values of a quantity have in health: multiples of `step`, or else one of `values` (ordered).

    near: how close to one counts as one. chance: that any other value comes so close. missed: that one of health is not known.
    """

    near: float
    chance: float
    missed: float = 0.0
    step: float = 0.0
    values: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def odds(self) -> float:
        """How much likelier, at most, a value with further digits is where something changed it than in health."""
        return min(_FINER_ODDS, 0.5 / max(self.chance, self.missed))

    def finer(self, values: Floats) -> Mask:
        """Which values have further digits, or others."""
        found: Mask = np.abs(values - self._nearest(values)) > self.near
        return found

    def _nearest(self, values: Floats) -> Floats:
        if self.step:
            multiples: Floats = np.round(values / self.step) * self.step
            return multiples
        return nearest(values, self.values)


def nearest(values: Floats, known: Floats) -> Floats:
    """The known value (ordered, at least one) that each value lies next to."""
    place = np.clip(np.searchsorted(known, values), 1, max(len(known) - 1, 1))
    left, right = known[place - 1], known[np.minimum(place, len(known) - 1)]
    found: Floats = np.where(values - left <= right - values, left, right)
    return found


def spread_of(values: Floats) -> float:
    """Interquartile range as a normal's standard deviation, as `ColumnReference.spread`; 0.0 of no values."""
    if not len(values):
        return 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / 1.349


@lru_cache(maxsize=2 * MAX_EXAMINED)
def digits_of(view: ColumnView) -> Digits | None:
    """None where health's values have any digits, or too many to tell."""
    healthy, spread = view.healthy, view.reference.spread
    for digits in range(_MOST_DIGITS + 1):
        step = 10.0**-digits
        if step < _FINEST * spread:
            break
        if np.allclose(healthy, healthy.round(digits), rtol=0, atol=1e-9):
            near = min(0.05 * step, 0.001 * spread)
            return Digits(near, 2 * near / step, step=step)
    return _known_values(view)


def _known_values(view: ColumnView) -> Digits | None:
    """Of a quantity that has few values (a scaled one, a sixteenth of an inch), of which health's rows show nearly all."""
    reference = view.reference
    values, counts = np.unique(view.healthy, return_counts=True)
    once = int((counts == 1).sum())
    width = reference.high - reference.low
    if width <= 0 or reference.distinct > _MOST_VALUES or once > _FEW_FINER / 2 * len(view.healthy):
        return None
    known = np.unique(np.concatenate([values, [reference.low, reference.high], list(reference.atoms)]))
    near = min(0.001 * reference.spread, 0.1 * float(np.diff(known).min()))
    chance = min(2 * near * len(known) / width, 1.0)
    grid = EvenGrid.of(known)
    # On a grid the world, too, comes to values that are new.
    if grid is not None:
        more = grid.between(known[0] - width, known[-1] + width)
        known = np.union1d(known, more[np.abs(more - nearest(more, known)) > grid.step / 2])
    return Digits(near, chance, once / len(view.healthy), values=known)


@dataclass(frozen=True, slots=True)
class EvenGrid:
    """Values a step apart, or several, to rounding."""

    start: float
    step: float

    @classmethod
    def of(cls, values: Floats) -> "EvenGrid | None":
        """The grid of ordered different values; None where they have none, or lie on too few of its places to tell."""
        if len(values) < _MIN_GRID:
            return None
        places = (values - values[0]) / np.diff(values).min()
        if places[-1] > _MOST_PLACES * len(values):
            return None
        places = (values - values[0]) * (places[-1].round() / np.ptp(values))
        if np.abs(places - places.round()).max() > _OFF_GRID:
            return None
        step, start = np.polyfit(places.round(), values, 1).tolist()
        return cls(start, step)

    def place(self, values: Floats) -> Floats:
        """How many steps from the start each value lies; whole ones on the grid."""
        places: Floats = (values - self.start) / self.step
        return places

    def has(self, values: Floats) -> Mask:
        places = self.place(values)
        found: Mask = np.abs(places - places.round()) <= _OFF_GRID
        return found

    def between(self, low: float, high: float) -> Floats:
        """Its values from low to high, in order."""
        first, last = self.place(np.array([low, high])).round().tolist()
        values: Floats = self.start + self.step * np.arange(first, last + 1)
        return values


def keeps_digits(view: ColumnView) -> bool:
    """Whether the latest values have no further digits than those of health: a factor, or an offset, would have left some."""
    share = finer_share(view)
    return share is not None and share < _FEW_FINER


def finer_share(view: ColumnView) -> float | None:
    """Share of the latest values that have other digits than health's; None where digits tell nothing."""
    digits, latest = digits_of(view), view.current[len(view.current) // 3 :]
    return None if digits is None or not len(latest) else float(digits.finer(latest).mean())


# -- goodness of fit -------------------------------------------------------------------------------------------


def match_p(values: Floats, reference: ColumnReference) -> float:
    """Chance that values from health lie at least this far from the reference (Kolmogorov-Smirnov); 1.0 without values."""
    n = len(values)
    if not n:
        return 1.0
    grid = np.linspace(0, 1, QUANTILES)
    ordered = np.sort(values)
    # Ties (whole numbers) make both distributions steps: compare them right of each step, and left of it.
    right = np.searchsorted(reference.quantiles, ordered, "right") / QUANTILES
    left = np.searchsorted(reference.quantiles, ordered, "left") / QUANTILES
    smooth = np.interp(ordered, reference.quantiles, grid)
    high = np.where(right > left + 1 / QUANTILES, right, smooth)
    low = np.where(right > left + 1 / QUANTILES, left, smooth)
    upper = np.searchsorted(ordered, ordered, "right") / n
    lower = np.searchsorted(ordered, ordered, "left") / n
    distance = max(float((upper - high).max()), float((low - lower).max()), 0.0)
    # Never so few that everything matches.
    time = max(min(slowness(reference), n / _LEAST_SLOW_ROWS), 1.0)
    both = n * reference.n / (n + max(reference.n, 1)) / time
    return float(kolmogorov(max(distance - 1 / QUANTILES, 0.0) * np.sqrt(both)))


def slowness(reference: ColumnReference) -> float:
    """How many values in a row tell as much as one of the distribution (`autocorrelation`)."""
    return max(reference.times.get("centre", 1.0), reference.times.get("categories", 1.0))


def range_p(values: Floats, reference: ColumnReference) -> float:
    """Chance that health has at least as many values beyond the reference's ends."""
    beyond = int(((values < reference.low) | (values > reference.high)).sum())
    time = reference.times.get("tails", 1.0)
    return chance_of(int(beyond / time), max(int(len(values) / time), 1), 2 / max(reference.n / time, 1))


def shares_p(view: ColumnView, codes: Floats) -> float:
    """Chance that a coded column's values from health lie at least this far from the reference's shares (G-test).

    Categories expected less than once are taken together.
    """
    n = len(codes)
    if not n:
        return 1.0
    names = [view.column.category(float(code)) for code in codes]
    shares = view.reference.shares
    common = [name for name in shares if shares[name] * n >= 1]
    rest = max(1 - sum(shares[name] for name in common), 0.5 / max(view.reference.n, 1))
    expected = np.array([*(shares[name] for name in common), rest])
    counts = Counter(names)
    observed = np.array([*(counts[name] for name in common), n - sum(counts[name] for name in common)], float)
    # The reference's own sampling error widens what health may look like.
    weight = view.reference.n / (n + max(view.reference.n, 1)) / slowness(view.reference)
    seen = observed > 0
    g = 2 * weight * float((observed[seen] * np.log(observed[seen] / (n * expected[seen] / expected.sum()))).sum())
    return float(gammaincc(max(len(expected) - 1, 1) / 2, max(g, 0.0) / 2))


def graded(p: float) -> float:
    """From a chance to a factor on the fit: 1 where the data look like health, 0 where they cannot."""
    return float(np.clip((np.log10(max(p, 1e-12)) + 6) / 4, 0.0, 1.0))


def undone(before: float, after: float) -> float:
    """How much of the evidence an undo takes away, 0 to 1: 1 = nothing that counts is left."""
    left = max(after, 0.0)
    return float(np.clip(1 - (left - 1.0) / max(before - 1.0, 1.0), 0.0, 1.0)) if left > 1.0 else 1.0


@lru_cache(maxsize=2 * MAX_EXAMINED)
def has_moved_partner(case: Case, view: ColumnView) -> bool:
    """Whether a numeric input that depends on this one in health (rank correlation of at least .35) has moved as well."""
    return any(
        other is not view
        and not other.reference.kind.is_coded
        and abs(rank_correlation(view.reference_values, other.reference_values)) >= _DEPENDENT
        for other in examined(case, "distribution", "out_of_range")
    )


def rank_correlation(a: Floats, b: Floats) -> float:
    """Rank correlation of two aligned columns where both are there; 0.0 where it is not defined."""
    if len(a) != len(b):
        return 0.0
    rho = correlation(a, b)
    return rho if np.isfinite(rho) else 0.0


def is_growing(case: Case, view: ColumnView) -> bool:
    """Whether a column goes away from health's median ever more, rather than by one step."""
    return _growth(case, view) > _CLEAR_SHAPE


def is_sudden(case: Case, view: ColumnView) -> bool:
    """Whether it went by one step, rather than ever more. Where rows from before it are gone, neither can be told."""
    return _growth(case, view) < -_CLEAR_SHAPE


@lru_cache(maxsize=2 * MAX_EXAMINED)
def _growth(case: Case, view: ColumnView) -> float:
    """Log-likelihood by which a ramp beats a step: of normal scores, which health's values have whatever their distribution.

    Rows from before the onset tell, too; a ramp may have begun before the first of them.
    """
    earlier = case.earlier.get(view.name, view.current[:0])
    scores = _normal_scores(np.concatenate([earlier, view.current]), view.reference)
    count, latest = len(scores), len(earlier) + int(_LATEST_START * len(view.current))
    if count < _MIN_SHAPE_ROWS:
        return 0.0
    steps = np.cumsum(scores[::-1])[::-1][:latest] ** 2 / np.arange(count, count - latest, -1)
    starts = np.concatenate([[-count * times for times in _AGO], np.arange(0, latest, max(count // 50, 1))])
    since = np.maximum(np.arange(count) - starts[:, None], 0.0)
    ramps = (since @ scores) ** 2 / (since**2).sum(axis=1)
    total = float(scores @ scores)
    left = [max(total - float(told.max()), 1e-12) for told in (steps, ramps)]
    return 0.5 * count * float(np.log(left[0] / left[1])) / slowness(view.reference)


def _normal_scores(values: Floats, reference: ColumnReference) -> Floats:
    """What a standard normal has at the same quantiles as health has these values."""
    both = sum(np.searchsorted(reference.quantiles, values, side) for side in ("left", "right"))
    found: Floats = ndtri((both / 2 + 0.5) / (QUANTILES + 1))
    return found


# -- words -----------------------------------------------------------------------------------------------------


def number(value: float, digits: int = 4) -> str:
    """A number as people write it: so many significant digits at most, no exponent for everyday sizes."""
    if value == 0 or not np.isfinite(value):
        return "0" if value == 0 else str(value)
    if float(value).is_integer() and abs(value) < 1e7:
        return str(int(value))
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def compared(was: float, now: float) -> tuple[str, str]:
    """Two numbers to compare, with the digits that tell them apart: 2016.9 and 2017.4 rather than 2017 twice."""
    most, apart = max(abs(was), abs(now)), abs(now - was)
    wanted = np.ceil(np.log10(most / apart)) + 2 if 0 < apart < most < np.inf else 4
    digits = int(np.clip(wanted, 4, _MOST_WRITTEN))
    return number(was, digits), number(now, digits)


def percent(share: float) -> str:
    """A share of rows."""
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def listed(names: Sequence[str], most: int = 3) -> str:
    """income; income and age; income, age and 3 more."""
    names = list(names)
    if len(names) <= 1:
        return "".join(names)
    if len(names) <= most:
        return ", ".join(names[:-1]) + " and " + names[-1]
    return ", ".join(names[: most - 1]) + f" and {len(names) - most + 1} more"


def are(names: Sequence[str], one: str, many: str) -> str:
    """The verb's form for one name or many."""
    return one if len(names) == 1 else many
