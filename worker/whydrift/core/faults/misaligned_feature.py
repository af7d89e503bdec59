"""An input comes from the wrong rows: its distribution is as ever, but it no longer has to do with the others.

Told apart: the correlations of one input with the others are gone, while those among the others are as in health; where a shift
by some rows brings them back, the join lags. Several inputs that lose each other are `dependence_drift`; where a distribution
moved, the other inputs' expectations moved with it, and the reason is there. Where no other input has to do with it, only the
answers tell; that the model is not given it (`preprocessing_mismatch`) looks the same then.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaincc

from whydrift.core.case import Case, ColumnView, correlations
from whydrift.core.columns import Floats
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults import novel_region
from whydrift.core.faults.inputs import dragged, listed, number, percent, rank_correlation
from whydrift.core.faults.mix_ups import Unrelated, unrelated_input
from whydrift.core.faults.outputs import announced_at, disturbance, score_has_moved
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, lagged, swap
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("misaligned_feature")
_MIN_ROWS = 40
LOST_Z = 4.0
"""Standard errors by which a correlation must have fallen to count as lost."""
_FIT, _EITHER, _SEVERAL = 0.93, 0.75, 0.5
"""Fit where one input is to blame; where one of two is, or one of two groups; where no single one can be."""
_BY_ANSWERS = 0.9
"""Fit where only the answers tell."""
_AS_GUILTY = 0.75
_TOLD = 0.25
"""Rank correlation in health from which a relation can be missed."""
ELSEWHERE_P = 1e-3
"""Chance below which more than one input's relations have changed."""
_STRONG, _GONE = 0.3, 0.15
"""Rank correlation in health that a group's members must have lost with all others; what is left of one that is lost."""
_STILL, _ALL_WIDER = 0.6, 3.0
"""Part of its correlation that a noisy input keeps; times the usual distance that most of its values are from the expected."""
_MIN_OFF, _OFF_Z = 25, 5.0
"""Rows, and standard errors of the median, by which what is left of an input must have moved."""
_MAX_LAG = 60
_BACK = 0.8
"""Part of a correlation that a shift must bring back."""


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """Rank correlations of the quantities that have a sample of health, and now.

    was, now: (inputs, inputs). lost: by how many standard errors each has become weaker, whatever its sign; changed: by how
    many it differs, with its sign; both 0 on the diagonal.
    """

    names: tuple[str, ...]
    was: Floats
    now: Floats
    lost: Floats
    changed: Floats

    def elsewhere_p(self, place: int) -> float:
        """Chance that the relations without this input are as far from health as they are: of those that are worth watching.

        Each may be too weak to show by itself; together they tell whether one input is all there is to it.
        """
        is_told = np.triu(np.nan_to_num(np.abs(self.was)) >= _TOLD, 1)
        is_told[place, :] = is_told[:, place] = False
        count = int(is_told.sum())
        return float(gammaincc(count / 2, (self.changed[is_told] ** 2).sum() / 2)) if count else 1.0


