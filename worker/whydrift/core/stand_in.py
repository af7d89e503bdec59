"""Stand-ins for the watched model that can be asked about rows which nobody has seen: inputs exchanged, held fixed, turned round.

What an answer is made of adds up over the inputs before it is read: in trees the places of leaves, in a linear model the terms.
So of an altered input only its own part is made anew, and thousands of alterations can be tried.

`Trees` is the surrogate by which residuals are watched. Where the model is linear, in its answers or their log-odds, a linear
stand-in knows it to the last digit from some hundred rows, also where inputs go together as they never did: `closest` takes it
then.

Belongs here: expecting answers from parts. Not here: fitting the surrogate (`surrogate`), what is tried (`faults/mix_ups`).
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats
from whydrift.core.reference import BINS, UNSEEN, Binning, ColumnReference
from whydrift.core.surrogate import Surrogate

_RIDGE = 1e-4
"""Penalty, as a number of rows: only to tell apart what goes together to the last digit."""
_MOST_CATEGORIES = 60
"""Categories of one input with a term of their own."""
_MIN_ROWS = 100
_EDGE = 1e-4
_MUCH_CLOSER = 0.5
"""Part of the trees' usual residual within which a linear stand-in must come, to be taken for the model's own kind."""


Parts = NDArray[Any]
"""What inputs put into answers, (…, parts, rows): whole numbers or not, by the kind of stand-in."""


class StandIn(Protocol):
    """names: the inputs it looks at. residuals: of rows of health that it was not fitted on."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def residuals(self) -> Floats: ...

    @property
    def is_in_odds(self) -> bool:
        """Whether its parts add up to log-odds."""
        ...

    def uses(self, name: str) -> bool:
        """Whether answers depend on this input at all."""
        ...

    def part(self, name: str, values: Floats) -> Parts:
        """What values of one input, (rows,), put into the answers: (parts, rows)."""

    def answers(self, parts: Parts) -> Floats:
        """Answers from the sums of all inputs' parts: (…, parts, rows) → (…, rows)."""


