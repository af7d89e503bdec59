"""An input comes from the wrong rows: its distribution is as ever, but it no longer has to do with the others.

Told apart: the correlations of one input with the others are gone, while those among the others are as in health; where a shift
by some rows brings them back, the join lags. Several inputs that lose each other are `dependence_drift`; where a distribution
moved, the other inputs' expectations moved with it, and the reason is there. Where no other input has to do with it, only the
answers tell; that the model is not given it (`preprocessing_mismatch`) looks the same then.
"""

from dataclasses import dataclass

import numpy as np

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults import feature_swap, novel_region
from whydrift.core.faults.inputs import dragged, finer_share, listed, new_atoms, number, percent, rank_correlation
from whydrift.core.faults.local_concept_drift import errs_more_everywhere
from whydrift.core.faults.mix_ups import Unrelated, unrelated_input
from whydrift.core.faults.outcomes import FEED, attribution, feed_is_troubled, loss_signals, shared
from whydrift.core.faults.outputs import announced_at, disturbance, loss_words, score_has_moved
from whydrift.core.faults.relations import (
    LOST_Z,
    NewPairs,
    goes_with_others,
    joined_group,
    new_pairs,
    relations,
)
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, lagged, swap
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("misaligned_feature")
_MIN_ROWS = 40
_FIT, _EITHER, _SEVERAL = 0.93, 0.75, 0.5
"""Fit where one input is to blame; where one of two is, or one of two groups; where no single one can be."""
_BY_ANSWERS = 0.9
"""Fit where only the answers tell."""
_LEAST_CHANCE = 0.02
"""By outcomes, below which it is not proposed."""
_AS_GUILTY = 0.75
_NOT_ITS_OWN = 0.3
"""Share of values with digits that health does not have, above which they are not those of other rows."""
_STILL, _ALL_WIDER = 0.6, 3.0
"""Part of its correlation that a noisy input keeps; times the usual distance that most of its values are from the expected."""
_MIN_OFF, _OFF_Z = 25, 5.0
"""Rows, and standard errors of the median, by which what is left of an input must have moved."""
_MAX_LAG = 60
_BACK = 0.8
"""Part of a correlation that a shift must bring back."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """names: the inputs to blame, most guilty first; partner: the one that had most to do with it; was, now: their correlation.

    is_either: only one of the names is to blame.
    """

    names: tuple[str, ...]
    partner: str
    was: float
    now: float
    fit: float
    lag: int
    is_either: bool


def examine(case: Case) -> list[Proposal | RuledOut]:
    alarmed = [view for view in case.dependence.values() if view.is_alarmed()]
    # New combinations of two values are what others' values make: alone they say less than the answers.
    if not alarmed or lost_by_answers(case) is not None:
        return _by_answers(case)
    moved = [view.name for view in case.alarmed_features("distribution", "out_of_range", "missing", "type")]
    if moved:
        because = f"{listed(moved)} moved by themselves, and what depends on them with them"
        return [RuledOut(fault=FAULT, because=because)]
    if (corner := novel_region.named(case)) is not None:
        return [RuledOut(fault=FAULT, because=f"without the events with {corner.words} all goes together as in health")]
    if swaps := feature_swap.clear(case):
        return [RuledOut(fault=FAULT, because=f"put back, {listed(swaps[0].features)} go with the others as ever")]
    found = _lost(case) or _newly_together(case)
    if found is None:
        return [RuledOut(fault=FAULT, because="no input has lost its correlation with the others")]
    if other := [name for name in found.names if _has_other_values(case.features[name])]:
        return [RuledOut(fault=FAULT, because=f"{listed(other)} has other values than any rows of health have")]
    if noisy := noise_by_the_others(case):
        return [RuledOut(fault=FAULT, because=f"all values of {noisy[0]} scatter around what the others make expect")]
    if isinstance(found, NewPairs):
        return [_of_new_pairs(case, found)]
    left = None if found.is_either else case.dependence.get(DEPENDENCE + found.names[0])
    if left is not None and is_off(left):
        because = f"{found.names[0]} is off by as much in most rows: other rows' values would be right on average"
        return [RuledOut(fault=FAULT, because=because)]
    return [_proposal(case, found)]


def _has_other_values(view: ColumnView) -> bool:
    """Whether values came, or come as often, that rows of health do not have: it was not their rows that were mixed up."""
    return (finer_share(view) or 0.0) > _NOT_ITS_OWN or bool(new_atoms(view))


# -- what only the answers tell ------------------------------------------------------------------------------------


def _by_answers(case: Case) -> list[Proposal | RuledOut]:
    """An input that no other goes with: that its logged values are others' shows in the answers alone."""
    found = lost_by_answers(case)
    if found is None:
        return _by_outcomes(case)
    if goes_with_others(case, found.place):
        because = f"{found.place} goes with the other inputs as in health: what is logged is right"
        return [RuledOut(fault=FAULT, because=because)]
    return [_from_answers(case, found)]


