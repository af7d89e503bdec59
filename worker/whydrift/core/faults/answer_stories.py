"""What the rules about scores share: which story of a model that answers otherwise the rows tell, and how surely.

Four stories compete for scores that are not those which the inputs make expect. *Stretched*: the log-odds are those of before,
times one number plus another, for all rows. *Turned*: a share of the scores are 1 − score. *Other*: another model, or broken
weights, whose answers go their own ways around what was expected, in all rows or a part of them. *Unrelated*: a share of them has
nothing to do with the inputs, or all are about the same. Each is a small Bayesian model of the rows, averaged over what it leaves
open, as those of `outcomes` are: a story with more freedom pays for it, and few rows decide nothing.

What tells them apart is row by row: a stretch or a turn, undone, leaves exactly the residuals of health; everybody's distribution
may look so by chance.

Residuals are judged in log-odds, by how they lie in health among rows of which about as much is expected.
Belongs here: what inputs make expect of answers, and that competition among scores between 0 and 1. Not here: rules (this file
has none, and is passed over).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp, stdtr

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats

_LEAST_BEFORE, _LEAST_NOW, _MOST_NOW = 60, 20, 400
"""Rows of health and now that it takes to compare them; the latest ones are."""
_CUTS = (0.0, 0.1, 0.2, 0.35, 0.5)
"""Part of the rows since the estimated onset that may be from before it, and as in health."""
_EDGE, _EDGE_EXPECTED = 1e-6, 5e-3
"""Closer to 0 or 1 scores tell only on which side they are (digits end, or something cuts them there: `Health.edge`), and what is
expected of them no more: trees expect what is beyond, too."""
_GROUPS, _LEAST_SIZE, _TAILS = 5, 0.05, 4.0
"""Groups of rows by what is expected; least size of a residual in log-odds; degrees of freedom of the t-distribution that these
are taken for."""
_SIZES = np.exp(np.linspace(np.log(_LEAST_SIZE), np.log(10.0), 46))
"""Sizes that residuals of health may have."""
_AT_EDGE, _BEYOND = 0.3, np.linspace(0.0, 8.0, 33)
"""Share of the scores at an edge from which the middle may be beyond, and by how much, in log-odds."""
_SCALES, _SHIFTS = np.exp(np.linspace(np.log(0.25), np.log(6.0), 27)), np.linspace(-3.0, 3.0, 31)
_STRETCHED, _OTHER = (0.6, 1.0), (0.35, 0.7)
"""How much calibrations, and other models trained for the same end, differ by these (standard deviations of the logarithm of the
scale, and of the shift)."""
_WIDER = np.array([1.25, 1.6, 2.0, 2.6, 3.5, 5.0])
"""How much wider another model's answers scatter: the expected ones are off by about as much as any other model's."""
_STILL_HEALTH = (1.0, 1.15)
"""How much wider they may scatter in health, too: at another hour, of cases that the sample has few of."""
_SHARES = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0])
_NARROW = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
"""Spread of answers that are about the same for everybody, as a part of health's."""
_SURE, _LEAST = 0.9, 1e-3
OTHERWISE_NATS = 5.0
"""Logarithm of the odds from which answers are clearly not those of health: about 150 to 1."""
_LOG_T = gammaln((_TAILS + 1) / 2) - gammaln(_TAILS / 2) - 0.5 * np.log(_TAILS * np.pi)
_PRIORS = np.log([0.3, 0.2, 0.3, 0.2])
"""Chances of a stretch, a turn, another model, and what is unrelated, before any row is seen."""
_OTHERS = np.log([0.45, 0.45, 0.1])
"""Of another model: that it answers in all rows; in a part of them; that it is the old one turned round, but for a constant."""


def expected(case: Case) -> Floats | None:
    """What the inputs make expect, row for row as `prediction`; None without a residual."""
    prediction, residual = case.outputs.get("prediction"), case.outputs.get("residual")
    if prediction is None or residual is None or len(prediction.current_values) != len(residual.current_values):
        return None
    return prediction.current_values - residual.current_values


def is_probability(view: ColumnView) -> bool:
    """Whether a score has been within 0 and 1 all along."""
    return bool(view.reference.low >= 0.0 and view.reference.high <= 1.0)


@dataclass(frozen=True, slots=True)
class Stories:
    """The chance of each story, given that one of them is true: they sum to 1; `other` is what is unrelated, too.

    nats: logarithm of how much likelier all of them together make the rows than health does. scale, shift: of log-odds, if these
    are stretched.
    """

    stretched: float
    turned: float
    other: float
    nats: float
    scale: float
    shift: float