@dataclass(frozen=True, eq=False)
class Trees:
    """The surrogate. columns, references: what its bins were made of, in its order. residuals: crosswise ones of health."""

    columns: tuple[Column, ...]
    references: tuple[ColumnReference, ...]
    surrogate: Surrogate
    residuals: Floats
    _tables: dict[str, NDArray[np.int16]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def _binning(self) -> Binning:
        return Binning(self.columns, self.references)

    @property
    def is_in_odds(self) -> bool:
        return False

    def expect(self, inputs: Mapping[str, Floats]) -> Floats:
        """Answers that health makes expect of rows given by input: (rows,)."""
        return self.surrogate.expect(self._binning.bins(np.stack([inputs[name] for name in self.names], axis=1)))

    def uses(self, name: str) -> bool:
        return self.names.index(name) in self._used

    @cached_property
    def _used(self) -> frozenset[int]:
        has_said = np.ptp(self.surrogate.leaves, axis=1) > 0
        return frozenset(self.surrogate.columns[has_said].ravel().tolist())

    def part(self, name: str, values: Floats) -> Parts:
        """Of each tree, the bits of the leaf's number that are this input's answers to its questions."""
        place = self.names.index(name)
        if name not in self._tables:
            self._tables[name] = self._table(place)
        return self._tables[name][:, self.references[place].bins(self.columns[place], values)]

    def _table(self, place: int) -> NDArray[np.int16]:
        """The same of each bin: (trees, bins)."""
        bins = np.arange(BINS + 1)
        bins[UNSEEN:] = self.surrogate.usual[place]
        depth = self.surrogate.columns.shape[1]
        is_beyond = (self.surrogate.columns == place)[..., None] & (bins > self.surrogate.cuts[..., None])
        bits = 2 ** np.arange(depth - 1, -1, -1)
        found: NDArray[np.int16] = (bits @ is_beyond).astype(np.int16)
        return found

    def answers(self, parts: Parts) -> Floats:
        # Tree by tree: a fifth of the time that it takes to look all up at once, of which memory is the most part.
        found = np.full((*parts.shape[:-2], parts.shape[-1]), self.surrogate.mean)
        for tree, leaves in enumerate(self.surrogate.leaves):
            found += leaves.take(parts[..., tree, :], mode="clip")
        return found


@dataclass(frozen=True, eq=False)
class Linear:
    """terms: by input, the middle and weight of a quantity, or what each code of a category adds."""

    names: tuple[str, ...]
    residuals: Floats
    middle: float
    terms: Mapping[str, "Quantity | Categories"]
    is_probability: bool

    @property
    def is_in_odds(self) -> bool:
        return self.is_probability

    def uses(self, name: str) -> bool:
        return True

    def part(self, name: str, values: Floats) -> Parts:
        return self.terms[name].part(values)[None]

    def expect(self, inputs: Mapping[str, Floats]) -> Floats:
        """Answers of rows given by input: (rows,)."""
        return self.answers(np.sum([self.part(name, values) for name, values in inputs.items()], axis=0))

    def answers(self, parts: Parts) -> Floats:
        return _unlinked(self.middle + parts[..., 0, :], self.is_probability)


@dataclass(frozen=True, slots=True)
class Quantity:
    middle: float
    weight: float

    def part(self, values: Floats) -> Floats:
        """A missing value counts as the middle."""
        found: Floats = np.nan_to_num(values - self.middle) * self.weight
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    codes: Floats
    weights: Floats

    def part(self, values: Floats) -> Floats:
        """A category that was not seen adds nothing."""
        places = np.minimum(np.searchsorted(self.codes, values), len(self.codes) - 1)
        found: Floats = np.where(self.codes[places] == values, self.weights[places], 0.0)
        return found


def closest(trees: Trees, inputs: Mapping[str, Floats], answers: Floats, is_probability: bool) -> StandIn:
    """The stand-in to ask: the trees, or a linear one of rows of health where that comes much closer to other rows' answers."""
    usable = ~np.isnan(answers)
    if usable.sum() < _MIN_ROWS or not set(trees.names) <= inputs.keys() or not len(trees.residuals):
        return trees
    rows = {name: inputs[name][usable] for name in trees.names}
    coded = {name for name, one in zip(trees.names, trees.references, strict=True) if one.kind.is_coded}
    if sum(_terms(rows[name], is_coded=name in coded) for name in rows) >= len(answers[usable]) // 2:
        return trees  # each half of the rows would be told exactly, by terms that say nothing of the other
    left = _crosswise(rows, coded, answers[usable], is_probability)
    if np.median(np.abs(left)) > _MUCH_CLOSER * np.median(np.abs(trees.residuals)):
        return trees
    return replace(_linear(rows, coded, answers[usable], is_probability), residuals=left)


def _crosswise(rows: Mapping[str, Floats], coded: AbstractSet[str], answers: Floats, is_probability: bool) -> Floats:
    """What is left of each row's answer by a linear model of the other half."""
    even = np.arange(len(answers)) % 2 == 0
    left = np.empty(len(answers))
    for own in (even, ~even):
        fitted = _linear({name: v[~own] for name, v in rows.items()}, coded, answers[~own], is_probability)
        left[own] = answers[own] - fitted.expect({name: values[own] for name, values in rows.items()})
    return left


def _linear(rows: Mapping[str, Floats], coded: AbstractSet[str], answers: Floats, is_probability: bool) -> Linear:
    """Least squares on the answers, or on their log-odds."""
    designs = {name: _design(values, is_coded=name in coded) for name, values in rows.items()}
    design = np.concatenate(list(designs.values()), axis=1)
    centre, scale = design.mean(axis=0), np.maximum(design.std(axis=0), 1e-12)
    scaled = (design - centre) / scale
    target = _linked(answers, is_probability)
    squares = scaled.T @ scaled + _RIDGE * np.eye(len(scale))
    weights = np.linalg.solve(squares, scaled.T @ (target - target.mean())) / scale
    terms: dict[str, Quantity | Categories] = {}
    place = 0
    for name, mine in designs.items():
        own = weights[place : place + mine.shape[1]]
        place += mine.shape[1]
        is_coded = name in coded
        terms[name] = (
            Categories(_frequent(rows[name]), own) if is_coded else Quantity(_middle(rows[name]), float(own[0]))
        )
    return Linear(tuple(rows), np.empty(0), float(target.mean() - centre @ weights), terms, is_probability)


def _terms(values: Floats, *, is_coded: bool) -> int:
    return len(_frequent(values)) if is_coded else 1


def _design(values: Floats, *, is_coded: bool) -> Floats:
    """Columns of one input: (rows, terms)."""
    found: Floats = (
        values[:, None] == _frequent(values) if is_coded else np.nan_to_num(values - _middle(values))[:, None]
    )
    return found.astype(float)


def _middle(values: Floats) -> float:
    return float(np.median(values[~np.isnan(values)])) if (~np.isnan(values)).any() else 0.0


def _frequent(values: Floats) -> Floats:
    """The most frequent codes, in their order; one that is never met where there are none."""
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    kept: Floats = np.sort(codes[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]])
    return kept if len(kept) else np.full(1, -1.0)


def _linked(answers: Floats, is_probability: bool) -> Floats:
    if not is_probability:
        return answers
    inside = np.clip(answers, _EDGE, 1 - _EDGE)
    found: Floats = np.log(inside / (1 - inside))
    return found


def _unlinked(values: Floats, is_probability: bool) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500))) if is_probability else values
    return found