def _by_outcomes(case: Case) -> list[Proposal | RuledOut]:
    """An input that the model answers on as ever, though it is not the case's own: what comes true knows nothing of it."""
    told = attribution(case) if errs_more_everywhere(case) else None
    if told is None or told.others < _LEAST_CHANCE:
        return []
    name = told.place
    return [
        Proposal(
            fault=FAULT,
            fit=min(shared(told.others), FEED if feed_is_troubled(case) else 1.0),
            explains=loss_signals(case),
            headline=f"{name} seems to come from the wrong rows: what comes true has nothing to do with it any more"[
                :150
            ],
            explanation=(
                f"{loss_words(case)}. All inputs and the answers look as in health, and outcomes are such as cases with other "
                f"values of {name} get, while they follow the other inputs as ever."
            ),
            action=f"Look at the join that brings {name}: its key, its time window, its cache.",
            features=(name,),
            decider=f"{name} of ten logged events beside the same case's value at the source: are they the same?",
        )
    ]


def lost_by_answers(case: Case) -> Unrelated | None:
    """The input that answers have nothing to do with any more, though no input has changed, nor what the others make expect."""
    if not score_has_moved(case) or disturbance(case) or announced_at(case, case.onset_ms) is not None:
        return None
    if any(name.startswith(DEPENDENCE) and view.is_alarmed() for name, view in case.dependence.items()):
        return None
    return unrelated_input(case)


def _from_answers(case: Case, found: Unrelated) -> Proposal:
    name, share = found.place, "" if found.share == 1 else f" in about {percent(found.share)} of the rows"
    return Proposal(
        fault=FAULT,
        fit=_BY_ANSWERS * found.sureness,
        explains=frozenset(dragged(case)),
        headline=f"{name} seems to come from the wrong rows{share}: the answers have nothing to do with it any more"[
            :150
        ],
        explanation=(
            f"The distribution of {name} is as ever, and no other input tells it, but{share or ' now'} the answers "
            f"are such as other values of it would get, while they go with all other inputs as in health. Either its log is "
            "wrong, or the model is not given it."
        ),
        action=f"Look at the join that brings {name}: its key, its time window, its cache.",
        features=(name,),
        decider=f"the vector that the model was given for one event, beside the {name} that is logged and looked up for it",
    )


