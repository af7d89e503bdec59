"""Whether outcomes are such as cases with another value of one input get: that input was looked up for other rows.

Where no other input goes with it, its distribution is as ever, and the model answers what it is asked, so that only what comes
true can tell: the outcome has nothing to do with the input any more, while it follows all the others as it did. A concept that
drifts mostly makes it follow the input otherwise; where the world itself stops to follow one, the data cannot tell.

The answer that the right value would have got is that which was given, and what the stand-in makes of the difference of both;
the right value is any of health's.

Belongs here: how likely that makes the outcomes. Not here: the other stories of errors, with which it competes (`outcomes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from whydrift.core.case import AlignedRows
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import spread_of
from whydrift.core.stand_in import Trees

_SHARES = np.array([0.15, 0.35, 0.6, 1.0])
"""Parts of the rows that may have others' values."""
_VALUES = 12
"""Values of health that stand for any."""
_MOST_INPUTS = 12
"""Inputs that are tried, those first on which answers depend most."""
_BINS, _TAILS = 8, 5.0
"""Groups of answers by which health's outcomes are known; degrees of freedom of the t-distribution of what is missed."""
_FOLLOWS_Z, _FAR = 3.5, 3.0
"""Standard errors by which outcomes must follow what others' values are on the mean; sizes beyond which all count alike."""
_FARTHEST = 1e6
"""Sizes beyond which nothing is told apart: densities would underflow."""
_LEAST = 0.02
"""Part of the answers' spread that an input must move them by for outcomes to tell of it."""


@dataclass(frozen=True, slots=True)
class OthersValues:
    """log_odds: by which outcomes are likelier than in health, averaged over the inputs. name: the likeliest of these.

    in_health: logarithm of how likely they are in health.
    """

    log_odds: float
    in_health: float
    name: str


def others_values(
    stand_in: Trees, health: AlignedRows, now: AlignedRows, before_true: Floats, now_true: Floats, *, is_numeric: bool
) -> OthersValues | None:
    """Of labelled rows with all inputs of the stand-in; None where it looks at others, or no input matters.

    before_true, now_true: what came true, (rows,): numbers, or 1.0 where it was the class that scores stand for.
    """
    if not set(stand_in.names) <= now.inputs.keys() or len(before_true) < _BINS:
        return None
    outcomes = _Outcomes(health.outputs["prediction"], before_true, is_numeric=is_numeric)
    answers = now.outputs["prediction"]
    as_ever = outcomes.likely(answers, now_true)
    moved = _moved(stand_in, health.inputs, now.inputs)
    spread = float(np.nanstd(answers))
    strongest = sorted(moved, key=lambda name: -float(np.abs(moved[name]).mean()))[:_MOST_INPUTS]
    found: dict[str, float] = {}
    for name in strongest:
        if float(np.abs(moved[name]).mean()) < _LEAST * spread:
            continue
        if outcomes.follows(answers, now_true, moved[name].mean(axis=0)) < _FOLLOWS_Z:
            continue
        others = np.mean([outcomes.likely(answers + by, now_true) for by in moved[name]], axis=0)
        each = np.log(1 - _SHARES[:, None] + _SHARES[:, None] * others / as_ever).sum(axis=1)
        found[name] = float(logsumexp(each)) - float(np.log(len(_SHARES)))
    if not found:
        return None
    together = float(logsumexp(list(found.values()))) - float(np.log(len(strongest)))
    leaning = outcomes.leaning(health.outputs["prediction"], before_true, answers, now_true)
    in_health = float(np.log(as_ever).sum())
    if not np.isfinite([together - leaning, in_health]).all():
        return None  # numbers so large that their differences overflow
    return OthersValues(together - leaning, in_health, max(found, key=lambda name: found[name]))


def _moved(stand_in: Trees, health: Mapping[str, Floats], now: Mapping[str, Floats]) -> dict[str, Floats]:
    """By how much another value of each input would change the answers: (values, rows)."""
    own = {name: stand_in.part(name, now[name]) for name in stand_in.names}
    whole = np.sum(list(own.values()), axis=0)
    told = stand_in.answers(whole)
    found = {}
    for name in stand_in.names:
        values = np.sort(health[name][~np.isnan(health[name])])
        if not stand_in.uses(name) or not len(values):
            continue
        chosen = values[(np.arange(_VALUES) * 2 + 1) * len(values) // (2 * _VALUES)]
        others = stand_in.part(name, chosen)
        found[name] = stand_in.answers(whole - own[name] + others.T[..., None]) - told
    return found


class _Outcomes:
    """What comes true in health, given the answer."""

    def __init__(self, answers: Floats, true: Floats, *, is_numeric: bool) -> None:
        edges = np.unique(np.quantile(answers, np.linspace(0, 1, _BINS + 1)[1:-1]))
        groups = np.searchsorted(edges, answers, "right")
        order = [np.flatnonzero(groups == group) for group in np.unique(groups).tolist()]
        self._is_numeric = is_numeric
        self._centres = np.array([np.median(answers[rows]) for rows in order])
        if is_numeric:
            missed = [true[rows] - answers[rows] for rows in order]
            self._middles = np.array([np.median(one) for one in missed])
            sizes = np.array([spread_of(one) for one in missed])
            self._sizes = np.maximum(sizes, 0.05 * max(float(np.median(sizes)), 1e-12))
        else:
            self._middles = np.array([(true[rows].sum() + 0.5) / (len(rows) + 1.0) for rows in order])

    def follows(self, answers: Floats, true: Floats, mean: Floats) -> float:
        """Standard errors by which outcomes are off the answers in the way that others' values are on the mean, (rows,).

        Answers of another model, and wrong labels, are off in any way: that makes outcomes scatter wider only.
        """
        size = self._size(answers) if self._is_numeric else 1.0
        left, by = np.clip(self._left(answers, true) / size, -_FAR, _FAR), mean / size
        by = by - by.mean()
        return float((left - left.mean()) @ by / max(float(left.std() * np.sqrt(by @ by)), 1e-12))

    def leaning(self, answers: Floats, true: Floats, answers_now: Floats, true_now: Floats) -> float:
        """Log-likelihood that is lost where more, or less, came true than was answered: others' values go both ways."""
        before, now = self._left(answers, true), self._left(answers_now, true_now)
        error = np.sqrt(before.var() / len(before) + now.var() / len(now))
        return 0.5 * float((now.mean() - before.mean()) / max(error, 1e-12)) ** 2

    def _left(self, answers: Floats, true: Floats) -> Floats:
        middle = self._middle(answers)
        return true - (answers + middle if self._is_numeric else middle)

    def _size(self, answers: Floats) -> Floats:
        found: Floats = np.exp(np.interp(answers, self._centres, np.log(self._sizes)))
        return found

    def _middle(self, answers: Floats) -> Floats:
        found: Floats = np.interp(answers, self._centres, self._middles)
        return found

    def likely(self, answers: Floats, true: Floats) -> Floats:
        """Density, or chance, of what came true: (rows,)."""
        middle = self._middle(answers)
        if not self._is_numeric:
            chance: Floats = np.where(true > 0.5, middle, 1 - middle)
            return chance
        size = self._size(answers)
        score = np.clip(self._left(answers, true) / size, -_FARTHEST, _FARTHEST)
        found: Floats = (1 + score**2 / _TAILS) ** (-(_TAILS + 1) / 2) / size
        return found
