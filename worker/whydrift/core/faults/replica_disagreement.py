"""One replica answers otherwise than the others on the same kind of cases: it has loaded something else.

Told apart: what the model answers given the inputs differs *between* replicas, and the replicas that agree answer as in health; a
model that changed everywhere is `wrong_model` or `parameter_corruption`. The split follows the replica, not the inputs: each
replica is asked the same kind of cases, or the difference is judged after the inputs (by the residual). Where answers scatter too
widely to show it, the outcomes may: a model that errs more on one replica only is no drift of the world.
"""

import numpy as np
from scipy.stats import fisher_exact

from whydrift.core.case import RESIDUALS, Case, ColumnView, SignalEvidence
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import Mask, listed, match_p, number, percent
from whydrift.core.faults.local_concept_drift import Local, odd_replica
from whydrift.core.faults.model_events import odd_replicas, shown_by, silent_change
from whydrift.core.faults.outcomes import loss_signals
from whydrift.core.faults.outputs import (
    answer_signals,
    constant_answer,
    disturbance,
    loss_words,
    residual_has_moved,
    same_p,
    score_has_moved,
    shortened,
)
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import fill, on_replica, predict
from whydrift.core.replicas import PREFIX
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("replica_disagreement")
_MIN_ROWS = 15
_P, _P_LIKELY = 1e-3, 1e-2
"""Chance that a replica's answers differ from the others' by so much, times the replicas, below which it disagrees; below which
it is likely to, where the others are as in health: the first rows that a model answers out of range are few."""
_HEALTHY_P = 1e-3
_FIT, _LIKELY = 0.95, 0.75
_MAX_NAME = 40


def examine(case: Case) -> list[Proposal | RuledOut]:
    told = _from_events(case)
    if told is not None:
        return [told]
    found = _from_answers(case)
    if any(isinstance(one, Proposal) for one in found) or disturbance(case):
        return found
    odd = odd_replica(case)
    return found if odd is None else [_from_outcomes(case, odd)]


def may_be_one_replica(case: Case) -> bool:
    """Whether it may be one replica only that answers otherwise."""
    return any(isinstance(one, Proposal) for one in examine(case))


def _from_events(case: Case) -> Proposal | None:
    """Two replicas describe themselves, under one version, with other weights."""
    silent = silent_change(case)
    pair = None if silent is None else odd_replicas(silent)
    shown = frozenset() if silent is None else shown_by(case, silent)
    if silent is None or pair is None or not shown:
        return None
    one, other = (shortened(name, 30) for name in pair)
    seen = silent.tensors[0] if silent.tensors else "another structure"
    return Proposal(
        fault=FAULT,
        fit=_FIT,
        explains=shown,
        headline=f"{other} runs other weights than {one} under the same version",
        explanation=f"{one} and {other} describe themselves as one version, and differ: {seen}.",
        action="Compare both with the registered digests, and take the one out of rotation that differs from them.",
        replica=pair[1],
        decider=f"the registered digest of version {silent.change.after.model_version}: {one} or {other} has it",
    )


def _from_answers(case: Case) -> list[Proposal | RuledOut]:
    if "replica" not in case.answered.current.dimensions or not (score_has_moved(case) or case.replicas):
        return []
    if (constant := constant_answer(case)) is not None and constant.is_everywhere:
        return [RuledOut(fault=FAULT, because=f"all replicas give one answer, {number(constant.atom.value)}")]
    views = [case.outputs[name] for name in (*reversed(RESIDUALS), "prediction") if name in case.outputs]
    if because := disturbance(case):
        # Replicas may be asked other cases: only what the inputs do not explain counts, and only where that is clear.
        views = [view for view in views if view.name in RESIDUALS]
    found: list[Proposal | RuledOut] = []
    for view in views:
        found += _judge(case, view, case.answered.current.outputs[view.name], _P if because else _P_LIKELY)
    named = [one for one in found if isinstance(one, Proposal)]
    if named or because:
        return [max(named, key=lambda one: one.fit)] if named else []
    if odd := [one for one in case.replicas if one.is_alarmed]:
        return [_from_evidence(case, odd)]
    return found[:1]


def _from_evidence(case: Case, odd: list[SignalEvidence]) -> Proposal:
    """The rows at hand are too few to show it; all that were compared since show it together.

    Where one differs, the others differ from the rest by less, for it is among them: so the one with most evidence is named.
    """
    worst = max(odd, key=lambda one: (one.log10_e, one.signal))
    name = worst.column.removeprefix(PREFIX)
    rows = case.answered.current.dimensions["replica"].groups().get(name)
    share = "" if rows is None else f" ({percent(float(rows.mean()))} of the latest rows)"
    shown = shortened(name, _MAX_NAME)
    return Proposal(
        fault=FAULT,
        fit=_LIKELY if residual_has_moved(case) else _FIT,
        explains=answer_signals(case),
        headline=f"{shown} answers otherwise than the other replicas on the same kind of cases"[:150],
        explanation=(
            f"Given the inputs, the answers of {shown}{share} are not distributed as those that the other replicas give at the "
            f"same time: evidence 10^{number(round(worst.log10_e, 1))} to 1, over more rows than are kept."
        ),
        action=f"Take {shown} out of rotation, and compare the digest of its weights and its image with the others'.",
        replica=name,
        decider="score one logged case on each replica",
    )