@lru_cache(maxsize=8)
def stories(case: Case, without: float | None = None) -> Stories | None:
    """None where scores are no probabilities, or too few rows of health or of now stand beside what is expected.

    without: a score whose rows are passed over.
    """
    view, residual = case.outputs.get("prediction"), case.outputs.get("residual")
    wanted = expected(case)
    if view is None or residual is None or wanted is None or not is_probability(view):
        return None
    before = case.answered.reference.outputs
    if not {"prediction", "residual"} <= before.keys():
        return None
    answers, left = before["prediction"], before["residual"]
    have = ~(np.isnan(answers) | np.isnan(left))
    usable = ~(np.isnan(wanted) | np.isnan(view.current_values))
    if without is not None:
        usable &= view.current_values != without
    scores, wanted = view.current_values[usable], wanted[usable]
    scores, wanted = scores[-_MOST_NOW:], wanted[-_MOST_NOW:]
    if have.sum() < _LEAST_BEFORE or len(scores) < _LEAST_NOW or scores.min() < 0 or scores.max() > 1:
        return None
    return judged(Health((answers - left)[have], answers[have]), wanted, scores, can_turn=has_two_classes(case))


def has_two_classes(case: Case) -> bool:
    """Whether a score is the complement of another class's. Of more classes it is how sure the model is of the likeliest one."""
    decision = case.outputs.get("decision")
    return decision is None or len(decision.reference.shares) <= 2


def is_turned(case: Case) -> bool:
    """Whether it is hardly anything else than that the two classes are exchanged in some rows or all."""
    told = stories(case)
    return told is not None and told.turned >= _SURE


def goes_otherwise(case: Case) -> bool:
    """Whether it is clear from the rows that answers are not those which such inputs got in health."""
    told = stories(case)
    return told is not None and told.nats >= OTHERWISE_NATS


def given_to_others(case: Case, fit: float) -> float:
    """A fit, read as odds, of answers that go their own ways: less where they are rather turned, or clearly stretched."""
    told = stories(case)
    if told is None:
        return fit
    others = 1 - told.turned - (told.stretched if told.nats >= OTHERWISE_NATS else 0.0)
    odds = fit / (1 - fit) * max(others, _LEAST)
    return odds / (1 + odds)


class Health:
    """How log-odds of answers lie around those that are expected, by what is expected.

    edge: scores this near to 0 or 1 are only known to be at least so near. A score of two digits is 0 from .005 down.
    """

    def __init__(self, wanted: Floats, answers: Floats) -> None:
        near = np.minimum(answers, 1 - answers)
        within = near[near > _EDGE]
        self.edge = float(within.min()) / 2 if 0 < len(within) < len(near) else _EDGE
        self.last = float(_log_odds(np.ones(1), self.edge)[0])
        """Log-odds of a score that is as near to 1 as can be told."""
        x, self.odds = _log_odds(wanted, _EDGE_EXPECTED), _log_odds(answers, self.edge)
        groups = [rows for rows in np.array_split(np.argsort(x, kind="stable"), _GROUPS) if len(rows)]
        self._centres = np.array([np.median(x[rows]) for rows in groups])
        lies = np.array([self._lie(self.odds[rows], x[rows]) for rows in groups]).reshape(-1, 2)
        self._middles: Floats = lies[:, 0]
        self._sizes: Floats = lies[:, 1]

    def _lie(self, odds: Floats, x: Floats) -> tuple[float, float]:
        """Middle and size of the residuals of these rows. Where most are at an edge, their middle is beyond it: the likeliest."""
        middle, side = float(np.median(odds - x)), float(np.sign(np.median(odds)))
        at_edge = float((np.abs(odds) >= self.last - 1e-9).mean())
        middles = middle + side * _BEYOND if at_edge > _AT_EDGE else np.array([middle])
        found = _log_p(odds, x + middles[:, None, None], _SIZES[:, None], self.last).sum(axis=2)
        place, size = np.unravel_index(int(np.argmax(found)), found.shape)
        return float(middles[place]), float(_SIZES[size])

    def around(self, wanted: Floats) -> tuple[Floats, Floats]:
        """Middle and size of the answers in log-odds, given what is expected: (rows,) each."""
        x = _log_odds(wanted, _EDGE_EXPECTED)
        middle: Floats = x + np.interp(x, self._centres, self._middles)
        return middle, np.exp(np.interp(x, self._centres, np.log(self._sizes)))

    def log_density(self, odds: Floats) -> Floats:
        """Of answers to no matter what inputs: a kernel estimate; of those as near to 0 or 1 as can be told, their share."""
        low, high = np.quantile(self.odds, [0.25, 0.75])
        width = max(0.9 * len(self.odds) ** -0.2 * min(float(np.std(self.odds)), (high - low) / 1.349), 0.1)
        each = -0.5 * ((odds[:, None] - self.odds) / width) ** 2
        found: Floats = logsumexp(each, axis=1) - np.log(len(self.odds) * width * np.sqrt(2 * np.pi))
        for end in (-self.last, self.last):
            share = (np.isclose(self.odds, end).sum() + 1) / (len(self.odds) + 2)
            found[np.isclose(odds, end)] = np.log(share)
        return found


