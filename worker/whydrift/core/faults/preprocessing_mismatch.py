"""Between the inputs as they are logged and the model they are mixed up: raw values are right, the answers react otherwise.

What the answers made of each input in health is learnt from the sample (a linear model of normal scores); then it is asked which
mix-up makes those same reactions fit the answers of today: two inputs that changed places after they were logged, a whole other
order, one that does not arrive, one that arrives turned round, all unscaled. Told apart: another model (`wrong_model`) reacts in
ways of its own, and no such mix-up brings the old reactions back; noise on weights (`parameter_corruption`) neither; where raw
inputs moved (`feature_swap`) the reason is there. A linear stand-in sees no interactions: where it says little of the answers in
health, nothing is claimed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from whydrift.core.case import AlignedRows, Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import listed, number, rank_correlation
from whydrift.core.faults.outputs import announced_at, answer_signals, disturbance, score_has_moved
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, predict, swap
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("preprocessing_mismatch")
_MIN_HEALTHY, _MIN_ROWS = 150, 40
_MOST_INPUTS, _MOST_CATEGORIES = 12, 8
"""Quantities that answers react to most, which may be mixed up; categories of an input with a reaction of their own."""
_TELLING = 0.6
"""Rank correlation of answers with the stand-in in health from which it tells anything."""
_LOST = 0.9
"""Part of it above which the answers agree with the inputs as ever."""
_BACK = 0.93
"""Part of it that a mix-up must bring back."""
_BETTER_Z = 4.0
"""Standard errors by which a mix-up must agree better with the answers than the inputs as they are."""
_FREE_ROWS, _FREE_BETTER = 150, 0.05
"""Rows that are enough to learn new reactions from; by how much those may agree better than the old ones mixed up."""
_RIDGE = 3.0
_FIT, _ABSENT = 0.95, 0.88
"""Fit of a mix-up; of one input without effect, which a zeroed weight leaves as well."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stand:
    """What answers make of inputs in health. quantities: names of the first columns; weights: (columns,)."""

    quantities: tuple[str, ...]
    scales: Floats
    weights: Floats
    healthy: float


@dataclass(frozen=True, slots=True)
class _Mix:
    """A mix-up in words, and how well the old reactions agree with the answers under it."""

    says: str
    fit: float
    agrees: float


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not score_has_moved(case) or "prediction" not in case.outputs:
        return []
    if because := disturbance(case):
        return [RuledOut(fault=FAULT, because=f"{because} before they reach the model")]
    if announced_at(case, case.onset_ms) is not None:
        return []
    healthy, latest = case.answered.reference, _later(case.answered.current)
    views = [view for view in case.features.values() if view.name in healthy.inputs and view.name in latest.inputs]
    if not views or "prediction" not in healthy.outputs or "prediction" not in latest.outputs:
        return []
    quantities, categories = _split(case, views, healthy)
    before, now = _design(quantities, categories, healthy), _design(quantities, categories, latest)
    stand = _stand(quantities, *before)
    if stand is None or len(now[1]) < _MIN_ROWS:
        return []
    found = _best(stand, *now)
    return [found] if isinstance(found, RuledOut) else [_proposal(case, stand, found)]