def _from_outcomes(case: Case, odd: Local) -> Proposal:
    inside, outside = odd.moves
    metric, where = loss_words(case).split(" ")[0], odd.slice.where
    return Proposal(
        fault=FAULT,
        fit=_LIKELY,
        explains=answer_signals(case) | loss_signals(case),
        headline=f"the model errs more {where} only: {metric} {inside} there, {outside} on the others"[:150],
        explanation=(
            f"{metric} {where} ({percent(odd.slice.share)} of the labelled cases, {odd.rows} of them): {inside}; on the other "
            f"replicas {outside}. The same kind of cases come to each, and what comes true does not depend on who was asked."
        ),
        action=f"Take {odd.slice.replica} out of rotation, and compare the digest of its weights and its image with the others'.",
        replica=odd.slice.replica,
        decider="score one logged case on each replica",
    )


def _judge(case: Case, view: ColumnView, values: Floats, least: float) -> list[Proposal | RuledOut]:
    """The replica that differs most from all others, by a chance of less than `least`; more of them while what is left still
    disagrees.
    """
    groups = case.answered.current.dimensions["replica"].groups()
    groups = {name: rows & ~np.isnan(values) for name, rows in groups.items()}
    groups = {name: rows for name, rows in groups.items() if rows.sum() >= _MIN_ROWS}
    if len(groups) < 2:
        return []
    guilty: list[str] = []
    chances: list[float] = []
    left = dict(groups)
    while len(left) >= 2:
        odd = {name: _chance(view, name, left, values) for name in left}
        worst = min(odd, key=lambda name: (odd[name], name))
        if odd[worst] * len(left) > (_P if guilty else least):
            break
        # Of two that differ, the one that is not as in health.
        if len(left) == 2:
            worst = min(left, key=lambda name: (match_p(values[left[name]], view.reference), name))
        guilty.append(worst)
        chances.append(odd[worst] * len(left))
        del left[worst]
    if not guilty:
        return [RuledOut(fault=FAULT, because=f"all {len(groups)} replicas answer alike")]
    rest = np.logical_or.reduce(list(left.values()))
    is_healthy, is_clear = match_p(values[rest], view.reference) > _HEALTHY_P, max(chances) <= _P
    if not (is_healthy or is_clear):
        return [RuledOut(fault=FAULT, because=f"all {len(groups)} replicas answer otherwise than in health")]
    fit = _FIT if is_healthy and is_clear else _LIKELY
    return [_proposal(case, view, guilty, sorted(left), values, groups, fit, max(chances), is_healthy=is_healthy)]


def _chance(view: ColumnView, name: str, groups: dict[str, Mask], values: Floats) -> float:
    """Of such a difference between one replica and the others: in the whole distribution, or in values beyond health's."""
    mine, rest = values[groups[name]], values[np.logical_or.reduce([m for other, m in groups.items() if other != name])]
    beyond = [int(((v < view.reference.low) | (v > view.reference.high)).sum()) for v in (mine, rest)]
    table = [[beyond[0], len(mine) - beyond[0]], [beyond[1], len(rest) - beyond[1]]]
    return min(1.0, 2 * min(same_p(mine, rest), float(fisher_exact(table).pvalue)))


def _proposal(
    case: Case,
    view: ColumnView,
    guilty: list[str],
    others: list[str],
    values: Floats,
    groups: dict[str, Mask],
    fit: float,
    chance: float,
    *,
    is_healthy: bool,
) -> Proposal:
    rows = np.logical_or.reduce([groups[name] for name in guilty])
    rest = np.logical_or.reduce([groups[name] for name in others])
    apart = float(np.median(values[rows]) - np.median(values[rest]))
    way = "higher" if apart > 0 else "lower"
    unit = " of their usual error" if view.name == RESIDUALS[1] else ""
    size = f"{number(float(f'{abs(apart):.2g}'))}{unit} {way} in the middle" if apart else "otherwise spread"
    share = percent(float(rows.sum() / (rows | rest).sum()))
    verb = "answers" if len(guilty) == 1 else "answer"
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=answer_signals(case),
        headline=f"{listed(guilty)} {verb} otherwise than {listed(others)} on the same kind of cases"[:150],
        explanation=(
            f"Given the inputs, the answers of {listed(guilty)} ({share} of the traffic) are {size} than those of "
            f"{listed(others)}; chance makes that once in {number(float(f'{1 / max(chance, 1e-12):.1g}'))}. "
            f"Of the others can be said: they answer {'as' if is_healthy else 'otherwise than'} in health."
        ),
        action=f"Take {listed(guilty)} out of rotation, and compare the digest of its weights and its image with the others'.",
        replica=guilty[0] if len(guilty) == 1 else None,
        decider="score one logged case on each replica",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.IDENTITY,
    examine=examine,
    examples=(
        Example("pod-2 has loaded another model", on_replica("pod-2", predict(lambda s, f: s / (s + 0.3 * (1 - s))))),
        Example("pod-1 ranks cases the other way round", on_replica("pod-1", predict(lambda s, f: 1 - s))),
        Example("all replicas answer otherwise", predict(lambda s, f: s / (s + 0.3 * (1 - s))), named=False),
        Example("half of the answers of all replicas change", predict(lambda s, f: 1 - s, share=0.5), named=False),
        Example("income is missing on pod-2", on_replica("pod-2", fill(None, "income")), named=False),
    ),
    runbook=Runbook(
        means="One replica runs another model, weights or preprocessing than its neighbours, as after half a roll-out.",
        confirm="Send one logged case to each replica, and compare the answers.",
        do="Take the odd one out of rotation, redeploy it, and decide again on what it answered since.",
        if_wrong="If replicas get different cases by design (routing by customer), compare them within one kind of case.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.PARAMETER_CORRUPTION),
)