def judged(health: Health, wanted: Floats, scores: Floats, *, can_turn: bool = True) -> Stories:
    """Scores beside those that the inputs make expect: (rows,) each. can_turn: 1 − score is a score, too."""
    odds, last = _log_odds(scores, health.edge), health.last
    middle, size = health.around(wanted)
    as_ever = _log_p(odds, middle, size, last)
    turned = _in_part(as_ever, _log_p(-odds, middle, size, last)) if can_turn else -np.inf
    still = [_stretches(odds, middle, size * one, as_ever, _STRETCHED, last) for one in _STILL_HEALTH]
    stretched = logsumexp(still, axis=0) - np.log(len(still))
    wider = [logsumexp(_stretches(odds, middle, size * one, as_ever, _OTHER, last)) for one in _WIDER.tolist()]
    parts = [_in_part(as_ever, _log_p(odds, middle, size * one, last)) for one in _WIDER.tolist()]
    unrelated = [
        _in_part(as_ever, health.log_density(odds)),
        _same_for_all(odds, float(np.std(health.odds)), as_ever, last),
    ]
    # The sign of weights, but not of what is added to them: stretched on the other side of another middle.
    back = logsumexp(_stretches(odds, -middle, size, as_ever, _OTHER, last))
    other = logsumexp(_OTHERS + np.array([_mean(wider), _mean(parts), back]))
    found = [logsumexp(stretched), turned, float(other), _mean(unrelated)]
    logs = _PRIORS + np.array(found)
    together = float(logsumexp(logs))
    chances = np.exp(logs - together).tolist()
    weights = np.exp(stretched - found[0])
    return Stories(
        stretched=chances[0],
        turned=chances[1],
        other=chances[2] + chances[3],
        nats=together - _mean([float(_log_p(odds, middle, size * one, last).sum()) for one in _STILL_HEALTH]),
        scale=float(np.exp(weights.sum(axis=1) @ np.log(_SCALES))),
        shift=float(weights.sum(axis=0) @ _SHIFTS),
    )


def _stretches(
    odds: Floats, middle: Floats, size: Floats, as_ever: Floats, widths: tuple[float, float], last: float
) -> Floats:
    """Log of the chance of these log-odds and of each stretch and shift, (scales, shifts); widths: of the chances of both."""
    # Seen from the log-odds: the middle and size of health's are stretched, not the log-odds back.
    centres, sizes = _SCALES[:, None, None] * middle + _SHIFTS[:, None], _SCALES[:, None, None] * size
    found = _since(_log_p(odds, centres, sizes, last), as_ever)
    prior = -0.5 * ((np.log(_SCALES) / widths[0])[:, None] ** 2 + (_SHIFTS / widths[1]) ** 2)
    together: Floats = found + prior - logsumexp(prior)
    return together


def _in_part(as_ever: Floats, otherwise: Floats) -> float:
    """Log of the chance of the rows if an unknown share of them is otherwise; of each row, if it is and if it is not."""
    rest = np.log(np.maximum(1 - _SHARES, 1e-300))
    each = np.logaddexp(as_ever + rest[:, None], otherwise + np.log(_SHARES)[:, None])
    return _mean(_since(each, as_ever).tolist())


def _same_for_all(odds: Floats, spread: float, as_ever: Floats, last: float) -> float:
    """Log of the chance of answers that are about the same for everybody, whatever that is (within six log-odds of even)."""
    sizes = np.maximum(_NARROW * spread, _LEAST_SIZE)[:, None]
    found = _since(_log_p(odds, np.median(odds) * np.ones_like(sizes), sizes, last), as_ever)
    return _mean((found + np.log(sizes[:, 0] / 12)).tolist())


def _since(found: Floats, as_ever: Floats) -> Floats:
    """Logarithm of the chance of all rows, (…, rows) → (…): up to an unknown one they are as in health."""
    cuts = [int(cut * len(as_ever)) for cut in _CUTS]
    each = np.stack([as_ever[:cut].sum() + found[..., cut:].sum(axis=-1) for cut in cuts])
    together: Floats = logsumexp(each, axis=0) - np.log(len(cuts))
    return together


def _mean(logs: Iterable[float]) -> float:
    """Logarithm of the mean of what these are logarithms of."""
    found = np.array(list(logs))
    return float(logsumexp(found) - np.log(len(found)))


def _log_p(odds: Floats, middle: Floats, size: Floats, last: float) -> Floats:
    """Log of the density at log-odds, (rows,), or of the chance of all beyond for those at ± `last`: (…, rows) as `middle`."""
    left = (odds - middle) / size
    found: Floats = _LOG_T - np.log(size) - (_TAILS + 1) / 2 * np.log1p(left**2 / _TAILS)
    at_edge = np.abs(odds) >= last - 1e-9
    if at_edge.any():
        beyond = -np.sign(odds[at_edge]) * left[..., at_edge]
        found[..., at_edge] = np.log(np.maximum(stdtr(_TAILS, beyond), 1e-300))
    return found


def _log_odds(scores: Floats, edge: float) -> Floats:
    inside = np.clip(scores, edge, 1 - edge)
    found: Floats = np.log(inside / (1 - inside))
    return found
