"""What rules about classes share: whether the model calls some classes by each other's names.

Of two classes that change places nothing may show but the loss: as many answers of each as ever, each as sure. Labels tell
which they are, but not who turned round: a model whose head is permuted, or the world. Inputs do, and without labels: what is
called *cat* now looks as what was called *dog* in health did, or as cats did. What a case looks like is told roughly, by naive
Bayes over the bins of its inputs; how roughly, other rows of health show, so that a poor guess only takes longer.

Belongs here: that question, asked of inputs and of labels. Not here: rules (this file has none, and is passed over), a score and
its complement (`answer_stories`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from whydrift.core.case import ANSWERS, AlignedRows, Case
from whydrift.core.columns import Floats, recoded
from whydrift.core.faults.answer_stories import has_two_classes
from whydrift.core.reference import BINS

_LEAST_LABELLED, _MOST_CLASSES = 30, 50
_LEAST_ROWS, _MOST_ROWS = 8, 400
"""Rows of health with an answer that it takes to know what such cases look like; latest rows that are asked."""
_GAIN = 12.0
"""Log-likelihood that an exchange must gain over "as in health"."""
_AS_EVER = 0.6
"""Part of what looks tell in health that they must tell of cases exchanged back."""
_KEPT = 0.1
"""Share of right answers that may be missing when exchanged back."""
_OWN = 2.0
"""Labels by which another name must win over a class's own."""
_SURE = 0.98
"""No answer is taken to be right more often than this, by however many labels."""
_CLEAR_NATS = 5.0
"""Logarithm of the odds from which inputs tell who turned round: about 150 to 1."""
_UNRELATED = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0 - 1e-9)
"""Shares of the cases whose names may have nothing to do with what they look like."""
_PARTS = 4
"""Of the rows of health, each guessed by the others."""
_PRIOR, _PRIOR_ROWS = 0.5, 2.0
"""Rows that each bin has before any is seen; guesses of each answer, shared as those of all answers are."""
_TOLD = frozenset((*ANSWERS, "actual", "loss"))
_PLACES = BINS + 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """back: what is called so → is meant. is_models: inputs show that it is the model.

    evidence: decimal logarithm of how much likelier inputs, or else labels, are when names are exchanged back.
    """

    back: Mapping[str, str]
    is_models: bool
    evidence: float


@lru_cache(maxsize=8)
def exchange(case: Case) -> Exchange | None:
    """The exchange of names that inputs show, or else labels; None where there is none, or inputs show that the world has turned.

    Of two classes with scores `answer_stories` knows more.
    """
    view = case.outputs.get("decision")
    if view is None or not any(signal.column in _TOLD for signal in case.alarmed):
        return None
    if len(view.reference.shares) < (3 if "prediction" in case.outputs else 2):
        return None
    looks = _looks(case)
    moved = {} if looks is None else looks.exchanged()
    if looks is not None and moved:
        return Exchange(_named(case, moved), True, looks.odds(moved) / np.log(10))
    return _by_labels(case, looks)


def is_models_exchange(case: Case) -> bool:
    """Whether inputs show that the model calls some classes by each other's names."""
    found = exchange(case)
    return found is not None and found.is_models


def are_asked(case: Case) -> bool:
    """Whether inputs can be asked at all: then an exchange that they do not show is none."""
    return _looks(case) is not None


def are_called_otherwise(case: Case) -> bool:
    """Whether cases of several classes are clearly called otherwise than such cases were in health, all or some of them."""
    looks = None if has_two_classes(case) else _looks(case)
    return looks is not None and looks.otherwise >= _CLEAR_NATS


