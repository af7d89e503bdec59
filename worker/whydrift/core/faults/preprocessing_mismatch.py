"""Between the inputs as they are logged and the model they are mixed up: raw values are right, the answers react otherwise.

Asked is which mix-up, undone, brings the answers back to what is left of them in health (`mix_ups`): an input in another's place,
the same for everybody, turned round, quantities in another order, unscaled. Told apart: another model (`wrong_model`) reacts in
ways of its own, and no mix-up brings its answers closer than a shift or stretch of all of them does; noise on weights
(`parameter_corruption`) neither; where raw inputs moved (`feature_swap`), or go together no more (`misaligned_feature`), the log
is wrong, and the reason is there.
"""

from math import exp, log

from whydrift.core.case import Case
from whydrift.core.faults.answer_stories import is_turned
from whydrift.core.faults.inputs import are, listed, number
from whydrift.core.faults.misaligned_feature import lost_by_answers
from whydrift.core.faults.mix_ups import Mix, MixUp, Unrelated, mix_up
from whydrift.core.faults.outputs import (
    announced_at,
    answer_signals,
    constant_answer,
    disturbance,
    score_has_moved,
    sign_of_broken_weights,
)
from whydrift.core.faults.relations import goes_with_others
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, predict, swap
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("preprocessing_mismatch")
_LEAST_BACK, _MOSTLY_BACK, _WHOLLY_BACK = 0.5, 0.65, 0.8
"""Part of the distance from health that undoing a mix-up must take away; from which it counts as all, for stand-ins know least of
rows in which inputs go together as they never did. On the open bench other models and noise seldom come to .4. Of an input that
is turned round all is asked: another model may react so to one of its inputs, and in other ways of its own to the others."""
_LEAST_NATS, _DOUBT_NATS, _CLEAR_NATS = 16.0, 12.0, 40.0
"""Logarithm of the likelihood by which it must be better, of hundreds tried; by how much more where it takes away little; from
which it is so clearly."""
_OTHER_ROWS, _EITHER = 0.9, 0.6
"""Fit of an input that is another row's where the log is right; where it may be the log's (`misaligned_feature`), which is more
often so."""
_FIT, _LEAST = 0.95, 0.7
"""Fit of a mix-up that returns everything; part of it where it just counts."""
_FLAT = 0.8
"""Part of it where answers that depend on nothing would be as close."""
_ORDERS = {
    "rotated": "shifted by one place",
    "rotated back": "shifted by one place",
    "sorted": "in the order of their names",
    "reversed": "in reverse order",
    "raw": "unscaled",
    "twice": "scaled twice",
}


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not score_has_moved(case) or "prediction" not in case.outputs:
        return []
    if because := disturbance(case):
        return [RuledOut(fault=FAULT, because=f"{because}, which changes the answers too")]
    if any(view.is_alarmed() for view in case.dependence.values()):
        return [
            RuledOut(fault=FAULT, because="the inputs do not go together as in health where they are logged already")
        ]
    if announced_at(case, case.onset_ms) is not None or _is_constant(case):
        return []
    if is_turned(case):
        return [RuledOut(fault=FAULT, because="1 − score is what these inputs used to get: that takes no mix-up")]
    if (lost := lost_by_answers(case)) is not None:
        return [_of_other_rows(case, lost)]
    found = mix_up(case)
    if found is None or not returned(found):
        return []  # Some hundred mix-ups of all there are were tried, on a stand-in: that rules nothing out.
    if (sign := sign_of_broken_weights(case)) is not None and _is_flat(found):
        return [RuledOut(fault=FAULT, because=f"{sign.says}, whatever the inputs: that takes no mix-up")]
    return [_proposal(case, found)]


def _is_constant(case: Case) -> bool:
    """Whether all get one answer: that no input explains."""
    constant = constant_answer(case)
    return constant is not None and constant.is_everywhere


def returned(found: MixUp) -> float:
    """How well a mix-up returns the answers to health, from _LEAST to 1; 0 where not, or not better than by chance."""
    is_turned = any(given.scale == "mirrored" for given in found.mix.values())
    doubt = max(_MOSTLY_BACK - found.back, 0.0) / (_MOSTLY_BACK - _LEAST_BACK)
    if found.back < (_WHOLLY_BACK if is_turned else _LEAST_BACK) or found.nats < _LEAST_NATS + doubt * _DOUBT_NATS:
        return 0.0
    back = (found.back - _LEAST_BACK) / (_WHOLLY_BACK - _LEAST_BACK)
    nats = (found.nats - _LEAST_NATS) / (_CLEAR_NATS - _LEAST_NATS)
    return (_FLAT if _is_flat(found) else 1.0) * (_LEAST + (1 - _LEAST) * min(back, nats, 1.0))