def noise_by_the_others(case: Case) -> list[str]:
    """The input whose values all scatter more around what the others make expect, and still go with them: that is noise.

    Of an input joined to other rows, those that are right are as close as ever; where all are wrong, nothing goes with them. One
    of two where nothing tells which; digits that health does not have do. [] where there is none.
    """
    found = _lost(case)
    if found is None or abs(found.now) < _STILL * abs(found.was):
        return []
    changed = [name for name in found.names if (finer_share(case.features[name]) or 0.0) > _NOT_ITS_OWN]
    lefts = [(name, case.dependence.get(DEPENDENCE + name)) for name in changed or found.names]
    return [
        name
        for name, left in lefts
        if left is not None
        and _middle_distance(left.current[len(left.current) // 3 :]) > _ALL_WIDER * _middle_distance(left.healthy) > 0
    ]


def _middle_distance(values: Floats) -> float:
    """Of values from their median."""
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def is_off(left: ColumnView) -> bool:
    """Whether what is left of an input has moved as a whole."""
    values = left.current[len(left.current) // 3 :]
    if len(values) < _MIN_OFF:
        return False
    off = float(np.median(values)) - left.reference.median
    scatter = 1.4826 * _middle_distance(values)
    return bool(abs(off) > _OFF_Z * 1.25 * max(scatter, left.reference.spread) / np.sqrt(len(values)))


def _lost(case: Case) -> _Loss | None:
    seen = relations(case)
    if seen is None:
        return None
    z, was, now = seen.lost, seen.was, seen.now
    views = [case.features[name] for name in seen.names]
    guilt = (np.maximum(z, 0.0) ** 2).sum(axis=1)
    order = [place for place in np.argsort(-guilt, kind="stable").tolist() if z[place].max() >= LOST_Z]
    if not order:
        return None
    likely = [place for place in order if seen.may_be_all(place)]
    first = (likely or order)[0]
    partner, is_either = int(np.argmax(z[first])), False
    if not likely and (group := joined_group(seen)):
        names, fit = tuple(group), _EITHER
        first = seen.names.index(group[0])
        partner = int(np.argmax(z[first]))
    elif not likely:
        names, fit = tuple(views[place].name for place in order), _SEVERAL
    elif len(likely) > 1 and guilt[likely[1]] > _AS_GUILTY * guilt[first]:
        names, fit, is_either = (views[first].name, views[likely[1]].name), _EITHER, True
    else:
        names, fit = (views[first].name,), _FIT
    later = slice(len(views[first].current_values) // 3, None)
    values = [views[place].current_values[later] for place in (first, partner)]
    is_coded = any(views[place].reference.kind.is_coded for place in (first, partner))
    lag = 0 if is_coded else _lag(values[0], values[1], float(was[first, partner]))
    before, since = float(was[first, partner]), float(now[first, partner])
    return _Loss(names, views[partner].name, before, since, fit, lag, is_either)


def _lag(values: Floats, others: Floats, was: float) -> int:
    """Rows by which the values come late (positive) or early; 0 where no shift brings the correlation back."""
    best = max(
        (k for k in range(-_MAX_LAG, _MAX_LAG + 1) if k and len(values) - abs(k) >= _MIN_ROWS // 2),
        key=lambda k: _shifted(values, others, k) * np.sign(was),
        default=0,
    )
    return best if best and _shifted(values, others, best) * np.sign(was) >= _BACK * abs(was) else 0


def _shifted(values: Floats, others: Floats, lag: int) -> float:
    if lag > 0:
        return rank_correlation(values[lag:], others[:-lag])
    return rank_correlation(values[:lag], others[-lag:])


def _newly_together(case: Case) -> NewPairs | None:
    """Two inputs whose values newly come together, all over their ranges, where too few rows are wrong for a loss to show."""
    scores, new = case.dependence.get(COMBINATIONS), new_pairs(case)
    return new if scores is not None and scores.is_alarmed() and new is not None and new.names else None


def _of_new_pairs(case: Case, new: NewPairs) -> Proposal:
    names = new.names
    who, share = " or ".join(names), percent(float(new.news[:, *new.newest].astype(bool).sum()) / new.rows)
    return Proposal(
        fault=FAULT,
        fit=_EITHER,
        explains=frozenset(dragged(case)),
        headline=f"{who} comes from the wrong rows in some events: {share} have values that never came together"[:150],
        explanation=(
            f"The distribution of {who} is as ever, but {share} of the events have values of the two that no event of health "
            "had together, in no one corner of their ranges."
        ),
        action=f"Look at the joins that bring {listed(names)}: key, time window, cache.",
        features=tuple(names),
        decider=f"the key and time that {names[0]} and {names[1]} were looked up with, for one such event",
    )


def _proposal(case: Case, found: _Loss) -> Proposal:
    who = " or ".join(found.names) if found.is_either else listed(found.names)
    come = "comes" if found.is_either or len(found.names) == 1 else "come"
    was, now = number(round(found.was, 2)), number(round(found.now, 2))
    partner = "each other" if found.is_either and found.partner in found.names else found.partner
    rows = "row" if abs(found.lag) == 1 else "rows"
    lag = f", {abs(found.lag)} {rows} too {'late' if found.lag > 0 else 'early'}" if found.lag else ""
    return Proposal(
        fault=FAULT,
        fit=found.fit,
        explains=frozenset(dragged(case)),
        headline=f"{who} {come} from the wrong rows{lag}: correlation with {partner} {was} → {now}"[:150],
        explanation=(
            f"The distribution of {who} is as ever, but its correlation with {partner} fell from {was} to {now}, "
            "while those among the other inputs hold."
        ),
        action=f"Look at the join that brings {who}: its key, its time window, its cache.",
        features=found.names,
        decider=f"the key and time that {found.names[0]} was looked up with, for one event",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.DEPENDENCE,
    examine=examine,
    examples=(
        Example("balance is that of the row before", lagged("balance", 1)),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("age and tenure swapped", swap("age", "tenure_days"), named=False),
    ),
    runbook=Runbook(
        means="A feature is looked up for another case or time than the one that is scored: a wrong key, a lag, a stale cache.",
        confirm="Take one event: look the feature up by hand for its key and time, and compare.",
        do="Mend the join; score again what was decided since the onset.",
        if_wrong="If the feature is right for each event, the world itself has loosened the relation: dependence drift.",
    ),
    look_alikes=(Fault.DEPENDENCE_DRIFT, Fault.UNIT_CHANGE),
)
