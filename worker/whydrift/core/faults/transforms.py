"""Which invertible map q → a·q + b turns a numeric column's health into what is seen, and in which rows.

Belongs here: the search over known and free maps, shared by the rules that need to know whether one fits (`unit_change`,
`outliers`, `covariate_drift`). Not here: what to call it.

Current rows are a mixture: some still (or again) healthy, a share mapped. Each map is judged by the likelihood of that
mixture under the reference's density (piecewise constant between its quantiles), so rows from before the onset and a fault in
a part of the traffic need no special case. Rows are then undone one by one where the mapped component is the likelier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, isfinite

import numpy as np
from scipy.special import gammaincc, ndtr

from whydrift.core.autocorrelation import SLOW
from whydrift.core.case import ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import (
    Digits,
    EvenGrid,
    Mask,
    chance_of,
    digits_of,
    graded,
    match_p,
    nearest,
    range_p,
    rank_correlation,
    slowness,
    undone,
)
from whydrift.core.reference import QUANTILES, ColumnReference

_MIN_ROWS = 20
_FLOOR_MASS = 0.004
"""Mass given to what lies beyond the reference's ends, spread over its range on both sides."""
_FAR = 1e-6
"""Density, in units of the reference's range, far beyond: nothing is impossible."""
_GAIN = 9.0
"""Log-likelihood a map must gain over "healthy" to be considered: e^9 pays for the number of maps tried."""
_TEMPERATURES = (-150.0, 600.0)
"""Only columns within this range are taken for temperatures (°C, °F or kelvin)."""
_BROAD_LEAD = 6.0
"""Log-likelihood by which "scattered anywhere outside" must beat a map of a part of the rows to refute it."""
_TOO_WIDE_P = 0.01
_FEW_VALUES = 2.0
"""Different values up to which even a slow quantity is filled rather than mapped."""
_ATOM = 0.04
"""Share in health from which a value is looked for in what is seen."""
_ATOM_ODDS = 20.0
"""How much denser, at most, a frequent value counts than those beside it."""
_ATOMS_TRIED, _ATOM_ROWS, _RETURNED, _CHANCE, _SAME = 6, 6.0, 0.5, 1e-6, 1e-4
"""So many of the most frequent values, old and new, are paired; rows of health's that would be expected among the mapped; part of
them that must be there; chance that any map leads so many there; digits to which values are the same."""
_BESIDE = 0.3
"""Part of the values led back to health's frequent ones that must have lain beside their grid."""
_MOST_DIGITS, _ROUNDING = 6, 1e-3
"""Digits after the point up to which a quantity has a last one; part of a step that is no digit more."""
_ROUND_FACTORS = np.unique([float(f"{10**p:.2g}") for p in np.linspace(-1, 1, 400)] + [k / 100 for k in range(50, 300)])
"""Factors with few digits that are tried on a quantity with a last digit; others are in KNOWN."""
_REACH = 200
"""Last digits on either side that its offsets are looked for."""
_COMMON_VALUES, _EXACT_MAPS = 5, 5
"""Most frequent new values that factors and offsets are tried for; maps kept of each that leave the fewest of them."""
_AT_ONCE = 100_000
"""Values that are led back at once, to bound memory."""
_FINER_ROWS, _FINER_SHARE = 3, 0.05
"""Rows with further digits, of those mapped, that it takes to be exact."""
_NEXT_TO = 0.005
"""Standard deviations within which an undone value is one of health's own."""
_CLOSE = 0.01
"""Part of a value by which its factor, and rounding, may miss it."""
_NO_FACTOR = 0.002
"""A factor nearer to 1 is none that anybody would name; of values far from 0 an offset does the same."""
_SMALL = 1.0
"""Logarithm of a ratio that drift of the world reaches as well."""
_HUGE = 1e100
"""Values beyond count as this: nothing overflows, and they are absurd either way."""
_TREND = 3.0
"""Rank correlation with the row number, in standard errors, from which undone rows still drift."""
_REFINED, _REFINED_STEPS, _REFINEMENTS = 0.25, 13, 3
"""Part of a fitted scale, or of the spread, within which the likeliest one is looked for; places tried, ever closer."""
_REFINED_GAIN = 12.0
"""Log-likelihood that it must gain."""
_MAIN = 0.4
"""Share of the current rows, of which the first are from before the onset, from which a map may hold for all that follow."""
_RIVAL = 2.0
"""Two known maps whose log-likelihoods are closer than this cannot be told apart by their ratio."""