def _is_flat(found: MixUp) -> bool:
    """Whether answers that depend on nothing would be about as close."""
    return found.nats_beyond_flat < _LEAST_NATS


def undone_by(case: Case) -> tuple[float, str]:
    """For look-alikes to give way to: how well a mix-up returns the answers (0 = none does), and in words which."""
    for one in examine(case):
        if isinstance(one, Proposal):
            return one.fit / _FIT, one.headline
    return 0.0, ""


def _proposal(case: Case, found: MixUp) -> Proposal:
    says = _words(found)
    return Proposal(
        fault=FAULT,
        fit=_FIT * returned(found),
        explains=answer_signals(case),
        headline=f"the model seems {says}"[:150],
        explanation=(
            f"The inputs look as in health where they are logged, but the model seems {says}. Read so, its answers to the "
            f"latest {found.rows} are {_times(found.scatter)} as far from the expected ones as in health; as logged, "
            f"{_times(found.scatter_plain)}."
        ),
        action="Compare the vector that the model was given for one event with training's: order of columns, scaler, encoder.",
        decider="the vector given to the model for one logged event, beside the one that training's code makes of it",
    )


def _of_other_rows(case: Case, found: Unrelated) -> Proposal:
    """An input of which the model is given other rows' values, or the log has them."""
    name = found.place
    is_logged_rightly = goes_with_others(case, name)
    log = "goes with the other inputs as in health" if is_logged_rightly else "may be logged wrongly as well"
    return Proposal(
        fault=FAULT,
        fit=(_OTHER_ROWS if is_logged_rightly else _EITHER) * found.sureness,
        explains=answer_signals(case),
        headline=f"the model seems to be given {name} of other rows: its answers have nothing to do with what is logged"[
            :150
        ],
        explanation=(
            f"The answers are such as other values of {name} would get, while they go with all other inputs as in health; {name} "
            f"itself {log}."
        ),
        action="Compare the vector that the model was given for one event with training's: order of columns, scaler, encoder.",
        decider=f"the vector that the model was given for one event, beside the {name} that is logged and looked up for it",
    )


def _times(ratio: float) -> str:
    return f"{number(float(f'{ratio:.2g}'))} times"


def _words(found: MixUp) -> str:
    """What the model seems to be given, after "the model seems …"."""
    mix = found.mix
    if not found.is_sure:
        return f"to be given something else in the place of {next(iter(mix))}"
    if found.order:
        # Of a whole other order, single places are found differently by chance: those of inputs that matter little.
        return f"to be given its inputs {_ORDERS[found.order]}"
    blind = [place for place, given in mix.items() if given.value is not None]
    turned = [place for place, given in mix.items() if given.scale == "mirrored"]
    moved = {place: given for place, given in mix.items() if place not in (*blind, *turned)}
    parts = []
    if moved:
        parts.append(f"to be given {_moved(moved)}")
    if turned:
        parts.append(f"to be given {listed(turned)} turned round")
    if blind:
        parts.append(f"not to see {listed(blind)} any more ({are(blind, 'it is', 'they are')} the same for everybody)")
    return " and ".join(parts)


def _moved(mix: Mix) -> str:
    if len(mix) == 1:
        place, given = next(iter(mix.items()))
        return f"{given.source} in the place of {place}"
    if len(mix) == 2 and _is_exchange(mix):
        return f"{listed(sorted(mix))} in each other's place"
    return f"{listed(sorted(mix))} in another order"


def _is_exchange(mix: Mix) -> bool:
    return all(given.source in mix and mix[given.source].source == place for place, given in mix.items())


def _odds(edit: float, score: float) -> float:
    z = log(max(score, 1e-6) / max(1 - score, 1e-6)) + edit
    return 1 / (1 + exp(-z))


def _exchanged(score: float, features: Row) -> float:
    """The model is given the scaled debt ratio for the scaled income, and the other way round."""
    income, debt = log(features["income"] / 48_000) / 0.5, (features["debt_ratio"] - 0.29) / 0.16
    return _odds(0.45 * (income - debt) + 0.4 * (income - debt), score)


def _in_a_circle(score: float, features: Row) -> float:
    """The model is given scaled debt ratio for income, utilisation for debt ratio, income for utilisation."""
    income, debt = log(features["income"] / 48_000) / 0.5, (features["debt_ratio"] - 0.29) / 0.16
    use = (features["utilisation"] - 0.29) / 0.16
    return _odds(0.45 * (income - debt) + 0.4 * (use - debt) + 0.13 * (income - use), score)


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
        Example("the model is given income, debt ratio and utilisation in another order", predict(_in_a_circle)),
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
    look_alikes=(Fault.WRONG_MODEL, Fault.PARAMETER_CORRUPTION),
)
