"""Several inputs go together otherwise than in health, while each by itself is as ever: the world relates them anew.

Told apart: where one input has lost all others it is that one's rows that are wrong (`misaligned_feature`), and so it is where a
group of inputs has lost all others but keeps together: one source is joined wrongly. Here no single input, and no such group,
accounts for the relations that changed; or relations grew stronger or turned round, which no wrong join does. Where a
distribution moved, the relations moved with it, and the reason is there.
"""

import numpy as np

from whydrift.core.case import Case
from whydrift.core.faults import feature_swap, misaligned_feature, novel_region
from whydrift.core.faults.inputs import dragged, listed, number
from whydrift.core.faults.relations import LOST_Z, Relations, joined_group, new_pairs, relations
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, both, change, lagged, swap
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("dependence_drift")
_FIT, _ONE_INPUT, _SEVERAL_ALONE, _UNSEEN = 0.92, 0.4, 0.39, 0.75
"""Fit of relations that no single input accounts for; of those of one input that grew or turned, which a new unit does, too; of
those that each of several inputs would account for, which hardly go with any other; of those that one input accounts for, where
others could not show it (of the two, one in five; on the open bench, one in four)."""
_LIKELY_Z = 2.5
"""Standard errors from which a further relation is named as well, where it is known that several have changed."""

Pair = tuple[int, int]


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not any(view.is_alarmed() for view in case.dependence.values()):
        return []
    moved = [view.name for view in case.alarmed_features("distribution", "out_of_range", "missing", "type")]
    if moved:
        return [
            RuledOut(fault=FAULT, because=f"{listed(moved)} moved by themselves, and what depends on them with them")
        ]
    if (corner := novel_region.named(case)) is not None:
        return [RuledOut(fault=FAULT, because=f"without the events with {corner.words} all goes together as in health")]
    if swaps := feature_swap.clear(case):
        return [RuledOut(fault=FAULT, because=f"put back, {listed(swaps[0].features)} go with the others as ever")]
    seen = relations(case)
    changed = [] if seen is None else _changed(seen)
    if seen is not None and not changed and (new := new_pairs(case)) is not None and new.names:
        return []  # too few rows are wrong for a relation to show which of two
    if seen is None or not changed:
        return [RuledOut(fault=FAULT, because="no two inputs go together otherwise than in health")]
    only_lost = all(seen.lost[pair] > 0 for pair in changed)
    alone = [place for place in sorted({*sum(changed, ())}) if seen.may_be_all(place)]
    if only_lost and len(alone) > 1:
        told = "That one of them comes from the wrong rows would account for it as well."
        return [_proposal(case, seen, changed, _SEVERAL_ALONE, told)]
    if only_lost and alone and not seen.is_told_without(alone[0]):
        told = "Of inputs that go with no other nothing would show if their rows were wrong, too."
        blamed = [one.features for one in misaligned_feature.examine(case) if isinstance(one, Proposal)]
        is_one = any(seen.names[alone[0]] in names for names in blamed)
        return [_proposal(case, seen, changed, _UNSEEN, told)] if is_one else []
    if only_lost and alone:
        return [RuledOut(fault=FAULT, because=f"without {seen.names[alone[0]]} everything goes together as in health")]
    if only_lost and (group := joined_group(seen)):
        because = f"{listed(group)} lost all others, but keep together: their rows are wrong"
        return [RuledOut(fault=FAULT, because=because)]
    told = "No single input that comes from the wrong rows leaves this."
    return [_proposal(case, seen, changed, _ONE_INPUT if alone else _FIT, told)]


def _changed(seen: Relations) -> list[Pair]:
    """Pairs that go together otherwise, most changed first."""
    rows, columns = np.triu_indices(len(seen.names), 1)
    z = seen.changed[rows, columns]
    order = [place for place in np.argsort(-z, kind="stable").tolist() if z[place] > LOST_Z]
    return [(int(rows[place]), int(columns[place])) for place in order]


def _proposal(case: Case, seen: Relations, changed: list[Pair], fit: float, told: str) -> Proposal:
    """told: what is said of single inputs."""
    places = [place for pair in changed for place in pair]
    if fit == _FIT:
        places += np.argwhere(np.triu(seen.changed, 1) > _LIKELY_Z).ravel().tolist()
    names = tuple(dict.fromkeys(seen.names[place] for place in places))
    first, second = changed[0]
    words = [_words(seen, pair) for pair in changed[:4]]
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=frozenset(dragged(case)),
        headline=f"{listed(names)} go together otherwise: correlation of {_words(seen, changed[0])}"[:150],
        explanation=f"Each of them is distributed as ever; the correlation of {'; of '.join(words)}. {told}",
        action=(
            f"Ask what changed in how {listed(names)} come about together (who is scored, a rule, a product); watch the loss: "
            "the model has learnt the old relation."
        ),
        features=names,
        decider=f"{seen.names[first]} and {seen.names[second]} looked up by hand for one event: are both that event's own?",
    )


def _words(seen: Relations, pair: Pair) -> str:
    was, now = (number(round(float(one[pair]), 2)) for one in (seen.was, seen.now))
    return f"{seen.names[pair[0]]} and {seen.names[pair[1]]} {was} → {now}"


def _paired(name: str, by: str) -> Break:
    """Values change places among a dozen rows, so that the feature follows another one; its distribution stays."""
    pool: list[float] = []
    seen: list[float] = []

    def breaks(row: Row, i: int) -> Row:
        if i == 0:
            pool.clear()
            seen.clear()
        features = row["features"]
        pool.append(features[name])
        seen.append(features[by])
        if len(pool) > 12:
            rank = sum(value < features[by] for value in seen[-60:]) / len(seen[-60:])
            features[name] = sorted(pool)[int(rank * len(pool))]
            pool.remove(features[name])
        else:
            features[name] += 1  # it comes once more, later
        return row

    return breaks


RULE = Rule(
    fault=FAULT,
    rung=Rung.DEPENDENCE,
    examine=examine,
    examples=(
        Example(
            "income, age, balance and assets have nothing to do with each other any more",
            both(lagged("income", 1), lagged("age", 2), lagged("balance", 3), lagged("assets", 4)),
        ),
        Example(
            "assets follow incomes, and ages follow balances",
            both(_paired("assets", "income"), _paired("age", "balance")),
        ),
        Example("balance is that of the row before", lagged("balance", 1), named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("age and tenure swapped", swap("age", "tenure_days"), named=False),
    ),
    runbook=Runbook(
        means="Inputs that used to go together no longer do, or do so otherwise; the model meets combinations it never learnt.",
        confirm="Draw two of the named inputs against each other, before and since: each alone is as ever, the cloud is not.",
        do="Ask the owners of the inputs what changed between them; watch the loss when labels come, retrain if it rises.",
        if_wrong="If the values of one event are not all that event's, several joins are wrong: treat them as misaligned.",
    ),
    look_alikes=(Fault.MISALIGNED_FEATURE, Fault.FEATURE_SWAP),
)