@dataclass(frozen=True, slots=True)
class Map:
    """current = scale · healthy + offset. says: completes "income arrives …" ("" = no name); penalty: log prior against it."""

    scale: float
    offset: float
    says: str
    is_known: bool
    penalty: float

    @property
    def is_laboratory(self) -> bool:
        """Whether it is a named map of one kind of measurement only, whose odd ratio fits a part of many other changes."""
        return self.is_known and "(" in self.says and "mmol" in self.says

    @property
    def is_temperature(self) -> bool:
        """Whether it is a named map between temperature scales."""
        return self.is_known and self.offset != 0

    def undo(self, values: Floats) -> Floats:
        result: Floats = (values - self.offset) / self.scale
        return result

    def apply(self, values: Floats) -> Floats:
        result: Floats = self.scale * values + self.offset
        return result


@dataclass(frozen=True, slots=True)
class Mapped:
    """A map with what speaks for it.

    gain: log-likelihood over "all rows are healthy". share: of the rows since the first that is mapped. rows: which usable
    current rows are mapped. after: log10 evidence left when they are undone; before: as they are. p: chance of a match as bad.
    is_step: early and late mapped rows fit alike. fit: 0 to 1. rivals: other known maps that fit as well.
    lead: of a free map, how much likelier it is than the next free kind (scale, offset, both).
    """

    map: Map
    gain: float
    share: float
    rows: Mask
    before: float
    after: float
    p: float
    is_step: bool
    fit: float
    rivals: tuple[Map, ...] = ()
    lead: float = 0.0
    is_exact: bool = False
    """Whether values with digits that health does not know become values of health: chance, or the world, does not do that."""


def _known(scale: float, offset: float, says: str) -> Map:
    return Map(scale, offset, says, True, 0.0)


_POUND_KG, _FOOT_M, _MILE_KM, _INCH_CM = 0.45359237, 0.3048, 1.609344, 2.54
_CHOLESTEROL, _GLUCOSE = 38.67, 18.016
"""mg/dl of one mmol/l, by molar mass."""

KNOWN = (
    _known(1e3, 0, "1000 times too large"),
    _known(1e-3, 0, "in thousands"),
    _known(1e6, 0, "a million times too large"),
    _known(1e-6, 0, "in millions"),
    _known(100, 0, "100 times too large (percent for a fraction, or cents)"),
    _known(1 / 100, 0, "100 times too small (a fraction for percent, or not in cents)"),
    _known(60, 0, "60 times too large (seconds for minutes, or minutes for hours)"),
    _known(1 / 60, 0, "60 times too small (minutes for seconds, or hours for minutes)"),
    _known(3600, 0, "in seconds instead of hours"),
    _known(1 / 3600, 0, "in hours instead of seconds"),
    _known(86_400, 0, "in seconds instead of days"),
    _known(1 / 86_400, 0, "in days instead of seconds"),
    _known(24, 0, "in hours instead of days"),
    _known(1 / 24, 0, "in days instead of hours"),
    _known(_INCH_CM, 0, "in centimetres instead of inches"),
    _known(1 / _INCH_CM, 0, "in inches instead of centimetres"),
    _known(_MILE_KM, 0, "in kilometres instead of miles"),
    _known(1 / _MILE_KM, 0, "in miles instead of kilometres"),
    _known(_POUND_KG, 0, "in kilograms instead of pounds"),
    _known(1 / _POUND_KG, 0, "in pounds instead of kilograms"),
    _known(_FOOT_M, 0, "in metres instead of feet"),
    _known(1 / _FOOT_M, 0, "in feet instead of metres"),
    _known(1.8, 32, "in °F instead of °C"),
    _known(1 / 1.8, -32 / 1.8, "in °C instead of °F"),
    _known(1, 273.15, "in kelvin instead of °C"),
    _known(1, -273.15, "in °C instead of kelvin"),
    _known(1 / _CHOLESTEROL, 0, "in mmol/l instead of mg/dl (cholesterol)"),
    _known(_CHOLESTEROL, 0, "in mg/dl instead of mmol/l (cholesterol)"),
    _known(1 / _GLUCOSE, 0, "in mmol/l instead of mg/dl (glucose)"),
    _known(_GLUCOSE, 0, "in mg/dl instead of mmol/l (glucose)"),
    _known(-1, 0, "with the opposite sign"),
)
"""Maps with a name: the ratios of faults.md, feet, days, millions, kelvin, and what laboratories measure in.

They complete "income arrives …".
"""