# -- inputs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """fits (classes, classes): log-likelihood of what today's cases of one answer look like, were it the other.

    of_any (classes,): the same were they cases of all kinds. rows (classes,): how many. tells (classes,): how much more likely a
    case of health is on average among its own kind. otherwise: logarithm of the odds that some of today's cases get any name.
    """

    classes: Floats
    fits: Floats
    of_any: Floats
    rows: Floats
    tells: Floats
    otherwise: float

    def exchanged(self) -> dict[float, float]:
        """What is called so → is meant: rings of names each of which gains enough, and whose cases then look as in health.

        Answers of another model, or one for everybody, gain by other names, too, but then look like none.
        """
        places = linear_sum_assignment(-self.fits)[1]
        named = self.fits[np.arange(len(places)), places]
        gains, told = named - self.fits.diagonal(), named - self.of_any
        tells = self.rows * self.tells[places]
        if told.sum() < _AS_EVER * tells.sum():
            return {}
        found: dict[float, float] = {}
        for ring in _rings(places):
            if gains[ring].sum() >= _GAIN and told[ring].sum() >= _AS_EVER * tells[ring].sum():
                found |= {float(self.classes[one]): float(self.classes[places[one]]) for one in ring}
        return found

    def odds(self, moved: Mapping[float, float]) -> float:
        """Logarithm of the odds that the model calls cases so, 0 of classes that are not known well enough."""
        at = {code: place for place, code in enumerate(self.classes.tolist())}
        pairs = [(at[said], at[meant]) for said, meant in moved.items() if said in at and meant in at]
        return float(sum(self.fits[said, meant] - self.fits[said, said] for said, meant in pairs))


def _rings(places: NDArray[np.intp]) -> list[list[int]]:
    """The cycles of a permutation, but for those of one."""
    found, left = [], {one for one, to in enumerate(places.tolist()) if one != to}
    while left:
        ring = [min(left)]
        while (to := int(places[ring[-1]])) != ring[0]:
            ring.append(to)
        left -= set(ring)
        found.append(ring)
    return found


@lru_cache(maxsize=8)
def _looks(case: Case) -> _Looks | None:
    """None where too few rows of health are kept, or inputs are not known."""
    before, now = case.answered.reference, case.answered.current
    was, said = (rows.outputs.get("decision", np.empty(0)) for rows in (before, now))
    known, counts = np.unique(was[~np.isnan(was)], return_counts=True)
    classes = known[counts >= _LEAST_ROWS]
    names = [name for name in before.inputs if name in case.features and name in now.inputs]
    if not 2 <= len(classes) <= _MOST_CLASSES or not names:
        return None
    healthy, todays = (np.flatnonzero(np.isin(codes, classes)) for codes in (was, said))
    todays = todays[len(todays) // 2 :][-_MOST_ROWS:]  # the onset is an estimate
    answered, bins = np.searchsorted(classes, was[healthy]), _bins(case, before, names)[healthy]
    guessed, part = np.empty(len(healthy), np.intp), np.arange(len(healthy)) % _PARTS
    for one in range(_PARTS):
        guessed[part == one] = _guess(bins[part != one], answered[part != one], len(classes))(bins[part == one])
    guesses = _table(answered, guessed, len(classes))
    shares = guesses + _PRIOR_ROWS * (guesses.sum(axis=0) + _PRIOR) / (len(healthy) + _PRIOR * len(classes))
    today = _guess(bins, answered, len(classes))(_bins(case, now, names)[todays])
    seen = _table(np.searchsorted(classes, said[todays]), today, len(classes))
    logs = np.log(shares / shares.sum(axis=1, keepdims=True))
    of_any = np.log(shares.sum(axis=0) / shares.sum())
    tells = (guesses * (logs - of_any)).sum(axis=1) / guesses.sum(axis=1)
    some = [(seen * np.logaddexp(logs + np.log(1 - part), of_any + np.log(part))).sum() for part in _UNRELATED]
    otherwise = float(logsumexp(some) - np.log(len(some)) - (seen * logs).sum())
    return _Looks(classes, seen @ logs.T, seen @ of_any, seen.sum(axis=1), tells, otherwise)


def _table(rows: NDArray[np.intp], columns: NDArray[np.intp], size: int) -> Floats:
    """How often each pair: (size, size)."""
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size).astype(float)


@dataclass(frozen=True, slots=True, eq=False)
class _Guess:
    """Naive Bayes: logs (inputs, bins, classes), logarithms of each bin's share among cases of a class."""

    logs: Floats
    shares: Floats

    def __call__(self, bins: NDArray[np.intp]) -> NDArray[np.intp]:
        """The likeliest class of rows given by the inputs' bins (rows, inputs): (rows,)."""
        found = np.tile(self.shares, (len(bins), 1))
        for place, logs in enumerate(self.logs):
            found += logs[bins[:, place]]
        likeliest: NDArray[np.intp] = found.argmax(axis=1)
        return likeliest