def relations(case: Case) -> Relations | None:
    """How quantities go together in health and now; None where there are fewer than two, or too few rows."""
    views = [
        view
        for view in case.features.values()
        if not view.reference.kind.is_coded and view.reference.spread > 0 and len(view.reference_values)
    ]
    if len(views) < 2 or len(views[0].current_values) < _MIN_ROWS:
        return None
    later = slice(len(views[0].current_values) // 3, None)  # the first rows may be from before the onset
    names = tuple(view.name for view in views)
    times = np.array([view.reference.times.get("centre", 1.0) for view in views])
    return related(names, [v.reference_values for v in views], [v.current_values[later] for v in views], times)


def related(
    names: tuple[str, ...], healthy: list[Floats], latest: list[Floats], times: Floats | None = None
) -> Relations:
    """The same of columns of health and of the latest rows: (rows,) each, NaN where there is no value.

    times: how many values in a row tell as much as one, (columns,).
    """
    was, now = correlations(healthy), correlations(latest)
    # Fisher's transform: a high correlation is known far better than a low one. 1.06: ranks.
    error = 1.06 * np.sqrt((1 / len(healthy[0]) + 1 / len(latest[0])) * _slowness(was, times))
    # A correlation that has only turned round is not lost: that is a change of sign.
    lost = (np.abs(_fisher(was)) - np.abs(_fisher(now))) / error
    changed = np.abs(_fisher(was) - _fisher(now)) / error
    # Of a quantity that stands still just now nobody knows what it goes with.
    is_unknown = ~np.isfinite(now) | np.eye(len(now), dtype=bool)
    lost[is_unknown] = changed[is_unknown] = 0.0
    return Relations(names, was, now, lost, changed)


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
    found = _lost(case)
    if found is None:
        return [RuledOut(fault=FAULT, because="no input has lost its correlation with the others")]
    if (noisy := noise_by_the_others(case)) is not None:
        return [RuledOut(fault=FAULT, because=f"all values of {noisy} scatter around what the others make expect")]
    if not found.is_either and (left := case.dependence.get(DEPENDENCE + found.names[0])) and is_off(left):
        because = f"{found.names[0]} is off by as much in most rows: other rows' values would be right on average"
        return [RuledOut(fault=FAULT, because=because)]
    return [_proposal(case, found)]


# -- what only the answers tell ------------------------------------------------------------------------------------


def _by_answers(case: Case) -> list[Proposal | RuledOut]:
    """An input that no other goes with: that its logged values are others' shows in the answers alone."""
    found = lost_by_answers(case)
    if found is None:
        return []
    if goes_with_others(case, found.place):
        because = f"{found.place} goes with the other inputs as in health: what is logged is right"
        return [RuledOut(fault=FAULT, because=because)]
    return [_from_answers(case, found)]


def lost_by_answers(case: Case) -> Unrelated | None:
    """The input that answers have nothing to do with any more, though no input has changed, nor what the others make expect."""
    if not score_has_moved(case) or disturbance(case) or announced_at(case, case.onset_ms) is not None:
        return None
    if any(name.startswith(DEPENDENCE) and view.is_alarmed() for name, view in case.dependence.items()):
        return None
    return unrelated_input(case)


def goes_with_others(case: Case, name: str) -> bool:
    """Whether an input is clearly seen to go with another one today as it did in health."""
    seen = relations(case)
    if seen is None or name not in seen.names:
        return False
    place = seen.names.index(name)
    rows = len(case.features[name].current_values) * 2 // 3
    still = np.sign(seen.was[place]) * _fisher(seen.now[place]) * np.sqrt(rows) / 1.06
    is_told = np.abs(np.nan_to_num(seen.was[place])) >= _TOLD
    is_told[place] = False
    return bool((is_told & (np.nan_to_num(still) >= LOST_Z)).any() and seen.lost[place].max() < LOST_Z)


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


def noise_by_the_others(case: Case) -> str | None:
    """The input whose values all scatter more around what the others make expect, and still go with them: that is noise.

    Of an input joined to other rows, those that are right are as close as ever; where all are wrong, nothing goes with them.
    """
    found = _lost(case)
    left = None if found is None else case.dependence.get(DEPENDENCE + found.names[0])
    if found is None or left is None or found.is_either or abs(found.now) < _STILL * abs(found.was):
        return None
    wide, usual = (_middle_distance(part) for part in (left.current[len(left.current) // 3 :], left.healthy))
    return found.names[0] if wide > _ALL_WIDER * usual > 0 else None


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
    likely = [place for place in order if seen.elsewhere_p(place) >= ELSEWHERE_P]
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
    lag = _lag(views[first].current_values[later], views[partner].current_values[later], float(was[first, partner]))
    before, since = float(was[first, partner]), float(now[first, partner])
    return _Loss(names, views[partner].name, before, since, fit, lag, is_either)


def joined_group(seen: Relations) -> list[str]:
    """The smaller of two groups of inputs that keep together and have lost each other altogether; [] where there are none.

    Of two equal ones the first: which of them is wrong, nobody can tell from inputs.
    """
    was, now = np.nan_to_num(seen.was), np.nan_to_num(seen.now)
    strong = np.abs(was) >= _STRONG
    np.fill_diagonal(strong, False)
    gone = strong & (np.abs(now) < _GONE)
    count, labels = connected_components(strong & ~gone, directed=False)
    groups = [np.flatnonzero(labels == label).tolist() for label in range(count)]
    torn = [group for group in groups if gone[np.ix_(group, [i for i in range(len(was)) if i not in group])].any()]
    if len(torn) != 2 or min(len(group) for group in torn) < 2:
        return []
    kept = strong & ~gone & (seen.changed > LOST_Z)
    if kept.any():
        return []  # what is left within a group has changed as well
    return [seen.names[place] for place in min(torn, key=lambda group: (len(group), group))]


def _slowness(was: Floats, times: Floats | None) -> Floats:
    """By how much correlations of few rows vary more where both columns are slow: what they do not have in common wanders."""
    if times is None:
        return np.ones_like(was)
    found: Floats = 1 + (np.minimum(times[:, None], times[None, :]) - 1) * (1 - np.nan_to_num(was) ** 2)
    return found


def _fisher(correlation: Floats) -> Floats:
    found: Floats = np.arctanh(np.clip(np.nan_to_num(correlation), -0.99, 0.99))
    return found


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


def _proposal(case: Case, found: _Loss) -> Proposal:
    who = " or ".join(found.names) if found.is_either else listed(found.names)
    come = "comes" if found.is_either or len(found.names) == 1 else "come"
    was, now = number(round(found.was, 2)), number(round(found.now, 2))
    rows = "row" if abs(found.lag) == 1 else "rows"
    lag = f", {abs(found.lag)} {rows} too {'late' if found.lag > 0 else 'early'}" if found.lag else ""
    return Proposal(
        fault=FAULT,
        fit=found.fit,
        explains=frozenset(dragged(case)),
        headline=f"{who} {come} from the wrong rows{lag}: correlation with {found.partner} {was} → {now}"[:150],
        explanation=(
            f"The distribution of {who} is as ever, but its correlation with {found.partner} fell from {was} to {now}, "
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
)
