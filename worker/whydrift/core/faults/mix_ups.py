"""Which mix-up of its inputs, behind the log, would have made a model give the answers it gave: the search for one to undo.

A stand-in of health is asked what it would answer if an input came in another's place, the same for everybody, turned round, all
quantities in another order or unscaled. From the identity and from whole other orders, single changes are added as long as each
brings the answers much closer. What is compared with is not only nothing done: answers that are shifted or stretched as a whole
are none of the inputs' doing.

How close: the mean over rows of log(1 + (residual / usual size)²), as a likelihood of heavy tails has it, so that a few rows that
the stand-in has no idea of decide nothing.

Belongs here: the search, with its verdict in numbers. Not here: the fault's name, fit and words (`preprocessing_mismatch`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations
from types import MappingProxyType

import numpy as np

from whydrift.core.case import AlignedRows, Case, correlations
from whydrift.core.columns import Floats, Kind
from whydrift.core.faults.answer_stories import is_probability
from whydrift.core.faults.scales import SCALES, Scale, altered, mean, put, value_at
from whydrift.core.reference import ColumnReference
from whydrift.core.stand_in import Parts, StandIn, closest

_MIN_ROWS, _MOST_ROWS = 24, 150
"""Rows that are compared; the latest ones."""
_BEFORE = 0.25
"""Part of the rows since the estimated onset that may be from before it."""
_MOST_PLACES, _MOST_SOURCES = 12, 16
"""Inputs that answers depend on most, which may get something else; quantities that they may get."""
_MOST_CATEGORIES, _CONSTANTS = 6, 12
"""Categories and quantiles that an input may have for everybody."""
_STEP_NATS = 9.0
"""By which each further change must bring the answers closer: some hundreds are tried."""
_SURE_SOURCE_NATS = 4.6
"""By which what is put in a place must be closer than anything else, to be named: a hundred to one."""
_MOST_STEPS = 6
_LEAST_SIZE = 0.02
"""Usual residual, as a part of the answers' standard deviation, below which a stand-in's is not taken at its word."""
_SLOPES, _ROUNDS, _ODDS_SIZE = (0.3, 3.0), 5, 0.3
"""How all answers may be stretched besides; rounds of fitting that; usual residual of log-odds."""
_UNRELATED_BACK, _UNRELATED_NATS, _ALONE_NATS, _ALONE, _SURE_NATS = 0.7, 14.0, 12.0, 0.6, 20.0
"""Of an input that is unrelated to the answers: part of the distance it must take away of what it should; logarithm of the
likelihood by which it must be better than nothing done, and than another input, the latter also as a part of the former; what
more makes it sure. With noise on answers, and other models, several inputs look so, or half of the distance stays."""
_ALIKE = 0.9
"""Rank correlation from which two inputs are not exchanged: another model may lean on one rather than the other as well."""
_SHARES, _LEVELS, _NOISE_STEP = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0), 24, 7
"""Shares of rows of which an input may be unrelated to the answers; quantiles it may have instead; step by which residuals of
health are dealt to rows, so that neighbours get different ones."""
_AT_ONCE = 512
"""Alterations tried at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a place among the model's inputs gets: another input's (or its own) values, or one value for everybody."""

    source: str = ""
    scale: Scale = "low rank"
    value: float | None = None


Mix = Mapping[str, Given]
"""By place; a place that is not there gets what is logged."""
_NOTHING: Mix = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MixUp:
    """The best one found. plain, best, healthy: distance of the answers from what is expected, without it, with it, in health.

    flat: their distance from one answer to everybody.
    scatter_plain, scatter: median residual without and with it, in units of health's.
    """

    mix: Mix
    rows: int
    plain: float
    best: float
    flat: float
    healthy: float
    scatter_plain: float
    scatter: float
    is_sure: bool
    """Whether what a single place gets is clearly better than anything else in it."""
    order: str = ""
    """The whole order that it began with: rotated, sorted, reversed, raw, twice; "" where with none."""

    @property
    def nats(self) -> float:
        """Logarithm of the likelihood by which it is better."""
        return self.rows * (self.plain - self.best)

    @property
    def nats_beyond_flat(self) -> float:
        """The same against answers that depend on nothing."""
        return self.rows * (self.flat - self.best)

    @property
    def back(self) -> float:
        """Part of the distance beyond that of health which it takes away; at most 1."""
        return (self.plain - self.best) / max(self.plain - self.healthy, self.plain - self.best, 1e-9)


@dataclass(frozen=True, slots=True)
class Unrelated:
    """An input whose logged values have nothing to do with the answers in a share of the rows: any other value does as well.

    plain, best: distance of the answers as in `MixUp`, the latter as a mean over all values that the input may have;
    expected: what that would be if it is so. second: the same of the input for which it is least otherwise.
    """

    place: str
    share: float
    rows: int
    plain: float
    best: float
    expected: float
    second: float

    @property
    def nats(self) -> float:
        """Logarithm of the likelihood by which it is better than nothing done."""
        return self.rows * (self.plain - self.best)

    @property
    def is_clear(self) -> bool:
        """Whether no other input will do, and the answers are about as far from expected as they would be if it is so."""
        back = (self.plain - self.best) >= _UNRELATED_BACK * (self.plain - self.expected)
        beyond_second = self.rows * (self.second - self.best)
        return back and self.nats >= _UNRELATED_NATS and beyond_second >= max(_ALONE_NATS, _ALONE * self.nats)

    @property
    def sureness(self) -> float:
        """From .7, where it just counts, to 1."""
        return 0.7 + 0.3 * float(np.clip((self.nats - _UNRELATED_NATS) / _SURE_NATS, 0.0, 1.0))


def mix_up(case: Case) -> MixUp | None:
    """None where nothing can be asked, or no mix-up brings the answers closer than they are."""
    return _found(case)[0]


def unrelated_input(case: Case) -> Unrelated | None:
    """The one input that clearly looks so; None where none does, or a mix-up explains the answers better."""
    mixed, found = _found(case)
    if found is None or not found.is_clear:
        return None
    return None if mixed is not None and mixed.nats > found.nats else found


@lru_cache(maxsize=8)
def _found(case: Case) -> tuple[MixUp | None, Unrelated | None]:
    search = _search(case)
    return (None, None) if search is None else (search.mix_up(), search.unrelated())


def _search(case: Case) -> "_Search | None":
    view = case.outputs.get("prediction")
    if case.stand_in is None or view is None or view.reference.kind.is_coded:
        return None
    rows = _later(case.answered.current)
    names = case.stand_in.names
    if len(rows) < _MIN_ROWS or not set(names) <= rows.inputs.keys():
        return None
    healthy = case.answered.reference
    answers = healthy.outputs.get("prediction", np.empty(0))
    stand_in = closest(case.stand_in, healthy.inputs, answers, is_probability(view))
    if not len(stand_in.residuals):
        return None
    least = _LEAST_SIZE * float(np.std(view.reference.quantiles))
    references = dict(zip(names, case.stand_in.references, strict=True))
    codes = {
        column.name: {column.codes[name]: share for name, share in reference.shares.items() if name in column.codes}
        for column, reference in zip(case.stand_in.columns, case.stand_in.references, strict=True)
        if reference.kind.is_coded
    }
    return _Search(stand_in, references, codes, healthy.inputs, rows, least, is_odds=is_probability(view))


def _later(rows: AlignedRows) -> AlignedRows:
    """The latest answered ones, without the first, which may be from before the onset."""
    kept = np.flatnonzero(~np.isnan(rows.outputs.get("prediction", np.empty(0))))
    return rows.only(kept[int(_BEFORE * len(kept)) :][-_MOST_ROWS:])


# -- the search ----------------------------------------------------------------------------------------------------


class _Search:
    """Rows of today, the parts that their inputs put into the answers, and how far from the answers a mix-up leaves them.

    codes: of each category among the inputs, the share of health of each of its codes, most frequent first.
    """

    def __init__(
        self,
        stand_in: StandIn,
        references: Mapping[str, ColumnReference],
        codes: Mapping[str, Mapping[float, float]],
        healthy: Mapping[str, Floats],
        rows: AlignedRows,
        least: float,
        *,
        is_odds: bool,
    ) -> None:
        self._stand_in, self._references, self._codes = stand_in, references, codes
        self._inputs, self._answers, self._is_odds = rows.inputs, rows.outputs["prediction"], is_odds
        self._size = max(1.4826 * float(np.median(np.abs(stand_in.residuals))), least, 1e-12)
        self._own = {name: stand_in.part(name, rows.inputs[name]) for name in references}
        self._whole: Parts = np.sum(list(self._own.values()), axis=0).astype(next(iter(self._own.values())).dtype)
        self._parts: dict[tuple[str, Given], Parts] = {}
        self._quantities = [
            name for name, one in references.items() if one.kind is Kind.NUMERIC and one.distinct > 1 and one.n
        ]
        known = [name for name, one in references.items() if one.n and (not one.kind.is_coded or codes[name])]
        known = [name for name in known if stand_in.uses(name)]
        self._places = sorted(known, key=lambda name: -self._weight(name))[:_MOST_PLACES]
        most = set(sorted(self._quantities, key=lambda name: -self._weight(name))[:_MOST_SOURCES])
        self._sources = [name for name in self._quantities if name in most]
        self._alike = _alike({name: healthy[name] for name in self._sources if name in healthy})

    def _weight(self, name: str) -> float:
        """How much answers change where this input has another row's value."""
        own = self._own[name]
        other = self._stand_in.answers(self._whole - own + np.roll(own, own.shape[1] // 2, axis=1))
        return float(np.abs(other - self._stand_in.answers(self._whole)).mean())

    @cached_property
    def _healthy(self) -> float:
        return float(self._loss(self._stand_in.residuals).mean())

    @cached_property
    def _plain(self) -> float:
        return float(self._without().mean())

    def mix_up(self) -> MixUp | None:
        healthy, plain = self._healthy, self._plain
        found: list[tuple[Mix, float, str]] = []
        for scale in SCALES:
            orders = dict(self._orders(scale))
            distances = self._distances([{}, *orders.values()])
            starts: list[tuple[str, Mix]] = [("", {}), *orders.items()]
            best = int(np.argmin(distances))
            for place in {0, best}:
                order, mix = starts[place]
                found.append((*self._climbed(mix, float(distances[place]), scale, healthy), order))
        mix, distance, order = min(found, key=lambda one: one[1])
        if not mix or distance >= plain:
            return None
        scatters = [self._scatter(one) for one in ({}, mix)]
        flat = float(self._loss(self._answers - np.median(self._answers)).mean())
        is_sure = self._is_sure(mix, distance)
        return MixUp(mix, len(self._answers), plain, distance, flat, healthy, scatters[0], scatters[1], is_sure, order)

    def _is_sure(self, mix: Mix, distance: float) -> bool:
        """Whether nothing else in a mix-up's only place is about as close. (Values for everybody are all of one kind.)"""
        place, given = next(iter(mix.items()))
        if len(mix) > 1 or given.scale == "mirrored":
            return True
        others: list[Mix] = [
            {place: Given(source, scale)}
            for scale in SCALES
            for source in self._sources
            if source not in (place, given.source)
        ]
        if given.value is None:
            others += [{place: Given(value=constant)} for constant in self._constants(place)]
        return not others or (float(self._distances(others).min()) - distance) * len(self._answers) >= _SURE_SOURCE_NATS

    def unrelated(self) -> Unrelated | None:
        own = self._likelihoods(self._stand_in.answers(self._whole))
        found = []
        for place in self._places:
            others = self._any(place)
            distances = [-float(np.log((1 - share) * own + share * others).mean()) for share in _SHARES]
            found.append(min((distance, share, place) for distance, share in zip(distances, _SHARES, strict=True)))
        if len(found) < 2 or min(found)[0] >= self._plain:
            return None
        found.sort()
        best, share, place = found[0]
        expected = self._if_unrelated(place, share)
        return Unrelated(place, share, len(self._answers), self._plain, best, expected, found[1][0])

    def _likelihoods(self, expected: Floats) -> Floats:
        found: Floats = 1 / (1 + ((self._answers - expected) / self._size) ** 2)
        return found

    def _levels(self, place: str) -> tuple[list[Given], Floats]:
        """Values that an input has in health, and how often."""
        reference = self._references[place]
        if reference.kind.is_coded:
            shares = dict(list(self._codes[place].items())[:_MOST_CATEGORIES])
            weights = np.array(list(shares.values()))
            return [Given(value=code) for code in shares], weights / weights.sum()
        values = value_at(reference, (np.arange(_LEVELS) + 0.5) / _LEVELS)
        return [Given(value=one) for one in values.tolist()], np.full(_LEVELS, 1 / _LEVELS)

    def _any(self, place: str) -> Floats:
        """Likelihood of each row's answer with any value of this input, as often as health has it: (rows,)."""
        levels, weights = self._levels(place)
        found: Floats = weights @ self._likelihoods(self._expected([{place: level} for level in levels]))
        return found

    def _if_unrelated(self, place: str, share: float) -> float:
        """The distance that answers would have of which a share is made from other values of this input than the logged ones."""
        levels, weights = self._levels(place)
        expected = self._expected([{place: level} for level in levels])
        own = self._stand_in.answers(self._whole)
        noise = np.resize(np.roll(self._stand_in.residuals, 1)[::_NOISE_STEP], expected.shape)

        def distance(answers: Floats) -> Floats:
            """(levels, rows) or (1, rows)."""
            mine = 1 / (1 + ((answers - own) / self._size) ** 2)
            others = np.stack([1 / (1 + ((answers - one) / self._size) ** 2) for one in expected])
            found: Floats = -np.log((1 - share) * mine + share * np.tensordot(weights, others, axes=1)).mean(axis=1)
            return found

        theirs = float(weights @ distance(expected + noise))
        return share * theirs + (1 - share) * float(distance(own[None] + noise[:1])[0])

    def _scatter(self, mix: Mix) -> float:
        """Median residual, as a multiple of health's."""
        return 1.4826 * float(np.median(np.abs(self._answers - self._expected([mix])[0]))) / self._size

    def _climbed(self, mix: Mix, distance: float, scale: Scale, enough: float) -> tuple[Mix, float]:
        """Changes added one by one, the best one each time, as long as they bring much."""
        for _ in range(_MOST_STEPS):
            if distance <= enough:
                break
            steps = list(self._steps(mix, scale))
            distances = self._distances(steps, mix)
            best = int(np.argmin(distances))
            if (distance - distances[best]) * len(self._answers) < _STEP_NATS:
                break
            mix, distance = {**mix, **steps[best]}, float(distances[best])
        return mix, distance

    def _orders(self, scale: Scale) -> Iterator[tuple[str, Mix]]:
        """Whole other orders of the quantities, and none of them scaled or all twice."""
        own = self._quantities
        count = len(own)
        orders = {"rotated": [*own[1:], *own[:1]], "rotated back": [*own[-1:], *own[:-1]]}
        orders |= {"sorted": sorted(own), "reversed": own[::-1]}
        for says, others in orders.items():
            yield says, {a: Given(b, scale) for a, b in zip(own, others, strict=True) if a != b and count > 1}
        if scale == SCALES[0]:
            yield "raw", {name: Given(name, "raw") for name in own}
            yield "twice", {name: Given(name, "twice") for name in own}

    def _steps(self, mix: Mix, scale: Scale) -> Iterator[Mix]:
        """What one change more puts in places."""
        for place in self._places:
            for constant in self._constants(place):
                yield {place: Given(value=constant)}
            if place not in self._quantities:
                continue
            if place not in mix:
                yield {place: Given(place, "mirrored")}
            for source in self._sources:
                is_other = source != place and (place, source) not in self._alike
                if is_other and mix.get(place) != Given(source, scale):
                    yield {place: Given(source, scale)}
        for a, b in combinations(self._sources, 2):
            if (a in self._places or b in self._places) and (a, b) not in self._alike:
                first, second = mix.get(a, Given(a, scale)), mix.get(b, Given(b, scale))
                yield {a: _at(a, second), b: _at(b, first)}

    def _constants(self, place: str) -> list[float]:
        reference = self._references[place]
        if reference.kind.is_coded:
            return list(self._codes[place])[:_MOST_CATEGORIES]
        levels = np.linspace(0, 1, _CONSTANTS + 1)
        values = reference.edges if reference.is_discrete else np.quantile(reference.quantiles, levels)
        return sorted({*map(float, values), reference.median, mean(reference)})

    # -- how far

    def _without(self) -> Floats:
        """Loss of each row with no mix-up, but with whatever shift and stretch of all answers suits best."""
        expected = self._stand_in.answers(self._whole)
        turned = 2 * expected.mean() - expected
        left = [self._left(one[None])[0] for one in (expected, turned)]
        if self._is_odds:
            left += [self._left(one[None], in_odds=True)[0] for one in (expected, 1 - expected)]
        return min((self._loss(one) for one in left), key=lambda loss: float(loss.mean()))

    def _left(self, expected: Floats, *, in_odds: bool = False) -> Floats:
        """Residuals (mixes, rows), each mix's answers shifted and stretched as suits it best, or as they are."""
        if in_odds:
            odds = _odds(expected)
            return self._answers - _share(_lined(odds, _odds(self._answers), _ODDS_SIZE))
        return self._answers - _lined(expected, self._answers, self._size)

    def _loss(self, residuals: Floats) -> Floats:
        found: Floats = np.log1p((residuals / self._size) ** 2)
        return found

    def _losses(self, expected: Floats) -> Floats:
        """(mixes, rows)."""
        lined = self._loss(self._left(expected, in_odds=self._is_odds and self._stand_in.is_in_odds))
        plain = self._loss(self._answers - expected)
        is_better = lined.mean(axis=1, keepdims=True) < plain.mean(axis=1, keepdims=True)
        found: Floats = np.where(is_better, lined, plain)
        return found

    def _distances(self, mixes: Sequence[Mix], base: Mix = _NOTHING) -> Floats:
        """Of each mix-up, in places where it says nothing that of `base`."""
        found = [
            self._losses(self._expected(mixes[first : first + _AT_ONCE], base)).mean(axis=-1)
            for first in range(0, len(mixes), _AT_ONCE)
        ]
        return np.concatenate(found)

    def _expected(self, mixes: Sequence[Mix], base: Mix = _NOTHING) -> Floats:
        """(mixes, rows)."""
        before = self._own | {place: self._part(place, given) for place, given in base.items()}
        whole = self._whole + sum(before[place] - self._own[place] for place in base)
        parts = np.repeat(whole[None], len(mixes), axis=0)
        for number, mix in enumerate(mixes):
            for place, given in mix.items():
                if self._stand_in.uses(place):
                    parts[number] += self._part(place, given) - before[place]
        return self._stand_in.answers(parts)

    def _part(self, place: str, given: Given) -> Parts:
        found = self._parts.get((place, given))
        if found is None:
            found = self._parts[place, given] = self._stand_in.part(place, self._values(place, given))
        return found

    def _values(self, place: str, given: Given) -> Floats:
        if given.value is not None:
            return np.full(len(self._answers), given.value)
        mine, values = self._references[place], self._inputs[given.source]
        if given.source == place:
            return altered(mine, values, given.scale)
        return put(values, self._references[given.source], mine, given.scale)


def _alike(healthy: Mapping[str, Floats]) -> set[tuple[str, str]]:
    """Pairs of inputs, either way round, that tell nearly the same."""
    names = list(healthy)
    together = np.abs(np.nan_to_num(correlations([healthy[name] for name in names])))
    return {(names[a], names[b]) for a, b in np.argwhere(together >= _ALIKE).tolist()}


def _at(place: str, given: Given) -> Given:
    """What is put in a place; a column that comes back to its own is as it is."""
    return replace(given, scale="low rank") if given.source == place and given.scale in SCALES else given


# -- shifted and stretched answers ---------------------------------------------------------------------------------


def _lined(expected: Floats, answers: Floats, size: float) -> Floats:
    """A straight line in what is expected, (mixes, rows), by least squares whose weights fall with the distance (Cauchy's).

    It rises, and neither flattens nor stretches beyond _SLOPES: everything is close to a constant that nothing depends on.
    """
    slope = np.ones((len(expected), 1))
    shift = np.median(answers - expected, axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        weights = 1 / (1 + ((answers - shift - slope * expected) / size) ** 2)
        total = weights.sum(axis=1, keepdims=True)
        x = expected - (weights * expected).sum(axis=1, keepdims=True) / total
        mean = (weights * answers).sum(axis=1, keepdims=True) / total
        slope = (weights * x * answers).sum(axis=1, keepdims=True) / np.maximum(
            (weights * x**2).sum(axis=1, keepdims=True), 1e-12
        )
        slope = np.clip(slope, *_SLOPES)
        shift = mean - slope * (expected - x)
    found: Floats = shift + slope * expected
    return found


def _odds(answers: Floats) -> Floats:
    inside = np.clip(answers, 1e-4, 1 - 1e-4)
    found: Floats = np.log(inside / (1 - inside))
    return found


def _share(odds: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-odds))
    return found