def _guess(bins: NDArray[np.intp], classes: NDArray[np.intp], size: int) -> _Guess:
    inputs = bins.shape[1]
    cells = (np.arange(inputs) * _PLACES + bins) * size + classes[:, None]
    counts = np.bincount(cells.ravel(), minlength=inputs * _PLACES * size).reshape(inputs, _PLACES, size) + _PRIOR
    rows = np.bincount(classes, minlength=size) + _PRIOR
    return _Guess(np.log(counts / counts.sum(axis=1, keepdims=True)), np.log(rows / rows.sum()))


def _bins(case: Case, rows: AlignedRows, names: list[str]) -> NDArray[np.intp]:
    views = [case.features[name] for name in names]
    return np.stack([view.reference.bins(view.column, rows.inputs[view.name]) for view in views], axis=1)


# -- labels ----------------------------------------------------------------------------------------------------


def _by_labels(case: Case, looks: _Looks | None) -> Exchange | None:
    """The exchange of names after which answers are as often right as in health."""
    before, now = (_answered(case, rows) for rows in (case.labelled.reference, case.labelled.current))
    now = now[len(now) // 3 :]
    if min(len(before), len(now)) < _LEAST_LABELLED:
        return None
    classes = np.unique(np.concatenate([before, now]))
    if len(classes) > _MOST_CLASSES:
        return None
    said, came = np.searchsorted(classes, now).T
    counts = _table(said, came, len(classes))
    own = np.arange(len(classes))
    places = linear_sum_assignment(-counts - _OWN * np.eye(len(classes)))[1]
    usual = float((before[:, 0] == before[:, 1]).mean())
    as_is, restored = (float(counts[own, to].sum() / len(now)) for to in (own, places))
    right = np.clip(usual, 1 / len(classes) + 0.01, _SURE)
    gain = len(now) * (restored - as_is) * np.log(right * (len(classes) - 1) / (1 - right))
    if gain < _GAIN or restored < usual - _KEPT:
        return None
    moved = {float(classes[said]): float(classes[meant]) for said, meant in enumerate(places) if said != meant}
    by_inputs = 0.0 if looks is None else looks.odds(moved)
    if by_inputs <= -_CLEAR_NATS:
        return None
    return Exchange(_named(case, moved), by_inputs >= _CLEAR_NATS, float(gain) / np.log(10))


def _answered(case: Case, rows: AlignedRows) -> Floats:
    """What was answered and what came true, as codes of answers: (rows with both, 2)."""
    decision, actual = case.outputs.get("decision"), case.labels.get("actual")
    if decision is None or actual is None or not actual.reference.kind.is_coded:
        return np.empty((0, 2))
    came = recoded(rows.outputs.get("actual", np.empty(0)), actual.column, decision.column)
    both = np.stack([rows.outputs.get("decision", np.empty(0)), came], axis=1)
    found: Floats = both[~np.isnan(both).any(axis=1)]
    return found


def _named(case: Case, moved: Mapping[float, float]) -> dict[str, str]:
    name = case.outputs["decision"].column.category
    return {name(said): name(meant) for said, meant in moved.items()}