def _later(rows: AlignedRows) -> AlignedRows:
    """Without the first third, which may be from before the onset."""
    kept = slice(len(rows) // 3, None)
    return AlignedRows(
        rows.times_ms[kept],
        {name: values[kept] for name, values in rows.inputs.items()},
        {name: values[kept] for name, values in rows.outputs.items()},
        {},
    )


# -- what answers make of inputs -----------------------------------------------------------------------------------


def _split(case: Case, views: list[ColumnView], rows: AlignedRows) -> tuple[list[ColumnView], list[ColumnView]]:
    """The quantities that answers go with most in health, and the categories."""
    answers = rows.outputs["prediction"]
    told = {
        view.name: abs(rank_correlation(rows.inputs[view.name], answers))
        for view in views
        if not view.reference.kind.is_coded and view.reference.spread > 0
    }
    chosen = sorted(told, key=lambda name: (-told[name], name))[:_MOST_INPUTS]
    return [view for view in views if view.name in chosen], [view for view in views if view.reference.kind.is_coded]


def _design(quantities: list[ColumnView], categories: list[ColumnView], rows: AlignedRows) -> tuple[Floats, Floats]:
    """Normal scores of quantities, one column for each frequent category, and the answers: (rows, columns), (rows,)."""
    answers = rows.outputs["prediction"]
    parts = [_normal(view, rows.inputs[view.name]) for view in quantities]
    for view in categories:
        names = list(view.reference.shares)[:_MOST_CATEGORIES]
        parts += [(rows.inputs[view.name] == view.column.code(name)).astype(float) for name in names[1:]]
    is_there = ~np.isnan(answers)
    return np.stack(parts, axis=1)[is_there] if parts else np.empty((int(is_there.sum()), 0)), answers[is_there]


def _normal(view: ColumnView, values: Floats) -> Floats:
    """Where values stand in health, as scores of a standard normal; 0 where there is none."""
    q = view.reference.quantiles
    rank = (np.searchsorted(q, values, "left") + np.searchsorted(q, values, "right")) / (2 * len(q))
    found: Floats = np.where(np.isnan(values), 0.0, ndtri(np.clip(rank, 0.005, 0.995)))
    return found


def _scores(values: Floats) -> Floats:
    """Normal scores of a sample by itself."""
    order = np.sort(values)
    rank = (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")) / (2 * len(values))
    found: Floats = ndtri(np.clip(rank, 0.5 / len(values), 1 - 0.5 / len(values)))
    return found


def _weights(design: Floats, answers: Floats) -> Floats:
    centred = design - design.mean(axis=0)
    squares = centred.T @ centred + _RIDGE * np.eye(design.shape[1])
    found: Floats = np.linalg.solve(squares, centred.T @ _scores(answers))
    return found


def _crosswise(design: Floats, answers: Floats) -> float:
    """Rank correlation of answers with what the other half of the rows makes expect."""
    even: NDArray[np.bool_] = np.arange(len(answers)) % 2 == 0
    said = np.empty(len(answers))
    for half in (even, ~even):
        said[half] = (design[half] - design[~half].mean(axis=0)) @ _weights(design[~half], answers[~half])
    return rank_correlation(said, answers)


def _stand(quantities: list[ColumnView], design: Floats, answers: Floats) -> _Stand | None:
    """None where there are too few rows, or answers that a linear model says little of."""
    if len(answers) < _MIN_HEALTHY or len(quantities) < 2 or np.ptp(answers) == 0:
        return None
    healthy = _crosswise(design, answers)
    if healthy < _TELLING:
        return None
    scales = np.array([view.reference.spread for view in quantities])
    return _Stand(tuple(view.name for view in quantities), scales, _weights(design, answers), healthy)


# -- which mix-up --------------------------------------------------------------------------------------------------


def _best(stand: _Stand, design: Floats, answers: Floats) -> _Mix | RuledOut:
    """The mix-up with which the old reactions agree best with the answers; why there is none."""
    plain = rank_correlation(design @ stand.weights, answers)
    if abs(plain) > _LOST * stand.healthy:
        return RuledOut(fault=FAULT, because="the answers go with the inputs as they do in health")
    best = max(_mixes(stand, design, answers), key=lambda mix: mix.agrees)
    error = np.sqrt(2 / len(answers))
    better = (np.arctanh(min(best.agrees, 0.995)) - np.arctanh(np.clip(plain, -0.995, 0.995))) / error
    if best.agrees < _BACK * stand.healthy or better < _BETTER_Z:
        because = "no other order or scale of the inputs brings the old reactions back"
        return RuledOut(fault=FAULT, because=because)
    if len(answers) >= _FREE_ROWS and _crosswise(design, answers) > best.agrees + _FREE_BETTER:
        return RuledOut(fault=FAULT, because="the answers react to the inputs in ways of their own")
    return best


def _mixes(stand: _Stand, design: Floats, answers: Floats) -> Iterator[_Mix]:
    count = len(stand.quantities)

    def mix(says: str, weights: Floats, fit: float = _FIT) -> _Mix:
        whole = np.concatenate([weights, stand.weights[count:]])
        return _Mix(says, fit, rank_correlation(design @ whole, answers))

    own = stand.weights[:count]
    for place, name in enumerate(stand.quantities):
        without, turned = own.copy(), own.copy()
        without[place], turned[place] = 0.0, -own[place]
        yield mix(f"{name} has no effect on the answers any more", without, _ABSENT)
        yield mix(f"answers react to {name} the other way round", turned)
    for i, j in combinations(range(count), 2):
        order = np.arange(count)
        order[[i, j]] = j, i
        yield mix(
            f"answers react to {stand.quantities[i]} as they did to {stand.quantities[j]}, and vice versa", own[order]
        )
    yield mix("answers react to inputs by their sizes, as if unscaled", own * stand.scales)
    yield mix("answers react to inputs as if scaled twice", own / stand.scales)
    if len(answers) >= _FREE_ROWS:
        free = _weights(design, answers)[:count]
        _, order = linear_sum_assignment((free[:, None] - own[None, :]) ** 2)
        moved = [name for place, name in enumerate(stand.quantities) if order[place] != place]
        yield mix(f"answers react to {listed(moved)} as if in another order", own[order])


def _proposal(case: Case, stand: _Stand, mix: _Mix) -> Proposal:
    return Proposal(
        fault=FAULT,
        fit=mix.fit,
        explains=answer_signals(case),
        headline=f"inputs are mixed up on their way into the model: {mix.says}"[:150],
        explanation=(
            f"The inputs look as in health, but {mix.says}. Read so, they go with the answers again: rank correlation "
            f"{number(round(mix.agrees, 2))}, {number(round(stand.healthy, 2))} in health."
        ),
        action="Compare the vector that the model was given for one event with training's: order of columns, scaler, encoder.",
        decider="the vector given to the model for one logged event, beside the one that training's code makes of it",
    )


def _odds(edit: float, score: float) -> float:
    z = log(max(score, 1e-6) / max(1 - score, 1e-6)) + edit
    return 1 / (1 + exp(-z))


def _exchanged(score: float, features: Row) -> float:
    """The model is given the scaled debt ratio for the scaled income, and the other way round."""
    income, debt = log(features["income"] / 48_000) / 0.5, (features["debt_ratio"] - 0.29) / 0.16
    return _odds(0.45 * (income - debt) + 0.4 * (income - debt), score)


def _without(score: float, features: Row) -> float:
    """The model is given a typical income, whatever it is."""
    return _odds(0.9 * log(features["income"] / 48_000), score)


def _another(score: float, features: Row) -> float:
    return float(min(max(0.02 * (features["age"] - 18) * (1 - features["utilisation"]), 0.0), 1.0))


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example("the model is given income and debt ratio in each other's place", predict(_exchanged)),
        Example("the model is given the same income for everybody", predict(_without)),
        Example("another model answers, which has its own ways", predict(_another), named=False),
        Example("scores promise more than they did", predict(lambda s, f: s / (s + 0.4 * (1 - s))), named=False),
        Example("age and tenure arrive swapped", swap("age", "tenure_days"), named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
    ),
    runbook=Runbook(
        means="The inputs are right where they are logged, and wrong where the model gets them: another order or scale.",
        confirm="Log the vector that the model is given for one event, and make it with training's code: they differ.",
        do="Ship the preprocessing with the model, as one artefact; decide again on what was answered since.",
        if_wrong="If the vectors are equal, other weights answer: compare digests (wrong model, corrupted parameters).",
    ),
)