class Density:
    """The density of a numeric reference."""

    def __init__(self, reference: ColumnReference) -> None:
        self._low, self._high = reference.low, reference.high
        self._range = max(self._high - self._low, 1e-12)
        grid = np.array([0, 0.01, 0.03, 0.06, *np.arange(0.1, 0.95, 0.05), 0.94, 0.97, 0.99, 1])
        edges = np.interp(grid, np.linspace(0, 1, QUANTILES), reference.quantiles)
        # Quantiles that coincide (an atom) are the beginning of the step above, which gets their mass.
        keep = np.append(True, np.diff(edges) > 1e-9 * self._range)
        self._edges = edges[keep] if keep.sum() > 1 else np.array([self._low, self._low + self._range])
        mass = np.diff(grid[keep]) if keep.sum() > 1 else np.array([1.0])
        if keep.sum() > 1:
            mass[-1] += 1 - grid[keep][-1]  # an atom at the upper end, which closes the last step
        self._density = (1 - _FLOOR_MASS) * mass / np.diff(self._edges)
        self._atoms = np.array(sorted(reference.atoms), float)
        shares = np.array([reference.atoms[atom] for atom in self._atoms.tolist()], float)
        self._shares = (1 - _FLOOR_MASS) * shares
        # Against what is usual among the other values: on a grid of a few, all come again and again.
        others = max(reference.distinct - len(shares), 1)
        usual = max(1 - float(shares.sum()), 0.0) / others
        self._odds = np.clip(shares / max(usual, 1e-9), 1.0, _ATOM_ODDS if reference.distinct > len(shares) else 1.0)
        steps = np.clip(np.searchsorted(self._edges, self._atoms, side="right") - 1, 0, len(self._density) - 1)
        own = np.bincount(steps, self._shares, minlength=len(self._density)) / np.diff(self._edges)
        self._between = np.maximum(self._density - own, 0.0)
        """What is left of the density without the atoms: values that come again and again."""

    def __call__(self, values: Floats) -> Floats:
        """Density at each value, above 0 everywhere; of one that comes again and again, what it has beside other values."""
        values = np.clip(values, -_HUGE, _HUGE)
        found = self.smooth(values)
        if not len(self._atoms):
            return found
        near = np.clip(np.searchsorted(self._atoms, values), 0, len(self._atoms) - 1)
        return np.where(self._atoms[near] == values, self._odds[near] * found, found)

    def smooth(self, values: Floats) -> Floats:
        """The same of all values as if none came again."""
        values = np.clip(values, -_HUGE, _HUGE)
        place = np.searchsorted(self._edges, values, side="right") - 1
        place = np.where(values == self._edges[-1], len(self._density) - 1, place)
        inside = (place >= 0) & (place < len(self._density))
        return np.where(inside, self._density[np.clip(place, 0, len(self._density) - 1)], 0.0) + self._floor(values)

    def with_noise(self, values: Floats, sd: float) -> Floats:
        """The same with normal noise on top of every value: around what came again and again, too."""
        values = np.clip(values, -_HUGE, _HUGE)
        below = ndtr((values[:, None] - self._edges[None, :]) / sd)
        found = (below[:, :-1] - below[:, 1:]) @ self._between
        around = np.exp(-0.5 * ((values[:, None] - self._atoms) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
        noisy: Floats = found + around @ self._shares + self._floor(values)
        return noisy

    def _floor(self, values: Floats) -> Floats:
        near = (values > self._low - self._range) & (values < self._high + self._range)
        return np.where(near, _FLOOR_MASS / (3 * self._range), _FAR / self._range / _spread_out(self, values))


@lru_cache(maxsize=256)
def density_of(reference: ColumnReference) -> Density:
    """Kept by the reference's identity: several rules ask, and a column stands in many pairs."""
    return Density(reference)


def _spread_out(density: Density, values: Floats) -> Floats:
    """Falls off with the distance, as 1 / (1 + distance in ranges), so that no far map gains from a flat floor."""
    distance = np.maximum(density._low - values, values - density._high) / density._range
    return 1.0 + np.maximum(distance, 0.0)


@lru_cache(maxsize=128)
def best_map(view: ColumnView) -> Mapped | None:
    """The map that explains a numeric column best; None where none gains enough, or there are too few rows.

    Cached by the view's identity: several rules ask about the same one.
    """
    values = view.current
    reference = view.reference
    if reference.kind.is_coded or len(values) < _MIN_ROWS or not reference.n:
        return None
    if reference.high <= reference.low:
        return _constant_map(view)
    # Values near the largest float overflow to infinity here and there, and are then cut to _HUGE.
    with np.errstate(over="ignore", invalid="ignore"):
        return _search(view, values)


def _search(view: ColumnView, values: Floats) -> Mapped | None:
    reference = view.reference
    density = density_of(reference)
    health = density(values)
    judged = []
    named = [
        one
        for one in KNOWN
        if not one.is_temperature or _TEMPERATURES[0] <= reference.low <= reference.high <= _TEMPERATURES[1]
    ]
    maps = list(dict.fromkeys([*named, *_free_maps(view, health, density)]))
    ratios = _ratios(view, maps, health, density)
    for one, ratio, gain, share in zip(maps, ratios, *map(np.ndarray.tolist, gains_of(ratios)), strict=True):
        if one.is_laboratory and share < _MAIN:
            continue
        judged.append((gain - one.penalty, one, share, ratio))
    judged.sort(key=lambda item: _order(item[0], item[1]), reverse=True)
    best = [_judge(view, *item) for item in judged[:4] if item[0] > _GAIN]
    if not best:
        return None
    # The likeliest map first; one that leaves evidence behind gives way to one that does not, a number to a name.
    chosen = max(
        best, key=lambda found: (round(found.fit + _preference(found, view), 1), *_order(found.gain, found.map))
    )
    return _with_rivals(chosen, judged)


def _order(gain: float, one: Map) -> tuple[float, int, float]:
    """Greatest for the likeliest map; of about as likely ones for that with the fewest digits: 1.2 rather than 1.198."""
    return round(gain / _RIVAL), -len(f"{one.scale:.12g}{one.offset:.12g}"), gain


def _ratios(view: ColumnView, maps: Sequence[Map], health: Floats, density: Density) -> Floats:
    """How much likelier each value is mapped than healthy, (maps, rows). Digits that only the map explains tell as well."""
    scales, offsets = (np.array([getattr(one, name) for one in maps])[:, None] for name in ("scale", "offset"))
    values = view.current
    undone_values = _led_back(view, scales, offsets, values)
    ratios: Floats = density(undone_values) / np.abs(scales) / health
    # A value that the map leaves where it is (0, times anything) tells nothing.
    ratios = np.where(undone_values == values, 1.0, ratios)
    digits = digits_of(view)
    if digits is None:
        return ratios
    explained = digits.finer(values) & ~digits.finer(undone_values)
    return np.where(explained, digits.odds * ratios, ratios)


def _preference(found: Mapped, view: ColumnView) -> float:
    """What a name, and holding for all rows, count for in the choice between maps that fit alike."""
    reference = view.reference
    is_partial = found.share < 0.9
    is_small = abs(np.log(abs(found.map.scale))) < _SMALL
    is_clear = found.map.scale < 0 and (reference.low >= 0 or reference.high <= 0)
    mapped = view.current[found.rows]
    is_clear |= bool(len(mapped)) and bool(((mapped < reference.low) | (mapped > reference.high)).all())
    if found.map.is_known and is_partial and is_small and not is_clear and not found.map.offset:
        # Many a change comes close to a small ratio, or to a sign where health has both, in some of its rows.
        return -0.3
    return (0.15 if found.map.is_known or found.is_exact else 0.0) - (0.15 if is_partial else 0.0)


def _with_rivals(chosen: Mapped, judged: list[tuple[float, Map, float, Floats]]) -> Mapped:
    if not chosen.map.is_known:
        others = [gain for gain, m, _, _ in judged if not m.is_known and m != chosen.map]
        return replace(chosen, lead=chosen.gain - max(others, default=0.0))
    rivals = tuple(m for gain, m, _, _ in judged if m.is_known and m != chosen.map and gain > chosen.gain - _RIVAL)
    return replace(chosen, rivals=rivals)


def share_of(ratio: Floats) -> float:
    """Share of mapped rows that makes the mixture likeliest, by expectation maximisation. 0 of no rows."""
    return float(_shares_of(ratio[None])[0])


def _shares_of(ratios: Floats) -> Floats:
    """The same of many maps at once: (maps, rows) → (maps,)."""
    shares = np.full((len(ratios), 1), 0.5 if ratios.shape[1] else 0.0)
    for _ in range(40 if ratios.shape[1] else 0):
        mapped = shares * ratios
        mapped /= 1 - shares + mapped
        shares = mapped.mean(axis=1, keepdims=True)
    found: Floats = np.clip(shares[:, 0], 0.0, 1.0)
    return found


def _judge(view: ColumnView, gain: float, one: Map, share: float, ratio: Floats) -> Mapped:
    values = view.current
    first, since = onset(ratio, share)
    mapped = (np.arange(len(values)) >= first) & (since * ratio > (1 - since))
    restored = np.where(mapped, _returned(view, one, values), values)
    before, after = view.log10_evidence(values), view.log10_evidence(restored)
    late = restored[first:]
    half = len(late) // 2
    p = min(match_p(late, view.reference), range_p(late, view.reference))
    halves = [match_p(part, view.reference) for part in (late[:half], late[half:])]
    # A ramp leaves a trend in what one map for all rows makes of it.
    rows_in_order = np.arange(float(len(late)))
    trend = abs(rank_correlation(rows_in_order, late)) * np.sqrt(len(late) / slowness(view.reference))
    # The mapped rows by themselves must look like health too, where there are enough of them to say so.
    own = match_p(restored[mapped], view.reference) if one.is_known or share > 0.9 else p
    is_step = min(halves) > 1e-3 and trend < _TREND
    fit = graded(min(p, 10 * own)) * undone(before, after) * (1.0 if is_step else 0.5)
    independent = max(float(mapped.sum()) / slowness(view.reference), _FEW_VALUES)
    many = min(0.1 * mapped.sum(), 0.25 * view.reference.distinct, independent)
    if len(np.unique(values[mapped])) <= many:
        # One value (or few) in place of many: a fill, whatever map leads to it.
        fit *= 0.2
    is_scattered = scattered_gain(view) > gain + one.penalty + _BROAD_LEAD or _is_too_wide(view, mapped)
    if since < 0.9 and (
        is_scattered or _breaks_digits(view, one, values[mapped]) or _leaves_known(view, restored[mapped])
    ):
        fit *= 0.3
    is_exact = _is_exact(view, mapped, restored) or (since >= 0.9 and _returns_atoms(view, one, mapped))
    return Mapped(one, gain, since, mapped, before, after, p, is_step, fit, is_exact=is_exact)


def _breaks_digits(view: ColumnView, one: Map, mapped: Floats) -> bool:
    """Whether a whole factor cannot have made these values: undone, they have digits that no healthy value has."""
    if not one.is_known or one.offset or one.scale < 2 or one.scale != round(one.scale):
        return False
    step = next(
        (10.0**-d for d in range(_MOST_DIGITS + 1) if np.allclose(view.healthy, view.healthy.round(d), 0, 1e-9)), 0
    )
    steps = mapped / (one.scale * step) if step else np.zeros(0)
    return bool(len(steps)) and float((np.abs(steps - steps.round()) > _ROUNDING).mean()) > 0.5


def _leaves_known(view: ColumnView, restored: Floats) -> bool:
    """Whether most of what a map leads back to is none of the few values that health has."""
    digits = digits_of(view)
    if digits is None or not len(digits.values) or not len(restored):
        return False
    return float(digits.finer(restored).mean()) > 0.5


def _is_exact(view: ColumnView, mapped: Mask, restored: Floats) -> bool:
    digits = digits_of(view)
    if digits is None:
        return False
    finer, still = (int(digits.finer(part[mapped]).sum()) for part in (view.current, restored))
    least = max(_FINER_ROWS, _FINER_SHARE * float(mapped.sum()), _FINER_ROWS * digits.missed * len(view.current))
    return finer >= least and still <= 0.1 * finer


def _returned(view: ColumnView, one: Map, values: Floats) -> Floats:
    """What a map leads back to; values next to known ones are these where the map makes of them, to some digits, what was seen.

    A thousandth of anything lies next to 0, and nothing comes of 0.
    """
    return _led_back(view, one.scale, one.offset, values)


def _led_back(view: ColumnView, scale: Floats | float, offset: Floats | float, values: Floats) -> Floats:
    """The same of many maps at once: scales or offsets (maps, 1), values (rows,) → (maps, rows)."""
    found = (values - offset) / scale
    near = snapped(found, view)
    return np.where(np.abs(scale * near + offset - values) <= _CLOSE * np.abs(values), near, found)


def snapped(values: Floats, view: ColumnView) -> Floats:
    """Each value that lies next to one that health is known to have, as that.

    A factor is known to some digits only, and so are values that were rounded after it: beside its own value, a frequent one
    would fall into another bin.
    """
    near = nearest(values, _known_to_health(view))
    found: Floats = np.where(np.abs(values - near) <= _NEXT_TO * view.reference.spread, near, values)
    return found


@lru_cache(maxsize=128)
def _known_to_health(view: ColumnView) -> Floats:
    """In order; kept, as hundreds of maps of a column are compared with them."""
    reference, digits = view.reference, digits_of(view)
    more = () if digits is None else digits.values
    found: Floats = np.unique(np.concatenate([reference.quantiles, list(reference.atoms), more]))
    return found


def _is_too_wide(view: ColumnView, rows: Mask) -> bool:
    """Whether the mapped rows, with all others far outside, spread more than a constant factor times healthy values can."""
    values, reference = view.current, view.reference
    far = (values < reference.low - reference.spread) | (values > reference.high + reference.spread)
    mapped = values[rows | far]
    if reference.low <= 0 or len(mapped) < 5 or (mapped <= 0).any():
        return False
    healthy = float(np.log(reference.quantiles).var())
    n = len(mapped) - 1
    return float(gammaincc(n / 2, n * float(np.log(mapped).var()) / max(healthy, 1e-12) / 2)) < _TOO_WIDE_P


def onset(ratio: Floats, share: float) -> tuple[int, float]:
    """First mapped row (the cut that makes all rows likeliest), and the share of mapped rows from there on.

    The share is 1.0 where that is hardly less likely than the best share.
    """
    gains = np.cumsum(np.log(1 - share + share * ratio)[::-1])[::-1]
    first = int(np.argmax(gains))
    later = ratio[first:]
    since = share_of(later)
    partial = float(np.log(1 - since + since * later).sum())
    return first, 1.0 if float(np.log(later).sum()) > partial - _RIVAL else since


@lru_cache(maxsize=128)
def scattered_gain(view: ColumnView) -> float:
    """Log-likelihood over "healthy" of: some rows are anywhere outside the reference's range, evenly over magnitudes."""
    values, reference = view.current, view.reference
    sizes = np.abs(values[(values < reference.low) | (values > reference.high)])
    sizes = sizes[sizes > 0]
    if len(sizes) < 3 or sizes.max() <= sizes.min():
        return 0.0
    inside = (np.abs(values) >= sizes.min()) & (np.abs(values) <= sizes.max())
    outside = values[np.isin(np.abs(values), sizes)]
    sides = 1 if (outside > 0).all() or (outside < 0).all() else 2
    width = sides * np.log(sizes.max() / sizes.min())
    scattered = np.where(inside, 1 / (np.maximum(np.abs(values), sizes.min()) * width), 0.0)
    return gain_of(scattered / density_of(reference)(values))[0] - float(np.log(len(values)))


def _free_maps(view: ColumnView, health: Floats, density: Density) -> list[Map]:
    """Unnamed maps that fit the later rows: by scale, by offset, by both; and one of the rows out of range by themselves."""
    values, reference = view.current, view.reference
    n = len(values)
    found = []
    for cut in (0, 20, 40, 60):
        later = values[cut:]
        if len(later) < max(_MIN_ROWS, n // 4):
            continue
        found += _quantile_fits(later, reference, n)
    outside = values[(values < reference.low) | (values > reference.high)]
    if len(outside) >= 8 and reference.median != 0 and np.median(outside) != 0:
        found.append(Map(float(np.median(outside)) / reference.median, 0.0, "", False, parameter_cost(n)))
    found = [one for one in found if isfinite(one.scale) and isfinite(one.offset)]
    best: dict[str, tuple[float, Map]] = {}
    gains = gains_of(_ratios(view, found, health, density))[0].tolist() if found else []
    for one, gained in zip(found, gains, strict=True):
        kind = f"{one.offset == 0}{one.scale == 1}{one.scale < 0}"
        gain = gained - one.penalty
        if kind not in best or gain > best[kind][0]:
            best[kind] = (gain, one)
    fitted = [_refined(view, one, health, density) for _, one in best.values()]
    free = [*fitted, *_atom_fits(view, n), *_exact_fits(view, fitted)]
    return [one for one in free if one.offset or one.scale == 1 or abs(one.scale - 1) > _NO_FACTOR]


def _refined(view: ColumnView, one: Map, health: Floats, density: Density) -> Map:
    """The likeliest scale, or offset, near a fitted one: quantiles say little of a column that ends at an edge."""
    if one.scale != 1 and one.offset != 0:
        return one
    width, fitted = _REFINED, one
    for _ in range(_REFINEMENTS):
        steps = np.linspace(-width, width, _REFINED_STEPS)
        near = [
            replace(one, scale=one.scale * (1 + step))
            if one.offset == 0
            else replace(one, offset=one.offset + step * view.reference.spread)
            for step in steps.tolist()
        ]
        tried = [one, *near]
        gains = gains_of(_ratios(view, tried, health, density))[0]
        one = tried[int(np.argmax(gains))]
        width /= _REFINED_STEPS / 2
    gains = gains_of(_ratios(view, [fitted, one], health, density))[0]
    # The steps of the density move by chance what is likeliest; an edge is worth more than that.
    return one if gains[1] - gains[0] > _REFINED_GAIN else fitted


def gain_of(ratio: Floats) -> tuple[float, float]:
    """Log-likelihood over "all rows are healthy" where a share of the rows has this ratio; and the likeliest share."""
    gains, shares = gains_of(ratio[None])
    return float(gains[0]), float(shares[0])


def gains_of(ratios: Floats) -> tuple[Floats, Floats]:
    """The same of many maps at once: (maps, rows) → (maps,) each."""
    shares = _shares_of(ratios)
    of_rows = shares[:, None]
    return np.log(1 - of_rows + of_rows * ratios).sum(axis=1), shares


_P = np.linspace(0.1, 0.9, 17)


def parameter_cost(n: int) -> float:
    """Half a log n for a fitted number (BIC), and a handicap: a name explains more than a number."""
    return 0.5 * float(np.log(n)) + 5


def _quantile_fits(values: Floats, reference: ColumnReference, n: int) -> list[Map]:
    """Least squares on the inner quantiles, for a scale, an offset, and both."""
    x = np.array([reference.quantile(float(p)) for p in _P])
    y = np.quantile(values, _P)
    one = parameter_cost(n)
    found = []
    if (x @ x) > 0 and (x @ y) != 0:
        # Relative errors, so that the small quantiles of a skewed column count as much as the large ones.
        weight = 1 / np.maximum(np.abs(x), 0.05 * reference.spread + 1e-12)
        scale = float((weight**2 * x) @ y / ((weight**2 * x) @ x))
        if 1e-12 < abs(scale) < 1e12:
            found.append(Map(scale, 0.0, "", False, one))
    found.append(Map(1.0, float(np.median(y - x)), "", False, one))
    spread = x - x.mean()
    if (spread @ spread) > 0:
        # A negative slope turns the order round: the lowest quantile comes from the highest.
        for target, sign in ((y, 1), (y[::-1], -1)):
            slope = float(spread @ target / (spread @ spread))
            if slope * sign > 1e-9:
                found.append(Map(slope, float(y.mean() - slope * x.mean()), "", False, 2 * one))
    return found


def _atom_fits(view: ColumnView, n: int) -> list[Map]:
    """Scales and offsets that lead from one of health's most frequent values to one that comes far more often than it did.

    Exact, where a fit of quantiles is not: on a grid of values only an exact factor returns them. Of several, those which lead
    most values back to frequent ones.
    """
    reference = view.reference
    old = sorted(reference.atoms, key=lambda value: (-reference.atoms[value], value))[:_ATOMS_TRIED]
    if not old or reference.atoms[old[0]] < _ATOM:
        return []
    distinct, counts = np.unique(view.current, return_counts=True)
    usual = np.array([reference.atoms.get(value, 0.0) for value in distinct.tolist()])
    new = distinct[np.argsort(usual - counts / n, kind="stable")[:_ATOMS_TRIED]].tolist()
    cost = parameter_cost(n)
    pairs = [(a, b) for a in old for b in new if a != b]
    offsets = [Map(1.0, b - a, "", False, cost) for a, b in pairs]
    scales = [Map(b / a, 0.0, "", False, cost) for a, b in pairs if a and b]
    return [
        max(kind, key=lambda one: int(_are_atoms(reference, one.undo(view.current)).sum()))
        for kind in (offsets, scales)
        if kind
    ]


def _are_atoms(reference: ColumnReference, values: Floats) -> Mask:
    """Which values are, to four digits, frequent ones of health."""
    atoms = np.array(sorted(reference.atoms))
    near = nearest(values, atoms)
    found: Mask = np.abs(values - near) <= _SAME * np.maximum(np.abs(near), _SAME * reference.spread)
    return found


def _returns_atoms(view: ColumnView, one: Map, mapped: Mask) -> bool:
    """Whether a map leads what it explains back to health's frequent values, several of them, as often as these came.

    On an even grid the world moves, too: what a map leads back to the grid must be more than it leads there of any values on it.
    """
    atoms = np.array(list(view.reference.atoms))
    shares = np.array(list(view.reference.atoms.values()))
    # A value that stays for hours comes back once.
    values = np.unique(view.current[mapped]) if slowness(view.reference) > SLOW else view.current[mapped]
    rows = float(shares[one.apply(atoms) != atoms].sum()) * len(values)
    if rows < _ATOM_ROWS or not len(view.healthy):
        return False

    def returned(values: Floats) -> Floats:
        before = one.undo(values)
        back: Floats = before[_are_atoms(view.reference, before) & (before != values)]
        return back

    back = returned(values)
    by_chance = max(len(returned(view.healthy)), 1) / len(view.healthy)
    is_often = len(back) >= _RETURNED * rows and chance_of(len(back), len(values), by_chance) < _CHANCE
    if not is_often or float(np.ptp(back)) <= _NEXT_TO * view.reference.spread:
        return False
    grid = EvenGrid.of(np.sort(atoms))
    return grid is None or _is_beyond_grid(one, grid, view.current[mapped], back)


def _is_beyond_grid(one: Map, grid: EvenGrid, values: Floats, back: Floats) -> bool:
    """Whether a map leads values from beside an even grid back to it, or more of those on it than of all that might be.

    back: what it leads back to frequent values.
    """
    if float((~grid.has(one.apply(back))).mean()) > _BESIDE:
        return True
    distinct = np.unique(values)
    by_chance = float(grid.has(one.undo(grid.between(float(distinct[0]), float(distinct[-1])))).mean())
    return chance_of(int(grid.has(one.undo(distinct)).sum()), len(distinct), by_chance) < _CHANCE


def _exact_fits(view: ColumnView, fitted: Sequence[Map]) -> list[Map]:
    """Where values have digits, or are others, than in health: the factors and offsets that lead back to these.

    Of a quantity with few values: from one of these to one of the most frequent new ones. Of one with a last digit: round
    factors, and offsets with the new values' own rest. Of several that leave as little, the ones nearest to what the quantiles
    say.
    """
    digits = digits_of(view)
    if digits is None:
        return []
    distinct, counts = np.unique(view.current[digits.finer(view.current)], return_counts=True)
    if counts.sum() < max(_FINER_ROWS, _FINER_SHARE * len(view.current)):
        return []
    common = distinct[np.argsort(-counts, kind="stable")[:_COMMON_VALUES]]
    if digits.step:
        factors, offsets = _ROUND_FACTORS, common - np.floor(common / digits.step) * digits.step
        reach = np.arange(np.floor((distinct[0] - view.reference.high) / digits.step), 0)
        reach = np.arange(-_REACH, _REACH + 1) if len(reach) > 2 * _REACH else np.concatenate([reach, -reach])
        offsets = (offsets[:, None] + reach[None, :] * digits.step).ravel()
    else:
        known = digits.values[digits.values != 0]
        factors = (common[:, None] / known[None, :]).ravel()
        offsets = (common[:, None] - digits.values[None, :]).ravel()
    scale = next((one.scale for one in fitted if one.offset == 0), 1.0)
    offset = next((one.offset for one in fitted if one.scale == 1), 0.0)
    tried = (
        [(one, 0.0) for one in _rounded(factors) if abs(one) > 1e-6 and abs(one - 1) > 1e-6],
        [(1.0, one) for one in _rounded(offsets) if abs(one) > 1e-6],
    )
    cost = parameter_cost(len(view.current))
    found: list[Map] = []
    for numbers in tried:
        best = _leaving_least(view, digits, np.array(numbers), distinct, counts.astype(float)) if numbers else []
        best.sort(key=lambda one: abs(one[0] - scale) + abs(one[1] - offset))
        found += [Map(*one, "", False, cost) for one in best[:_EXACT_MAPS]]
    return found


def _leaving_least(
    view: ColumnView, digits: Digits, numbers: Floats, values: Floats, counts: Floats
) -> list[tuple[float, float]]:
    """Of scales and offsets, (maps, 2), those that leave hardly more rows with further digits than the best one does.

    values, counts: different values, and how often each came.
    """
    some = np.array_split(numbers, ceil(len(numbers) * len(values) / _AT_ONCE))
    left = [digits.finer(_led_back(view, one[:, :1], one[:, 1:], values)) @ counts for one in some]
    rest = np.concatenate(left)
    best = numbers[rest <= rest.min() + _FINER_SHARE * float(counts.sum())]
    return [(scale, offset) for scale, offset in best.tolist()]


def _rounded(numbers: Floats) -> list[float]:
    """Different numbers of four significant digits, in order."""
    return sorted({float(f"{one:.4g}") for one in numbers.tolist()})


def _constant_map(view: ColumnView) -> Mapped | None:
    """A column with one value in health: the known map that leads from it to the one new value."""
    constant = view.reference.low
    values = view.current
    moved = values != constant
    new = np.unique(values[moved])
    if len(new) != 1 or constant == 0:
        return None
    for one in KNOWN:
        target = one.scale * constant + one.offset
        if abs(new[0] - target) <= 1e-6 * abs(target):
            restored = np.where(moved, constant, values)
            before, after = view.log10_evidence(values), view.log10_evidence(restored)
            first = int(np.argmax(moved))
            return Mapped(one, before, float(moved[first:].mean()), moved, before, after, 1.0, True, 0.9)
    return None
